//! The edge's tables, one at a time: what an entry weighs, counted by the allocator.

use allocation_counter::measure;
use countersign_core::token::result::InstanceId;
use countersign_verifier::check::deny_list::{DenyList, SubjectDigest};
use countersign_verifier::check::limits::{Per, RateLimit};
use countersign_verifier::check::replay::ReplaySet;
use countersign_verifier::check::{CredentialKind, Decision, Limits, Lookup, Route, TokenBinding};
use countersign_verifier::credential::introspection::Introspection;
use serde_json::json;

use crate::scene::{NOW, Scene, address};

/// A table of the edge that grows with its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Results,
    AccessTokens,
    Proofs,
    FirstUses,
    Addresses,
    Callers,
    /// The good ones, and a quarter as many that were refused.
    OpaqueTokens,
}

impl Table {
    pub(crate) const ALL: [Self; 7] = [
        Self::Results,
        Self::AccessTokens,
        Self::Proofs,
        Self::FirstUses,
        Self::Addresses,
        Self::Callers,
        Self::OpaqueTokens,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Results => "verified results, and requests per instance",
            Self::AccessTokens => "verified access tokens",
            Self::Proofs => "replay set",
            Self::FirstUses => "first uses of bearer tokens",
            Self::Addresses => "failures per address",
            Self::Callers => "quotas of callers",
            Self::OpaqueTokens => "opaque tokens, of each resource",
        }
    }

    /// How many entries it can have in an edge of these sizes.
    pub(crate) const fn most(self, limits: Limits) -> usize {
        match self {
            Self::Results => 2 * limits.results,
            Self::AccessTokens | Self::OpaqueTokens => 2 * limits.access_tokens,
            Self::Proofs => 2 * limits.proofs,
            Self::FirstUses => limits.first_uses,
            Self::Addresses => 2 * limits.addresses,
            Self::Callers => 2 * limits.callers,
        }
    }

    /// Sizes of an edge in which this table has room for `size`, and the others for next to nothing.
    fn sizes(self, size: usize) -> Limits {
        let least = Limits {
            results: 1,
            access_tokens: 1,
            proofs: 1 << 16,
            first_uses: 1,
            addresses: 1,
            failures: 20,
            callers: 1,
            instance_requests: u32::MAX,
        };
        match self {
            Self::Results => Limits { results: size, ..least },
            Self::AccessTokens => Limits { access_tokens: size, ..least },
            // All of them come from one instance, and every fourth is made up.
            Self::OpaqueTokens => Limits { access_tokens: size, failures: u32::MAX, ..least },
            Self::Proofs => Limits { proofs: size, ..least },
            Self::FirstUses => Limits { first_uses: size, ..least },
            Self::Addresses => Limits { addresses: size, ..least },
            Self::Callers => Limits { callers: size, ..least },
        }
    }

    /// Bytes of the table with room for `size`, after `strangers` have called who each want an entry of their own.
    pub(crate) fn bytes(self, size: usize, strangers: u32) -> f64 {
        let filled = measured(|| self.filled(self.sizes(size), strangers));
        let without = match self {
            // Its size is that of another table too.
            Self::OpaqueTokens => measured(|| Self::AccessTokens.filled(self.sizes(size), 0)),
            _ => measured(|| self.filled(self.sizes(1), strangers)),
        };
        filled - without
    }

    fn filled(self, limits: Limits, strangers: u32) -> Box<dyn std::any::Any> {
        if self == Self::Proofs {
            let set = ReplaySet::new(limits.proofs, 150);
            for number in 0..strangers {
                let mut key = [0; 16];
                key[..4].copy_from_slice(&number.to_be_bytes());
                // Full or not, it takes no more room.
                let _ = set.insert(key, NOW);
            }
            return Box::new(set);
        }
        let scene = Scene::with_limits(limits, vec![self.route()], self.introspection());
        for number in 0..strangers {
            self.call(&scene, number);
        }
        Box::new(scene)
    }

    fn route(self) -> Route {
        let route = Route::new("/");
        let per = |per| RateLimit::new(per, "100/s".parse().unwrap(), 100).unwrap();
        match self {
            Self::FirstUses => Route { token_binding: TokenBinding::FirstUse, ..route },
            Self::Callers => Route { limits: vec![per(Per::Instance)], ..route },
            Self::OpaqueTokens => Route { credentials: vec![CredentialKind::Opaque], ..route },
            _ => route,
        }
    }

    fn introspection(self) -> Option<Introspection> {
        (self == Self::OpaqueTokens).then(|| Introspection::new("https://as.example"))
    }

    /// One request of a stranger that leaves an entry, if there is room.
    fn call(self, scene: &Scene, number: u32) {
        match self {
            Self::Addresses => {
                // Made up from beginning to end.
                let mut sent = scene.sent();
                sent.source = Some(address(number));
                sent.proof.replace_range(..4, "AAAA");
                assert!(matches!(scene.check(&sent), Decision::Refusal(_)));
            }
            Self::OpaqueTokens => {
                let sent = scene.sent_with(&format!("an-opaque-token-{number:08}"));
                let Decision::Needs(Lookup::Introspection(token)) = scene.check(&sent) else {
                    panic!("nobody knows the token yet");
                };
                // Every fourth is made up.
                let answer = json!({
                    "active": !number.is_multiple_of(4), "iss": "https://as.example",
                    "sub": format!("user-{number}"), "client_id": "client", "aud": "https://api.example",
                    "scope": "accounts transactions", "token_type": "DPoP",
                    "iat": NOW.as_unix_seconds(), "exp": NOW.plus(1740).as_unix_seconds(),
                });
                scene.edge.introspected("api", &token, answer.to_string().as_bytes(), NOW).unwrap();
            }
            Self::FirstUses => drop(scene.check(&scene.sent_by(number, false, NOW))),
            _ => {
                let decision = scene.check(&scene.sent_by(number, true, NOW));
                assert!(matches!(decision, Decision::Permit(_)), "{decision:?}");
            }
        }
    }
}

/// Bytes of a deny list of so many instances and subjects.
pub(crate) fn deny_list_bytes(instances: u32, subjects: u32) -> f64 {
    let wide = |number: u32| -> [u8; 32] {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    let narrow = |number| *wide(number).first_chunk::<16>().unwrap();
    measured(|| DenyList {
        issuer: "https://attest.example".to_owned(),
        sequence: 1,
        issued_at: NOW,
        expires_at: NOW.plus(600),
        instances: (0..instances).map(|number| InstanceId::from_bytes(narrow(number))).collect(),
        key_ids: [].into(),
        subjects: (0..subjects).map(|number| SubjectDigest::from_bytes(wide(number))).collect(),
    })
}

/// Bytes that what `make` makes holds on to.
pub(crate) fn measured<T>(make: impl FnOnce() -> T) -> f64 {
    let mut made = None;
    let bytes = measure(|| made = Some(make())).bytes_current;
    drop(made);
    bytes as f64
}
