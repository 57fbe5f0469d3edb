//! Which pages may call the API from a browser (the Fetch standard's CORS protocol): an allow-list of origins, compared
//! exactly, for some of the paths. Everything else is answered without CORS fields, so that a browser keeps it from the
//! page.

use std::fmt;

use countersign_core::request::{check_path, split_query};
use countersign_core::token::field;
use countersign_verifier::check::request::API_KEY_FIELD;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What a page may read of a refusal beside what every page may: the challenge, a nonce, and the edge's time.
const EXPOSED: &str = "WWW-Authenticate, DPoP-Nonce, OAuth-Client-Attestation-Challenge, Date, Retry-After";
/// What a page may call with; the route says what is taken.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// How long a browser may remember that it asked, in seconds, unless told otherwise.
const MAX_AGE: u32 = 600;

/// The pages that may call some paths of an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    origins: Vec<String>,
    paths: Vec<String>,
    max_age: u32,
    credentials: bool,
}

/// There can be no such list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorsError {
    /// Nobody is on the list.
    NoOrigin,
    /// This is no origin as browsers write it: scheme, host in lower case, and a port only if it is not the scheme's own.
    /// Neither `*` nor `null` is one: both are everybody.
    Origin(String),
    /// This is no path prefix.
    Path(String),
}

impl fmt::Display for CorsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOrigin => f.write_str("name at least one origin"),
            Self::Origin(text) => {
                write!(f, "`{text}` is no origin as browsers write it, such as https://app.example")
            }
            Self::Path(text) => write!(f, "`{text}` is no path prefix, such as /v1/web"),
        }
    }
}

impl std::error::Error for CorsError {}

impl Cors {
    /// Lets pages of `origins` call every path.
    ///
    /// # Errors
    /// [`CorsError`] if there is none, or one that no browser would send.
    pub fn new(origins: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, CorsError> {
        let origins: Vec<String> = origins.into_iter().map(Into::into).collect();
        if origins.is_empty() {
            return Err(CorsError::NoOrigin);
        }
        if let Some(wrong) = origins.iter().find(|origin| !is_origin(origin)) {
            return Err(CorsError::Origin(wrong.clone()));
        }
        Ok(Self { origins, paths: vec!["/".to_owned()], max_age: MAX_AGE, credentials: false })
    }

    /// Only paths below these prefixes, which end at segment borders.
    ///
    /// # Errors
    /// [`CorsError::Path`] for one that no request's path can begin with.
    pub fn with_paths(
        mut self,
        paths: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, CorsError> {
        self.paths = paths.into_iter().map(Into::into).collect();
        let is_prefix = |path: &&String| {
            path.as_str() == "/"
                || (path.starts_with('/')
                    && check_path(path).is_ok()
                    && !path.ends_with('/')
                    && !path.contains('?'))
        };
        match self.paths.iter().find(|path| !is_prefix(path)) {
            Some(wrong) => Err(CorsError::Path(wrong.clone())),
            None => Ok(self),
        }
    }

    /// How long a browser may remember that it asked, in seconds; default ten minutes.
    #[must_use]
    pub const fn with_max_age(mut self, seconds: u32) -> Self {
        self.max_age = seconds;
        self
    }

    /// Lets pages read answers to requests that the browser sent with cookies or a client certificate. Tokens in header
    /// fields do not need it.
    #[must_use]
    pub const fn with_credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// What answers a preflight request with 204: `None` if it is none, or of a page or path that is not on the list, and
    /// is to be treated as any other request. `lines` gives all lines of a field, asked for in lower case.
    pub fn preflight<'a, I>(
        &self,
        method: &str,
        path_and_query: &str,
        lines: impl Fn(&'static str) -> I,
    ) -> Option<Vec<(HeaderName, HeaderValue)>>
    where
        I: IntoIterator<Item = &'a [u8]>,
    {
        only(lines("access-control-request-method")).filter(|_| method == "OPTIONS")?;
        let mut fields = self.allowed(self.origin(path_and_query, lines)?);
        let headers = [
            "Authorization, Content-Type",
            field::ATTESTATION_RESULT,
            field::ATTESTATION_PROOF,
            field::CLIENT_ATTESTATION,
            field::CLIENT_ATTESTATION_POP,
            field::DPOP,
            API_KEY_FIELD,
        ]
        .join(", ");
        fields.push((ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS)));
        fields.extend(HeaderValue::try_from(headers).ok().map(|value| (ACCESS_CONTROL_ALLOW_HEADERS, value)));
        fields.push((ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.max_age)));
        Some(fields)
    }

