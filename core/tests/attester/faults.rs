//! What goes wrong, put in the place of the phone's and the service's right answers.

use countersign_core::attester::{
    AttesterError, Effect, Event, EvidenceFailure, KeyFailure, Platform, Unreached,
};

use crate::phone::{Outcome, Phone};
use crate::service::Scripted;

pub fn attest_fails(effect: &Effect, failure: EvidenceFailure) -> Option<Event> {
    match effect {
        Effect::Attest { id, .. } => Some(Event::Attested { id: *id, outcome: Err(failure) }),
        _ => None,
    }
}

/// No call reaches the service.
pub fn unreachable(effect: &Effect) -> Option<Event> {
    match effect {
        Effect::Fetch { id, .. } => Some(Event::Fetched { id: *id, outcome: Err(Unreached) }),
        _ => None,
    }
}

pub fn make_key_fails(effect: &Effect, failure: KeyFailure) -> Option<Event> {
    match effect {
        Effect::MakeKey { id, .. } => Some(Event::KeyMade { id: *id, outcome: Err(failure) }),
        _ => None,
    }
}

pub fn sign_fails(effect: &Effect, failure: KeyFailure) -> Option<Event> {
    match effect {
        Effect::Sign { id, .. } => Some(Event::Signed { id: *id, outcome: Err(failure) }),
        _ => None,
    }
}

pub fn scripted(phone: &mut Phone, script: impl IntoIterator<Item = Scripted>) {
    phone.service.script.extend(script);
}

pub fn enrolled(platform: Platform) -> Phone {
    let mut phone = Phone::new(platform);
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone.advance(301);
    phone.log.clear();
    phone
}

pub fn reference(error: AttesterError) -> Option<String> {
    error.reference().map(ToString::to_string)
}
