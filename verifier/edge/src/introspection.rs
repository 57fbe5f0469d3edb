//! Asking an authorization server about opaque tokens (RFC 7662): one question per token at a time, a bounded number
//! at once, and none for a while after it failed again and again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::time::Timestamp;
use countersign_verifier::credential::introspection::{AnswerError, MAX_ANSWER, OpaqueToken};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::breaker::Breaker;
use crate::client_secret::ClientSecret;
use crate::discovery::Discovery;
use crate::runtime::EdgeRuntime;
use crate::source::{FetchError, SourceError, private_client, read_bounded};

/// Questions under way at one time; further ones are refused.
const MAX_ASKING: usize = 256;
/// Seconds that a discovered endpoint is used before the metadata are read again.
const DISCOVERED_FOR: u64 = 3600;

/// Where to ask about the opaque tokens of a resource, and as whom.
#[derive(Clone, Debug)]
pub struct IntrospectionSource {
    endpoint: Option<String>,
    client_id: String,
    secret: ClientSecret,
    authentication: ClientAuthentication,
}

/// How an edge tells the authorization server who asks (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// `client_secret_basic`: HTTP Basic.
    #[default]
    SecretBasic,
    /// `client_secret_post`: in the body.
    SecretPost,
}

impl IntrospectionSource {
    /// Asks as `client_id` with its secret, where the authorization server's metadata say.
    pub fn new(client_id: impl Into<String>, secret: ClientSecret) -> Self {
        let authentication = ClientAuthentication::default();
        Self { endpoint: None, client_id: client_id.into(), secret, authentication }
    }

    /// Asks at this URL: `https`, or `http` to this machine. Redirects are not followed.
    #[must_use]
    pub fn at(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Tells who asks in another way than `client_secret_basic`.
    #[must_use]
    pub const fn with_authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.authentication = authentication;
        self
    }
}

/// Why nothing is known about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntrospectionError {
    /// The question was not answered, or the endpoint not found.
    Fetch(FetchError),
    /// The answer is none.
    Answer(AnswerError),
    /// It is not the time to ask: the server failed again and again.
    Paused,
    /// Too many questions are under way.
    Busy,
}

impl IntrospectionError {
    /// Whether it may be the server that does not work, and not this question alone: what a token is made of decides
    /// about no other token.
    const fn is_an_outage(self) -> bool {
        match self {
            Self::Fetch(FetchError::Status(status)) => {
                matches!(status, 401 | 403 | 408 | 429) || status < 400 || status >= 500
            }
            Self::Fetch(_) | Self::Answer(_) => true,
            Self::Paused | Self::Busy => false,
        }
    }
}

impl fmt::Display for IntrospectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => error.fmt(f),
            Self::Answer(error) => f.write_str(error.reason()),
            Self::Paused => f.write_str("introspection_paused"),
            Self::Busy => f.write_str("introspection_busy"),
        }
    }
}

type Flight = watch::Receiver<Option<Result<(), IntrospectionError>>>;

/// The authorization server of one resource's opaque tokens, ready to be asked.
pub(crate) struct Introspector {
    pub(crate) resource: String,
    issuer: String,
    place: Place,
    client_id: String,
    secret: ClientSecret,
    authentication: ClientAuthentication,
    breaker: Breaker,
    /// Questions under way, by the token's digest: everybody joins who needs the answer.
    flights: Mutex<HashMap<[u8; 32], Flight>>,
}

enum Place {
    Known(Client, Url),
    Discovered(Box<Discovery>, tokio::sync::Mutex<Option<Endpoint>>),
}

#[derive(Clone)]
struct Endpoint {
    client: Client,
    url: Url,
    found: Timestamp,
}

impl Introspector {
    pub(crate) fn new(
        resource: String,
        issuer: String,
        source: IntrospectionSource,
    ) -> Result<Self, SourceError> {
        let place = match &source.endpoint {
            Some(url) => {
                let (client, url) = private_client(url)?;
                Place::Known(client, url)
            }
            None => Place::Discovered(Box::new(Discovery::new(&issuer)?), tokio::sync::Mutex::default()),
        };
        let IntrospectionSource { client_id, secret, authentication, .. } = source;
        let (breaker, flights) = (Breaker::default(), Mutex::default());
        Ok(Self { resource, issuer, place, client_id, secret, authentication, breaker, flights })
    }

    /// The client and URL to ask with.
    async fn endpoint(&self, now: Timestamp) -> Result<(Client, Url), FetchError> {
        match &self.place {
            Place::Known(client, url) => Ok((client.clone(), url.clone())),
            Place::Discovered(discovery, known) => {
                // Held throughout: who waits for it waits for one and the same.
                let mut known = known.lock().await;
                let is_fresh = |endpoint: &&Endpoint| now.seconds_since(endpoint.found) < DISCOVERED_FOR;
                if let Some(endpoint) = known.as_ref().filter(is_fresh) {
                    return Ok((endpoint.client.clone(), endpoint.url.clone()));
                }
                *known = None;
                let url = discovery.introspection_endpoint().await?;
                let (client, url) = private_client(&url).map_err(FetchError::Address)?;
                *known = Some(Endpoint { client: client.clone(), url: url.clone(), found: now });
                Ok((client, url))
            }
        }
    }

