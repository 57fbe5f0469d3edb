//! What a thief tries, and where it ends.

use countersign_core::attester::ClientProof;
use reqwest::Response;

use crate::app::{Answer, App, Fields, Flavour, Mode, code_grant, get, line, refresh_grant, send};
use crate::programs;
use crate::world::World;

/// A user who is logged in, and a thief with a genuine phone and the genuine app.
struct Scene {
    world: World,
    victim: App,
    tokens: Answer,
    thief: App,
}

impl Scene {
    async fn new(mode: Mode) -> Self {
        let world = World::start().await;
        let mut victim = App::install(&world, mode, "alice").await;
        let tokens = victim.log_in(&world).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        let mut thief = App::install(&world, mode, "mallory").await;
        // The thief's own login shows that it is his deed that fails, and not his phone.
        assert_eq!(thief.log_in(&world).await.status, 200);
        world.login.listen_anew();
        Self { world, victim, tokens, thief }
    }
}

/// Runs `theft` for both kinds of clients.
async fn in_both_modes(theft: impl AsyncFn(Scene)) {
    if !programs::are_installed() {
        return;
    }
    for mode in Mode::ALL {
        theft(Scene::new(mode).await).await;
    }
}

/// Status and challenge of the edge.
fn refusal(response: &Response) -> (u16, String) {
    (response.status().as_u16(), line(response, "www-authenticate").unwrap_or_default())
}

/// `fields` with the values that `from` has under these names.
fn with_those_of(fields: &Fields, from: &Fields, names: &[&str]) -> Fields {
    let mut mixed: Fields =
        fields.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect();
    mixed.extend(from.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned());
    mixed
}

