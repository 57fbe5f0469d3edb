//! A virtual Android phone: makes attested keys whose certificate chains have the genuine shape.

use p256::ecdsa::{Signature, SigningKey, signature::Signer};

use countersign_core::{time::Timestamp, token::keys::PublicKey};

use crate::{
    android_quirk::AndroidQuirk,
    asn1,
    certificate::{p256_public_key_info, sign_chain},
    google_authority::{AttestingChip, GoogleAuthority, Provisioning},
    hostile::{AndroidAttack, AndroidForgery},
    key_description::{
        ApplicationId, AuthorizationList, BootState, KeyDescription, RootOfTrust, SecurityLevel,
        key_mint_version, tag,
    },
    play_integrity::{PlayRequest, VirtualPlay},
    saved::PhoneKeys,
    seed::Seed,
};

/// An Android phone with one app on it. Made honest, up to date and locked; each builder call changes one thing.
#[derive(Clone)]
pub struct VirtualAndroid {
    authority: GoogleAuthority,
    seed: Seed,
    application: ApplicationId,
    provisioning: Provisioning,
    security_level: SecurityLevel,
    attestation_version: u64,
    root_of_trust: RootOfTrust,
    os_version: u64,
    patch_level: u64,
    purposes: Vec<u64>,
    digests: Vec<u64>,
    model: Option<String>,
    certificates_issued: u64,
    quirk: Option<AndroidQuirk>,
    attack: Option<AndroidAttack>,
    google_play: Option<(VirtualPlay, PlayRequest)>,
    has_key_attestation: bool,
    keys_made: u32,
    instance_key: SigningKey,
}

impl VirtualAndroid {
    /// A phone whose chips were provisioned by `authority`. One seed makes one phone.
    pub fn new(authority: &GoogleAuthority, seed: &Seed) -> Self {
        let seed = seed.child("android");
        Self {
            authority: authority.clone(),
            application: ApplicationId {
                packages: vec![("com.example.app".to_owned(), 1)],
                signing_digests: vec![Seed::from_text("com.example.app").bytes("signing certificate")],
            },
            provisioning: Provisioning::Remote,
            security_level: SecurityLevel::TrustedEnvironment,
            attestation_version: 400,
            root_of_trust: RootOfTrust {
                verified_boot_key: Seed::from_text("maker of virtual phones").bytes("boot key"),
                device_locked: true,
                verified_boot_state: BootState::Verified,
                verified_boot_hash: Some(seed.bytes("boot hash")),
            },
            os_version: 160_000,
            patch_level: 202_609,
            purposes: vec![2],
            digests: vec![4],
            model: None,
            certificates_issued: 8,
            quirk: None,
            attack: None,
            google_play: None,
            has_key_attestation: true,
            keys_made: 0,
            instance_key: seed.p256_key("instance key 0"),
            seed,
        }
    }

    /// The app: package name, version code, and SHA-256 of its signing certificate.
    #[must_use]
    pub fn app(mut self, package: &str, version: u64, signing_digest: [u8; 32]) -> Self {
        self.application = ApplicationId {
            packages: vec![(package.to_owned(), version)],
            signing_digests: vec![signing_digest],
        };
        self
    }

    /// A further package that shares the app's user id.
    #[must_use]
    pub fn sharing_user_id_with(mut self, package: &str, version: u64) -> Self {
        self.application.packages.push((package.to_owned(), version));
        self
    }

    /// A further signing certificate, as after a rotation of the key.
    #[must_use]
    pub fn also_signed_by(mut self, signing_digest: [u8; 32]) -> Self {
        self.application.signing_digests.push(signing_digest);
        self
    }

    /// How the phone came by its attestation keys.
    #[must_use]
    pub const fn provisioning(mut self, provisioning: Provisioning) -> Self {
        self.provisioning = provisioning;
        self
    }

    /// Where keys live.
    #[must_use]
    pub const fn security_level(mut self, level: SecurityLevel) -> Self {
        self.security_level = level;
        self
    }

    /// 1, 2, 3, 4, 100, 200, 300, 400 or 500. Members that came later are left out.
    #[must_use]
    pub const fn attestation_version(mut self, version: u64) -> Self {
        self.attestation_version = version;
        self
    }

    /// What verified boot found, and whether the bootloader is locked.
    #[must_use]
    pub const fn boot(mut self, state: BootState, locked: bool) -> Self {
        self.root_of_trust.verified_boot_state = state;
        self.root_of_trust.device_locked = locked;
        self
    }

    /// SHA-256 of the key that verified the system; what an allow list of self-signed systems names.
    #[must_use]
    pub const fn boot_key(mut self, key: [u8; 32]) -> Self {
        self.root_of_trust.verified_boot_key = key;
        self
    }

