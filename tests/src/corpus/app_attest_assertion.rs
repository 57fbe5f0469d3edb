//! Assertions of App Attest: what a key that was attested before has signed.

use countersign_virtual_device::certificate::p256_public_key_info;
use countersign_virtual_device::{AppExtensions, VirtualIphone};
use serde::Serialize;

use super::app_attest::{self, client_data, ios_27, of_encoding, phone, sha256};
use super::case::Expected::{Accept, Contraindicated, Invalid};
use super::case::{Bytes, Case, Expected};
use super::cbor::{self, assertion_parts};
use super::{NOW, verdicts};

/// The counter that was stored before, unless a case says otherwise.
const STORED: u32 = 5;

pub(super) fn policy() -> app_attest::Policy {
    app_attest::policy()
}

#[derive(Serialize)]
pub(super) struct Input {
    /// CBOR.
    assertion: Bytes,
    key_id: Bytes,
    /// The stored key as a point, `04 || x || y`.
    public_key: Bytes,
    /// The same key as SubjectPublicKeyInfo, DER.
    public_key_spki: Bytes,
    client_data: String,
    client_data_hash: Bytes,
    previous_counter: u32,
    /// Seconds since 1970; nothing in an assertion depends on it.
    verify_at: u64,
}

pub(super) fn cases() -> Vec<Case<Input>> {
    let mut cases = honest();
    cases.extend(verdicts::APP_ATTEST_ASSERTION.iter().map(|(attack, expected)| {
        let id = attack.name();
        let phone = phone().counter(STORED).assertion_attack(*attack);
        case(&id, *expected, attack.description(), phone, STORED)
    }));
    cases.extend(counters());
    cases.extend(circumstances());
    cases.extend(signatures());
    cases.extend(encodings());
    cases
}

fn case(id: &str, expected: Expected, summary: &str, mut phone: VirtualIphone, stored: u32) -> Case<Input> {
    let assertion = phone.assert(&sha256(client_data(id)));
    with_assertion(id, expected, summary, &phone, assertion, stored)
}

/// A case whose stored key is the phone's, whatever the assertion is.
fn with_assertion(
    id: &str,
    expected: Expected,
    summary: &str,
    phone: &VirtualIphone,
    assertion: Vec<u8>,
    stored: u32,
) -> Case<Input> {
    let public_key = phone.app_attest_key().to_p256_sec1().expect("App Attest keys are P-256");
    let client_data = client_data(id);
    let input = Input {
        assertion: Bytes(assertion),
        key_id: Bytes(phone.key_id().to_vec()),
        public_key: Bytes(public_key.to_vec()),
        public_key_spki: Bytes(p256_public_key_info(&public_key)),
        client_data_hash: Bytes(sha256(&client_data).to_vec()),
        client_data,
        previous_counter: stored,
        verify_at: NOW.as_unix_seconds(),
    };
    Case::new(id, expected, summary, input)
}

fn honest() -> Vec<Case<Input>> {
    let [counted, first] = [phone().counter(STORED), phone()];
    let newer = |category, flag| phone().counter(STORED).ios_27(AppExtensions { flag, ..ios_27(category) });
    vec![
        case("honest", Accept, "an honest assertion", counted.clone(), STORED),
        case("honest-first", Accept, "the first assertion of a key, counter 1", first, 0),
        case("honest-ios-27", Accept, "an honest assertion of iOS 27", newer(4, false), STORED),
        case(
            "honest-ios-27-flag",
            Accept,
            "the same with the flag of extension data",
            newer(2, true),
            STORED,
        ),
        case(
            "honest-gap",
            Accept,
            "an honest assertion after many that were lost",
            phone().counter(1_000_000),
            STORED,
        ),
        case(
            "honest-counter-2-31",
            Accept,
            "the counter passes 2^31",
            phone().counter(0x7fff_ffff),
            0x7fff_ffff,
        ),
        case(
            "honest-counter-high",
            Accept,
            "both counters are above 2^31",
            phone().counter(0x8000_0010),
            0x8000_0005,
        ),
        case(
            "honest-counter-last",
            Accept,
            "the last counter there is",
            phone().counter(u32::MAX - 1),
            u32::MAX - 1,
        ),
        rewritten("honest-other-order", Accept, "an honest assertion in another order", |signature, data| {
            cbor::map(&[named("authenticatorData", data), named("signature", signature)])
        }),
    ]
}

