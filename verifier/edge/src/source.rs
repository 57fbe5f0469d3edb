//! Where public keys come from: a file, a URL, or memory; read with a limit on size and time.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_verifier::credential::jwks::{JwksError, MAX_JWKS};
use countersign_verifier::credential::server_metadata::MetadataError;
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use crate::discovery::Discovery;

/// Where an issuer's JSON Web Key Set is.
#[derive(Clone)]
#[non_exhaustive]
pub enum JwksSource {
    /// A file, read again at each refresh.
    File(PathBuf),
    /// An `https` URL; `http` only to this machine. Redirects are not followed.
    Url(String),
    /// Wherever the metadata of this issuer say (RFC 8414, else OpenID Connect Discovery); asked anew at each refresh.
    Discovery(String),
    /// What a function says, for an issuer in this process.
    Memory(Arc<dyn Fn() -> Vec<u8> + Send + Sync>),
}

impl JwksSource {
    /// A key set that stands in a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }

    /// A key set at a URL.
    pub fn url(url: impl Into<String>) -> Self {
        Self::Url(url.into())
    }

    /// The key set that the metadata of `issuer` name.
    pub fn discovery(issuer: impl Into<String>) -> Self {
        Self::Discovery(issuer.into())
    }

    /// A key set that never changes.
    pub fn fixed(json: impl Into<Vec<u8>>) -> Self {
        let json = json.into();
        Self::Memory(Arc::new(move || json.clone()))
    }

    /// A key set that `keys` gives each time it is asked; it must not block.
    pub fn from_fn(keys: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Memory(Arc::new(keys))
    }
}

impl JwksSource {
    /// Whether both are the same place. What is in memory is nowhere else.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Url(one), Self::Url(other)) | (Self::Discovery(one), Self::Discovery(other)) => {
                one == other
            }
            (Self::Memory(one), Self::Memory(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl fmt::Debug for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Url(url) => f.debug_tuple("Url").field(url).finish(),
            Self::Discovery(issuer) => f.debug_tuple("Discovery").field(issuer).finish(),
            Self::Memory(_) => f.write_str("Memory"),
        }
    }
}

/// Why a source cannot be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceError {
    /// Not an absolute URL.
    NotAUrl,
    /// Plain `http` to another machine: whoever sits between could give us his keys.
    NotHttps,
    /// User name or password in the URL, where logs would show them.
    Credentials,
    /// The metadata of an issuer elsewhere name this machine: it would be asked what only this machine reaches.
    ThisMachine,
    /// The machine's trusted certificates or TLS cannot be used.
    Tls,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAUrl => "it is not an absolute URL",
            Self::NotHttps => "it must be https; plain http is only for this machine itself",
            Self::Credentials => "it must not contain a user name or password",
            Self::ThisMachine => "metadata from elsewhere must not name this machine",
            Self::Tls => "no TLS client can be made; are the system's CA certificates installed?",
        })
    }
}

impl std::error::Error for SourceError {}

/// Why a fetch brought nothing. What was there before stays in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// No connection, or it broke off.
    Connection,
    /// No complete answer in time.
    TimedOut,
    /// A status other than 200; redirects are not followed.
    Status(u16),
    /// Longer than the limit.
    TooLarge,
    /// The file cannot be read.
    File(std::io::ErrorKind),
    /// Not a usable key set.
    Keys(JwksError),
    /// A key set without a key that could verify anything: an issuer never means that.
    NoUsableKey,
    /// The issuer's metadata cannot be used.
    Metadata(MetadataError),
    /// The issuer's metadata do not say where to go.
    NotNamed,
    /// Where the issuer's metadata say, nobody goes.
    Address(SourceError),
    /// The fetch ended without an outcome.
    Interrupted,
}

impl FetchError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Connection => "fetch_connection",
            Self::TimedOut => "fetch_timed_out",
            Self::Status(_) => "fetch_status",
            Self::TooLarge => "fetch_too_large",
            Self::File(_) => "fetch_file",
            Self::Keys(error) => error.reason(),
            Self::NoUsableKey => "fetch_no_usable_key",
            Self::Metadata(error) => error.reason(),
            Self::NotNamed => "metadata_not_named",
            Self::Address(_) => "metadata_address",
            Self::Interrupted => "fetch_interrupted",
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "fetch_status {status}"),
            Self::File(kind) => write!(f, "fetch_file: {kind}"),
            Self::Address(error) => write!(f, "metadata_address: {error}"),
            other => f.write_str(other.reason()),
        }
    }
}

impl std::error::Error for FetchError {}

/// A source, checked and ready to be read.
pub(crate) enum Reader {
    File(PathBuf),
    Url(Download),
    Discovery(Discovery),
    Memory(Arc<dyn Fn() -> Vec<u8> + Send + Sync>),
}

impl Reader {
    pub(crate) fn new(source: JwksSource) -> Result<Self, SourceError> {
        Ok(match source {
            JwksSource::File(path) => Self::File(path),
            JwksSource::Url(url) => Self::Url(Download::new(&url)?),
            JwksSource::Discovery(issuer) => Self::Discovery(Discovery::new(&issuer)?),
            JwksSource::Memory(keys) => Self::Memory(keys),
        })
    }

