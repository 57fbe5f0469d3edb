//! What the upstream is told of a permitted request: always every field, empty where nothing is known, so that no
//! copy of a client's survives.

use std::fmt::Write;

use countersign_core::encoding::base64url;
use countersign_core::token::result::{Protection, Tier};

use super::decision::{Credential, Decision, Permit};
use super::refusal::Reason;
use super::route::Assurance;

/// Names of the identity fields, in lower case. Inbound copies are removed before a request goes upstream.
pub const IDENTITY_FIELDS: [&str; 9] = [
    "x-attested-instance",
    "x-attested-client",
    "x-attested-tier",
    "x-attested-assurance",
    "x-attested-protection",
    "x-attested-subject",
    "x-attested-scope",
    "x-attested-content",
    "x-attested-replay",
];

/// Says of an observed request why it would have been refused; removed from inbound requests as well.
pub const VERDICT_FIELD: &str = "attestation-verdict";

/// The identity fields of a decision that lets a request pass, in the order of [`IDENTITY_FIELDS`].
pub fn identity_values(decision: &Decision) -> [String; 9] {
    match decision {
        Decision::Permit(permit) => of_permit(permit),
        _ => Default::default(),
    }
}

/// The value of [`VERDICT_FIELD`] for a reason.
pub fn verdict_value(reason: Reason) -> String {
    format!("refused; reason={}", reason.reason())
}

fn of_permit(permit: &Permit) -> [String; 9] {
    let claims = permit.attestation();
    [
        claims.instance.to_base64url(),
        visible(&claims.client_id),
        match claims.tier {
            Tier::Affirming => "affirming".to_owned(),
            Tier::Warning => "warning".to_owned(),
        },
        match permit.assurance() {
            // The session key signed: delegated by the instance key, itself in memory.
            Assurance::Session => "session".to_owned(),
            Assurance::Hardware => "hardware".to_owned(),
        },
        match claims.protection {
            Protection::Software => "software",
            Protection::Tee => "tee",
            Protection::Strongbox => "strongbox",
            Protection::SecureEnclave => "secure-enclave",
        }
        .to_owned(),
        match permit.credential() {
            Some(Credential::AccessToken(token)) => token.subject.as_deref().map(visible).unwrap_or_default(),
            // It begins with the kind of name, such as `dns:`.
            Some(Credential::ClientCertificate(holder)) => visible(&holder.name.to_string()),
            _ => String::new(),
        },
        permit.credential().map(|credential| visible(&credential.scopes().join(" "))).unwrap_or_default(),
        permit.content().map(|hash| base64url(hash)).unwrap_or_default(),
        // Only where a store is shared and did not answer.
        if permit.is_settled_alone() { "local".to_owned() } else { String::new() },
    ]
}

/// Visible ASCII and single spaces as they are, everything else, and `%` itself, percent-encoded.
fn visible(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (0x21..=0x7e).contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else if byte == b' ' {
            encoded.push(' ');
        } else {
            // Writing into a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_cannot_end_its_line_or_pose_as_escaped() {
        assert_eq!(visible("a b"), "a b");
        assert_eq!(visible("a\r\nX-Attested-Tier: affirming"), "a%0D%0AX-Attested-Tier: affirming");
        assert_eq!(visible("%41\u{e9}"), "%2541%C3%A9");
    }
}
