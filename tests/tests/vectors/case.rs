//! A case of a manifest, and its variants: the same case with some inputs replaced.

use std::fmt;
use std::path::{Path, PathBuf};

use countersign_core::time::Timestamp;
use countersign_verifier::evidence::{EvidenceError, VerifiedEvidence};
use countersign_verifier::policy::{AppraisalPolicy, Circumstances, Enforcement, Tier};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The client identifier under which every case is appraised.
pub(crate) const CLIENT: &str = "vectors";

pub(crate) struct Case {
    folder: PathBuf,
    members: Map<String, Value>,
    /// What a variant changes.
    pub(crate) change: Option<Value>,
}

impl Case {
    /// The cases of the manifest in `folder`.
    pub(crate) fn load(folder: &Path) -> Vec<Self> {
        let manifest = std::fs::read(folder.join("manifest.json")).expect("the folder has a manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("the manifest is JSON");
        let cases = manifest["cases"].as_array().expect("the manifest has cases");
        let case = |members: &Value| Self {
            folder: folder.to_owned(),
            members: members.as_object().expect("a case is an object").clone(),
            change: None,
        };
        cases.iter().map(case).collect()
    }

    /// The variants, each complete.
    pub(crate) fn variants(&self) -> Vec<Self> {
        let variants = self.members.get("variants").and_then(Value::as_array);
        let variant = |variant: &Value| self.with(&variant["change"], &variant["expected"]);
        variants.into_iter().flatten().map(variant).collect()
    }

    /// The case with some members replaced, and the verdict that is then expected.
    pub(crate) fn with(&self, change: &Value, expected: &Value) -> Self {
        let mut members = self.members.clone();
        members.extend(change.as_object().expect("a variant changes something").clone());
        members.insert("expected".to_owned(), expected.clone());
        Self { folder: self.folder.clone(), members, change: Some(change.clone()) }
    }

    /// Whether the case is of the family in the folder of this name.
    pub(crate) fn is_of(&self, family: &str) -> bool {
        self.folder.ends_with(family)
    }

    pub(crate) fn id(&self) -> &str {
        self.text("id")
    }

    /// A member, null if it is missing.
    pub(crate) fn member(&self, name: &str) -> &Value {
        self.members.get(name).unwrap_or(&Value::Null)
    }

    /// A member that is text.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.member(name).as_str().unwrap_or_else(|| panic!("{}: no text {name}", self.members["id"]))
    }

    /// The evidence.
    pub(crate) fn evidence(&self) -> Vec<u8> {
        self.read(self.text("file"))
    }

    /// A file of the collection.
    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// The certificate of a root that only tests trust, if the case wants it.
    pub(crate) fn synthetic_root(&self) -> Option<Vec<u8>> {
        let anchor =
            self.member("trust_anchor").as_str().filter(|anchor| anchor.starts_with("synthetic-"))?;
        Some(self.read(&format!("../trust-anchors/{anchor}.pem")))
    }

    /// The time to judge at; assertions have none, because nothing in them depends on it.
    pub(crate) fn verify_at(&self) -> Timestamp {
        self.member("verify_at").as_str().map_or(Timestamp::EPOCH, rfc3339)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id())?;
        self.change.as_ref().map_or(Ok(()), |change| write!(f, " with {change}"))
    }
}

/// A time in RFC 3339, cut to whole seconds.
pub(crate) fn rfc3339(text: &str) -> Timestamp {
    let seconds = OffsetDateTime::parse(text, &Rfc3339).expect("RFC 3339").unix_timestamp();
    Timestamp::from_unix_seconds(u64::try_from(seconds).expect("after 1970"))
}

/// Bytes from hex.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// What we say to a case.
pub(crate) enum Verdict {
    Accepted,
    /// Genuine but refused, by these constraints.
    Refused(Vec<&'static str>),
    /// Could not be verified.
    Unverified(&'static str),
}

impl Verdict {
    /// The verdict of `policy` on the outcome of a verification.
    pub(crate) fn of(
        evidence: Result<VerifiedEvidence, EvidenceError>,
        policy: &AppraisalPolicy,
        now: Timestamp,
    ) -> Self {
        let evidence = match evidence {
            Ok(evidence) => evidence,
            Err(error) => return Self::Unverified(error.reason()),
        };
        let appraisal = policy.appraise(CLIENT, &evidence.into(), &Circumstances::default(), now);
        match appraisal.tier() {
            Tier::Contraindicated => {
                let decisive = appraisal.objections().filter(|o| o.enforcement == Enforcement::Require);
                Self::Refused(decisive.map(|outcome| outcome.constraint.label()).collect())
            }
            _ => Self::Accepted,
        }
    }

    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted"),
            Self::Refused(labels) => write!(f, "refused for {}", labels.join(", ")),
            Self::Unverified(reason) => write!(f, "unverified: {reason}"),
        }
    }
}
