//! What a captured request presents, decoded by core's decoders: for sentences, and to compare what can be compared
//! without keys. Nothing of it is authentic.

use countersign_core::challenge::Challenge;
use countersign_core::encoding::from_base64url;
use countersign_core::time::Timestamp;
use countersign_core::token::client_attestation::{DecodedClientAttestation, DecodedClientAttestationPop};
use countersign_core::token::dpop::DecodedDpop;
use countersign_core::token::field;
use countersign_core::token::jose::Jws;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::proof::DecodedProof;
use countersign_core::token::result::{DecodedResult, ResultClaims};
use countersign_verifier::check::request::API_KEY_FIELD;
use countersign_verifier::crypto::{VerifyingKey, sha256};
use serde_json::{Map, Value as Json};

use crate::commands::inspect::capture::Captured;

/// What came with the request, as far as it can be read.
#[derive(Default)]
pub(super) struct Presented {
    pub(super) result: Option<ClaimedResult>,
    pub(super) proof: Option<ClaimedProof>,
    pub(super) credential: Option<ClaimedCredential>,
    /// Fields that came and cannot be read, with why.
    pub(super) unreadable: Vec<(&'static str, &'static str)>,
}

/// What the attestation service is said to have said.
pub(super) struct ClaimedResult {
    pub(super) claims: ResultClaims,
    pub(super) key_id: String,
    /// SHA-256 of its COSE bytes; `None` in the OAuth flavour, whose proofs do not name it.
    pub(super) digest: Option<[u8; 32]>,
}

/// What the device is said to have signed.
pub(super) struct ClaimedProof {
    /// Such as `compact`.
    pub(super) kind: &'static str,
    pub(super) issued_at: Timestamp,
    pub(super) audience: Option<String>,
    /// Method and URI; `None` for the proof of the OAuth draft, which names none.
    pub(super) request: Option<(String, String)>,
    pub(super) query: Option<[u8; 32]>,
    pub(super) content: Option<[u8; 32]>,
    pub(super) ath: Option<[u8; 32]>,
    pub(super) nonce: Option<Challenge>,
    /// The result that it names.
    pub(super) result: Option<[u8; 32]>,
    /// The key that it carries.
    pub(super) key: Option<PublicKey>,
    /// What was signed, and the signature.
    signed: (Vec<u8>, Vec<u8>),
}

/// The credential beside it.
pub(super) struct ClaimedCredential {
    /// `DPoP`, `Bearer`, or `X-API-Key`.
    pub(super) scheme: String,
    /// SHA-256 of its characters: what `ath` covers.
    pub(super) digest: [u8; 32],
    /// Key identifier and claims, if it is a JWT.
    pub(super) jwt: Option<(String, Map<String, Json>)>,
}

impl Presented {
    /// Reads what `request` presents.
    pub(super) fn read(request: &Captured) -> Self {
        let mut presented = Self::default();
        let only = |name: &str| {
            let mut values = request.values(name);
            values.next().filter(|_| values.next().is_none())
        };
        if let Some(text) = only(field::ATTESTATION_RESULT) {
            presented.result = presented.note("Attestation-Result", compact_result(text));
        } else if let Some(text) = only(field::CLIENT_ATTESTATION) {
            presented.result = presented.note("OAuth-Client-Attestation", client_attestation(text));
        }
        if let Some(text) = only(field::ATTESTATION_PROOF) {
            presented.proof = presented.note("Attestation-Proof", compact_proof(text));
        } else if let Some(text) = only(field::DPOP) {
            presented.proof = presented.note("DPoP", dpop(text));
        } else if let Some(text) = only(field::CLIENT_ATTESTATION_POP) {
            presented.proof = presented.note("OAuth-Client-Attestation-PoP", pop(text));
        }
        presented.credential = only("authorization").and_then(authorization).or_else(|| {
            only(API_KEY_FIELD).map(|key| ClaimedCredential {
                scheme: "X-API-Key".to_owned(),
                digest: sha256(key.as_bytes()),
                jwt: None,
            })
        });
        presented
    }

    fn note<T>(&mut self, name: &'static str, read: Result<T, &'static str>) -> Option<T> {
        read.map_err(|reason| self.unreadable.push((name, reason))).ok()
    }
}

impl ClaimedProof {
    /// Whether the key that `result` names has signed it.
    pub(super) fn is_signed_by(&self, result: &ClaimedResult) -> bool {
        let (message, signature) = &self.signed;
        VerifyingKey::new(result.claims.confirmation).verify(message, signature).is_ok()
    }
}

