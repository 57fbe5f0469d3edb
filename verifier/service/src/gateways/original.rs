//! The original request, as each gateway tells of it.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Method, Uri};

use crate::settings::Gateway;

/// The request that the client made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Original<'a> {
    /// Its method.
    pub(crate) method: &'a str,
    /// Its path and query, byte for byte.
    pub(crate) path_and_query: &'a str,
    /// The client's address, where the gateway tells it.
    pub(crate) source: Option<IpAddr>,
}

/// The gateway does not tell what it must; its configuration is wrong, and nothing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misconfigured {
    /// It does not send this field.
    Missing(&'static str),
    /// It sends this field more than once, or lets the client's through beside its own.
    Repeated(&'static str),
    /// The value is not what this field holds.
    Malformed(&'static str),
}

impl Misconfigured {
    /// A sentence for the operator.
    pub(crate) fn advice(self) -> String {
        match self {
            Self::Missing(name) => {
                format!("the gateway sends no {name}; set it as the example configuration does")
            }
            Self::Repeated(name) => {
                format!("{name} comes more than once; the gateway must overwrite it, not add to it")
            }
            Self::Malformed(name) => format!("{name} does not hold what the gateway should put there"),
        }
    }
}

impl<'a> Original<'a> {
    /// What `gateway` tells. `prefix` is the part of the path that names the resource.
    pub(crate) fn read(
        gateway: Gateway,
        method: &'a Method,
        uri: &'a Uri,
        prefix: &str,
        headers: &'a HeaderMap,
    ) -> Result<Self, Misconfigured> {
        let (method, path_and_query, source) = match gateway {
            Gateway::Nginx | Gateway::Haproxy | Gateway::Oathkeeper => (
                one(headers, "x-original-method")?,
                one(headers, "x-original-uri")?,
                address(headers, "x-original-source")?,
            ),
            Gateway::Caddy | Gateway::Traefik => (
                one(headers, "x-forwarded-method")?,
                one(headers, "x-forwarded-uri")?,
                address(headers, "x-forwarded-for")?,
            ),
            // Envoy asks with the original method, and with the original target behind its path prefix.
            Gateway::EnvoyHttp => {
                let target = uri.path_and_query().map_or("/", |target| target.as_str());
                let original = target.strip_prefix(prefix).ok_or(Misconfigured::Malformed("path_prefix"))?;
                (method.as_str(), original, address(headers, "x-forwarded-for")?)
            }
            // It asks by another route, which HTTP does not reach.
            Gateway::EnvoyGrpc => return Err(Misconfigured::Missing("CheckRequest")),
        };
        if !path_and_query.starts_with('/') {
            return Err(Misconfigured::Malformed("the original target"));
        }
        Ok(Self { method, path_and_query, source })
    }
}

fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Misconfigured> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Err(Misconfigured::Missing(name)),
        (Some(line), None) => line.to_str().map_err(|_| Misconfigured::Malformed(name)),
        (Some(_), Some(_)) => Err(Misconfigured::Repeated(name)),
    }
}

/// The address that the gateway itself added: the last one of the list.
fn address(headers: &HeaderMap, name: &'static str) -> Result<Option<IpAddr>, Misconfigured> {
    let text = match one(headers, name) {
        Ok(text) => text,
        Err(Misconfigured::Missing(_)) => return Ok(None),
        Err(other) => return Err(other),
    };
    let last = text.rsplit(',').next().unwrap_or_default().trim();
    let parsed = last.parse::<IpAddr>().or_else(|_| last.parse::<SocketAddr>().map(|socket| socket.ip()));
    parsed.map(Some).map_err(|_| Misconfigured::Malformed(name))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn read(
        gateway: Gateway,
        uri: &str,
        lines: &[(&'static str, &str)],
    ) -> Result<(String, String, String), Misconfigured> {
        let (uri, headers) = (uri.parse::<Uri>().unwrap(), headers(lines));
        let original = Original::read(gateway, &Method::GET, &uri, "/edge/check/api", &headers)?;
        let source = original.source.map(|address| address.to_string()).unwrap_or_default();
        Ok((original.method.to_owned(), original.path_and_query.to_owned(), source))
    }

    #[test]
    fn each_gateway_is_read_in_its_own_words() {
        let expected = ("POST".to_owned(), "/v1/pay?a=%2F".to_owned(), "192.0.2.7".to_owned());
        let nginx = [
            ("x-original-method", "POST"),
            ("x-original-uri", "/v1/pay?a=%2F"),
            ("x-original-source", "192.0.2.7"),
        ];
        assert_eq!(read(Gateway::Nginx, "/edge/check/api", &nginx), Ok(expected.clone()));
        let forwarded = [
            ("x-forwarded-method", "POST"),
            ("x-forwarded-uri", "/v1/pay?a=%2F"),
            ("x-forwarded-for", "198.51.100.9, 192.0.2.7"),
        ];
        assert_eq!(read(Gateway::Caddy, "/edge/check/api", &forwarded), Ok(expected.clone()));
        assert_eq!(read(Gateway::Traefik, "/edge/check/api", &forwarded), Ok(expected));
        let envoy = read(Gateway::EnvoyHttp, "/edge/check/api/v1/pay?a=%2F", &[]);
        assert_eq!(envoy, Ok(("GET".to_owned(), "/v1/pay?a=%2F".to_owned(), String::new())));
    }

    #[test]
    fn the_words_of_another_gateway_are_not_believed() {
        let forwarded = [("x-forwarded-method", "POST"), ("x-forwarded-uri", "/")];
        let refused = read(Gateway::Nginx, "/edge/check/api", &forwarded);
        assert_eq!(refused, Err(Misconfigured::Missing("x-original-method")));
    }

    #[test]
    fn a_field_beside_the_gateways_own_is_not_believed() {
        let twice = [("x-original-method", "GET"), ("x-original-method", "POST"), ("x-original-uri", "/")];
        let refused = read(Gateway::Nginx, "/edge/check/api", &twice);
        assert_eq!(refused, Err(Misconfigured::Repeated("x-original-method")));
    }

    #[test]
    fn a_target_that_is_no_path_is_refused() {
        let absolute = [("x-original-method", "GET"), ("x-original-uri", "https://other.example/")];
        assert!(matches!(
            read(Gateway::Nginx, "/edge/check/api", &absolute),
            Err(Misconfigured::Malformed(_))
        ));
        assert!(matches!(
            read(Gateway::EnvoyHttp, "/edge/check/apix", &[]),
            Err(Misconfigured::Malformed(_))
        ));
    }
}
