//! `countersign appraise`: judges one piece of evidence, offline, and says why.

mod arguments;
mod play_integrity;
mod report;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::certificate_file;
use countersign_verifier::crypto::sha256;
use countersign_verifier::evidence::{EvidenceError, VerifiedEvidence, android_key, app_attest};
use countersign_verifier::policy::{AndroidApp, AppleApp, AppraisalPolicy, Circumstances};
use countersign_verifier::revocation::{MAX_LIST_LENGTH, RevocationList};

pub use arguments::{Arguments, Bytes, Digest, KeyId, Kind};
use report::Report;

use crate::cli::{Exit, answer, complain};
use crate::clock::Clock;
use crate::policy_file;

/// Longest evidence file that is read, in bytes; what is longer cannot be evidence.
const MAX_EVIDENCE: u64 = 1024 * 1024;

/// The client identifier of an app that only the command line describes.
const UNNAMED: &str = "command-line";

/// Why nothing was judged: wrong use, in a sentence.
type WrongUse = String;

/// Why evidence could not be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unverified {
    Evidence(EvidenceError),
    File(certificate_file::CertificateFileError),
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    match judge(arguments) {
        Ok(report) => {
            answer(match (arguments.json, arguments.ear) {
                (_, true) => report.ear(),
                (true, false) => report.json(),
                (false, false) => report.text(),
            });
            report.exit()
        }
        Err(sentence) => {
            complain(sentence);
            Exit::Usage
        }
    }
}

fn judge(arguments: &Arguments) -> Result<Report, WrongUse> {
    let has_console_keys = arguments.decryption_key.is_some() || arguments.verification_key.is_some();
    let takes_them = arguments.kind == Kind::PlayIntegrity;
    refuse("--decryption-key", has_console_keys && !takes_them, "only Play Integrity tokens are encrypted")?;
    let now = arguments.at.unwrap_or_else(|| Clock::system().now());
    let (policy, client_id) = policy(arguments)?;
    let anchors = policy.danger().trust_anchors().map_err(|error| error.reason().to_owned())?;
    let evidence = read(&arguments.evidence, MAX_EVIDENCE)?;
    let verified = match arguments.kind {
        Kind::AppAttest => attestation(arguments, &evidence, &anchors, now)?,
        Kind::AppAttestAssertion => assertion(arguments, &evidence, now)?,
        Kind::AndroidKey => chain(arguments, &evidence, &anchors, now)?,
        Kind::PlayIntegrity => play_integrity::token(arguments, &evidence, now)?,
    };
    Ok(match verified {
        Ok(evidence) => {
            let appraisal =
                policy.appraise(&client_id, &evidence.clone().into(), &Circumstances::default(), now);
            Report::Appraised { evidence: Box::new(evidence), appraisal: Box::new(appraisal) }
        }
        Err(error) => Report::Unverified { error, now },
    })
}

fn attestation(
    arguments: &Arguments,
    evidence: &[u8],
    anchors: &TrustAnchors,
    now: Timestamp,
) -> Result<Result<VerifiedEvidence, Unverified>, WrongUse> {
    refuse("--counter", arguments.counter.is_some(), "an attestation starts at zero")?;
    refuse("--public-key", arguments.public_key.is_some(), "the evidence brings its own key")?;
    refuse("--revocation", arguments.revocation.is_some(), "there is no status list for App Attest")?;
    let client_data_hash = client_data_hash(arguments)?;
    let verify = || {
        // Without a key identifier from the app, the one in the evidence has to match everything else in it.
        let key_id = match &arguments.key_id {
            Some(KeyId(key_id)) => *key_id,
            None => app_attest::claimed_key_id(evidence)?,
        };
        app_attest::verify_attestation(evidence, &key_id, &client_data_hash, anchors, now)
    };
    Ok(verify().map_err(Unverified::Evidence))
}

fn assertion(
    arguments: &Arguments,
    evidence: &[u8],
    now: Timestamp,
) -> Result<Result<VerifiedEvidence, Unverified>, WrongUse> {
    refuse("--revocation", arguments.revocation.is_some(), "there is no status list for App Attest")?;
    let client_data_hash = client_data_hash(arguments)?;
    let Bytes(point) = arguments.public_key.as_ref().ok_or("an assertion needs --public-key")?;
    let counter = arguments.counter.ok_or("an assertion needs --counter, the one stored before")?;
    let key = PublicKey::from_p256_sec1(point)
        .map_err(|_| "--public-key is no uncompressed P-256 point (65 bytes, 04 first)")?;
    if arguments.key_id.as_ref().is_some_and(|KeyId(key_id)| *key_id != sha256(point)) {
        return Ok(Err(Unverified::Evidence(EvidenceError::KeyIdMismatch)));
    }
    let verified = app_attest::verify_assertion(evidence, &key, &client_data_hash, counter, now);
    Ok(verified.map_err(Unverified::Evidence))
}

