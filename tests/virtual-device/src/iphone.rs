//! A virtual iPhone: plays `DCAppAttestService` and the Secure Enclave, in software.

use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use sha2::{Digest, Sha256};

use countersign_core::{time::Timestamp, token::keys::PublicKey};

use crate::{
    app_attest::{
        AttestationObject, AttestedCredential, AuthenticatorData, encode_assertion, encode_extensions, nonce,
    },
    apple_authority::{AppleAuthority, LeafContent},
    certificate::{p256_public_key_info, sign_chain},
    hostile::{AssertionAttack, IphoneAttack, IphoneForgery, ReceiptAttack},
    receipt::{ReceiptContent, ReceiptForm},
    saved::PhoneKeys,
    seed::Seed,
};

/// The environment of an App Attest key, told by the AAGUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// App Store, TestFlight, enterprise.
    Production,
    /// Run from Xcode.
    Development,
}

impl Environment {
    /// `appattest` and seven zero bytes, or `appattestdevelop`.
    pub const fn aaguid(self) -> [u8; 16] {
        match self {
            Self::Production => *b"appattest\0\0\0\0\0\0\0",
            Self::Development => *b"appattestdevelop",
        }
    }
}

/// The extensions that iOS 27 appends to authenticator data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppExtensions {
    /// `CFBundleVersion`.
    pub bundle_version: String,
    /// 4 App Store, 2 TestFlight, 3 development, 5 enterprise.
    pub category: u32,
    /// Whether the flag of extension data (0x80) is set; devices do not set it reliably.
    pub flag: bool,
}

/// What `attestKey` returned, and the id of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppAttestation {
    /// The attestation object, CBOR.
    pub object: Vec<u8>,
    /// SHA-256 of the key's uncompressed point.
    pub key_id: [u8; 32],
}

/// An iPhone with one app on it. Made honest, with iOS 26.3; each builder call changes one thing.
#[derive(Clone)]
pub struct VirtualIphone {
    authority: AppleAuthority,
    seed: Seed,
    app_id: String,
    environment: Environment,
    os_version: String,
    extensions: Option<AppExtensions>,
    attack: Option<IphoneAttack>,
    assertion_attack: Option<AssertionAttack>,
    receipt_attack: Option<ReceiptAttack>,
    receipt_form: ReceiptForm,
    keys_made: u32,
    app_attest_key: SigningKey,
    counter: u32,
    instance_key: SigningKey,
}

impl VirtualIphone {
    /// A phone that `authority` attests. One seed makes one phone.
    pub fn new(authority: &AppleAuthority, seed: &Seed) -> Self {
        let seed = seed.child("iphone");
        Self {
            authority: authority.clone(),
            app_id: "ABCDE12345.com.example.app".to_owned(),
            environment: Environment::Production,
            os_version: "26.3".to_owned(),
            extensions: None,
            attack: None,
            assertion_attack: None,
            receipt_attack: None,
            receipt_form: ReceiptForm::default(),
            keys_made: 0,
            app_attest_key: seed.p256_key("app attest key 0"),
            counter: 0,
            instance_key: seed.p256_key("instance key"),
            seed,
        }
    }

    /// The app: team (or prefix) and bundle identifier.
    #[must_use]
    pub fn app(mut self, team: &str, bundle: &str) -> Self {
        self.app_id = format!("{team}.{bundle}");
        self
    }

    /// Production or development.
    #[must_use]
    pub const fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// The system's version, without the extensions of iOS 27.
    #[must_use]
    pub fn os_version(mut self, version: &str) -> Self {
        self.os_version = version.to_owned();
        self
    }

    /// iOS 27, with these extensions.
    #[must_use]
    pub fn ios_27(mut self, extensions: AppExtensions) -> Self {
        self.os_version = "27.0".to_owned();
        self.extensions = Some(extensions);
        self
    }

    /// The counter after which assertions go on.
    #[must_use]
    pub const fn counter(mut self, counter: u32) -> Self {
        self.counter = counter;
        self
    }

    /// From now on attestations lie in this way.
    #[must_use]
    pub const fn attack(mut self, attack: IphoneAttack) -> Self {
        self.attack = Some(attack);
        self
    }

