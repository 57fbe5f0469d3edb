//! Verifies requests with the layer of the crate `attested-request-tower`, in front of a handler that does nothing:
//! SECONDS. See ../README.md.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use attested_request::Platform;
use attested_request::test_util::TestClient;
use attested_request_tower::{AttestedRequestLayer, VerifiedAttestedKeyContext};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};

/// Requests in a round; their nonces differ.
const REQUESTS: usize = 256;

fn main() {
    let seconds: f64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("SECONDS");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut client = TestClient::new(Platform::Android, "api.example");
    client.now = SystemTime::now();
    let requests: Vec<_> = (0..REQUESTS)
        .map(|_| client.request("GET", "/v1/accounts/1234567890/transactions?page=1", b""))
        .collect();
    let verifier = client.verifier().build().expect("a whole configuration");
    let layer = AttestedRequestLayer::new(Arc::new(verifier));
    // The first is to warm up.
    measure(&runtime, &layer, &requests, 2.0 * seconds);
    for _ in std::io::stdin().lines() {
        measure(&runtime, &layer, &requests, seconds);
    }
}

/// How many requests passed in about so many seconds of the processor's time, and in how many exactly.
fn measure(runtime: &Runtime, layer: &AttestedRequestLayer, requests: &[Request<Vec<u8>>], limit: f64) {
    let service = layer.layer(service_fn(async |request: Request<Full<Bytes>>| {
        assert!(request.extensions().get::<VerifiedAttestedKeyContext>().is_some());
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    }));
    let start = processor_time();
    let mut calls = 0;
    while processor_time() - start < limit {
        for request in requests.iter().take(64) {
            let request = request.clone().map(|body| Full::new(Bytes::from(body)));
            let Ok(response) = runtime.block_on(service.clone().oneshot(request));
            assert_eq!(response.status(), 200);
            calls += 1;
        }
    }
    println!("tower/each-time {calls} {:.6}\nend", processor_time() - start);
}

fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
