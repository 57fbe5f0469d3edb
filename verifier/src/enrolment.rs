//! From an envelope to an admission: what the attestation service checks before it stores or issues anything.
//!
//! Each type is made from the one before it: a decoded envelope becomes [`AuthenticEnrolment`], that becomes
//! [`VerifiedEnrolment`], and that a [`Verdict`]. Only an [`Admission`] can be issued for.

use countersign_core::binding::Purpose;
use countersign_core::cbor::CborError;
use countersign_core::challenge::{ChallengeError, MacKeyRing, Scope};
use countersign_core::enrolment::{Cure, DecodedEnrolment, Enrolment, Evidence};
use countersign_core::environment::Environment;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{InstanceId, Protection, Tier, VouchedBy};
use countersign_core::token::trust_vector::{TrustClaim, TrustVector};

use crate::anchors::TrustAnchors;
use crate::crypto::AwsLc;
use crate::evidence::play_integrity::PlayIntegrityError;
use crate::evidence::{
    Claims, EvidenceError, EvidenceKind, EvidenceSet, Platform, RecordedEvidence, TrustData,
    VerifiedEvidence, play_integrity,
};
use crate::policy::{self, AppMode, Appraisal, AppraisalPolicy, Circumstances, History, PlayHistory};
use crate::revocation::RevocationList;

/// Life of a challenge, in seconds.
pub const CHALLENGE_LIFETIME: u64 = 20 * 60;
/// Age at which Android evidence is due again, in seconds.
pub const ANDROID_EVIDENCE_LIFETIME: u64 = 24 * 3600;

/// Why an envelope is not admitted, apart from what the policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnrolmentError {
    /// Not deterministic CBOR of its shape.
    Encoding(CborError),
    /// Meant for another service.
    Issuer,
    /// The challenge is not one of ours, or no longer good.
    Challenge(ChallengeError),
    /// The instance key did not sign the envelope.
    Signature,
    /// The session key did not sign its possession.
    Possession,
    /// No app is registered under the client identifier, or none any more.
    UnknownClient,
    /// No such instance.
    UnknownInstance,
    /// The instance is registered with another key or `client_id`.
    InstanceMismatch,
    /// Enrolment without evidence.
    NoEvidence,
    /// A development key vouched for the instance, and its app is in production now.
    DevelopmentInstance,
    /// Evidence of a kind that does not belong here: an assertion at enrolment, another platform at renewal.
    UnexpectedEvidence,
    /// Evidence of a kind that this service does not verify.
    UnsupportedEvidence,
    /// A development key that nobody registered.
    UnknownDevelopmentKey,
    /// The evidence attests another key than the one that signed the envelope: it was relayed.
    KeyNotAttested,
    /// Google could not be asked about a Play Integrity token, and nothing else vouches.
    PlayIntegrityUnreachable,
    /// The evidence could not be verified.
    Evidence(EvidenceError),
}

impl EnrolmentError {
    /// A stable name for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Encoding(error) => error.reason(),
            Self::Issuer => "enrolment_issuer",
            Self::Challenge(error) => error.reason(),
            Self::Signature => "enrolment_signature",
            Self::Possession => "enrolment_possession",
            Self::UnknownClient => "enrolment_unknown_client",
            Self::UnknownInstance => "enrolment_unknown_instance",
            Self::InstanceMismatch => "enrolment_instance_mismatch",
            Self::NoEvidence => "enrolment_no_evidence",
            Self::DevelopmentInstance => "enrolment_development_instance",
            Self::UnexpectedEvidence => "enrolment_unexpected_evidence",
            Self::UnsupportedEvidence => "enrolment_unsupported_evidence",
            Self::UnknownDevelopmentKey => "enrolment_unknown_development_key",
            Self::KeyNotAttested => "enrolment_key_not_attested",
            Self::PlayIntegrityUnreachable => "enrolment_play_integrity_unreachable",
            Self::Evidence(error) => error.reason(),
        }
    }

    /// What an honest device in this situation should do.
    pub fn cure(&self) -> Option<Cure> {
        match self {
            // A token that was late on its way is made anew for the next challenge.
            Self::Challenge(_)
            | Self::PlayIntegrityUnreachable
            | Self::Evidence(EvidenceError::PlayIntegrity(
                PlayIntegrityError::TooOld | PlayIntegrityError::FromTheFuture,
            )) => Some(Cure::Retry),
            Self::UnknownInstance
            | Self::InstanceMismatch
            | Self::DevelopmentInstance
            | Self::KeyNotAttested
            | Self::Evidence(_) => Some(Cure::ReEnrol),
            _ => None,
        }
    }
}

