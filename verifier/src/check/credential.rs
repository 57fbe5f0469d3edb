//! The credential beside the attestation: who vouches for it, and whose it is.

use std::sync::Arc;

use countersign_core::token::result::ResultClaims;

use super::decision::Credential;
use super::deny_list::SubjectDigest;
use super::presented::Presented;
use super::refusal::{Reason, Scheme};
use super::result::VerifiedResult;
use super::route::{CredentialKind, OAuthClient, TokenBinding};
use super::steps::{Context, Stop};
use super::trust::{IssuerKeys, KeyOwner};
use crate::credential::api_key::ApiKey;
use crate::credential::client_certificate::{ClientCertificate, ClientCertificateError};
use crate::credential::jwks::Jwks;
use crate::credential::jwt::{AccessToken, AccessTokenError, UnverifiedAccessToken};

/// An access token for which its authorization server has vouched.
pub(super) struct CachedToken {
    pub(super) token: Arc<AccessToken>,
    /// Its user, as deny lists name him; `None` where its server names none.
    pub(super) subject: Option<SubjectDigest>,
    /// Edition of the authorization server's keys that verified it; 0 for one that was asked about.
    pub(super) edition: u64,
}

impl CachedToken {
    pub(super) fn new(token: AccessToken, edition: u64) -> Self {
        let subject = token.subject.as_deref().map(|subject| SubjectDigest::of(&token.issuer, subject));
        Self { token: Arc::new(token), subject, edition }
    }
}

