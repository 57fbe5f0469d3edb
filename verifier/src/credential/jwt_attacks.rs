//! What attackers do with access tokens: another algorithm, a key that comes along, another kind of token.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use countersign_core::encoding::{base64url, from_base64url};
use countersign_core::token::jose::JwsError;
use serde_json::{Value, json};

use super::jwks::Jwks;
use super::jwt::{AccessToken, AccessTokenError, UnverifiedAccessToken};

const ISSUER: &str = "https://as.example";
const AUDIENCE: &str = "https://api.example";

fn ed25519() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn attacker() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[66; 32]).unwrap()
}

fn ed25519_jwk(key: &Ed25519KeyPair) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": base64url(key.public_key().as_ref())})
}

fn ec_jwk(crv: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    json!({"kty": "EC", "crv": crv, "kid": "k", "x": base64url(x), "y": base64url(y)})
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "user", "client_id": "app", "aud": AUDIENCE, "jti": "1",
        "iat": 1_800_000_000u64, "exp": 1_800_000_600u64,
    })
}

fn header(alg: &str) -> Value {
    json!({"alg": alg, "typ": "at+jwt", "kid": "k"})
}

/// The token with `header` and `claims` as they are, signed by `sign`.
fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let segment = |value: &Value| base64url(value.to_string().as_bytes());
    let input = format!("{}.{}", segment(header), segment(claims));
    let signature = sign(input.as_bytes());
    format!("{input}.{}", base64url(&signature))
}

fn by_ed25519(header: &Value, claims: &Value) -> String {
    token(header, claims, |input| ed25519().sign(input).as_ref().to_vec())
}

fn verdict(token: &str, key: &Value) -> Result<AccessToken, AccessTokenError> {
    let keys = Jwks::decode(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
    UnverifiedAccessToken::decode(token)?.verify(ISSUER, &keys, AUDIENCE)
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    let key = ed25519_jwk(&ed25519());
    assert!(verdict(&by_ed25519(&header("EdDSA"), &claims()), &key).is_ok());
    for alg in ["none", "None", "NONE", "noNE", "nOnE", "", " none", "none ", "eddsa", "EDDSA"] {
        let signed = by_ed25519(&header(alg), &claims());
        assert_eq!(verdict(&signed, &key), Err(AccessTokenError::Signature), "{alg:?}");
        let (unsigned, _) = signed.rsplit_once('.').unwrap();
        let segments = Err(AccessTokenError::Encoding(JwsError::Segments));
        assert_eq!(verdict(&format!("{unsigned}."), &key), segments, "{alg:?} and no signature");
        assert_eq!(verdict(unsigned, &key), segments);
    }
    for alg in [json!(0), json!(["EdDSA"]), json!(null), json!({"EdDSA": 1}), json!(true)] {
        let mut odd = header("");
        odd["alg"] = alg.clone();
        let refused = verdict(&by_ed25519(&odd, &claims()), &key);
        assert_eq!(refused, Err(AccessTokenError::Encoding(JwsError::Algorithm)), "{alg}");
    }
    let missing = json!({"typ": "at+jwt", "kid": "k"});
    let refused = verdict(&by_ed25519(&missing, &claims()), &key);
    assert_eq!(refused, Err(AccessTokenError::Encoding(JwsError::Algorithm)));
}

#[test]
fn a_public_key_is_no_secret_of_a_mac() {
    let key = ed25519_jwk(&ed25519());
    let raw = ed25519().public_key().as_ref().to_vec();
    let der = [&b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"[..], &raw].concat();
    let pem = {
        use base64ct::{Base64, Encoding};
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", Base64::encode_string(&der))
    };
    for secret in [raw, der, pem.into_bytes(), key.to_string().into_bytes(), Vec::new()] {
        let forged = token(&header("HS256"), &claims(), |input| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), input).as_ref().to_vec()
        });
        assert_eq!(verdict(&forged, &key), Err(AccessTokenError::Signature), "{} bytes", secret.len());
    }
}

#[test]
fn a_key_verifies_nothing_but_its_own_algorithm() {
    let random = SystemRandom::new();
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let p256_jwk = ec_jwk("P-256", p256.public_key().as_ref());
    let p384_jwk = ec_jwk("P-384", p384.public_key().as_ref());
    let sign = |pair: &EcdsaKeyPair, alg| {
        token(&header(alg), &claims(), |input| pair.sign(&random, input).unwrap().as_ref().to_vec())
    };
    assert!(verdict(&sign(&p256, "ES256"), &p256_jwk).is_ok());
    assert!(verdict(&sign(&p384, "ES384"), &p384_jwk).is_ok());
    let refused = Err(AccessTokenError::Signature);
    for alg in ["ES384", "ES512", "ES256K", "EdDSA", "RS256", "PS256"] {
        assert_eq!(verdict(&sign(&p256, alg), &p256_jwk), refused, "{alg} with P-256");
    }
    for alg in ["ES256", "ES512", "EdDSA", "RS256"] {
        assert_eq!(verdict(&sign(&p384, alg), &p384_jwk), refused, "{alg} with P-384");
    }
    let mut bound = p256_jwk.clone();
    bound["alg"] = "ES256".into();
    assert!(verdict(&sign(&p256, "ES256"), &bound).is_ok());
}