    /// From now on assertions lie in this way.
    #[must_use]
    pub const fn assertion_attack(mut self, attack: AssertionAttack) -> Self {
        self.assertion_attack = Some(attack);
        self
    }

    /// From now on receipts lie in this way.
    #[must_use]
    pub const fn receipt_attack(mut self, attack: ReceiptAttack) -> Self {
        self.receipt_attack = Some(attack);
        self
    }

    /// The form of receipts.
    #[must_use]
    pub const fn receipt_form(mut self, form: ReceiptForm) -> Self {
        self.receipt_form = form;
        self
    }

    /// A phone of the same model with the same app: genuine, and somebody else's.
    #[must_use]
    pub fn of_somebody_else(&self) -> Self {
        let seed = self.seed.child("somebody else");
        Self {
            app_attest_key: seed.p256_key("app attest key 0"),
            instance_key: seed.p256_key("instance key"),
            keys_made: 0,
            counter: 0,
            seed,
            ..self.clone()
        }
    }

    /// From now on the phone does not lie.
    #[must_use]
    pub const fn honest(mut self) -> Self {
        self.attack = None;
        self.assertion_attack = None;
        self.receipt_attack = None;
        self
    }

    /// The App ID: team and bundle identifier, joined by a dot.
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// Plays `generateKey`: a new App Attest key, whose counter starts at 0. Returns its id.
    pub fn generate_key(&mut self) -> [u8; 32] {
        self.keys_made += 1;
        self.app_attest_key = self.seed.p256_key(&format!("app attest key {}", self.keys_made));
        self.counter = 0;
        self.key_id()
    }

    /// The id of the App Attest key: SHA-256 of its uncompressed point.
    pub fn key_id(&self) -> [u8; 32] {
        Sha256::digest(point(&self.app_attest_key)).into()
    }

    /// The public App Attest key.
    pub fn app_attest_key(&self) -> PublicKey {
        public_key(&self.app_attest_key)
    }

    /// Plays `attestKey` with the present key.
    pub fn attest(&self, client_data_hash: &[u8], now: Timestamp) -> AppAttestation {
        let forgery = self.attack.map(|attack| IphoneForgery { attack, phone: self, client_data_hash, now });
        let mut data = self.attested_data();
        if let Some(forgery) = &forgery {
            forgery.authenticator_data(&mut data);
        }
        let mut authenticator_data = data.encode();
        let leaf = LeafContent {
            subject_public_key_info: p256_public_key_info(&point(&self.app_attest_key)),
            key_id: self.key_id(),
            nonce: nonce(&authenticator_data, client_data_hash),
            app_id: &self.app_id,
            os_version: &self.os_version,
        };
        let mut links = self.authority.chain(&leaf, now);
        if let Some(forgery) = &forgery {
            forgery.links(&leaf, &mut links);
            forgery.signed_data(&mut authenticator_data);
        }
        let x5c = sign_chain(&links);
        let mut object = AttestationObject {
            format: "apple-appattest".to_owned(),
            receipt: self.receipt(x5c.first().map_or(&[], Vec::as_slice), client_data_hash, None, now),
            x5c,
            authenticator_data: Some(authenticator_data),
            formats_before: Vec::new(),
        };
        let mut key_id = self.key_id();
        if let Some(forgery) = &forgery {
            forgery.object(&mut object, &mut key_id);
        }
        let mut object = object.encode();
        if let Some(forgery) = &forgery {
            forgery.bytes(&mut object);
        }
        AppAttestation { object, key_id }
    }

    /// Plays the exchange of a receipt of the present key: the new one, as Apple sends it.
    pub fn exchanged_receipt(&self, risk_metric: u64, now: Timestamp) -> Vec<u8> {
        let client_data_hash = [0; 32];
        let leaf = LeafContent {
            subject_public_key_info: p256_public_key_info(&point(&self.app_attest_key)),
            key_id: self.key_id(),
            nonce: [0; 32],
            app_id: &self.app_id,
            os_version: &self.os_version,
        };
        let leaf = self.authority.chain(&leaf, now).remove(0);
        let certificate = leaf.certificate.sign(&leaf.key, leaf.hash);
        self.receipt(&certificate, &client_data_hash, Some(risk_metric), now).unwrap_or_default()
    }

