//! What the attester asks of the world ([`Effect`]) and what the world tells it ([`Event`]).

use core::fmt;
use core::time::Duration;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::enrolment::Evidence;
use crate::token::keys::PublicKey;
use crate::token::result::Protection;

/// Longest answer that a [`Fetch`] may bring, in bytes; the host stops reading there.
pub const MAX_ANSWER: usize = 64 * 1024;
/// Longest key handle, in bytes.
pub const MAX_HANDLE: usize = 4096;

/// Names one effect; the event that answers it carries the same id, and an answer to nothing is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EffectId(pub(super) u64);

/// How the host finds the instance key again: an alias, a tag, or a wrapped key; opaque here, no secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyHandle(Vec<u8>);

impl KeyHandle {
    /// A handle of at most [`MAX_HANDLE`] bytes; `None` for a longer one.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX_HANDLE).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHandle({} bytes)", self.0.len())
    }
}

/// Something to do, in the order given. Those with an id are answered by an event; the others are not.
#[derive(Clone, PartialEq, Eq)]
pub enum Effect {
    /// One HTTP call to the service; answered by [`Event::Fetched`].
    Fetch {
        /// Names this effect.
        id: EffectId,
        /// The call.
        call: Fetch,
    },
    /// Make the instance key (P-256, signing, never exportable, the best protection the device has), replacing
    /// one that is there; answered by [`Event::KeyMade`].
    MakeKey {
        /// Names this effect.
        id: EffectId,
        /// Android: the `attestationChallenge` with which the key is born. 32 bytes.
        challenge: Option<[u8; 32]>,
    },
    /// Delete a key that is not needed any more.
    ForgetKey(KeyHandle),
    /// `DCAppAttestService.generateKey`; answered by [`Event::AppAttestKeyMade`].
    MakeAppAttestKey {
        /// Names this effect.
        id: EffectId,
    },
    /// Gather evidence; answered by [`Event::Attested`].
    Attest {
        /// Names this effect.
        id: EffectId,
        /// Which, over what.
        request: AttestRequest,
    },
    /// Sign with the instance key (ECDSA P-256 over SHA-256 of the message); answered by [`Event::Signed`].
    Sign {
        /// Names this effect.
        id: EffectId,
        /// The instance key.
        handle: KeyHandle,
        /// The message, not yet hashed.
        message: Vec<u8>,
    },
    /// Keep these bytes on this device, out of backups. They hold no secret; losing them costs an enrolment.
    Store(Vec<u8>),
    /// Send [`Event::Tick`] at this uptime; replaces an earlier wish.
    WaitUntil(Duration),
    /// A current result is there: whoever waits may prove.
    Ready,
    /// No result for now: whoever waits gets the error. The next [`Event::ResultWanted`] tries again, not before
    /// `retry_at`.
    Failed {
        /// What to tell the app.
        error: AttesterError,
        /// Uptime before which nothing is tried.
        retry_at: Duration,
    },
}

/// Prints what is to be done, without the bytes that go into storage or under a signature.
impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch { id, call } => write!(f, "Fetch({id:?}, {call:?})"),
            Self::MakeKey { id, challenge } => {
                write!(f, "MakeKey({id:?}, challenged: {})", challenge.is_some())
            }
            Self::ForgetKey(handle) => write!(f, "ForgetKey({handle:?})"),
            Self::MakeAppAttestKey { id } => write!(f, "MakeAppAttestKey({id:?})"),
            Self::Attest { id, request } => write!(f, "Attest({id:?}, {request:?})"),
            Self::Sign { id, message, .. } => write!(f, "Sign({id:?}, {} bytes)", message.len()),
            Self::Store(bytes) => write!(f, "Store({} bytes)", bytes.len()),
            Self::WaitUntil(uptime) => write!(f, "WaitUntil({uptime:?})"),
            Self::Ready => f.write_str("Ready"),
            Self::Failed { error, retry_at } => write!(f, "Failed({error:?}, {retry_at:?})"),
        }
    }
}

