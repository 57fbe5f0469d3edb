//! The words of routes: what their paths stand for, and what they demand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the path of a route stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// Itself and everything below it.
    #[default]
    Prefix,
    /// Exactly its segments, of which `{name}` stands for one or more characters, as in OpenAPI.
    Template,
}

/// How the API reads the case of paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathCase {
    /// `/Admin` is not `/admin`.
    Sensitive,
    /// `/Admin` is `/admin`.
    Insensitive,
}

/// What happens to a request that fails the check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It passes, without identity; the verdict is recorded.
    Observe,
    /// As `observe`, and the verdict is logged as a warning.
    Warn,
    /// It is refused.
    #[default]
    Require,
}

/// How an access token is tied to the device that uses it (protocol section 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenBinding {
    /// `cnf.jkt` is the instance key of the result.
    #[default]
    Instance,
    /// A bearer token belongs to the first instance that used it.
    FirstUse,
    /// Only the client must match: a stolen token works on any genuine install.
    DangerClientOnly,
}

/// How near the hardware the key is that signs each request (protocol section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// A session key in the app's memory will do, for which the instance key vouched within the last ten minutes.
    #[default]
    Session,
    /// The instance key signs each request: `OAuth-Client-Attestation` and `DPoP`.
    Hardware,
}

/// A kind of credential that tells the user or caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A JWT access token (RFC 9068).
    Jwt,
    /// An opaque access token, about which its authorization server is asked (RFC 7662).
    Opaque,
    /// An API key of the attested app, in `X-API-Key`: the same on each of its installations.
    ApiKey,
    /// The client's TLS certificate, for systems that call: one of [[resource.client_certificate]]. What binds it to the
    /// request is the connection to the gateway alone, not the device's proof.
    ClientCertificate,
}

/// Whether a proof must carry a nonce of this edge (protocol section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonceDemand {
    /// None is given out; one that comes is checked.
    #[default]
    Off,
    /// One rides on answers, so that devices with wrong clocks have one.
    Offered,
    /// A proof without one is refused.
    Required,
}

/// Where a proof passes once (protocol section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayDemand {
    /// At all edges together; several edges need a store that they share.
    #[default]
    Strict,
    /// At each edge: one that is caught passes once more at every other edge within 150 seconds. For routes where the
    /// same request twice does no harm.
    Windowed,
}

/// The lowest tier (AR4SI) that is let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Only devices that the policy affirms.
    #[default]
    Affirming,
    /// Also devices that the policy warns about.
    Warning,
}

/// Where the durable key of an installation lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyProtection {
    /// In a trusted execution environment.
    Tee,
    /// In a StrongBox secure element.
    Strongbox,
    /// In Apple's Secure Enclave.
    SecureEnclave,
}

/// Whether the proof must cover the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyBinding {
    /// A digest is compared where the proof has one and the body can be read.
    #[default]
    Offered,
    /// A request with a body whose proof does not cover it is refused.
    Required,
}
