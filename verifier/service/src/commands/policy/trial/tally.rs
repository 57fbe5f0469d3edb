//! What a trial came to, in numbers.

use std::collections::BTreeMap;

use countersign_verifier::policy::Tier;
use serde::Serialize;

use super::case::{Origin, Skipped};
use super::judgement::Comparison;

/// Most devices that are kept to be named.
const MAX_NAMED: usize = 1000;
/// Most rows of a table; what comes beyond is counted in one. Versions are what devices say, and they may say anything.
const MAX_ROWS: usize = 5000;
/// Longest name of a row, in characters.
const MAX_NAME: usize = 60;
/// The row of what comes beyond.
const OTHERS: &str = "(others)";
/// From this age on, in seconds, evidence tells little of the device as it is today: 90 days.
const OLD_EVIDENCE: u64 = 90 * 86_400;

/// How a device's standing would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    /// It passes, and would be refused.
    Refused,
    /// It is affirming, and would be at warning.
    Warned,
    /// It is at warning, and would be affirming.
    Affirmed,
    /// It is refused, and would pass.
    Admitted,
}

/// Verdicts of one policy, by tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tiers {
    pub(super) affirming: u64,
    pub(super) warning: u64,
    pub(super) refused: u64,
}

/// Changes, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Changes {
    pub(super) refused: u64,
    pub(super) warned: u64,
    pub(super) affirmed: u64,
    pub(super) admitted: u64,
}

/// One kind of case: enrolled instances, or refusals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Totals {
    pub(super) replayed: u64,
    pub(super) present: Tiers,
    pub(super) new: Tiers,
    pub(super) newly: Changes,
}

/// One row of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) replayed: u64,
    pub(super) refused_at_present: u64,
    pub(super) refused_by_new: u64,
    pub(super) newly: Changes,
}

/// A device whose standing would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Named {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    pub(super) client_id: String,
    pub(super) newly: Change,
    pub(super) reasons: Vec<&'static str>,
}

/// What could not be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct NamedSkipped {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    pub(super) reason: &'static str,
}

/// The numbers by which cases are grouped.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tables {
    pub(super) app: BTreeMap<String, Row>,
    pub(super) platform: BTreeMap<String, Row>,
    pub(super) system: BTreeMap<String, Row>,
    pub(super) app_version: BTreeMap<String, Row>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Tally {
    pub(super) present_policy: String,
    pub(super) new_policy: String,
    pub(super) instances: Totals,
    pub(super) refusals: Totals,
    /// What could not be replayed, by reason.
    pub(super) not_replayed: BTreeMap<&'static str, u64>,
    /// Some of what could not be replayed.
    pub(super) skipped: Vec<NamedSkipped>,
    /// Instances whose evidence is older than 90 days.
    pub(super) old_evidence: u64,
    /// What decides the changes; a device can have several.
    pub(super) constraints: BTreeMap<&'static str, Changes>,
    pub(super) tables: Tables,
    /// Some of the devices whose standing would change.
    pub(super) named: Vec<Named>,
    /// How many there was no room for.
    pub(super) not_named: u64,
}

impl Tally {
    pub(super) fn new(present: &str, new: &str) -> Self {
        Self {
            present_policy: present.to_owned(),
            new_policy: new.to_owned(),
            instances: Totals::default(),
            refusals: Totals::default(),
            not_replayed: BTreeMap::new(),
            skipped: Vec::new(),
            old_evidence: 0,
            constraints: BTreeMap::new(),
            tables: Tables::default(),
            named: Vec::new(),
            not_named: 0,
        }
    }

    pub(super) fn skip(&mut self, skipped: &Skipped) {
        *self.not_replayed.entry(skipped.reason).or_default() += 1;
        if self.skipped.len() < MAX_NAMED {
            let (instance, reference) = names(&skipped.origin);
            self.skipped.push(NamedSkipped { instance, reference, reason: skipped.reason });
        }
    }

    pub(super) fn add(&mut self, case: Comparison) {
        let change = change(case.present.tier, case.new.tier);
        let totals = match case.origin {
            Origin::Instance(_) => {
                self.old_evidence += u64::from(case.age > OLD_EVIDENCE);
                &mut self.instances
            }
            Origin::Refusal(_) => &mut self.refusals,
        };
        totals.replayed += 1;
        totals.present.count(case.present.tier);
        totals.new.count(case.new.tier);
        totals.newly.count(change);
        let Tables { app, platform, system, app_version } = &mut self.tables;
        let names = [
            (app, case.client_id.as_str()),
            (platform, case.platform),
            (system, case.system.as_str()),
            (app_version, case.app_version.as_str()),
        ];
        for (table, name) in names {
            row(table, name).count(&case, change);
        }
        if let Some(change) = change {
            // What lets a device in is what kept it out.
            let decided_by = match change {
                Change::Admitted | Change::Affirmed => &case.present,
                Change::Refused | Change::Warned => &case.new,
            };
            for reason in &decided_by.reasons {
                self.constraints.entry(reason).or_default().count(Some(change));
            }
            self.name(&case, change, decided_by.reasons.clone());
        }
    }

