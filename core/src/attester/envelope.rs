//! The steps from a challenge to a signed envelope: the key, the evidence that is due, the signatures.

use std::collections::VecDeque;

use ed25519_dalek::{Signer, SigningKey};
use p256::ecdsa::Signature as P256Signature;

use super::answer::MAX_AHEAD;
use super::config::Platform;
use super::flow::Turn;
use super::pace::Pace;
use super::port::{AttestRequest, AttesterError, Effect, EvidenceFailure, KeyFailure, MadeKey};
use super::state::{AppAttestKey, StoredKey};
use super::{Attempt, Attester, Awaiting, Wanted};
use crate::binding::{Binding, Purpose};
use crate::challenge::Challenge;
use crate::enrolment::{Enrolment, Evidence, MAX_CERTIFICATES, MAX_ENVELOPE};
use crate::time::Timestamp;
use crate::token::keys::{Algorithm, PublicKey, PureRust, SIGNATURE_LENGTH, VerifySignature};

/// Seconds after which Android evidence, and a Play Integrity token, are due again.
const EVIDENCE_DUE: u64 = 24 * 60 * 60;
const PLAY_INTEGRITY_DUE: u64 = 6 * 60 * 60;

impl Attester {
    /// Starts an enrolment or renewal under `challenge`, with a new session key.
    pub(super) fn start(&mut self, challenge: Challenge, turn: &mut Turn<'_>) {
        let session_key = SigningKey::from_bytes(&turn.entropy.seed);
        let Ok(session_public) = PublicKey::from_ed25519(session_key.verifying_key().to_bytes()) else {
            return self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
        };
        if matches!(self.config.platform, Platform::Apple { .. }) {
            // An instance renews with its App Attest key, and a registered App Attest key serves no other instance.
            match (&self.state.app_attest, self.state.instance) {
                (Some(AppAttestKey { pending: None, .. }), None) => self.state.app_attest = None,
                (None | Some(AppAttestKey { pending: Some(_), .. }), _) => self.state.instance = None,
                _ => {}
            }
        }
        let server_now = self.clock.at(turn.now);
        let mut wanted = VecDeque::new();
        match (self.config.platform, self.state.instance) {
            (Platform::Apple { .. }, None) => wanted.push_back(Wanted::AppAttest),
            (Platform::Apple { .. }, Some(_)) => wanted.push_back(Wanted::AppAttestAssertion),
            (Platform::Development, _) => wanted.push_back(Wanted::DevelopmentKey),
            (Platform::Android { play_integrity }, instance) => {
                // The chain of a new key comes with the key.
                if instance.is_some()
                    && (self.fresh_wanted || is_due(self.state.evidence_time, EVIDENCE_DUE, server_now))
                {
                    wanted.push_back(Wanted::AndroidThrowawayKey);
                }
                if play_integrity
                    && (self.fresh_wanted || is_due(self.state.play_time, PLAY_INTEGRITY_DUE, server_now))
                {
                    wanted.push_back(Wanted::PlayIntegrity);
                }
            }
        }
        self.attempt = Some(Attempt {
            instance: self.state.instance,
            challenge,
            session_key,
            session_public,
            wanted,
            evidence: Vec::new(),
            enrolment: None,
            envelope: None,
            held: None,
            keys_refetched: false,
            plays: false,
        });
        let key_challenge = match self.config.platform {
            Platform::Android { .. } => Some(self.binding(Purpose::Enrol, &challenge, None, None).hash()),
            _ => None,
        };
        // An Android key that is not registered was attested under another challenge: another one is needed.
        if self.state.instance.is_some() || (self.state.key.is_some() && key_challenge.is_none()) {
            return self.gather(turn);
        }
        self.state.vouching = None;
        if let Some(old) = self.state.key.take() {
            turn.effects.push(Effect::ForgetKey(old.handle));
        }
        let id = self.await_effect(Awaiting::Key, turn);
        turn.effects.push(Effect::MakeKey { id, challenge: key_challenge });
    }

