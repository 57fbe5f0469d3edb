//! The COSE messages: result, proof, envelope of an enrolment, deny list.

use countersign_core::encoding::base64url;
use countersign_core::enrolment::{DecodedEnrolment, Evidence};
use countersign_core::environment::Environment;
use countersign_core::token::cose::{Sign1, typ};
use countersign_core::token::keys::{PublicKey, SIGNATURE_LENGTH};
use countersign_core::token::proof::DecodedProof;
use countersign_core::token::result::DecodedResult;
use countersign_core::token::trust_vector::{TrustClaim, TrustVector};
use countersign_verifier::check::deny_list::DenyList;
use countersign_verifier::crypto::AwsLc;

use super::explanation::{Check, Explanation, Validity, Value, members};
use super::fault::{Claim, Fault, Shape, claim, claims_fault, encoding_fault, optional};
use super::key_set::KeySet;
use super::{challenge, evidence, play_integrity};

const RESULT_CLAIMS: &[Claim] = &[
    claim(1, "iss", Shape::Text),
    claim(2, "sub", Shape::Text),
    claim(4, "exp", Shape::Unsigned),
    claim(6, "iat", Shape::Unsigned),
    claim(8, "cnf", Shape::Map),
    claim(-66001, "tier", Shape::Unsigned),
    claim(-66002, "instance", Shape::Bytes(16)),
    claim(-66003, "instance_jkt", Shape::Bytes(32)),
    claim(-66004, "protection", Shape::Unsigned),
    claim(-66005, "vouched_by", Shape::Unsigned),
    claim(-66006, "evidence_time", Shape::Unsigned),
    optional(-66501, "app_version", Shape::Text),
    claim(-66502, "policy", Shape::Text),
    optional(-66503, "labels", Shape::Array),
    optional(-66504, "trust_vector", Shape::Map),
];

const PROOF_CLAIMS: &[Claim] = &[
    claim(3, "aud", Shape::Text),
    claim(6, "iat", Shape::Unsigned),
    claim(7, "cti", Shape::BytesBetween(12, 16)),
    optional(39, "cnonce", Shape::BytesBetween(0, 4096)),
    claim(-66020, "result", Shape::Bytes(32)),
    optional(-66021, "ath", Shape::Bytes(32)),
    claim(-66022, "htm", Shape::Text),
    claim(-66023, "htu", Shape::Text),
    optional(-66024, "query", Shape::Bytes(32)),
    optional(-66025, "content", Shape::Bytes(32)),
    optional(-66520, "environment", Shape::Unsigned),
];

const ENROLMENT_MEMBERS: &[Claim] = &[
    claim(1, "purpose", Shape::Text),
    claim(2, "issuer", Shape::Text),
    claim(3, "challenge", Shape::Bytes(42)),
    claim(4, "client_id", Shape::Text),
    claim(5, "instance_key", Shape::Map),
    claim(6, "session_key", Shape::Map),
    claim(7, "possession", Shape::Bytes(64)),
    claim(8, "evidence", Shape::Array),
    claim(9, "environment", Shape::Unsigned),
    claim(10, "app_version", Shape::Text),
    optional(11, "instance", Shape::Bytes(16)),
    claim(12, "protection", Shape::Unsigned),
];

const DENY_LIST_CLAIMS: &[Claim] = &[
    claim(1, "iss", Shape::Text),
    claim(4, "exp", Shape::Unsigned),
    claim(6, "iat", Shape::Unsigned),
    claim(-66040, "sequence", Shape::Unsigned),
    claim(-66041, "instances", Shape::Array),
    claim(-66042, "keys", Shape::Array),
    optional(-66043, "subjects", Shape::Array),
];

/// Explains a COSE_Sign1 by its `typ`.
pub(super) fn explain(bytes: &[u8], keys: Option<&KeySet>) -> Result<Explanation, Fault> {
    let message = Sign1::decode(bytes).map_err(|error| sign1_fault(bytes, error.reason()))?;
    match message.header().typ {
        typ::RESULT => result(bytes, &message, keys),
        typ::PROOF => proof(bytes, &message),
        typ::ENROLMENT => enrolment(bytes, &message),
        typ::DENY_LIST => deny_list(bytes, &message, keys),
        _ => Err(Fault {
            seems: "a COSE_Sign1",
            reason: "unknown_typ",
            at: format!("typ {:?} is none of Countersign's", message.header().typ),
        }),
    }
}

