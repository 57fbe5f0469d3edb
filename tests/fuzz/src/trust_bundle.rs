//! Trust bundles from outside, and contents and status lists that the holder of the key might sign, at any time.

use std::sync::LazyLock;

use countersign_core::time::Timestamp;
use countersign_core::token::cose::{Header, Sign1, Unsigned};
use countersign_core::token::keys::Algorithm;
use countersign_verifier::boot_keys::BootKey;
use countersign_verifier::trust_bundle::{
    BundleContent, BundleError, BundledRoots, BundledStatusList, NotedBootKey, RootKind, TYP, TrustBundle,
};

use super::world::{self, NOW};
use super::{choose, chosen};

const LIST: &[u8] =
    br#"{"entries":{"c35747a084470c3135aeefe2b8d40cd6":{"status":"REVOKED","reason":"KEY_COMPROMISE"}}}"#;

/// A bundle with everything in it, and one with nothing.
static HONEST: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let full = content(LIST);
    let bare = BundleContent {
        expires_at: None,
        roots: vec![],
        status_list: None,
        boot_keys: vec![],
        ..full.clone()
    };
    [signed(&full), signed(&bare)]
});

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    let Some((now, data)) = world::time(data) else { return };
    let key = world::session().public_key();
    match choice {
        0 => {
            if let Ok(claimed) = BundleContent::claimed(data) {
                assert_eq!(
                    BundleContent::claimed(&signed(&claimed)),
                    Ok(claimed),
                    "written again it is the same"
                );
            }
            if TrustBundle::verify(data, &key, now).is_ok() {
                let known = HONEST.iter().any(|honest| honest == data);
                assert!(known, "a bundle that the holder of the key did not sign");
            }
        }
        1 => usable(&payload(data), now),
        _ => usable(&signed(&content(data)), now),
    }
}

/// What the holder of the key signs is refused, or whole and in its time.
fn usable(bytes: &[u8], now: Timestamp) {
    let key = world::session().public_key();
    let Ok(bundle) = TrustBundle::verify(bytes, &key, now) else { return };
    let content = BundleContent::claimed(bytes).expect("what is taken can be read");
    assert_eq!(
        BundleContent::claimed(&signed(&content)).as_ref(),
        Ok(&content),
        "written again it says the same"
    );
    assert_eq!(bundle.seen().version, content.version);
    assert!(bundle.expires_at().is_none_or(|expires_at| now < expires_at));
    assert!(bundle.issued_at() <= now.plus(60));
    assert_eq!(bundle.revocation().is_some(), content.status_list.is_some(), "no list is dropped");
    assert!(bundle.revocation().is_none_or(|list| !list.is_empty()), "a list that revokes nothing");
    assert_eq!(bundle.boot_keys().entries().len(), content.boot_keys.len());
    let anchors = bundle.anchors();
    assert!(!anchors.app_attest().is_empty() && !anchors.android_key().is_empty());
    let other = TrustBundle::verify(bytes, &world::phones()[0].instance_key(), now);
    assert_eq!(other, Err(BundleError::OtherKey));
}

fn payload(payload: &[u8]) -> Vec<u8> {
    let session = world::session();
    let key_id = session.public_key().thumbprint().to_base64url();
    let header = Header { algorithm: Algorithm::Ed25519, key_id: Some(key_id.as_bytes()), typ: TYP };
    let unsigned = Unsigned::new(&header, payload.to_vec());
    unsigned.with_signature(&session.sign(&unsigned.to_be_signed()))
}

fn signed(content: &BundleContent) -> Vec<u8> {
    let session = world::session();
    let unsigned = content.to_unsigned(&session.public_key());
    unsigned.with_signature(&session.sign(&unsigned.to_be_signed()))
}

fn content(list: &[u8]) -> BundleContent {
    let roots = |kind, replace, certificate| BundledRoots { kind, replace, certificates: vec![certificate] };
    let key = BootKey {
        verified_boot_key: [5; 32],
        name: "Another system".to_owned(),
        models: vec!["Phone 1".to_owned()],
    };
    BundleContent {
        version: 7,
        issued_at: NOW,
        expires_at: Some(NOW.plus(86_400)),
        roots: vec![
            roots(RootKind::AppAttest, false, world::apple().root_certificate_der()),
            roots(RootKind::AndroidKey, true, world::google().root_certificate_der()),
        ],
        status_list: Some(BundledStatusList { as_of: NOW.minus(60), json: list.to_vec() }),
        boot_keys: vec![NotedBootKey { key, note: "its own page".to_owned() }],
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![chosen(2, &[&[0; 4], LIST].concat())];
    for bundle in &*HONEST {
        for seconds in [0i32, 86_400, -61] {
            seeds.push(chosen(0, &[&seconds.to_le_bytes(), bundle.as_slice()].concat()));
        }
        let payload = Sign1::decode(bundle).expect("COSE").payload().to_vec();
        seeds.push(chosen(1, &[&[0; 4], payload.as_slice()].concat()));
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_honest_bundle_is_taken_in_its_time() {
        let key = world::session().public_key();
        assert!(TrustBundle::verify(&HONEST[0], &key, NOW).is_ok());
        assert!(TrustBundle::verify(&HONEST[0], &key, NOW.plus(86_400)).is_err());
    }
}