    /// The fields of the answer to any other request: for a page on the list, that it may read it. Caches are told in each
    /// answer below the paths that it depends on the page.
    pub fn fields<'a, I>(
        &self,
        path_and_query: &str,
        lines: impl Fn(&'static str) -> I,
    ) -> Vec<(HeaderName, HeaderValue)>
    where
        I: IntoIterator<Item = &'a [u8]>,
    {
        let Some(origin) = self.origin(path_and_query, lines) else {
            return match self.covers(path_and_query) {
                true => vec![(VARY, HeaderValue::from_static("Origin"))],
                false => Vec::new(),
            };
        };
        let mut fields = self.allowed(origin);
        fields.push((ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED)));
        fields
    }

    fn allowed(&self, origin: &str) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = vec![(VARY, HeaderValue::from_static("Origin"))];
        fields.extend(HeaderValue::try_from(origin).ok().map(|value| (ACCESS_CONTROL_ALLOW_ORIGIN, value)));
        if self.credentials {
            fields.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        fields
    }

    /// The origin on the list that a request to one of the paths comes from.
    fn origin<'a, I>(&self, path_and_query: &str, lines: impl Fn(&'static str) -> I) -> Option<&str>
    where
        I: IntoIterator<Item = &'a [u8]>,
    {
        let sent = only(lines("origin"))?;
        let known = self.origins.iter().find(|origin| origin.as_bytes() == sent)?;
        self.covers(path_and_query).then_some(known)
    }

    fn covers(&self, path_and_query: &str) -> bool {
        let (path, _) = split_query(path_and_query);
        let is_below = |prefix: &String| {
            prefix == "/"
                || path
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        check_path(path).is_ok() && self.paths.iter().any(is_below)
    }
}

/// Puts the fields into a response that may have some of its own: who may read it is said once, the lists add up.
pub fn put_cors_fields(headers: &mut HeaderMap, fields: Vec<(HeaderName, HeaderValue)>) {
    for (name, value) in fields {
        if name == VARY || name == ACCESS_CONTROL_EXPOSE_HEADERS {
            headers.append(name, value);
        } else {
            headers.insert(name, value);
        }
    }
}