    /// Version of Android (such as 160000) and month of its patches (such as 202609).
    #[must_use]
    pub const fn system(mut self, os_version: u64, patch_level: u64) -> Self {
        self.os_version = os_version;
        self.patch_level = patch_level;
        self
    }

    /// What keys may be used for; 2 is signing.
    #[must_use]
    pub fn purposes(mut self, purposes: &[u64]) -> Self {
        self.purposes = purposes.to_vec();
        self
    }

    /// Digests that keys may be used with; 4 is SHA-256.
    #[must_use]
    pub fn digests(mut self, digests: &[u64]) -> Self {
        self.digests = digests.to_vec();
        self
    }

    /// The model that keys name: only for the apps of a device's owner.
    #[must_use]
    pub fn attested_model(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    /// How many certificates the provisioning server says to have issued to the phone in 30 days.
    #[must_use]
    pub const fn certificates_issued(mut self, number: u64) -> Self {
        self.certificates_issued = number;
        self
    }

    /// From now on the phone departs from the standards in this way, and is honest.
    #[must_use]
    pub const fn quirk(mut self, quirk: AndroidQuirk) -> Self {
        if let Some(provisioning) = quirk.provisioning() {
            self.provisioning = provisioning;
        }
        self.quirk = Some(quirk);
        self
    }

    /// From now on the phone lies in this way.
    #[must_use]
    pub const fn attack(mut self, attack: AndroidAttack) -> Self {
        if let Some(provisioning) = attack.provisioning() {
            self.provisioning = provisioning;
        }
        self.attack = Some(attack);
        self
    }

    /// The app can ask Google Play for tokens, of this kind.
    #[must_use]
    pub fn google_play(mut self, play: &VirtualPlay, request: PlayRequest) -> Self {
        self.google_play = Some((play.clone(), request));
        self
    }

    /// A phone whose hardware attests no keys: Google Play is all that can vouch for it.
    #[must_use]
    pub const fn without_key_attestation(mut self) -> Self {
        self.has_key_attestation = false;
        self
    }

    /// A phone of the same model with the same app: genuine, and somebody else's.
    #[must_use]
    pub fn of_somebody_else(&self) -> Self {
        let seed = self.seed.child("somebody else");
        Self { instance_key: seed.p256_key("instance key 0"), keys_made: 0, seed, ..self.clone() }
    }

    /// From now on the phone does not lie.
    #[must_use]
    pub const fn honest(mut self) -> Self {
        self.attack = None;
        self
    }

    /// Whether hardware attests keys.
    pub const fn has_key_attestation(&self) -> bool {
        self.has_key_attestation
    }

    /// Whether the app can ask Google Play for tokens.
    pub const fn has_google_play(&self) -> bool {
        self.google_play.is_some()
    }

    /// A Play Integrity token for a binding hash, if the app can ask for one.
    pub fn play_integrity_token(&self, binding_hash: &[u8; 32], now: Timestamp) -> Option<String> {
        self.google_play.as_ref().map(|(play, request)| match request {
            PlayRequest::Classic => play.classic_token(binding_hash, now),
            PlayRequest::Standard => play.standard_token(binding_hash, now),
        })
    }

    /// Where keys really live.
    pub const fn level(&self) -> SecurityLevel {
        self.security_level
    }

    /// The app on the phone.
    pub const fn application(&self) -> &ApplicationId {
        &self.application
    }

    /// SHA-256 of the key that verified the system.
    pub const fn verified_boot_key(&self) -> &[u8; 32] {
        &self.root_of_trust.verified_boot_key
    }

    /// Makes the instance key anew and returns its attestation: DER certificates, leaf first, root last.
    /// `challenge` is the raw attestationChallenge.
    pub fn attest(&mut self, challenge: &[u8], now: Timestamp) -> Vec<Vec<u8>> {
        self.instance_key = self.fresh_key();
        self.attest_key(&self.instance_key, challenge, now)
    }

    /// The attestation of a key that is made for it and thrown away: what the state of the phone is today.
    pub fn attest_throwaway(&mut self, challenge: &[u8], now: Timestamp) -> Vec<Vec<u8>> {
        let key = self.fresh_key();
        self.attest_key(&key, challenge, now)
    }

    /// The attestation of a given key, as if the phone's hardware had made it.
    pub fn attest_key(&self, key: &SigningKey, challenge: &[u8], now: Timestamp) -> Vec<Vec<u8>> {
        let point = key.verifying_key().to_sec1_bytes();
        let mut description = self.key_description(challenge, now);
        if let Some(quirk) = self.quirk {
            quirk.key_description(&mut description);
        }
        let forgery = self.attack.map(|attack| AndroidForgery { attack, phone: self, key, now });
        if let Some(forgery) = &forgery {
            forgery.key_description(&mut description);
        }
        let mut extension = description.encode();
        if let Some(forgery) = &forgery {
            forgery.extension(&mut extension);
        }
        let mut links = self.authority.chain(&self.chip(), p256_public_key_info(&point), extension, now);
        if let Some(quirk) = self.quirk {
            quirk.links(now, &mut links);
        }
        if let Some(forgery) = &forgery {
            forgery.links(&description, &mut links);
        }
        let mut chain = sign_chain(&links);
        if let Some(forgery) = &forgery {
            forgery.chain(&mut chain);
        }
        chain
    }

    /// The public instance key: the one that was attested last.
    pub fn instance_key(&self) -> PublicKey {
        PublicKey::from_p256_sec1(&self.instance_key.verifying_key().to_sec1_bytes())
            .expect("the point of a signing key lies on the curve")
    }

    /// Signs with the instance key: `r || s`, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.instance_key.sign(message);
        signature.to_bytes().into()
    }