/// A call to the attestation service: over TLS, no redirect followed, no cookie kept, at most [`MAX_ANSWER`]
/// bytes of answer read.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Whether to POST; otherwise GET.
    pub post: bool,
    /// Absolute URL.
    pub url: String,
    /// Media type of the body, if there is one.
    pub content_type: Option<&'static str>,
    /// The body, possibly empty.
    pub body: Vec<u8>,
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.post { "POST" } else { "GET" };
        write!(f, "Fetch({method} {}, {} bytes)", self.url, self.body.len())
    }
}

/// Evidence to gather. Hashes are the binding hash: 32 bytes, used raw, never hashed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttestRequest {
    /// `attestKey` of an App Attest key.
    AppAttest {
        /// The key: SHA-256 of its public part, as `generateKey` named it.
        key_id: [u8; 32],
        /// `clientDataHash`.
        client_data_hash: [u8; 32],
    },
    /// `generateAssertion` with the App Attest key.
    AppAttestAssertion {
        /// The key.
        key_id: [u8; 32],
        /// `clientDataHash`.
        client_data_hash: [u8; 32],
    },
    /// The chain of a fresh Android key, which is thrown away at once: the device's state today.
    AndroidThrowawayKey {
        /// `attestationChallenge`.
        challenge: [u8; 32],
    },
    /// A Play Integrity token.
    PlayIntegrity {
        /// `requestHash`, to be sent as base64url.
        request_hash: [u8; 32],
    },
    /// A signature by the registered development key.
    DevelopmentKey {
        /// What to sign: ECDSA P-256 over SHA-256 of these bytes.
        message: [u8; 32],
    },
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Somebody needs a result, or finds that it is time to renew.
    ResultWanted,
    /// The time of the last [`Effect::WaitUntil`] has come. Early or spurious ticks do no harm.
    Tick,
    /// The end of a call.
    Fetched {
        /// The effect answered.
        id: EffectId,
        /// The answer; `Err` if none came.
        outcome: Result<Answer, Unreached>,
    },
    /// The end of making the instance key.
    KeyMade {
        /// The effect answered.
        id: EffectId,
        /// The key.
        outcome: Result<MadeKey, KeyFailure>,
    },
    /// The end of making an App Attest key.
    AppAttestKeyMade {
        /// The effect answered.
        id: EffectId,
        /// The key id, decoded.
        outcome: Result<[u8; 32], EvidenceFailure>,
    },
    /// The end of gathering evidence.
    Attested {
        /// The effect answered.
        id: EffectId,
        /// The evidence.
        outcome: Result<Evidence, EvidenceFailure>,
    },
    /// The end of signing.
    Signed {
        /// The effect answered.
        id: EffectId,
        /// `r || s`, or the DER that key stores give.
        outcome: Result<Vec<u8>, KeyFailure>,
    },
}

/// An HTTP answer of the service.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Retry-After` in seconds, where it was given so.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// No answer came: no connection, a failed handshake, a timeout, or more than [`MAX_ANSWER`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreached;

/// A new instance key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeKey {
    /// How to find it again.
    pub handle: KeyHandle,
    /// Its public part (P-256).
    pub public_key: PublicKey,
    /// Where it really came to live; a device without StrongBox says so here.
    pub protection: Protection,
    /// Android: its attestation chain in DER, leaf first; empty on a device that attests no keys, where Play Integrity
    /// has to vouch alone. Else empty.
    pub chain: Vec<Vec<u8>>,
}

/// Why the key store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyFailure {
    /// The key is gone or invalidated for good: restored on another phone, deleted, lock screen removed.
    Lost,
    /// Not now: device locked, key store not answering.
    Unavailable,
    /// Android: the phone has used up the attestation keys that it was provisioned with (`ERROR_ATTESTATION_KEYS_UNAVAILABLE`
    /// of a transient kind), and gets others from Google when it is online.
    NoAttestationKeys,
    /// Never on this device.
    Unsupported,
}