    fn name(&mut self, case: &Comparison, newly: Change, reasons: Vec<&'static str>) {
        if self.named.len() >= MAX_NAMED {
            self.not_named += 1;
            return;
        }
        let (instance, reference) = names(&case.origin);
        self.named.push(Named { instance, reference, client_id: case.client_id.clone(), newly, reasons });
    }

    /// How many cases both policies were asked about.
    pub(super) const fn replayed(&self) -> u64 {
        self.instances.replayed + self.refusals.replayed
    }

    /// How many of a hundred instances that pass now would be refused.
    pub(super) fn newly_refused_percent(&self) -> f64 {
        percent(self.instances.newly.refused, self.instances.replayed - self.instances.present.refused)
    }
}

/// The identifier of an instance, or the reference of a refusal.
fn names(origin: &Origin) -> (Option<String>, Option<String>) {
    match origin {
        Origin::Instance(id) => (Some(id.to_base64url()), None),
        Origin::Refusal(reference) => (None, Some(reference.clone())),
    }
}

/// So many of a hundred; none of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of devices are far below 2^52")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

const fn change(present: Tier, new: Tier) -> Option<Change> {
    match (present, new) {
        (Tier::Affirming | Tier::Warning, Tier::Contraindicated) => Some(Change::Refused),
        (Tier::Contraindicated, Tier::Affirming | Tier::Warning) => Some(Change::Admitted),
        (Tier::Affirming, Tier::Warning) => Some(Change::Warned),
        (Tier::Warning, Tier::Affirming) => Some(Change::Affirmed),
        _ => None,
    }
}

fn row<'t>(table: &'t mut BTreeMap<String, Row>, name: &str) -> &'t mut Row {
    let name: String = name.chars().take(MAX_NAME).collect();
    let has_room = table.len() < MAX_ROWS || table.contains_key(&name);
    table.entry(if has_room { name } else { OTHERS.to_owned() }).or_default()
}

impl Row {
    fn count(&mut self, case: &Comparison, change: Option<Change>) {
        self.replayed += 1;
        self.refused_at_present += u64::from(case.present.tier == Tier::Contraindicated);
        self.refused_by_new += u64::from(case.new.tier == Tier::Contraindicated);
        self.newly.count(change);
    }
}

impl Tiers {
    const fn count(&mut self, tier: Tier) {
        match tier {
            Tier::Affirming => self.affirming += 1,
            Tier::Warning => self.warning += 1,
            Tier::Contraindicated => self.refused += 1,
        }
    }
}

impl Changes {
    const fn count(&mut self, change: Option<Change>) {
        match change {
            Some(Change::Refused) => self.refused += 1,
            Some(Change::Warned) => self.warned += 1,
            Some(Change::Affirmed) => self.affirmed += 1,
            Some(Change::Admitted) => self.admitted += 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::token::result::InstanceId;

    use super::super::judgement::Verdict;
    use super::*;

    fn case(number: u32, present: Tier, new: Tier) -> Comparison {
        let verdict = |tier| Verdict { tier, reasons: vec!["os-version"] };
        Comparison {
            origin: Origin::Instance(InstanceId::from_bytes([7; 16])),
            client_id: "shop".to_owned(),
            platform: "Android",
            system: "Android 14".to_owned(),
            app_version: format!("1.{number}"),
            age: 0,
            present: verdict(present),
            new: verdict(new),
        }
    }

    #[test]
    fn every_pair_of_tiers_is_the_change_that_it_is() {
        use Tier::{Affirming, Contraindicated, Warning};
        let mut tally = Tally::new("a", "b");
        for present in [Affirming, Warning, Contraindicated] {
            for new in [Affirming, Warning, Contraindicated] {
                tally.add(case(0, present, new));
            }
        }
        let three = Tiers { affirming: 3, warning: 3, refused: 3 };
        assert_eq!((tally.instances.present, tally.instances.new), (three, three));
        assert_eq!(tally.instances.newly, Changes { refused: 2, warned: 1, affirmed: 1, admitted: 2 });
        assert_eq!(tally.constraints["os-version"], tally.instances.newly);
        assert!((tally.newly_refused_percent() - 100.0 / 3.0).abs() < 0.01);
    }

    #[test]
    fn versions_that_devices_make_up_do_not_fill_the_memory() {
        let mut tally = Tally::new("a", "b");
        for number in 0..6000 {
            tally.add(case(number, Tier::Affirming, Tier::Contraindicated));
        }
        assert_eq!(tally.tables.app_version.len(), MAX_ROWS + 1);
        assert_eq!(tally.tables.app_version[OTHERS].replayed, 1000);
        assert_eq!((tally.named.len(), tally.not_named), (1000, 5000));
    }

    #[test]
    fn nothing_is_no_percent() {
        assert!(Tally::new("a", "b").newly_refused_percent().abs() < f64::EPSILON);
    }
}
