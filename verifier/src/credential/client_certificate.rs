//! Client certificates: what is known of the one that a TLS connection brought, and the allow-list of those that are a
//! credential of their own, for systems that call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::time::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use subtle::ConstantTimeEq;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::certificate_file::{CertificateFileError, certificates};
use crate::certificate_summary::CertificateSummary;
use crate::crypto::sha256;

/// Longest certificate that is read, in bytes (DER).
pub const MAX_CERTIFICATE: usize = 16 * 1024;
/// Most entries of an allow-list.
pub const MAX_HOLDERS: usize = 1024;

/// id-kp-clientAuth (RFC 5280 section 4.2.1.12), the content of its OBJECT IDENTIFIER.
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// The certificate whose key the client of a TLS connection proved to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate(Known);

#[derive(Clone, PartialEq, Eq)]
enum Known {
    Thumbprint([u8; 32]),
    Whole { thumbprint: [u8; 32], der: Box<[u8]> },
    Malformed,
}

impl ClientCertificate {
    /// A certificate of which only the SHA-256 of its DER is known. It cannot pass by its name.
    pub const fn from_thumbprint(thumbprint: [u8; 32]) -> Self {
        Self(Known::Thumbprint(thumbprint))
    }

    /// A certificate by its DER; malformed if it is empty or longer than [`MAX_CERTIFICATE`]. Whether the bytes are a
    /// certificate shows when a chain is verified.
    pub fn from_der(der: &[u8]) -> Self {
        if der.is_empty() || der.len() > MAX_CERTIFICATE {
            return Self::malformed();
        }
        Self(Known::Whole { thumbprint: sha256(der), der: der.into() })
    }

    /// Something that should have been one certificate and is not: every request with it is refused.
    pub const fn malformed() -> Self {
        Self(Known::Malformed)
    }

    /// SHA-256 of the DER; `None` if it is malformed.
    pub const fn thumbprint(&self) -> Option<[u8; 32]> {
        match self.0 {
            Known::Thumbprint(thumbprint) | Known::Whole { thumbprint, .. } => Some(thumbprint),
            Known::Malformed => None,
        }
    }

    /// The DER, where it is known.
    pub const fn der(&self) -> Option<&[u8]> {
        match &self.0 {
            Known::Whole { der, .. } => Some(der),
            Known::Thumbprint(_) | Known::Malformed => None,
        }
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thumbprint(_) => "Thumbprint(…)",
            Self::Whole { .. } => "Whole(…)",
            Self::Malformed => "Malformed",
        })
    }
}

/// By what an allow-list knows a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateName {
    /// SHA-256 of the DER: one certificate, whoever issued it.
    Thumbprint([u8; 32]),
    /// A dNSName of subjectAltName, whole, in any case; no wildcards.
    Dns(String),
    /// A uniformResourceIdentifier of subjectAltName, byte for byte.
    Uri(String),
}

impl fmt::Display for CertificateName {
    /// As the upstream is told: the kind, a colon, and the name; a thumbprint in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thumbprint(thumbprint) => {
                f.write_str("sha256:")?;
                thumbprint.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Uri(name) => write!(f, "uri:{name}"),
        }
    }
}

/// One entry of an allow-list: whose certificate it is, and what it may be used for.
#[derive(Clone, Debug)]
pub struct CertificateHolder {
    /// The attested app that may use it: `sub` of results.
    pub client_id: String,
    /// By what the certificate is known.
    pub name: CertificateName,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// The last second at which the entry counts, whatever the certificate's own dates are.
    pub not_after: Option<Timestamp>,
    /// Who must have issued a certificate that is known by its name; a thumbprint needs nobody.
    authorities: CertificateAuthorities,
}

/// The authorities whose certificates pass by name: each of them issues client certificates itself.
#[derive(Clone, Debug, Default)]
pub struct CertificateAuthorities(Vec<TrustAnchor<'static>>);

/// Why a file does not hold authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateAuthoritiesError {
    /// It does not hold certificates.
    File(CertificateFileError),
    /// A certificate cannot be read, or is not marked as an authority's.
    NotAnAuthority {
        /// Which certificate of the file, from 0.
        index: usize,
    },
}

/// Why a client certificate is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificateError {
    /// What the gateway told is not one certificate.
    Malformed,
    /// It is not on the resource's list.
    Unknown,
    /// It is another app's.
    AnotherApp,
    /// Its entry of the list has ended.
    Ended,
    /// Only its thumbprint is known, and the list has none such: names stand in the certificate alone.
    Bare,
    /// It bears a name of the list, and no authority of the entry's vouches for it, or not for client authentication.
    Untrusted,
    /// It bears a name of the list, and has expired or is not yet valid.
    Expired,
}

impl ClientCertificateError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "client_certificate_malformed",
            Self::Unknown => "client_certificate_unknown",
            Self::AnotherApp => "client_certificate_another_app",
            Self::Ended => "client_certificate_ended",
            Self::Bare => "client_certificate_bare",
            Self::Untrusted => "client_certificate_untrusted",
            Self::Expired => "client_certificate_expired",
        }
    }
}

/// The client certificates that are a credential at one resource. By default none is.
#[derive(Clone, Debug, Default)]
pub struct ClientCertificates(Vec<Arc<CertificateHolder>>);

/// An entry cannot be added: the list has [`MAX_HOLDERS`] already, or the name is empty or has a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRefused;