fn result(bytes: &[u8], message: &Sign1<'_>, keys: Option<&KeySet>) -> Result<Explanation, Fault> {
    const SEEMS: &str = "a compact attestation result";
    let decoded = DecodedResult::decode(bytes)
        .map_err(|error| message_fault(SEEMS, message, RESULT_CLAIMS, error.reason()))?;
    let claims = decoded.claims;
    Ok(Explanation {
        kind: "compact-result",
        what: "A compact attestation result: what the attestation service says of one client instance.",
        validity: Some(Validity { from: None, until: claims.expires_at }),
        checks: vec![
            signature(message, keys),
            Check::not_verified(
                "issuer",
                "whether the edge trusts this issuer and its policy is for the edge to say",
            ),
        ],
        parts: vec![
            ("header".to_owned(), header(message)),
            (
                "claims".to_owned(),
                members([
                    ("iss", claims.issuer.into()),
                    ("sub", claims.client_id.into()),
                    ("iat", claims.issued_at.into()),
                    ("exp", claims.expires_at.into()),
                    ("cnf", key(&claims.confirmation)),
                    ("tier", named(&claims.tier, claims.tier.number())),
                    ("instance", claims.instance.to_base64url().into()),
                    ("instance_jkt", claims.instance_jkt.to_base64url().into()),
                    ("protection", named(&claims.protection, claims.protection.number())),
                    ("vouched_by", named(&claims.vouched_by, claims.vouched_by.number())),
                    ("evidence_time", claims.evidence_time.into()),
                    ("app_version", claims.app_version.into()),
                    ("policy", claims.policy.into()),
                    ("labels", Value::List(claims.labels.into_iter().map(Value::Text).collect())),
                    ("trust_vector", trust_vector(&claims.trust_vector)),
                ]),
            ),
        ],
    })
}

fn proof(bytes: &[u8], message: &Sign1<'_>) -> Result<Explanation, Fault> {
    const SEEMS: &str = "a compact proof";
    let decoded = DecodedProof::decode(bytes)
        .map_err(|error| message_fault(SEEMS, message, PROOF_CLAIMS, error.reason()))?;
    let claims = decoded.claims;
    let hash = |hash: Option<[u8; 32]>| Value::from(hash.map(|hash| base64url(&hash)));
    Ok(Explanation {
        kind: "compact-proof",
        what: "A compact proof: the session key's signature over one request.",
        validity: None,
        checks: vec![
            Check::not_verified(
                "signature",
                "its key is in the result that it names (cnf), not in any JWK Set",
            ),
            Check::not_verified(
                "request",
                "only the edge sees method, URI, body and credential to compare with",
            ),
            Check::not_verified("time", "an edge takes it for about 10 seconds, or while its nonce lives"),
        ],
        parts: vec![
            ("header".to_owned(), header(message)),
            (
                "claims".to_owned(),
                members([
                    ("aud", claims.audience.into()),
                    ("iat", claims.issued_at.into()),
                    ("cti", base64url(claims.token_id).into()),
                    ("cnonce", claims.nonce.map(challenge::value).into()),
                    ("result", base64url(&claims.result).into()),
                    ("ath", hash(claims.ath)),
                    ("htm", claims.method.into()),
                    ("htu", claims.target.into()),
                    ("query", hash(claims.query)),
                    ("content", hash(claims.content)),
                    ("environment", claims.environment.map(signals).into()),
                ]),
            ),
        ],
    })
}