fn chain(
    arguments: &Arguments,
    evidence: &[u8],
    anchors: &TrustAnchors,
    now: Timestamp,
) -> Result<Result<VerifiedEvidence, Unverified>, WrongUse> {
    refuse("--client-data-hash", arguments.client_data_hash.is_some(), "Android takes --challenge")?;
    refuse("--key-id", arguments.key_id.is_some(), "Android keys have none")?;
    refuse("--public-key", arguments.public_key.is_some(), "the evidence brings its own key")?;
    refuse("--counter", arguments.counter.is_some(), "Android keys have none")?;
    let Bytes(challenge) = arguments.challenge.as_ref().ok_or("android-key needs --challenge")?;
    let revocation = arguments.revocation.as_deref().map(|file| status_list(file, now)).transpose()?;
    let certificates = match certificate_file::certificates(evidence) {
        Ok(certificates) => certificates,
        Err(error) => return Ok(Err(Unverified::File(error))),
    };
    let certificates: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    let verified = android_key::verify(&certificates, challenge, anchors, revocation.as_ref(), now);
    Ok(verified.map_err(Unverified::Evidence))
}

/// The policy, with the identity from the flags, and the app of it that is meant.
fn policy(arguments: &Arguments) -> Result<(AppraisalPolicy, String), WrongUse> {
    let policy = match &arguments.policy {
        Some(file) => policy_file::load(file).map_err(|problems| problems.to_string())?,
        None => AppraisalPolicy::new("built-in"),
    };
    let client_id = match (&arguments.client_id, policy.apps().collect::<Vec<_>>().as_slice()) {
        (Some(client_id), _) => client_id.clone(),
        (None, [app]) => app.client_id.clone(),
        (None, []) => UNNAMED.to_owned(),
        (None, _) => return Err("the policy has several apps; name one with --client-id".to_owned()),
    };
    let mut app = match policy.app(&client_id) {
        Some(app) => app.clone(),
        None if arguments.client_id.is_some() => {
            return Err(format!("the policy has no app with the client_id {client_id:?}"));
        }
        None => policy.new_app(&client_id),
    };
    if let Some(app_id) = &arguments.app_id {
        app.apple = vec![AppleApp::from_app_id(app_id)];
    }
    if let Some(package) = &arguments.package {
        let signing_digests = arguments.signer.iter().map(|Digest(digest)| *digest).collect();
        app.android = vec![AndroidApp { package: package.clone(), signing_digests }];
    }
    let (unknown, cure) = match arguments.kind {
        Kind::AppAttest | Kind::AppAttestAssertion => (app.apple.is_empty(), "--app-id"),
        Kind::AndroidKey | Kind::PlayIntegrity => (app.android.is_empty(), "--package and --signer"),
    };
    if unknown {
        return Err(format!("which app is expected? Name it with {cure}, or in a policy"));
    }
    Ok((policy.with_app(app), client_id))
}

fn client_data_hash(arguments: &Arguments) -> Result<Vec<u8>, WrongUse> {
    match (&arguments.challenge, &arguments.client_data_hash) {
        (Some(Bytes(challenge)), None) => Ok(sha256(challenge).to_vec()),
        (None, Some(Bytes(hash))) => Ok(hash.clone()),
        _ => Err("App Attest needs --challenge or --client-data-hash".to_owned()),
    }
}

/// A list on the command line is taken as the one of today.
fn status_list(file: &Path, now: Timestamp) -> Result<RevocationList, WrongUse> {
    let json = read(file, MAX_LIST_LENGTH as u64)?;
    RevocationList::parse(&json, now)
        .map_err(|error| format!("{}: this is no status list ({})", file.display(), error.reason()))
}

/// Reads a file, and one byte more than `limit` at most, so that what is too long shows as such later.
fn read(file: &Path, limit: u64) -> Result<Vec<u8>, WrongUse> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("{}: the file cannot be read: {error}", file.display()))?;
    Ok(bytes)
}

fn refuse(flag: &str, given: bool, why: &str) -> Result<(), WrongUse> {
    if given { Err(format!("{flag} does not belong here: {why}")) } else { Ok(()) }
}
