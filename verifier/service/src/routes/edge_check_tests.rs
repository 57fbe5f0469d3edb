//! Forward authentication over HTTP, as a gateway meets it.

use countersign_verifier::check::identity::IDENTITY_FIELDS;
use countersign_verifier::policy::AppraisalPolicy;
use countersign_virtual_device::{HeaderFields, ProofRequest, Session};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::json;

use crate::abuse::AttemptFilter;
use crate::trust::Trust;
use crate::virtual_world::{RESOURCE, World, access_token, iphone, trust};

const TARGET: &str = "/v1/pay?amount=1";

/// A request as the device made it.
struct Call {
    token: String,
    scheme: &'static str,
    fields: HeaderFields,
}

fn call(world: &World, session: &Session, token: String, scheme: &'static str, number: u8) -> Call {
    let fields = session.prove(&ProofRequest {
        resource: RESOURCE,
        method: "POST",
        uri: &format!("{RESOURCE}{TARGET}"),
        body: None,
        credential: Some(&token),
        nonce: None,
        token_id: [number; 16],
        now: world.now(),
    });
    Call { token, scheme, fields }
}

/// A world with an enrolled iPhone, and its request with a bound token.
async fn world_and_call(gateway: &str, route: &str) -> (World, Session, Call) {
    let world = World::with_edge(gateway, route).await;
    let mut phone = iphone();
    let session = world.session(&mut phone).await;
    let token = access_token("alice", Some(&phone.instance_key()), world.now());
    let call = call(&world, &session, token, "DPoP", 1);
    (world, session, call)
}

fn url(world: &World, path: &str) -> String {
    format!("http://{}{path}", world.running.address("edge").unwrap())
}

fn with_call(request: RequestBuilder, call: &Call) -> RequestBuilder {
    request
        .header("authorization", format!("{} {}", call.scheme, call.token))
        .header("attestation-result", &call.fields.result)
        .header("attestation-proof", &call.fields.proof)
}

async fn ask_as_nginx(world: &World, call: &Call) -> Response {
    let request = Client::new()
        .get(url(world, "/edge/check/api"))
        .header("x-original-method", "POST")
        .header("x-original-uri", TARGET)
        .header("x-original-source", "192.0.2.7");
    with_call(request, call).send().await.unwrap()
}

#[tokio::test]
async fn nginx_gets_every_identity_field_of_a_permitted_request() {
    let (world, session, call) = world_and_call("nginx", "").await;
    let response = ask_as_nginx(&world, &call).await;
    assert_eq!(response.status(), 200);
    let field = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(field("x-attested-client"), "app");
    assert_eq!(field("x-attested-tier"), "affirming");
    assert_eq!(field("x-attested-protection"), "secure-enclave");
    assert_eq!(field("x-attested-subject"), "alice");
    for name in IDENTITY_FIELDS.into_iter().chain(["attestation-verdict"]) {
        assert_eq!(response.headers().get_all(name).iter().count(), 1, "{name}");
    }
    assert_eq!(field("cache-control"), "no-store");
    assert!(!response.headers().values().any(|value| value == session.result.as_str()));
}

#[tokio::test]
async fn a_withdrawn_instance_is_refused_at_once_and_passes_again_when_the_policy_is_taken_back() {
    let (world, session, first) = world_and_call("nginx", "").await;
    let again = |number| call(&world, &session, first.token.clone(), "DPoP", number);
    assert_eq!(ask_as_nginx(&world, &first).await.status(), 200);
    let danger = trust().policy.danger().clone();
    let nothing = Trust::new(AppraisalPolicy::new("test/2").with_danger(danger)).unwrap();
    world.service().replace_trust(nothing).await;
    world.service().reappraise_all().await.unwrap();
    assert!(ask_as_nginx(&world, &again(2)).await.status().is_client_error());
    world.service().replace_trust(trust()).await;
    world.service().reappraise_all().await.unwrap();
    assert_eq!(ask_as_nginx(&world, &again(3)).await.status(), 200);
}

#[tokio::test]
async fn a_second_copy_of_a_request_is_refused() {
    let (world, _, call) = world_and_call("nginx", "").await;
    assert_eq!(ask_as_nginx(&world, &call).await.status(), 200);
    let replayed = ask_as_nginx(&world, &call).await;
    assert_eq!(replayed.status(), 401);
    assert!(replayed.headers()["www-authenticate"].to_str().unwrap().contains("reason=\"replayed\""));
    assert!(!replayed.headers().contains_key("x-attested-client"));
}