fn enrolment(bytes: &[u8], message: &Sign1<'_>) -> Result<Explanation, Fault> {
    const SEEMS: &str = "the envelope of an enrolment";
    let decoded = DecodedEnrolment::decode(bytes)
        .map_err(|error| message_fault(SEEMS, message, ENROLMENT_MEMBERS, error.reason()))?;
    let enrolment = decoded.enrolment;
    let signature = match message.verify(&enrolment.instance_key, &AwsLc) {
        Ok(()) => {
            Check::verified("signature", "by the instance key that it carries: its holder made the envelope")
        }
        Err(_) => Check::failed("signature", "it is not of the instance key that the envelope carries"),
    };
    let possession = match enrolment.verify_possession(&AwsLc) {
        Ok(()) => Check::verified("possession", "by the session key that it carries"),
        Err(_) => Check::failed("possession", "it is not of the session key, or for other members"),
    };
    let pieces = enrolment.evidence.iter().map(piece).collect();
    Ok(Explanation {
        kind: "enrolment",
        what: "The envelope of an enrolment or renewal: keys and evidence, signed by the instance key.",
        validity: None,
        checks: vec![
            signature,
            possession,
            Check::not_verified("challenge", "only the service that gave it out can recognise it"),
            Check::not_verified("evidence", "`countersign appraise` verifies and judges a single piece"),
        ],
        parts: vec![
            ("header".to_owned(), header(message)),
            (
                "content".to_owned(),
                members([
                    ("purpose", enrolment.purpose().as_str().into()),
                    ("instance", enrolment.instance.map(|instance| instance.to_base64url()).into()),
                    ("issuer", enrolment.issuer.as_str().into()),
                    ("challenge", challenge::value(enrolment.challenge.as_bytes())),
                    ("client_id", enrolment.client_id.as_str().into()),
                    ("instance_key", key(&enrolment.instance_key)),
                    ("session_key", key(&enrolment.session_key)),
                    ("environment", signals(enrolment.environment).into()),
                    ("app_version", enrolment.app_version.as_str().into()),
                    ("protection", named(&enrolment.protection, enrolment.protection.number())),
                ]),
            ),
            ("evidence".to_owned(), Value::List(pieces)),
        ],
    })
}

fn deny_list(bytes: &[u8], message: &Sign1<'_>, keys: Option<&KeySet>) -> Result<Explanation, Fault> {
    const SEEMS: &str = "a deny list";
    let (_, list) = DenyList::claimed(bytes)
        .map_err(|error| message_fault(SEEMS, message, DENY_LIST_CLAIMS, error.reason()))?;
    let mut instances: Vec<_> = list.instances.iter().map(|instance| instance.to_base64url()).collect();
    instances.sort_unstable();
    let mut key_ids: Vec<_> = list.key_ids.iter().map(|key_id| text_or_hex(key_id)).collect();
    key_ids.sort_unstable();
    let mut subjects: Vec<_> = list.subjects.iter().map(|subject| base64url(subject.as_bytes())).collect();
    subjects.sort_unstable();
    let texts = |texts: Vec<String>| Value::List(texts.into_iter().map(Value::Text).collect());
    Ok(Explanation {
        kind: "deny-list",
        what: "A deny list: instances, keys and users that edges refuse before their results expire.",
        validity: Some(Validity { from: None, until: list.expires_at }),
        checks: vec![
            signature(message, keys),
            Check::not_verified("sequence", "only an edge knows which sequence it has already seen"),
        ],
        parts: vec![
            ("header".to_owned(), header(message)),
            (
                "claims".to_owned(),
                members([
                    ("iss", list.issuer.into()),
                    ("iat", list.issued_at.into()),
                    ("exp", list.expires_at.into()),
                    ("sequence", list.sequence.into()),
                    ("instances", texts(instances)),
                    ("keys", texts(key_ids)),
                    ("subjects", texts(subjects)),
                ]),
            ),
        ],
    })
}

fn piece(evidence: &Evidence) -> Value {
    let unreadable = |fault: Fault| Value::Text(format!("{}: {}", fault.reason, fault.at));
    let content = match evidence {
        Evidence::AppAttest { attestation_object, .. } => {
            evidence::attestation(attestation_object).map_err(unreadable)
        }
        Evidence::AppAttestAssertion { assertion } => evidence::assertion(assertion).map_err(unreadable),
        Evidence::AndroidKey { chain } => Ok(evidence::chain(chain)),
        // Not every token of Google's has the form of those that its console's keys open.
        Evidence::PlayIntegrity { token } => Ok(play_integrity::outside(token)
            .unwrap_or_else(|_| Value::Text(format!("{} characters", token.len())))),
        Evidence::DevelopmentKey { key_id, .. } => Ok(members([("key_id", key_id.as_str().into())])),
    };
    members([("kind", evidence.kind().into()), ("says", content.unwrap_or_else(|unreadable| unreadable))])
}