/// The counter, which is all that tells an assertion from its copy.
fn counters() -> Vec<Case<Input>> {
    let refused = Invalid("evidence_counter_not_greater");
    let counters = [
        (
            "counter-race",
            "two assertions with the same counter, of a key used by two copies: the second",
            5,
            6,
        ),
        ("counter-overtaken", "an assertion that was overtaken by a later one", 5, 7),
        ("counter-far-behind", "an assertion from long ago", 1, 1_000_000),
        ("counter-behind-2-31", "the stored counter is above 2^31, the received one below", 5, 0x8000_0000),
        ("counter-at-the-end", "the last counter there is, once more", u32::MAX - 1, u32::MAX),
    ];
    let mut cases: Vec<_> = counters
        .map(|(id, summary, made_after, stored)| {
            case(id, refused, summary, phone().counter(made_after), stored)
        })
        .into();
    let zero = phone().assertion_attack(countersign_virtual_device::AssertionAttack::CounterZero);
    cases.push(case("counter-wrap", refused, "the counter wrapped around to zero", zero.clone(), u32::MAX));
    cases.push(case("counter-zero-first", refused, "the first assertion has counter zero", zero, 0));
    cases
}

/// Genuine assertions where they do not belong.
fn circumstances() -> Vec<Case<Input>> {
    let replayed = phone().counter(STORED).assert(&sha256(client_data("an earlier request")));
    let other = phone().of_somebody_else().counter(STORED);
    let mut somebody_else = other.clone();
    let of_other_phone = somebody_else.assert(&sha256(client_data("key-of-another-phone")));
    let twice = phone().counter(STORED).assert(&sha256(sha256(client_data("client-data-hashed-twice"))));
    let signature = Invalid("evidence_invalid_signature");
    let identity = Contraindicated(&["app-identity"]);
    let app = |team, bundle| phone().counter(STORED).app(team, bundle);
    let ours = phone();
    vec![
        with_assertion(
            "replayed",
            signature,
            "a genuine assertion over other client data",
            &ours,
            replayed,
            STORED,
        ),
        with_assertion(
            "key-of-another-phone",
            signature,
            "a genuine assertion by the key of another phone with the same app",
            &ours,
            of_other_phone,
            STORED,
        ),
        with_assertion(
            "client-data-hashed-twice",
            signature,
            "the hash of the hash of the client data is signed",
            &ours,
            twice,
            STORED,
        ),
        case(
            "other-team",
            identity,
            "the same bundle identifier of another team",
            app("ZYXWV98765", "com.example.app"),
            STORED,
        ),
        case(
            "bundle-goes-on",
            identity,
            "a bundle identifier that begins with ours",
            app("ABCDE12345", "com.example.app.evil"),
            STORED,
        ),
        case(
            "category-enterprise",
            Contraindicated(&["validation-category"]),
            "the validation category says enterprise or ad hoc",
            phone().counter(STORED).ios_27(ios_27(5)),
            STORED,
        ),
    ]
}

/// Signatures that some library might take for one.
fn signatures() -> Vec<Case<Input>> {
    type Rewrite = fn(&[u8]) -> Vec<u8>;
    let rewrites: [(&str, &str, Rewrite); 7] = [
        ("signature-zeros", "r and s are zero", |_| vec![0x30, 6, 2, 1, 0, 2, 1, 0]),
        ("signature-ones", "r and s are one", |_| vec![0x30, 6, 2, 1, 1, 2, 1, 1]),
        (
            "signature-long-length",
            "the length of the signature is in the long form, which BER allows",
            |signature| [&[0x30, 0x81, signature[1]], &signature[2..]].concat(),
        ),
        ("signature-padded-integer", "r has a zero byte more than it needs", |signature| {
            let (total, length) = (signature[1] + 1, signature[3] + 1);
            [&[0x30, total, 2, length, 0], &signature[4..]].concat()
        }),
        ("signature-trailing-byte", "a byte follows the signature", |signature| [signature, &[0]].concat()),
        ("signature-trailing-within", "a byte follows r and s within the signature", |signature| {
            [&[0x30, signature[1] + 2], &signature[2..], &[5, 0]].concat()
        }),
        ("signature-twice", "the signature stands twice", |signature| signature.repeat(2)),
    ];
    rewrites
        .map(|(id, summary, rewrite)| {
            rewritten(id, Invalid("evidence_invalid_signature"), summary, |signature, data| {
                cbor::map(&[named("signature", &rewrite(signature)), named("authenticatorData", data)])
            })
        })
        .into()
}

