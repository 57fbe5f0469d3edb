//! The app on its phone, and the service that it enrols with.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use countersign_core::attester::{
    Answer, AttesterError, Fetch, MAX_ANSWER, Now, Platform, Resource, ResultKeys, Settings, Unreached,
};
use countersign_core::enrolment::Problem;
use countersign_core::request::Origin;
use countersign_virtual_device::{DevelopmentKey, Seed, VirtualDevice};
use reqwest::Client;

use super::phone::Phone;
use super::{Failed, files, http_client, random};
use crate::clock::Clock;

/// Which phone, with which app, enrolled where.
#[derive(Debug, Args)]
pub(super) struct Installation {
    #[command(flatten)]
    pub(super) phone: Phone,
    /// URL of the attestation service: https, or http on this machine.
    #[arg(long, value_name = "URL")]
    service: String,
    /// Its issuer, if that is not the URL under which it is called here.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The OAuth client_id of the app.
    #[arg(long, value_name = "ID")]
    pub(super) client_id: String,
    /// Keep the phone's keys and instance in this file (mode 0600), and renew with them the next time. Default: the
    /// app is installed anew each time.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Run as a development build on a simulator: this registered key vouches, and not the phone.
    #[arg(long, value_name = "ID", conflicts_with = "platform")]
    development_key: Option<String>,
}

/// A device with a current result.
pub(super) struct Obtained {
    pub(super) device: VirtualDevice,
    begun: Instant,
}

impl Obtained {
    /// The device's clocks.
    pub(super) fn now(&self) -> Now {
        now(self.begun)
    }

    /// The instance, in base64url.
    pub(super) fn instance(&self) -> String {
        let instance = self.device.attester().standing().instance;
        instance.map(|instance| instance.to_base64url()).unwrap_or_default()
    }
}

impl Installation {
    /// The service as it is called here.
    pub(super) fn service(&self) -> &str {
        self.service.trim_end_matches('/')
    }

    /// The service as it calls itself.
    pub(super) fn issuer(&self) -> &str {
        self.issuer.as_deref().unwrap_or(self.service())
    }

    /// What the app is configured with, to call `url` of the API `identifier`.
    pub(super) fn settings(&self, url: &str, identifier: &str) -> Result<Settings, Failed> {
        let parsed = reqwest::Url::parse(url)?;
        let origin = Origin::parse(&parsed.origin().ascii_serialization())
            .map_err(|error| format!("{url} is no URL that can be proven ({})", error.reason()))?;
        let settings = Settings {
            issuer: self.issuer().to_owned(),
            client_id: self.client_id.clone(),
            resources: vec![Resource { origin, identifier: identifier.to_owned() }],
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            // The virtual device puts its own here.
            platform: Platform::Development,
            result_keys: ResultKeys::Fetched,
            danger_plaintext: false,
        };
        // The issuer is a name; the service is what is called.
        for issuer in [self.issuer(), self.service()] {
            let called = Settings { issuer: issuer.to_owned(), ..settings.clone() };
            countersign_core::attester::Config::new(called)
                .map_err(|error| format!("{issuer} and {url} cannot be used together: {error}"))?;
        }
        Ok(settings)
    }

    /// Enrols, or renews.
    pub(super) async fn obtain(&self, settings: Settings) -> Result<Obtained, Failed> {
        let mut device = self.device(settings)?;
        let begun = Instant::now();
        let client = http_client()?;
        let mut problem = None;
        let obtained = device
            .obtain(
                || now(begun),
                async |call| {
                    let answer = self.carry_out(&client, &call).await?;
                    if answer.status >= 400 {
                        problem = serde_json::from_slice(&answer.body).ok();
                    }
                    Ok(answer)
                },
            )
            .await;
        // Also after a refusal: keys were made, and counters moved.
        if let Some(path) = &self.state {
            files::write_secret(path, &device.save())?;
        }
        obtained.map_err(|error| self.explained(error, problem))?;
        Ok(Obtained { device, begun })
    }

    /// The device of the state file, or one on which the app was just installed.
    fn device(&self, settings: Settings) -> Result<VirtualDevice, Failed> {
        // The phone is made of the seed, what it draws at random is not: the same proof would be a replay.
        let randomness = Seed::from_bytes(random()?);
        let phone = self.phone.make()?;
        let saved = match &self.state {
            Some(path) => files::existing(path)?.map(|saved| (path, saved)),
            None => None,
        };
        let device = match saved {
            None => VirtualDevice::new(phone, settings, &randomness)?,
            Some((path, saved)) => {
                VirtualDevice::restore(phone, settings, &randomness, &saved).map_err(|error| {
                    let (path, reason) = (path.display(), error.reason());
                    format!("{path} does not fit this phone ({reason}); name another file, or remove it")
                })?
            }
        };
        match &self.development_key {
            Some(id) => {
                let key = DevelopmentKey::from_seed(&self.phone.seed.open()?, id.as_str());
                Ok(device.with_development_key(key)?)
            }
            None => Ok(device),
        }
    }

    async fn carry_out(&self, client: &Client, call: &Fetch) -> Result<Answer, Unreached> {
        let path = call.url.strip_prefix(self.issuer().trim_end_matches('/')).ok_or(Unreached)?;
        let url = format!("{}{path}", self.service());
        let mut request = if call.post { client.post(url) } else { client.get(url) };
        if let Some(kind) = call.content_type {
            request = request.header("content-type", kind);
        }
        let mut response = request.body(call.body.clone()).send().await.map_err(|_| Unreached)?;
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| Unreached)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err(Unreached);
            }
        }
        Ok(Answer { status: response.status().as_u16(), retry_after, body })
    }

    fn explained(&self, error: AttesterError, problem: Option<Problem>) -> Failed {
        match (error, problem) {
            (_, Some(problem)) => Failed(refused(Some(problem))),
            (AttesterError::Unreachable, None) => {
                Failed(format!("{} does not answer as an attestation service does", self.service()))
            }
            (AttesterError::UntrustedAnswer(reason), None) => Failed(format!(
                "the service's answer is not taken: {}. Is --issuer what its settings say?",
                reason.reason()
            )),
            (error, None) => Failed(format!("no result: {error}")),
        }
    }
}

/// A refusal of the service as a sentence.
pub(super) fn refused(problem: Option<Problem>) -> String {
    let Some(Problem { title, reference, .. }) = problem else {
        return "the service refuses and does not say why".to_owned();
    };
    let reference = reference.map(|reference| format!(" Reference: {reference}.")).unwrap_or_default();
    let sentence = format!(
        "The service refuses: {title}{reference} Does its policy know this app, and does it name the roots of \
         `countersign virtual-device roots` in [danger]?"
    );
    sentence.replace(char::is_control, " ")
}

fn now(begun: Instant) -> Now {
    Now { wall: Clock::system().now(), uptime: begun.elapsed() }
}
