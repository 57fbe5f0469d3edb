//! The service's settings file.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{self, Document, Problems};

/// Everything that the service is told before it starts.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The issuer URL that stands in every result (`iss`), without a path.
    #[schemars(extend("format" = document::formats::WEB_URL))]
    pub issuer: String,
}

impl Document for Settings {}

impl Settings {
    /// Reads the settings in `file`.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn load(file: &Path) -> Result<Self, Problems> {
        document::load(file)
    }
}
