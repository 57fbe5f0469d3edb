//! oidc-provider, running, and what it says of the requests that it refuses.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::Mode;
use crate::programs;

/// How long it may take to start, or to say why it refused.
const PATIENCE: Duration = Duration::from_secs(30);

/// The authorization server; ends when dropped.
pub(crate) struct AuthorizationServer {
    /// Its issuer, which is its URL.
    pub(crate) issuer: String,
    said: Receiver<Value>,
    input: ChildStdin,
    process: Child,
    _scripts: TempDir,
}

impl AuthorizationServer {
    /// Starts it for the API `resource`; it trusts nobody's attestations yet.
    pub(crate) fn start(resource: &str) -> Self {
        let scripts = programs::scripts();
        let clients = json!(Mode::ALL.map(|mode| [mode.client_id(), mode.name()]));
        let mut process = programs::script(scripts.path(), "authorization-server.mjs")
            .env("RESOURCE", resource)
            .env("ATTESTED_CLIENTS", clients.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else { continue };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let first: Value = said.recv_timeout(PATIENCE).expect("it starts and says its issuer");
        let issuer = first["issuer"].as_str().unwrap().to_owned();
        Self { issuer, said, input, process, _scripts: scripts }
    }

    /// From now on it trusts the attestation service `attester`, with the keys at `jwks_uri`.
    pub(crate) fn trust(&mut self, attester: &str, jwks_uri: &str) {
        writeln!(self.input, "{}", json!({ "attester": attester, "jwksUri": jwks_uri })).unwrap();
    }

    /// What it says of its last refusal, which no client is told.
    pub(crate) fn detail(&self) -> String {
        let mut last = self.said.recv_timeout(PATIENCE).expect("it says why it refused");
        while let Ok(later) = self.said.try_recv() {
            last = later;
        }
        format!(
            "{} {}",
            last["description"].as_str().unwrap_or_default(),
            last["detail"].as_str().unwrap_or_default()
        )
    }

    /// Forgets what it said.
    pub(crate) fn listen_anew(&self) {
        while self.said.try_recv().is_ok() {}
    }
}

impl Drop for AuthorizationServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
