//! Play Integrity cases: tokens with their keys, opened, verified and appraised as if nothing stood beside them.

use base64ct::{Base64, Encoding};
use countersign_core::encoding::{from_base64url, from_base64url_array};
use countersign_verifier::evidence::EvidenceError;
use countersign_verifier::evidence::play_integrity::{ClassicKeys, decrypt, verify};
use countersign_verifier::policy::{AndroidApp, AppPolicy, AppraisalPolicy, Constraint, Enforcement};

use crate::case::{CLIENT, Case, Verdict};

pub(crate) fn token(case: &Case) -> Verdict {
    let key = |name| Base64::decode_vec(case.text(name)).expect("keys are base64");
    let keys = ClassicKeys::new(&key("decryption_key_b64"), &key("verification_key_spki_b64"))
        .expect("the collection's keys are keys");
    let token = String::from_utf8(case.evidence()).expect("tokens are text");
    // Nonces of the collection are not 32 bytes long; what they are the base64url of is what is expected.
    let expected = case.member("nonce").as_str().or_else(|| case.member("request_hash").as_str());
    let binding = from_base64url(expected.expect("a case has nonce or request hash")).expect("base64url");
    let now = case.verify_at();
    let verified = decrypt(token.trim_end(), &keys)
        .map_err(EvidenceError::from)
        .and_then(|payload| verify(payload, &binding, now));
    Verdict::of(verified, &policy(case), now)
}

/// The reference policy demands a licence.
fn policy(case: &Case) -> AppraisalPolicy {
    let mut app = AppPolicy::new(CLIENT);
    app.android.push(AndroidApp {
        package: case.text("package").to_owned(),
        signing_digests: vec![
            from_base64url_array(case.text("certificate_sha256_b64url")).expect("a digest"),
        ],
    });
    app.enforcements.set(Constraint::PlayLicensed, None, Enforcement::Require);
    AppraisalPolicy::new("vectors/1").with_app(app)
}
