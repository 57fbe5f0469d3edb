//! The edge in force, and the resources that it decides for. Another one takes its place as a whole, while requests go
//! on: each is decided by the one that was in force when it came.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use countersign_edge::{Cors, EdgeRuntime};

use super::resources::cors_of;
use crate::settings::ResourceSettings;

/// What the listeners share.
pub(crate) struct EdgeInForce {
    edition: ArcSwap<Edition>,
}

/// An edge with the settings that it was made of.
#[derive(Debug)]
pub(crate) struct Edition {
    pub(crate) runtime: Arc<EdgeRuntime>,
    pub(crate) resources: Vec<ResourceSettings>,
    /// Which pages may call which resource, by its name.
    pub(crate) cors: HashMap<String, Cors>,
}

impl Edition {
    fn new(runtime: Arc<EdgeRuntime>, resources: Vec<ResourceSettings>) -> Self {
        Self { cors: cors_of(&resources), runtime, resources }
    }
}

impl EdgeInForce {
    pub(crate) fn new(runtime: Arc<EdgeRuntime>, resources: Vec<ResourceSettings>) -> Arc<Self> {
        Arc::new(Self { edition: ArcSwap::from_pointee(Edition::new(runtime, resources)) })
    }

    /// The edge and its settings.
    pub(crate) fn edition(&self) -> Arc<Edition> {
        self.edition.load_full()
    }

    /// The edge alone.
    pub(crate) fn runtime(&self) -> Arc<EdgeRuntime> {
        Arc::clone(&self.edition.load().runtime)
    }

    /// Has `runtime` decide from now on.
    pub(crate) fn replace(&self, runtime: Arc<EdgeRuntime>, resources: Vec<ResourceSettings>) {
        self.edition.store(Arc::new(Edition::new(runtime, resources)));
    }
}

impl fmt::Debug for EdgeInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.edition.load().runtime.fmt(f)
    }
}