    pub(crate) fn keys(&self) -> PhoneKeys {
        PhoneKeys { keys_made: self.keys_made, instance_key: self.instance_key.clone(), app_attest: None }
    }

    pub(crate) fn take_keys(&mut self, keys: PhoneKeys) {
        (self.keys_made, self.instance_key) = (keys.keys_made, keys.instance_key);
    }

    /// The authority that provisioned the phone.
    pub const fn authority(&self) -> &GoogleAuthority {
        &self.authority
    }

    /// The phone's seed.
    pub(crate) const fn seed(&self) -> &Seed {
        &self.seed
    }

    /// What the hardware says of the boot.
    pub(crate) const fn root_of_trust(&self) -> &RootOfTrust {
        &self.root_of_trust
    }

    /// The chip whose key signs leaves.
    pub fn chip(&self) -> AttestingChip {
        AttestingChip {
            seed: self.seed.child(self.security_level.title()),
            provisioning: self.provisioning,
            security_level: self.security_level,
            certificates_issued: self.certificates_issued,
        }
    }

    fn fresh_key(&mut self) -> SigningKey {
        self.keys_made += 1;
        self.seed.p256_key(&format!("instance key {}", self.keys_made))
    }

    /// What the phone honestly says of a P-256 key that it has made.
    pub fn key_description(&self, challenge: &[u8], now: Timestamp) -> KeyDescription {
        let version = self.attestation_version;
        let mut software = AuthorizationList::default();
        software.set(tag::CREATION_DATE_TIME, asn1::integer(now.as_unix_seconds() * 1000));
        software.set(tag::APPLICATION_ID, asn1::octet_string(&self.application.encode()));
        if version >= 400 {
            software.set(tag::MODULE_HASH, asn1::octet_string(&self.seed.bytes::<32>("modules")));
        }
        let mut hardware = AuthorizationList::default();
        hardware.set(tag::PURPOSE, integers(&self.purposes));
        hardware.set(tag::ALGORITHM, asn1::integer(3));
        hardware.set(tag::KEY_SIZE, asn1::integer(256));
        hardware.set(tag::DIGEST, integers(&self.digests));
        hardware.set(tag::EC_CURVE, asn1::integer(1));
        hardware.set(tag::NO_AUTH_REQUIRED, asn1::null());
        hardware.set(tag::ORIGIN, asn1::integer(0));
        hardware.set(tag::OS_VERSION, asn1::integer(self.os_version));
        hardware.set(tag::OS_PATCH_LEVEL, asn1::integer(self.patch_level));
        let mut root_of_trust = self.root_of_trust.clone();
        if version < 3 {
            hardware.set(tag::ROLLBACK_RESISTANT, asn1::null());
            root_of_trust.verified_boot_hash = None;
        } else {
            hardware.set(tag::VENDOR_PATCH_LEVEL, asn1::integer(self.patch_level * 100 + 5));
            hardware.set(tag::BOOT_PATCH_LEVEL, asn1::integer(self.patch_level * 100 + 5));
        }
        hardware.set(tag::ROOT_OF_TRUST, root_of_trust.encode());
        if let Some(model) = &self.model {
            hardware.set(tag::MODEL, asn1::octet_string(model.as_bytes()));
        }
        KeyDescription {
            attestation_version: version,
            attestation_security_level: self.security_level,
            key_mint_version: key_mint_version(version),
            key_mint_security_level: self.security_level,
            attestation_challenge: challenge.to_vec(),
            unique_id: Vec::new(),
            software_enforced: software,
            hardware_enforced: hardware,
        }
    }
}

/// SET OF INTEGER.
fn integers(values: &[u64]) -> Vec<u8> {
    asn1::set_of(values.iter().map(|value| asn1::integer(*value)))
}