impl ClaimedCredential {
    /// A claim of a JWT that is text.
    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        self.jwt.as_ref()?.1.get(claim)?.as_str()
    }

    /// A claim of a JWT that is a time.
    pub(super) fn time(&self, claim: &str) -> Option<Timestamp> {
        self.jwt.as_ref()?.1.get(claim)?.as_u64().map(Timestamp::from_unix_seconds)
    }

    /// `cnf.jkt`.
    pub(super) fn jkt(&self) -> Option<&str> {
        self.jwt.as_ref()?.1.get("cnf")?.get("jkt")?.as_str()
    }

    /// All audiences.
    pub(super) fn audiences(&self) -> Vec<&str> {
        match self.jwt.as_ref().and_then(|(_, claims)| claims.get("aud")) {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(all)) => all.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

fn compact_result(text: &str) -> Result<ClaimedResult, &'static str> {
    let bytes = from_base64url(text).map_err(|_| "it is no base64url")?;
    let DecodedResult { message, claims } = DecodedResult::decode(&bytes).map_err(|error| error.reason())?;
    let key_id = String::from_utf8_lossy(message.header().key_id.unwrap_or_default()).into_owned();
    Ok(ClaimedResult { claims, key_id, digest: Some(sha256(&bytes)) })
}

fn client_attestation(text: &str) -> Result<ClaimedResult, &'static str> {
    let DecodedClientAttestation { jws, claims } =
        DecodedClientAttestation::decode(text).map_err(|error| error.reason())?;
    Ok(ClaimedResult { claims, key_id: jws.key_id().unwrap_or_default().to_owned(), digest: None })
}

fn compact_proof(text: &str) -> Result<ClaimedProof, &'static str> {
    let bytes = from_base64url(text).map_err(|_| "it is no base64url")?;
    let DecodedProof { message, claims } = DecodedProof::decode(&bytes).map_err(|error| error.reason())?;
    let mut buffer = vec![0; bytes.len() + 256];
    let signed = message.to_be_signed(&mut buffer).map(<[u8]>::to_vec).unwrap_or_default();
    Ok(ClaimedProof {
        kind: "compact",
        issued_at: claims.issued_at,
        audience: Some(claims.audience.to_owned()),
        request: Some((claims.method.to_owned(), claims.target.to_owned())),
        query: claims.query,
        content: claims.content,
        ath: claims.ath,
        nonce: claims.nonce.and_then(|nonce| Challenge::from_bytes(nonce).ok()),
        result: Some(claims.result),
        key: None,
        signed: (signed, message.signature().to_vec()),
    })
}

fn dpop(text: &str) -> Result<ClaimedProof, &'static str> {
    let proof = DecodedDpop::decode(text).map_err(|error| error.reason())?;
    Ok(ClaimedProof {
        kind: "DPoP",
        issued_at: proof.issued_at,
        audience: None,
        query: proof.query,
        content: proof.content,
        ath: proof.ath,
        nonce: proof.nonce.as_deref().and_then(|nonce| Challenge::from_base64url(nonce).ok()),
        result: None,
        key: Some(proof.key),
        signed: (proof.jws.signing_input.as_bytes().to_vec(), proof.jws.signature.to_vec()),
        request: Some((proof.method, proof.target)),
    })
}

fn pop(text: &str) -> Result<ClaimedProof, &'static str> {
    let proof = DecodedClientAttestationPop::decode(text).map_err(|error| error.reason())?;
    Ok(ClaimedProof {
        kind: "client attestation PoP",
        issued_at: proof.issued_at,
        audience: Some(proof.audience),
        request: None,
        query: None,
        content: None,
        ath: None,
        nonce: proof.challenge.as_deref().and_then(|nonce| Challenge::from_base64url(nonce).ok()),
        result: None,
        key: None,
        signed: (proof.jws.signing_input.as_bytes().to_vec(), proof.jws.signature.to_vec()),
    })
}

fn authorization(value: &str) -> Option<ClaimedCredential> {
    let (scheme, token) = value.split_once(' ')?;
    // What stands there may be a secret that lacks its scheme.
    let is_scheme = scheme.len() <= 10 && scheme.bytes().all(|byte| byte.is_ascii_alphabetic());
    let jwt = Jws::decode(token).ok();
    Some(ClaimedCredential {
        scheme: if is_scheme { scheme } else { "an unknown scheme" }.to_owned(),
        digest: sha256(token.as_bytes()),
        jwt: jwt.map(|jws| (jws.key_id().unwrap_or_default().to_owned(), jws.claims)),
    })
}
