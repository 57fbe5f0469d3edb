//! OAuth credentials as an edge accepts them, and the key sets that verify them.

pub mod api_key;
mod claims;
pub mod client_certificate;
pub mod introspection;
pub mod jwks;
pub mod jwt;
#[cfg(test)]
mod jwt_attacks;
pub mod server_metadata;
