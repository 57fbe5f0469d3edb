//! Attestations of App Attest that must not be believed.

use sha2::{Digest, Sha256};

use countersign_core::time::Timestamp;

use crate::{
    app_attest::{AttestationObject, AuthenticatorData, encode_extensions},
    apple_authority::{AppleAuthority, LeafContent, NONCE, nonce_extension},
    asn1,
    certificate::{Certificate, DAY, Extension, IssuerKey, Link, SignatureHash, p256_public_key_info},
    hostile::attacks,
    iphone::{Environment, VirtualIphone, point},
};

attacks! {
    /// A lie in an attestation object.
    IphoneAttack {
        WrongNonce Unverifiable "the nonce extension holds another value",
        NoNonceExtension Unverifiable "the leaf has no nonce extension",
        NonceExtensionGarbage Unverifiable "the nonce extension is not DER",
        NonceSuffixOnly Unverifiable "the nonce extension is an OCTET STRING that merely ends with the nonce",
        NonceTrailingBytes Unverifiable "bytes follow the nonce within its extension",
        NonceTwice Unverifiable "the leaf has two nonce extensions, a wrong and the right one",
        OtherApp Contraindicated "the attestation is of another app",
        DevelopmentAsProduction Contraindicated "the key is of the development environment",
        UnknownAaguid Contraindicated "the AAGUID names no environment",
        AaguidPrefix Contraindicated "the AAGUID begins with appattest and goes on with other bytes than zero",
        CounterOne Unverifiable "the counter is 1 and covered by the nonce",
        CounterAfterNonce Unverifiable "the counter was changed after the nonce was made",
        CredentialIdMismatch Unverifiable "the credential id is not the key id",
        CredentialIdShort Unverifiable "the credential id has 16 bytes",
        CredentialIdOverlong Unverifiable "the length of the credential id says 65535",
        CoseKeyDiffers Unverifiable "the key in the authenticator data is not the key of the leaf",
        KeyIdOfAnotherKey Unverifiable "the key id that is sent along is of another key",
        AuthenticatorDataTruncated Unverifiable "the authenticator data end inside the credential id",
        ExtensionsGarbage Unverifiable "what follows the key is not CBOR, though covered by the nonce",
        ExtensionsTruncated Unverifiable "the extension map of iOS 27 is cut short, though covered by the nonce",
        CategoryDevelopment Contraindicated "the validation category says development",
        CategoryEnterprise Contraindicated "the validation category says enterprise or ad hoc",
        ExpiredLeaf Unverifiable "the leaf has expired",
        LeafNotYetValid Unverifiable "the leaf is not valid yet",
        IntermediateExpired Unverifiable "the intermediate has expired",
        IntermediateNotYetValid Unverifiable "the intermediate is not valid yet",
        IntermediateNotCa Unverifiable "the intermediate says that it is no CA",
        LeafIsCa Unverifiable "the leaf says that it is a CA",
        LeafIssuedByLeaf Unverifiable "a leaf issued by a genuine leaf, over the genuine chain",
        LeafInPlaceOfIntermediate Unverifiable "a leaf issued by a genuine leaf, which stands where the intermediate belongs",
        LeafSignedByRoot Unverifiable "the leaf names the intermediate and is signed by the root",
        LeafSelfSigned Unverifiable "the leaf names the intermediate and is signed by its own key",
        LeafOfAnotherKey Unverifiable "the leaf is genuine, but of another attestation",
        OtherRootSameNames Unverifiable "the whole chain is of another authority with the same names",
        LeafSignatureBit Unverifiable "one bit of the leaf's signature is flipped",
        IntermediateSignatureBit Unverifiable "one bit of the intermediate's signature is flipped",
        LeafTrailingByte Unverifiable "a byte follows the leaf's DER",
        X5cEmpty Unverifiable "x5c is empty",
        X5cLeafOnly Unverifiable "x5c has no intermediate",
        X5cReversed Unverifiable "x5c begins with the intermediate",
        X5cExtra Unverifiable "x5c goes on after the intermediate, with the leaf once more",
        OtherFormat Unverifiable "fmt is apple, the format of WebAuthn",
        DuplicateFormat Unverifiable "the map has fmt twice, first none and then the right one",
        NoAuthenticatorData Unverifiable "authData is missing",
        TrailingBytes Unverifiable "bytes follow the attestation object",
        Truncated Unverifiable "the attestation object is cut short",
        NotCbor Unverifiable "the attestation object is JSON",
        OverlongLength Unverifiable "a length claims more bytes than there are",
    }
}