#[tokio::test]
async fn a_stolen_token_passes_neither_alone_nor_on_another_genuine_phone() {
    let (world, _, call) = world_and_call("nginx", "").await;
    let alone = Client::new()
        .get(url(&world, "/edge/check/api"))
        .header("x-original-method", "POST")
        .header("x-original-uri", TARGET)
        .header("authorization", format!("DPoP {}", call.token))
        .send()
        .await
        .unwrap();
    assert_eq!(alone.status(), 401);
    assert!(alone.headers()["www-authenticate"].to_str().unwrap().contains("invalid_client_attestation"));

    let mut thief = iphone().of_somebody_else();
    let session = world.session(&mut thief).await;
    let stolen = self::call(&world, &session, call.token.clone(), "DPoP", 2);
    let refused = ask_as_nginx(&world, &stolen).await;
    assert_eq!(refused.status(), 401);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().contains("invalid_token"));
}

#[tokio::test]
async fn a_request_for_another_target_is_refused() {
    let (world, _, call) = world_and_call("nginx", "").await;
    let request = Client::new()
        .get(url(&world, "/edge/check/api"))
        .header("x-original-method", "POST")
        .header("x-original-uri", "/v1/pay?amount=1000");
    assert_eq!(with_call(request, &call).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_gateway_that_does_not_tell_the_target_lets_nothing_pass() {
    let (world, _, call) = world_and_call("nginx", "").await;
    let request = Client::new().get(url(&world, "/edge/check/api")).header("x-forwarded-uri", TARGET);
    assert_eq!(with_call(request, &call).send().await.unwrap().status(), 500);
    let unknown = Client::new()
        .get(url(&world, "/edge/check/other"))
        .header("x-original-method", "POST")
        .header("x-original-uri", TARGET);
    assert_eq!(with_call(unknown, &call).send().await.unwrap().status(), 500);
}

#[tokio::test]
async fn envoy_asks_with_the_original_method_and_target() {
    let (world, _, call) = world_and_call("envoy-http", "").await;
    let path = format!("/edge/check/api{TARGET}");
    let request = Client::new().request(Method::POST, url(&world, &path));
    assert_eq!(with_call(request, &call).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_answered_in_the_same_shape_as_everything_else() {
    let (world, _, _) = world_and_call("envoy-http", "").await;
    // In the resource's name the gateway is wrong; behind it stands what a client may send.
    for (path, status) in
        [("/edge/check/%ff", 500), ("/edge/check/api/%ff", 401), ("/edge/check/api/v1%", 400)]
    {
        let response = Client::new().get(url(&world, path)).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers().get("content-type"), None, "{path}");
        assert_eq!(response.text().await.unwrap(), "", "{path}");
    }
    let large = Client::new().post(url(&world, "/edge/check/api/v1")).body(vec![0; 70_000]);
    let response = large.send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (413, ""));
}

#[tokio::test]
async fn envoy_with_the_whole_body_has_it_checked() {
    let (world, session, call) = world_and_call("envoy-http", "body = 'required'").await;
    let ask = async |number: u8, sent: &'static str| {
        let fields = session.prove(&ProofRequest {
            resource: RESOURCE,
            method: "POST",
            uri: &format!("{RESOURCE}{TARGET}"),
            body: Some(b"amount=1"),
            credential: Some(&call.token),
            nonce: None,
            token_id: [number; 16],
            now: world.now(),
        });
        let call = Call { token: call.token.clone(), scheme: "DPoP", fields };
        let request = Client::new()
            .request(Method::POST, url(&world, &format!("/edge/check/api{TARGET}")))
            .header("x-envoy-auth-partial-body", "false")
            .body(sent);
        with_call(request, &call).send().await.unwrap().status()
    };
    assert_eq!(ask(1, "amount=1").await, 200);
    assert_eq!(ask(2, "amount=9").await, 401);
}

#[tokio::test]
async fn a_client_that_claims_its_body_was_checked_does_not_pass() {
    // The proof covers no body, and Envoy is not told to send any: the API would get whatever the client likes.
    let (world, _, call) = world_and_call("envoy-http", "body = 'required'").await;
    let request = Client::new()
        .request(Method::POST, url(&world, &format!("/edge/check/api{TARGET}")))
        .header("x-envoy-auth-partial-body", "false")
        .header("content-length", "0");
    assert_eq!(with_call(request, &call).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn an_observed_route_passes_without_identity() {
    let (world, _, mut call) = world_and_call("caddy", "mode = 'observe'").await;
    call.fields.proof.clear();
    let request = Client::new()
        .get(url(&world, "/edge/check/api"))
        .header("x-forwarded-method", "POST")
        .header("x-forwarded-uri", TARGET);
    let response = with_call(request, &call).send().await.unwrap();
    assert_eq!(response.status(), 200);
    for name in IDENTITY_FIELDS {
        assert_eq!(response.headers()[name], "", "{name}");
    }
    assert!(response.headers()["attestation-verdict"].to_str().unwrap().starts_with("refused; reason="));
}

#[tokio::test]
async fn who_calls_too_often_is_told_by_the_gateway_when_to_come_again() {
    let limits = "limits = [{ per = 'instance', rate = '1/min' }]";
    let (world, session, first) = world_and_call("caddy", limits).await;
    let ask = |call: &Call| {
        let request = Client::new()
            .get(url(&world, "/edge/check/api"))
            .header("x-forwarded-method", "POST")
            .header("x-forwarded-uri", TARGET);
        with_call(request, call).send()
    };
    assert_eq!(ask(&first).await.unwrap().status(), 200);
    let again = call(&world, &session, first.token.clone(), "DPoP", 2);
    let refused = ask(&again).await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (429, "60"));
    assert!(!refused.headers().contains_key("x-attested-client"));
    let counted =
        r#"countersign_edge_decisions_total{resource="api",verdict="refused",reason="limit_instance"} 1"#;
    let metrics = world.service().metrics.to_prometheus();
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn behind_nginx_who_calls_too_often_is_refused_as_it_passes_on() {
    let (world, session, first) =
        world_and_call("nginx", "limits = [{ per = 'address', rate = '1/min' }]").await;
    assert_eq!(ask_as_nginx(&world, &first).await.status(), 200);
    let again = call(&world, &session, first.token.clone(), "DPoP", 2);
    let refused = ask_as_nginx(&world, &again).await;
    let field = |name: &str| refused.headers()[name].to_str().unwrap();
    assert_eq!(
        (refused.status().as_u16(), field("attestation-status"), field("retry-after")),
        (403, "429", "60")
    );
}

#[tokio::test]
async fn devices_do_not_reach_the_check() {
    let (world, _, call) = world_and_call("nginx", "").await;
    let address = world.running.address("public").unwrap();
    let request = Client::new().get(format!("http://{address}/edge/check/api"));
    assert_eq!(with_call(request, &call).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn metadata_name_the_resource_and_whose_tokens_it_takes() {
    let (world, _, _) = world_and_call("nginx", "scopes = ['pay']").await;
    let address = world.running.address("public").unwrap();
    let path = "/.well-known/oauth-protected-resource";
    for path in [path.to_owned(), format!("{path}/api")] {
        let metadata: serde_json::Value =
            Client::new().get(format!("http://{address}{path}")).send().await.unwrap().json().await.unwrap();
        assert_eq!(metadata["resource"], RESOURCE);
        assert_eq!(metadata["authorization_servers"][0], "https://login.example");
        assert_eq!(metadata["scopes_supported"][0], "pay");
    }
    let unknown = Client::new().get(format!("http://{address}{path}/other")).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn metadata_name_what_a_client_of_the_oauth_flavour_can_send() {
    for (demand, methods) in [
        ("", json!(["dpop_combined", "countersign_proof"])),
        ("danger_unbound_pop = true", json!(["dpop_combined", "attestation_pop_jwt", "countersign_proof"])),
    ] {
        let (world, _, _) = world_and_call("nginx", demand).await;
        let address = world.running.address("public").unwrap();
        let url = format!("http://{address}/.well-known/oauth-protected-resource");
        let metadata: serde_json::Value = Client::new().get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(metadata["client_attestation_pop_methods_supported"], methods);
        for member in [
            "dpop_signing_alg_values_supported",
            "client_attestation_signing_alg_values_supported",
            "client_attestation_pop_signing_alg_values_supported",
        ] {
            assert_eq!(metadata[member], json!(["ES256"]), "{member}");
        }
    }
}

#[tokio::test]
async fn a_banned_user_is_refused_within_ten_seconds() {
    use crate::store::Actor;
    use countersign_edge::DenyListSource;
    use countersign_verifier::check::deny_list::SubjectDigest;

    let (world, session, first) = world_and_call("nginx", "").await;
    assert_eq!(ask_as_nginx(&world, &first).await.status(), 200);
    let service = world.service();
    let by = Actor { name: "ops", now: world.now() };
    service.store.ban_subject(crate::virtual_world::LOGIN, "alice", "", &by).await.unwrap();
    // What the edge takes at its next look, which is at most ten seconds away.
    assert!(crate::edge::DENY_LIST_INTERVAL <= std::time::Duration::from_secs(10));
    assert!(DenyListSource::of("https://attest.example").interval <= std::time::Duration::from_secs(10));
    service.edge.as_ref().unwrap().runtime().edge().replace_deny_list(service.deny_list().await.unwrap());
    let again = self::call(&world, &session, first.token.clone(), "DPoP", 2);
    assert_eq!(ask_as_nginx(&world, &again).await.status(), 401);
    let digest = SubjectDigest::of(crate::virtual_world::LOGIN, "alice");
    service.store.unban_subject(&digest, &by).await.unwrap();
    service.edge.as_ref().unwrap().runtime().edge().replace_deny_list(service.deny_list().await.unwrap());
    let again = self::call(&world, &session, first.token, "DPoP", 3);
    assert_eq!(ask_as_nginx(&world, &again).await.status(), 200);
}

#[tokio::test]
async fn the_edge_of_this_process_hears_of_a_change_at_once() {
    let (world, _, _) = world_and_call("nginx", "").await;
    let edge = std::sync::Arc::clone(world.service().edge.as_ref().unwrap());
    let number = || edge.runtime().edge().deny_list().map(|list| list.sequence);
    let before = number();
    world.service().store.raise_ban_sequence(world.now()).await.unwrap();
    world.service().bans_changed.notify_one();
    // Far less than the interval; the task needs a few turns.
    let heard = async {
        while number() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), heard).await.unwrap();
}

#[tokio::test]
async fn who_is_no_gateway_of_the_settings_may_ask_nothing() {
    for (trusted, expected) in [("192.0.2.0/24", 500), ("::1", 500), ("127.0.0.0/8", 200)] {
        let settings = format!(
            "edge = '127.0.0.1:0'\ngateway = 'nginx'\ntrusted_gateways = ['{trusted}']\n[[resource]]\nname = 'api'\n\
             identifier = '{RESOURCE}'\napps = ['app']\n[[resource.route]]\npath = '/'\ncredentials = []\n\
             mode = 'observe'\n"
        );
        let world = World::with(&settings, |_| {}).await;
        let asked = Client::new()
            .get(url(&world, "/edge/check/api"))
            .header("x-original-method", "GET")
            .header("x-original-uri", "/");
        assert_eq!(asked.send().await.unwrap().status(), expected, "{trusted}");
    }
}

#[tokio::test]
async fn who_is_no_gateway_of_the_settings_may_ask_nothing_over_grpc_either() {
    for (trusted, expected) in [("192.0.2.0/24", 500), ("::1", 500), ("127.0.0.0/8", 200)] {
        let settings = format!(
            "edge = '127.0.0.1:0'\ngateway = 'envoy-grpc'\ntrusted_gateways = ['{trusted}']\n[[resource]]\n\
             name = 'api'\nidentifier = '{RESOURCE}'\napps = ['app']\n[[resource.route]]\npath = '/'\n\
             credentials = []\n"
        );
        let world = World::with(&settings, |_| {}).await;
        let asked = Client::new()
            .post(url(&world, crate::gateways::ext_authz::CHECK_PATH))
            .header("content-type", "application/grpc")
            .body(vec![0; 5]);
        // Of gRPC's own errors the status is 200.
        assert_eq!(asked.send().await.unwrap().status(), expected, "{trusted}");
    }
}

#[tokio::test]
async fn a_certificate_field_that_the_gateway_does_not_overwrite_is_refused() {
    let settings = format!(
        "edge = '127.0.0.1:0'\ngateway = 'nginx'\nclient_certificate = 'client-cert'\n[[resource]]\nname = 'api'\n\
         identifier = '{RESOURCE}'\napps = ['app']\n[[resource.route]]\npath = '/'\ncredentials = []\n"
    );
    let world = World::with(&settings, |_| {}).await;
    let status = async |lines: &[&str]| {
        let mut asked = Client::new()
            .get(url(&world, "/edge/check/api"))
            .header("x-original-method", "GET")
            .header("x-original-uri", "/");
        for line in lines {
            asked = asked.header("client-cert", *line);
        }
        asked.send().await.unwrap().headers()["attestation-status"].to_str().unwrap().to_owned()
    };
    assert_eq!(status(&[":MAA=:"]).await, "401", "nothing is attested");
    assert_eq!(status(&[":MAA=:", ":MAA=:"]).await, "400");
    assert_eq!(status(&[":MAA=:, :MAA=:"]).await, "400");
}

/// A fake authorization server's introspection endpoint on loopback, which tells the secret that it was shown.
async fn fake_introspection(answer: std::sync::Arc<std::sync::Mutex<serde_json::Value>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/introspect", listener.local_addr().unwrap());
    let handler = move |headers: axum::http::HeaderMap, body: String| async move {
        // `edge:s3cret`, in Base64.
        let knows_us = headers.get("authorization").is_some_and(|value| value == "Basic ZWRnZTpzM2NyZXQ=");
        match knows_us && body.starts_with("token=opaque-1&") {
            true => axum::Json(answer.lock().unwrap().clone()),
            false => axum::Json(serde_json::json!({"active": false})),
        }
    };
    let router = axum::Router::new().route("/introspect", axum::routing::post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn the_server_of_opaque_tokens_is_asked_as_the_settings_say() {
    let answer = std::sync::Arc::new(std::sync::Mutex::new(serde_json::json!({"active": false})));
    let world = World::with_opaque_tokens(&fake_introspection(std::sync::Arc::clone(&answer)).await).await;
    let mut phone = iphone();
    let session = world.session(&mut phone).await;
    *answer.lock().unwrap() = serde_json::json!({
        "active": true, "client_id": "mobile", "sub": "alice", "aud": RESOURCE,
        "exp": world.now().as_unix_seconds() + 600, "cnf": {"jkt": phone.instance_key().thumbprint().to_base64url()},
    });
    let good = call(&world, &session, "opaque-1".to_owned(), "DPoP", 1);
    let response = ask_as_nginx(&world, &good).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-attested-subject"], "alice");
    let unknown = call(&world, &session, "opaque-2".to_owned(), "DPoP", 2);
    assert_eq!(ask_as_nginx(&world, &unknown).await.status(), 401);
}

#[tokio::test]
async fn the_age_of_each_issuers_keys_is_a_metric() {
    let (world, _, _) = world_and_call("nginx", "").await;
    let url = format!("http://{}/metrics", world.running.address("admin").unwrap());
    let text = Client::new().get(url).send().await.unwrap().text().await.unwrap();
    let ages: Vec<_> = text.lines().filter(|line| line.starts_with("countersign_edge_keys_as_of")).collect();
    assert_eq!(ages.len(), 2, "the service's own, and the authorization server's: {text}");
    let fetched = format!("}} {}", world.now().as_unix_seconds());
    assert!(ages.iter().all(|line| line.ends_with(&fetched)), "{ages:?}");
}

#[tokio::test]
async fn over_grpc_what_is_no_check_request_is_an_error_of_the_call() {
    let (world, _, call) = world_and_call("envoy-grpc", "mode = 'observe'").await;
    let ask = async |body: Vec<u8>| {
        let request = Client::new().post(url(&world, "/envoy.service.auth.v3.Authorization/Check"));
        with_call(request, &call).header("content-type", "application/grpc").body(body).send().await.unwrap()
    };
    let framed = |length: u32, message: &[u8]| [&[0][..], &length.to_be_bytes(), message].concat();
    for (what, body) in [
        ("nothing", Vec::new()),
        ("an empty message", framed(0, b"")),
        ("no protobuf", framed(4, b"\xff\xff\xff\xff")),
        ("no text", framed(8, b"\x0a\x06\x52\x04\x0a\x02\xff\xff")),
        ("less than announced", framed(9, b"\x0a")),
        ("more than anybody reads", framed(u32::MAX, b"\x0a")),
        ("compressed", [&[1][..], &0u32.to_be_bytes()].concat()),
    ] {
        let response = ask(body).await;
        let status = response.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
        assert!(status.as_deref().is_some_and(|status| status != "0"), "{what}: {response:?}");
    }
    let large = ask(vec![0; crate::gateways::ext_authz::MAX_CHECK + 1]).await;
    assert_eq!(large.status(), 413);
}

#[tokio::test]
async fn a_listener_for_grpc_answers_nothing_else() {
    let (world, _, call) = world_and_call("envoy-grpc", "mode = 'observe'").await;
    for path in ["/edge/check/api", "/edge/check/api/v1/pay", "/envoy.service.auth.v2.Authorization/Check"] {
        let request = Client::new().post(url(&world, path)).header("x-original-uri", TARGET);
        assert_eq!(with_call(request, &call).send().await.unwrap().status(), 404, "{path}");
    }
    let http = world_and_call("envoy-http", "").await;
    let path = "/envoy.service.auth.v3.Authorization/Check";
    assert_eq!(Client::new().post(url(&http.0, path)).send().await.unwrap().status(), 404);
}

/// What `/metrics` says.
async fn metrics(world: &World) -> String {
    let address = world.running.address("admin").unwrap();
    Client::new().get(format!("http://{address}/metrics")).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_what_their_attestation_says_of_them() {
    let (world, _, call) = world_and_call("nginx", "").await;
    ask_as_nginx(&world, &call).await;
    ask_as_nginx(&world, &call).await;
    let bare = || {
        let request = Client::new().get(url(&world, "/edge/check/api"));
        request.header("x-original-method", "POST").header("x-original-uri", TARGET)
    };
    bare().header("authorization", format!("DPoP {}", call.token)).send().await.unwrap();
    bare().send().await.unwrap();
    let metrics = metrics(&world).await;
    for (app, class) in
        [("app", "verified"), ("app", "reused"), ("", "outdated_client"), ("", "unknown_origin")]
    {
        let row = format!(
            "countersign_edge_requests_total{{resource=\"api\",route=\"/\",app=\"{app}\",class=\"{class}\"}} 1\n"
        );
        assert!(metrics.contains(&row), "{row} in {metrics}");
    }
}

#[tokio::test]
async fn an_attempt_is_kept_for_administrators_with_source_reason_and_app_and_no_token() {
    let (world, session, call) = world_and_call("nginx", "").await;
    ask_as_nginx(&world, &call).await;
    let again = Client::new()
        .get(url(&world, "/edge/check/api"))
        .header("x-original-method", "POST")
        .header("x-original-uri", TARGET)
        .header("x-original-source", "192.0.2.7")
        .header("user-agent", "App/1.0 (iPhone)");
    assert_eq!(with_call(again, &call).send().await.unwrap().status(), 401);
    let filter = AttemptFilter { reason: Some("replayed".to_owned()), ..AttemptFilter::default() };
    let attempts = world.service().attempts.list(&filter, None, 50, world.now());
    let [(_, attempt)] = attempts.as_slice() else { panic!("{attempts:?}") };
    assert_eq!(attempt.source.as_deref(), Some("192.0.2.7"));
    assert_eq!(attempt.user_agent.as_deref(), Some("App/1.0 (iPhone)"));
    assert_eq!((attempt.client_id.as_deref(), attempt.verdict), (Some("app"), "refused"));
    let written = format!("{attempts:?}");
    for secret in [&call.token, &session.result, &call.fields.proof] {
        assert!(!written.contains(secret.as_str()));
    }
}

#[tokio::test]
async fn behind_a_gateway_a_pages_preflight_goes_on_without_identity_and_a_strangers_does_not() {
    let route = "[resource.cors]\norigins = ['https://app.example']\npaths = ['/v1']";
    let world = World::with_edge("nginx", route).await;
    let preflight = async |path: &str, origin: &str| {
        let request = Client::new()
            .get(url(&world, "/edge/check/api"))
            .header("x-original-method", "OPTIONS")
            .header("x-original-uri", path)
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        request.send().await.unwrap()
    };
    let passed = preflight("/v1/pay", "https://app.example").await;
    assert_eq!(passed.status(), 200);
    for name in IDENTITY_FIELDS {
        assert_eq!(passed.headers()[name], "", "{name}");
    }
    assert_eq!(preflight("/v1/pay", "https://evil.example").await.status(), 401);
    assert_eq!(preflight("/v2", "https://app.example").await.status(), 401);
}

#[tokio::test]
async fn a_page_may_read_its_refusal_and_no_other_page_may() {
    let route = "[resource.cors]\norigins = ['https://app.example']";
    let world = World::with_edge("nginx", route).await;
    let refused = async |origin: &str| {
        let request = Client::new()
            .get(url(&world, "/edge/check/api"))
            .header("x-original-method", "POST")
            .header("x-original-uri", TARGET)
            .header("origin", origin);
        request.send().await.unwrap()
    };
    let own = refused("https://app.example").await;
    assert_eq!(own.headers()["access-control-allow-origin"], "https://app.example");
    assert!(own.headers()["access-control-expose-headers"].to_str().unwrap().contains("WWW-Authenticate"));
    for origin in ["https://evil.example", "null"] {
        assert!(!refused(origin).await.headers().contains_key("access-control-allow-origin"), "{origin}");
    }
}
