//! The appraisal policy as a TOML document.

use std::path::Path;

use countersign_verifier::policy::AppraisalPolicy;

use crate::document::Problems;

/// Reads the policy in `file`.
///
/// # Errors
/// Every problem of the file.
pub fn load(_file: &Path) -> Result<AppraisalPolicy, Problems> {
    Ok(AppraisalPolicy::new("empty"))
}
