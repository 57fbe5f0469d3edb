//! Attestations of App Attest.

use countersign_core::time::Timestamp;
use countersign_virtual_device::certificate::DAY;
use countersign_virtual_device::{
    AppAttestation, AppExtensions, AppleAuthority, Environment, GoogleAuthority, Seed, VirtualAndroid,
    VirtualIphone,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::case::Expected::{Accept, Contraindicated, Encoding, Invalid};
use super::case::{Bytes, Case, Expected};
use super::cbor::{self, Item, Parts, attestation_parts};
use super::{NOW, apple, seed, verdicts};

/// More than any tolerance for clocks that differ.
pub(super) const HOUR: u64 = 3600;
const TEAM: &str = "ABCDE12345";
const BUNDLE: &str = "com.example.app";

/// What the App Attest families are judged by.
#[derive(Serialize)]
pub(super) struct Policy {
    team_id: &'static str,
    bundle_id: &'static str,
    app_id: String,
    environment: &'static str,
    /// Accepted where the system tells the category (iOS 27 on): 2 TestFlight, 4 App Store.
    validation_categories: [u32; 2],
}

pub(super) fn policy() -> Policy {
    Policy {
        team_id: TEAM,
        bundle_id: BUNDLE,
        app_id: format!("{TEAM}.{BUNDLE}"),
        environment: "production",
        validation_categories: [2, 4],
    }
}

#[derive(Serialize)]
pub(super) struct Input {
    /// CBOR.
    attestation_object: Bytes,
    key_id: Bytes,
    client_data: String,
    client_data_hash: Bytes,
    /// Seconds since 1970.
    verify_at: u64,
}

pub(super) fn cases() -> Vec<Case<Input>> {
    let mut cases = honest();
    cases.extend(verdicts::APP_ATTEST.iter().map(|(attack, expected)| {
        let id = attack.name();
        let attestation = attest(&phone().attack(*attack), &id);
        case(&id, *expected, attack.description(), attestation, NOW)
    }));
    cases.extend(circumstances());
    cases.extend(spliced());
    cases.extend(encodings());
    cases
}

/// `honest-ios-26` of other phones.
pub(super) fn crowd(phones: usize) -> Vec<Case<Input>> {
    let of_phone = |number| {
        let id = format!("honest-ios-26~{number}");
        let phone = VirtualIphone::new(&apple(), &Seed::from_text(&id)).app(TEAM, BUNDLE);
        case(&id, Accept, "an honest attestation", attest(&phone, &id), NOW)
    };
    (0..phones).map(of_phone).collect()
}

/// The phone on which the app runs.
pub(super) fn phone() -> VirtualIphone {
    VirtualIphone::new(&apple(), &seed()).app(TEAM, BUNDLE)
}

/// What iOS 27 appends for an app of this category.
pub(super) fn ios_27(category: u32) -> AppExtensions {
    AppExtensions { bundle_version: "7".to_owned(), category, flag: false }
}

/// The client data of a case: every case has its own.
pub(super) fn client_data(id: &str) -> String {
    format!("challenge of the corpus for {id}")
}

pub(super) fn sha256(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn attest(phone: &VirtualIphone, id: &str) -> AppAttestation {
    phone.attest(&sha256(client_data(id)), NOW)
}

fn case(
    id: &str,
    expected: Expected,
    summary: &str,
    attestation: AppAttestation,
    verify_at: Timestamp,
) -> Case<Input> {
    let client_data = client_data(id);
    let input = Input {
        attestation_object: Bytes(attestation.object),
        key_id: Bytes(attestation.key_id.to_vec()),
        client_data_hash: Bytes(sha256(&client_data).to_vec()),
        client_data,
        verify_at: verify_at.as_unix_seconds(),
    };
    Case::new(id, expected, summary, input)
}

fn honest() -> Vec<Case<Input>> {
    let mut second_key = phone();
    second_key.generate_key();
    let phones = [
        ("honest-ios-26", "an honest attestation", phone()),
        ("honest-ios-14", "an honest attestation of an older system", phone().os_version("14.8")),
        (
            "honest-ios-27-app-store",
            "an honest attestation of iOS 27, app from the store",
            phone().ios_27(ios_27(4)),
        ),
        (
            "honest-ios-27-test-flight",
            "an honest attestation of iOS 27, app from TestFlight, with the flag of extension data",
            phone().ios_27(AppExtensions { flag: true, ..ios_27(2) }),
        ),
        ("honest-second-key", "an honest attestation of a second key", second_key),
        ("honest-other-phone", "an honest attestation of another phone", phone().of_somebody_else()),
    ];
    let mut cases: Vec<_> =
        phones.map(|(id, summary, phone)| case(id, Accept, summary, attest(&phone, id), NOW)).into();
    let times = [
        ("honest-first-second", "an honest attestation in the first second of its leaf", NOW.minus(DAY)),
        ("honest-last-second", "an honest attestation in the last second of its leaf", NOW.plus(2 * DAY)),
    ];
    cases.extend(times.map(|(id, summary, at)| case(id, Accept, summary, attest(&phone(), id), at)));
    cases.push(rewritten(
        "honest-other-order",
        Accept,
        "an honest attestation whose members stand in another order, which nobody promised",
        |parts| cbor::map(&[auth_data(parts), statement(parts), format_name()]),
    ));
    cases
}

/// Genuine attestations where they do not belong.
fn circumstances() -> Vec<Case<Input>> {
    let apps = [
        ("other-team", "the same bundle identifier of another team", "ZYXWV98765", BUNDLE),
        ("other-bundle", "another app of the same team", TEAM, "com.example.other"),
        ("bundle-goes-on", "a bundle identifier that begins with ours", TEAM, "com.example.app.evil"),
        ("bundle-cut", "a bundle identifier that ours begins with", TEAM, "com.example"),
        ("bundle-in-other-case", "our bundle identifier in capital letters", TEAM, "COM.EXAMPLE.APP"),
    ];
    let mut cases: Vec<_> = apps
        .map(|(id, summary, team, bundle)| {
            let attestation = attest(&phone().app(team, bundle), id);
            case(id, Contraindicated(&["app-identity"]), summary, attestation, NOW)
        })
        .into();
    let hash = |id: &str| sha256(client_data(id));
    let hashes: [(&str, &str, Vec<u8>); 4] = [
        ("replayed", "a genuine attestation for another challenge", hash("an earlier enrolment").to_vec()),
        ("client-data-hashed-twice", "the nonce covers the hash of the hash of the client data", {
            sha256(hash("client-data-hashed-twice")).to_vec()
        }),
        ("client-data-not-hashed", "the nonce covers the client data instead of their hash", {
            client_data("client-data-not-hashed").into_bytes()
        }),
        ("nonce-without-client-data", "the nonce covers the authenticator data only", Vec::new()),
    ];
    cases.extend(hashes.map(|(id, summary, hash)| {
        case(id, Invalid("evidence_nonce_mismatch"), summary, phone().attest(&hash, NOW), NOW)
    }));
    let times = [
        ("an-hour-late", "the leaf expired an hour ago", NOW.plus(2 * DAY + HOUR), "chain_expired"),
        ("an-hour-early", "the leaf is valid in an hour", NOW.minus(DAY + HOUR), "chain_not_yet_valid"),
    ];
    cases.extend(
        times.map(|(id, summary, at, reason)| case(id, Invalid(reason), summary, attest(&phone(), id), at)),
    );
    cases
}

/// Parts of several genuine attestations put together, and genuine ones changed after they were signed.
fn spliced() -> Vec<Case<Input>> {
    let mismatch = Invalid("evidence_nonce_mismatch");
    let changed = |id: &str, summary: &str, phone: VirtualIphone, change: &dyn Fn(&mut Vec<u8>)| {
        let mut attestation = attest(&phone, id);
        let mut parts = attestation_parts(&attestation.object);
        change(&mut parts.authenticator_data);
        attestation.object = object(&parts);
        case(id, mismatch, summary, attestation, NOW)
    };
    let mut cases = vec![
        changed(
            "environment-changed-after-nonce",
            "a key of the development environment whose AAGUID was changed afterwards",
            phone().environment(Environment::Development),
            &|data| data[37..53].copy_from_slice(&Environment::Production.aaguid()),
        ),
        changed(
            "app-changed-after-nonce",
            "an attestation of another app whose App ID hash was changed afterwards",
            phone().app(TEAM, "com.example.other"),
            &|data| data[..32].copy_from_slice(&sha256(format!("{TEAM}.{BUNDLE}"))),
        ),
        changed(
            "category-changed-after-nonce",
            "an app signed for development whose validation category was changed afterwards",
            phone().ios_27(ios_27(3)),
            &|data| {
                let at = data.len() - 4;
                data[at] = 4;
            },
        ),
        changed(
            "extensions-removed-after-nonce",
            "an app signed for development whose validation category was cut off afterwards",
            phone().ios_27(ios_27(3)),
            &|data| data.truncate(164),
        ),
    ];
    cases.push(rewritten(
        "authenticator-data-of-another-phone",
        mismatch,
        "the certificates of one genuine attestation over the authenticator data of another",
        |parts| {
            let other = attest(&phone().of_somebody_else(), "authenticator-data-of-another-phone");
            let other = attestation_parts(&other.object);
            object(&Parts { certificates: parts.certificates.clone(), ..other })
        },
    ));
    type Certificates = fn(&Parts) -> Vec<Vec<u8>>;
    let certificates: [(&str, &str, &str, Certificates); 4] = [
        ("chain-of-android", "the certificates of an Android key attestation", "chain_unknown_root", |_| {
            VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &seed()).attest(b"challenge", NOW)
        }),
        ("intermediate-twice", "the intermediate stands twice", "chain_name_mismatch", |parts| {
            let [leaf, intermediate] = two(parts);
            vec![leaf, intermediate.clone(), intermediate]
        }),
        (
            "intermediate-of-another-authority",
            "a genuine leaf under the intermediate of another authority with the same names",
            "chain_unknown_root",
            |parts| {
                let impostor = AppleAuthority::from_seed(&Seed::from_text("impostor"));
                let other = VirtualIphone::new(&impostor, &seed()).attest(&[0; 32], NOW);
                let [leaf, _] = two(parts);
                let [_, intermediate] = two(&attestation_parts(&other.object));
                vec![leaf, intermediate]
            },
        ),
        ("root-in-place-of-leaf", "the root stands where the leaf belongs", "chain_length", |_| {
            vec![apple().root_certificate_der()]
        }),
    ];
    cases.extend(certificates.map(|(id, summary, reason, certificates)| {
        rewritten(id, Invalid(reason), summary, |parts| {
            object(&Parts { certificates: certificates(parts), ..clone(parts) })
        })
    }));
    cases
}

/// Genuine content in CBOR that is not Apple's.
fn encodings() -> Vec<Case<Input>> {
    type Rewrite = fn(&Parts) -> Vec<u8>;
    let malformed: [(&str, &str, Rewrite); 20] = [
        ("cbor-empty", "there is not a single byte", |_| Vec::new()),
        ("cbor-array", "an array of the members stands in place of the map", |parts| {
            let (format, statement, data) = (format_name(), statement(parts), auth_data(parts));
            cbor::array(&[format.1, statement.1, data.1])
        }),
        ("cbor-self-described", "the object is within the tag of self-described CBOR", |parts| {
            cbor::tagged(55799, &object(parts))
        }),
        ("cbor-twice", "the same object stands twice", |parts| object(parts).repeat(2)),
        ("cbor-duplicate-statement", "attStmt stands twice", |parts| {
            cbor::map(&[format_name(), statement(parts), statement(parts), auth_data(parts)])
        }),
        ("cbor-duplicate-data-first-wrong", "authData stands twice, first wrong and then right", |parts| {
            cbor::map(&[format_name(), statement(parts), other_data(), auth_data(parts)])
        }),
        ("cbor-duplicate-data-last-wrong", "authData stands twice, first right and then wrong", |parts| {
            cbor::map(&[format_name(), statement(parts), auth_data(parts), other_data()])
        }),
        ("cbor-duplicate-certificates", "x5c stands twice, first empty and then right", |parts| {
            let empty = (cbor::text("x5c"), cbor::array(&[]));
            with_statement(parts, &cbor::map(&[empty, certificates(parts), receipt(parts)]))
        }),
        ("cbor-indefinite-certificates", "x5c is an array without a length", |parts| {
            let items: Vec<_> = parts.certificates.iter().map(|der| cbor::bytes(der)).collect();
            let x5c = (cbor::text("x5c"), cbor::indefinite_array(&items));
            with_statement(parts, &cbor::map(&[x5c, receipt(parts)]))
        }),
        ("cbor-certificates-as-text", "the certificates are base64 text", |parts| {
            use base64ct::{Base64, Encoding};
            let items: Vec<_> =
                parts.certificates.iter().map(|der| cbor::text(&Base64::encode_string(der))).collect();
            let x5c = (cbor::text("x5c"), cbor::array(&items));
            with_statement(parts, &cbor::map(&[x5c, receipt(parts)]))
        }),
        ("cbor-certificates-joined", "both certificates stand in one byte string", |parts| {
            let x5c = (cbor::text("x5c"), cbor::bytes(&parts.certificates.concat()));
            with_statement(parts, &cbor::map(&[x5c, receipt(parts)]))
        }),
        ("cbor-chunked-data", "authData is in chunks", |parts| {
            let chunked = (cbor::text("authData"), cbor::chunked_bytes(&parts.authenticator_data));
            cbor::map(&[format_name(), statement(parts), chunked])
        }),
        ("cbor-tagged-data", "authData is within a tag", |parts| {
            let (name, data) = auth_data(parts);
            cbor::map(&[format_name(), statement(parts), (name, cbor::tagged(24, &data))])
        }),
        ("cbor-null-data", "authData is null", |parts| {
            cbor::map(&[format_name(), statement(parts), (cbor::text("authData"), vec![0xf6])])
        }),
        ("cbor-format-as-bytes", "fmt is a byte string", |parts| {
            let format = (cbor::text("fmt"), cbor::bytes(b"apple-appattest"));
            cbor::map(&[format, statement(parts), auth_data(parts)])
        }),
        ("cbor-format-nested", "fmt is an array ten thousand levels deep", |parts| {
            let format = (cbor::text("fmt"), cbor::nested(10_000));
            cbor::map(&[format, statement(parts), auth_data(parts)])
        }),
        ("cbor-numbers-for-names", "the names of the members are numbers", |parts| {
            let (format, statement, data) = (format_name(), statement(parts), auth_data(parts));
            cbor::map(&[(vec![1], format.1), (vec![2], statement.1), (vec![3], data.1)])
        }),
        ("cbor-names-in-lower-case", "the member is named authdata", |parts| {
            let data = (cbor::text("authdata"), auth_data(parts).1);
            cbor::map(&[format_name(), statement(parts), data])
        }),
        ("cbor-claims-more-members", "the map says that it has four members, and has three", |parts| {
            cbor::map_that_claims(4, &[format_name(), statement(parts), auth_data(parts)])
        }),
        ("cbor-claims-fewer-members", "the map says that it has two members, and has three", |parts| {
            cbor::map_that_claims(2, &[format_name(), statement(parts), auth_data(parts)])
        }),
    ];
    let mut cases: Vec<_> =
        malformed.map(|(id, summary, rewrite)| rewritten(id, of_encoding(id), summary, rewrite)).into();
    cases.push(rewritten(
        "format-in-other-case",
        Invalid("evidence_unknown_format"),
        "fmt is Apple-AppAttest",
        |parts| {
            let format = (cbor::text("fmt"), cbor::text("Apple-AppAttest"));
            cbor::map(&[format, statement(parts), auth_data(parts)])
        },
    ));
    cases.push(rewritten(
        "too-long",
        Encoding("evidence_too_long"),
        "the object has 70,000 bytes",
        |parts| {
            let padding = (cbor::text("padding"), cbor::bytes(&[0; 64_000]));
            cbor::map(&[format_name(), statement(parts), auth_data(parts), padding])
        },
    ));
    cases
}

/// Of CBOR that is not Apple's: where two readers would find two contents, more than the encoding is wrong.
pub(super) fn of_encoding(id: &str) -> Expected {
    const REASON: &str = "evidence_malformed_cbor";
    if id.starts_with("cbor-duplicate") || id == "cbor-empty" { Invalid(REASON) } else { Encoding(REASON) }
}

/// An honest attestation, taken apart and written anew.
fn rewritten(
    id: &str,
    expected: Expected,
    summary: &str,
    rewrite: impl Fn(&Parts) -> Vec<u8>,
) -> Case<Input> {
    let mut attestation = attest(&phone(), id);
    attestation.object = rewrite(&attestation_parts(&attestation.object));
    case(id, expected, summary, attestation, NOW)
}

/// The object as the vendor writes it.
fn object(parts: &Parts) -> Vec<u8> {
    cbor::map(&[format_name(), statement(parts), auth_data(parts)])
}

fn with_statement(parts: &Parts, statement: &[u8]) -> Vec<u8> {
    cbor::map(&[format_name(), (cbor::text("attStmt"), statement.to_vec()), auth_data(parts)])
}

fn format_name() -> (Item, Item) {
    (cbor::text("fmt"), cbor::text("apple-appattest"))
}

fn statement(parts: &Parts) -> (Item, Item) {
    (cbor::text("attStmt"), cbor::map(&[certificates(parts), receipt(parts)]))
}

fn certificates(parts: &Parts) -> (Item, Item) {
    let items: Vec<_> = parts.certificates.iter().map(|der| cbor::bytes(der)).collect();
    (cbor::text("x5c"), cbor::array(&items))
}

fn receipt(parts: &Parts) -> (Item, Item) {
    (cbor::text("receipt"), cbor::bytes(&parts.receipt))
}

fn auth_data(parts: &Parts) -> (Item, Item) {
    (cbor::text("authData"), cbor::bytes(&parts.authenticator_data))
}

/// authData of another phone of the same app.
fn other_data() -> (Item, Item) {
    let other = attest(&phone().of_somebody_else(), "other data");
    auth_data(&attestation_parts(&other.object))
}

fn two(parts: &Parts) -> [Vec<u8>; 2] {
    parts.certificates.clone().try_into().expect("an honest phone sends two certificates")
}

fn clone(parts: &Parts) -> Parts {
    Parts {
        certificates: parts.certificates.clone(),
        receipt: parts.receipt.clone(),
        authenticator_data: parts.authenticator_data.clone(),
    }
}
