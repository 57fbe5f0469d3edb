//! `/envoy.service.auth.v3.Authorization/Check`: Envoy's `ext_authz` over gRPC.

use std::future::Future;
use std::pin::Pin;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use countersign_edge::{answer, pass_preflight};
use countersign_verifier::check;
use tonic::Status;
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;

use super::edge_check::{EdgeListener, knows};
use crate::gateways::client_certificate;
use crate::gateways::ext_authz::{CheckRequest, CheckResponse, MAX_CHECK, Told, check_response};

/// Answers one call. What cannot be decided is an error of the call, which Envoy takes for an edge that does not answer:
/// nothing passes with `failure_mode_allow: false`.
pub(super) async fn check(State(listener): State<EdgeListener>, request: Request) -> Response {
    let codec = ProstCodec::<CheckResponse, CheckRequest>::default();
    let mut grpc = Grpc::new(codec).max_decoding_message_size(MAX_CHECK);
    grpc.unary(Check(listener), request).await.into_response()
}

struct Check(EdgeListener);

impl UnaryService<CheckRequest> for Check {
    type Response = CheckResponse;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<CheckResponse>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let listener = self.0.clone();
        Box::pin(async move { decide(&listener, request.get_ref()).await.map(tonic::Response::new) })
    }
}

async fn decide(listener: &EdgeListener, request: &CheckRequest) -> Result<CheckResponse, Status> {
    let told = Told::read(request).map_err(|misconfigured| {
        tracing::error!("{}", misconfigured.advice());
        Status::failed_precondition("")
    })?;
    let edition = listener.edge.edition();
    let edge = &edition.runtime;
    if !knows(edge, told.resource) {
        return Err(Status::failed_precondition(""));
    }
    let cors = edition.cors.get(told.resource);
    let (method, path_and_query) = (told.original.method, told.original.path_and_query);
    if cors.is_some_and(|cors| cors.preflight(method, path_and_query, |name| told.lines(name)).is_some()) {
        return Ok(check_response(&told, &pass_preflight()));
    }
    let certificate = client_certificate(listener.client_certificate, |name| told.lines(name));
    let request = check::Request {
        method: told.original.method,
        path_and_query: told.original.path_and_query,
        source: told.original.source,
        client_certificate: certificate.as_ref(),
        fields: told.fields(),
        content: told.content(),
    };
    let decision = listener.decide(edge, told.resource, &request).await;
    let mut answer = answer(&decision, edge.now());
    // What passes is answered by the upstream, which says itself who may read it.
    if let Some(cors) = cors.filter(|_| !answer.status.is_success()) {
        answer.headers.extend(cors.fields(path_and_query, |name| told.lines(name)));
    }
    Ok(check_response(&told, &answer))
}
