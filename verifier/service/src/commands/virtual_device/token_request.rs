//! `countersign virtual-device token-request`: the header fields with which the app authenticates as an OAuth client at
//! the token endpoint of its authorization server (draft-ietf-oauth-attestation-based-client-auth).

use clap::{Args, ValueEnum};
use countersign_core::attester::ClientProof;

use super::Failed;
use super::installation::Installation;
use crate::cli::{answer, complain};

/// Arguments of `virtual-device token-request`.
#[derive(Debug, Args)]
pub struct TokenRequest {
    #[command(flatten)]
    installation: Installation,
    /// Issuer of the authorization server, as its metadata says it.
    #[arg(long, value_name = "URL")]
    authorization_server: String,
    /// Its token endpoint.
    #[arg(long, value_name = "URL")]
    token_endpoint: String,
    /// What proves that the app has the attested key.
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// The latest challenge of its challenge endpoint, or of `OAuth-Client-Attestation-Challenge`.
    #[arg(long, value_name = "CHALLENGE")]
    challenge: Option<String>,
    /// Its latest `DPoP-Nonce`.
    #[arg(long, value_name = "NONCE")]
    nonce: Option<String>,
}

/// The proofs that go with the client attestation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// `DPoP` alone: the draft's combined mode. Tokens are bound to the key.
    #[default]
    Dpop,
    /// `OAuth-Client-Attestation-PoP` alone: bearer tokens.
    Pop,
    /// `OAuth-Client-Attestation-PoP` to authenticate, `DPoP` to bind the tokens.
    PopAndDpop,
}

impl TokenRequest {
    /// Prints a line for each field, for `curl --header @-`.
    pub(super) async fn print(&self) -> Result<(), Failed> {
        // The app calls no API here; the attester's configuration asks for one.
        let settings = self.installation.settings(&self.token_endpoint, &self.authorization_server)?;
        let mut obtained = self.installation.obtain(settings).await?;
        let now = obtained.now();
        let mut lines: Vec<String> = Vec::new();
        for proof in self.proofs() {
            let headers = obtained
                .device
                .authenticate_client(&proof, now)
                .map_err(|error| format!("the token request cannot be proven: {error}"))?;
            for (name, value) in headers.fields() {
                let line = format!("{name}: {value}");
                // Both proofs go with the same attestation.
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
        complain(format!("instance {}", obtained.instance()));
        answer(lines.join("\n"));
        Ok(())
    }

    fn proofs(&self) -> Vec<ClientProof<'_>> {
        let challenge = self.challenge.as_deref();
        let pop = ClientProof::Pop { issuer: &self.authorization_server, challenge };
        let dpop = ClientProof::Dpop { endpoint: &self.token_endpoint, nonce: self.nonce.as_deref() };
        match self.mode {
            Mode::Dpop => vec![dpop],
            Mode::Pop => vec![pop],
            Mode::PopAndDpop => vec![pop, dpop],
        }
    }
}
