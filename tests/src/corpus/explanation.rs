//! Why evidence with a given fault must be refused, and where that is written.

/// One reason in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Explanation {
    /// What would be lost if it were accepted.
    pub(super) why: &'static str,
    /// The document that demands the check.
    pub(super) reference: &'static str,
}

const APPLE: &str = "Apple, Validating apps that connect to your server";
const CHAIN: &str = "RFC 5280 section 6.1";
const DER: &str = "ITU-T X.690 section 10 and 11; RFC 5280 section 4.1";
const ANDROID: &str = "Android, Verify hardware-backed key pairs with key attestation";
const SCHEMA: &str = "Android, Key and ID attestation: schema of KeyDescription";
const CBOR: &str = "RFC 8949 section 5.3 and 5.6; WebAuthn Level 2 section 6.5.4";

/// The explanation of a stable reason or constraint.
///
/// # Panics
/// For a name that no case has had before: it wants a line here.
pub(super) fn explain(reason: &str) -> Explanation {
    let (why, reference) = match reason {
        "evidence_too_long" => {
            ("Whoever can make a verifier read without end can stop it.", "RFC 8949 section 10")
        }
        "evidence_malformed_cbor" => (
            "Two readers could take the same bytes for two different things; a check would then be made on other data than is used.",
            CBOR,
        ),
        "evidence_unknown_format" => (
            "Another format has other rules; these bytes were not made under the ones applied.",
            "WebAuthn Level 2 section 6.5.4",
        ),
        "evidence_malformed_authenticator_data" => (
            "The layout is fixed: what lies elsewhere is not what Apple's hardware put under the nonce.",
            "WebAuthn Level 2 section 6.1",
        ),
        "evidence_malformed_authenticator_extensions" => (
            "What follows the fixed part is signed too; a reader that skips what it cannot read would miss what it is told.",
            "WebAuthn Level 2 section 6.1",
        ),
        "evidence_missing_nonce" | "evidence_malformed_nonce" | "evidence_nonce_mismatch" => (
            "The nonce is the only thing that binds certificate, authenticator data and this challenge together: without it any genuine attestation can be replayed.",
            concat!("Apple, Validating apps that connect to your server", ", attestation steps 2 to 4"),
        ),
        "evidence_key_id_mismatch" => (
            "The server would store one key under the name of another.",
            concat!("Apple, Validating apps that connect to your server", ", attestation step 5"),
        ),
        "evidence_counter_not_zero" => (
            "A key that has signed before is not the fresh key that an attestation is about.",
            concat!("Apple, Validating apps that connect to your server", ", attestation step 7"),
        ),
        "evidence_credential_id_mismatch" => (
            "The data under the nonce speak of another key than the certificate.",
            concat!("Apple, Validating apps that connect to your server", ", attestation step 9"),
        ),
        "evidence_credential_key_mismatch" => (
            "A reader that takes the key from the authenticator data would store another key than was attested.",
            "WebAuthn Level 2 section 8.8",
        ),
        "evidence_counter_not_greater" => (
            "An assertion that was seen before, or was overtaken by another, would be taken for a new one.",
            concat!("Apple, Validating apps that connect to your server", ", assertion step 5"),
        ),
        "evidence_invalid_signature" => (
            "The attested key did not sign this.",
            concat!("Apple, Validating apps that connect to your server", ", assertion step 3"),
        ),
        "evidence_malformed_key" | "evidence_unsupported_key" => {
            ("What is attested must be a usable key of the kind that the platform makes.", APPLE)
        }
        "evidence_missing_key_description" => {
            ("Without it the certificate says nothing about its key.", ANDROID)
        }
        "evidence_misplaced_key_description" => (
            "A KeyDescription above the leaf marks a key that an app controls: it can sign any further certificate.",
            concat!(
                "Android, Verify hardware-backed key pairs with key attestation",
                ": use the extension closest to the root"
            ),
        ),
        "evidence_attest_key_chain" => (
            "An attestation key that an app made vouches for less than the chip's own; the extension nearest to the root speaks of that key, not of the leaf's.",
            "Android, Verify hardware-backed key pairs with key attestation: use the extension closest to the root",
        ),
        "evidence_misplaced_provisioning_info" => (
            "It speaks of the key that signs leaves, directly above them; anywhere else the chain was extended below that key.",
            "Android, Verify hardware-backed key pairs with key attestation: provisioning information extension",
        ),
        "evidence_malformed_key_description" | "evidence_unordered_key_description" => (
            "Secure hardware writes DER of this schema and nothing else; bytes that can be read in two ways let two readers see two devices.",
            SCHEMA,
        ),
        "evidence_challenge_mismatch" | "evidence_empty_challenge" => (
            "The challenge alone says that the attestation was made for us and now.",
            concat!(
                "Android, Verify hardware-backed key pairs with key attestation",
                ": attestationChallenge"
            ),
        ),
        "evidence_revoked" => (
            "The key of this certificate is known to be in the wrong hands.",
            "Android, Verify hardware-backed key pairs with key attestation: certificate revocation status list",
        ),
        "chain_length" => {
            ("A chain has a leaf and at least one certificate between it and the root, and an end.", CHAIN)
        }
        "chain_malformed_certificate" => (
            "A signature covers one encoding; an encoding that two readers decode differently can carry two names or two serial numbers.",
            DER,
        ),
        "chain_unknown_root" => (
            "Names can be copied; only the key of a trusted root can vouch.",
            concat!("RFC 5280 section 6.1", ".1 (d)"),
        ),
        "chain_misplaced_anchor" => {
            ("A root in the middle makes what stands above it look like part of the path.", CHAIN)
        }
        "chain_name_mismatch" => (
            "The certificate does not come from the one that stands above it.",
            concat!("RFC 5280 section 6.1", ".3 (a) (4)"),
        ),
        "certificate_signature_invalid" | "certificate_signature_malformed" => {
            ("The issuer did not sign this certificate.", concat!("RFC 5280 section 6.1", ".3 (a) (1)"))
        }
        "certificate_algorithm_unsupported" => {
            ("A signature is worth what its algorithm and key are worth.", "RFC 5480; RFC 8017")
        }
        "certificate_algorithm_parameters" => (
            "What a vendor's server signs has one encoding; only leaves that devices make are known for others.",
            "RFC 5758 section 3.2; RFC 4055 section 5",
        ),
        "chain_ml_dsa_unsupported" => {
            ("There is no root yet that signs with ML-DSA, and these signatures are none.", "RFC 9881")
        }
        "chain_expired" | "chain_not_yet_valid" => (
            "Outside its validity nobody answers for the certificate; short-lived keys are made short-lived on purpose.",
            concat!("RFC 5280 section 6.1", ".3 (a) (2)"),
        ),
        "chain_not_authority" => (
            "Only an authority may issue: or every attested key could attest further ones.",
            concat!("RFC 5280 section 6.1", ".4 (k) and (n)"),
        ),
        "chain_path_length" => (
            "The authority was not allowed to go this deep.",
            concat!("RFC 5280 section 6.1", ".4 (l) and (m)"),
        ),
        "chain_unknown_critical_extension" => {
            ("The issuer forbids to use the certificate without understanding it.", "RFC 5280 section 4.2")
        }
        "chain_leaf_is_authority" => {
            ("A key in an app's hands must not issue certificates.", "WebAuthn Level 2 section 8.2.1")
        }
        _ => return explain_constraint(reason),
    };
    Explanation { why, reference }
}

