//! One installation of the app on a phone: core's attester, its HTTP, and the access token of whoever logged in.

use countersign_core::attester::{
    Advice, Answer, AttesterError, EdgeAnswer, Fetch, InstanceKeyHeaders, Platform, ProofHeaders,
    ProofRequest, Resource, ResultKeys, Settings, Unreached,
};
use countersign_core::request::Origin;
use countersign_core::token::field::{CLIENT_ATTESTATION, CLIENT_ATTESTATION_CHALLENGE, DPOP_NONCE};
use countersign_core::token::result::InstanceId;
use countersign_virtual_device::{VirtualDevice, VirtualPhone};
use reqwest::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use reqwest::{Client, Method, RequestBuilder};

use crate::Trouble;
use crate::world::{APP, Answered, World};

/// The app on a phone.
pub(crate) struct Install {
    /// The phone, with the attester on it.
    pub(crate) device: VirtualDevice,
    /// The user's access token; empty before login.
    pub(crate) token: String,
}

/// A request as the app means it.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The method.
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) path: &'a str,
    /// The body.
    pub(crate) body: &'a str,
}

impl Call<'_> {
    /// `GET` without a body.
    pub(crate) const fn get(path: &str) -> Call<'_> {
        Call { method: "GET", path, body: "" }
    }
}

impl Install {
    /// Installs the app.
    ///
    /// # Errors
    /// The world's URLs are none.
    pub(crate) fn new(world: &World, phone: impl Into<VirtualPhone>, owner: &str) -> Result<Self, Trouble> {
        let origin = Origin::parse(&world.api.url).map_err(|error| error.reason())?;
        let settings = Settings {
            issuer: world.service_url.clone(),
            client_id: APP.to_owned(),
            resources: vec![Resource { origin, identifier: world.api.url.clone() }],
            app_version: "1.0".to_owned(),
            // The virtual device puts its own here.
            platform: Platform::Development,
            result_keys: ResultKeys::Fetched,
            danger_plaintext: false,
        };
        let device = VirtualDevice::new(phone, settings, &world.seed(owner))?;
        Ok(Self { device, token: String::new() })
    }

    /// Obtains a result: enrols, or renews. Returns what the service answered last.
    ///
    /// # Errors
    /// What the app is told.
    pub(crate) async fn obtain(&mut self, world: &World) -> Result<Answered, AttesterError> {
        world.reasons();
        let mut status = 0;
        let obtained = self
            .device
            .obtain(
                || world.now(),
                async |call| {
                    let answer = carry_out(&world.client, &call).await;
                    // Of several calls the one that brings the result: others fetch challenge and keys.
                    if let (Ok(answer), true) = (&answer, call.url.contains("/v1/instances")) {
                        status = answer.status;
                    }
                    answer
                },
            )
            .await;
        let standing = self.device.attester().standing();
        let told = match (standing.tier, standing.protection) {
            (Some(tier), Some(protection)) => format!("{}, key in {}", name(&tier), name(&protection)),
            _ => String::new(),
        };
        obtained.map(|()| Answered { status, reasons: world.reasons(), told, body: Vec::new() })
    }

    /// Logs a user in, with the client attestation that came with the result.
    ///
    /// # Errors
    /// No answer, or no attestation to show.
    pub(crate) async fn log_in(&mut self, world: &World, user: &str) -> Result<Answered, Trouble> {
        let attestation =
            self.device.attester().client_attestation(world.now()).ok_or("there is no result")?;
        let request = world.client.post(format!("{}/token", world.authorization_server));
        let request = request.header(CLIENT_ATTESTATION, attestation).body(user.to_owned());
        let answered = world.ask(request).await?;
        self.token = String::from_utf8(answered.body.clone())?;
        Ok(Answered { told: format!("access token for {user}, bound to the phone's key"), ..answered })
    }

