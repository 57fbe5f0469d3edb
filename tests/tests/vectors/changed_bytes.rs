//! Genuine evidence with one byte changed, at every byte: refused. What nobody signs is left out of this, and says
//! nothing: the receipt in an attestation, the root that a phone sends; changed, all else must say what it said.

use std::ops::Range;

use countersign_verifier::certificate_file;
use countersign_verifier::evidence::{Claims, EvidenceError, VerifiedEvidence};

use crate::case::Case;
use crate::{android_key, app_attest};

/// One attestation of an iPhone, one chain that was provisioned remotely.
const GENUINE: [&str; 2] = ["node-app-attest-production", "google-caiman-sdk36-tee_ec_rkp"];

/// What became of the changes.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) refused: usize,
    /// Changes of what nobody signs, with the claims about the phone, the app and the key as before.
    pub(crate) same: usize,
    pub(crate) failures: Vec<String>,
}

impl Changes {
    /// Tries the case if it is one of those that are tried.
    pub(crate) fn try_all(&mut self, case: &Case) {
        if !GENUINE.contains(&case.id()) {
            return;
        }
        if case.is_of("app-attest") {
            let object = case.evidence();
            let unsigned = place_of(b"\x67receipt", &object).start..place_of(b"\x68authData", &object).start;
            self.of(case, &object, &unsigned, |object| app_attest::attested(case, object));
            return;
        }
        let certificates = certificate_file::certificates(&case.evidence()).expect("a certificate file");
        let whole = certificates.concat();
        let root = whole.len() - certificates.last().map_or(0, Vec::len)..whole.len();
        self.of(case, &whole, &root, |bytes| {
            let mut rest = bytes;
            let mut chain = Vec::new();
            for certificate in &certificates {
                let (certificate, after) = rest.split_at(certificate.len());
                chain.push(certificate);
                rest = after;
            }
            android_key::attested_by(case, &chain)
        });
    }

    fn of(
        &mut self,
        case: &Case,
        genuine: &[u8],
        unsigned: &Range<usize>,
        verify: impl Fn(&[u8]) -> Result<VerifiedEvidence, EvidenceError>,
    ) {
        let before = verify(genuine).expect("what nobody changed is verified");
        let mut changed = genuine.to_vec();
        for (at, byte) in genuine.iter().enumerate() {
            changed[at] = byte ^ (1 << (at % 8));
            match verify(&changed) {
                Err(_) => self.refused += 1,
                Ok(after) if unsigned.contains(&at) && says_the_same(&before, &after) => self.same += 1,
                Ok(_) => self.failures.push(format!("{case}: the evidence with byte {at} changed is taken")),
            }
            changed[at] = *byte;
        }
    }
}

/// Where `part` stands in `whole` first.
fn place_of(part: &[u8], whole: &[u8]) -> Range<usize> {
    let at = whole.windows(part.len()).position(|window| window == part).expect("it is there");
    at..at + part.len()
}

/// A receipt has a signature and a verdict of its own, and is never believed for the attestation's sake.
fn says_the_same(before: &VerifiedEvidence, after: &VerifiedEvidence) -> bool {
    let mut claims = after.claims().clone();
    if let (Claims::AppAttest(claims), Claims::AppAttest(before)) = (&mut claims, before.claims()) {
        claims.receipt.clone_from(&before.receipt);
        claims.receipt_verdict.clone_from(&before.receipt_verdict);
    }
    claims == *before.claims() && after.attested_key() == before.attested_key()
}