/// The explanation of a constraint of the families' policies.
fn explain_constraint(label: &str) -> Explanation {
    let (why, reference) = match label {
        "app-identity" => (
            "It is a genuine device with another app, perhaps the attacker's own: its evidence is worth nothing to ours.",
            "Apple, attestation step 6 and assertion step 4; Android, AttestationApplicationId",
        ),
        "environment" => (
            "Keys of the development environment can be had for a build that anybody made.",
            concat!("Apple, Validating apps that connect to your server", ", attestation step 8"),
        ),
        "validation-category" => (
            "The app did not come from the store: it may be a changed copy, signed by somebody else.",
            "Apple, App Attest validation category (iOS 27)",
        ),
        "security-level" => (
            "What software says about a key the owner of the software decides; and key and description have to live in the same hardware.",
            ANDROID,
        ),
        "strongbox-in-chain" => ("The claim is not backed by the certificates of a StrongBox.", ANDROID),
        "boot-state" | "device-locked" => (
            "Somebody else's system may run on the phone, and can make the app say anything.",
            "Android, Verified Boot: RootOfTrust",
        ),
        "os-patch-level" => {
            ("The policy demands newer patches: against this one exploits are public.", ANDROID)
        }
        "key-origin" => ("An imported key has copies outside of the hardware.", SCHEMA),
        "key-purpose" => (
            "The key can do more than sign, or cannot sign: a key that attests others can vouch for anything.",
            SCHEMA,
        ),
        "key-algorithm" | "key-curve" | "key-digest" => {
            ("Description and use differ: the key cannot make the signatures that are asked of it.", SCHEMA)
        }
        "application-bound" => ("Every app on the phone can use the key.", SCHEMA),
        other => panic!("{other} wants an explanation"),
    };
    Explanation { why, reference }
}