impl From<EvidenceError> for EnrolmentError {
    fn from(error: EvidenceError) -> Self {
        Self::Evidence(error)
    }
}

/// The key by which the platform vouches for an instance from one renewal to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformKey {
    /// The App Attest key, and the highest counter it was seen with.
    AppAttest {
        /// Verifies assertions.
        key: PublicKey,
        /// The next assertion's counter must be greater.
        counter: u32,
    },
    /// The instance key itself is attested; renewals attest a throwaway key when evidence is due.
    AndroidKey,
    /// None: Google Play alone vouches, for the key only by the app's word.
    PlayIntegrity,
    /// A registered development key.
    DevelopmentKey,
}

impl PlatformKey {
    /// Whose device the instance is on.
    pub const fn platform(&self) -> Platform {
        match self {
            Self::AppAttest { .. } => Platform::Apple,
            Self::AndroidKey | Self::PlayIntegrity => Platform::Android,
            Self::DevelopmentKey => Platform::Development,
        }
    }
}

/// What the registry holds of an instance, as far as its renewal is decided by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredInstance {
    /// Its identifier.
    pub id: InstanceId,
    /// The OAuth `client_id` it enrolled under.
    pub client_id: String,
    /// Its durable key.
    pub instance_key: PublicKey,
    /// How its platform vouches for it.
    pub platform_key: PlatformKey,
    /// Where its durable key lives.
    pub protection: Protection,
    /// Who says so.
    pub vouched_by: VouchedBy,
    /// When platform evidence was last verified.
    pub evidence_time: Timestamp,
    /// The tier of the appraisal of that evidence.
    pub tier: Tier,
    /// What that appraisal found.
    pub trust_vector: TrustVector,
    /// The labels that it let edges know.
    pub labels: Vec<String>,
    /// What was seen of the instance before.
    pub history: History,
}

/// What the service holds that the checks need.
pub struct Service<'a> {
    /// Issuer URL.
    pub issuer: &'a str,
    /// Keys of the challenges.
    pub challenge_keys: &'a MacKeyRing,
    /// Roots of the platforms.
    pub anchors: &'a TrustAnchors,
    /// The status list of Android attestation certificates.
    pub revocation: Option<&'a RevocationList>,
    /// The keys that administrators registered for development, by identifier.
    pub development_keys: &'a dyn Fn(&str) -> Option<PublicKey>,
    /// The policy.
    pub policy: &'a AppraisalPolicy,
}

/// An envelope that was made for this service, lately, by the holder of both keys it names.
pub struct AuthenticEnrolment<'a> {
    enrolment: Enrolment,
    registered: Option<&'a RegisteredInstance>,
}

/// An envelope whose evidence holds as far as that can be said offline: a Play Integrity token has yet to be decoded.
pub struct OfflineEnrolment<'a> {
    enrolment: Enrolment,
    registered: Option<&'a RegisteredInstance>,
    recorded: Vec<RecordedEvidence>,
    offline: Option<VerifiedEvidence>,
    token: Option<String>,
}

/// What became of the token of [`OfflineEnrolment::play_integrity_token`].
pub type DecodedToken = Result<play_integrity::Payload, DecodeFailure>;

/// Why there is no payload of a Play Integrity token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeFailure {
    /// It is no good token.
    Invalid(PlayIntegrityError),
    /// Google could not be asked.
    Unreachable,
    /// There was no token, or this service has neither keys nor an account for the app.
    NotAsked,
}

/// An envelope whose evidence is authentic and bound to it.
pub struct VerifiedEnrolment<'a> {
    enrolment: Enrolment,
    registered: Option<&'a RegisteredInstance>,
    recorded: Vec<RecordedEvidence>,
    evidence: Option<EvidenceSet>,
    play_integrity_unreachable: bool,
}

