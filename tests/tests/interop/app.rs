//! The app on a phone as an OAuth client: logs a user in, keeps its tokens, calls the API.

use std::collections::BTreeMap;

use countersign_core::attester::{ClientProof, ProofRequest};
use countersign_core::encoding::base64url;
use countersign_core::request::sha256;
use countersign_virtual_device::VirtualDevice;
use reqwest::{Response, Url};
use serde_json::Value;

use crate::world::World;

const REDIRECT: &str = "com.example.app:/login";
const VERIFIER: &str = "a-verifier-of-this-client-that-is-43-characters-or-more";

/// How a client authenticates; each has its own client at the authorization server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `OAuth-Client-Attestation-PoP`, and `DPoP` beside it for bound tokens.
    Pop,
    /// The combined mode: `DPoP` alone.
    Dpop,
}

/// What a device proves a request to the API with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flavour {
    Compact,
    OAuth,
}

/// Header fields.
pub(crate) type Fields = Vec<(String, String)>;

/// The app, installed.
pub(crate) struct App {
    pub(crate) mode: Mode,
    pub(crate) device: VirtualDevice,
    /// The latest challenge and DPoP nonce of the authorization server.
    challenge: Option<String>,
    nonce: Option<String>,
}

/// What the authorization server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) challenge: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) body: Value,
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Pop, Self::Dpop];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pop => "pop",
            Self::Dpop => "dpop",
        }
    }

    pub(crate) const fn client_id(self) -> &'static str {
        match self {
            Self::Pop => "app-pop",
            Self::Dpop => "app-dpop",
        }
    }
}

impl Flavour {
    pub(crate) const ALL: [Self; 2] = [Self::Compact, Self::OAuth];
}

impl App {
    /// Installs the app on a phone of `owner`, and enrols.
    pub(crate) async fn install(world: &World, mode: Mode, owner: &str) -> Self {
        let mut app = Self { mode, device: world.device(mode, owner), challenge: None, nonce: None };
        app.obtain(world).await;
        app
    }

    /// Enrols, or renews.
    pub(crate) async fn obtain(&mut self, world: &World) {
        let obtained = self.device.obtain(|| world.now(), async |call| world.carry_out(call).await).await;
        assert_eq!(obtained, Ok(()));
    }

    /// Logs a user in with an authorization code, and gets the tokens for it.
    pub(crate) async fn log_in(&mut self, world: &World) -> Answer {
        let code = self.authorization_code(world).await;
        self.token(world, &code_grant(&code)).await
    }

    pub(crate) async fn refresh(&mut self, world: &World, refresh_token: &str) -> Answer {
        self.token(world, &refresh_grant(refresh_token)).await
    }

    /// Walks through the browser's part of a login.
    pub(crate) async fn authorization_code(&self, world: &World) -> String {
        let mut url = Url::parse(&format!("{}/auth", world.login.issuer)).unwrap();
        url.query_pairs_mut().extend_pairs([
            ("client_id", self.mode.client_id()),
            ("response_type", "code"),
            ("scope", "openid offline_access read pay"),
            ("prompt", "consent"),
            ("redirect_uri", REDIRECT),
            ("resource", &world.resource),
            ("code_challenge", &base64url(&sha256(VERIFIER.as_bytes()))),
            ("code_challenge_method", "S256"),
        ]);
        let mut cookies = BTreeMap::new();
        for _ in 0..10 {
            let jar =
                cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            let response = world.client.get(url.clone()).header("cookie", jar).send().await.unwrap();
            for cookie in response.headers().get_all("set-cookie") {
                let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
                cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
            }
            let location = line(&response, "location").expect("every step of a login leads on");
            url = url.join(&location).unwrap();
            if location.starts_with(REDIRECT) {
                let code = url.query_pairs().find(|(name, _)| name == "code");
                return code.unwrap_or_else(|| panic!("no code: {url}")).1.into_owned();
            }
        }
        panic!("the login does not end: {url}");
    }

