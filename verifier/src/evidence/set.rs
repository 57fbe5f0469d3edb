//! The evidence of one device at one time: what vouches for it, and what may stand beside that.

use countersign_core::time::Timestamp;
use serde::Serialize;

use super::{EvidenceKind, Platform, VerifiedEvidence};

/// One device's verified evidence. The primary piece vouches for the instance; others only add to what is known of
/// the same device, which their binding to the same enrolment proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceSet {
    primary: VerifiedEvidence,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accompanying: Vec<VerifiedEvidence>,
}

impl EvidenceSet {
    /// A set of one piece.
    pub const fn new(primary: VerifiedEvidence) -> Self {
        Self { primary, accompanying: Vec::new() }
    }

    /// Adds a piece of another kind. A kind that is in the set already, or another platform's, is not added: an
    /// envelope that carries such is not decoded.
    #[must_use]
    pub fn accompanied_by(mut self, evidence: VerifiedEvidence) -> Self {
        let platform = self.platform() == evidence.platform();
        if platform && self.all().all(|present| present.kind() != evidence.kind()) {
            self.accompanying.push(evidence);
        }
        self
    }

    /// What vouches for the instance.
    pub const fn primary(&self) -> &VerifiedEvidence {
        &self.primary
    }

    /// The primary piece first.
    pub fn all(&self) -> impl Iterator<Item = &VerifiedEvidence> {
        std::iter::once(&self.primary).chain(&self.accompanying)
    }

    /// The piece of a kind.
    pub fn of_kind(&self, kind: EvidenceKind) -> Option<&VerifiedEvidence> {
        self.all().find(|evidence| evidence.kind() == kind)
    }

    /// Whose device it is.
    pub const fn platform(&self) -> Platform {
        self.primary.platform()
    }

    /// When the primary piece was verified.
    pub const fn evidence_time(&self) -> Timestamp {
        self.primary.evidence_time()
    }
}

impl From<VerifiedEvidence> for EvidenceSet {
    fn from(primary: VerifiedEvidence) -> Self {
        Self::new(primary)
    }
}
