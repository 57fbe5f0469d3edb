//! Routes from an OpenAPI document, and the audit of one.
//!
//! Data flows one way: [`tree`] reads YAML or JSON, [`document`] finds its operations, [`security`] says which
//! credentials they ask for, [`extension`] what `x-attestation` adds, [`routes`] makes routes of them, and [`audit`]
//! judges them. Nothing beside the one file is ever read.

pub(crate) mod audit;
mod document;
mod extension;
mod neighbours;
mod overlap;
mod routes;
mod security;
mod server;
#[cfg(test)]
mod tests;
mod tree;

use std::path::Path;

use document::ApiDocument;
pub(crate) use extension::schema;
pub(crate) use routes::demands;

use crate::document::Problems;
use crate::settings::{Gateway, RouteSettings};

/// The routes of the OpenAPI document in `file`, for a resource that clients call under `origin`.
///
/// # Errors
/// Every problem of the document: what cannot be read, and what it asks for and routes cannot express.
pub(crate) fn routes(
    file: &Path,
    origin: &str,
    gateway: Option<Gateway>,
) -> Result<Vec<RouteSettings>, Problems> {
    routes_of(ApiDocument::load(file)?, origin, gateway)
}

/// The routes of a document by its text, behind no gateway in particular.
///
/// # Errors
/// As [`routes`].
pub(crate) fn routes_of_text(name: &str, text: &str, origin: &str) -> Result<Vec<RouteSettings>, Problems> {
    routes_of(ApiDocument::parse(name, text)?, origin, None)
}

fn routes_of(
    document: ApiDocument,
    origin: &str,
    gateway: Option<Gateway>,
) -> Result<Vec<RouteSettings>, Problems> {
    let ApiDocument { operations, mut problems } = document;
    routes::examine(&operations, gateway, &mut problems);
    let routes = routes::of(&operations, origin, &mut problems);
    if problems.is_empty() { Ok(routes) } else { Err(problems) }
}
