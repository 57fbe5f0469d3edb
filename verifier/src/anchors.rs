//! Trust anchors: the vendors' root keys, embedded as data and replaced by a release, never fetched.

use crate::certificate::Certificate;
use crate::certificate_file::{self, CertificateFileError};
use crate::crypto::{CertificateKey, sha256};
use crate::trust_bundle::RootKind;
use crate::verified_links::VerifiedLinks;

const APP_ATTEST_ROOTS: [(&str, &[u8]); 1] =
    [("apple-app-attestation-root-ca", include_bytes!("../data/apple-app-attestation-root-ca.der"))];

const APP_ATTEST_RECEIPT_ROOTS: [(&str, &[u8]); 1] =
    [("apple-root-ca-g3", include_bytes!("../data/apple-root-ca-g3.der"))];

const ANDROID_ROOTS: [(&str, &[u8]); 2] = [
    (
        "google-hardware-attestation-root-rsa",
        include_bytes!("../data/google-hardware-attestation-root-rsa.der"),
    ),
    ("google-key-attestation-ca1", include_bytes!("../data/google-key-attestation-ca1.der")),
];

/// SHA-256 of the SubjectPublicKeyInfo of the Android software attestation root, whose private key is published
/// with Android's source. The other published one is RSA with 1024 bits, which no rule here accepts.
const SOFTWARE_ROOT: [u8; 32] = [
    0xd5, 0x10, 0x0c, 0x79, 0x42, 0xef, 0x2e, 0x83, 0x10, 0xdc, 0x30, 0xef, 0x82, 0x72, 0x96, 0x80, 0xcf,
    0x48, 0xd6, 0x90, 0x73, 0x5c, 0x3f, 0x68, 0x17, 0x9a, 0x33, 0xc7, 0xc3, 0x70, 0xf2, 0x86,
];

/// Shortest RSA key of an anchor, in bytes of its encoded RSAPublicKey: 2048 bits.
const SHORTEST_RSA_KEY: usize = 256;

/// One trusted root: its name and its key. What else its certificate says, dates above all, plays no part,
/// because the vendors issue new certificates for the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    name: String,
    subject: Vec<u8>,
    public_key: Vec<u8>,
}

impl Anchor {
    /// What the claims call it: the embedded file's name, or `bundle:` or `danger:` and the SHA-256 of the key in hex.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A root (DER) that a signed trust bundle names.
    pub(crate) fn bundled(der: &[u8]) -> Result<Self, AnchorError> {
        anchor(der, Name::By("bundle"))
    }

    /// The encoded Name.
    pub(crate) fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The encoded SubjectPublicKeyInfo.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

/// Why a certificate cannot be an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnchorError {
    /// The file holds no certificates that can be read.
    File(CertificateFileError),
    /// The certificate is not DER of its type.
    MalformedCertificate,
    /// A root names itself as its issuer; this one does not.
    NotSelfIssued,
    /// Not a P-256, P-384 or RSA key of at least 2048 bits.
    UnsupportedKey,
    /// The Android software attestation root: everybody has its private key.
    SoftwareRoot,
}

impl AnchorError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::MalformedCertificate => "anchor_malformed_certificate",
            Self::NotSelfIssued => "anchor_not_self_issued",
            Self::UnsupportedKey => "anchor_unsupported_key",
            Self::SoftwareRoot => "anchor_software_root",
        }
    }
}

/// The roots that evidence may end in, by kind of evidence. Keep and share one value: it remembers which signatures
/// of the vendors' intermediates have verified, which saves most of the work of a chain and changes no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchors {
    app_attest: Vec<Anchor>,
    app_attest_receipt: Vec<Anchor>,
    android_key: Vec<Anchor>,
    verified_links: VerifiedLinks,
}

impl TrustAnchors {
    /// The roots of Apple App Attest, of its receipts, and of Android hardware attestation.
    pub fn embedded() -> Self {
        // Whether the embedded files can be read does not depend on any input; a test reads them.
        let read = |roots: &[(&str, &[u8])]| {
            roots.iter().filter_map(|(name, der)| anchor(der, Name::Of(name)).ok()).collect()
        };
        Self {
            app_attest: read(&APP_ATTEST_ROOTS),
            app_attest_receipt: read(&APP_ATTEST_RECEIPT_ROOTS),
            android_key: read(&ANDROID_ROOTS),
            verified_links: VerifiedLinks::default(),
        }
    }

    /// Adds the certificates of a file (PEM or DER) to the roots of App Attest and of its receipts: for virtual
    /// devices, whose one root stands above both.
    ///
    /// # Errors
    /// [`AnchorError`]; then nothing was added.
    pub fn danger_add_app_attest_roots(&mut self, file: &[u8]) -> Result<(), AnchorError> {
        let roots = anchors(file)?;
        self.app_attest.extend(roots.iter().cloned());
        self.app_attest_receipt.extend(roots);
        Ok(())
    }

    /// Adds the certificates of a file (PEM or DER) to the roots of Android key attestation: for virtual devices.
    ///
    /// # Errors
    /// [`AnchorError`]; then nothing was added. The Android software root is refused even here.
    pub fn danger_add_android_key_roots(&mut self, file: &[u8]) -> Result<(), AnchorError> {
        self.android_key.extend(anchors(file)?);
        Ok(())
    }

