//! `countersign virtual-device`: plays a phone against a running service, so that a request can be tried with curl.
//!
//! The phone's evidence has the genuine shape under roots of its own. A service accepts it only if its policy names
//! those roots in the `danger` section; whoever holds the seed can then forge any phone. This command is therefore
//! left out of release builds.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use countersign_core::challenge::Challenge;
use countersign_core::encoding::{base64url, from_base64url};
use countersign_core::enrolment::{ChallengeAnswer, EnrolmentAnswer, Problem};
use countersign_core::time::Timestamp;
use countersign_virtual_device::{
    AppleAuthority, GoogleAuthority, HeaderFields, ProofRequest, Seed, ServiceCall, Session, SessionKey,
    VirtualAndroid, VirtualIphone, VirtualPhone,
};
use reqwest::Client;
use serde_json::{Value, json};

use crate::cli::{Exit, answer, complain};
use crate::clock::Clock;

/// What the virtual device does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the roots that the policy's danger section must name, as apple.pem and google.pem.
    Roots {
        /// The seed that everything follows from; made at the first use, mode 0600.
        #[command(flatten)]
        seed: SeedFile,
        /// Where to write them.
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
    /// Enrol with a service and print the header fields of one request:
    /// `countersign virtual-device headers … | curl --header @- https://api.example/…`
    Headers(Box<Headers>),
}

/// The seed of a virtual device.
#[derive(Debug, Args)]
pub struct SeedFile {
    /// The file of the seed that roots and phone follow from; made at the first use. Who has it can forge any phone.
    #[arg(long = "seed", value_name = "FILE", default_value = "virtual-device.seed")]
    path: PathBuf,
}

/// Arguments of `virtual-device headers`.
#[derive(Debug, Args)]
pub struct Headers {
    #[command(flatten)]
    seed: SeedFile,
    /// URL of the attestation service.
    #[arg(long, value_name = "URL")]
    service: String,
    /// Its issuer, if that is not the URL under which it is called here.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The OAuth client_id of the app.
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// The kind of phone.
    #[arg(long, value_enum, default_value_t)]
    platform: Platform,
    /// The app on an iPhone: team identifier, dot, bundle identifier.
    #[arg(long, value_name = "ID", default_value = "ABCDE12345.com.example.app")]
    app_id: String,
    /// The app on an Android phone.
    #[arg(long, value_name = "NAME", default_value = "com.example.app")]
    package: String,
    /// SHA-256 of the Android app's signing certificate, in hex.
    #[arg(
        long,
        value_name = "HEX",
        default_value = "0808080808080808080808080808080808080808080808080808080808080808"
    )]
    signer: String,
    /// The identifier of the protected resource (RFC 9728); default: the origin of the URL.
    #[arg(long, value_name = "URL")]
    resource: Option<String>,
    /// The method of the request.
    #[arg(long, default_value = "GET")]
    method: String,
    /// The body of the request, to be covered by the proof.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The access token.
    #[arg(long, value_name = "TOKEN", env = "COUNTERSIGN_ACCESS_TOKEN", hide_env_values = true)]
    access_token: Option<String>,
    /// The nonce that the edge asked for (`OAuth-Client-Attestation-Challenge`).
    #[arg(long, value_name = "NONCE")]
    nonce: Option<String>,
    /// Print everything that the service answered, and the fields, as JSON.
    #[arg(long)]
    json: bool,
    /// The absolute URL of the request.
    #[arg(value_name = "URL")]
    url: String,
}

/// The kind of phone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Platform {
    /// An iPhone with App Attest.
    #[default]
    Iphone,
    /// An Android phone with key attestation.
    Android,
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    let done = match command {
        Command::Roots { seed, out } => write_roots(seed, out),
        Command::Headers(arguments) => print_headers(arguments),
    };
    match done {
        Ok(()) => Exit::Success,
        Err(Failed(sentence)) => {
            complain(sentence);
            Exit::Failure
        }
    }
}

/// What went wrong, as a sentence.
struct Failed(String);

impl<E: fmt::Display> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn write_roots(seed: &SeedFile, out: &Path) -> Result<(), Failed> {
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

fn print_headers(arguments: &Headers) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (session, enrolled) = runtime.block_on(arguments.enrol())?;
    let fields = arguments.prove(&session)?;
    let authorization = arguments.access_token.as_deref().map(|token| format!("{} {token}", scheme(token)));
    if arguments.json {
        let mut all = json!(enrolled);
        all["headers"] = json!({ "Attestation-Result": fields.result, "Attestation-Proof": fields.proof });
        if let Some(value) = authorization {
            all["headers"]["Authorization"] = value.into();
        }
        answer(format!("{all:#}"));
        return Ok(());
    }
    complain(format!("enrolled as instance {}", enrolled.instance_id));
    if let Some(value) = authorization {
        answer(format!("Authorization: {value}"));
    }
    answer(format!("Attestation-Result: {}\nAttestation-Proof: {}", fields.result, fields.proof));
    Ok(())
}

