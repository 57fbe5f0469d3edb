//! The honest app: core's attester on a virtual phone, which enrols, renews and proves as the SDK does.

use std::time::{Duration, Instant};

use countersign_core::attester::{
    Answer, AttesterError, Fetch, MAX_ANSWER, Now, Platform, ProofRequest, Resource, ResultKeys, Settings,
    Unreached,
};
use countersign_core::enrolment::Problem;
use countersign_core::request::Origin;
use countersign_virtual_device::{DevelopmentKey, Seed, VirtualDevice};
use reqwest::Client;

use super::printed::{self, Fields};
use super::{Failed, Headers, Request, files, random};
use crate::clock::Clock;

/// What the app is configured with.
pub(super) fn settings(arguments: &Headers, request: &Request) -> Result<Settings, Failed> {
    let url = reqwest::Url::parse(&request.url)?;
    let origin = Origin::parse(&url.origin().ascii_serialization())
        .map_err(|error| format!("{} is no URL that can be proven ({})", request.url, error.reason()))?;
    let settings = Settings {
        issuer: arguments.issuer().to_owned(),
        client_id: arguments.client_id.clone(),
        resources: vec![Resource { origin, identifier: request.resource.clone() }],
        app_version: env!("CARGO_PKG_VERSION").to_owned(),
        // The virtual device puts its own here.
        platform: Platform::Development,
        result_keys: ResultKeys::Fetched,
        danger_plaintext: false,
    };
    // The issuer is a name; the service is what is called.
    for issuer in [arguments.issuer(), arguments.service()] {
        let called = Settings { issuer: issuer.to_owned(), ..settings.clone() };
        countersign_core::attester::Config::new(called)
            .map_err(|error| format!("{issuer} and {} cannot be used together: {error}", request.url))?;
    }
    Ok(settings)
}

/// Obtains a result and proves the request.
pub(super) async fn prove(
    arguments: &Headers,
    settings: Settings,
    request: &Request,
) -> Result<Fields, Failed> {
    let mut device = device(arguments, settings)?;
    let begun = Instant::now();
    let client = Client::builder().timeout(Duration::from_secs(30)).build()?;
    let mut problem = None;
    let obtained = device
        .obtain(
            || now(begun),
            async |call| {
                let answer = carry_out(&client, arguments, &call).await?;
                if answer.status >= 400 {
                    problem = serde_json::from_slice(&answer.body).ok();
                }
                Ok(answer)
            },
        )
        .await;
    // Also after a refusal: keys were made, and counters moved.
    if let Some(path) = &arguments.state {
        files::write_secret(path, &device.save())?;
    }
    obtained.map_err(|error| explained(error, problem, arguments))?;
    let request = ProofRequest {
        method: &request.method,
        uri: &request.url,
        credential: arguments.credential(),
        content: request.body.as_deref(),
        nonce: request.nonce,
        environment: None,
    };
    let proven = if arguments.instance_key {
        device.prove_with_instance_key(&request, now(begun)).map(printed::oauth)
    } else {
        device.prove(&request, now(begun)).map(|proof| printed::compact(proof.result, proof.proof))
    };
    let proven = proven.map_err(|error| format!("the request cannot be proven: {error}"))?;
    let standing = device.attester().standing();
    Ok(Fields {
        instance: standing.instance.map(|instance| instance.to_base64url()).unwrap_or_default(),
        client_attestation: device.attester().client_attestation(now(begun)).map(str::to_owned),
        proven,
    })
}

/// The device of the state file, or one on which the app was just installed.
fn device(arguments: &Headers, settings: Settings) -> Result<VirtualDevice, Failed> {
    // The phone is made of the seed, what it draws at random is not: the same proof would be a replay.
    let randomness = Seed::from_bytes(random()?);
    let phone = arguments.phone.make()?;
    let saved = match &arguments.state {
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
    match &arguments.development_key {
        Some(id) => {
            let key = DevelopmentKey::from_seed(&arguments.phone.seed.open()?, id.as_str());
            Ok(device.with_development_key(key)?)
        }
        None => Ok(device),
    }
}

async fn carry_out(client: &Client, arguments: &Headers, call: &Fetch) -> Result<Answer, Unreached> {
    let path = call.url.strip_prefix(arguments.issuer().trim_end_matches('/')).ok_or(Unreached)?;
    let url = format!("{}{path}", arguments.service());
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

fn now(begun: Instant) -> Now {
    Now { wall: Clock::system().now(), uptime: begun.elapsed() }
}

fn explained(error: AttesterError, problem: Option<Problem>, arguments: &Headers) -> Failed {
    match (error, problem) {
        (_, Some(problem)) => Failed(refused(Some(problem))),
        (AttesterError::Unreachable, None) => {
            Failed(format!("{} does not answer as an attestation service does", arguments.service()))
        }
        (AttesterError::UntrustedAnswer(reason), None) => Failed(format!(
            "the service's answer is not taken: {}. Is --issuer what its settings say?",
            reason.reason()
        )),
        (error, None) => Failed(format!("no result: {error}")),
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