    /// The instance, as the service knows it.
    ///
    /// # Errors
    /// It has not enrolled yet.
    pub(crate) fn instance(&self) -> Result<InstanceId, Trouble> {
        self.device.attester().standing().instance.ok_or_else(|| "the app has not enrolled".into())
    }

    /// Proves a call with this phone's result, for `token`.
    ///
    /// # Errors
    /// There is no current result.
    pub(crate) fn prove(
        &mut self,
        world: &World,
        call: Call<'_>,
        token: &str,
    ) -> Result<ProofHeaders, Trouble> {
        let uri = world.api.uri(call.path);
        Ok(self.device.prove(&proof_request(call, &uri, token), world.now())?)
    }

    /// Proves a call with the instance key itself, for `token`.
    ///
    /// # Errors
    /// There is no current result.
    pub(crate) fn prove_with_instance_key(
        &mut self,
        world: &World,
        call: Call<'_>,
        token: &str,
    ) -> Result<InstanceKeyHeaders, Trouble> {
        let uri = world.api.uri(call.path);
        Ok(self.device.prove_with_instance_key(&proof_request(call, &uri, token), world.now())?)
    }

    /// Calls the API as the SDK does: proves, and follows one advice of the edge.
    ///
    /// # Errors
    /// No answer, or no result.
    pub(crate) async fn call(&mut self, world: &World, call: Call<'_>) -> Result<Answered, Trouble> {
        let token = self.token.clone();
        let headers = self.prove(world, call, &token)?;
        let response = request(world, call, Some(headers.fields()), Some(&token)).send().await?;
        let field = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let told: Vec<&str> = response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let answer = EdgeAnswer {
            status: response.status().as_u16(),
            challenge: field(CLIENT_ATTESTATION_CHALLENGE).or_else(|| field(DPOP_NONCE)),
            www_authenticate: &told,
        };
        let uri = world.api.uri(call.path);
        match self.device.attester_mut().observe(&uri, &answer, world.now()) {
            Advice::ProveAgain => {
                let headers = self.prove(world, call, &token)?;
                return world.ask(request(world, call, Some(headers.fields()), Some(&token))).await;
            }
            Advice::ProveWithInstanceKey => {
                let headers = self.prove_with_instance_key(world, call, &token)?;
                return world.ask(request(world, call, Some(headers.fields()), Some(&token))).await;
            }
            _ => {}
        }
        let status = response.status().as_u16();
        let body = response.bytes().await?.to_vec();
        let told = String::from_utf8_lossy(&body).into_owned();
        Ok(Answered { status, reasons: world.reasons(), told, body })
    }
}

fn proof_request<'a>(call: Call<'a>, uri: &'a str, token: &'a str) -> ProofRequest<'a> {
    ProofRequest {
        method: call.method,
        uri,
        credential: Some(token),
        content: Some(call.body.as_bytes()).filter(|body| !body.is_empty()),
        nonce: None,
        environment: None,
    }
}

/// A request with these header fields, however well they fit.
pub(crate) fn request(
    world: &World,
    call: Call<'_>,
    fields: Option<[(&'static str, &str); 2]>,
    token: Option<&str>,
) -> RequestBuilder {
    let method = Method::from_bytes(call.method.as_bytes()).unwrap_or(Method::GET);
    let mut request = world.client.request(method, world.api.uri(call.path)).body(call.body.to_owned());
    for (name, value) in fields.into_iter().flatten() {
        request = request.header(name, value);
    }
    match token {
        Some(token) => request.header(AUTHORIZATION, format!("DPoP {token}")),
        None => request,
    }
}

async fn carry_out(client: &Client, call: &Fetch) -> Result<Answer, Unreached> {
    let mut request = if call.post { client.post(&call.url) } else { client.get(&call.url) };
    if let Some(kind) = call.content_type {
        request = request.header("content-type", kind);
    }
    let response = request.body(call.body.clone()).send().await.map_err(|_| Unreached)?;
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(|_| Unreached)?.to_vec();
    Ok(Answer { status, retry_after: None, body })
}

/// A value by the name that JSON has for it.
fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