impl ClientCertificates {
    /// Adds the certificate of this SHA-256 for the app `client_id`, until `not_after`: nobody else says when it ends.
    ///
    /// # Errors
    /// [`EntryRefused`].
    pub fn allow_thumbprint(
        &mut self,
        client_id: impl Into<String>,
        thumbprint: [u8; 32],
        scopes: Vec<String>,
        not_after: Timestamp,
    ) -> Result<(), EntryRefused> {
        self.push(CertificateHolder {
            client_id: client_id.into(),
            name: CertificateName::Thumbprint(thumbprint),
            scopes,
            not_after: Some(not_after),
            authorities: CertificateAuthorities::default(),
        })
    }

    /// Adds whatever certificate bears `name`, is good at the time, for client authentication, and issued by one of
    /// `authorities`, for the app `client_id`.
    ///
    /// # Errors
    /// [`EntryRefused`]; also for a [`CertificateName::Thumbprint`].
    pub fn allow_name(
        &mut self,
        client_id: impl Into<String>,
        name: CertificateName,
        authorities: CertificateAuthorities,
        scopes: Vec<String>,
        not_after: Option<Timestamp>,
    ) -> Result<(), EntryRefused> {
        match &name {
            CertificateName::Dns(name) if !name.is_empty() && !name.contains('*') => {}
            CertificateName::Uri(name) if !name.is_empty() => {}
            _ => return Err(EntryRefused),
        }
        self.push(CertificateHolder { client_id: client_id.into(), name, scopes, not_after, authorities })
    }

    fn push(&mut self, holder: CertificateHolder) -> Result<(), EntryRefused> {
        if self.0.len() >= MAX_HOLDERS {
            return Err(EntryRefused);
        }
        self.0.push(Arc::new(holder));
        Ok(())
    }

    /// The entry of the app `client_id` that `certificate` meets at `now`. Thumbprints first, each compared in constant
    /// time; a name counts only after the chain of the certificate has been verified here, whatever the gateway did.
    pub(crate) fn find(
        &self,
        certificate: &ClientCertificate,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Arc<CertificateHolder>, ClientCertificateError> {
        let thumbprint = certificate.thumbprint().ok_or(ClientCertificateError::Malformed)?;
        let is_listed = |holder: &&Arc<CertificateHolder>| match &holder.name {
            CertificateName::Thumbprint(listed) => bool::from(listed.ct_eq(&thumbprint)),
            CertificateName::Dns(_) | CertificateName::Uri(_) => false,
        };
        let listed: Vec<_> = self.0.iter().filter(is_listed).collect();
        if !listed.is_empty() {
            return of_app(listed, client_id, now);
        }
        let by_name =
            || self.0.iter().filter(|holder| !matches!(holder.name, CertificateName::Thumbprint(_)));
        if by_name().next().is_none() {
            return Err(ClientCertificateError::Unknown);
        }
        let der = CertificateDer::from(certificate.der().ok_or(ClientCertificateError::Bare)?);
        let decoded = EndEntityCert::try_from(&der).map_err(|_| ClientCertificateError::Untrusted)?;
        let named: Vec<_> = by_name().filter(|holder| holder.name.stands_in(&decoded)).collect();
        if named.is_empty() {
            return Err(ClientCertificateError::Unknown);
        }
        let holder = of_app(named, client_id, now)?;
        holder.authorities.verify(&decoded, now)?;
        Ok(holder)
    }
}

/// The entry of this app that has not ended, of those that name the certificate.
fn of_app(
    listed: Vec<&Arc<CertificateHolder>>,
    client_id: &str,
    now: Timestamp,
) -> Result<Arc<CertificateHolder>, ClientCertificateError> {
    let mut error = ClientCertificateError::AnotherApp;
    for holder in listed.into_iter().filter(|holder| holder.client_id == client_id) {
        if holder.not_after.is_none_or(|last| now <= last) {
            return Ok(Arc::clone(holder));
        }
        error = ClientCertificateError::Ended;
    }
    Err(error)
}

impl CertificateName {
    fn stands_in(&self, certificate: &EndEntityCert<'_>) -> bool {
        match self {
            Self::Thumbprint(_) => false,
            Self::Dns(name) => certificate.valid_dns_names().any(|known| known.eq_ignore_ascii_case(name)),
            Self::Uri(name) => certificate.valid_uri_names().any(|known| known == name),
        }
    }
}

impl CertificateAuthorities {
    /// The authorities of a file: PEM blocks, or DER one after the other. No intermediate certificates are looked for:
    /// the authority that signs client certificates itself must be among them.
    ///
    /// # Errors
    /// [`CertificateAuthoritiesError`].
    pub fn from_file(file: &[u8]) -> Result<Self, CertificateAuthoritiesError> {
        let read = certificates(file).map_err(CertificateAuthoritiesError::File)?;
        let anchor = |(index, der): (usize, &Vec<u8>)| {
            let is_authority = CertificateSummary::of(der).is_ok_and(|summary| summary.is_authority);
            let der = CertificateDer::from(der.as_slice());
            let anchor = anchor_from_trusted_cert(&der).ok().filter(|_| is_authority);
            let anchor = anchor.ok_or(CertificateAuthoritiesError::NotAnAuthority { index })?;
            Ok(anchor.to_owned())
        };
        read.iter().enumerate().map(anchor).collect::<Result<_, _>>().map(Self)
    }

    /// RFC 5280 section 6, with dates at `now`, name constraints, and client authentication named in extendedKeyUsage.
    fn verify(&self, certificate: &EndEntityCert<'_>, now: Timestamp) -> Result<(), ClientCertificateError> {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now.as_unix_seconds()));
        let usage = KeyUsage::required(CLIENT_AUTH);
        let path = certificate.verify_for_usage(ALL_VERIFICATION_ALGS, &self.0, &[], time, usage, None, None);
        path.map(|_| ()).map_err(|error| match error {
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                ClientCertificateError::Expired
            }
            _ => ClientCertificateError::Untrusted,
        })
    }
}
