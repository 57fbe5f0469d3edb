//! `countersign virtual-device`: plays a phone against a running service, so that a request can be tried with curl.
//!
//! The phone's evidence has the genuine shape under roots of its own. A service accepts it only if its policy names
//! those roots in the `danger` section; whoever holds the seed can then forge any phone. This command is therefore
//! left out of release builds.

mod app;
mod attack;
mod files;
mod installation;
mod phone;
mod printed;
mod token_request;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use countersign_core::challenge::Challenge;
use countersign_core::token::keys::Jwk;
use countersign_virtual_device::{AppleAuthority, DevelopmentKey, GoogleAuthority};

use crate::cli::{Exit, answer, complain};
use attack::Attack;
use installation::Installation;
use phone::SeedSource;
use printed::Format;
use token_request::TokenRequest;

/// What the virtual device does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the roots that the policy's danger section must name, as apple.pem and google.pem.
    Roots {
        /// The seed that everything follows from.
        #[command(flatten)]
        seed: SeedSource,
        /// Where to write them.
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
    /// Print the public half of a developer's key as a JWK, to be registered with `countersign development-keys add`;
    /// `headers --development-key` vouches with the other half.
    DevelopmentKey {
        /// The seed that the key follows from.
        #[command(flatten)]
        seed: SeedSource,
    },
    /// Enrol with a service, or renew, and print the header fields of one request:
    /// `countersign virtual-device headers … | curl --header @- https://api.example/…`
    Headers(Box<Headers>),
    /// Enrol with a service, or renew, and print the header fields with which the app asks its authorization server for
    /// tokens: `countersign virtual-device token-request … | curl --header @- --data grant_type=… https://login.example/token`
    TokenRequest(Box<TokenRequest>),
    /// List the attacks that `headers --attack` can play.
    Attacks,
}

/// Arguments of `virtual-device headers`.
#[derive(Debug, Args)]
pub struct Headers {
    #[command(flatten)]
    installation: Installation,
    /// Prove with the instance key, in the OAuth flavour (`OAuth-Client-Attestation` and `DPoP`), for routes with
    /// `assurance = "hardware"`.
    #[arg(long, conflicts_with = "attack")]
    instance_key: bool,
    /// Lie, in this way; `countersign virtual-device attacks` lists all.
    #[arg(
        long,
        value_name = "KIND:NAME",
        value_parser = Attack::from_name,
        conflicts_with_all = ["state", "development_key"]
    )]
    attack: Option<Attack>,
    /// The identifier of the protected resource (RFC 9728); default: the origin of the URL.
    #[arg(long, value_name = "URL")]
    resource: Option<String>,
    /// The request: method and absolute URL, such as `GET https://api.example/v1/x`.
    #[arg(long, value_name = "REQUEST", conflicts_with_all = ["url", "method"])]
    request: Option<String>,
    /// The method of the request.
    #[arg(long, default_value = "GET")]
    method: String,
    /// The body of the request, to be covered by the proof.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The access token.
    #[arg(long, value_name = "TOKEN", env = "COUNTERSIGN_ACCESS_TOKEN", hide_env_values = true)]
    access_token: Option<String>,
    /// An API key instead.
    #[arg(
        long,
        value_name = "KEY",
        env = "COUNTERSIGN_API_KEY",
        hide_env_values = true,
        conflicts_with = "access_token"
    )]
    api_key: Option<String>,
    /// The nonce that the edge asked for (`OAuth-Client-Attestation-Challenge`, or `DPoP-Nonce`).
    #[arg(long, value_name = "NONCE")]
    nonce: Option<String>,
    /// What to print.
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
    format: Format,
    /// The same as `--format json`.
    #[arg(long)]
    json: bool,
    /// The absolute URL of the request.
    #[arg(value_name = "URL", required_unless_present = "request")]
    url: Option<String>,
}

/// The request that is to be proven.
struct Request {
    method: String,
    url: String,
    resource: String,
    body: Option<Vec<u8>>,
    nonce: Option<Challenge>,
}

/// What went wrong, as a sentence.
struct Failed(String);

impl<E: fmt::Display> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    let done = match command {
        Command::Roots { seed, out } => write_roots(seed, out),
        Command::DevelopmentKey { seed } => print_development_key(seed),
        Command::Headers(arguments) => print_headers(arguments),
        Command::TokenRequest(arguments) => runtime().and_then(|runtime| runtime.block_on(arguments.print())),
        Command::Attacks => {
            answer(attack::list());
            Ok(())
        }
    };
    match done {
        Ok(()) => Exit::Success,
        Err(Failed(sentence)) => {
            complain(sentence);
            Exit::Failure
        }
    }
}

fn write_roots(seed: &SeedSource, out: &Path) -> Result<(), Failed> {
    let seed = seed.open()?;
    let roots = [
        ("apple.pem", AppleAuthority::from_seed(&seed).root_certificate_pem()),
        ("google.pem", GoogleAuthority::from_seed(&seed).root_certificate_pem()),
    ];
    for (name, pem) in roots {
        let path = out.join(name);
        fs::write(&path, pem).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    answer("[danger]\napp_attest_roots = [\"apple.pem\"]\nandroid_key_roots = [\"google.pem\"]");
    Ok(())
}

fn print_development_key(seed: &SeedSource) -> Result<(), Failed> {
    let Jwk { kty, crv, x, y } = DevelopmentKey::from_seed(&seed.open()?, "").public_key().to_jwk();
    answer(serde_json::json!({ "kty": kty, "crv": crv, "x": x, "y": y }).to_string());
    Ok(())
}

fn print_headers(arguments: &Headers) -> Result<(), Failed> {
    let request = arguments.request()?;
    // Also where an attack plays the app, nothing is sent in the clear to another machine.
    let settings = arguments.installation.settings(&request.url, &request.resource)?;
    let runtime = runtime()?;
    let fields = match arguments.attack {
        None => runtime.block_on(app::prove(arguments, settings, &request))?,
        Some(attack) => runtime.block_on(attack::prove(arguments, attack, &request))?,
    };
    let format = if arguments.json { Format::Json } else { arguments.format };
    complain(format!("instance {}", fields.instance));
    answer(fields.print(format, arguments, &request));
    Ok(())
}

impl Headers {
    /// What the request's proof covers beside the request.
    fn credential(&self) -> Option<&str> {
        self.access_token.as_deref().or(self.api_key.as_deref())
    }

    fn request(&self) -> Result<Request, Failed> {
        let (method, url) = match (&self.request, &self.url) {
            (Some(request), _) => {
                request.split_once(' ').ok_or("--request is a method, a space and an absolute URL")?
            }
            (None, Some(url)) => (self.method.as_str(), url.as_str()),
            (None, None) => return Err("which request? Name its URL".into()),
        };
        let parsed = reqwest::Url::parse(url).map_err(|_| format!("{url} is no absolute URL"))?;
        let nonce = self.nonce.as_deref().map(Challenge::from_base64url).transpose();
        Ok(Request {
            method: method.to_owned(),
            url: url.to_owned(),
            resource: self.resource.clone().unwrap_or_else(|| parsed.origin().ascii_serialization()),
            body: self.body.as_deref().map(files::read).transpose()?,
            nonce: nonce.map_err(|_| "the nonce is none: 56 characters of base64url")?,
        })
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// For calls of the service.
fn http_client() -> Result<reqwest::Client, Failed> {
    Ok(reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?)
}

/// Bytes that nobody can guess.
fn random<const N: usize>() -> Result<[u8; N], Failed> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| "the system gives no randomness")?;
    Ok(bytes)
}