    fn receipt(
        &self,
        attested_certificate: &[u8],
        client_hash: &[u8],
        risk_metric: Option<u64>,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        let content = ReceiptContent {
            app_id: &self.app_id,
            attested_certificate,
            client_hash,
            environment: self.environment,
            risk_metric,
            form: self.receipt_form,
        };
        self.authority.receipt(&content, now, self.receipt_attack)
    }

    /// Plays `generateAssertion` with the present key; its counter rises by one.
    pub fn assert(&mut self, client_data_hash: &[u8]) -> Vec<u8> {
        self.counter = self.counter.saturating_add(1);
        let mut data = AuthenticatorData {
            rp_id_hash: Sha256::digest(self.app_id.as_bytes()).into(),
            flags: 0x40,
            counter: self.counter,
            credential: None,
            extensions: Vec::new(),
        };
        self.append_extensions(&mut data);
        match self.assertion_attack {
            Some(attack) => attack.forge(data, client_data_hash, &self.app_attest_key, &self.seed),
            None => {
                let bytes = data.encode();
                let signature: Signature = self.app_attest_key.sign(&nonce(&bytes, client_data_hash));
                encode_assertion(signature.to_der().as_bytes(), &bytes)
            }
        }
    }

    /// The environment of the app's App Attest keys.
    pub const fn environment_of_app(&self) -> Environment {
        self.environment
    }

    /// Makes the instance key anew, in the Secure Enclave.
    pub fn make_instance_key(&mut self) {
        self.keys_made += 1;
        self.instance_key = self.seed.p256_key(&format!("instance key {}", self.keys_made));
    }

    /// The public instance key, which App Attest does not attest but vouch for.
    pub fn instance_key(&self) -> PublicKey {
        public_key(&self.instance_key)
    }

    /// Signs with the instance key: `r || s`, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.instance_key.sign(message);
        signature.to_bytes().into()
    }

    pub(crate) fn keys(&self) -> PhoneKeys {
        PhoneKeys {
            keys_made: self.keys_made,
            instance_key: self.instance_key.clone(),
            app_attest: Some((self.app_attest_key.clone(), self.counter)),
        }
    }

    pub(crate) fn take_keys(&mut self, keys: PhoneKeys) {
        (self.keys_made, self.instance_key) = (keys.keys_made, keys.instance_key);
        if let Some((key, counter)) = keys.app_attest {
            (self.app_attest_key, self.counter) = (key, counter);
        }
    }

    /// The authority that attests the phone.
    pub const fn authority(&self) -> &AppleAuthority {
        &self.authority
    }

    /// The phone's seed.
    pub(crate) const fn seed(&self) -> &Seed {
        &self.seed
    }

    /// The private App Attest key, with which forgeries sign what it never would.
    pub(crate) const fn private_app_attest_key(&self) -> &SigningKey {
        &self.app_attest_key
    }

    fn attested_data(&self) -> AuthenticatorData {
        let mut data = AuthenticatorData {
            rp_id_hash: Sha256::digest(self.app_id.as_bytes()).into(),
            flags: 0x40,
            counter: 0,
            credential: Some(AttestedCredential {
                aaguid: self.environment.aaguid(),
                id_length: 32,
                id: self.key_id().to_vec(),
                point: point(&self.app_attest_key),
            }),
            extensions: Vec::new(),
        };
        self.append_extensions(&mut data);
        data
    }

    fn append_extensions(&self, data: &mut AuthenticatorData) {
        if let Some(extensions) = &self.extensions {
            data.extensions = encode_extensions(&extensions.bundle_version, extensions.category);
            if extensions.flag {
                data.flags |= 0x80;
            }
        }
    }
}

/// `04 || X || Y`.
pub(crate) fn point(key: &SigningKey) -> [u8; 65] {
    key.verifying_key().to_sec1_bytes().as_ref().try_into().expect("an uncompressed point has 65 bytes")
}

fn public_key(key: &SigningKey) -> PublicKey {
    PublicKey::from_p256_sec1(&point(key)).expect("the point of a signing key lies on the curve")
}
