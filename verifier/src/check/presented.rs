//! What a request presents, by its header fields alone: at most one credential, and at most one flavour of attestation.

use countersign_core::request::decoded;
use countersign_core::token::{MAX_COMPACT_FIELD, MAX_JWT_FIELD};

use super::refusal::{ProofKind, Reason, Scheme};
use super::request::{Field, Fields};
use super::route::{Assurance, CredentialKind};
use crate::credential::api_key::PREFIX;

/// Longest `Authorization` value.
const MAX_AUTHORIZATION: usize = MAX_JWT_FIELD + 8;

/// Attestation and proof, as they came.
#[derive(Clone, Copy)]
pub(super) enum Attestation<'a> {
    /// The compact flavour: result, and proof of the session key.
    Compact { result: &'a str, proof: &'a str },
    /// The OAuth draft's combined mode: client attestation, and DPoP proof of the instance key.
    Dpop { attestation: &'a str, proof: &'a str },
    /// The OAuth draft's own proof, which says nothing of the request.
    Pop { attestation: &'a str, proof: &'a str },
}

impl<'a> Attestation<'a> {
    pub(super) const fn kind(self) -> ProofKind {
        match self {
            Self::Compact { .. } => ProofKind::Compact,
            Self::Dpop { .. } => ProofKind::Dpop,
            Self::Pop { .. } => ProofKind::Pop,
        }
    }

    /// How near the hardware the key is that signs each request.
    pub(super) const fn assurance(self) -> Assurance {
        match self {
            // The draft's own proof is by the instance key, and for no request in particular.
            Self::Compact { .. } | Self::Pop { .. } => Assurance::Session,
            Self::Dpop { .. } => Assurance::Hardware,
        }
    }

    /// The field that stays the same for minutes.
    pub(super) const fn result(self) -> &'a str {
        match self {
            Self::Compact { result, .. } => result,
            Self::Dpop { attestation, .. } | Self::Pop { attestation, .. } => attestation,
        }
    }
}

/// Attestation and proof of one flavour; `None` if they are not both there.
pub(super) fn attestation<'a>(fields: &Fields<'a>) -> Result<Option<Attestation<'a>>, Reason> {
    let compact = [fields.attestation_result, fields.attestation_proof];
    let oauth = [fields.client_attestation, fields.client_attestation_pop, fields.dpop];
    let is_malformed = |field: &Field<'_>, longest: usize| match field {
        Field::Malformed => true,
        Field::One(value) => value.expose().len() > longest,
        Field::Absent => false,
    };
    if compact.iter().any(|field| is_malformed(field, MAX_COMPACT_FIELD))
        || oauth.iter().any(|field| is_malformed(field, MAX_JWT_FIELD))
    {
        return Err(Reason::FieldMalformed);
    }
    let has_compact = !compact.iter().all(Field::is_absent);
    if has_compact && !oauth.iter().all(Field::is_absent) {
        return Err(Reason::TwoFlavours);
    }
    match (compact, oauth) {
        ([Field::One(result), Field::One(proof)], _) => {
            Ok(Some(Attestation::Compact { result: result.expose(), proof: proof.expose() }))
        }
        // Whoever reads the one must not overlook the other.
        (_, [_, Field::One(_), Field::One(_)]) => Err(Reason::TwoFlavours),
        (_, [Field::One(attestation), Field::Absent, Field::One(proof)]) => {
            Ok(Some(Attestation::Dpop { attestation: attestation.expose(), proof: proof.expose() }))
        }
        (_, [Field::One(attestation), Field::One(proof), Field::Absent]) => {
            Ok(Some(Attestation::Pop { attestation: attestation.expose(), proof: proof.expose() }))
        }
        _ => Ok(None),
    }
}

