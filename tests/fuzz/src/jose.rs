//! Compact JWS, strict JSON and key sets.

use countersign_core::encoding::{base64url, from_base64url};
use countersign_core::token::client_attestation::{
    ClientAttestation, DecodedClientAttestation, DecodedClientAttestationPop,
};
use countersign_core::token::dpop::{DecodedDpop, DpopProof};
use countersign_core::token::jose::{Jws, strict_object};
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::MAX_LIFETIME;
use countersign_verifier::credential::jwks::{Jwks, MAX_KEYS};
use serde_json::{Map, Value};

use super::{choose, chosen, world};

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    match choice {
        0 => {
            if let Ok(object) = strict_object(data) {
                let theirs: Map<String, Value> = serde_json::from_slice(data).expect("serde_json reads it");
                assert_eq!(object, theirs);
                if let Ok(key) = PublicKey::from_jwk(&object) {
                    let again = serde_json::to_value(key.to_jwk()).expect("JSON");
                    let again = PublicKey::from_jwk(again.as_object().expect("an object"));
                    assert_eq!(again, Ok(key));
                }
            }
        }
        1 => {
            if let Ok(set) = Jwks::decode(data) {
                assert!(set.keys().len() <= MAX_KEYS);
                for key in set.keys() {
                    assert!(!key.verifies("none", "e30.e30", ""), "nothing is signed by nobody");
                    assert!(!key.verifies("HS256", "e30.e30", &base64url(&[0; 32])));
                }
            }
        }
        _ => {
            let Ok(token) = std::str::from_utf8(data) else { return };
            if let Ok(jws) = Jws::decode(token) {
                let again = format!("{}.{}", jws.signing_input, base64url(&jws.signature));
                assert_eq!(again, token, "one text per token");
                let header = token.split('.').next().expect("a segment");
                let header = from_base64url(header).expect("base64url");
                let theirs: Map<String, Value> = serde_json::from_slice(&header).expect("JSON");
                assert_eq!(jws.header, theirs);
                assert!(!jws.header.contains_key("crit"));
                assert!(jws.header.get("alg").is_some_and(Value::is_string));
            }
            if let Ok(attestation) = DecodedClientAttestation::decode(token) {
                let claims = &attestation.claims;
                assert_eq!(claims.instance_jkt, claims.confirmation.thumbprint(), "one key");
                assert!(claims.expires_at.seconds_since(claims.issued_at) <= MAX_LIFETIME);
            }
            if let Ok(proof) = DecodedDpop::decode(token) {
                assert_eq!(proof.jws.algorithm(), proof.key.algorithm().jose(), "the key's own algorithm");
            }
            let _ = DecodedClientAttestationPop::decode(token);
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let key = world::session();
    let instance_key = world::android().instance_key();
    let claims = world::result_claims(key.public_key());
    let attestation = ClientAttestation {
        issuer: world::ISSUER,
        client_id: world::CLIENT,
        issued_at: world::NOW,
        expires_at: world::NOW.plus(600),
        instance_key: &instance_key,
        result: Some(&claims),
    };
    let dpop = DpopProof {
        token_id: "e1j3V_bKic8-LAEB",
        method: "GET",
        target: "https://api.example/v1",
        issued_at: world::NOW,
        nonce: None,
        ath: Some([1; 32]),
        query: None,
        content: None,
    };
    let jwt = |unsigned: countersign_core::token::jose::UnsignedJwt| {
        let signature = key.sign(unsigned.to_be_signed());
        chosen(2, unsigned.with_signature(&signature).as_bytes())
    };
    let keys = [("a", &key.public_key()), ("b", &instance_key)];
    let set = countersign_verifier::issue::jwks(keys).to_string();
    let jwk = serde_json::to_vec(&instance_key.to_jwk()).expect("JSON");
    vec![
        jwt(attestation.to_unsigned("key-1")),
        jwt(dpop.to_unsigned(&instance_key)),
        chosen(1, set.as_bytes()),
        chosen(
            1,
            br#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-384","x":"","y":""}]}"#,
        ),
        chosen(0, &jwk),
        chosen(0, br#"{"a":[1,-1,1e2,null,true,{"b":"\u00e9"}]}"#),
    ]
}
