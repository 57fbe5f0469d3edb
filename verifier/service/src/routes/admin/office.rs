//! For the tests of the administration: a service with a real listener, and an administrator with a key.

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

use crate::administration::AdminKey;
use crate::store::Actor;
use crate::virtual_world::{World, android, iphone};

/// A service, and an administrator with a key.
pub(super) struct Office {
    pub(super) world: World,
    pub(super) client: Client,
    pub(super) key: String,
}

impl Office {
    pub(super) async fn new() -> Self {
        let world = World::new().await;
        let key = AdminKey::from_random([7; 32]);
        let by = Actor::command_line(world.now());
        world.service().store.add_admin_key("ops", &key.digest(), None, &by).await.unwrap();
        Self { world, client: Client::new(), key: key.reveal().to_string() }
    }

    /// A call without a key.
    pub(super) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let address = self.world.running.address("admin").unwrap();
        self.client.request(method, format!("http://{address}/admin/v1{path}"))
    }

    pub(super) fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).header("authorization", format!("Bearer {}", self.key))
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let response = self.call(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.json().await.unwrap()
    }

    pub(super) async fn status(&self, method: Method, path: &str, body: Option<Value>) -> u16 {
        let mut call = self.call(method, path);
        if let Some(body) = body {
            call = call.json(&body);
        }
        call.send().await.unwrap().status().as_u16()
    }

    /// A refused call by number and name.
    pub(super) async fn refused(&self, call: RequestBuilder) -> (u16, String) {
        problem(call.send().await.unwrap()).await
    }

    pub(super) async fn enrolled(&self) -> [String; 2] {
        let iphone = self.world.enrol(&mut iphone()).await;
        let android = self.world.enrol(&mut android()).await;
        [iphone.to_base64url(), android.to_base64url()]
    }
}

/// A refusal by number and name.
pub(super) async fn problem(response: Response) -> (u16, String) {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let status = response.status().as_u16();
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["status"], status);
    let kind = problem["type"].as_str().unwrap();
    (status, kind.strip_prefix("urn:countersign:problem:").unwrap().to_owned())
}

/// What whoever has no good key is told.
pub(super) fn unauthorized() -> (u16, String) {
    (401, "unauthorized".to_owned())
}