/// Why evidence could not be gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EvidenceFailure {
    /// App Attest `serverUnavailable`: to be repeated with the same key and hash.
    ServerUnavailable,
    /// The attesting key is gone (App Attest `invalidKey`).
    KeyLost,
    /// Never on this device.
    Unsupported,
    /// Anything else.
    Other,
}

/// What an app is told when there is no result. Safe to show and to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttesterError {
    /// The service cannot be reached, or something else answers in its place.
    Unreachable,
    /// The service answers that it cannot serve now.
    Unavailable {
        /// For support.
        reference: Option<Reference>,
    },
    /// The service refuses this installation.
    Refused {
        /// For support.
        reference: Option<Reference>,
    },
    /// Only another version of the app can pass.
    UpdateRequired {
        /// For support.
        reference: Option<Reference>,
    },
    /// The service's answer is not authentic, or not for us.
    UntrustedAnswer(AnswerError),
    /// The platform's key store or evidence service fails for now.
    PlatformUnavailable,
    /// Android: the phone is out of attestation keys, and gets others from Google when it is online.
    NoAttestationKeys,
    /// The device cannot make the keys or the evidence.
    Unsupported,
}

impl AttesterError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unreachable => "service_unreachable",
            Self::Unavailable { .. } => "service_unavailable",
            Self::Refused { .. } => "refused",
            Self::UpdateRequired { .. } => "update_required",
            Self::UntrustedAnswer(error) => error.reason(),
            Self::PlatformUnavailable => "platform_unavailable",
            Self::NoAttestationKeys => "no_attestation_keys",
            Self::Unsupported => "device_unsupported",
        }
    }

    /// The reference that the service gave, for support.
    pub const fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Unavailable { reference }
            | Self::Refused { reference }
            | Self::UpdateRequired { reference } => reference.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for AttesterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for AttesterError {}

/// Why the service's answer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnswerError {
    /// Not the JSON, tokens or identifiers that an answer has.
    Malformed,
    /// The result is signed with a key that the service does not publish.
    UnknownKey,
    /// The result's signature does not verify.
    InvalidSignature,
    /// The result is of another issuer.
    OtherIssuer,
    /// The result is for another `client_id`.
    OtherClient,
    /// The result confirms another session key.
    OtherSessionKey,
    /// The result is for another instance, or instance key.
    OtherInstance,
    /// The result is expired, or from the future, by the answer's own clock.
    NotCurrent,
    /// The result was issued for less than 30 seconds.
    TooShort,
}

impl AnswerError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "answer_malformed",
            Self::UnknownKey => "answer_unknown_key",
            Self::InvalidSignature => "answer_invalid_signature",
            Self::OtherIssuer => "answer_other_issuer",
            Self::OtherClient => "answer_other_client",
            Self::OtherSessionKey => "answer_other_session_key",
            Self::OtherInstance => "answer_other_instance",
            Self::NotCurrent => "answer_not_current",
            Self::TooShort => "answer_too_short",
        }
    }
}

/// The eight characters under which the service keeps every reason of a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reference([u8; 8]);

impl Reference {
    /// Takes eight ASCII letters or digits; `None` for anything else, so that nothing of an answer is shown that
    /// could be markup.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 8] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// The eight characters.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Forty random bytes of the operating system, fresh for each step; erased when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Entropy {
    pub(super) seed: [u8; 32],
    pub(super) jitter: [u8; 8],
}

impl Entropy {
    /// Bytes in each.
    pub const LENGTH: usize = 40;

    /// Takes the bytes.
    pub fn new(mut bytes: [u8; Self::LENGTH]) -> Self {
        let mut entropy = Self { seed: [0; 32], jitter: [0; 8] };
        entropy.seed.copy_from_slice(&bytes[..32]);
        entropy.jitter.copy_from_slice(&bytes[32..]);
        bytes.zeroize();
        entropy
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}
