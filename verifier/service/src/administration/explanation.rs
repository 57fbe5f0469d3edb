//! A decision for whoever helps a rejected user: every reason, every constraint, what decided, and what the evidence
//! said; without secrets.

use std::fmt;

use countersign_core::encoding::base64url;
use countersign_verifier::policy::Constraint;
use serde_json::{Value, json};

use super::{Table, when};
use crate::commands::inspect::printable;
use crate::store::Decision;

/// Members of claims that are not shown, wherever they stand: key material beyond thumbprints, and what its holder
/// could present to somebody.
const WITHHELD: [&str; 8] =
    ["receipt", "sec1", "token", "signature", "public_key", "chain", "certificate", "attestation_object"];

/// Of a record that is older than what it quoted, or whose instance was erased.
const FORGOTTEN: &str = "What the evidence said is not kept any more.";

/// What is told of a decision.
#[derive(Clone, Debug)]
pub(crate) struct Explanation<'d> {
    decision: &'d Decision,
    constraints: Vec<ConstraintOutcome>,
    claims: Value,
}

/// How one constraint came out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ConstraintOutcome {
    label: String,
    /// None where it is not kept how it was enforced.
    enforcement: Option<String>,
    satisfied: bool,
    sentence: String,
    decided: bool,
}

impl<'d> Explanation<'d> {
    /// Explains a decision by the appraisal that was recorded with it; of one that was recorded without, the
    /// constraints are those that its reasons name.
    pub(crate) fn of(decision: &'d Decision) -> Self {
        let outcomes = decision.appraisal.get("outcomes").and_then(Value::as_array);
        let mut constraints: Vec<ConstraintOutcome> = match outcomes {
            Some(outcomes) => outcomes.iter().filter_map(ConstraintOutcome::from_json).collect(),
            None => decision.reasons.iter().filter_map(|reason| ConstraintOutcome::named(reason)).collect(),
        };
        // A refusal is decided by what is required. A warning is decided by what warns, and by what would be required
        // if the app were not only observed.
        let refused = decision.verdict == "refused";
        for outcome in &mut constraints {
            let decides = match outcome.enforcement.as_deref() {
                Some(enforcement) => enforcement == "require" || !refused && enforcement == "warn",
                // Which of several did is not known any more.
                None => decision.reasons.len() == 1,
            };
            outcome.decided = decides && !outcome.satisfied;
        }
        Self { decision, constraints, claims: withheld(&decision.claims) }
    }

    /// A member of the recorded appraisal that is a text.
    fn appraised(&self, member: &str) -> Option<&str> {
        self.decision.appraisal.get(member).and_then(Value::as_str)
    }

    /// For machines.
    pub(crate) fn to_json(&self) -> Value {
        let Decision { reference, time, client_id, instance, verdict, reasons, .. } = self.decision;
        let constraints: Vec<_> = self
            .constraints
            .iter()
            .map(|outcome| {
                json!({
                    "constraint": outcome.label,
                    "enforcement": outcome.enforcement,
                    "satisfied": outcome.satisfied,
                    "decided": outcome.decided,
                    "explanation": outcome.sentence,
                })
            })
            .collect();
        json!({
            "reference": reference.as_str(),
            "time": time.as_unix_seconds(),
            "client_id": client_id,
            "instance": instance.map(|id| base64url(id.as_bytes())),
            "verdict": verdict,
            "policy": self.appraised("policy"),
            "tier": self.appraised("tier"),
            "enforced_tier": self.appraised("enforced_tier"),
            "trust_vector": self.decision.appraisal.get("trust_vector"),
            "reasons": reasons,
            "decided_by": self.deciding(),
            "constraints": constraints,
            "claims": self.claims,
        })
    }

