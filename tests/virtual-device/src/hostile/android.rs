//! Chains of Android Key Attestation that must not be believed.

use const_oid::{
    ObjectIdentifier,
    db::rfc4519::{C, COMMON_NAME, ORGANIZATION_NAME, ORGANIZATIONAL_UNIT_NAME},
};
use p256::ecdsa::SigningKey;

use countersign_core::time::Timestamp;

use crate::{
    android::VirtualAndroid,
    asn1,
    certificate::{DAY, Extension, IssuerKey, Link, ML_DSA_65, SignatureHash, name, p256_public_key_info},
    google_authority::{GoogleAuthority, KEY_DESCRIPTION, Provisioning, google_name},
    hostile::{attacks, iphone::flip_last_bit},
    key_description::{ApplicationId, BootState, KeyDescription, RootOfTrust, SecurityLevel, tag},
    seed::Seed,
};

attacks! {
    /// A lie in a certificate chain of Android Key Attestation.
    AndroidAttack {
        SoftwareLevel Contraindicated "key and description come from software",
        KeyMintSoftware Contraindicated "the key lives in software, its description comes from the TEE",
        AttestationSoftware Contraindicated "the description comes from software, the key lives in the TEE",
        LevelMismatch Contraindicated "the key claims StrongBox, its description the TEE",
        StrongBoxAttestationOfTeeKey Contraindicated "the description claims to come from a StrongBox, the key lives in the TEE",
        StrongBoxBatchTee BelowMinimum "the chip of a factory chain is titled StrongBox, its batch TEE, and the key claims StrongBox",
        StrongBoxTitleRemote BelowMinimum "a remotely provisioned chip of a TEE has the title StrongBox, and the key claims it",
        StrongBoxSecondOrganization BelowMinimum "a remotely provisioned chip is of the TEE and of a StrongBox, and the key claims the latter",
        StrongBoxUnknownProvisioning BelowMinimum "the key claims a StrongBox over a chain that does not say how it came about",
        UnknownIntermediate BelowMinimum "the chain is neither from a factory nor provisioned remotely, as far as names tell",
        StrongBoxOverTee BelowMinimum "key and description claim StrongBox over the chain of a TEE",
        Unlocked Contraindicated "the bootloader is unlocked",
        SelfSignedBoot Contraindicated "the system is signed with a key of its owner",
        UnverifiedBoot Contraindicated "the system is not verified",
        FailedBoot Contraindicated "the system failed its verification",
        Rooted Contraindicated "the bootloader is unlocked and the system not verified",
        UnknownBootState Contraindicated "the boot state is a number that nobody knows",
        NoRootOfTrust Contraindicated "the root of trust is missing",
        RootOfTrustInSoftwareList Contraindicated "the root of trust stands in the software list only",
        RootOfTrustContradicted Contraindicated "unlocked in the hardware list, locked and verified in the software list",
        ImportedKey Contraindicated "the key was imported",
        SecurelyImportedKey Contraindicated "the key was imported wrapped",
        ImportedKeyGeneratedInSoftwareList Contraindicated "imported in the hardware list, generated in the software list",
        OriginInSoftwareListOnly Contraindicated "the key's origin stands in the software list only",
        WrongPackage Contraindicated "the app is another package",
        OtherSigner Contraindicated "the app is signed by somebody else",
        ExtraSigner Contraindicated "the app is also signed by somebody else",
        NoSigner Contraindicated "the app has no signing digest",
        NoApplicationId Contraindicated "the application id is missing",
        ApplicationIdGarbage Unverifiable "the application id is not DER",
        AllApplications Contraindicated "the key belongs to all applications",
        AttestKeyPurpose Contraindicated "the key may sign attestations",
        SignAndAttestKeyPurpose Contraindicated "the key may sign, and sign attestations",
        AgreeKeyPurpose Contraindicated "the key may agree on keys, but not sign",
        DigestNone Contraindicated "the key signs whatever digest it is given",
        RsaKey Contraindicated "the key is RSA",
        MlDsaKey Contraindicated "the key is ML-DSA",
        P384Key Contraindicated "the key is on P-384",
        CurveOfDescriptionDiffers Contraindicated "the description says P-384, the certificate P-256",
        CurveMissing Contraindicated "the description names no curve",
        NoPurpose Contraindicated "the key has no purpose",
        PurposeInSoftwareListOnly Contraindicated "the key's purpose stands in the software list only",
        EncryptAndSignPurpose Contraindicated "the key may sign, and encrypt",
        DigestInSoftwareListOnly Contraindicated "the key's digest stands in the software list only",
        AllApplicationsInSoftwareList Contraindicated "the key belongs to all applications, as the software list says",
        UnknownTag BelowMinimum "the hardware list has a tag that nobody knows",
        OldPatchLevel BelowMinimum "the patches are of January 2019",
        WrongChallenge Unverifiable "the challenge is another one",
        EmptyChallenge Unverifiable "the challenge is empty",
        VersionText Unverifiable "the version of the system is text",
        PatchLevelText Unverifiable "the patch level of the system is text",
        CreationTimeText Unverifiable "the creation time is text",
        NegativeOrigin Unverifiable "the key's origin is a negative number",
        ChallengePrefix Unverifiable "the challenge goes on after the right one",
        ChallengeTruncated Unverifiable "the challenge lacks its last byte",
        TagsOutOfOrder Unverifiable "the hardware list is in descending order",
        DuplicateTag Unverifiable "a tag stands twice in the hardware list",
        BerBoolean Unverifiable "deviceLocked is 1, which is true in BER and not in DER",
        NonMinimalInteger Unverifiable "an integer has a byte more than it needs",
        TrailingBytesInExtension Unverifiable "bytes follow the key description within its extension",
        TruncatedExtension Unverifiable "the key description is cut short",
        GarbageExtension Unverifiable "the key description is not DER",
        NoExtension Unverifiable "the leaf has no key description",
        TwoExtensionsInLeaf Unverifiable "the leaf has two key descriptions",
        SecondKeyDescriptionInIntermediate Unverifiable "an intermediate has a key description too",
        KeyDescriptionAboveLeaf Unverifiable "the key description stands above the leaf, which has none",
        KeyDescriptionInUpperIntermediate Unverifiable "an intermediate two above the leaf has a key description",
        AttestKeyChain Unverifiable "the leaf is signed by an attestation key that the app made (purpose ATTEST_KEY)",
        ExtendedChainWithAttestPurpose Unverifiable "an attested key that may sign, and sign attestations, signed a further leaf",
        ProvisioningInfoInLeaf Unverifiable "the leaf has provisioning info",
        ProvisioningInfoAboveChip Unverifiable "the certificate above the chip's has provisioning info",
        MlDsaSignedLeaf Unverifiable "the leaf says that it is signed with ML-DSA",
        MlDsaSignedIntermediate Unverifiable "the certificate of the chip says that it is signed with ML-DSA",
        LeafIsAuthority Unverifiable "the leaf says that it is a CA",
        ExtendedChain Unverifiable "an attested key signed a further leaf with a forged key description",
        FakeGoogleRoot Unverifiable "the root has the name of Google's, and another key",
        FakeTestRoot Unverifiable "the root has the name of the trusted one, and another key",
        LeafSelfSigned Unverifiable "the leaf is signed by the key that it attests",
        IntermediateNotCa Unverifiable "an intermediate says that it is no CA",
        RemoteChipNotCa Unverifiable "a remotely provisioned chip's certificate of 2016 says that it is no CA",
        FactoryChipNotCa Unverifiable "a factory chip's certificate of this decade says that it is no CA",
        FactoryBatchNotCa Unverifiable "a factory batch's certificate of 2016 says that it is no CA",
        FactoryBatchNotYetValid Unverifiable "a factory batch's certificate is not valid yet",
        UnknownIntermediateExpired Unverifiable "a chain of unknown provisioning has expired",
        NullParametersAboveLeaf Unverifiable "a signature above the leaf has parameters of NULL with ECDSA",
        DefaultsWrittenAboveLeaf Unverifiable "extensions above the leaf say that they are not critical",
        IssuerInOtherStringType Unverifiable "the leaf's issuer has the chip's name in another string type",
        IssuerInOtherCase Unverifiable "the leaf's issuer has the chip's name in another case",
        IssuerLacksAttribute Unverifiable "the leaf's issuer lacks an attribute of the chip's name",
        ExpiredRemoteCertificate Unverifiable "the remotely provisioned certificate has expired",
        NotYetValid Unverifiable "the certificate of the chip is not valid yet",
        PaddedSerial Unverifiable "a serial number has a byte more than it needs, to miss its entry in a status list",
        SwappedIntermediates Unverifiable "the leaf stands over the intermediates of another phone",
        SwappedIntermediateSameName Unverifiable "the same, with the names made to fit",
        EmptyChain Unverifiable "there is no certificate",
        LeafOnly Unverifiable "there is only the leaf",
        Reversed Unverifiable "the root comes first",
        DuplicateLeaf Unverifiable "the leaf stands twice",
        MissingIntermediate Unverifiable "the certificate above the leaf is missing",
        OverlongChain Unverifiable "the chain has forty certificates",
        LeafSignatureBit Unverifiable "one bit of the leaf's signature is flipped",
        TrailingByteInLeaf Unverifiable "a byte follows the leaf's DER",
    }
}

