//! Play Integrity: tokens from outside, payloads as if Google had signed them, and its answers.

use std::sync::LazyLock;

use countersign_core::time::Timestamp;
use countersign_verifier::evidence::play_integrity::{
    ClassicKeys, MAX_AGE, MAX_AHEAD, UnverifiedToken, decrypt, from_decode_answer, verify,
};
use countersign_verifier::evidence::{Claims, EvidenceSet};
use countersign_verifier::policy::{Circumstances, Tier};
use countersign_virtual_device::{Seed, VirtualPlay};

use super::world::{CHALLENGE, CLIENT, NOW, PACKAGE, POLICY, SIGNING_DIGEST};
use super::{choose, chosen};

static PLAY: LazyLock<VirtualPlay> =
    LazyLock::new(|| VirtualPlay::from_seed(&Seed::from_text("fuzz")).app(PACKAGE, 1, SIGNING_DIGEST));

static KEYS: LazyLock<ClassicKeys> = LazyLock::new(|| {
    ClassicKeys::new(PLAY.decryption_key(), &PLAY.verification_key())
        .expect("keys of the virtual Google Play")
});

static HONEST: LazyLock<String> = LazyLock::new(|| PLAY.classic_token(&CHALLENGE, NOW));

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    let Ok(text) = std::str::from_utf8(data) else { return };
    match choice {
        0 => token(text),
        _ => answer(text),
    }
}

/// Nothing opens but what Google made.
fn token(token: &str) {
    let _ = UnverifiedToken::read(token);
    if decrypt(token, &KEYS).is_ok() {
        assert_eq!(token, *HONEST, "one token has one text");
    }
}

/// Whatever Google might say: read or refused, bound and fresh or refused, and never more than a warning alone.
fn answer(json: &str) {
    let Ok(payload) = from_decode_answer(json.as_bytes()) else { return };
    for now in [NOW, Timestamp::EPOCH, Timestamp::from_unix_seconds(u64::MAX)] {
        let Ok(evidence) = verify(payload.clone(), &CHALLENGE, now) else { continue };
        let Claims::PlayIntegrity(claims) = evidence.claims() else { panic!("claims of another kind") };
        assert!(now.seconds_since(claims.requested_at) <= MAX_AGE);
        assert!(claims.requested_at.seconds_since(now) <= MAX_AHEAD);
        assert!(evidence.attested_key().as_p256().is_none());
        let set = EvidenceSet::new(evidence);
        let appraisal = POLICY.appraise(CLIENT, &set, &Circumstances::default(), now);
        assert_ne!(appraisal.tier(), Tier::Affirming);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let standard = PLAY.standard_token(&CHALLENGE, NOW);
    vec![
        chosen(0, HONEST.as_bytes()),
        chosen(0, standard.as_bytes()),
        chosen(1, PLAY.decode(&standard).expect("Google decodes its own").as_bytes()),
        chosen(1, PLAY.decode(&HONEST).expect("Google decodes both kinds").as_bytes()),
    ]
}