/// Genuine content in CBOR that is not Apple's.
fn encodings() -> Vec<Case<Input>> {
    type Rewrite = fn(&[u8], &[u8]) -> Vec<u8>;
    let malformed: [(&str, &str, Rewrite); 13] = [
        ("cbor-empty", "there is not a single byte", |_, _| Vec::new()),
        ("cbor-array", "an array of the members stands in place of the map", |signature, data| {
            cbor::array(&[cbor::bytes(signature), cbor::bytes(data)])
        }),
        (
            "cbor-self-described",
            "the assertion is within the tag of self-described CBOR",
            |signature, data| cbor::tagged(55799, &assertion(signature, data)),
        ),
        ("cbor-twice", "the same assertion stands twice", |signature, data| {
            assertion(signature, data).repeat(2)
        }),
        (
            "cbor-duplicate-signature",
            "signature stands twice, first empty and then right",
            |signature, data| {
                cbor::map(&[
                    named("signature", &[]),
                    named("signature", signature),
                    named("authenticatorData", data),
                ])
            },
        ),
        (
            "cbor-duplicate-data",
            "authenticatorData stands twice, the wrong one with a higher counter",
            |signature, data| {
                let mut raised = data.to_vec();
                raised[33] = 0x7f;
                let (wrong, right) = (named("authenticatorData", &raised), named("authenticatorData", data));
                cbor::map(&[named("signature", signature), wrong, right])
            },
        ),
        ("cbor-chunked-signature", "the signature is in chunks", |signature, data| {
            let chunked = (cbor::text("signature"), cbor::chunked_bytes(signature));
            cbor::map(&[chunked, named("authenticatorData", data)])
        }),
        ("cbor-tagged-data", "authenticatorData is within a tag", |signature, data| {
            let tagged = (cbor::text("authenticatorData"), cbor::tagged(24, &cbor::bytes(data)));
            cbor::map(&[named("signature", signature), tagged])
        }),
        ("cbor-no-signature", "there is no signature", |_, data| {
            cbor::map(&[named("authenticatorData", data)])
        }),
        ("cbor-no-data", "there are no authenticator data", |signature, _| {
            cbor::map(&[named("signature", signature)])
        }),
        ("cbor-null-signature", "the signature is null", |_, data| {
            cbor::map(&[(cbor::text("signature"), vec![0xf6]), named("authenticatorData", data)])
        }),
        ("cbor-numbers-for-names", "the names of the members are numbers", |signature, data| {
            cbor::map(&[(vec![1], cbor::bytes(signature)), (vec![2], cbor::bytes(data))])
        }),
        (
            "cbor-claims-more-members",
            "the map says that it has three members, and has two",
            |signature, data| {
                cbor::map_that_claims(3, &[named("signature", signature), named("authenticatorData", data)])
            },
        ),
    ];
    malformed.map(|(id, summary, rewrite)| rewritten(id, of_encoding(id), summary, rewrite)).into()
}

/// An honest assertion, taken apart and written anew.
fn rewritten(
    id: &str,
    expected: Expected,
    summary: &str,
    rewrite: impl Fn(&[u8], &[u8]) -> Vec<u8>,
) -> Case<Input> {
    let mut phone = phone().counter(STORED);
    let (signature, data) = assertion_parts(&phone.assert(&sha256(client_data(id))));
    with_assertion(id, expected, summary, &phone, rewrite(&signature, &data), STORED)
}

fn assertion(signature: &[u8], data: &[u8]) -> Vec<u8> {
    cbor::map(&[named("signature", signature), named("authenticatorData", data)])
}

fn named(name: &str, bytes: &[u8]) -> (cbor::Item, cbor::Item) {
    (cbor::text(name), cbor::bytes(bytes))
}