/// An attack at work on one chain; each method is a stage of its making.
pub(crate) struct AndroidForgery<'a> {
    pub(crate) attack: AndroidAttack,
    pub(crate) phone: &'a VirtualAndroid,
    pub(crate) key: &'a SigningKey,
    pub(crate) now: Timestamp,
}

impl AndroidForgery<'_> {
    /// Before the key description is encoded.
    pub(crate) fn key_description(&self, description: &mut KeyDescription) {
        self.levels_and_boot(description);
        self.application(description);
        self.key_parameters(description);
        self.challenge_and_encoding(description);
    }

    fn levels_and_boot(&self, description: &mut KeyDescription) {
        use AndroidAttack as A;
        let levels = match self.attack {
            A::SoftwareLevel => Some((SecurityLevel::Software, SecurityLevel::Software)),
            A::KeyMintSoftware => Some((SecurityLevel::TrustedEnvironment, SecurityLevel::Software)),
            A::AttestationSoftware => Some((SecurityLevel::Software, SecurityLevel::TrustedEnvironment)),
            A::LevelMismatch => Some((SecurityLevel::TrustedEnvironment, SecurityLevel::StrongBox)),
            A::StrongBoxAttestationOfTeeKey => {
                Some((SecurityLevel::StrongBox, SecurityLevel::TrustedEnvironment))
            }
            A::StrongBoxBatchTee
            | A::StrongBoxTitleRemote
            | A::StrongBoxSecondOrganization
            | A::StrongBoxUnknownProvisioning
            | A::StrongBoxOverTee => Some((SecurityLevel::StrongBox, SecurityLevel::StrongBox)),
            _ => None,
        };
        if let Some(levels) = levels {
            (description.attestation_security_level, description.key_mint_security_level) = levels;
        }
        let honest = self.phone.root_of_trust();
        let other_state = |state, device_locked| RootOfTrust {
            verified_boot_state: state,
            device_locked,
            verified_boot_key: match state {
                BootState::SelfSigned => self.phone.seed().bytes("boot key of the owner"),
                BootState::Unverified => [0; 32],
                _ => honest.verified_boot_key,
            },
            ..honest.clone()
        };
        let root_of_trust = match self.attack {
            A::Unlocked | A::RootOfTrustContradicted => Some(other_state(honest.verified_boot_state, false)),
            A::SelfSignedBoot => Some(other_state(BootState::SelfSigned, true)),
            A::UnverifiedBoot => Some(other_state(BootState::Unverified, true)),
            A::FailedBoot => Some(other_state(BootState::Failed, true)),
            A::Rooted => Some(other_state(BootState::Unverified, false)),
            A::UnknownBootState => Some(other_state(BootState::Unknown(9), true)),
            _ => None,
        };
        let hardware = &mut description.hardware_enforced;
        if let Some(root_of_trust) = root_of_trust {
            hardware.set(tag::ROOT_OF_TRUST, root_of_trust.encode());
        }
        match self.attack {
            A::NoRootOfTrust | A::RootOfTrustInSoftwareList => drop(hardware.remove(tag::ROOT_OF_TRUST)),
            A::BerBoolean => {
                let bytes = honest.encode_with_locked(asn1::tlv(&[0x01], &[0x01]));
                hardware.set(tag::ROOT_OF_TRUST, bytes);
            }
            _ => {}
        }
        if matches!(self.attack, A::RootOfTrustInSoftwareList | A::RootOfTrustContradicted) {
            description.software_enforced.set(tag::ROOT_OF_TRUST, honest.encode());
        }
    }

    fn application(&self, description: &mut KeyDescription) {
        use AndroidAttack as A;
        let mut application: ApplicationId = self.phone.application().clone();
        let somebody: [u8; 32] = Seed::from_text("somebody else").bytes("signing certificate");
        match self.attack {
            A::WrongPackage => {
                application.packages = vec![("com.example.other".to_owned(), 1)];
            }
            A::OtherSigner => application.signing_digests = vec![somebody],
            A::ExtraSigner => application.signing_digests.push(somebody),
            A::NoSigner => application.signing_digests.clear(),
            _ => {}
        }
        let bytes = match self.attack {
            A::ApplicationIdGarbage => b"no DER at all".to_vec(),
            _ => application.encode(),
        };
        let software = &mut description.software_enforced;
        software.set(tag::APPLICATION_ID, asn1::octet_string(&bytes));
        match self.attack {
            A::NoApplicationId => drop(software.remove(tag::APPLICATION_ID)),
            A::AllApplicationsInSoftwareList => software.set(tag::ALL_APPLICATIONS, asn1::null()),
            A::AllApplications => description.hardware_enforced.set(tag::ALL_APPLICATIONS, asn1::null()),
            _ => {}
        }
    }

    fn key_parameters(&self, description: &mut KeyDescription) {
        use AndroidAttack as A;
        let (hardware, software) = (&mut description.hardware_enforced, &mut description.software_enforced);
        let integers = |values: &[u64]| asn1::set_of(values.iter().map(|value| asn1::integer(*value)));
        match self.attack {
            A::ImportedKey => hardware.set(tag::ORIGIN, asn1::integer(2)),
            A::SecurelyImportedKey => hardware.set(tag::ORIGIN, asn1::integer(4)),
            A::ImportedKeyGeneratedInSoftwareList => {
                hardware.set(tag::ORIGIN, asn1::integer(2));
                software.set(tag::ORIGIN, asn1::integer(0));
            }
            A::OriginInSoftwareListOnly => {
                hardware.remove(tag::ORIGIN);
                software.set(tag::ORIGIN, asn1::integer(0));
            }
            A::AttestKeyPurpose => hardware.set(tag::PURPOSE, integers(&[7])),
            A::SignAndAttestKeyPurpose => hardware.set(tag::PURPOSE, integers(&[2, 7])),
            A::EncryptAndSignPurpose => hardware.set(tag::PURPOSE, integers(&[0, 2])),
            A::NoPurpose => drop(hardware.remove(tag::PURPOSE)),
            A::PurposeInSoftwareListOnly => {
                hardware.remove(tag::PURPOSE);
                software.set(tag::PURPOSE, integers(&[2]));
            }
            A::DigestInSoftwareListOnly => {
                hardware.remove(tag::DIGEST);
                software.set(tag::DIGEST, integers(&[4]));
            }
            A::CurveMissing => drop(hardware.remove(tag::EC_CURVE)),
            A::UnknownTag => hardware.set(4095, asn1::integer(1)),
            A::AgreeKeyPurpose => hardware.set(tag::PURPOSE, integers(&[6])),
            A::DigestNone => hardware.set(tag::DIGEST, integers(&[0])),
            A::OldPatchLevel => hardware.set(tag::OS_PATCH_LEVEL, asn1::integer(201_901)),
            A::CurveOfDescriptionDiffers => hardware.set(tag::EC_CURVE, asn1::integer(2)),
            A::P384Key => {
                hardware.set(tag::EC_CURVE, asn1::integer(2));
                hardware.set(tag::KEY_SIZE, asn1::integer(384));
            }
            A::RsaKey => {
                hardware.remove(tag::EC_CURVE);
                hardware.set(tag::ALGORITHM, asn1::integer(1));
                hardware.set(tag::KEY_SIZE, asn1::integer(2048));
                hardware.set(tag::RSA_PUBLIC_EXPONENT, asn1::integer(65_537));
            }
            A::MlDsaKey => {
                hardware.remove(tag::EC_CURVE);
                hardware.set(tag::ALGORITHM, asn1::integer(4));
                hardware.set(tag::ML_DSA_VARIANT, asn1::integer(1));
                (description.attestation_version, description.key_mint_version) = (500, 500);
            }
            _ => {}
        }
    }

    fn challenge_and_encoding(&self, description: &mut KeyDescription) {
        use AndroidAttack as A;
        let challenge = &mut description.attestation_challenge;
        let hardware = &mut description.hardware_enforced;
        match self.attack {
            A::WrongChallenge => *challenge = self.phone.seed().bytes::<32>("another challenge").to_vec(),
            A::EmptyChallenge => challenge.clear(),
            A::ChallengePrefix => challenge.push(0),
            A::ChallengeTruncated => drop(challenge.pop()),
            A::VersionText => hardware.set(tag::OS_VERSION, asn1::octet_string(b"16")),
            A::PatchLevelText => hardware.set(tag::OS_PATCH_LEVEL, asn1::octet_string(b"202609")),
            A::CreationTimeText => {
                description.software_enforced.set(tag::CREATION_DATE_TIME, asn1::octet_string(b"now"));
            }
            A::NegativeOrigin => hardware.set(tag::ORIGIN, asn1::tlv(&[0x02], &[0x80])),
            A::TagsOutOfOrder => hardware.reverse(),
            A::DuplicateTag => hardware.push_as_is(tag::BOOT_PATCH_LEVEL, asn1::integer(20_990_101)),
            A::NonMinimalInteger => hardware.set(tag::ORIGIN, asn1::tlv(&[0x02], &[0, 0])),
            _ => {}
        }
    }

    /// After the key description was encoded.
    pub(crate) fn extension(&self, extension: &mut Vec<u8>) {
        match self.attack {
            AndroidAttack::TrailingBytesInExtension => extension.extend([0x05, 0x00]),
            AndroidAttack::TruncatedExtension => extension.truncate(extension.len() / 2),
            AndroidAttack::GarbageExtension => *extension = b"no DER at all".to_vec(),
            _ => {}
        }
    }

    /// Before the certificates are signed.
    pub(crate) fn links(&self, description: &KeyDescription, links: &mut Vec<Link>) {
        use AndroidAttack as A;
        let (phone, now) = (self.phone, self.now);
        let extension = || Extension::new(KEY_DESCRIPTION, description.encode());
        let info = links[0].certificate.subject_public_key_info.clone();
        match self.attack {
            A::RsaKey => links[0].certificate.subject_public_key_info = rsa_public_key_info(phone.seed()),
            A::MlDsaKey => {
                links[0].certificate.subject_public_key_info = ml_dsa_public_key_info(phone.seed())
            }
            A::P384Key => {
                let key = IssuerKey::P384(phone.seed().p384_key("instance key on P-384"));
                links[0].certificate.subject_public_key_info = key.subject_public_key_info();
            }
            A::NoExtension => links[0].certificate.remove_extension(KEY_DESCRIPTION),
            A::TwoExtensionsInLeaf => links[0].certificate.extensions.push(extension()),
            A::SecondKeyDescriptionInIntermediate => links[1].certificate.extensions.push(extension()),
            A::KeyDescriptionInUpperIntermediate => links[2].certificate.extensions.push(extension()),
            A::KeyDescriptionAboveLeaf
            | A::AttestKeyChain
            | A::ExtendedChainWithAttestPurpose
            | A::ExtendedChain => self.extend(links),
            A::FakeTestRoot | A::FakeGoogleRoot => {
                let impostor = GoogleAuthority::from_seed(&phone.seed().child("impostor"));
                *links = impostor.chain(&phone.chip(), info, description.encode(), now);
                if self.attack == A::FakeGoogleRoot {
                    rename_root(links, &google_root_name());
                }
            }
            A::LeafSelfSigned => links[0].key = IssuerKey::P256(self.key.clone()),
            A::IntermediateNotCa => links[2].certificate.set_ca(false),
            A::ExpiredRemoteCertificate | A::UnknownIntermediateExpired => {
                (links[1].certificate.not_before, links[1].certificate.not_after) =
                    (now.minus(20 * DAY), now.minus(6 * DAY));
            }
            A::NotYetValid => links[1].certificate.not_before = now.plus(DAY),
            A::FactoryBatchNotYetValid => links[2].certificate.not_before = now.plus(DAY),
            A::PaddedSerial => links[1].certificate.serial.insert(0, 0),
            A::SwappedIntermediates | A::SwappedIntermediateSameName => {
                let mut chip = phone.chip();
                chip.seed = chip.seed.child("another phone");
                let mut others = phone.authority().chain(&chip, info, description.encode(), now);
                if self.attack == A::SwappedIntermediateSameName {
                    others[1].certificate.subject = links[1].certificate.subject.clone();
                }
                others[0] = links[0].clone();
                *links = others;
            }
            _ => self.names_and_encoding(links),
        }
        let unknown =
            [A::UnknownIntermediate, A::UnknownIntermediateExpired, A::StrongBoxUnknownProvisioning];
        if unknown.contains(&self.attack) {
            links[3].certificate.subject = google_name("Droid CA9");
            links[2].certificate.issuer = google_name("Droid CA9");
        }
    }

    /// The phone honestly attests another key for another challenge, and that key signs a further certificate.
    fn extend(&self, links: &mut Vec<Link>) {
        let signing = self.phone.seed().p256_key("a key that signs certificates");
        let forged = links[0].clone();
        let mut description = self.phone.key_description(b"challenge of another enrolment", self.now);
        let purposes: &[u64] = match self.attack {
            AndroidAttack::AttestKeyChain => &[7],
            AndroidAttack::ExtendedChainWithAttestPurpose => &[2, 7],
            _ => &[2],
        };
        let purposes = asn1::set_of(purposes.iter().map(|purpose| asn1::integer(*purpose)));
        description.hardware_enforced.set(tag::PURPOSE, purposes);
        let description = description.encode();
        let info = p256_public_key_info(&signing.verifying_key().to_sec1_bytes());
        *links = self.phone.authority().chain(&self.phone.chip(), info, description, self.now);
        if self.attack == AndroidAttack::AttestKeyChain {
            // Secure hardware certifies such keys as authorities.
            links[0].certificate.extensions[1] = Extension::key_usage(0x04);
            links[0].certificate.extensions.push(Extension::basic_constraints(true, None));
        }
        let mut forged = Link { key: IssuerKey::P256(signing), hash: SignatureHash::Sha256, ..forged };
        forged.certificate.issuer = links[0].certificate.subject.clone();
        if self.attack == AndroidAttack::KeyDescriptionAboveLeaf {
            forged.certificate.remove_extension(KEY_DESCRIPTION);
        }
        links.insert(0, forged);
    }

    /// After the certificates were signed.
    pub(crate) fn chain(&self, chain: &mut Vec<Vec<u8>>) {
        use AndroidAttack as A;
        match self.attack {
            A::EmptyChain => chain.clear(),
            A::LeafOnly => chain.truncate(1),
            A::Reversed => chain.reverse(),
            A::DuplicateLeaf => chain.insert(0, chain[0].clone()),
            A::MissingIntermediate => drop(chain.remove(1)),
            A::OverlongChain => {
                let root = chain[chain.len() - 1].clone();
                chain.resize(40, root);
            }
            A::LeafSignatureBit => flip_last_bit(&mut chain[0]),
            A::TrailingByteInLeaf => chain[0].push(0),
            _ => {}
        }
    }
}

