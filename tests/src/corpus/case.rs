//! One case: evidence with everything that is needed to judge it, and the judgement.

use base64ct::{Base64, Encoding};
use serde::{Serialize, Serializer};

use super::explanation::{Explanation, explain};

/// What a verifier has to say about a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The evidence is genuine and good enough for the family's policy.
    Accept,
    /// It cannot be verified: it proves nothing. With the reason's stable name.
    Invalid(&'static str),
    /// The same, for the encoding alone: the content is genuine, and a lenient reader would find it.
    Encoding(&'static str),
    /// It is genuine, and the family's policy refuses what it says. With the labels of the broken constraints.
    Contraindicated(&'static [&'static str]),
}

/// A case, in the order in which its members stand in the file.
#[derive(Serialize)]
pub struct Case<I> {
    /// Unique within the family.
    pub id: String,
    verdict: &'static str,
    reasons: Vec<&'static str>,
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    encoding_only: bool,
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'static str>,
    #[serde(flatten)]
    input: I,
}

impl<I> Case<I> {
    pub(super) fn new(
        id: impl Into<String>,
        expected: Expected,
        summary: impl Into<String>,
        input: I,
    ) -> Self {
        let (verdict, reasons) = match expected {
            Expected::Accept => ("accept", Vec::new()),
            Expected::Invalid(reason) | Expected::Encoding(reason) => ("invalid", vec![reason]),
            Expected::Contraindicated(labels) => ("contraindicated", labels.to_vec()),
        };
        let explanation = reasons.first().map(|reason| explain(reason));
        Self {
            id: id.into(),
            verdict,
            reasons,
            encoding_only: matches!(expected, Expected::Encoding(_)),
            summary: sentence(&summary.into()),
            why: explanation.map(|Explanation { why, .. }| why),
            reference: explanation.map(|Explanation { reference, .. }| reference),
            input,
        }
    }
}

/// Bytes that stand in the file as base64 (RFC 4648 section 4).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Base64::encode_string(&self.0))
    }
}

/// A description with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", characters.as_str())
}