/// What the policy says of an envelope.
pub enum Verdict {
    /// A result may be issued.
    Admitted(Box<Admission>),
    /// The evidence is genuine, and not good enough.
    Refused(Box<Appraisal>),
}

/// That results may be issued for an instance: its keys, and what is known of it.
#[derive(Clone, Debug)]
pub struct Admission {
    client_id: String,
    instance_key: PublicKey,
    session_key: PublicKey,
    platform_key: PlatformKey,
    protection: Protection,
    vouched_by: VouchedBy,
    evidence_time: Timestamp,
    evidence_tier: Tier,
    evidence_vector: TrustVector,
    evidence_labels: Vec<String>,
    tier: Tier,
    trust_vector: TrustVector,
    labels: Vec<String>,
    history: History,
    attestation_key: Option<[u8; 32]>,
    recorded_evidence: Vec<RecordedEvidence>,
    history_before: Option<History>,
    environment: Environment,
    app_version: String,
    policy: String,
    result_lifetime: Option<u64>,
    appraisal: Appraisal,
}

/// What the service knows of an instance that neither envelope nor registry say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals<'a> {
    /// What was seen of the instance that holds the key which enrols: it stays the instance that it was. A renewal's
    /// history is that of the registered instance.
    pub history: Option<&'a History>,
    /// As [`Circumstances::instances_of_certificate`].
    pub instances_of_certificate: Option<u32>,
    /// As [`Circumstances::risk_metric`].
    pub risk_metric: Option<u64>,
    /// As [`Circumstances::revocation_as_of`].
    pub revocation_as_of: Option<Timestamp>,
}

impl<'a> AuthenticEnrolment<'a> {
    /// Checks, in this order: issuer, challenge, that the policy knows the client, identity with the registered instance, envelope signature, session
    /// possession. `registered` is the instance that the envelope names, for a renewal.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn verify(
        decoded: DecodedEnrolment<'_>,
        registered: Option<&'a RegisteredInstance>,
        service: &Service<'_>,
        now: Timestamp,
    ) -> Result<Self, EnrolmentError> {
        let DecodedEnrolment { message, enrolment } = decoded;
        if enrolment.issuer != service.issuer {
            return Err(EnrolmentError::Issuer);
        }
        let scope = Scope::Challenge { issuer: service.issuer };
        service
            .challenge_keys
            .verify(&enrolment.challenge, scope, CHALLENGE_LIFETIME, now)
            .map_err(EnrolmentError::Challenge)?;
        // Also at a renewal without evidence, which nothing else of the policy sees.
        let app = service.policy.app(&enrolment.client_id).ok_or(EnrolmentError::UnknownClient)?;
        // A renewal is verified with the registered key alone; the key it carries must be the same one.
        let key = match (enrolment.instance, registered) {
            (None, None) => &enrolment.instance_key,
            (Some(id), Some(registered)) => {
                let same = id == registered.id
                    && enrolment.client_id == registered.client_id
                    && enrolment.instance_key == registered.instance_key;
                if !same {
                    return Err(EnrolmentError::InstanceMismatch);
                }
                if registered.platform_key == PlatformKey::DevelopmentKey && app.mode != AppMode::Development
                {
                    return Err(EnrolmentError::DevelopmentInstance);
                }
                &registered.instance_key
            }
            (Some(_), None) => return Err(EnrolmentError::UnknownInstance),
            (None, Some(_)) => return Err(EnrolmentError::InstanceMismatch),
        };
        message.verify(key, &AwsLc).map_err(|_| EnrolmentError::Signature)?;
        enrolment.verify_possession(&AwsLc).map_err(|_| EnrolmentError::Possession)?;
        Ok(Self { enrolment, registered })
    }

    /// What the envelope says.
    pub const fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// Verifies the evidence and that it is bound to this envelope's challenge, client and keys, except for a Play
    /// Integrity token: that is decoded only after everything else has passed.
    ///
    /// # Errors
    /// [`EnrolmentError`].
    pub fn verify_evidence(
        self,
        service: &Service<'_>,
        now: Timestamp,
    ) -> Result<OfflineEnrolment<'a>, EnrolmentError> {
        let recorded = self.recorded_evidence(now)?;
        let Self { enrolment, registered } = self;
        let token = enrolment.evidence.iter().find_map(|evidence| match evidence {
            Evidence::PlayIntegrity { token } => Some(token.clone()),
            _ => None,
        });
        let offline = match recorded.as_slice() {
            [] => None,
            [recorded] => Some(verify_evidence(recorded, &enrolment, registered, service)?),
            [..] => return Err(EnrolmentError::UnexpectedEvidence),
        };
        if offline.is_none() && token.is_none() && registered.is_none() {
            return Err(EnrolmentError::NoEvidence);
        }
        let is_android =
            |registered: &RegisteredInstance| registered.platform_key.platform() == Platform::Android;
        if token.is_some() && !registered.is_none_or(is_android) {
            return Err(EnrolmentError::UnexpectedEvidence);
        }
        Ok(OfflineEnrolment { enrolment, registered, recorded, offline, token })
    }

    /// The evidence as it can be kept, not verified yet, with all that it must be bound to; without a Play Integrity
    /// token, which has to be decoded first.
    ///
    /// # Errors
    /// [`EnrolmentError`] where evidence is of a kind that does not belong here.
    pub fn recorded_evidence(&self, now: Timestamp) -> Result<Vec<RecordedEvidence>, EnrolmentError> {
        let Self { enrolment, registered } = self;
        let offline =
            enrolment.evidence.iter().filter(|evidence| !matches!(evidence, Evidence::PlayIntegrity { .. }));
        offline.map(|evidence| record(evidence, enrolment, *registered, now)).collect()
    }
}

