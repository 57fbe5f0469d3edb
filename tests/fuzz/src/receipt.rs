//! App Attest receipts, read and verified at any time.

use std::sync::LazyLock;

use countersign_core::time::Timestamp;
use countersign_verifier::evidence::app_attest::receipt::{
    Receipt, ReceiptSubject, ReceiptType, UnverifiedReceipt,
};
use countersign_verifier::evidence::app_attest::{AppAttestEnvironment, UnverifiedAttestation};
use countersign_verifier::policy::AppleApp;

use super::world::{self, ANCHORS, CHALLENGE, NOW};
use super::{choose, chosen};

/// A receipt with the attestation, one from its exchange, and what they say.
static HONEST: LazyLock<[(ReceiptType, Vec<u8>, Receipt); 2]> = LazyLock::new(|| {
    let object = world::iphone().attest(&CHALLENGE, NOW).object;
    let length = UnverifiedAttestation::read(&object).expect("honest").receipt_length.expect("a receipt");
    let name = b"\x67receipt";
    let at =
        object.windows(name.len()).position(|window| window == name).expect("a receipt") + name.len() + 3;
    let first = object[at..at + length].to_vec();
    let exchanged = world::iphone().exchanged_receipt(3, NOW);
    [(ReceiptType::Attest, first), (ReceiptType::Receipt, exchanged)].map(|(receipt_type, bytes)| {
        let receipt = verify(&bytes, receipt_type, NOW).expect("honest");
        (receipt_type, bytes, receipt)
    })
});

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    let Some((now, bytes)) = world::time(data) else { return };
    let read = UnverifiedReceipt::read(bytes);
    let Some((receipt_type, _, honest)) = HONEST.get(usize::from(choice)) else { return };
    if let Some(receipt) = verify(bytes, *receipt_type, now) {
        assert!(read.is_ok(), "what verifies can be read");
        assert_eq!(&receipt, honest, "a receipt that nobody made");
    }
}

fn verify(bytes: &[u8], receipt_type: ReceiptType, now: Timestamp) -> Option<Receipt> {
    let phone = world::iphone();
    let (app, key) = (AppleApp::from_app_id(phone.app_id()), phone.app_attest_key());
    let subject = ReceiptSubject {
        rp_id_hash: app.rp_id_hash(),
        public_key: &key,
        environment: AppAttestEnvironment::Production,
    };
    Receipt::verify(bytes, receipt_type, subject, &ANCHORS, now).ok()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (choice, (_, bytes, _)) in (0..).zip(&*HONEST) {
        for seconds in [0i32, 600, 2_000_000, -600] {
            seeds.push(chosen(choice, &[&seconds.to_le_bytes(), bytes.as_slice()].concat()));
        }
    }
    seeds
}
