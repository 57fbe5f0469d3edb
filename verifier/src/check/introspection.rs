//! What is known of opaque tokens: the answers of their authorization server (RFC 7662), each believed for a short time.

use std::sync::Arc;

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;

use super::budget;
use super::credential::CachedToken;
use super::decision::Lookup;
use super::edge::Edge;
use super::refusal::Reason;
use super::steps::{Context, Stop};
use crate::cache::Generations;
use crate::credential::introspection::{Answer, AnswerError, OpaqueToken};
use crate::credential::jwt::AccessToken;

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

    fn accept(&self, digest: [u8; 32], token: AccessToken, now: Timestamp, longest: u64) {
        let until = now.plus(longest).min(token.expires_at);
        let what = Arc::new(CachedToken::new(token, 0));
        self.active.insert(digest, Believed { what, from: now, until });
    }

    fn refuse(&self, digest: [u8; 32], reason: Reason, now: Timestamp, longest: u64) {
        self.refused.insert(digest, Believed { what: reason, from: now, until: now.plus(longest) });
    }

    fn find(&self, digest: &[u8; 32], now: Timestamp) -> Option<Result<Arc<CachedToken>, Reason>> {
        let active = self.active.find(digest).and_then(|believed| believed.at(now));
        let refused = || self.refused.find(digest).and_then(|believed| believed.at(now));
        active.map(Ok).or_else(|| refused().map(Err))
    }
}

impl Context<'_> {
    /// The token as its server described it lately; where nothing is known, it must be asked. Not so on behalf of an
    /// instance that has had too many refused: it could keep the server, and everybody who waits for it, busy with tokens
    /// that it makes up.
    pub(super) fn opaque_token(
        &self,
        token: &str,
        ath: [u8; 32],
        instance: &InstanceId,
    ) -> Result<Arc<CachedToken>, Stop> {
        let tokens = self.protected.opaque_tokens.as_ref().ok_or(Reason::CredentialNotAccepted)?;
        match tokens.find(&ath, self.now) {
            Some(Ok(known)) if known.token.is_current(self.now) => Ok(known),
            Some(Ok(_)) => Err(Reason::AccessTokenTime.into()),
            Some(Err(reason)) => Err(reason.into()),
            None if self.edge.refused_tokens.is_spent(budget::key_of_instance(instance), self.now) => {
                Err(Reason::InstanceBudget.into())
            }
            None => Err(Stop::Needs(Lookup::Introspection(OpaqueToken::new(token, ath, *instance)))),
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
        let longest = rules.max_age.max(1);
        let refuse = |reason| {
            self.refused_tokens.spend(budget::key_of_instance(token.presented_by()), now);
            tokens.refuse(digest, reason, now, longest.min(REFUSED_MAX_AGE));
        };
        match Answer::decode(answer, rules, &protected.resource.identifier, now)? {
            Answer::Inactive => refuse(Reason::TokenInactive),
            Answer::Refused(error) => refuse(Reason::AccessToken(error)),
            // Active, says its server, and beyond the end that it gives: no reason to ask with every request.
            Answer::Active(token) if token.expires_at <= now => refuse(Reason::AccessTokenTime),
            Answer::Active(token) => {
                tokens.accept(digest, *token, now, longest);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::jwt::Confirmation;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn token() -> AccessToken {
        AccessToken {
            issuer: "https://as.example".into(),
            subject: None,
            client_id: "client".into(),
            scopes: Vec::new(),
            expires_at: NOW.plus(600),
            not_before: NOW,
            confirmation: Confirmation::default(),
            acr: None,
            auth_time: None,
        }
    }

    fn digest(number: u32) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        digest
    }

    #[test]
    fn a_flood_of_made_up_tokens_pushes_out_no_good_one_and_takes_no_room_without_end() {
        let tokens = OpaqueTokens::new(8);
        for number in 0..8 {
            tokens.accept(digest(number), token(), NOW, 60);
        }
        for number in 100..10_000 {
            tokens.refuse(digest(number), Reason::TokenInactive, NOW, 10);
        }
        for number in 0..8 {
            assert!(matches!(tokens.find(&digest(number), NOW), Some(Ok(_))), "{number}");
        }
        assert!(tokens.refused.len() <= 4, "{}", tokens.refused.len());
    }

    #[test]
    fn a_token_that_was_refused_a_moment_ago_may_have_become_good() {
        let tokens = OpaqueTokens::new(8);
        tokens.refuse(digest(1), Reason::TokenInactive, NOW, 10);
        tokens.accept(digest(1), token(), NOW.plus(1), 60);
        assert!(matches!(tokens.find(&digest(1), NOW.plus(2)), Some(Ok(_))));
        tokens.refuse(digest(1), Reason::TokenInactive, NOW.plus(61), 10);
        assert!(matches!(tokens.find(&digest(1), NOW.plus(62)), Some(Err(Reason::TokenInactive))));
    }
}