    /// What decided: the constraints that did, or the reasons where it was none of those.
    fn deciding(&self) -> Vec<&str> {
        let constraints = self.constraints.iter().filter(|outcome| outcome.decided);
        let labels: Vec<&str> = constraints.map(|outcome| outcome.label.as_str()).collect();
        let other = |reason: &&String| Constraint::from_label(reason).is_none();
        match labels.as_slice() {
            [] => self.decision.reasons.iter().filter(other).map(String::as_str).collect(),
            _ => labels,
        }
    }

    /// Why nothing stands here of what the evidence says.
    fn without_claims(&self) -> &'static str {
        let Decision { verdict, reasons, appraisal, .. } = self.decision;
        let by_policy = reasons.first().is_some_and(|reason| Constraint::from_label(reason).is_some());
        match verdict.as_str() {
            "withdrawn" | "restored" | "lowered" | "raised" => {
                "What the evidence says stands in the records of its enrolment and renewals."
            }
            // The policy was asked, so there was evidence.
            "affirming" | "warning" if appraisal.is_null() => FORGOTTEN,
            "refused" if appraisal.is_null() && by_policy => FORGOTTEN,
            _ => "No evidence was verified.",
        }
    }
}

/// For people.
impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Decision { reference, time, client_id, instance, verdict, reasons, .. } = self.decision;
        let known =
            |text: Option<String>| text.map_or_else(|| "not known".to_owned(), |text| printable(&text));
        writeln!(f, "{reference}: {}\n", summary(verdict))?;
        writeln!(f, "  when      {}", when(*time))?;
        writeln!(f, "  client    {}", known(client_id.clone()))?;
        writeln!(f, "  instance  {}", known(instance.map(|id| id.to_base64url())))?;
        if let Some(policy) = self.appraised("policy") {
            writeln!(f, "  policy    {}", printable(policy))?;
        }
        if let Some(tier) = self.appraised("enforced_tier") {
            writeln!(f, "  observed  the app is only observed; otherwise the tier were {}", printable(tier))?;
        }
        let deciding = self.deciding();
        if !deciding.is_empty() {
            writeln!(f, "  decided   {}", printable(&deciding.join(", ")))?;
        }
        for reason in reasons {
            if let Some(sentence) = sentence_of(reason) {
                writeln!(f, "\n  {reason}: {sentence}")?;
            }
        }
        if !self.constraints.is_empty() {
            let mut table = Table::new(["", "CONSTRAINT", "ENFORCED", "OUTCOME", "WHY"]);
            for outcome in &self.constraints {
                let mark = if outcome.decided { "->" } else { "" };
                let came_out = if outcome.satisfied { "holds" } else { "does not hold" };
                let enforcement = outcome.enforcement.as_deref().unwrap_or_default();
                table.row([mark, &outcome.label, enforcement, came_out, &outcome.sentence]);
            }
            writeln!(f, "\n{table}")?;
        }
        match &self.claims {
            Value::Null => write!(f, "\n{}", self.without_claims()),
            claims => write!(f, "\nWhat the evidence says:\n{}", indented(&format!("{claims:#}"))),
        }
    }
}

impl ConstraintOutcome {
    /// An outcome as an appraisal is written.
    fn from_json(outcome: &Value) -> Option<Self> {
        let text = |name: &str| outcome.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            label: text("constraint")?,
            enforcement: Some(text("enforcement")?),
            satisfied: outcome.get("satisfied")?.as_bool()?,
            sentence: text("explanation").unwrap_or_default(),
            decided: false,
        })
    }

    /// An objection of which the label alone is known.
    fn named(reason: &str) -> Option<Self> {
        let constraint = Constraint::from_label(reason)?;
        Some(Self {
            label: constraint.label().to_owned(),
            enforcement: None,
            satisfied: false,
            sentence: String::new(),
            decided: false,
        })
    }
}

fn summary(verdict: &str) -> &'static str {
    match verdict {
        "affirming" => "accepted, nothing to object to",
        "warning" => "accepted with a warning",
        "withdrawn" => "accepted before, and withdrawn later",
        "restored" => "withdrawn before, and accepted again",
        "lowered" => "its tier fell when policy, roots or status list changed",
        "raised" => "its tier rose when policy, roots or status list changed",
        _ => "refused",
    }
}