impl<'a> OfflineEnrolment<'a> {
    /// What the envelope says.
    pub const fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// What was verified offline.
    pub const fn offline_evidence(&self) -> Option<&VerifiedEvidence> {
        self.offline.as_ref()
    }

    /// The Play Integrity token, to be decoded now and once; None if none came.
    pub fn play_integrity_token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Verifies what the token was decoded to. Where hardware vouches for the instance, and at a renewal, a token that
    /// could not be decoded counts as absent: an outage of Google locks nobody out.
    ///
    /// # Errors
    /// [`EnrolmentError`]; where Google Play alone vouches also that it could not be asked.
    pub fn complete(
        self,
        decoded: DecodedToken,
        now: Timestamp,
    ) -> Result<VerifiedEnrolment<'a>, EnrolmentError> {
        let Self { enrolment, registered, mut recorded, offline, token } = self;
        // A payload without a token to it would be somebody else's.
        let decoded = if token.is_some() { decoded } else { Err(DecodeFailure::NotAsked) };
        let failure = decoded.as_ref().err().copied();
        let verdict = match decoded {
            Ok(payload) => {
                let binding = match registered {
                    None => enrolment.binding(Purpose::Enrol, true, false),
                    Some(_) => enrolment.binding(Purpose::Renew, true, true),
                };
                let hash = binding.hash();
                recorded.push(RecordedEvidence::play_integrity(&payload, hash, now));
                Some(play_integrity::verify(payload, &hash, now)?)
            }
            Err(DecodeFailure::Invalid(error)) => {
                return Err(EnrolmentError::Evidence(EvidenceError::PlayIntegrity(error)));
            }
            Err(DecodeFailure::Unreachable | DecodeFailure::NotAsked) => None,
        };
        let play_integrity_unreachable = token.is_some() && verdict.is_none();
        let evidence = match (offline, verdict) {
            (Some(primary), Some(verdict)) => Some(EvidenceSet::new(primary).accompanied_by(verdict)),
            (Some(primary), None) => Some(primary.into()),
            (None, Some(verdict)) => Some(verdict.into()),
            (None, None) if registered.is_some() => None,
            (None, None) => {
                return Err(match failure {
                    Some(DecodeFailure::Unreachable) => EnrolmentError::PlayIntegrityUnreachable,
                    _ => EnrolmentError::UnsupportedEvidence,
                });
            }
        };
        Ok(VerifiedEnrolment { enrolment, registered, recorded, evidence, play_integrity_unreachable })
    }
}

impl Service<'_> {
    /// What evidence is verified against.
    pub const fn trust_data(&self) -> TrustData<'_> {
        TrustData {
            anchors: self.anchors,
            revocation: self.revocation,
            development_keys: self.development_keys,
        }
    }
}