    pub(super) fn key_made(&mut self, outcome: Result<MadeKey, KeyFailure>, turn: &mut Turn<'_>) {
        let made = match outcome {
            Ok(made) if made.public_key.algorithm() == Algorithm::Esp256 => made,
            Err(KeyFailure::Unsupported) => {
                return self.fail(AttesterError::Unsupported, Pace::Hourly, None, turn);
            }
            Err(KeyFailure::NoAttestationKeys) => {
                return self.fail(AttesterError::NoAttestationKeys, Pace::Provisioning, None, turn);
            }
            _ => return self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn),
        };
        if let Platform::Android { play_integrity } = self.config.platform {
            let is_attested = !made.chain.is_empty();
            if !(is_attested || play_integrity) || made.chain.len() as u64 > MAX_CERTIFICATES {
                turn.effects.push(Effect::ForgetKey(made.handle));
                return self.fail(AttesterError::Unsupported, Pace::Hourly, None, turn);
            }
            match &mut self.attempt {
                Some(attempt) if is_attested => {
                    attempt.evidence.push(Evidence::AndroidKey { chain: made.chain });
                }
                // Google Play alone can vouch for this device, so its token is wanted whether due or not.
                Some(attempt) if !attempt.wanted.contains(&Wanted::PlayIntegrity) => {
                    attempt.wanted.push_back(Wanted::PlayIntegrity);
                }
                _ => {}
            }
        }
        self.state.key =
            Some(StoredKey { handle: made.handle, public_key: made.public_key, protection: made.protection });
        self.gather(turn);
    }

    /// Asks for the next piece of evidence, or for the signature when all is there.
    pub(super) fn gather(&mut self, turn: &mut Turn<'_>) {
        let (Some(attempt), Some(key)) = (&self.attempt, &self.state.key) else {
            return self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
        };
        let Some(wanted) = attempt.wanted.front() else {
            return self.sign(turn);
        };
        let hash = match attempt.instance {
            None => self.binding(Purpose::Enrol, &attempt.challenge, Some(&key.public_key), None),
            Some(_) => self.binding(
                Purpose::Renew,
                &attempt.challenge,
                Some(&key.public_key),
                Some(&attempt.session_public),
            ),
        }
        .hash();
        let app_attest_key = self.state.app_attest.as_ref().map(|key| key.key_id);
        let request = match (wanted, app_attest_key) {
            (Wanted::AppAttest | Wanted::AppAttestAssertion, None) => {
                let id = self.await_effect(Awaiting::AppAttestKey, turn);
                turn.effects.push(Effect::MakeAppAttestKey { id });
                return;
            }
            (Wanted::AppAttest, Some(key_id)) => AttestRequest::AppAttest { key_id, client_data_hash: hash },
            (Wanted::AppAttestAssertion, Some(key_id)) => {
                AttestRequest::AppAttestAssertion { key_id, client_data_hash: hash }
            }
            (Wanted::AndroidThrowawayKey, _) => AttestRequest::AndroidThrowawayKey { challenge: hash },
            (Wanted::PlayIntegrity, _) => AttestRequest::PlayIntegrity { request_hash: hash },
            (Wanted::DevelopmentKey, _) => AttestRequest::DevelopmentKey { message: hash },
        };
        let id = self.await_effect(Awaiting::Evidence, turn);
        turn.effects.push(Effect::Attest { id, request });
    }

    pub(super) fn app_attest_key_made(
        &mut self,
        outcome: Result<[u8; 32], EvidenceFailure>,
        turn: &mut Turn<'_>,
    ) {
        let Some(attempt) = &self.attempt else { return };
        match outcome {
            Ok(key_id) => {
                self.state.app_attest = Some(AppAttestKey { key_id, pending: Some(attempt.challenge) });
                self.gather(turn);
            }
            Err(EvidenceFailure::Unsupported) => {
                self.fail(AttesterError::Unsupported, Pace::Hourly, None, turn);
            }
            Err(_) => self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn),
        }
    }

    pub(super) fn attested(&mut self, outcome: Result<Evidence, EvidenceFailure>, turn: &mut Turn<'_>) {
        let Some(attempt) = &mut self.attempt else { return };
        let Some(wanted) = attempt.wanted.pop_front() else { return };
        let failure = match outcome {
            Ok(evidence) if fits(wanted, &evidence) => {
                attempt.plays |= wanted == Wanted::PlayIntegrity;
                attempt.evidence.push(evidence);
                return self.gather(turn);
            }
            Ok(_) => EvidenceFailure::Other,
            Err(failure) => failure,
        };
        match (wanted, failure) {
            (Wanted::AppAttest | Wanted::DevelopmentKey, EvidenceFailure::Unsupported) => {
                self.state.app_attest = None;
                self.fail(AttesterError::Unsupported, Pace::Hourly, None, turn);
            }
            // The key and, by the challenge, the hash stay for the next try.
            (Wanted::AppAttest, EvidenceFailure::ServerUnavailable) => {
                self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
            }
            (Wanted::AppAttest, _) => {
                self.state.app_attest = None;
                self.fail(AttesterError::PlatformUnavailable, Pace::OnceSoon, None, turn);
            }
            (Wanted::AppAttestAssertion, EvidenceFailure::KeyLost) => {
                self.state.app_attest = None;
                self.state.instance = None;
                self.restart(turn);
            }
            (Wanted::DevelopmentKey, _) => {
                self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
            }
            // Nothing else vouches: without it there is no enrolment.
            (Wanted::PlayIntegrity, _) if attempt.instance.is_none() && attempt.evidence.is_empty() => {
                self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
            }
            (Wanted::AppAttestAssertion | Wanted::AndroidThrowawayKey | Wanted::PlayIntegrity, _) => {
                self.gather(turn);
            }
        }
    }

    /// Puts the envelope together, if that was not done before, and asks the instance key to sign it.
    pub(super) fn sign(&mut self, turn: &mut Turn<'_>) {
        let (Some(attempt), Some(key)) = (&mut self.attempt, &self.state.key) else {
            return self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
        };
        let mut enrolment = attempt.enrolment.take().unwrap_or_else(|| Enrolment {
            instance: attempt.instance,
            issuer: self.config.issuer.clone(),
            challenge: attempt.challenge,
            client_id: self.config.client_id.clone(),
            instance_key: key.public_key,
            session_key: attempt.session_public,
            possession: [0; SIGNATURE_LENGTH],
            evidence: core::mem::take(&mut attempt.evidence),
            environment: self.environment,
            app_version: self.config.app_version.clone(),
            protection: key.protection,
        });
        enrolment.possession = attempt.session_key.sign(&enrolment.possession_hash()).to_bytes();
        let message = enrolment.to_unsigned().to_be_signed();
        if message.len() > MAX_ENVELOPE - 128 {
            return self.fail(AttesterError::PlatformUnavailable, Pace::Slow, None, turn);
        }
        attempt.enrolment = Some(enrolment);
        let handle = key.handle.clone();
        let id = self.await_effect(Awaiting::Signature, turn);
        turn.effects.push(Effect::Sign { id, handle, message });
    }

    pub(super) fn signed(&mut self, outcome: Result<Vec<u8>, KeyFailure>, turn: &mut Turn<'_>) {
        let signature = match outcome {
            Ok(signature) => signature,
            Err(KeyFailure::Lost) => {
                self.forget_keys(turn);
                return self.restart(turn);
            }
            Err(KeyFailure::Unsupported) => {
                return self.fail(AttesterError::Unsupported, Pace::Hourly, None, turn);
            }
            Err(KeyFailure::Unavailable | KeyFailure::NoAttestationKeys) => {
                return self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
            }
        };
        let Some(attempt) = &mut self.attempt else { return };
        let Some(enrolment) = &attempt.enrolment else { return };
        let unsigned = enrolment.to_unsigned();
        let valid = fixed_length(&signature).filter(|signature| {
            PureRust.verify(&enrolment.instance_key, &unsigned.to_be_signed(), signature).is_ok()
        });
        match valid {
            Some(signature) => {
                attempt.envelope = Some(unsigned.with_signature(&signature));
                self.send_envelope(turn);
            }
            // Another key answers under this handle: ours did not come along when the state was restored.
            None => {
                self.forget_keys(turn);
                self.restart(turn);
            }
        }
    }

    fn binding<'a>(
        &'a self,
        purpose: Purpose,
        challenge: &'a Challenge,
        instance_key: Option<&'a PublicKey>,
        session_key: Option<&'a PublicKey>,
    ) -> Binding<'a> {
        Binding {
            purpose,
            issuer: &self.config.issuer,
            challenge: challenge.as_bytes(),
            client_id: &self.config.client_id,
            instance_key,
            session_key,
        }
    }
}

fn is_due(last: Option<Timestamp>, after: u64, server_now: Timestamp) -> bool {
    // A time to come was said by a clock that was wrong.
    last.is_none_or(|last| last > server_now.plus(MAX_AHEAD) || server_now.seconds_since(last) >= after)
}

/// Whether the host brought what was asked for.
const fn fits(wanted: Wanted, evidence: &Evidence) -> bool {
    matches!(
        (wanted, evidence),
        (Wanted::AppAttest, Evidence::AppAttest { .. })
            | (Wanted::AppAttestAssertion, Evidence::AppAttestAssertion { .. })
            | (Wanted::AndroidThrowawayKey, Evidence::AndroidKey { .. })
            | (Wanted::PlayIntegrity, Evidence::PlayIntegrity { .. })
            | (Wanted::DevelopmentKey, Evidence::DevelopmentKey { .. })
    )
}

/// `r || s` from itself, or from the DER of X9.62 that key stores give.
pub(super) fn fixed_length(signature: &[u8]) -> Option<[u8; SIGNATURE_LENGTH]> {
    match signature.try_into() {
        Ok(fixed) => Some(fixed),
        Err(_) => Some(P256Signature::from_der(signature).ok()?.to_bytes().into()),
    }
}