#[test]
fn an_rsa_key_takes_what_its_alg_names() {
    let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let modulus = rsa.public_key().modulus().big_endian_without_leading_zero().to_vec();
    let exponent = rsa.public_key().exponent().big_endian_without_leading_zero().to_vec();
    let jwk = json!({"kty": "RSA", "kid": "k", "n": base64url(&modulus), "e": base64url(&exponent)});
    let sign = |alg| {
        token(&header(alg), &claims(), |input| {
            let mut signature = vec![0; modulus.len()];
            rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).unwrap();
            signature
        })
    };
    assert!(verdict(&sign("RS256"), &jwk).is_ok());
    for alg in ["PS256", "RS384", "RS512", "ES256", "HS256"] {
        assert_eq!(verdict(&sign(alg), &jwk), Err(AccessTokenError::Signature), "{alg}");
    }
    let mut for_pss = jwk;
    for_pss["alg"] = "PS256".into();
    assert_eq!(verdict(&sign("RS256"), &for_pss), Err(AccessTokenError::Signature));
}

#[test]
fn keys_of_curves_that_do_not_sign_are_left_out() {
    for crv in ["X25519", "Ed448", "X448", "P-521", "secp256k1", "p-256"] {
        for kty in ["OKP", "EC"] {
            let mut key = ed25519_jwk(&ed25519());
            (key["kty"], key["crv"], key["y"]) = (kty.into(), crv.into(), key["x"].clone());
            let refused = verdict(&by_ed25519(&header("EdDSA"), &claims()), &key);
            assert_eq!(refused, Err(AccessTokenError::UnknownKey), "{kty} {crv}");
        }
    }
}

#[test]
fn a_key_that_a_token_brings_along_is_not_used() {
    let key = ed25519_jwk(&ed25519());
    let mut foreign = ed25519_jwk(&attacker());
    foreign["kid"] = "k".into();
    for (member, value) in [
        ("jwk", foreign),
        ("jku", json!("https://attacker.example/jwks")),
        ("x5u", json!("file:///etc/passwd")),
        ("x5c", json!(["MIIB"])),
        ("x5t#S256", json!("AAAA")),
    ] {
        let mut with = header("EdDSA");
        with[member] = value;
        let forged = token(&with, &claims(), |input| attacker().sign(input).as_ref().to_vec());
        assert_eq!(verdict(&forged, &key), Err(AccessTokenError::Signature), "{member}");
        // Nothing is fetched or read from there either: the decision is a function of what was handed in.
        assert!(verdict(&by_ed25519(&with, &claims()), &key).is_ok(), "{member} is of no interest");
    }
}

#[test]
fn a_key_id_is_a_name_and_nothing_else() {
    let key = ed25519_jwk(&ed25519());
    for kid in [
        "../../keys/k".to_owned(),
        "k\0".to_owned(),
        "K".to_owned(),
        " k".to_owned(),
        "' OR '1'='1".to_owned(),
        "https://attacker.example/k".to_owned(),
        "k".repeat(5000),
        String::new(),
    ] {
        let mut with = header("EdDSA");
        with["kid"] = kid.clone().into();
        let refused = verdict(&by_ed25519(&with, &claims()), &key);
        assert_eq!(refused, Err(AccessTokenError::UnknownKey), "{} characters", kid.len());
    }
    let mut too_long = header("EdDSA");
    too_long["kid"] = "k".repeat(10_000).into();
    let refused = verdict(&by_ed25519(&too_long, &claims()), &key);
    assert_eq!(refused, Err(AccessTokenError::Encoding(JwsError::TooLong)));
    // A number is no name: such a token names no key, and means the set's only one.
    let mut number = header("EdDSA");
    number["kid"] = 1.into();
    assert!(verdict(&by_ed25519(&number, &claims()), &key).is_ok());
    let forged = token(&number, &claims(), |input| attacker().sign(input).as_ref().to_vec());
    assert_eq!(verdict(&forged, &key), Err(AccessTokenError::Signature));
}

