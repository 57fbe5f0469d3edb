//! Client certificates behind every gateway: what a client says of its own is never believed, and what it proves in the
//! TLS handshake reaches the edge.

use std::net::SocketAddr;
use std::path::Path;

use countersign_virtual_device::Credentials;
use countersign_virtual_device::client_authority::SERVER_AUTHENTICATION;
use reqwest::{Client, Identity, Method};
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::http::Sent;
use crate::process::Running;
use crate::world::{RESOURCE, World, client_authority};

const FIELDS: [&str; 3] = ["client-cert", "xfcc", "nginx-escaped-pem"];
const NAMES: [&str; 3] = ["Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert"];

/// What each gateway's example tells of certificates with.
const fn field_of(gateway: Gateway) -> &'static str {
    match gateway {
        Gateway::Nginx => "nginx-escaped-pem",
        Gateway::Caddy | Gateway::Haproxy => "client-cert",
        Gateway::EnvoyHttp | Gateway::EnvoyGrpc => "xfcc",
    }
}

/// What a client would write to pose as the owner of `certificate`, for each of [`NAMES`].
fn posing(certificate: &Credentials) -> [String; 3] {
    let pem = certificate.certificate_pem();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let escaped = pem.replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B");
    let escaped = escaped.replace('/', "%2F").replace('=', "%3D");
    let hash: String = thumbprint(certificate);
    [format!(":{base64}:"), format!("Hash={hash};Cert=\"{escaped}\""), escaped]
}