    /// A request to the token endpoint; follows the server's wish for a challenge and a nonce.
    pub(crate) async fn token(&mut self, world: &World, form: &[(&str, &str)]) -> Answer {
        for _ in 0..3 {
            let answer = send(world, form, &self.authentication(world)).await;
            let (challenge, nonce) = (answer.challenge.clone(), answer.nonce.clone());
            (self.challenge, self.nonce) = (challenge.or(self.challenge.take()), nonce.or(self.nonce.take()));
            if !matches!(answer.body["error"].as_str(), Some("use_attestation_challenge" | "use_dpop_nonce"))
            {
                return answer;
            }
        }
        panic!("the server is never content with its own challenge");
    }

    /// The header fields that authenticate the client.
    pub(crate) fn authentication(&mut self, world: &World) -> Fields {
        let endpoint = &format!("{}/token", world.login.issuer);
        let (challenge, nonce) = (self.challenge.clone(), self.nonce.clone());
        let dpop = ClientProof::Dpop { endpoint, nonce: nonce.as_deref() };
        let pop = ClientProof::Pop { issuer: &world.login.issuer, challenge: challenge.as_deref() };
        let mut fields = self.proof(world, &dpop);
        if self.mode == Mode::Pop {
            let [_, dpop] = fields.try_into().unwrap();
            fields = self.proof(world, &pop);
            fields.push(dpop);
        }
        fields.into_iter().collect()
    }

    pub(crate) fn proof(&mut self, world: &World, proof: &ClientProof<'_>) -> Fields {
        owned(self.device.authenticate_client(proof, world.now()).unwrap().fields())
    }

    /// The header fields of a call to the API.
    pub(crate) fn prove(&mut self, world: &World, path: &str, token: &str, flavour: Flavour) -> Fields {
        let uri = &format!("{}{path}", world.resource);
        let request = ProofRequest {
            method: "GET",
            uri,
            credential: Some(token),
            content: None,
            nonce: None,
            environment: None,
        };
        let mut fields = match flavour {
            Flavour::Compact => owned(self.device.prove(&request, world.now()).unwrap().fields()),
            Flavour::OAuth => {
                owned(self.device.prove_with_instance_key(&request, world.now()).unwrap().fields())
            }
        };
        fields.push(("authorization".to_owned(), format!("DPoP {token}")));
        fields
    }

    /// Calls the API through nginx.
    pub(crate) async fn call(
        &mut self,
        world: &World,
        path: &str,
        token: &str,
        flavour: Flavour,
    ) -> Response {
        let fields = self.prove(world, path, token, flavour);
        get(world, path, &fields).await
    }
}

impl Answer {
    /// A member of the answer.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    /// Status and error.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status, self.body["error"].as_str().unwrap_or_default())
    }
}

/// The grant of an authorization code.
pub(crate) fn code_grant(code: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ]
}

/// The grant of a refresh token.
pub(crate) fn refresh_grant(refresh_token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", refresh_token)]
}

/// One request to the token endpoint, as it is.
pub(crate) async fn send(world: &World, form: &[(&str, &str)], fields: &Fields) -> Answer {
    let mut body = Url::parse("form:").unwrap();
    body.query_pairs_mut().extend_pairs(form);
    let request = world
        .client
        .post(format!("{}/token", world.login.issuer))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.query().unwrap_or_default().to_owned());
    let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        challenge: line(&response, "oauth-client-attestation-challenge"),
        nonce: line(&response, "dpop-nonce"),
        body: response.json().await.unwrap(),
    }
}

/// One call of the API, as it is.
pub(crate) async fn get(world: &World, path: &str, fields: &Fields) -> Response {
    let request = world.client.get(format!("{}{path}", world.resource));
    fields.iter().fold(request, |request, (name, value)| request.header(name, value)).send().await.unwrap()
}

/// The value of a header field.
pub(crate) fn line(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// The value of a field that is to be sent.
pub(crate) fn value<'f>(fields: &'f Fields, name: &str) -> &'f str {
    &fields.iter().find(|(field, _)| field == name).unwrap().1
}

fn owned(fields: [(&str, &str); 2]) -> Fields {
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
