//! The honest app: core's attester on a virtual phone, which proves a request as the SDK does.

use countersign_core::attester::{ProofRequest, Settings};

use super::printed::{self, Fields};
use super::{Failed, Headers, Request};

/// Obtains a result and proves the request.
pub(super) async fn prove(
    arguments: &Headers,
    settings: Settings,
    request: &Request,
) -> Result<Fields, Failed> {
    let mut obtained = arguments.installation.obtain(settings).await?;
    let now = obtained.now();
    let request = ProofRequest {
        method: &request.method,
        uri: &request.url,
        credential: arguments.credential(),
        content: request.body.as_deref(),
        nonce: request.nonce,
        environment: None,
    };
    let proven = if arguments.instance_key {
        obtained.device.prove_with_instance_key(&request, now).map(printed::oauth)
    } else {
        obtained.device.prove(&request, now).map(|proof| printed::compact(proof.result, proof.proof))
    };
    let proven = proven.map_err(|error| format!("the request cannot be proven: {error}"))?;
    Ok(Fields {
        instance: obtained.instance(),
        client_attestation: obtained.device.attester().client_attestation(now).map(str::to_owned),
        proven,
    })
}
