//! Lies in the names, marks and encodings of an Android chain's certificates.

use const_oid::db::rfc4519::{COMMON_NAME, ORGANIZATION_NAME, TITLE};

use crate::{
    android_quirk::START_OF_2016,
    asn1,
    certificate::{Extension, Link, SignatureHash, name},
    google_authority::{AttestingChip, factory_name},
    hostile::{AndroidAttack, AndroidForgery},
    key_description::SecurityLevel,
};

impl AndroidForgery<'_> {
    /// Before the certificates are signed: what changes nothing in the key description.
    pub(super) fn names_and_encoding(&self, links: &mut [Link]) {
        use AndroidAttack as A;
        let chip = self.phone.chip();
        match self.attack {
            A::ProvisioningInfoInLeaf => links[0].certificate.extensions.push(chip.provisioning_info()),
            A::ProvisioningInfoAboveChip => links[2].certificate.extensions.push(chip.provisioning_info()),
            A::MlDsaSignedLeaf => links[0].hash = SignatureHash::MlDsaInName,
            A::MlDsaSignedIntermediate => links[1].hash = SignatureHash::MlDsaInName,
            A::LeafIsAuthority => {
                links[0].certificate.extensions.push(Extension::basic_constraints(true, None));
            }
            A::RemoteChipNotCa => {
                links[1].certificate.set_ca(false);
                links[1].certificate.not_before = START_OF_2016;
            }
            A::FactoryChipNotCa => links[1].certificate.set_ca(false),
            A::FactoryBatchNotCa => {
                links[2].certificate.set_ca(false);
                links[2].certificate.not_before = START_OF_2016;
            }
            A::NullParametersAboveLeaf => links[1].hash = SignatureHash::Sha256WithNull,
            A::DefaultsWrittenAboveLeaf => links[1].certificate.writes_defaults = true,
            A::IssuerInOtherStringType => links[0].certificate.issuer = name_of_chip(&chip, asn1::utf8),
            A::IssuerInOtherCase => {
                let upper_case = |text: &str| asn1::printable(&text.to_uppercase());
                links[0].certificate.issuer = name_of_chip(&chip, upper_case);
            }
            A::IssuerLacksAttribute => {
                links[0].certificate.issuer = name(&[(COMMON_NAME, asn1::printable(&chip.number_text()))]);
            }
            A::StrongBoxBatchTee => {
                let title = factory_name(SecurityLevel::StrongBox.title(), &chip.number_text());
                links[0].certificate.issuer = title.clone();
                links[1].certificate.subject = title;
            }
            A::StrongBoxTitleRemote | A::StrongBoxSecondOrganization => {
                let second = if self.attack == A::StrongBoxTitleRemote { TITLE } else { ORGANIZATION_NAME };
                let both = name(&[
                    (COMMON_NAME, asn1::printable(&chip.number_text())),
                    (ORGANIZATION_NAME, asn1::printable("TEE")),
                    (second, asn1::printable("StrongBox")),
                ]);
                links[0].certificate.issuer = both.clone();
                links[1].certificate.subject = both;
            }
            _ => {}
        }
    }
}

/// The subject of a remotely provisioned chip, its values written in another way.
fn name_of_chip(chip: &AttestingChip, write: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    name(&[
        (COMMON_NAME, write(&chip.number_text())),
        (ORGANIZATION_NAME, write(chip.security_level.title())),
    ])
}