#[test]
fn tokens_of_other_kinds_are_no_access_tokens() {
    let key = ed25519_jwk(&ed25519());
    for typ in [
        "JWT",
        "logout+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "oauth-client-attestation+jwt",
        "oauth-client-attestation-pop+jwt",
        "dpop+jwt",
        "kb+jwt",
        "at+jwt;charset=utf-8",
        "application/jwt",
    ] {
        let mut with = header("EdDSA");
        with["typ"] = typ.into();
        let refused = verdict(&by_ed25519(&with, &claims()), &key);
        assert_eq!(refused, Err(AccessTokenError::Typ), "{typ}");
    }
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        let mut with = header("EdDSA");
        with["typ"] = typ.into();
        assert!(verdict(&by_ed25519(&with, &claims()), &key).is_ok(), "{typ}");
    }
}

#[test]
fn the_key_of_one_issuer_signs_for_no_other() {
    let mut of_other = claims();
    of_other["iss"] = "https://other-as.example".into();
    let signed = by_ed25519(&header("EdDSA"), &of_other);
    let key = ed25519_jwk(&ed25519());
    assert_eq!(verdict(&signed, &key), Err(AccessTokenError::UnknownIssuer));
    // Looked up with the keys of the issuer that it names, it was not signed by those.
    let keys = Jwks::decode(json!({"keys": [ed25519_jwk(&attacker())]}).to_string().as_bytes()).unwrap();
    let with_their_keys = UnverifiedAccessToken::decode(&signed).unwrap();
    let refused = with_their_keys.verify("https://other-as.example", &keys, AUDIENCE);
    assert_eq!(refused, Err(AccessTokenError::Signature));
    for iss in ["https://as.example/", "https://AS.example", "http://as.example", "https://as.example.evil"] {
        let mut similar = claims();
        similar["iss"] = iss.into();
        let refused = verdict(&by_ed25519(&header("EdDSA"), &similar), &key);
        assert_eq!(refused, Err(AccessTokenError::UnknownIssuer), "{iss}");
    }
}

#[test]
fn times_that_are_none_are_refused() {
    let key = ed25519_jwk(&ed25519());
    for (claim, value) in [
        ("exp", json!(u64::MAX as f64)),
        ("exp", json!(1_800_000_000u64)),
        ("exp", json!(1_799_999_999u64)),
        ("iat", json!(-1)),
        ("nbf", json!(1.5)),
        ("exp", json!([1_800_000_600u64])),
    ] {
        let mut with = claims();
        with[claim] = value.clone();
        let refused = verdict(&by_ed25519(&header("EdDSA"), &with), &key);
        assert_eq!(refused, Err(AccessTokenError::Claims), "{claim} {value}");
    }
    let written_out =
        r#"{"iss":"https://as.example","aud":"https://api.example","exp":18446744073709551616,"iat":1}"#;
    let input = format!(
        "{}.{}",
        base64url(header("EdDSA").to_string().as_bytes()),
        base64url(written_out.as_bytes())
    );
    let signed = format!("{input}.{}", base64url(ed25519().sign(input.as_bytes()).as_ref()));
    assert_eq!(verdict(&signed, &key), Err(AccessTokenError::Claims), "above 64 bits");
}

#[test]
fn an_opaque_token_an_encrypted_one_and_a_json_serialisation_are_no_access_tokens() {
    let key = ed25519_jwk(&ed25519());
    let good = by_ed25519(&header("EdDSA"), &claims());
    let [protected, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three") };
    let flattened = json!({"protected": protected, "payload": payload, "signature": signature}).to_string();
    for token in [
        "2YotnFZFEjr1zCsicMWpAA".to_owned(),
        format!("{good}.{payload}.{signature}"),
        format!("{protected}.{payload}"),
        flattened,
        format!("{good},{good}"),
        format!("{good} "),
        format!("{protected}..{signature}"),
    ] {
        assert!(matches!(verdict(&token, &key), Err(AccessTokenError::Encoding(_))), "{token}");
    }
}

#[test]
fn the_signature_of_another_length_or_form_is_refused() {
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let jwk = ec_jwk("P-256", p256.public_key().as_ref());
    let good = token(&header("ES256"), &claims(), |input| {
        p256.sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec()
    });
    let (input, signature) = good.rsplit_once('.').unwrap();
    let raw = from_base64url(signature).unwrap();
    let (r, s) = raw.split_at(32);
    let integer = |bytes: &[u8]| [&[2, 33, 0], bytes].concat();
    let der = [vec![0x30, 70], integer(r), integer(s)].concat();
    for other in [
        raw[..63].to_vec(),
        [&raw[..], &[0]].concat(),
        [&[0][..], &raw].concat(),
        der,
        vec![0; 64],
        vec![0xff; 64],
        [&[0; 32], s].concat(),
        [r, &[0; 32]].concat(),
    ] {
        let changed = format!("{input}.{}", base64url(&other));
        assert_eq!(verdict(&changed, &jwk), Err(AccessTokenError::Signature), "{} bytes", other.len());
    }
    assert!(verdict(&good, &jwk).is_ok());
}