/// The credential, as it came.
#[derive(Clone, Copy)]
pub(super) enum Presented<'a> {
    /// `Authorization`: an access token in its scheme.
    AccessToken { scheme: Scheme, token: &'a str },
    /// `Authorization`: an access token that says nothing by itself, in its scheme.
    OpaqueToken { scheme: Scheme, token: &'a str },
    /// `X-API-Key`.
    ApiKey(&'a str),
}

impl<'a> Presented<'a> {
    pub(super) const fn kind(self) -> CredentialKind {
        match self {
            Self::AccessToken { .. } => CredentialKind::Jwt,
            Self::OpaqueToken { .. } => CredentialKind::Opaque,
            Self::ApiKey(_) => CredentialKind::ApiKey,
        }
    }

    pub(super) const fn scheme(self) -> Scheme {
        match self {
            Self::AccessToken { scheme, .. } | Self::OpaqueToken { scheme, .. } => scheme,
            Self::ApiKey(_) => Scheme::ApiKey,
        }
    }

    /// The same, with an access token that is no JWT told apart, for a resource whose server can be asked about it.
    pub(super) fn told_apart(self, takes_opaque_tokens: bool) -> Self {
        match self {
            Self::AccessToken { scheme, token } if takes_opaque_tokens && !is_jwt(token) => {
                Self::OpaqueToken { scheme, token }
            }
            other => other,
        }
    }

    /// What `ath` of the proof covers.
    pub(super) const fn characters(self) -> &'a str {
        match self {
            Self::AccessToken { token: characters, .. }
            | Self::OpaqueToken { token: characters, .. }
            | Self::ApiKey(characters) => characters,
        }
    }
}

/// The presented credential. At a resource that takes no API keys, `X-API-Key` is the upstream's own affair.
pub(super) fn credential<'a>(
    fields: &Fields<'a>,
    takes_api_keys: bool,
) -> Result<Option<Presented<'a>>, Reason> {
    let token = access_token(&fields.authorization)?;
    match fields.api_key {
        Field::One(_) | Field::Malformed if takes_api_keys && token.is_some() => Err(Reason::TwoCredentials),
        Field::One(key) if takes_api_keys => Ok(Some(Presented::ApiKey(key.expose()))),
        Field::Malformed if takes_api_keys => Err(Reason::FieldMalformed),
        _ => Ok(token),
    }
}

/// The presented access token and its scheme.
fn access_token<'a>(authorization: &Field<'a>) -> Result<Option<Presented<'a>>, Reason> {
    let value = match authorization {
        Field::Absent => return Ok(None),
        Field::Malformed => return Err(Reason::AuthorizationMalformed),
        Field::One(value) => value.expose(),
    };
    if value.len() > MAX_AUTHORIZATION {
        return Err(Reason::AuthorizationMalformed);
    }
    let (name, token) = value.split_once(' ').ok_or(Reason::AuthorizationMalformed)?;
    let scheme = if name.eq_ignore_ascii_case("bearer") {
        Scheme::Bearer
    } else if name.eq_ignore_ascii_case("dpop") {
        Scheme::Dpop
    } else if name.eq_ignore_ascii_case("basic") {
        return Err(Reason::BasicRefused);
    } else {
        return Err(Reason::AuthorizationMalformed);
    };
    // token68 (RFC 9110 section 11.2), nothing before, between or after.
    let is_token68 = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(is_token68) {
        return Err(Reason::AuthorizationMalformed);
    }
    Ok(Some(Presented::AccessToken { scheme, token }))
}

/// Whether a token has the form of a JWT: three parts, the first of which decodes to something that begins with `{`.
fn is_jwt(token: &str) -> bool {
    let begins_object = matches!(token.as_bytes(), [b'e', second, ..]
        if matches!(second, b'w'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    begins_object && token.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Whether a query carries a credential, where logs would keep it: an access token (RFC 6750 section 2.3, which RFC
/// 9700 forbids), or an API key by the names that people use, or by the form of ours.
pub(super) fn has_credential(query: &str) -> bool {
    const NAMES: [&str; 5] = ["access_token", "api_key", "api-key", "apikey", "x-api-key"];
    query.split(['&', ';']).any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_named = |known: &&str| decoded(name).map(|byte| byte.to_ascii_lowercase()).eq(known.bytes());
        NAMES.iter().any(is_named) || decoded(value).take(PREFIX.len()).eq(PREFIX.bytes())
    })
}
