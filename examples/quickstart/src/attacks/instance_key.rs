//! Attacks on calls that the phone's hardware key signs: OAuth's client attestation beside a DPoP proof.

use countersign_core::attester::InstanceKeyHeaders;

use crate::Trouble;
use crate::install::{Call, Install, request};
use crate::report::{By, Report};
use crate::world::World;

const LIMIT: Call<'_> = Call { method: "POST", path: "/limits", body: "1000" };

/// Tries everything with what `alice` sends.
///
/// # Errors
/// A server does not answer.
pub(crate) async fn try_all(world: &World, alice: &mut Install, report: &mut Report) -> Result<(), Trouble> {
    let mut thief = Install::new(world, world.android("thief"), "thief")?;
    thief.obtain(world).await?;
    thief.log_in(world, "mallory").await?;
    report.honest("(Mallory raises his own limit)", By::Edge, &thief.call(world, LIMIT).await?);
    let token = alice.token.clone();

    let headers = alice.prove(world, LIMIT, &token)?;
    let answered = world.ask(request(world, LIMIT, Some(headers.fields()), Some(&token))).await?;
    report.attack(
        "her session key, which he took from the app's memory",
        By::Edge,
        &answered,
        "assurance_too_low",
    );

    let recorded = alice.prove_with_instance_key(world, LIMIT, &token)?;
    let send = |call, headers: &InstanceKeyHeaders, token: &str| {
        world.ask(request(world, call, Some(headers.fields()), Some(token)))
    };
    report.honest("(Alice's own call, which he records)", By::Edge, &send(LIMIT, &recorded, &token).await?);
    report.attack("that call once more", By::Edge, &send(LIMIT, &recorded, &token).await?, "replayed");

    let held_back = alice.prove_with_instance_key(world, LIMIT, &token)?;
    let other = Call { body: "1000000", ..LIMIT };
    report.attack(
        "that call with another body",
        By::Edge,
        &send(other, &held_back, &token).await?,
        "proof_content",
    );
    let query = Call { path: "/limits?of=mallory", ..LIMIT };
    report.attack("that call with a query", By::Edge, &send(query, &held_back, &token).await?, "proof_query");

    let his = thief.prove_with_instance_key(world, LIMIT, &token)?;
    let mixed =
        InstanceKeyHeaders { client_attestation: held_back.client_attestation, dpop: his.dpop.clone() };
    let answered = send(LIMIT, &mixed, &token).await?;
    report.attack("her attestation with a proof by his key", By::Edge, &answered, "proof_of_another_result");
    report.attack(
        "her token with attestation and proof of his phone",
        By::Edge,
        &send(LIMIT, &his, &token).await?,
        "token_of_another_instance",
    );
    let for_server = alice.device.attester().client_attestation(world.now()).ok_or("there is no result")?;
    let shown = InstanceKeyHeaders {
        client_attestation: for_server.to_owned(),
        dpop: alice.prove_with_instance_key(world, LIMIT, &token)?.dpop,
    };
    let answered = send(LIMIT, &shown, &token).await?;
    report.attack(
        "her attestation for the authorization server",
        By::Edge,
        &answered,
        "client_attestation_without_result",
    );
    Ok(())
}
