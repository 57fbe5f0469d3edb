//! Keys: one form each way, points that are points, and signatures that are signatures.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use minicbor::Decoder;
use serde_json::{Value, json};

use countersign_core::encoding::from_base64url_array;
use countersign_core::token::keys::{
    Algorithm, InvalidSignature, KeyError, PublicKey, PureRust, VerifySignature,
};

fn from_jwk(jwk: Value) -> Result<PublicKey, KeyError> {
    PublicKey::from_jwk(jwk.as_object().unwrap())
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let bytes: Vec<u8> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

/// RFC 8037 appendix A.2.
fn ed25519_jwk() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

/// RFC 9449 section 4.1.
fn p256_jwk() -> Value {
    json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    })
}

fn with(mut jwk: Value, member: &str, value: Value) -> Value {
    jwk[member] = value;
    jwk
}

fn without(mut jwk: Value, member: &str) -> Value {
    jwk.as_object_mut().unwrap().remove(member).unwrap();
    jwk
}

#[test]
fn thumbprints_are_those_of_the_rfcs() {
    // RFC 8037 appendix A.3.
    let key = from_jwk(ed25519_jwk()).unwrap();
    assert_eq!(key.thumbprint().to_base64url(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    // RFC 9449 section 6.1.
    let key = from_jwk(p256_jwk()).unwrap();
    assert_eq!(key.thumbprint().to_base64url(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    // Members that are not required do not count (RFC 7638 section 3.2).
    let more = with(with(p256_jwk(), "kid", json!("a")), "use", json!("sig"));
    assert_eq!(from_jwk(more).unwrap().thumbprint(), key.thumbprint());
}

#[test]
fn a_key_is_the_same_in_every_form() {
    for jwk in [ed25519_jwk(), p256_jwk()] {
        let key = from_jwk(jwk.clone()).unwrap();
        assert_eq!(serde_json::to_value(key.to_jwk()).unwrap(), jwk);
        let mut bytes = Vec::new();
        key.encode_cose(&mut minicbor::Encoder::new(&mut bytes));
        countersign_core::cbor::deterministic(&bytes).unwrap();
        assert_eq!(PublicKey::decode_cose(&mut Decoder::new(&bytes)), Ok(key));
        use coset::CborSerializable;
        let theirs = coset::CoseKey::from_slice(&bytes).unwrap();
        assert_eq!(theirs.clone().to_vec().unwrap().len(), bytes.len());
        match key.algorithm() {
            Algorithm::Esp256 => {
                assert_eq!(theirs.kty, coset::KeyType::Assigned(coset::iana::KeyType::EC2));
                assert_eq!(PublicKey::from_p256_sec1(&key.to_p256_sec1().unwrap()), Ok(key));
                assert_eq!(key.as_ed25519(), None);
            }
            Algorithm::Ed25519 => {
                assert_eq!(theirs.kty, coset::KeyType::Assigned(coset::iana::KeyType::OKP));
                assert_eq!(PublicKey::from_ed25519(*key.as_ed25519().unwrap()), Ok(key));
                assert_eq!(key.to_p256_sec1(), None);
            }
        }
    }
}

#[test]
fn a_private_part_refuses_the_key() {
    for member in ["d", "p", "q", "dp", "dq", "qi", "k", "priv"] {
        for value in [json!("AA"), Value::Null] {
            for jwk in [ed25519_jwk(), p256_jwk()] {
                assert_eq!(from_jwk(with(jwk, member, value.clone())), Err(KeyError::PrivateKey), "{member}");
            }
        }
    }
    let mut bytes = vec![0xa4, 0x01, 0x01, 0x20, 0x06, 0x21, 0x58, 0x20];
    bytes.extend(from_base64url_array::<32>("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap());
    bytes.extend([0x23, 0x58, 0x20]);
    bytes.extend([1; 32]);
    assert_eq!(PublicKey::decode_cose(&mut Decoder::new(&bytes)), Err(KeyError::PrivateKey));
}

#[test]
fn a_jwk_of_another_shape_is_refused() {
    for (jwk, error) in [
        (json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}), KeyError::UnsupportedType),
        (with(p256_jwk(), "crv", json!("P-384")), KeyError::UnsupportedType),
        (with(ed25519_jwk(), "crv", json!("X25519")), KeyError::UnsupportedType),
        (with(ed25519_jwk(), "kty", json!("EC")), KeyError::UnsupportedType),
        (without(p256_jwk(), "crv"), KeyError::UnsupportedType),
        (without(p256_jwk(), "kty"), KeyError::Malformed),
        (without(p256_jwk(), "y"), KeyError::Malformed),
        (without(ed25519_jwk(), "x"), KeyError::Malformed),
        (
            with(ed25519_jwk(), "x", json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")),
            KeyError::Malformed,
        ),
        (with(ed25519_jwk(), "x", json!("AA")), KeyError::Malformed),
        (with(ed25519_jwk(), "x", json!(["a"])), KeyError::Malformed),
        (json!({}), KeyError::Malformed),
    ] {
        assert_eq!(from_jwk(jwk.clone()), Err(error), "{jwk}");
    }
}

#[test]
fn a_cose_key_of_another_shape_is_refused() {
    let x = [&[0x58, 0x20][..], &[0x11; 32]].concat();
    let point = &x[..];
    for (what, bytes) in [
        ("no map", vec![0x01]),
        ("empty", vec![0xa0]),
        ("no coordinate", vec![0xa2, 0x01, 0x01, 0x20, 0x06]),
        ("key id", [&[0xa4, 0x01, 0x01, 0x02, 0x41, 0x01, 0x20, 0x06, 0x21][..], point].concat()),
        ("text curve", [&[0xa3, 0x01, 0x01, 0x20, 0x61, 0x36, 0x21][..], point].concat()),
        ("short", vec![0xa3, 0x01, 0x01, 0x20, 0x06, 0x21, 0x41, 0x01]),
        ("sign bit for y", [&[0xa4, 0x01, 0x02, 0x20, 0x01, 0x21][..], point, &[0x22, 0xf5]].concat()),
    ] {
        let decoded = PublicKey::decode_cose(&mut Decoder::new(&bytes));
        assert_eq!(decoded, Err(KeyError::Malformed), "{what}");
    }
    for (what, head) in
        [("X25519", [0xa3, 0x01, 0x01, 0x20, 0x04]), ("EC2 with OKP's curve", [0xa3, 0x01, 0x02, 0x20, 0x06])]
    {
        let bytes = [&head[..], &[0x21], point].concat();
        assert_eq!(
            PublicKey::decode_cose(&mut Decoder::new(&bytes)),
            Err(KeyError::UnsupportedType),
            "{what}"
        );
    }
}

#[test]
fn points_off_the_curve_are_no_keys() {
    let key = from_jwk(p256_jwk()).unwrap().to_p256_sec1().unwrap();
    let (x, y): ([u8; 32], [u8; 32]) = (key[1..33].try_into().unwrap(), key[33..].try_into().unwrap());
    let mut off = y;
    off[31] ^= 1;
    // The field's prime itself, in place of a coordinate.
    let prime = hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
    for (x, y) in [(x, off), (off, x), ([0; 32], [0; 32]), (prime, y), (x, prime), ([0xff; 32], [0xff; 32])] {
        assert_eq!(PublicKey::from_p256_coordinates(x, y), Err(KeyError::InvalidPoint));
    }
}

#[test]
fn only_the_uncompressed_point_is_read() {
    let key = from_jwk(p256_jwk()).unwrap().to_p256_sec1().unwrap();
    let mut hybrid = key;
    hybrid[0] = 6 | key[64] & 1;
    let mut compressed = key[..33].to_vec();
    compressed[0] = 2 | key[64] & 1;
    let longer = [&key[..], &[0]].concat();
    for bytes in [&hybrid[..], &compressed, &longer, &key[..64], &[0], &[]] {
        assert_eq!(PublicKey::from_p256_sec1(bytes), Err(KeyError::Malformed), "{} bytes", bytes.len());
    }
}

#[test]
fn ed25519_keys_of_small_order_are_no_keys() {
    for point in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ] {
        assert_eq!(PublicKey::from_ed25519(hex(point)), Err(KeyError::InvalidPoint), "{point}");
    }
}

#[test]
fn an_ed25519_key_has_one_encoding() {
    // y between the field's prime and 2^255, with either sign: 38 encodings, each of a point that has another one.
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            assert_eq!(PublicKey::from_ed25519(bytes), Err(KeyError::InvalidPoint), "{low:x} {high:x}");
        }
    }
    // x = 0 with its sign set.
    let mut bytes = [0; 32];
    (bytes[0], bytes[31]) = (1, 0x80);
    assert_eq!(PublicKey::from_ed25519(bytes), Err(KeyError::InvalidPoint));
}

#[test]
fn an_ed25519_signature_has_one_form() {
    use ed25519_dalek::{Signer, SigningKey};
    let signing_key = SigningKey::from_bytes(&[7; 32]);
    let key = PublicKey::from_ed25519(signing_key.verifying_key().to_bytes()).unwrap();
    let signature = signing_key.sign(b"message").to_bytes();
    assert_eq!(PureRust.verify(&key, b"message", &signature), Ok(()));
    assert_eq!(PureRust.verify(&key, b"messagf", &signature), Err(InvalidSignature));
    // S + L verifies where S is not checked to be below the group's order (RFC 8032 section 5.1.7).
    let order: [u8; 32] = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut shifted = signature;
    let mut carry = 0u16;
    for (byte, order) in shifted[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert_eq!(PureRust.verify(&key, b"message", &shifted), Err(InvalidSignature));
    for length in [0, 63, 65] {
        assert_eq!(PureRust.verify(&key, b"message", &vec![1; length]), Err(InvalidSignature), "{length}");
    }
}

#[test]
fn a_p256_signature_is_r_and_s_and_never_zero() {
    use p256::ecdsa::signature::Signer;
    let signing_key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = signing_key.verifying_key().to_sec1_point(false);
    let key = PublicKey::from_p256_sec1(point.as_bytes()).unwrap();
    let signature: p256::ecdsa::Signature = signing_key.sign(b"message");
    let fixed = signature.to_bytes();
    assert_eq!(PureRust.verify(&key, b"message", &fixed), Ok(()));
    assert_eq!(PureRust.verify(&key, b"messagf", &fixed), Err(InvalidSignature));
    let order: [u8; 32] = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let zero = [0; 32];
    for (r, s) in [
        (&zero[..], &zero[..]),
        (&fixed[..32], &zero),
        (&zero, &fixed[32..]),
        (&order, &fixed[32..]),
        (&fixed[..32], &order),
    ] {
        assert_eq!(PureRust.verify(&key, b"message", &[r, s].concat()), Err(InvalidSignature));
    }
    assert_eq!(PureRust.verify(&key, b"message", &fixed[..63]), Err(InvalidSignature));
}
