//! Random values of what our messages are made of.

use countersign_core::challenge::{Challenge, LENGTH};
use countersign_core::enrolment::{Enrolment, Evidence};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::{PublicKey, Thumbprint};
use countersign_core::token::result::{InstanceId, Protection, ResultClaims, Tier, VouchedBy};
use countersign_core::token::trust_vector::{TrustClaim, TrustVector};
use countersign_verifier::check::deny_list::DenyList;
use countersign_virtual_device::{Seed, SeededRandom, SessionKey};

pub(crate) struct Random(SeededRandom);

impl Random {
    pub(crate) fn new(name: &str) -> Self {
        Self(SeededRandom::new(Seed::from_text(name)))
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        u64::from_be_bytes(self.bytes()) % limit
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Up to `longest` bytes, more often few than many.
    pub(crate) fn some_bytes(&mut self, longest: u64) -> Vec<u8> {
        let limit = 1 + self.below(longest + 1);
        let length = self.below(limit);
        (0..length).map(|_| self.bytes::<1>()[0]).collect()
    }

    /// Text of one to four bytes per character, without control characters.
    pub(crate) fn text(&mut self, longest: u64) -> String {
        const CHARACTERS: [char; 8] = ['a', 'Z', '/', ' ', '"', 'é', '漢', '🦊'];
        let length = self.below(longest / 4 + 1);
        (0..length).map(|_| CHARACTERS[self.below(8) as usize]).collect()
    }

    /// Numbers of every length in CBOR.
    pub(crate) fn number(&mut self) -> u64 {
        let bits = self.below(64);
        u64::from_be_bytes(self.bytes()) >> bits
    }

    pub(crate) fn time(&mut self) -> Timestamp {
        Timestamp::from_unix_seconds(self.number() >> 8)
    }

    pub(crate) fn session_key(&mut self) -> SessionKey {
        SessionKey::from_seed(&Seed::from_bytes(self.bytes()))
    }

    pub(crate) fn p256(&mut self) -> PublicKey {
        let key = Seed::from_bytes(self.bytes()).p256_key("random");
        PublicKey::from_p256_sec1(&key.verifying_key().to_sec1_bytes()).unwrap()
    }

    pub(crate) fn result(&mut self) -> ResultClaims {
        let issued_at = self.time();
        ResultClaims {
            issuer: self.text(80),
            client_id: self.text(80),
            issued_at,
            expires_at: issued_at.plus(1 + self.below(600)),
            confirmation: self.session_key().public_key(),
            tier: if self.flip() { Tier::Warning } else { Tier::Affirming },
            instance: InstanceId::from_bytes(self.bytes()),
            instance_jkt: Thumbprint::from_bytes(self.bytes()),
            protection: self.protection(),
            vouched_by: VouchedBy::from_number(1 + self.below(3) as u8).unwrap(),
            evidence_time: self.time(),
            app_version: self.flip().then(|| self.text(64)),
            policy: self.text(64),
            labels: (0..self.below(30)).map(|_| self.text(40)).collect(),
            trust_vector: self.trust_vector(),
        }
    }

    pub(crate) fn deny_list(&mut self) -> DenyList {
        DenyList {
            issuer: self.text(80),
            sequence: self.number(),
            issued_at: self.time(),
            expires_at: self.time(),
            instances: (0..self.below(300)).map(|_| InstanceId::from_bytes(self.bytes())).collect(),
            key_ids: (0..self.below(30)).map(|_| self.some_bytes(80)).collect(),
        }
    }

    pub(crate) fn enrolment(&mut self) -> Enrolment {
        let mut challenge: [u8; LENGTH] = self.bytes();
        challenge[0] = 1;
        Enrolment {
            instance: self.flip().then(|| InstanceId::from_bytes(self.bytes())),
            issuer: self.text(500),
            challenge: Challenge::from_bytes(&challenge).unwrap(),
            client_id: self.text(500),
            instance_key: self.p256(),
            session_key: self.session_key().public_key(),
            possession: self.bytes(),
            evidence: self.evidence(),
            environment: self.number(),
            app_version: self.text(64),
            protection: self.protection(),
        }
    }

    /// Evidence of one platform, each kind at most once; or none.
    fn evidence(&mut self) -> Vec<Evidence> {
        let chain = |random: &mut Self| (0..random.below(10)).map(|_| random.some_bytes(900)).collect();
        match self.below(6) {
            0 => {
                vec![Evidence::AppAttest { attestation_object: self.some_bytes(6000), key_id: self.bytes() }]
            }
            1 => vec![Evidence::AppAttestAssertion { assertion: self.some_bytes(200) }],
            2 => vec![Evidence::AndroidKey { chain: chain(self) }],
            3 => vec![
                Evidence::AndroidKey { chain: chain(self) },
                Evidence::PlayIntegrity { token: self.text(3000) },
            ],
            4 => vec![Evidence::DevelopmentKey { key_id: self.text(200), signature: self.bytes() }],
            _ => Vec::new(),
        }
    }

    fn protection(&mut self) -> Protection {
        Protection::from_number(self.below(4) as u8).unwrap()
    }

    fn trust_vector(&mut self) -> TrustVector {
        let mut vector = TrustVector::default();
        for claim in TrustClaim::ALL {
            vector.worsen(claim, self.bytes::<1>()[0] as i8);
        }
        vector
    }
}
