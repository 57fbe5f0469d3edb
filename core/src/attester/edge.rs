//! What an API's answers tell the device. Hints only raise what is sent; they never make the device enrol anew,
//! and never lower anything.

use core::fmt;
use core::time::Duration;

use super::Attester;
use super::clock::Now;
use super::pace::Wish;
use crate::challenge::Challenge;
use crate::request::TargetUri;

/// How long a nonce of an edge is used: less than the 120 seconds for which the edge takes it.
const NONCE_USABLE: Duration = Duration::from_secs(110);

/// What matters of an API's answer.
#[derive(Clone, Copy)]
pub struct EdgeAnswer<'a> {
    /// The status.
    pub status: u16,
    /// The value of `OAuth-Client-Attestation-Challenge` or of `DPoP-Nonce`, if the answer has one: the same edge gives
    /// either, by the proof that came.
    pub challenge: Option<&'a str>,
    /// Each value of `WWW-Authenticate`.
    pub www_authenticate: &'a [&'a str],
}

/// What to do about an answer; at most once per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Nothing: the answer is the app's.
    Accept,
    /// Prove anew and send again: the edge gave a nonce, or a fresh result has come meanwhile.
    ProveAgain,
    /// Prove anew with the same key and send again, but only an idempotent method: the first copy may have been carried
    /// out.
    ProveAgainIfIdempotent,
    /// Obtain a fresh result, then prove anew and send again.
    RenewAndProveAgain,
    /// Prove with the instance key ([`Attester::prepare_instance_key_proof`]) and send again: the route demands it.
    ProveWithInstanceKey,
}

/// What the edge of one resource asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hints {
    nonce: Option<(Challenge, Duration)>,
}

impl Hints {
    /// The edge's nonce, while it lives.
    pub(super) fn nonce_at(&self, now: Now) -> Option<Challenge> {
        self.nonce.filter(|(_, until)| now.uptime < *until).map(|(nonce, _)| nonce)
    }
}

impl Attester {
    /// Takes in what the API at `uri` answered and says what to do. Answers of hosts that are not configured are
    /// the app's own.
    pub fn observe(&mut self, uri: &str, answer: &EdgeAnswer<'_>, now: Now) -> Advice {
        let position = TargetUri::parse(uri).ok().and_then(|uri| self.config.position(&uri.origin()));
        let Some(hints) = position.and_then(|position| self.hints.get_mut(position)) else {
            return Advice::Accept;
        };
        let mut given = answer.challenge;
        let (mut error, mut reason, mut assurance) = (None, None, None);
        for value in answer.www_authenticate {
            for (name, value) in parameters(value) {
                match name {
                    "error" if is_ours(value) => error = error.or(Some(value)),
                    "reason" => reason = reason.or(Some(value)),
                    "assurance" => assurance = assurance.or(Some(value)),
                    "attestation_challenge" => given = given.or(Some(value)),
                    _ => {}
                }
            }
        }
        let nonce = given.and_then(|text| Challenge::from_base64url(text).ok());
        if let Some(nonce) = nonce {
            hints.nonce = Some((nonce, now.uptime.saturating_add(NONCE_USABLE)));
        }
        match (answer.status, error) {
            (401, Some("use_attestation_challenge")) if nonce.is_some() => Advice::ProveAgain,
            (401, Some("use_fresh_attestation")) if assurance == Some("hardware") => {
                Advice::ProveWithInstanceKey
            }
            // Said only of a proof by the instance key.
            (401, Some("use_dpop_nonce")) if nonce.is_some() => Advice::ProveWithInstanceKey,
            (401, Some("use_fresh_attestation")) => match self.wishes.fresh(now.uptime) {
                Wish::Followed => {
                    self.fresh_wanted = true;
                    Advice::RenewAndProveAgain
                }
                // Of many requests under way, each is told; one renewal serves them all.
                Wish::Echo if self.fresh_wanted => Advice::RenewAndProveAgain,
                Wish::Echo => Advice::ProveAgain,
                Wish::Ignored => Advice::Accept,
            },
            (401, Some("invalid_client_attestation" | "invalid_dpop_proof"))
                if reason == Some("replayed") =>
            {
                Advice::ProveAgainIfIdempotent
            }
            // What an earlier process obtained is as good as the wall clock: it is given up at the first no.
            (401, Some("invalid_client_attestation" | "invalid_dpop_proof"))
                if self.session.is_none() && self.state.vouching.take().is_some() =>
            {
                Advice::RenewAndProveAgain
            }
            _ => Advice::Accept,
        }
    }
}

impl fmt::Debug for EdgeAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EdgeAnswer({})", self.status)
    }
}

fn is_ours(error: &str) -> bool {
    matches!(
        error,
        "use_attestation_challenge"
            | "use_dpop_nonce"
            | "use_fresh_attestation"
            | "invalid_client_attestation"
            | "invalid_dpop_proof"
    )
}

/// The `name="value"` pairs of a `WWW-Authenticate` value (RFC 9110 section 11.6.1), whatever their scheme. Values
/// with escapes are not ours and end the reading.
fn parameters(value: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = value;
    core::iter::from_fn(move || {
        let (before, after) = rest.split_once("=\"")?;
        let (quoted, after) = after.split_once('"')?;
        rest = after;
        let name = before.rsplit([' ', ',', '\t']).next().unwrap_or_default();
        (!quoted.contains('\\')).then_some((name, quoted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_whatever_stands_around_them() {
        let read = |value| parameters(value).collect::<Vec<_>>();
        assert_eq!(
            read(r#"DPoP algs="ES256", error="use_attestation_challenge",attestation_challenge="AQ""#),
            [("algs", "ES256"), ("error", "use_attestation_challenge"), ("attestation_challenge", "AQ")]
        );
        assert_eq!(read("Bearer"), []);
        assert_eq!(read(r#"Bearer error="a\"b", error="c""#), []);
        assert_eq!(read(r#"Bearer error="unfinished"#), []);
    }
}