impl AndroidAttack {
    /// How a phone that lies in this way came by its keys, where only one way has it.
    pub(crate) const fn provisioning(self) -> Option<Provisioning> {
        match self {
            Self::ExpiredRemoteCertificate
            | Self::UnknownIntermediate
            | Self::UnknownIntermediateExpired
            | Self::StrongBoxUnknownProvisioning
            | Self::StrongBoxTitleRemote
            | Self::StrongBoxSecondOrganization
            | Self::ProvisioningInfoAboveChip
            | Self::RemoteChipNotCa
            | Self::LeafIsAuthority
            | Self::IssuerInOtherStringType
            | Self::IssuerInOtherCase
            | Self::IssuerLacksAttribute => Some(Provisioning::Remote),
            Self::StrongBoxBatchTee
            | Self::FactoryChipNotCa
            | Self::FactoryBatchNotCa
            | Self::FactoryBatchNotYetValid => Some(Provisioning::Factory),
            _ => None,
        }
    }
}

/// The subject of Google's root of 2025.
fn google_root_name() -> Vec<u8> {
    name(&[
        (COMMON_NAME, asn1::printable("Key Attestation CA1")),
        (ORGANIZATIONAL_UNIT_NAME, asn1::printable("Android")),
        (ORGANIZATION_NAME, asn1::printable("Google LLC")),
        (C, asn1::printable("US")),
    ])
}