fn verify_evidence(
    recorded: &RecordedEvidence,
    enrolment: &Enrolment,
    registered: Option<&RegisteredInstance>,
    service: &Service<'_>,
) -> Result<VerifiedEvidence, EnrolmentError> {
    let verified = recorded.verify(&service.trust_data()).map_err(|error| match error {
        EvidenceError::UnknownDevelopmentKey => EnrolmentError::UnknownDevelopmentKey,
        error => EnrolmentError::Evidence(error),
    })?;
    let attests_instance_key = recorded.kind() == EvidenceKind::AndroidKey && registered.is_none();
    if attests_instance_key && verified.attested_key().as_p256() != Some(&enrolment.instance_key) {
        return Err(EnrolmentError::KeyNotAttested);
    }
    Ok(verified)
}

/// The evidence, and what it must be bound to: this envelope's challenge, client and keys.
fn record(
    evidence: &Evidence,
    enrolment: &Enrolment,
    registered: Option<&RegisteredInstance>,
    now: Timestamp,
) -> Result<RecordedEvidence, EnrolmentError> {
    let enrol_with_key = || enrolment.binding(Purpose::Enrol, true, false).hash();
    let renew = || enrolment.binding(Purpose::Renew, true, true).hash();
    match (evidence, registered.map(|registered| &registered.platform_key)) {
        (Evidence::AppAttest { attestation_object, key_id }, None) => {
            Ok(RecordedEvidence::app_attest(attestation_object, *key_id, enrol_with_key(), now))
        }
        (Evidence::AppAttestAssertion { assertion }, Some(PlatformKey::AppAttest { key, counter })) => {
            Ok(RecordedEvidence::app_attest_assertion(assertion, *key, renew(), *counter, now))
        }
        (Evidence::AndroidKey { chain }, None | Some(PlatformKey::AndroidKey)) => {
            // At enrolment the attested key is the instance key, so the challenge was made before it was born. A
            // renewal attests a throwaway key, which vouches for both keys by its challenge.
            let challenge = match registered {
                None => enrolment.binding(Purpose::Enrol, false, false).hash(),
                Some(_) => renew(),
            };
            Ok(RecordedEvidence::android_key(chain, challenge, now))
        }
        (Evidence::DevelopmentKey { key_id, signature }, None | Some(PlatformKey::DevelopmentKey)) => {
            let hash = if registered.is_none() { enrol_with_key() } else { renew() };
            Ok(RecordedEvidence::development_key(key_id, signature, hash, now))
        }
        _ => Err(EnrolmentError::UnexpectedEvidence),
    }
}

