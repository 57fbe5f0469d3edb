//! A settings file of either kind, for commands that are given one and ask about its resources.

use std::path::Path;

use super::{EdgeSettings, LimitSettings, ResourceSettings, Settings, SharedStoreSettings, WebUrl};
use crate::document::{self, Problems};

/// The settings of `countersign serve`, or those of `countersign edge` and `countersign proxy`.
#[derive(Debug)]
pub(crate) enum EitherSettings {
    Service(Box<Settings>),
    Edge(Box<EdgeSettings>),
}

impl EitherSettings {
    /// Reads the file as what it is: only an edge's has `[attestation_service]`.
    ///
    /// # Errors
    /// Every problem of the file.
    pub(crate) fn load(file: &Path) -> Result<Self, Problems> {
        if document::has_member(file, "attestation_service") {
            EdgeSettings::load(file).map(Box::new).map(Self::Edge)
        } else {
            Settings::load(file).map(Box::new).map(Self::Service)
        }
    }

    /// The protected APIs.
    pub(crate) fn resources(&self) -> &[ResourceSettings] {
        match self {
            Self::Service(settings) => &settings.resources,
            Self::Edge(settings) => &settings.resources,
        }
    }

    /// The issuer of results.
    pub(crate) fn issuer(&self) -> &WebUrl {
        match self {
            Self::Service(settings) => &settings.issuer,
            Self::Edge(settings) => &settings.attestation_service.issuer,
        }
    }

    /// What bounds the edge, and the store that it shares.
    pub(crate) fn bounds(&self) -> (&LimitSettings, Option<&SharedStoreSettings>) {
        match self {
            Self::Service(settings) => (&settings.limits, settings.shared_store.as_ref()),
            Self::Edge(settings) => (&settings.limits, settings.shared_store.as_ref()),
        }
    }
}