/// An attack at work on one attestation; each method is a stage of its making.
pub(crate) struct IphoneForgery<'a> {
    pub(crate) attack: IphoneAttack,
    pub(crate) phone: &'a VirtualIphone,
    pub(crate) client_data_hash: &'a [u8],
    pub(crate) now: Timestamp,
}

impl IphoneForgery<'_> {
    /// Before the nonce is made: what is changed here is covered by nonce and signatures.
    pub(crate) fn authenticator_data(&self, data: &mut AuthenticatorData) {
        use IphoneAttack as A;
        match self.attack {
            A::OtherApp => data.rp_id_hash = Sha256::digest(format!("{}.other", self.phone.app_id())).into(),
            A::CounterOne => data.counter = 1,
            A::ExtensionsGarbage => data.extensions = vec![0xff, 0x00, 0x13],
            A::ExtensionsTruncated => {
                data.extensions = encode_extensions("1", 4);
                data.extensions.pop();
            }
            A::CategoryDevelopment => data.extensions = encode_extensions("1", 3),
            A::CategoryEnterprise => data.extensions = encode_extensions("1", 5),
            _ => {}
        }
        let Some(credential) = &mut data.credential else { return };
        match self.attack {
            A::DevelopmentAsProduction => credential.aaguid = Environment::Development.aaguid(),
            A::UnknownAaguid => credential.aaguid = self.phone.seed().bytes("aaguid"),
            A::AaguidPrefix => credential.aaguid = *b"appattestproduct",
            A::CredentialIdMismatch => credential.id = self.phone.seed().bytes::<32>("credential").to_vec(),
            A::CredentialIdShort => {
                credential.id.truncate(16);
                credential.id_length = 16;
            }
            A::CredentialIdOverlong => credential.id_length = u16::MAX,
            A::CoseKeyDiffers => credential.point = point(&self.other_key()),
            _ => {}
        }
    }

    /// Before the certificates are signed.
    pub(crate) fn links(&self, leaf: &LeafContent<'_>, links: &mut Vec<Link>) {
        use IphoneAttack as A;
        let now = self.now;
        let [first, second] = links.as_mut_slice() else { return };
        let (first_certificate, second_certificate) = (&mut first.certificate, &mut second.certificate);
        match self.attack {
            A::WrongNonce => set_nonce(first_certificate, nonce_extension(&[0x5a; 32])),
            A::NoNonceExtension => first_certificate.remove_extension(NONCE),
            A::NonceExtensionGarbage => set_nonce(first_certificate, b"no DER at all".to_vec()),
            A::NonceSuffixOnly => {
                let text = [b"padding before ".as_slice(), &leaf.nonce].concat();
                set_nonce(first_certificate, asn1::octet_string(&text));
            }
            A::NonceTrailingBytes => {
                set_nonce(first_certificate, [nonce_extension(&leaf.nonce), vec![0x05, 0x00]].concat());
            }
            A::NonceTwice => {
                first_certificate.extensions.insert(0, Extension::new(NONCE, nonce_extension(&[0x5a; 32])));
            }
            A::ExpiredLeaf => {
                (first_certificate.not_before, first_certificate.not_after) =
                    (now.minus(10 * DAY), now.minus(7 * DAY));
            }
            A::LeafNotYetValid => {
                (first_certificate.not_before, first_certificate.not_after) =
                    (now.plus(DAY), now.plus(4 * DAY));
            }
            A::IntermediateExpired => second_certificate.not_after = now.minus(DAY),
            A::IntermediateNotYetValid => second_certificate.not_before = now.plus(DAY),
            A::IntermediateNotCa => second_certificate.set_ca(false),
            A::LeafIsCa => first_certificate.set_ca(true),
            A::LeafSignedByRoot => first.key = self.phone.authority().root_key().clone(),
            A::LeafSelfSigned => first.key = IssuerKey::P256(self.phone.private_app_attest_key().clone()),
            A::LeafIssuedByLeaf | A::LeafInPlaceOfIntermediate => {
                let certificate = self.phone.authority().chain(&self.other_leaf(), now).remove(0).certificate;
                let genuine = Link { certificate, key: first.key.clone(), hash: first.hash };
                first_certificate.issuer = genuine.certificate.subject.clone();
                first.key = IssuerKey::P256(self.other_key());
                first.hash = SignatureHash::Sha256;
                links.insert(1, genuine);
                if self.attack == A::LeafInPlaceOfIntermediate {
                    links.truncate(2);
                }
            }
            A::LeafOfAnotherKey => *links = self.phone.authority().chain(&self.other_leaf(), now),
            A::OtherRootSameNames => {
                let impostor = AppleAuthority::from_seed(&self.phone.seed().child("impostor"));
                *links = impostor.chain(leaf, now);
            }
            _ => {}
        }
    }

    /// After the nonce was made: what is changed here is covered by nothing.
    pub(crate) fn signed_data(&self, data: &mut Vec<u8>) {
        match self.attack {
            IphoneAttack::CounterAfterNonce => data[36] = 1,
            IphoneAttack::AuthenticatorDataTruncated => data.truncate(60),
            _ => {}
        }
    }

    /// Before the object is encoded.
    pub(crate) fn object(&self, object: &mut AttestationObject, key_id: &mut [u8; 32]) {
        use IphoneAttack as A;
        let x5c = &mut object.x5c;
        match self.attack {
            A::KeyIdOfAnotherKey => *key_id = Sha256::digest(point(&self.other_key())).into(),
            A::LeafSignatureBit => flip_last_bit(&mut x5c[0]),
            A::IntermediateSignatureBit => flip_last_bit(&mut x5c[1]),
            A::LeafTrailingByte => x5c[0].push(0),
            A::X5cEmpty => x5c.clear(),
            A::X5cLeafOnly => x5c.truncate(1),
            A::X5cReversed => x5c.reverse(),
            A::X5cExtra => x5c.extend_from_within(..1),
            A::OtherFormat => object.format = "apple".to_owned(),
            A::DuplicateFormat => object.formats_before.push("none".to_owned()),
            A::NoAuthenticatorData => object.authenticator_data = None,
            _ => {}
        }
    }

    /// After the object was encoded.
    pub(crate) fn bytes(&self, bytes: &mut Vec<u8>) {
        match self.attack {
            IphoneAttack::TrailingBytes => bytes.extend([0xf6, 0xf6]),
            IphoneAttack::Truncated => bytes.truncate(bytes.len().saturating_sub(40)),
            IphoneAttack::NotCbor => *bytes = br#"{"fmt":"apple-appattest"}"#.to_vec(),
            // A map of one: fmt, a text of four gigabytes.
            IphoneAttack::OverlongLength => {
                *bytes = [b"\xa1\x63fmt\x7a\xff\xff\xff\xff".as_slice(), b"apple-appattest"].concat();
            }
            _ => {}
        }
    }

    /// A second App Attest key of the same phone.
    fn other_key(&self) -> p256::ecdsa::SigningKey {
        self.phone.seed().p256_key("another app attest key")
    }

    /// A genuine leaf of that second key, for another nonce.
    fn other_leaf(&self) -> LeafContent<'_> {
        let point = point(&self.other_key());
        LeafContent {
            subject_public_key_info: p256_public_key_info(&point),
            key_id: Sha256::digest(point).into(),
            nonce: Sha256::digest(self.client_data_hash).into(),
            app_id: self.phone.app_id(),
            os_version: "26.3",
        }
    }
}

/// Changes the lowest bit of the last byte: of a signature's `s`.
pub(super) fn flip_last_bit(certificate: &mut [u8]) {
    if let Some(last) = certificate.last_mut() {
        *last ^= 1;
    }
}

fn set_nonce(leaf: &mut Certificate, value: Vec<u8>) {
    if let Some(extension) = leaf.extension_mut(NONCE) {
        *extension = value;
    }
}