/// What support can do about a reason that is no constraint of the policy.
fn sentence_of(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "instance_banned" => {
            "an administrator banned this installation; `countersign instances show` says why."
        }
        "instance_withdrawn" => {
            "policy, roots or status list changed since it enrolled, and its evidence is not good enough any more."
        }
        "revocation_list_too_old" => {
            "nothing speaks against the phone: the service's status list is too old; `countersign trust show` tells its age."
        }
        "challenge_used" | "answer_expired" => "an answer was lost on the way; the app asks again by itself.",
        "challenge_expired" => {
            "the app took too long, or the phone's clock jumped; the app asks again by itself."
        }
        "assertion_counter_not_above" | "evidence_counter_not_greater" => {
            "the phone answered with a counter that was seen before: a restored backup, or a copy of the phone."
        }
        "enrolment_unknown_client" => "the policy has no app of this client_id.",
        "enrolment_unknown_instance" => "the installation was deleted here; the app enrols again by itself.",
        "enrolment_development_instance" => "a development key vouched for it, and the app is for users now.",
        "trust_bundle_expired" => {
            "nothing speaks against the phone: the service's trust bundle has expired; put a newer one in its place."
        }
        "record_unreadable" => {
            "what is stored of it cannot be read; delete the instance, and its device enrols anew."
        }
        "enrolment_unknown_development_key" => "nobody registered the development key that vouches for it.",
        "evidence_unknown_development_key" => {
            "no good development key of this identifier vouches for it now."
        }
        "development_key_revoked" => "the development key that vouches for it was revoked.",
        "development_key_expired" => {
            "the development key that vouches for it has expired; register a new one."
        }
        "development_key_of_other_client" => "the development key was registered for other apps.",
        "development_key_missing" => "a development build renewed without its key; update its SDK.",
        "evidence_nonce_mismatch" | "enrolment_key_not_attested" => {
            "the evidence was made for somebody else's request: it was relayed, or the SDK is broken."
        }
        _ => return None,
    })
}