fn thumbprint(certificate: &Credentials) -> String {
    countersign_core::request::sha256(&certificate.der).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The request with every field of every convention, under every name that some server takes for the same.
fn spoofed(mut sent: Sent, certificate: &Credentials) -> Sent {
    for (name, value) in NAMES.iter().zip(posing(certificate)) {
        for alias in [(*name).to_owned(), name.to_lowercase(), name.replace('-', "_"), name.replace('-', ".")]
        {
            sent = sent.with(&alias, &value);
        }
    }
    sent
}

#[tokio::test]
async fn a_certificate_that_a_client_only_writes_down_is_never_believed() {
    let certificate = client_authority().issue("dns:partner.example");
    for gateway in Gateway::ALL.into_iter().filter(|gateway| gateway.is_installed()) {
        for field in FIELDS {
            let world = World::with(gateway.setting(), &format!("client_certificate = '{field}'"), "").await;
            let running = Running::start(gateway, &world).await;
            let token = world.token_bound_to(&certificate.der);
            let proven = || world.proven_as(Some(&token), "GET", "/v1/account");
            let got = spoofed(proven(), &certificate).send(running.address).await;
            assert_eq!(
                got.status, 401,
                "{gateway:?} {field}: removed, so neither believed nor malformed: {got:?}"
            );
            for (name, value) in NAMES.iter().zip(posing(&certificate)) {
                let got = proven().with(name, &value).send(running.address).await;
                assert_eq!(got.status, 401, "{gateway:?} {field} {name}: {got:?}");
                let named = proven().with(name, &value).with("Connection", name);
                assert!([400, 401, 403].contains(&named.send(running.address).await.status));
            }
            assert_eq!(world.upstream.requests(), 0, "{gateway:?} {field}");
            let observed = spoofed(Sent::new("GET", "/v1/observed"), &certificate);
            let echo = observed.send(running.address).await.json();
            let told: Vec<_> =
                echo["lines"].as_object().unwrap().keys().filter(|key| is_of_certificate(key)).collect();
            assert!(told.is_empty(), "{gateway:?} {field}: the API believes it perhaps: {told:?}");
        }
    }
}

fn is_of_certificate(name: &str) -> bool {
    name.replace(['_', '.'], "-").contains("client-cert")
}

#[tokio::test]
async fn a_bound_token_passes_with_its_certificate_and_with_no_other() {
    let (right, other) =
        (client_authority().issue("dns:a.example"), client_authority().issue("dns:b.example"));
    for gateway in Gateway::ALL.into_iter().filter(|gateway| gateway.is_installed()) {
        let (world, running) = with_tls(gateway, "").await;
        let token = world.token_bound_to(&right.der);
        let proven = || world.proven_as(Some(&token), "GET", "/v1/account");
        let passed = send(&proven(), running.address, Some(&right)).await;
        assert_eq!(
            (passed.0, &passed.1["lines"]["x-attested-subject"]),
            (200, &json!(["alice"])),
            "{gateway:?}"
        );
        for (what, sent, shown) in [
            ("none", proven(), None),
            ("another", proven(), Some(&other)),
            ("none, and its words", spoofed(proven(), &right), None),
            ("another, and its words", spoofed(proven(), &right), Some(&other)),
        ] {
            assert_eq!(send(&sent, running.address, shown).await.0, 401, "{gateway:?}: {what}");
        }
        let beside = send(&spoofed(proven(), &other), running.address, Some(&right)).await;
        assert_eq!(beside.0, 200, "{gateway:?}: what TLS proves goes before the client's words");
        assert_eq!(world.upstream.requests(), 2, "{gateway:?}");
    }
}

#[tokio::test]
async fn a_system_passes_with_a_listed_certificate_and_is_told_to_the_api() {
    let authority = client_authority();
    let (pinned, named) =
        (authority.issue("dns:pinned.example"), authority.issue("uri:spiffe://partner.example/a"));
    let tables = format!(
        "[[resource.route]]\npath = '/v1/system'\ncredentials = ['client_certificate']\n\
         [[resource.client_certificate]]\napp = 'app'\nthumbprint = '{}'\nnot_after = '2027-01-31'\n\
         [[resource.client_certificate]]\napp = 'app'\nsan = 'uri:spiffe://partner.example/a'\n\
         ca_file = 'authority.pem'\nscopes = ['read']\n",
        thumbprint(&pinned)
    );
    for gateway in Gateway::ALL.into_iter().filter(|gateway| gateway.is_installed()) {
        let (world, running) = with_tls(gateway, &tables).await;
        let proven = || world.proven_as(None, "GET", "/v1/system");
        for (shown, subject) in [
            (&pinned, format!("sha256:{}", thumbprint(&pinned))),
            (&named, "uri:spiffe://partner.example/a".to_owned()),
        ] {
            let (status, echo) = send(&proven(), running.address, Some(shown)).await;
            assert_eq!(
                (status, &echo["lines"]["x-attested-subject"]),
                (200, &json!([subject])),
                "{gateway:?}"
            );
        }
        let server = authority.issue_for("uri:spiffe://partner.example/a", SERVER_AUTHENTICATION, |_| {});
        let unknown = authority.issue("uri:spiffe://partner.example/b");
        for (what, sent, shown) in [
            ("none", proven(), None),
            ("none, and its words", spoofed(proven(), &pinned), None),
            ("a name that is not listed", proven(), Some(&unknown)),
            ("a server's", proven(), Some(&server)),
        ] {
            assert_eq!(send(&sent, running.address, shown).await.0, 403, "{gateway:?}: {what}");
        }
        let unattested = Sent::new("GET", "/v1/system");
        assert_eq!(send(&unattested, running.address, Some(&pinned)).await.0, 401, "{gateway:?}");
        assert_eq!(world.upstream.requests(), 2, "{gateway:?}");
    }
}

/// A gateway that speaks TLS and asks its clients for a certificate, whoever issued it.
async fn with_tls(gateway: Gateway, tables: &str) -> (World, Running) {
    let listen = format!("client_certificate = '{}'\ntrusted_gateways = ['127.0.0.1']", field_of(gateway));
    let world = World::with(gateway.setting(), &listen, tables).await;
    let running =
        Running::start_changed(gateway, world.edge, &world, |folder| speak_tls(gateway, folder)).await;
    (world, running)
}

fn speak_tls(gateway: Gateway, folder: &Path) {
    let authority = client_authority();
    let own = authority.issue_for("dns:api.example", SERVER_AUTHENTICATION, |_| {});
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    write("server.pem", own.certificate_pem());
    write("server.key", own.key_pem.clone());
    write("both.pem", format!("{}{}", own.certificate_pem(), own.key_pem));
    write("clients.pem", authority.certificate_pem());
    let change = |name: &str, changes: &[(&str, &str)]| {
        let mut text = std::fs::read_to_string(folder.join(name)).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{name}: {from}");
            text = text.replacen(from, to, 1);
        }
        write(name, text);
    };
    match gateway {
        Gateway::Nginx => change(
            "nginx.conf",
            &[(
                ";\n        include countersign/server.conf;",
                " ssl;\n        ssl_certificate server.pem;\n        ssl_certificate_key server.key;\n        \
                 ssl_verify_client optional_no_ca;\n        include countersign/server.conf;",
            )],
        ),
        Gateway::Caddy => change(
            "Caddyfile",
            &[
                ("http://:", "https://:"),
                (
                    "\tbind 127.0.0.1\n",
                    "\tbind 127.0.0.1\n\ttls server.pem server.key {\n\t\tclient_auth {\n\t\t\tmode request\n\t\t}\n\t}\n",
                ),
            ],
        ),
        Gateway::Haproxy => {
            let file = folder.join("haproxy.cfg");
            let text = std::fs::read_to_string(&file).unwrap();
            let bind = text.lines().find(|line| line.trim_start().starts_with("bind 127.0.0.1:")).unwrap();
            let with_tls = format!(
                "{bind} ssl crt both.pem ca-file clients.pem verify optional crt-ignore-err all ca-ignore-err all"
            );
            write("haproxy.cfg", text.replacen(bind, &with_tls, 1));
        }
        Gateway::EnvoyHttp | Gateway::EnvoyGrpc => change(
            if gateway == Gateway::EnvoyHttp { "envoy.yaml" } else { "envoy-grpc.yaml" },
            &[
                (
                    "        - filters:\n",
                    "        - transport_socket:\n            name: tls\n            typed_config:\n              \
                     \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\n              \
                     common_tls_context:\n                \
                     tls_certificates: [{ certificate_chain: { filename: server.pem }, private_key: { filename: server.key } }]\n                \
                     validation_context: { trust_chain_verification: ACCEPT_UNTRUSTED }\n          filters:\n",
                ),
                ("# forward_client_cert_details", "forward_client_cert_details"),
                ("# set_current_client_cert_details", "set_current_client_cert_details"),
            ],
        ),
    }
}

/// Sends over TLS, with a certificate or without; status, and the JSON of the API if it answered.
async fn send(sent: &Sent, address: SocketAddr, shown: Option<&Credentials>) -> (u16, Value) {
    let mut client = Client::builder()
        .http1_only()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .resolve("api.example", address);
    if let Some(shown) = shown {
        let pem = format!("{}{}", shown.certificate_pem(), shown.key_pem);
        client = client.identity(Identity::from_pem(pem.as_bytes()).unwrap());
    }
    let method: Method = sent.method.parse().unwrap();
    let url = format!("{RESOURCE}:{}{}", address.port(), sent.target);
    let mut request = client.build().unwrap().request(method, url);
    for (name, value) in &sent.lines {
        request = request.header(name, value);
    }
    let got = request.body(sent.body.clone()).send().await.unwrap();
    let status = got.status().as_u16();
    (status, serde_json::from_slice(&got.bytes().await.unwrap()).unwrap_or(Value::Null))
}
