//! Where an authorization server's keys and endpoints are, by its own metadata (RFC 8414, OpenID Connect Discovery).

use std::sync::{Arc, Mutex, PoisonError};

use countersign_verifier::credential::jwks::MAX_JWKS;
use countersign_verifier::credential::server_metadata::{MAX_METADATA, ServerMetadata, metadata_urls};
use reqwest::Url;

use crate::source::{
    Download, FetchError, SourceError, is_this_machine, may_be_this_machine, private_client,
};

/// Finds what belongs to one issuer. Its metadata must be its own, and lead nowhere that the issuer could not be itself.
pub(crate) struct Discovery {
    issuer: String,
    is_here: bool,
    places: Vec<Download>,
    /// The key set that was named last, with its client, which is dear to make.
    key_set: Mutex<Option<(String, Arc<Download>)>>,
}

impl Discovery {
    pub(crate) fn new(issuer: &str) -> Result<Self, SourceError> {
        let (_, url) = private_client(issuer)?;
        let places = metadata_urls(issuer);
        if places.is_empty() {
            return Err(SourceError::NotAUrl);
        }
        let places = places.iter().map(|url| Download::new(url)).collect::<Result<_, _>>()?;
        Ok(Self {
            issuer: issuer.to_owned(),
            is_here: is_this_machine(&url),
            places,
            key_set: Mutex::default(),
        })
    }

    /// The key set, wherever the metadata say now; the caller limits the time.
    pub(crate) async fn keys(&self) -> Result<Vec<u8>, FetchError> {
        let url = self.metadata().await?.jwks_uri.ok_or(FetchError::NotNamed)?;
        self.key_set(url)?.read_whole(MAX_JWKS).await
    }

    /// Where to ask about tokens; the caller limits the time.
    pub(crate) async fn introspection_endpoint(&self) -> Result<String, FetchError> {
        let url = self.metadata().await?.introspection_endpoint.ok_or(FetchError::NotNamed)?;
        self.check(&url)?;
        Ok(url)
    }

    async fn metadata(&self) -> Result<ServerMetadata, FetchError> {
        let mut absent = FetchError::NotNamed;
        for place in &self.places {
            match place.read_whole(MAX_METADATA).await {
                // What is there decides: metadata of somebody else are no reason to look further.
                Ok(document) => {
                    return ServerMetadata::decode(&document, &self.issuer).map_err(FetchError::Metadata);
                }
                Err(error @ FetchError::Status(400..=499)) => absent = error,
                Err(error) => return Err(error),
            }
        }
        Err(absent)
    }

    fn key_set(&self, url: String) -> Result<Arc<Download>, FetchError> {
        let mut key_set = self.key_set.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, download)) = key_set.as_ref().filter(|(known, _)| *known == url) {
            return Ok(Arc::clone(download));
        }
        self.check(&url)?;
        let download = Arc::new(Download::new(&url).map_err(FetchError::Address)?);
        *key_set = Some((url, Arc::clone(&download)));
        Ok(download)
    }

    /// Metadata from elsewhere never lead to this machine, where services listen that trust whoever reaches them.
    fn check(&self, url: &str) -> Result<(), FetchError> {
        let parsed = Url::parse(url).map_err(|_| FetchError::Address(SourceError::NotAUrl))?;
        match may_be_this_machine(&parsed) && !self.is_here {
            true => Err(FetchError::Address(SourceError::ThisMachine)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_from_elsewhere_lead_neither_here_nor_over_plain_http() {
        let discovery = Discovery::new("https://as.example").unwrap();
        let refusal = |url: &str| discovery.key_set(url.to_owned()).err();
        for here in ["http://127.0.0.1:9/jwks", "https://localhost/jwks", "https://[::1]/jwks"] {
            assert_eq!(refusal(here), Some(FetchError::Address(SourceError::ThisMachine)), "{here}");
        }
        for (url, error) in [
            ("http://as.example/jwks", SourceError::NotHttps),
            ("file:///etc/passwd", SourceError::NotAUrl),
            ("/jwks", SourceError::NotAUrl),
            ("https://user:word@as.example/jwks", SourceError::Credentials),
        ] {
            assert_eq!(refusal(url), Some(FetchError::Address(error)), "{url}");
        }
        assert_eq!(refusal("https://keys.example/jwks"), None);
    }

    #[test]
    fn no_other_spelling_of_this_machine_is_taken_for_another_one() {
        let discovery = Discovery::new("https://as.example").unwrap();
        for host in [
            "0.0.0.0",
            "0",
            "127.1",
            "2130706433",
            "0x7f.1",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:0.0.0.0]",
            "localhost.",
            "LOCALHOST",
            "as.localhost",
            "as.localhost.",
        ] {
            let refusal = discovery.key_set(format!("https://{host}/jwks")).err();
            assert_eq!(refusal, Some(FetchError::Address(SourceError::ThisMachine)), "{host}");
        }
        for host in ["localhost.example", "mylocalhost", "[::ffff:192.0.2.1]", "1.0.0.0"] {
            assert_eq!(discovery.key_set(format!("https://{host}/jwks")).err(), None, "{host}");
        }
    }

    #[test]
    fn an_issuer_has_a_private_address_without_a_query() {
        for issuer in ["http://as.example", "as.example", "https://as.example/?tenant=a"] {
            assert!(Discovery::new(issuer).is_err(), "{issuer}");
        }
    }
}