#[tokio::test]
async fn a_stolen_access_token_without_a_device_ends_at_the_edge() {
    in_both_modes(async |scene| {
        let token = scene.tokens.text("access_token");
        for (scheme, error) in
            [("DPoP", "invalid_client_attestation"), ("Bearer", "invalid_client_attestation")]
        {
            let fields = vec![("authorization".to_owned(), format!("{scheme} {token}"))];
            let (status, challenge) = refusal(&get(&scene.world, "/v1/account", &fields).await);
            assert_eq!(status, 401);
            assert!(challenge.contains(&format!(r#"error="{error}""#)), "{scheme}: {challenge}");
        }
        assert_eq!(scene.world.upstream.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_stolen_access_token_on_another_genuine_phone_ends_at_the_edge() {
    in_both_modes(async |mut scene| {
        for flavour in Flavour::ALL {
            let token = scene.tokens.text("access_token");
            let response = scene.thief.call(&scene.world, "/v1/account", token, flavour).await;
            let (status, challenge) = refusal(&response);
            assert_eq!(status, 401, "{flavour:?}");
            assert!(challenge.contains(r#"error="invalid_token""#), "{flavour:?}: {challenge}");
        }
        assert_eq!(scene.world.upstream.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_at_the_authorization_server() {
    in_both_modes(async |mut scene| {
        let stolen = scene.tokens.text("refresh_token");
        let answer = scene.thief.refresh(&scene.world, stolen).await;
        assert_eq!(answer.refusal(), (400, "invalid_grant"));
        let detail = scene.world.login.detail();
        assert!(detail.contains("instance public key mismatch"), "{detail}");
        // The theft cost its owner nothing.
        assert_eq!(scene.victim.refresh(&scene.world, stolen).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_copied_attestation_without_its_key_ends_at_the_authorization_server() {
    in_both_modes(async |mut scene| {
        let stolen = scene.tokens.text("refresh_token");
        let copied = scene.victim.authentication(&scene.world);
        let own = scene.thief.authentication(&scene.world);
        let forged = with_those_of(&own, &copied, &["oauth-client-attestation"]);
        let answer = send(&scene.world, &refresh_grant(stolen), &forged).await;
        assert_eq!(answer.refusal(), (401, "invalid_client"));
        let detail = scene.world.login.detail();
        let why = match scene.thief.mode {
            Mode::Pop => "signature verification failed",
            Mode::Dpop => "does not match the Client Attestation key",
        };
        assert!(detail.contains(why), "{detail}");
        // The attestation alone, without any proof.
        let bare = with_those_of(&Fields::new(), &copied, &["oauth-client-attestation"]);
        let answer = send(&scene.world, &refresh_grant(stolen), &bare).await;
        assert_eq!(answer.refusal(), (401, "invalid_client"));
    })
    .await;
}

#[tokio::test]
async fn a_request_that_was_listened_to_is_not_taken_again() {
    in_both_modes(async |mut scene| {
        let refresh_token = scene.tokens.text("refresh_token");
        let fields = scene.victim.authentication(&scene.world);
        let first = send(&scene.world, &refresh_grant(refresh_token), &fields).await;
        assert_eq!(first.status, 200, "{first:?}");
        let again = send(&scene.world, &refresh_grant(first.text("refresh_token")), &fields).await;
        let expected = match scene.victim.mode {
            Mode::Pop => (401, "invalid_client"),
            Mode::Dpop => (400, "invalid_dpop_proof"),
        };
        assert_eq!(again.refusal(), expected);
    })
    .await;
}

#[tokio::test]
async fn the_attestation_of_another_app_is_not_this_clients() {
    in_both_modes(async |mut scene| {
        let other = match scene.thief.mode {
            Mode::Pop => Mode::Dpop,
            Mode::Dpop => Mode::Pop,
        };
        let stolen = scene.victim.authorization_code(&scene.world).await;
        let mut other = App::install(&scene.world, other, "mallory's other phone").await;
        assert_eq!(other.log_in(&scene.world).await.status, 200);
        scene.world.login.listen_anew();
        let answer = other.token(&scene.world, &code_grant(&stolen)).await;
        assert_eq!(answer.refusal(), (400, "invalid_grant"));
        assert!(scene.world.login.detail().contains("client mismatch"));
        let mut form = code_grant(&stolen).to_vec();
        form.push(("client_id", scene.victim.mode.client_id()));
        let answer = other.token(&scene.world, &form).await;
        assert_eq!(answer.refusal(), (400, "invalid_request"));
        // What was tried with it has not spent the code.
        assert_eq!(scene.victim.token(&scene.world, &code_grant(&stolen)).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn an_expired_attestation_authenticates_nobody() {
    in_both_modes(async |mut scene| {
        // It lives for an hour.
        scene.world.set_back(3700);
        let mut late = App::install(&scene.world, scene.thief.mode, "late").await;
        let expired = late.authentication(&scene.world);
        let current = scene.victim.authentication(&scene.world);
        let fields = with_those_of(&current, &expired, &["oauth-client-attestation"]);
        let answer = send(&scene.world, &refresh_grant(scene.tokens.text("refresh_token")), &fields).await;
        assert_eq!(answer.refusal(), (401, "invalid_client"));
        let detail = scene.world.login.detail();
        assert!(detail.contains(r#""exp" claim"#), "{detail}");
    })
    .await;
}

#[tokio::test]
async fn a_proof_for_one_authorization_server_is_nothing_at_another() {
    in_both_modes(async |mut scene| {
        let elsewhere = match scene.victim.mode {
            Mode::Pop => ClientProof::Pop { issuer: "https://evil.example", challenge: None },
            Mode::Dpop => ClientProof::Dpop { endpoint: "https://evil.example/token", nonce: None },
        };
        let sent_to_evil = scene.victim.proof(&scene.world, &elsewhere);
        let own = scene.victim.authentication(&scene.world);
        let relayed = with_those_of(&own, &sent_to_evil, &[elsewhere.field()]);
        let answer = send(&scene.world, &refresh_grant(scene.tokens.text("refresh_token")), &relayed).await;
        let expected = match scene.victim.mode {
            Mode::Pop => (401, "invalid_client"),
            Mode::Dpop => (400, "invalid_dpop_proof"),
        };
        assert_eq!(answer.refusal(), expected);
        let (detail, why) = (
            scene.world.login.detail(),
            match scene.victim.mode {
                Mode::Pop => r#""aud" claim"#,
                Mode::Dpop => "htu",
            },
        );
        assert!(detail.contains(why), "{detail}");
    })
    .await;
}

#[tokio::test]
async fn what_is_meant_for_the_authorization_server_is_nothing_at_the_edge() {
    in_both_modes(async |mut scene| {
        let token = scene.tokens.text("access_token");
        let to_the_edge = scene.victim.prove(&scene.world, "/v1/account", token, Flavour::OAuth);
        let to_the_server = scene.victim.authentication(&scene.world);
        let mixed = with_those_of(&to_the_edge, &to_the_server, &["oauth-client-attestation"]);
        let (status, challenge) = refusal(&get(&scene.world, "/v1/account", &mixed).await);
        assert_eq!(status, 401);
        assert!(challenge.contains(r#"error="invalid_client_attestation""#), "{challenge}");
        assert_eq!(scene.world.upstream.requests(), 0);
    })
    .await;
}