    /// Takes the roots of a signed trust bundle, beside those that are there or in their place.
    pub(crate) fn take(&mut self, kind: RootKind, replace: bool, roots: &[Anchor]) {
        let present = match kind {
            RootKind::AppAttest => &mut self.app_attest,
            RootKind::AppAttestReceipt => &mut self.app_attest_receipt,
            RootKind::AndroidKey => &mut self.android_key,
        };
        if replace {
            present.clear();
        }
        for root in roots {
            // An embedded root keeps its own name.
            if present.iter().all(|known| known.public_key != root.public_key) {
                present.push(root.clone());
            }
        }
    }

    /// The roots of App Attest.
    pub fn app_attest(&self) -> &[Anchor] {
        &self.app_attest
    }

    /// The roots of App Attest's receipts.
    pub fn app_attest_receipt(&self) -> &[Anchor] {
        &self.app_attest_receipt
    }

    /// The roots of Android key attestation.
    pub fn android_key(&self) -> &[Anchor] {
        &self.android_key
    }

    /// The signatures of intermediates that have verified before.
    pub(crate) const fn verified_links(&self) -> &VerifiedLinks {
        &self.verified_links
    }
}

fn anchors(file: &[u8]) -> Result<Vec<Anchor>, AnchorError> {
    let certificates = certificate_file::certificates(file).map_err(AnchorError::File)?;
    certificates.iter().map(|der| anchor(der, Name::By("danger"))).collect()
}

/// How an anchor gets its name.
#[derive(Clone, Copy)]
enum Name<'a> {
    /// The name of its file.
    Of(&'a str),
    /// Who added it, and its fingerprint.
    By(&'a str),
}

fn anchor(der: &[u8], name: Name<'_>) -> Result<Anchor, AnchorError> {
    let certificate = Certificate::decode(der).map_err(|_| AnchorError::MalformedCertificate)?;
    let fingerprint = sha256(certificate.public_key);
    if fingerprint == SOFTWARE_ROOT {
        return Err(AnchorError::SoftwareRoot);
    }
    if !certificate.is_self_issued() {
        return Err(AnchorError::NotSelfIssued);
    }
    match CertificateKey::of(certificate.public_key) {
        Ok((CertificateKey::Rsa, key)) if key.len() < SHORTEST_RSA_KEY => {
            return Err(AnchorError::UnsupportedKey);
        }
        Ok(_) => {}
        Err(_) => return Err(AnchorError::UnsupportedKey),
    }
    let hex: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Anchor {
        name: match name {
            Name::Of(name) => name.to_owned(),
            Name::By(whom) => format!("{whom}:{hex}"),
        },
        subject: certificate.subject.to_vec(),
        public_key: certificate.public_key.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn embedded_roots_are_the_published_ones() {
        let expected = [
            (
                "1cb9823ba28ba6ad2d33a006941de2ae4f513ef1d4e831b9f7e0fa7b6242c932",
                "1ae751fd29896d0f1f13fe226c063f445d40d8938acc6245c251ecc0679330bd",
            ),
            (
                "63343abfb89a6a03ebb57e9b3f5fa7be7c4f5c756f3017b3a8c488c3653e9179",
                "9b219d0fbff36a5fb32090571906bceea68617c833a3f61b81e962a8e64db8af",
            ),
            (
                "cedb1cb6dc896ae5ec797348bce9286753c2b38ee71ce0fbe34a9a1248800dfc",
                "feb2ea7551ee316ed4bb443c8293b884dbfdea40b603ee3e4f4a897e4580fbae",
            ),
            (
                "6d9db4ce6c5c0b293166d08986e05774a8776ceb525d9e4329520de12ba4bcc0",
                "3ee44512a1af2beb39c889490c60ea3f82e43f5d5a5532f5ab9419f676cd07ec",
            ),
        ];
        let anchors = TrustAnchors::embedded();
        let files = APP_ATTEST_ROOTS.iter().chain(&APP_ATTEST_RECEIPT_ROOTS).chain(&ANDROID_ROOTS);
        let apple = anchors.app_attest().iter().chain(anchors.app_attest_receipt());
        let keys = apple.chain(anchors.android_key());
        let found: Vec<_> = files
            .zip(keys)
            .map(|((_, file), anchor)| (hex(&sha256(file)), hex(&sha256(anchor.public_key()))))
            .collect();
        let expected: Vec<_> = expected.map(|(file, key)| (file.to_owned(), key.to_owned())).into();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_software_root_is_refused_even_as_a_danger() {
        const SOFTWARE: &[u8] = include_bytes!("../data/test-only-android-software-root.der");
        let mut anchors = TrustAnchors::embedded();
        assert_eq!(anchors.danger_add_android_key_roots(SOFTWARE), Err(AnchorError::SoftwareRoot));
        assert_eq!(anchors.danger_add_app_attest_roots(SOFTWARE), Err(AnchorError::SoftwareRoot));
        assert_eq!(anchors, TrustAnchors::embedded());
    }

    #[test]
    fn an_added_root_shows_its_danger_in_its_name() {
        let mut anchors = TrustAnchors::embedded();
        anchors.danger_add_android_key_roots(APP_ATTEST_ROOTS[0].1).unwrap();
        assert_eq!(
            anchors.android_key().last().map(Anchor::name),
            Some("danger:1ae751fd29896d0f1f13fe226c063f445d40d8938acc6245c251ecc0679330bd")
        );
        assert_eq!(anchors.app_attest(), TrustAnchors::embedded().app_attest());
    }

    #[test]
    fn what_is_no_certificate_is_no_anchor() {
        let mut anchors = TrustAnchors::embedded();
        assert!(matches!(anchors.danger_add_android_key_roots(b""), Err(AnchorError::File(_))));
        assert!(anchors.danger_add_android_key_roots(&[0x30, 0x03, 0x02, 0x01, 0x00]).is_err());
    }
}