/// The only line of a field.
fn only<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let mut lines = lines.into_iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// Whether browsers write this origin so (RFC 6454 section 6.1).
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let port = match text.split_once("://") {
        Some(("https", _)) => 443,
        Some(("http", _)) => 80,
        _ => return false,
    };
    let Some(authority) = uri.authority() else { return false };
    let host_and_port = text.split_once("://").map(|(_, rest)| rest);
    uri.port_u16() != Some(port)
        && host_and_port == Some(authority.as_str())
        && !authority.as_str().contains('@')
        && !authority.as_str().ends_with(':')
        && !authority.as_str().bytes().any(|byte| byte.is_ascii_uppercase())
        && authority.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "https://app.example";

    fn cors() -> Cors {
        Cors::new([APP]).unwrap().with_paths(["/v1/web"]).unwrap()
    }

    /// A request's lines: `Origin`, and for a preflight the method that is asked for.
    fn lines<'a>(
        origins: &'a [&'a str],
        asked: Option<&'a str>,
    ) -> impl Fn(&'static str) -> Vec<&'a [u8]> + 'a {
        move |name| match name {
            "origin" => origins.iter().map(|origin| origin.as_bytes()).collect(),
            "access-control-request-method" => asked.iter().map(|method| method.as_bytes()).collect(),
            _ => Vec::new(),
        }
    }

    fn value(fields: &[(HeaderName, HeaderValue)], name: &HeaderName) -> Option<String> {
        fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.to_str().unwrap().to_owned())
    }

    fn preflight(origins: &[&str], path: &str) -> Option<Vec<(HeaderName, HeaderValue)>> {
        cors().preflight("OPTIONS", path, lines(origins, Some("POST")))
    }

    #[test]
    fn a_page_on_the_list_may_ask_and_read_the_challenge() {
        let answer = preflight(&[APP], "/v1/web/pay?a=1").unwrap();
        assert_eq!(value(&answer, &ACCESS_CONTROL_ALLOW_ORIGIN).as_deref(), Some(APP));
        let headers = value(&answer, &ACCESS_CONTROL_ALLOW_HEADERS).unwrap();
        for name in ["Authorization", "attestation-proof", "dpop", "oauth-client-attestation"] {
            assert!(headers.contains(name), "{headers}");
        }
        assert_eq!(value(&answer, &ACCESS_CONTROL_MAX_AGE).as_deref(), Some("600"));
        let fields = cors().fields("/v1/web", lines(&[APP], None));
        assert_eq!(value(&fields, &ACCESS_CONTROL_ALLOW_ORIGIN).as_deref(), Some(APP));
        assert!(value(&fields, &ACCESS_CONTROL_EXPOSE_HEADERS).unwrap().contains("WWW-Authenticate"));
        assert_eq!(value(&fields, &VARY).as_deref(), Some("Origin"));
        assert_eq!(value(&fields, &ACCESS_CONTROL_ALLOW_CREDENTIALS), None);
    }

    #[test]
    fn an_origin_that_only_looks_like_one_on_the_list_gets_nothing() {
        for origin in [
            "https://app.example.evil.example",
            "https://evilapp.example",
            "http://app.example",
            "https://app.example:8443",
            "https://APP.example",
            "https://app.example/",
            "https://app.example, https://evil.example",
            "null",
            "*",
            "",
        ] {
            assert_eq!(preflight(&[origin], "/v1/web"), None, "{origin}");
            let fields = cors().fields("/v1/web", lines(&[origin], None));
            assert_eq!(fields, [(VARY, HeaderValue::from_static("Origin"))], "{origin}");
        }
        assert_eq!(preflight(&[APP, APP], "/v1/web"), None, "two lines");
        assert_eq!(preflight(&[], "/v1/web"), None);
    }

    #[test]
    fn paths_beside_the_list_have_no_cors_fields() {
        for path in ["/v1/webhook", "/v1", "/", "/v1/web/../admin", "/v1/web/%2e%2e/admin", "/v1//web"] {
            assert_eq!(preflight(&[APP], path), None, "{path}");
            assert_eq!(cors().fields(path, lines(&[APP], None)), [], "{path}");
        }
    }

    #[test]
    fn only_options_with_the_method_that_is_asked_for_is_a_preflight() {
        assert_eq!(cors().preflight("OPTIONS", "/v1/web", lines(&[APP], None)), None);
        assert_eq!(cors().preflight("POST", "/v1/web", lines(&[APP], Some("POST"))), None);
        assert_eq!(cors().preflight("options", "/v1/web", lines(&[APP], Some("POST"))), None);
    }

    #[test]
    fn neither_everybody_nor_what_no_browser_sends_is_an_origin() {
        for origin in [
            "*",
            "null",
            "",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example:443",
            "http://app.example:80",
            "https://App.example",
            "https://user@app.example",
            "https://*.example",
            "ftp://app.example",
            "https://app.example?x",
            "https://app.example:",
        ] {
            assert_eq!(Cors::new([origin]), Err(CorsError::Origin(origin.to_owned())), "{origin}");
        }
        assert!(
            Cors::new([APP, "https://app.example:8443", "http://localhost:3000", "http://[::1]:3000"])
                .is_ok()
        );
        assert_eq!(Cors::new([""; 0]), Err(CorsError::NoOrigin));
        for path in ["", "v1", "/v1/", "/v1/../a", "/v1?a"] {
            assert!(Cors::new([APP]).unwrap().with_paths([path]).is_err(), "{path}");
        }
    }

    #[test]
    fn credentials_are_allowed_by_name_and_never_for_everybody() {
        let fields = cors().with_credentials().fields("/v1/web", lines(&[APP], None));
        assert_eq!(value(&fields, &ACCESS_CONTROL_ALLOW_CREDENTIALS).as_deref(), Some("true"));
        assert_eq!(value(&fields, &ACCESS_CONTROL_ALLOW_ORIGIN).as_deref(), Some(APP));
    }

    #[test]
    fn an_answer_that_has_fields_of_its_own_names_one_origin_and_keeps_its_lists() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        put_cors_fields(&mut headers, cors().fields("/v1/web", lines(&[APP], None)));
        let all =
            |name: HeaderName| headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(all(ACCESS_CONTROL_ALLOW_ORIGIN), [APP]);
        assert_eq!(all(VARY), ["Accept", "Origin"]);
    }
}