fn header(message: &Sign1<'_>) -> Value {
    let header = message.header();
    members([
        ("alg", Value::text(format!("{} ({})", header.algorithm.jose(), header.algorithm.cose()))),
        ("kid", header.key_id.map(text_or_hex).into()),
        ("typ", header.typ.into()),
    ])
}

fn key(key: &PublicKey) -> Value {
    let jwk = key.to_jwk();
    Value::Text(format!("{} {}, jkt {}", jwk.kty, jwk.crv, key.thumbprint().to_base64url()))
}

/// An enumeration by the name that JSON has for it.
fn named(value: &impl serde::Serialize, number: u8) -> Value {
    let name = serde_json::to_value(value).ok().and_then(|name| name.as_str().map(str::to_owned));
    Value::Named(name.unwrap_or_default(), number.into())
}

fn trust_vector(vector: &TrustVector) -> Value {
    let claim = |(claim, value): (TrustClaim, i8)| (claim.name().to_owned(), Value::Number(value.into()));
    Value::Members(vector.claims().map(claim).collect())
}

fn text_or_hex(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn signature(message: &Sign1<'_>, keys: Option<&KeySet>) -> Check {
    let Some(keys) = keys else {
        return Check::not_verified("signature", "give the service's keys with --jwks FILE");
    };
    let key_id = message.header().key_id.and_then(|key_id| std::str::from_utf8(key_id).ok());
    let Some(key) = keys.find(key_id) else {
        return Check::failed("signature", format!("{} has no key of that kid", keys.name));
    };
    match key.public_key.map(|key| message.verify(&key, &AwsLc)) {
        Some(Ok(())) => Check::verified("signature", format!("by the key of that kid in {}", keys.name)),
        _ => Check::failed("signature", format!("it is not of the key of that kid in {}", keys.name)),
    }
}

fn sign1_fault(bytes: &[u8], reason: &'static str) -> Fault {
    let seems = "a COSE_Sign1";
    if let Some((at, error)) = encoding_fault(bytes) {
        return Fault { seems, reason: error.reason(), at: format!("byte {at} of {}", bytes.len()) };
    }
    let mut decoder = minicbor::Decoder::new(bytes);
    if decoder.array().ok().flatten() != Some(4) {
        return Fault { seems, reason, at: "it is no array of four members".to_owned() };
    }
    // In the order in which `Sign1` looks at them.
    let protected = decoder.bytes().unwrap_or_default();
    let unprotected = decoder.map();
    let payload = decoder.bytes().unwrap_or_default();
    let signature = decoder.bytes().unwrap_or_default();
    let at = if !matches!(unprotected, Ok(Some(0))) {
        "the unprotected header is not an empty map".to_owned()
    } else if signature.len() != SIGNATURE_LENGTH {
        format!("the signature has {} bytes, not {SIGNATURE_LENGTH}", signature.len())
    } else if let Some((at, _)) = encoding_fault(payload) {
        format!("byte {at} of the payload")
    } else if let Some((at, _)) = encoding_fault(protected) {
        format!("byte {at} of the protected header")
    } else {
        "the protected header is not alg (ESP256 or Ed25519), typ and at most kid".to_owned()
    };
    Fault { seems, reason, at }
}

fn message_fault(seems: &'static str, message: &Sign1<'_>, claims: &[Claim], reason: &'static str) -> Fault {
    let at = claims_fault(message.payload(), claims).unwrap_or_else(|| {
        "alg or kid are not those of its typ, or the value of a claim is out of its range".to_owned()
    });
    Fault { seems, reason, at }
}

/// The bits, and what they are called.
fn signals(bits: u64) -> String {
    if bits == 0 { format!("{bits:#b}") } else { format!("{bits:#b} ({})", Environment(bits)) }
}
