//! The secret by which an edge is known to an authorization server.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// Longest secret, in bytes.
const MAX_SECRET: usize = 1024;

/// A client secret (RFC 6749 section 2.3.1): visible ASCII, wiped when it is dropped, and shown by no `Debug`.
#[derive(Clone)]
pub struct ClientSecret(Zeroizing<String>);

/// Why a client secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientSecretError {
    /// The file cannot be read.
    Unreadable(ErrorKind),
    /// Somebody else than the file's owner may read or write it.
    Exposed,
    /// Empty, longer than 1 KiB, or not visible ASCII.
    Characters,
}

impl fmt::Display for ClientSecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(kind) => write!(f, "it cannot be read: {kind}"),
            Self::Exposed => f.write_str("others than its owner may read or write it; give it mode 0600"),
            Self::Characters => f.write_str("it must hold the secret alone: visible ASCII, 1 KiB at most"),
        }
    }
}

impl std::error::Error for ClientSecretError {}

impl ClientSecret {
    /// A secret that is already in memory.
    ///
    /// # Errors
    /// [`ClientSecretError::Characters`].
    pub fn new(secret: impl Into<String>) -> Result<Self, ClientSecretError> {
        let secret = Zeroizing::new(secret.into());
        let is_fit = !secret.is_empty() && secret.len() <= MAX_SECRET;
        if !is_fit || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientSecretError::Characters);
        }
        Ok(Self(secret))
    }

    /// The secret that stands in a file of mode 0600; one line end after it is not part of it.
    ///
    /// # Errors
    /// [`ClientSecretError`].
    pub fn file(path: impl AsRef<Path>) -> Result<Self, ClientSecretError> {
        let unreadable = |error: std::io::Error| ClientSecretError::Unreadable(error.kind());
        // Before it is opened: a pipe would keep whoever opens it.
        if !std::fs::metadata(&path).map_err(unreadable)?.is_file() {
            return Err(ClientSecretError::Unreadable(ErrorKind::InvalidInput));
        }
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        #[cfg(unix)]
        if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
            return Err(ClientSecretError::Exposed);
        }
        // Room for all of it at once: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_SECRET + 3));
        let read = file.take(MAX_SECRET as u64 + 3).read_to_string(&mut text);
        read.map_err(|error| match error.kind() {
            ErrorKind::InvalidData => ClientSecretError::Characters,
            kind => ClientSecretError::Unreadable(kind),
        })?;
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        Self::new(secret.strip_suffix('\r').unwrap_or(secret))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_visible_characters_and_never_shown() {
        let secret = ClientSecret::new("s3cr+t/=").unwrap();
        assert_eq!((secret.expose(), format!("{secret:?}").as_str()), ("s3cr+t/=", "ClientSecret"));
        for wrong in ["", "a b", "a\n", "\u{e4}", &"a".repeat(MAX_SECRET + 1)] {
            assert_eq!(ClientSecret::new(wrong).err(), Some(ClientSecretError::Characters), "{wrong}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        assert_eq!(ClientSecret::file(&path).err(), Some(ClientSecretError::Unreadable(ErrorKind::NotFound)));
        let with = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            ClientSecret::file(&path).map(|secret| secret.expose().to_owned())
        };
        for mode in [0o640, 0o604, 0o660, 0o644] {
            assert_eq!(with("secret", mode), Err(ClientSecretError::Exposed), "{mode:o}");
        }
        for text in ["secret", "secret\n", "secret\r\n"] {
            assert_eq!(with(text, 0o600), Ok("secret".to_owned()), "{text:?}");
        }
        for text in ["", "\n", "two\nlines", "secret\n\n", &"a".repeat(2 * MAX_SECRET)] {
            assert_eq!(with(text, 0o600), Err(ClientSecretError::Characters), "{text:?}");
        }
    }
}
