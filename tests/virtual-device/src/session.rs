//! The session key, and proofs made with it, honest or with a lie: for edges, without a state machine in between.

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

use countersign_core::{
    encoding::{base64url, from_base64url},
    request::TargetUri,
    time::Timestamp,
    token::{
        keys::{PublicKey, Thumbprint},
        proof::ProofClaims,
        result::DecodedResult,
    },
};

use crate::{hostile::ProofAttack, seed::Seed};

/// A session key: Ed25519, in memory.
#[derive(Clone)]
pub struct SessionKey(SigningKey);

impl SessionKey {
    /// The key that this seed makes.
    pub fn from_seed(seed: &Seed) -> Self {
        Self(SigningKey::from_bytes(&seed.bytes("session key")))
    }

    /// Its public part.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_ed25519(self.0.verifying_key().to_bytes()).expect("a made key is not of small order")
    }

    /// Signs: 64 bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// A session key with the result that the service issued for it.
#[derive(Clone)]
pub struct Session {
    /// The key.
    pub key: SessionKey,
    /// The result: the value of `Attestation-Result`.
    pub result: String,
}

/// A request to be proven.
#[derive(Clone, Copy, Debug)]
pub struct ProofRequest<'a> {
    /// The RFC 9728 resource identifier.
    pub resource: &'a str,
    /// The method.
    pub method: &'a str,
    /// The absolute URI.
    pub uri: &'a str,
    /// The body, where the proof is to cover it.
    pub body: Option<&'a [u8]>,
    /// The access token or API key.
    pub credential: Option<&'a str>,
    /// The edge's nonce, decoded.
    pub nonce: Option<&'a [u8]>,
    /// Bytes that no other proof of the session has.
    pub token_id: [u8; 16],
    /// The device's clock.
    pub now: Timestamp,
}

/// The two header fields of a request.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderFields {
    /// `Attestation-Result`.
    pub result: String,
    /// `Attestation-Proof`.
    pub proof: String,
}

/// Prints no token.
impl std::fmt::Debug for HeaderFields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HeaderFields({} and {} characters)", self.result.len(), self.proof.len())
    }
}

impl Session {
    /// Proves a request.
    ///
    /// # Panics
    /// If the URI is none, or the result not base64url.
    pub fn prove(&self, request: &ProofRequest<'_>) -> HeaderFields {
        self.prove_with(request, None)
    }

    /// Makes a proof with this lie in it.
    ///
    /// # Panics
    /// As [`Session::prove`].
    pub fn forge(&self, request: &ProofRequest<'_>, attack: ProofAttack) -> HeaderFields {
        self.prove_with(request, Some(attack))
    }

    fn prove_with(&self, request: &ProofRequest<'_>, attack: Option<ProofAttack>) -> HeaderFields {
        use ProofAttack as A;
        let sha256 = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
        let uri = TargetUri::parse(request.uri).expect("the caller names an absolute URI");
        let result = from_base64url(&self.result).expect("results are base64url");
        let target = uri.to_htu();
        let other_target = format!("{target}/other");
        let mut claims = ProofClaims {
            audience: request.resource,
            issued_at: request.now,
            token_id: &request.token_id,
            nonce: request.nonce,
            result: sha256(&result),
            ath: request.credential.map(|credential| sha256(credential.as_bytes())),
            method: request.method,
            target: &target,
            query: uri.query_hash(),
            content: request.body.map(sha256),
            environment: Some(0),
        };
        match attack {
            Some(A::OtherResource) => claims.audience = "https://other.example",
            Some(A::OtherMethod) => claims.method = "OPTIONS",
            Some(A::OtherTarget) => claims.target = &other_target,
            Some(A::OtherQuery) => claims.query = Some([0x5a; 32]),
            Some(A::OtherContent) => claims.content = Some([0x5a; 32]),
            Some(A::OtherCredential) => claims.ath = Some([0x5a; 32]),
            Some(A::NoCredential) => claims.ath = None,
            Some(A::OtherResult) => claims.result = [0x5a; 32],
            Some(A::Old) => claims.issued_at = request.now.minus(3600),
            Some(A::FromTheFuture) => claims.issued_at = request.now.plus(3600),
            Some(A::OtherNonce) => claims.nonce = Some(&[0x5a; 42]),
            Some(A::ShortTokenId) => claims.token_id = &request.token_id[..8],
            _ => {}
        }
        let unsigned = claims.to_unsigned();
        let other_key = SessionKey(SigningKey::from_bytes(&[0x5a; 32]));
        let key = if attack == Some(A::OtherSessionKey) { &other_key } else { &self.key };
        let mut proof = unsigned.with_signature(&key.sign(&unsigned.to_be_signed()));
        match attack {
            Some(A::SignatureBit) => *proof.last_mut().expect("a proof is not empty") ^= 1,
            Some(A::TrailingBytes) => proof.push(0xf6),
            Some(A::Truncated) => proof.truncate(proof.len() - 1),
            _ => {}
        }
        let mut fields = HeaderFields { result: self.result.clone(), proof: base64url(&proof) };
        match attack {
            Some(A::PaddedBase64) => fields.proof.push('='),
            Some(A::ResultAsProof) => fields.proof = self.result.clone(),
            Some(A::ProofAsResult) => fields.result = fields.proof.clone(),
            Some(A::ResultSignatureBit) => fields.result = with_last_bit_flipped(&result),
            Some(A::SelfIssuedResult) => self.issue_for_itself(&result, &claims, &mut fields),
            _ => {}
        }
        fields
    }

    /// The result with the thumbprint of another instance key, signed by the session key under the service's
    /// `kid`; with a proof for it.
    fn issue_for_itself(&self, result: &[u8], claims: &ProofClaims<'_>, fields: &mut HeaderFields) {
        let decoded = DecodedResult::decode(result).expect("the session holds a result");
        let key_id =
            String::from_utf8_lossy(decoded.message.header().key_id.unwrap_or_default()).into_owned();
        let mut forged = decoded.claims;
        forged.instance_jkt = Thumbprint::from_bytes([0x5a; 32]);
        let unsigned = forged.to_unsigned(&key_id);
        let forged = unsigned.with_signature(&self.key.sign(&unsigned.to_be_signed()));
        let claims = ProofClaims { result: Sha256::digest(&forged).into(), ..*claims };
        let unsigned = claims.to_unsigned();
        fields.proof = base64url(&unsigned.with_signature(&self.key.sign(&unsigned.to_be_signed())));
        fields.result = base64url(&forged);
    }
}

fn with_last_bit_flipped(bytes: &[u8]) -> String {
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    base64url(&bytes)
}