impl VerifiedEnrolment<'_> {
    /// The evidence, where some came.
    pub const fn evidence(&self) -> Option<&EvidenceSet> {
        self.evidence.as_ref()
    }

    /// Appraises the evidence and what the device reports of itself; without evidence the last appraisal counts on, or
    /// less, once evidence is due.
    pub fn appraise(self, policy: &AppraisalPolicy, signals: Signals<'_>, now: Timestamp) -> Verdict {
        let Self { enrolment, registered, recorded, evidence, play_integrity_unreachable } = self;
        let history = registered.map(|registered| &registered.history).or(signals.history);
        let key_attested_before =
            registered.is_some_and(|registered| registered.platform_key == PlatformKey::AndroidKey);
        let circumstances = Circumstances {
            environment: Environment(enrolment.environment),
            app_version: &enrolment.app_version,
            history,
            instances_of_certificate: signals.instances_of_certificate,
            risk_metric: signals.risk_metric,
            key_attested_before,
            play_integrity_unreachable,
            revocation_as_of: signals.revocation_as_of,
            cohort_key: Some(*enrolment.instance_key.thumbprint().as_bytes()),
        };
        let appraisal = match (&evidence, registered) {
            (Some(evidence), _) => policy.appraise(&enrolment.client_id, evidence, &circumstances, now),
            (None, registered) => {
                let platform = registered.map_or(Platform::Development, |one| one.platform_key.platform());
                policy.appraise_report(&enrolment.client_id, platform, &circumstances, now)
            }
        };
        let mut tier = match appraisal.tier() {
            policy::Tier::Affirming => Tier::Affirming,
            policy::Tier::Warning => Tier::Warning,
            policy::Tier::Contraindicated => return Verdict::Refused(Box::new(appraisal)),
        };
        let mut trust_vector = *appraisal.trust_vector();
        let mut labels = appraisal.labels().to_vec();
        // A verdict of Google Play alone says nothing of a key that hardware vouched for.
        let vouching = evidence.as_ref().filter(|evidence| {
            !key_attested_before || evidence.primary().kind() != EvidenceKind::PlayIntegrity
        });
        let is_full = vouching.is_some_and(|evidence| {
            // An assertion says less than the attestation of its key: it cannot raise what that was worth.
            evidence.primary().kind() != EvidenceKind::AppAttestAssertion
        });
        let (mut evidence_tier, mut evidence_vector, mut evidence_labels) =
            (tier, trust_vector, labels.clone());
        if let (false, Some(registered)) = (is_full, registered) {
            tier = tier.min(registered.tier);
            trust_vector = trust_vector.worsened_by(&registered.trust_vector);
            labels.extend(
                registered.labels.iter().filter(|label| !appraisal.labels().contains(label)).cloned(),
            );
            // What the device reports today says nothing of its evidence: it counts for this result alone.
            (evidence_tier, evidence_vector) = (registered.tier, registered.trust_vector);
            evidence_labels.clone_from(&registered.labels);
        }
        let evidence_time = match (vouching, registered) {
            (Some(evidence), _) => evidence.evidence_time(),
            (None, Some(registered)) => registered.evidence_time,
            // Made only by `verify_evidence`, which demands evidence of whoever is not registered.
            (None, None) => Timestamp::EPOCH,
        };
        let history_before = history.cloned();
        let before = history_before.clone().unwrap_or_default();
        let mut history = evidence.as_ref().map_or(before.clone(), |evidence| before.after(evidence));
        let verdict = evidence.as_ref().and_then(|evidence| PlayHistory::of(evidence, &appraisal));
        history.play_integrity = verdict.or(history.play_integrity);
        let attestation_key = evidence.as_ref().and_then(attestation_key);
        let evidence = vouching.map(EvidenceSet::primary);
        let platform_key = platform_key(evidence, registered);
        let is_due = match platform_key {
            PlatformKey::AppAttest { .. } => evidence.is_none(),
            _ => now.seconds_since(evidence_time) > ANDROID_EVIDENCE_LIFETIME,
        };
        if is_due {
            tier = Tier::Warning;
            // 36: what matters to security is not known.
            trust_vector.worsen(TrustClaim::Configuration, 36);
        }
        let (protection, vouched_by) = match (registered, evidence) {
            (Some(registered), _) => (registered.protection, registered.vouched_by),
            (None, Some(evidence)) => match evidence.claims() {
                Claims::AndroidKey(_) => (evidence.protection(), VouchedBy::Platform),
                Claims::AppAttest(_) => (apple_protection(enrolment.protection), VouchedBy::AttestedApp),
                // The app that Google recognised vouches for the key; where it lives nobody says who could know.
                Claims::PlayIntegrity(_) => (Protection::Software, VouchedBy::AttestedApp),
                Claims::DevelopmentKey(_) => (Protection::Software, VouchedBy::Developer),
            },
            (None, None) => (Protection::Software, VouchedBy::Developer),
        };
        let result_lifetime = policy.app(&enrolment.client_id).and_then(|app| app.result_lifetime);
        Verdict::Admitted(Box::new(Admission {
            client_id: enrolment.client_id,
            instance_key: enrolment.instance_key,
            session_key: enrolment.session_key,
            platform_key,
            protection,
            vouched_by,
            evidence_time,
            evidence_tier,
            evidence_vector,
            evidence_labels,
            tier,
            trust_vector,
            labels,
            history,
            attestation_key,
            recorded_evidence: recorded,
            history_before,
            environment: Environment(enrolment.environment),
            result_lifetime,
            app_version: enrolment.app_version,
            policy: policy.id().to_owned(),
            appraisal,
        }))
    }
}

fn attestation_key(evidence: &EvidenceSet) -> Option<[u8; 32]> {
    evidence.all().find_map(|evidence| match evidence.claims() {
        Claims::AndroidKey(claims) => Some(claims.attestation_key),
        _ => None,
    })
}

