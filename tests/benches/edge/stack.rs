//! The stacks: each gateway or server with the check, and the same without.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::gateway::{Addresses, Gateway};
use crate::process::{Process, free_address};
use crate::requests::{self, Carries, ISSUER, LOGIN, RESOURCE};

/// Something that answers requests, ready to be measured.
pub(crate) struct Stack {
    pub(crate) name: &'static str,
    /// The stack that it is set beside.
    pub(crate) beside: Option<&'static str>,
    pub(crate) carries: Carries,
    pub(crate) address: SocketAddr,
    /// Which of the services its phones have enrolled at.
    pub(crate) service: usize,
    /// Whether the time of that service counts.
    pub(crate) asks_service: bool,
    pub(crate) process: Process,
}

/// An attestation service with its edge listener, as `countersign serve` starts them.
pub(crate) struct Service {
    pub(crate) public: SocketAddr,
    pub(crate) edge: SocketAddr,
    pub(crate) process: Process,
}

impl Service {
    /// One whose edge listener is for `gateway`, with all files in `folder`.
    pub(crate) fn start(folder: &Path, gateway: &str) -> Self {
        let folder = folder.join(gateway);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("apple.pem"), requests::apple().root_certificate_pem()).unwrap();
        fs::write(folder.join("login.jwks"), requests::login_keys()).unwrap();
        let policy = "id = 'bench/1'\n[[app]]\nclient_id = 'app'\n\
                      apple = [{ team_id = 'ABCDE12345', bundle_id = 'com.example' }]\n\
                      [danger]\napp_attest_roots = ['apple.pem']\n";
        fs::write(folder.join("policy.toml"), policy).unwrap();
        let [public, edge, admin] = [(); 3].map(|()| free_address());
        let settings = format!(
            "issuer = '{ISSUER}'\npolicy = 'policy.toml'\n[listen]\npublic = '{public}'\nadmin = '{admin}'\n\
             edge = '{edge}'\ngateway = '{gateway}'\n[[resource]]\nname = 'api'\nidentifier = '{RESOURCE}'\n\
             [[resource.authorization_server]]\nissuer = '{LOGIN}'\njwks = 'login.jwks'\n\
             clients = {{ app = ['mobile'] }}\n[[resource.route]]\npath = '/v1'\n"
        );
        fs::write(folder.join("countersign.toml"), settings).unwrap();
        let mut command = Command::new(program());
        command.args(["serve", "--settings", "countersign.toml"]).current_dir(&folder);
        let process = Process::start(&command, &folder.join("log"), public);
        Self { public, edge, process }
    }
}

/// The API behind the gateways: an nginx that answers by itself.
pub(crate) fn api(folder: &Path) -> (SocketAddr, Process) {
    let folder = folder.join("api");
    fs::create_dir(&folder).unwrap();
    let address = free_address();
    let text = format!(
        "events {{}}\nhttp {{ access_log off; keepalive_requests 1000000000; client_body_temp_path a; \
         proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e; \
         server {{ listen {address}; location / {{ default_type text/plain; return 200 \"ok\\n\"; }} }} }}\n"
    );
    fs::create_dir(folder.join("countersign")).unwrap();
    fs::write(folder.join("nginx.conf"), text).unwrap();
    (address, Process::start(&Gateway::Nginx.command(&folder), &folder.join("log"), address))
}

/// What stands in the place of the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// The check, as in the example.
    Check,
    /// Nothing.
    None,
    /// Envoy's own verification of the access token, remembering none, or those it has seen.
    JwtAuthn { remembers: bool },
}

/// `gateway`, with the configuration of its example, and `filter` in the place of the check.
pub(crate) fn gateway(
    folder: &Path,
    name: &'static str,
    gateway: Gateway,
    filter: Filter,
    (number, service): (usize, &Service),
    api: SocketAddr,
) -> Stack {
    let folder = folder.join(format!("in-front {name}").replace(|c: char| !c.is_alphanumeric(), "-"));
    fs::create_dir(&folder).unwrap();
    let address = free_address();
    gateway
        .configure(&folder, Addresses { gateway: address, api, service: service.public, edge: service.edge });
    let file = folder.join(gateway.main_file());
    let text = fs::read_to_string(&file).unwrap();
    // One connection of the client is one measurement long, not a thousand requests.
    let text = text.replace("access_log off;", "access_log off; keepalive_requests 1000000000;");
    fs::write(&file, filter.put_into(gateway, text)).unwrap();
    let process = Process::start(&gateway.command(&folder), &folder.join("log"), address);
    let beside = match (filter, gateway) {
        (Filter::None, _) => None,
        (_, Gateway::Nginx) => Some("nginx"),
        _ => Some("Envoy"),
    };
    let carries = if let Filter::JwtAuthn { .. } = filter { Carries::Bearer } else { Carries::Proof };
    Stack { name, beside, carries, address, service: number, asks_service: filter == Filter::Check, process }
}

/// This program again, as a Rust API of axum, with our layer or without.
pub(crate) fn axum(
    folder: &Path,
    name: &'static str,
    checked: bool,
    number: usize,
    service: &Service,
) -> Stack {
    let address = free_address();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--serve").arg(address.to_string()).arg(service.public.to_string());
    command.args(checked.then_some("checked"));
    let process = Process::start(&command, &folder.join(format!("axum-{checked}.log")), address);
    let beside = checked.then_some("axum");
    let carries = Carries::Proof;
    Stack { name, beside, carries, address, service: number, asks_service: false, process }
}

impl Filter {
    fn put_into(self, gateway: Gateway, text: String) -> String {
        match (self, gateway) {
            (Self::Check, _) => text,
            (_, Gateway::Nginx) => {
                let kept = text.lines().filter(|line| !line.contains("include countersign/"));
                kept.map(|line| format!("{line}\n")).collect()
            }
            _ => {
                let (before, rest) = text.split_once("# Protects: the check.\n").expect("the example's mark");
                let router = "                  - name: envoy.filters.http.router";
                let (_, after) = rest.split_once(router).expect("the router comes last");
                format!("{before}\n{}{router}{after}", self.of_envoy())
            }
        }
    }

    fn of_envoy(self) -> String {
        let Self::JwtAuthn { remembers } = self else { return String::new() };
        let cache = if remembers { ", jwt_cache_config: { jwt_cache_size: 1000 }" } else { "" };
        let keys = requests::login_keys();
        format!(
            "                  - name: envoy.filters.http.jwt_authn
                    typed_config:
                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
                      providers:
                        login: {{ issuer: '{LOGIN}', audiences: ['{RESOURCE}'], forward: true, local_jwks: {{ inline_string: '{keys}' }}{cache} }}
                      rules: [{{ match: {{ prefix: / }}, requires: {{ provider_name: login }} }}]\n"
        )
    }
}

/// `countersign`, built for release: named by the command that runs this, or beside this program.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("COUNTERSIGN_PROGRAM") {
        return named.into();
    }
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(2).expect("cargo puts it two folders deep").join("countersign")
}