impl Headers {
    async fn enrol(&self) -> Result<(Session, EnrolmentAnswer), Failed> {
        let mut phone = self.phone()?;
        let client = Client::new();
        let base = self.service.trim_end_matches('/');
        let unreachable =
            |error: reqwest::Error| format!("the service does not answer: {}", error.without_url());
        let response = client.post(format!("{base}/v1/challenge")).send().await.map_err(unreachable)?;
        let challenge: ChallengeAnswer = response
            .json()
            .await
            .map_err(|_| format!("{base}/v1/challenge gives no challenge; is it the service?"))?;
        let call = ServiceCall {
            issuer: self.issuer.as_deref().unwrap_or(base),
            client_id: &self.client_id,
            challenge: Challenge::from_base64url(&challenge.attestation_challenge)
                .map_err(|error| error.reason())?,
            app_version: env!("CARGO_PKG_VERSION"),
            environment: 0,
            now: Timestamp::from_unix_seconds(challenge.server_time),
        };
        let key = SessionKey::from_seed(&Seed::from_bytes(random()?));
        let envelope = phone.enrol(&call, &key);
        let request = client.post(format!("{base}/v1/instances")).header("content-type", "application/cbor");
        let response = request.body(envelope).send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(Failed(refused(response.json().await.ok())));
        }
        let enrolled: EnrolmentAnswer =
            response.json().await.map_err(|_| "the service's answer cannot be read")?;
        Ok((Session { key, result: enrolled.result.clone() }, enrolled))
    }

    fn prove(&self, session: &Session) -> Result<HeaderFields, Failed> {
        use countersign_core::request::TargetUri;

        TargetUri::parse(&self.url).map_err(|_| format!("{} is no absolute URL", self.url))?;
        let origin = reqwest::Url::parse(&self.url)?.origin().ascii_serialization();
        let body = match &self.body {
            Some(path) => Some(fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?),
            None => None,
        };
        let nonce = match &self.nonce {
            Some(text) => Some(from_base64url(text).map_err(|_| "the nonce is not base64url")?),
            None => None,
        };
        Ok(session.prove(&ProofRequest {
            resource: self.resource.as_deref().unwrap_or(&origin),
            method: &self.method,
            uri: &self.url,
            body: body.as_deref(),
            credential: self.access_token.as_deref(),
            nonce: nonce.as_deref(),
            token_id: random()?,
            now: Clock::system().now(),
        }))
    }

    fn phone(&self) -> Result<VirtualPhone, Failed> {
        let seed = self.seed.open()?;
        match self.platform {
            Platform::Iphone => {
                let (team, bundle) =
                    self.app_id.split_once('.').ok_or("--app-id is team, dot, bundle identifier")?;
                Ok(VirtualIphone::new(&AppleAuthority::from_seed(&seed), &seed).app(team, bundle).into())
            }
            Platform::Android => {
                let signer = from_hex(&self.signer).ok_or("--signer is 64 hexadecimal digits")?;
                let phone = VirtualAndroid::new(&GoogleAuthority::from_seed(&seed), &seed);
                Ok(phone.app(&self.package, 1, signer).into())
            }
        }
    }
}

impl SeedFile {
    /// The seed in the file; a new one if there is no file.
    fn open(&self) -> Result<Seed, Failed> {
        let damaged =
            || format!("{} holds no seed of this command; remove it to get a new one", self.path.display());
        match fs::read_to_string(&self.path) {
            Ok(text) => {
                let bytes =
                    countersign_core::encoding::from_base64url_array(text.trim()).map_err(|_| damaged())?;
                Ok(Seed::from_bytes(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes: [u8; 32] = random()?;
                let mut options = fs::OpenOptions::new();
                options.write(true).create_new(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let mut file =
                    options.open(&self.path).map_err(|error| format!("{}: {error}", self.path.display()))?;
                writeln!(file, "{}", base64url(&bytes))?;
                Ok(Seed::from_bytes(bytes))
            }
            Err(error) => Err(format!("{} cannot be read: {error}", self.path.display()).into()),
        }
    }
}

fn refused(problem: Option<Problem>) -> String {
    let Some(Problem { title, reference, .. }) = problem else {
        return "the service refuses and does not say why".to_owned();
    };
    let reference = reference.map(|reference| format!(" Reference: {reference}.")).unwrap_or_default();
    format!(
        "The service refuses: {title}{reference} Does its policy know this app, and does it name the roots of \
         `countersign virtual-device roots` in [danger]?"
    )
}

/// `DPoP` for a token that is bound to a key, `Bearer` for any other.
fn scheme(token: &str) -> &'static str {
    let claims = token.split('.').nth(1).and_then(|payload| from_base64url(payload).ok());
    let claims: Option<Value> = claims.and_then(|json| serde_json::from_slice(&json).ok());
    let bound = claims.is_some_and(|claims| claims.pointer("/cnf/jkt").is_some());
    if bound { "DPoP" } else { "Bearer" }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    (digits.len() == 64).then_some(bytes)?.try_into().ok()
}

fn random<const N: usize>() -> Result<[u8; N], Failed> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| "the system gives no randomness")?;
    Ok(bytes)
}
