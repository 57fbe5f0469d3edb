//! Attacks on the API: with a stolen access token, with recorded requests, with the result of somebody else.

use countersign_core::attester::ProofHeaders;
use countersign_core::enrolment::EnrolmentAnswer;
use countersign_virtual_device::{ProofAttack, ProofRequest, Session, SessionKey, VirtualPhone};
use reqwest::header::AUTHORIZATION;

use crate::Trouble;
use crate::install::{Call, Install, request};
use crate::report::{By, Report};
use crate::world::{Answered, World, wall_clock};

const ACCOUNT: Call<'_> = Call::get("/account");

/// Tries everything with `alice`'s token.
///
/// # Errors
/// A server does not answer.
pub(crate) async fn try_all(world: &World, alice: &mut Install, report: &mut Report) -> Result<(), Trouble> {
    let mut thief = Install::new(world, world.android("thief"), "thief")?;
    thief.obtain(world).await?;
    thief.log_in(world, "mallory").await?;
    let token = alice.token.clone();
    let (attempt, none) = (Attempt { world }, None);

    let answered = attempt.send(ACCOUNT, none, &token).await?;
    report.attack("her access token alone", By::Edge, &answered, "no_attestation");
    let headers = thief.prove(world, ACCOUNT, &token)?;
    let answered = attempt.send(ACCOUNT, Some(&headers), &token).await?;
    report.attack("her token in his own genuine app", By::Edge, &answered, "token_of_another_instance");
    let headers = thief.prove(world, ACCOUNT, &token)?;
    let bearer = request(world, ACCOUNT, Some(headers.fields()), None)
        .header(AUTHORIZATION, format!("Bearer {token}"));
    report.attack(
        "the same, as if it were a bearer token",
        By::Edge,
        &world.ask(bearer).await?,
        "scheme_mismatch",
    );

    let recorded = alice.prove(world, ACCOUNT, &token)?;
    let first = attempt.send(ACCOUNT, Some(&recorded), &token).await?;
    report.honest("(Alice's own request, which he records)", By::Edge, &first);
    let answered = attempt.send(ACCOUNT, Some(&recorded), &token).await?;
    report.attack("her request once more", By::Edge, &answered, "replayed");

    let moved = [
        ("her proof with another path", Call::get("/account/all"), "proof_target"),
        ("her proof with another query", Call::get("/account?all=1"), "proof_query"),
        ("her proof with another method", Call { method: "PUT", ..ACCOUNT }, "proof_method"),
    ];
    for (what, call, reason) in moved {
        let headers = alice.prove(world, ACCOUNT, &token)?;
        report.attack(what, By::Edge, &attempt.send(call, Some(&headers), &token).await?, reason);
    }
    let payment = Call { method: "POST", path: "/transfers", body: "7 to Carol" };
    report.honest(
        "(Alice pays, and he holds her next payment back)",
        By::Edge,
        &alice.call(world, payment).await?,
    );
    let headers = alice.prove(world, payment, &token)?;
    let answered = attempt.send(Call { body: "700 to Mallory", ..payment }, Some(&headers), &token).await?;
    report.attack("that payment with another body", By::Edge, &answered, "proof_content");
    let headers = alice.prove(world, ACCOUNT, &token)?;
    let answered = attempt.send(ACCOUNT, Some(&headers), &thief.token).await?;
    report.attack("her proof with another access token", By::Edge, &answered, "proof_credential");
    let headers = ProofHeaders {
        result: alice.prove(world, ACCOUNT, &token)?.result,
        proof: thief.prove(world, ACCOUNT, &token)?.proof,
    };
    let answered = attempt.send(ACCOUNT, Some(&headers), &token).await?;
    report.attack("her result with a proof of his", By::Edge, &answered, "proof_of_another_result");
    let in_query = format!("/account?access_token={token}");
    let call = Call::get(&in_query);
    let answered = attempt.send(call, none, &token).await?;
    report.attack("her token in the query, where logs would keep it", By::Edge, &answered, "token_in_query");

    let session = session(world).await?;
    for (what, attack, reason) in [
        ("a result that he issued to himself", ProofAttack::SelfIssuedResult, "result_signature"),
        ("a result with one bit changed", ProofAttack::ResultSignatureBit, "result_signature"),
        ("a proof by another session key", ProofAttack::OtherSessionKey, "proof_signature"),
        ("a proof made for another API", ProofAttack::OtherResource, "proof_audience"),
        ("a proof that is an hour old", ProofAttack::Old, "proof_time"),
        ("a proof without the token under it", ProofAttack::NoCredential, "proof_credential"),
    ] {
        report.attack(what, By::Edge, &attempt.forged(&session, attack, &token).await?, reason);
    }
    Ok(())
}

struct Attempt<'w> {
    world: &'w World,
}

impl Attempt<'_> {
    async fn send(
        &self,
        call: Call<'_>,
        headers: Option<&ProofHeaders>,
        token: &str,
    ) -> Result<Answered, Trouble> {
        self.world.ask(request(self.world, call, headers.map(ProofHeaders::fields), Some(token))).await
    }

    async fn forged(&self, session: &Session, attack: ProofAttack, token: &str) -> Result<Answered, Trouble> {
        let mut token_id = [0; 16];
        getrandom::fill(&mut token_id).map_err(|_| "the system gives no randomness")?;
        let fields = session.forge(
            &ProofRequest {
                resource: &self.world.api.url,
                method: ACCOUNT.method,
                uri: &self.world.api.uri(ACCOUNT.path),
                body: None,
                credential: Some(token),
                nonce: None,
                token_id,
                now: wall_clock(),
            },
            attack,
        );
        let headers = ProofHeaders { result: fields.result, proof: fields.proof };
        self.send(ACCOUNT, Some(&headers), token).await
    }
}

/// The thief's own genuine phone, whose session key he has in his hands: he rooted it after enrolling.
async fn session(world: &World) -> Result<Session, Trouble> {
    let mut phone = VirtualPhone::from(world.iphone("thief"));
    let key = SessionKey::from_seed(&world.seed("thief's session"));
    let answered = world.attest(None, phone.enrol(&world.call().await?, &key)).await?;
    let answer: EnrolmentAnswer = serde_json::from_slice(&answered.body)?;
    Ok(Session { key, result: answer.result })
}
