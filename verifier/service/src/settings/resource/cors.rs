//! Which pages may call a resource from a browser.

use countersign_edge::{Cors, CorsError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::Problems;
use crate::settings::values::{Origin, TimeSpan};

/// Longest time that a browser may remember, in seconds: browsers keep no longer than a day.
const MAX_AGE: u64 = 86_400;

/// Which pages may call a resource from a browser (CORS). Without it, and beside its paths, answers have no CORS fields.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsSettings {
    /// The origins of the pages, as browsers write them: `https://app.example`. They are compared exactly.
    #[schemars(length(min = 1, max = 64))]
    pub origins: Vec<Origin>,
    /// The path prefixes that pages call; each ends on a segment.
    #[serde(default = "everywhere")]
    pub paths: Vec<String>,
    /// How long a browser may remember that it asked; at most a day.
    #[serde(default = "ten_minutes")]
    pub max_age: TimeSpan,
    /// Whether pages may read answers to requests with cookies. Tokens in header fields do not need it.
    #[serde(default)]
    pub credentials: bool,
}

fn everywhere() -> Vec<String> {
    vec!["/".to_owned()]
}

const fn ten_minutes() -> TimeSpan {
    TimeSpan::from_seconds(600)
}

impl CorsSettings {
    /// The list in the edge's own words.
    ///
    /// # Errors
    /// The origin or path that can be none.
    pub fn cors(&self) -> Result<Cors, CorsError> {
        let cors =
            Cors::new(self.origins.iter().map(Origin::as_str))?.with_paths(self.paths.iter().cloned())?;
        let cors = cors.with_max_age(u32::try_from(self.max_age.as_seconds()).unwrap_or(u32::MAX));
        Ok(if self.credentials { cors.with_credentials() } else { cors })
    }

    pub(super) fn check(&self, at: &str, problems: &mut Problems) {
        match self.cors() {
            Ok(_) => {}
            Err(error @ CorsError::Path(_)) => problems.at(&format!("{at}/paths"), error.to_string()),
            Err(error) => problems.at(&format!("{at}/origins"), error.to_string()),
        }
        if self.max_age.as_seconds() > MAX_AGE {
            problems.at(&format!("{at}/max_age"), "browsers remember for a day at most");
        }
    }
}