/// What an app says of its key, as far as Apple's devices have it: a StrongBox they do not.
const fn apple_protection(said: Protection) -> Protection {
    match said {
        Protection::SecureEnclave => Protection::SecureEnclave,
        Protection::Software | Protection::Tee | Protection::Strongbox => Protection::Software,
    }
}

/// How the platform will vouch at the next renewal.
fn platform_key(evidence: Option<&VerifiedEvidence>, registered: Option<&RegisteredInstance>) -> PlatformKey {
    let app_attest_key = match registered.map(|registered| &registered.platform_key) {
        Some(PlatformKey::AppAttest { key, counter }) => Some((*key, *counter)),
        _ => None,
    };
    match evidence.map(|evidence| (evidence, evidence.claims())) {
        Some((evidence, Claims::AppAttest(_))) => {
            let known = app_attest_key.map(|(key, _)| key);
            match evidence.attested_key().as_p256().copied().or(known) {
                Some(key) => PlatformKey::AppAttest { key, counter: evidence.counter().unwrap_or(0) },
                None => PlatformKey::DevelopmentKey,
            }
        }
        Some((_, Claims::AndroidKey(_))) => PlatformKey::AndroidKey,
        Some((_, Claims::PlayIntegrity(_))) => PlatformKey::PlayIntegrity,
        Some((_, Claims::DevelopmentKey(_))) => PlatformKey::DevelopmentKey,
        None => registered.map_or(PlatformKey::DevelopmentKey, |registered| registered.platform_key.clone()),
    }
}

impl Admission {
    /// The OAuth `client_id`.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The durable key.
    pub const fn instance_key(&self) -> &PublicKey {
        &self.instance_key
    }

    /// The key of the coming requests.
    pub const fn session_key(&self) -> &PublicKey {
        &self.session_key
    }

    /// How the platform vouches at the next renewal; to be stored.
    pub const fn platform_key(&self) -> &PlatformKey {
        &self.platform_key
    }

    /// Where the durable key lives.
    pub const fn protection(&self) -> Protection {
        self.protection
    }

    /// Who says so.
    pub const fn vouched_by(&self) -> VouchedBy {
        self.vouched_by
    }

    /// When platform evidence was last verified.
    pub const fn evidence_time(&self) -> Timestamp {
        self.evidence_time
    }

    /// The tier of the last appraised evidence; to be stored.
    pub const fn evidence_tier(&self) -> Tier {
        self.evidence_tier
    }

    /// The tier of the results to be issued: lower than the evidence's once evidence is due.
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// The app's version, as the app says.
    pub fn app_version(&self) -> &str {
        &self.app_version
    }

    /// Id and version of the policy.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// What the appraisal of the last evidence found; to be stored.
    pub const fn evidence_vector(&self) -> &TrustVector {
        &self.evidence_vector
    }

    /// The labels of the last evidence; to be stored.
    pub fn evidence_labels(&self) -> &[String] {
        &self.evidence_labels
    }

    /// What the results to be issued say of the instance.
    pub const fn trust_vector(&self) -> &TrustVector {
        &self.trust_vector
    }

    /// The labels that edges are told.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// What was seen of the instance until now; to be stored.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// SHA-256 of the attestation key that signed the Android evidence, if there was some; to be stored.
    pub const fn attestation_key(&self) -> Option<&[u8; 32]> {
        self.attestation_key.as_ref()
    }

    /// The evidence that was verified for this, if any came; to be stored, so that it can be verified again.
    pub fn recorded_evidence(&self) -> &[RecordedEvidence] {
        &self.recorded_evidence
    }

    /// What had been seen of the instance before; None at its first enrolment. To be stored with the evidence.
    pub const fn history_before(&self) -> Option<&History> {
        self.history_before.as_ref()
    }

    /// What the device reports of its own environment.
    pub const fn environment(&self) -> Environment {
        self.environment
    }

    /// Life of the app's results in seconds, where the policy gives it one of its own.
    pub const fn result_lifetime(&self) -> Option<u64> {
        self.result_lifetime
    }

    /// The appraisal of what this envelope brought: evidence, or the device's report alone.
    pub const fn appraisal(&self) -> &Appraisal {
        &self.appraisal
    }
}