    /// RFC 7662 section 2.1.
    async fn ask(&self, token: &OpaqueToken, now: Timestamp) -> Result<Zeroizing<Vec<u8>>, FetchError> {
        let (client, url) = self.endpoint(now).await?;
        let mut form =
            Zeroizing::new(format!("token={}&token_type_hint=access_token", *form_encoded(token.expose())));
        let (id, secret) = (form_encoded(&self.client_id), form_encoded(self.secret.expose()));
        let mut request = client
            .post(url)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        match self.authentication {
            // Encoded before they are joined (RFC 6749 section 2.3.1): a colon in the id would end it.
            ClientAuthentication::SecretBasic => request = request.basic_auth(&*id, Some(&*secret)),
            ClientAuthentication::SecretPost => {
                form.push_str(&format!("&client_id={}&client_secret={}", *id, *secret));
            }
        }
        let mut response =
            request.body(form.as_bytes().to_vec()).send().await.map_err(|_| FetchError::Connection)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        read_bounded(&mut response, MAX_ANSWER).await.map(Zeroizing::new)
    }
}

impl EdgeRuntime {
    /// Waits until it is known what the authorization server says about `token`.
    pub(crate) async fn introspect(
        self: &Arc<Self>,
        resource: &str,
        token: OpaqueToken,
    ) -> Result<(), IntrospectionError> {
        let introspector = self.introspectors.iter().find(|introspector| introspector.resource == resource);
        let introspector = introspector.ok_or(IntrospectionError::Fetch(FetchError::NotNamed))?;
        let _permit = self.waiting.try_acquire().map_err(|_| IntrospectionError::Busy)?;
        let mut flight = self.board_introspection(introspector, token)?;
        let interrupted = IntrospectionError::Fetch(FetchError::Interrupted);
        match flight.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.unwrap_or(Err(interrupted)),
            Err(_) => Err(interrupted),
        }
    }

    /// Joins the question under way about `token`, or asks. The question runs on its own: a client that goes away does
    /// not end it, so nobody can make it be asked again and again.
    fn board_introspection(
        self: &Arc<Self>,
        introspector: &Arc<Introspector>,
        token: OpaqueToken,
    ) -> Result<Flight, IntrospectionError> {
        let mut flights = introspector.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // The sender lives as long as the question.
        let under_way = flights.get(token.digest()).filter(|flight| flight.has_changed().is_ok());
        if let Some(flight) = under_way {
            return Ok(flight.clone());
        }
        if flights.len() >= MAX_ASKING {
            return Err(IntrospectionError::Busy);
        }
        if !introspector.breaker.allows(self.now()) {
            return Err(IntrospectionError::Paused);
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(*token.digest(), receiver.clone());
        let (runtime, introspector) = (Arc::clone(self), Arc::clone(introspector));
        tokio::spawn(async move {
            let outcome = runtime.ask_about(&introspector, &token).await;
            introspector.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(token.digest());
            sender.send_replace(Some(outcome));
        });
        Ok(receiver)
    }

    async fn ask_about(
        &self,
        introspector: &Introspector,
        token: &OpaqueToken,
    ) -> Result<(), IntrospectionError> {
        let asked = tokio::time::timeout(self.fetch_timeout, introspector.ask(token, self.now())).await;
        let answer = asked.unwrap_or(Err(FetchError::TimedOut)).map_err(IntrospectionError::Fetch);
        let now = self.now();
        let outcome = answer.and_then(|answer| {
            let taken = self.edge().introspected(&introspector.resource, token, &answer, now);
            taken.map_err(IntrospectionError::Answer)
        });
        introspector.breaker.note(outcome.is_err_and(IntrospectionError::is_an_outage), now);
        if let Err(error) = outcome {
            let issuer = introspector.issuer.as_str();
            tracing::warn!(issuer, %error, "the authorization server was asked about a token in vain");
        }
        outcome
    }
}

/// `application/x-www-form-urlencoded`.
fn form_encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => encoded.push(byte.into()),
            b' ' => encoded.push('+'),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_token_ends_its_form_field() {
        assert_eq!(*form_encoded("a&b=c+d/e%f g~"), "a%26b%3Dc%2Bd%2Fe%25f+g%7E");
    }

    #[test]
    fn what_one_token_causes_does_not_stop_the_questions_about_others() {
        let is_an_outage = |status| IntrospectionError::Fetch(FetchError::Status(status)).is_an_outage();
        for status in [400, 404, 413, 414, 422] {
            assert!(!is_an_outage(status), "{status}");
        }
        for status in [204, 302, 401, 403, 429, 500, 503] {
            assert!(is_an_outage(status), "{status}");
        }
        assert!(IntrospectionError::Fetch(FetchError::TimedOut).is_an_outage());
        assert!(!IntrospectionError::Busy.is_an_outage());
    }
}
