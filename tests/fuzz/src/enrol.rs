//! From an envelope to an admission, at any time: raw envelopes, and payloads that the phone's own key signs.

use std::sync::LazyLock;

use countersign_core::enrolment::DecodedEnrolment;
use countersign_core::time::Timestamp;
use countersign_core::token::cose::{Header, Sign1, Unsigned, typ};
use countersign_core::token::keys::Algorithm;
use countersign_verifier::enrolment::{Admission, AuthenticEnrolment, DecodeFailure, Signals, Verdict};
use countersign_virtual_device::VirtualPhone;

use super::world::{self, POLICY};
use super::{choose, chosen};

/// Phones that have enrolled, with the envelopes they sent.
static HONEST: LazyLock<[(VirtualPhone, Vec<u8>); 2]> = LazyLock::new(|| {
    world::phones().map(|mut phone| {
        let envelope = phone.enrol(&world::call(), &world::session());
        (phone, envelope)
    })
});

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    let Some((now, input)) = world::time(data) else { return };
    let [(iphone, _), (android, _)] = &*HONEST;
    match choice {
        0 => {
            if admit(input, now).is_some() {
                assert!(
                    HONEST.iter().any(|(_, envelope)| envelope == input),
                    "an envelope that no phone sent"
                );
            }
        }
        1 => signed(iphone, input, now),
        _ => signed(android, input, now),
    }
}

/// The holder of an instance key can write what they like around evidence: it must still be theirs.
fn signed(phone: &VirtualPhone, payload: &[u8], now: Timestamp) {
    let header = Header { algorithm: Algorithm::Esp256, key_id: None, typ: typ::ENROLMENT };
    let unsigned = Unsigned::new(&header, payload.to_vec());
    let envelope = unsigned.with_signature(&phone.sign(&unsigned.to_be_signed()));
    let Some(admission) = admit(&envelope, now) else { return };
    assert_eq!(admission.instance_key(), &phone.instance_key());
    assert_eq!(admission.session_key(), &world::session().public_key());
    assert_eq!(admission.client_id(), world::CLIENT);
}

fn admit(envelope: &[u8], now: Timestamp) -> Option<Admission> {
    let service = world::service();
    let decoded = DecodedEnrolment::decode(envelope).ok()?;
    let verified = AuthenticEnrolment::verify(decoded, None, &service, now)
        .and_then(|authentic| authentic.verify_evidence(&service, now))
        .and_then(|offline| offline.complete(Err(DecodeFailure::NotAsked), now))
        .ok()?;
    match verified.appraise(&POLICY, Signals::default(), now) {
        Verdict::Admitted(admission) => Some(*admission),
        Verdict::Refused(_) => None,
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (choice, (_, envelope)) in (1..).zip(&*HONEST) {
        for seconds in [0i32, 1201, -6] {
            seeds.push(chosen(0, &[&seconds.to_le_bytes(), envelope.as_slice()].concat()));
        }
        let payload = Sign1::decode(envelope).expect("COSE").payload();
        seeds.push(chosen(choice, &[&[0; 4], payload].concat()));
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_honest_envelopes_are_admitted_in_their_time() {
        for (_, envelope) in &*HONEST {
            assert!(admit(envelope, world::NOW).is_some());
            assert!(admit(envelope, world::NOW.plus(1201)).is_none());
        }
    }
}