/// Claims without what is not shown.
fn withheld(claims: &Value) -> Value {
    match claims {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !WITHHELD.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), withheld(value)))
            .collect(),
        Value::Array(values) => values.iter().map(withheld).collect(),
        other => other.clone(),
    }
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {}", printable(line))).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use countersign_core::time::Timestamp;

    use super::*;
    use crate::store::Reference;

    fn decision(verdict: &str, reasons: &[&str], claims: Value) -> Decision {
        Decision {
            reference: Reference::from_random([0; 5]),
            time: Timestamp::from_unix_seconds(1_780_272_000),
            client_id: Some("app".to_owned()),
            instance: None,
            verdict: verdict.to_owned(),
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            claims,
            appraisal: Value::Null,
        }
    }

    fn outcome(label: &str, enforcement: &str, satisfied: bool) -> Value {
        json!({
            "constraint": label, "enforcement": enforcement, "satisfied": satisfied,
            "explanation": format!("what {label} found"),
        })
    }

    #[test]
    fn the_required_constraint_that_does_not_hold_decided() {
        let appraisal = json!({ "policy": "test/1", "outcomes": [
            outcome("app-identity", "require", true),
            outcome("boot-state", "require", false),
            outcome("os-patch", "warn", false),
            outcome("device-locked", "ignore", false),
        ] });
        let mut decision = decision("refused", &["boot-state", "os-patch"], json!({ "kind": "android-key" }));
        decision.appraisal = appraisal;
        let explanation = Explanation::of(&decision);
        assert_eq!(explanation.to_json()["decided_by"], json!(["boot-state"]));
        assert_eq!(explanation.to_json()["constraints"].as_array().map(Vec::len), Some(4));
        let text = explanation.to_string();
        assert!(text.contains("->  boot-state     require   does not hold  what boot-state found"), "{text}");
        assert!(
            text.contains("    app-identity   require   holds          what app-identity found"),
            "{text}"
        );
        assert!(text.starts_with("00000000: refused\n") && text.contains("2026-06-01T00:00:00Z"), "{text}");
    }

    #[test]
    fn of_an_app_that_is_only_observed_it_is_told_what_would_be() {
        let mut decision = decision("warning", &["boot-state"], Value::Null);
        let outcomes = [outcome("boot-state", "require", false), outcome("app-identity", "require", true)];
        decision.appraisal = json!({ "enforced_tier": "contraindicated", "outcomes": outcomes });
        let explanation = Explanation::of(&decision);
        assert_eq!(explanation.to_json()["decided_by"], json!(["boot-state"]));
        assert!(explanation.to_string().contains("otherwise the tier were contraindicated"));
    }

    #[test]
    fn what_is_no_constraint_is_told_in_a_sentence() {
        let decision = decision("refused", &["instance_banned"], Value::Null);
        let explanation = Explanation::of(&decision);
        assert_eq!(explanation.to_json()["decided_by"], json!(["instance_banned"]));
        let text = explanation.to_string();
        assert!(text.contains("an administrator banned this installation"), "{text}");
        assert!(text.contains("No evidence was verified."), "{text}");
    }

    #[test]
    fn what_is_not_kept_any_more_is_not_called_unverified() {
        for forgotten in
            [decision("affirming", &[], Value::Null), decision("refused", &["boot-state"], Value::Null)]
        {
            let text = Explanation::of(&forgotten).to_string();
            assert!(text.contains("not kept any more") && !text.contains("No evidence"), "{text}");
        }
        let withdrawn = decision("refused", &["instance_withdrawn", "boot-state"], Value::Null);
        assert!(Explanation::of(&withdrawn).to_string().contains("No evidence was verified."));
        let judged_again = decision("withdrawn", &["development_key_revoked"], Value::Null);
        let text = Explanation::of(&judged_again).to_string();
        assert!(text.contains("was revoked") && !text.contains("No evidence"), "{text}");
    }

    #[test]
    fn how_a_forgotten_constraint_was_enforced_is_not_made_up() {
        let told = |reasons: &[&str]| {
            let decision = decision("refused", reasons, Value::Null);
            let explanation = Explanation::of(&decision);
            let text = explanation.to_string();
            assert!(!text.contains("require"), "{text}");
            explanation.to_json()
        };
        let one = told(&["boot-state"]);
        assert_eq!(
            (&one["constraints"][0]["enforcement"], &one["decided_by"]),
            (&Value::Null, &json!(["boot-state"]))
        );
        // One of them decided, and nobody knows any more which.
        assert_eq!(told(&["boot-state", "os-patch-level"])["decided_by"], json!([]));
    }

    #[test]
    fn secrets_do_not_pass_wherever_they_stand() {
        let claims = json!({
            "attested_key": { "jkt": "thumbprint", "sec1": "04aa" },
            "claims": { "app-attest": { "receipt": "secret", "list": [{ "token": "secret", "os": "26" }] } },
        });
        let decision = decision("refused", &[], claims);
        let explanation = Explanation::of(&decision);
        let told = [explanation.to_json().to_string(), explanation.to_string()];
        for text in told {
            assert!(!text.contains("secret") && !text.contains("04aa"), "{text}");
            assert!(text.contains("thumbprint") && text.contains("26"), "{text}");
        }
    }

    #[test]
    fn what_a_device_said_does_not_steer_the_terminal() {
        let appraisal = json!({ "outcomes": [{ "constraint": "a\u{1b}[2J", "enforcement": "warn", "satisfied": false }] });
        let mut decision = decision("warning", &[], json!({ "model": "x\u{202e}\u{9b}y" }));
        decision.client_id = Some("app\u{1b}]0;".to_owned());
        decision.appraisal = appraisal;
        let text = Explanation::of(&decision).to_string();
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{text:?}");
    }
}