/// Gives the last certificate another name, and the one below it that name as its issuer.
fn rename_root(links: &mut [Link], root: &[u8]) {
    if let [.., below, last] = links {
        below.certificate.issuer = root.to_vec();
        last.certificate.issuer = root.to_vec();
        last.certificate.subject = root.to_vec();
    }
}

/// 2048 bits that look like a modulus; nobody has their factors.
fn rsa_public_key_info(seed: &Seed) -> Vec<u8> {
    const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    let mut modulus = random_bytes(seed, 256);
    modulus[0] |= 0x80;
    modulus[255] |= 1;
    let key = asn1::sequence([asn1::tlv(&[0x02], &asn1::unsigned(&modulus)), asn1::integer(65_537)]);
    asn1::sequence([asn1::sequence([asn1::oid(RSA), asn1::null()]), asn1::bit_string(0, &key)])
}

/// 1952 bytes in the place of an ML-DSA-65 key.
fn ml_dsa_public_key_info(seed: &Seed) -> Vec<u8> {
    let key = random_bytes(seed, 1952);
    asn1::sequence([asn1::sequence([asn1::oid(ML_DSA_65)]), asn1::bit_string(0, &key)])
}

fn random_bytes(seed: &Seed, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    crate::seed::SeededRandom::new(seed.child("key of another kind")).fill(&mut bytes);
    bytes
}
