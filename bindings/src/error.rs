//! Errors as Kotlin and Swift see them: few, typed, with values instead of sentences, safe to show and to log.

use core::fmt;

use countersign_core::attester::{AttesterError, ConfigError, EvidenceFailure, KeyFailure, ProveError};

/// What an app can be told. `reason` values are stable names; `reference` is for support.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Error)]
#[non_exhaustive]
pub enum CountersignError {
    /// The configuration is wrong: a mistake of the developer.
    Configuration {
        /// Which rule it breaks.
        reason: String,
    },
    /// The request goes to a host that was not configured: it gets no token.
    UnknownOrigin,
    /// The request's method or URI has no single reading.
    InvalidRequest {
        /// Which rule it breaks.
        reason: String,
    },
    /// There is no result, or it has expired: call `refresh`.
    NoResult,
    /// The service cannot be reached.
    Unreachable,
    /// The service cannot serve now.
    Unavailable {
        /// For support.
        reference: Option<String>,
    },
    /// The service refuses this installation.
    Refused {
        /// For support.
        reference: Option<String>,
    },
    /// Only another version of the app can pass.
    UpdateRequired {
        /// For support.
        reference: Option<String>,
    },
    /// The service's answer is not authentic, or not for this device.
    UntrustedAnswer {
        /// Which check it failed.
        reason: String,
    },
    /// The key store or the platform's evidence service fails for now.
    PlatformUnavailable,
    /// The phone is out of attestation keys, and gets others from Google when it is online.
    NoAttestationKeys,
    /// The device cannot make the keys or the evidence.
    DeviceUnsupported,
    /// The library and the face that calls it are of different versions: a mistake of the build.
    LibraryMismatch {
        /// Version of the library.
        library: String,
        /// Version that the face was made for.
        face: String,
    },
}

impl fmt::Display for CountersignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration { reason }
            | Self::InvalidRequest { reason }
            | Self::UntrustedAnswer { reason } => f.write_str(reason),
            Self::UnknownOrigin => f.write_str("unknown_origin"),
            Self::NoResult => f.write_str("no_result"),
            Self::Unreachable => f.write_str("service_unreachable"),
            Self::Unavailable { reference } => with_reference(f, "service_unavailable", reference),
            Self::Refused { reference } => with_reference(f, "refused", reference),
            Self::UpdateRequired { reference } => with_reference(f, "update_required", reference),
            Self::PlatformUnavailable => f.write_str("platform_unavailable"),
            Self::NoAttestationKeys => f.write_str("no_attestation_keys"),
            Self::DeviceUnsupported => f.write_str("device_unsupported"),
            Self::LibraryMismatch { library, face } => {
                write!(f, "library_mismatch (library {library}, face {face})")
            }
        }
    }
}

impl std::error::Error for CountersignError {}

impl From<ConfigError> for CountersignError {
    fn from(error: ConfigError) -> Self {
        Self::Configuration { reason: error.reason().to_owned() }
    }
}

impl From<ProveError> for CountersignError {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::NoResult => Self::NoResult,
            ProveError::UnknownOrigin => Self::UnknownOrigin,
            other => Self::InvalidRequest { reason: other.reason().to_owned() },
        }
    }
}

impl From<AttesterError> for CountersignError {
    fn from(error: AttesterError) -> Self {
        let reference = error.reference().map(ToString::to_string);
        match error {
            AttesterError::Unreachable => Self::Unreachable,
            AttesterError::Unavailable { .. } => Self::Unavailable { reference },
            AttesterError::Refused { .. } => Self::Refused { reference },
            AttesterError::UpdateRequired { .. } => Self::UpdateRequired { reference },
            AttesterError::UntrustedAnswer(_) => Self::UntrustedAnswer { reason: error.reason().to_owned() },
            AttesterError::NoAttestationKeys => Self::NoAttestationKeys,
            AttesterError::Unsupported => Self::DeviceUnsupported,
            _ => Self::PlatformUnavailable,
        }
    }
}

fn with_reference(f: &mut fmt::Formatter<'_>, name: &str, reference: &Option<String>) -> fmt::Result {
    match reference {
        Some(reference) => write!(f, "{name} ({reference})"),
        None => f.write_str(name),
    }
}

/// An error of a port. An exception that the host did not declare becomes the variant named last.
macro_rules! port_error {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ } else $unexpected:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Error)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }

        impl std::error::Error for $name {}

        impl From<uniffi::UnexpectedUniFFICallbackError> for $name {
            fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
                Self::$unexpected
            }
        }
    };
}

port_error!(
    /// Why the key store failed.
    KeyStoreError {
        /// The key is gone or invalidated for good.
        Lost,
        /// Not now: device locked, key store not answering.
        Unavailable,
        /// Android: the phone has used up its attestation keys, and gets others from Google when it is online.
        NoAttestationKeys,
        /// Never on this device.
        Unsupported
    } else Unavailable
);

port_error!(
    /// Why evidence could not be gathered.
    EvidenceError {
        /// App Attest `serverUnavailable`: to be repeated with the same key and hash.
        ServerUnavailable,
        /// The attesting key is gone (App Attest `invalidKey`).
        KeyLost,
        /// Never on this device.
        Unsupported,
        /// Anything else.
        Other
    } else Other
);

port_error!(
    /// No answer came: no connection, a failed handshake, a timeout, an answer that is too long.
    TransportError {
        /// No answer.
        Unreached
    } else Unreached
);

port_error!(
    /// The state could not be kept. The device goes on; losing the state costs an enrolment.
    StorageError {
        /// Not written, or not readable.
        Failed
    } else Failed
);

impl From<KeyStoreError> for KeyFailure {
    fn from(error: KeyStoreError) -> Self {
        match error {
            KeyStoreError::Lost => Self::Lost,
            KeyStoreError::Unavailable => Self::Unavailable,
            KeyStoreError::NoAttestationKeys => Self::NoAttestationKeys,
            KeyStoreError::Unsupported => Self::Unsupported,
        }
    }
}

impl From<EvidenceError> for EvidenceFailure {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::ServerUnavailable => Self::ServerUnavailable,
            EvidenceError::KeyLost => Self::KeyLost,
            EvidenceError::Unsupported => Self::Unsupported,
            EvidenceError::Other => Self::Other,
        }
    }
}
