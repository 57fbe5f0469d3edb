//! Where the shared store is, and how to get in: a URL that is a secret where it holds a password.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::IpAddr;
use std::path::Path;

use redis::{Client, IntoConnectionInfo};
use reqwest::Url;
use zeroize::Zeroizing;

/// Longest file that holds a URL, in bytes.
const MAX_FILE: u64 = 4096;

/// The address of a Redis or Valkey, with user name and password where it wants them; never shown with them.
#[derive(Clone)]
pub struct StoreAddress {
    pub(super) client: Client,
    /// Scheme, host, port and database.
    shown: String,
}

/// Why an address cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreAddressError {
    /// Not a URL of the scheme `redis` or `rediss` (or `valkey`, `valkeys`) with a host, and a number as its path at most.
    NotAUrl,
    /// Plain text to another machine: whoever sits between reads the password and the nonce keys.
    NotTls,
    /// A password in a place that is no secret.
    Password,
    /// The file cannot be read.
    Unreadable(ErrorKind),
    /// Others than its owner may read or write the file.
    Exposed,
}

impl fmt::Display for StoreAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAUrl => f.write_str("write a URL such as rediss://redis.internal:6379/0"),
            Self::NotTls => f.write_str(
                "nonce keys and password would travel in plain text; write rediss://, or redis:// on this machine alone",
            ),
            Self::Password => f.write_str("the password would stand in the settings; put the URL into a file of mode 0600"),
            Self::Unreadable(kind) => write!(f, "the file cannot be read: {kind}"),
            Self::Exposed => f.write_str("others than its owner may read or write the file; give it mode 0600"),
        }
    }
}

impl std::error::Error for StoreAddressError {}

impl StoreAddress {
    /// An address without a password: `rediss://host:port/database`, or `redis://` to this machine.
    ///
    /// # Errors
    /// [`StoreAddressError`]: what is wrong with it.
    pub fn new(url: &str) -> Result<Self, StoreAddressError> {
        Self::read(url, true, false)
    }

    /// As [`Self::new`], and may be in plain text to another machine: whoever sits between reads the nonce keys and can
    /// answer in the store's place.
    ///
    /// # Errors
    /// [`StoreAddressError`]: what is wrong with it.
    pub fn new_danger_plaintext(url: &str) -> Result<Self, StoreAddressError> {
        Self::read(url, true, true)
    }

    /// The address in a file of mode 0600, with user name and password: `rediss://user:password@host:port/database`.
    ///
    /// # Errors
    /// [`StoreAddressError`]: what is wrong with the file, or with the address.
    pub fn from_file(path: &Path) -> Result<Self, StoreAddressError> {
        Self::read(secret(path)?.trim(), false, false)
    }

    /// As [`Self::from_file`], and may be in plain text to another machine, as [`Self::new_danger_plaintext`].
    ///
    /// # Errors
    /// [`StoreAddressError`]: what is wrong with the file, or with the address.
    pub fn from_file_danger_plaintext(path: &Path) -> Result<Self, StoreAddressError> {
        Self::read(secret(path)?.trim(), false, true)
    }

    fn read(text: &str, public: bool, danger_plaintext: bool) -> Result<Self, StoreAddressError> {
        let url = Url::parse(text).map_err(|_| StoreAddressError::NotAUrl)?;
        let tls = match url.scheme() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(StoreAddressError::NotAUrl),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(StoreAddressError::NotAUrl)?;
        // A fragment could switch the verification of certificates off.
        if url.fragment().is_some() || url.query().is_some() {
            return Err(StoreAddressError::NotAUrl);
        }
        if public && (url.password().is_some() || !url.username().is_empty()) {
            return Err(StoreAddressError::Password);
        }
        if !tls && !is_loopback(host) && !danger_plaintext {
            return Err(StoreAddressError::NotTls);
        }
        let port = url.port().unwrap_or(6379);
        let shown = format!("{}://{host}:{port}{}", url.scheme(), url.path());
        // The library's own reading of it has the last word.
        let info = text.into_connection_info().map_err(|_| StoreAddressError::NotAUrl)?;
        Ok(Self { client: Client::open(info).map_err(|_| StoreAddressError::NotAUrl)?, shown })
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreAddress({})", self.shown)
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn secret(path: &Path) -> Result<Zeroizing<String>, StoreAddressError> {
    let unreadable = |error: std::io::Error| StoreAddressError::Unreadable(error.kind());
    // Before it is opened: a pipe would keep whoever opens it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(StoreAddressError::Unreadable(ErrorKind::InvalidInput));
    }
    let file = File::open(path).map_err(unreadable)?;
    #[cfg(unix)]
    {
        let metadata = file.metadata().map_err(unreadable)?;
        if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
            return Err(StoreAddressError::Exposed);
        }
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> Option<StoreAddressError> {
        StoreAddress::new(url).err()
    }

    #[test]
    fn nonce_keys_never_travel_in_plain_to_another_machine() {
        assert_eq!(refusal("redis://redis.internal:6379"), Some(StoreAddressError::NotTls));
        assert_eq!(refusal("redis://127.0.0.1.example"), Some(StoreAddressError::NotTls));
        assert!(StoreAddress::new_danger_plaintext("redis://redis.internal:6379").is_ok());
        for url in
            ["rediss://redis.internal", "redis://127.0.0.1:6379/1", "redis://[::1]", "valkey://localhost"]
        {
            assert_eq!(refusal(url), None, "{url}");
        }
    }

    #[test]
    fn certificates_are_always_verified() {
        assert_eq!(refusal("rediss://redis.internal/#insecure"), Some(StoreAddressError::NotAUrl));
    }

    #[test]
    fn what_is_no_address_is_none() {
        for url in [
            "",
            "redis",
            "http://localhost",
            "redis://",
            "redis://localhost/first",
            "redis://localhost?a=b",
            "unix:///a",
        ] {
            assert_eq!(refusal(url), Some(StoreAddressError::NotAUrl), "{url}");
        }
    }

    #[test]
    fn a_password_stands_in_a_file_that_others_cannot_read_and_is_never_shown() {
        let url = "rediss://edge:open%20sesame@redis.internal:6380/2";
        assert_eq!(refusal(url), Some(StoreAddressError::Password));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("url");
        std::fs::write(&file, format!("{url}\n")).unwrap();
        let read = |mode| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            StoreAddress::from_file(&file)
        };
        for mode in [0o640, 0o604] {
            assert_eq!(read(mode).err(), Some(StoreAddressError::Exposed));
        }
        let address = read(0o600).unwrap();
        let settings = address.client.get_connection_info().redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("edge"), Some("open sesame")));
        assert_eq!(format!("{address} {address:?}").matches("sesame").count(), 0);
        assert_eq!(address.to_string(), "rediss://redis.internal:6380/2");
        let missing = StoreAddress::from_file(&directory.path().join("none")).err();
        assert_eq!(missing, Some(StoreAddressError::Unreadable(ErrorKind::NotFound)));
    }
}