    /// The whole key set; the caller limits the time.
    pub(crate) async fn read(&self) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::Memory(keys) => Ok(keys()),
            Self::Url(download) => download.read_whole(MAX_JWKS).await,
            Self::Discovery(discovery) => discovery.keys().await,
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(path)).await;
                read.map_err(|_| FetchError::Interrupted)?
            }
        }
    }
}

fn read_file(path: PathBuf) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| FetchError::File(error.kind()))?;
    let read = file.take(MAX_JWKS as u64 + 1).read_to_end(&mut bytes);
    match read.map_err(|error| FetchError::File(error.kind()))? {
        length if length > MAX_JWKS => Err(FetchError::TooLarge),
        _ => Ok(bytes),
    }
}

/// A URL that is fetched again and again.
pub(crate) struct Download {
    client: Client,
    url: Url,
}

/// What came of a download.
pub(crate) enum Downloaded {
    /// A document, with the tag by which to ask whether it has changed.
    New { bytes: Vec<u8>, tag: Option<HeaderValue> },
    /// The one that was asked about still stands.
    Unchanged,
}

impl Download {
    pub(crate) fn new(url: &str) -> Result<Self, SourceError> {
        let (client, url) = private_client(url)?;
        Ok(Self { client, url })
    }

    /// The document at the URL, at most `limit` bytes; the caller limits the time.
    pub(crate) async fn read_whole(&self, limit: usize) -> Result<Vec<u8>, FetchError> {
        match self.read(limit, None).await? {
            Downloaded::New { bytes, .. } => Ok(bytes),
            Downloaded::Unchanged => Err(FetchError::Status(StatusCode::NOT_MODIFIED.as_u16())),
        }
    }

    /// The document at the URL, at most `limit` bytes; the caller limits the time.
    pub(crate) async fn read(
        &self,
        limit: usize,
        tag: Option<&HeaderValue>,
    ) -> Result<Downloaded, FetchError> {
        let mut request = self.client.get(self.url.clone());
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let mut response = request.send().await.map_err(|_| FetchError::Connection)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if tag.is_some() => return Ok(Downloaded::Unchanged),
            other => return Err(FetchError::Status(other.as_u16())),
        }
        let bytes = read_bounded(&mut response, limit).await?;
        Ok(Downloaded::New { bytes, tag: response.headers().get(ETAG).cloned() })
    }
}

/// How long an unused connection is kept. Servers close theirs after 5 s and more; a question that meets a closing one
/// would look like an outage.
const KEPT: Duration = Duration::from_secs(4);

/// A client for a URL that nobody on the way can read or change: `https`, or `http` to this machine. It follows no
/// redirect.
pub(crate) fn private_client(url: &str) -> Result<(Client, Url), SourceError> {
    let url = Url::parse(url).map_err(|_| SourceError::NotAUrl)?;
    let here = is_this_machine(&url);
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        "http" => return Err(SourceError::NotHttps),
        _ => return Err(SourceError::NotAUrl),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SourceError::Credentials);
    }
    // A redirect could lead to an address that only this machine reaches.
    let client = Client::builder().redirect(Policy::none()).referer(false).pool_idle_timeout(KEPT);
    let client = if here { client.no_proxy() } else { client.https_only(true) };
    let client = client.build().map_err(|_| SourceError::Tls)?;
    Ok((client, url))
}

/// The body, at most `limit` bytes.
pub(crate) async fn read_bounded(response: &mut Response, limit: usize) -> Result<Vec<u8>, FetchError> {
    // What the peer announces is only believed if it is too much.
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(FetchError::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| FetchError::Connection)? {
        if bytes.len() + chunk.len() > limit {
            return Err(FetchError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Whether a URL leads to this machine itself.
pub(crate) fn is_this_machine(url: &Url) -> bool {
    // By address, or by the one name that no resolver may lead elsewhere (RFC 6761 section 6.3).
    url.host_str().is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    })
}

/// Whether a URL may lead to this machine, by whatever name or address a resolver or a kernel takes for it. What this says
/// of a host is only good for refusing it.
pub(crate) fn may_be_this_machine(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<std::net::IpAddr>().map(|address| address.to_canonical()) {
        // Whoever connects to the unspecified address reaches itself.
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_never_travel_in_plain_to_another_machine() {
        let refusal = |url: &str| Download::new(url).err();
        assert_eq!(refusal("http://as.example/jwks"), Some(SourceError::NotHttps));
        assert_eq!(refusal("http://127.0.0.1.example/jwks"), Some(SourceError::NotHttps));
        assert_eq!(refusal("http://localhost.example/jwks"), Some(SourceError::NotHttps));
        assert_eq!(refusal("https://user:word@as.example/jwks"), Some(SourceError::Credentials));
        assert_eq!(refusal("ftp://as.example/jwks"), Some(SourceError::NotAUrl));
        assert_eq!(refusal("file:///etc/passwd"), Some(SourceError::NotAUrl));
        assert_eq!(refusal("jwks.json"), Some(SourceError::NotAUrl));
        for url in ["http://127.0.0.1:80/jwks", "http://[::1]/jwks", "http://localhost/jwks"] {
            assert_eq!(refusal(url), None, "{url}");
        }
    }
}
