//! Genuine phones and genuine evidence, in messages that are somebody else's, used up or put together.

use countersign_core::enrolment::EnrolmentAnswer;
use countersign_core::token::result::InstanceId;
use countersign_virtual_device::{AssertionAttack, EnrolmentAttack, SessionKey, VirtualPhone};

use crate::Trouble;
use crate::report::{By, Report};
use crate::world::World;

/// Enrolments, each with one lie around genuine evidence.
const ENROLMENTS: [(&str, EnrolmentAttack, &str); 5] = [
    (
        "evidence relayed from somebody else's genuine phone",
        EnrolmentAttack::RelayedEvidence,
        "enrolment_key_not_attested",
    ),
    (
        "evidence made for another service, which passes it on",
        EnrolmentAttack::EvidenceForOtherIssuer,
        "evidence_challenge_mismatch",
    ),
    (
        "a challenge that the service never gave out",
        EnrolmentAttack::AlteredChallenge,
        "challenge_unrecognised",
    ),
    (
        "a session key that the phone does not have",
        EnrolmentAttack::PossessionByOtherKey,
        "enrolment_possession",
    ),
    ("no evidence at all", EnrolmentAttack::NoEvidence, "enrolment_no_evidence"),
];

/// Tries everything.
///
/// # Errors
/// The service does not answer.
pub(crate) async fn try_all(world: &World, report: &mut Report) -> Result<(), Trouble> {
    let session = SessionKey::from_seed(&world.seed("mallory's session"));
    for (what, attack, reason) in ENROLMENTS {
        let mut phone = VirtualPhone::from(world.android("mallory"));
        let envelope = phone.forge_enrolment(&world.call().await?, &session, attack);
        report.attack(what, By::Service, &world.attest(None, envelope).await?, reason);
    }
    let mut phone = VirtualPhone::from(world.iphone("mallory"));
    let envelope = phone.forge_enrolment(&world.call().await?, &session, EnrolmentAttack::RelayedEvidence);
    let relayed = "the same with an iPhone";
    report.attack(relayed, By::Service, &world.attest(None, envelope).await?, "evidence_nonce_mismatch");
    used_challenge(world, &session, report).await?;
    renewals(world, &session, report).await
}

/// One challenge for two phones.
async fn used_challenge(world: &World, session: &SessionKey, report: &mut Report) -> Result<(), Trouble> {
    let call = world.call().await?;
    let first = VirtualPhone::from(world.android("one of two")).enrol(&call, session);
    report.honest("(a phone enrols)", By::Service, &enrolled(world.attest(None, first).await?));
    let second = VirtualPhone::from(world.android("two of two")).enrol(&call, session);
    report.attack(
        "its challenge, for another phone",
        By::Service,
        &world.attest(None, second).await?,
        "challenge_used",
    );
    Ok(())
}

/// Renewals by an iPhone that has enrolled.
async fn renewals(world: &World, session: &SessionKey, report: &mut Report) -> Result<(), Trouble> {
    let iphone = world.iphone("renewing");
    let mut phone = VirtualPhone::from(iphone.clone());
    let answered = world.attest(None, phone.enrol(&world.call().await?, session)).await?;
    let instance = instance_of(&answered.body)?;
    report.honest("(an iPhone enrols)", By::Service, &enrolled(answered));
    let renewal = phone.renew(&world.call().await?, instance, session);
    report.honest("(and renews)", By::Service, &enrolled(world.attest(Some(instance), renewal).await?));

    let mut other = VirtualPhone::from(world.iphone("somebody else"));
    let envelope = other.renew(&world.call().await?, instance, session);
    let answered = world.attest(Some(instance), envelope).await?;
    report.attack(
        "a renewal of its instance by another phone",
        By::Service,
        &answered,
        "enrolment_instance_mismatch",
    );
    for (what, attack, reason) in [
        (
            "a renewal with the counter of the last assertion",
            AssertionAttack::CounterReplay,
            "evidence_counter_not_greater",
        ),
        (
            "a renewal with an assertion by another key",
            AssertionAttack::OtherKey,
            "evidence_invalid_signature",
        ),
    ] {
        let VirtualPhone::Iphone(iphone) = &phone else { return Err("an iPhone was made".into()) };
        let mut lying = VirtualPhone::from(iphone.clone().assertion_attack(attack));
        let envelope = lying.renew(&world.call().await?, instance, session);
        report.attack(what, By::Service, &world.attest(Some(instance), envelope).await?, reason);
    }
    Ok(())
}

fn instance_of(body: &[u8]) -> Result<InstanceId, Trouble> {
    let answer: EnrolmentAnswer = serde_json::from_slice(body)?;
    InstanceId::from_base64url(&answer.instance_id).map_err(|_| "the service gave no instance".into())
}

/// The answer has tokens in it, which nobody needs to see.
fn enrolled(answered: crate::world::Answered) -> crate::world::Answered {
    crate::world::Answered { told: String::new(), ..answered }
}
