//! The envelope of enrolments and renewals.

use countersign_core::enrolment::{DecodedEnrolment, MAX_ENVELOPE};
use countersign_core::token::result::InstanceId;

use super::world;

pub fn run(data: &[u8]) {
    let Ok(DecodedEnrolment { message, enrolment }) = DecodedEnrolment::decode(data) else { return };
    assert!(data.len() <= MAX_ENVELOPE);
    let signature = message.signature().try_into().expect("64 bytes");
    assert_eq!(enrolment.to_unsigned().with_signature(signature), data, "members are exactly the known ones");
    assert_eq!(enrolment.purpose().as_str() == "renew", enrolment.instance.is_some());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (call, session) = (world::call(), world::session());
    world::phones()
        .into_iter()
        .flat_map(|mut phone| {
            let enrolled = phone.enrol(&call, &session);
            [enrolled, phone.renew(&call, InstanceId::from_bytes([5; 16]), &session)]
        })
        .collect()
}
