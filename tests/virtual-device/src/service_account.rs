//! A virtual Google service account: the JSON with its private key, and the check that Google makes of what it signs.

use std::sync::OnceLock;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::KeySize,
    signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey},
};
use countersign_core::encoding::from_base64url;
use der::pem::{LineEnding, encode_string};
use serde_json::{Value, json};

/// The address of every virtual service account.
pub const EMAIL: &str = "countersign@project.iam.gserviceaccount.example";

/// The JSON that Google's console gives out, with the address where access tokens come from.
pub fn service_account_json(token_uri: &str) -> String {
    let der: Pkcs8V1Der<'_> = key().as_der().expect("a key that was made here can be written");
    let pem = encode_string("PRIVATE KEY", LineEnding::LF, der.as_ref()).expect("DER fits a PEM file");
    json!({
        "type": "service_account",
        "project_id": "project",
        "private_key_id": "virtual",
        "private_key": pem,
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": token_uri,
    })
    .to_string()
}

/// Header and claims of an assertion that the virtual service account signed; None for any other.
pub fn verify_assertion(jwt: &str) -> Option<(Value, Value)> {
    let (input, signature) = jwt.rsplit_once('.')?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key().public_key().as_ref());
    public.verify(input.as_bytes(), &from_base64url(signature).ok()?).ok()?;
    let (header, claims) = input.split_once('.')?;
    let json = |segment: &str| serde_json::from_slice(&from_base64url(segment).ok()?).ok();
    Some((json(header)?, json(claims)?))
}

/// One key for the whole run: RSA keys do not follow from a seed, and take their time.
fn key() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("the library makes RSA keys"))
}