impl Context<'_> {
    /// Step 12: the credential is good, and belongs to the attested app, and as the route says to the instance.
    pub(super) fn credential(
        &self,
        presented: Presented<'_>,
        ath: [u8; 32],
        result: &VerifiedResult,
        clients: &[OAuthClient],
    ) -> Result<Credential, Stop> {
        let claims = &result.claims;
        match presented {
            Presented::AccessToken { scheme, token } => {
                let verified = self.access_token(token, ath)?;
                self.of_instance(&verified, scheme, claims, clients)
            }
            Presented::OpaqueToken { scheme, token } => {
                let verified = self.opaque_token(token, ath, &claims.instance)?;
                self.of_instance(&verified, scheme, claims, clients)
            }
            Presented::ApiKey(characters) => Ok(Credential::ApiKey(self.api_key(characters, claims)?)),
        }
    }

    /// What holds for every access token, whoever vouched for it.
    fn of_instance(
        &self,
        verified: &CachedToken,
        scheme: Scheme,
        result: &ResultClaims,
        clients: &[OAuthClient],
    ) -> Result<Credential, Stop> {
        if let Some(subject) = &verified.subject {
            self.subject_deny_list(subject, result)?;
        }
        self.token_binding(&verified.token, scheme, result, clients)?;
        Ok(Credential::AccessToken(Arc::clone(&verified.token)))
    }

    /// A key is of one app; what binds it to the device is the proof, which covers it.
    fn api_key(&self, characters: &str, result: &ResultClaims) -> Result<Arc<ApiKey>, Reason> {
        let keys = self.protected.api_keys.load();
        let keys = keys.as_deref().ok_or(Reason::ApiKeysUnavailable)?;
        let key = keys.find(characters, self.now).map_err(Reason::ApiKey)?;
        if key.client_id != result.client_id {
            return Err(Reason::ClientMismatch);
        }
        Ok(Arc::clone(key))
    }

    /// The certificate of the connection, where this route takes it for a credential. Malformed, it is refused whatever
    /// the route takes: it comes from a gateway that lets something of the client's through.
    pub(super) fn well_formed_certificate(&self) -> Result<Option<&ClientCertificate>, Reason> {
        let Some(certificate) = self.request.client_certificate else { return Ok(None) };
        if certificate.thumbprint().is_none() {
            return Err(Reason::ClientCertificate(ClientCertificateError::Malformed));
        }
        // Elsewhere it is of the connection alone, and no credential.
        Ok(Some(certificate).filter(|_| self.route.credentials.contains(&CredentialKind::ClientCertificate)))
    }

    /// A certificate is of one app, as an API key is; what binds it to this request is its connection alone.
    pub(super) fn certificate_holder(
        &self,
        certificate: &ClientCertificate,
        result: &ResultClaims,
    ) -> Result<Credential, Reason> {
        let list = self.protected.client_certificates.load();
        let unknown = ClientCertificateError::Unknown;
        let holder = list
            .as_deref()
            .ok_or(unknown)
            .and_then(|list| list.find(certificate, &result.client_id, self.now));
        holder.map(Credential::ClientCertificate).map_err(Reason::ClientCertificate)
    }

    fn access_token(&self, token: &str, ath: [u8; 32]) -> Result<Arc<CachedToken>, Stop> {
        let cached = self.edge.access_tokens.find(&(ath, self.protected.number)).filter(|cached| {
            let server = self.edge.authorization_server(&cached.token.issuer);
            server.is_some_and(|server| server.current().edition == cached.edition)
        });
        let verified = match cached {
            Some(cached) => cached,
            None => self.verify_access_token(token, ath)?,
        };
        if !verified.token.is_current(self.now) {
            return Err(Reason::AccessTokenTime.into());
        }
        Ok(verified)
    }

    fn verify_access_token(&self, token: &str, ath: [u8; 32]) -> Result<Arc<CachedToken>, Stop> {
        let token = UnverifiedAccessToken::decode(token).map_err(Reason::AccessToken)?;
        let accepted = |server: &&Arc<IssuerKeys<Jwks>>| {
            server.issuer == token.issuer() && self.resource.authorization_servers.contains(&server.issuer)
        };
        let server = self.edge.servers.iter().find(accepted);
        let server = server.ok_or(Reason::AccessToken(AccessTokenError::UnknownIssuer))?;
        let needs = || self.needs(server, || KeyOwner::AuthorizationServer(server.issuer.clone()));
        let current = server.current();
        let Some(jwks) = &current.keys else {
            return Err(needs().unwrap_or(Reason::KeysUnavailable.into()));
        };
        let token = match token.verify(&server.issuer, jwks, &self.resource.identifier) {
            Ok(token) => token,
            Err(AccessTokenError::UnknownKey) => {
                let unknown = Reason::AccessToken(AccessTokenError::UnknownKey);
                return Err(needs().unwrap_or(unknown.into()));
            }
            Err(error) => return Err(Reason::AccessToken(error).into()),
        };
        let verified = Arc::new(CachedToken::new(token, current.edition));
        self.edge.access_tokens.insert((ath, self.protected.number), Arc::clone(&verified));
        Ok(verified)
    }

    fn token_binding(
        &self,
        token: &AccessToken,
        scheme: Scheme,
        result: &ResultClaims,
        clients: &[OAuthClient],
    ) -> Result<(), Reason> {
        // RFC 9449 section 7.2: a bound token never passes as a bearer token. The other way round, `DPoP` with an
        // unbound token claims a protection that is not there.
        if token.confirmation.jkt.is_some() != (scheme == Scheme::Dpop) {
            return Err(Reason::SchemeMismatch);
        }
        let is_ours =
            |client: &OAuthClient| client.issuer == token.issuer && client.client_id == token.client_id;
        if !clients.iter().any(is_ours) {
            return Err(Reason::ClientMismatch);
        }
        // Every member of `cnf` must hold, whatever the route's mode.
        if token.confirmation.jkt.is_some_and(|jkt| jkt != result.instance_jkt) {
            return Err(Reason::TokenOfAnotherInstance);
        }
        // RFC 8705 section 3: the token works on connections of its certificate alone.
        let presented = self.request.client_certificate.and_then(ClientCertificate::thumbprint);
        match (token.confirmation.certificate, presented) {
            (None, _) => {}
            (Some(_), None) => return Err(Reason::CertificateMissing),
            (Some(bound), Some(presented)) if bound != presented => return Err(Reason::CertificateMismatch),
            (Some(_), Some(_)) => {}
        }
        match self.route.token_binding {
            TokenBinding::Instance if token.confirmation.jkt.is_none() => Err(Reason::TokenUnbound),
            TokenBinding::Instance | TokenBinding::FirstUse | TokenBinding::DangerClientOnly => Ok(()),
        }
    }
}
