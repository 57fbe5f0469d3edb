//! What is known of opaque tokens: the answers of their authorization server (RFC 7662), each believed for a short time.

use std::sync::Arc;

use countersign_core::time::Timestamp;

use super::credential::CachedToken;
use super::decision::Lookup;
use super::edge::Edge;
use super::refusal::Reason;
use super::steps::{Context, Stop};
use crate::cache::Generations;
use crate::credential::introspection::{Answer, AnswerError, OpaqueToken};

/// Seconds that a refusal is believed.
const REFUSED_MAX_AGE: u64 = 10;

/// Answers about the tokens of one resource, by SHA-256 of their characters. Those that are refused are kept apart: a
/// flood of made-up tokens pushes out no good one.
pub(super) struct OpaqueTokens {
    active: Generations<[u8; 32], Believed<Arc<CachedToken>>>,
    refused: Generations<[u8; 32], Believed<Reason>>,
}

/// Something that is believed for a time.
#[derive(Clone)]
struct Believed<T> {
    what: T,
    from: Timestamp,
    until: Timestamp,
}

impl<T> Believed<T> {
    /// A clock that was set back makes nothing good for longer.
    fn at(self, now: Timestamp) -> Option<T> {
        (self.from <= now && now < self.until).then_some(self.what)
    }
}

impl OpaqueTokens {
    /// Room for `capacity` good tokens, times two, and for a quarter of that many bad ones.
    pub(super) fn new(capacity: usize) -> Self {
        Self { active: Generations::new(capacity), refused: Generations::new(capacity / 4) }
    }

    fn find(&self, digest: &[u8; 32], now: Timestamp) -> Option<Result<Arc<CachedToken>, Reason>> {
        let active = self.active.find(digest).and_then(|believed| believed.at(now));
        let refused = || self.refused.find(digest).and_then(|believed| believed.at(now));
        active.map(Ok).or_else(|| refused().map(Err))
    }
}

impl Context<'_> {
    /// The token as its server described it lately; where nothing is known, it must be asked.
    pub(super) fn opaque_token(&self, token: &str, ath: [u8; 32]) -> Result<Arc<CachedToken>, Stop> {
        let tokens = self.protected.opaque_tokens.as_ref().ok_or(Reason::CredentialNotAccepted)?;
        match tokens.find(&ath, self.now) {
            Some(Ok(known)) if known.token.is_current(self.now) => Ok(known),
            Some(Ok(_)) => Err(Reason::AccessTokenTime.into()),
            Some(Err(reason)) => Err(reason.into()),
            None => Err(Stop::Needs(Lookup::Introspection(OpaqueToken::new(token, ath)))),
        }
    }
}

impl Edge {
    /// Takes what the authorization server answered at `now` about a token that a check at the resource called
    /// `resource` asked for: check again then.
    ///
    /// # Errors
    /// [`AnswerError`] if the answer says nothing about the token; [`Edge::unavailable`] is the decision then.
    pub fn introspected(
        &self,
        resource: &str,
        token: &OpaqueToken,
        answer: &[u8],
        now: Timestamp,
    ) -> Result<(), AnswerError> {
        let Some(protected) = self.resources.get(resource) else { return Ok(()) };
        let (Some(rules), Some(tokens)) = (&protected.resource.introspection, &protected.opaque_tokens)
        else {
            return Ok(());
        };
        let digest = *token.digest();
        let refuse = |reason| {
            let until = now.plus(REFUSED_MAX_AGE.min(rules.max_age.max(1)));
            tokens.refused.insert(digest, Believed { what: reason, from: now, until });
        };
        match Answer::decode(answer, rules, &protected.resource.identifier, now)? {
            Answer::Inactive => refuse(Reason::TokenInactive),
            Answer::Refused(error) => refuse(Reason::AccessToken(error)),
            // Active, says its server, and beyond the end that it gives: no reason to ask with every request.
            Answer::Active(token) if token.expires_at <= now => refuse(Reason::AccessTokenTime),
            Answer::Active(token) => {
                let until = now.plus(rules.max_age.max(1)).min(token.expires_at);
                let what = Arc::new(CachedToken::new(*token, 0));
                tokens.active.insert(digest, Believed { what, from: now, until });
            }
        }
        Ok(())
    }
}
