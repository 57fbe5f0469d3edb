//! The outcome of a trial on a terminal, and as JSON.

use std::collections::BTreeMap;

use countersign_core::time::Timestamp;
use serde_json::{Value, json};

use super::super::layout::wrapped;
use super::tally::{Change, Changes, Named, Row, Tally, Tiers, Totals};
use crate::administration::when;
use crate::commands::inspect::printable;

/// Columns of a row's name.
const NAME: usize = 30;

/// For a machine; tables hold their first `limit` rows.
pub(super) fn json(tally: &Tally, since: Timestamp, limit: usize) -> String {
    let mut all = json!(tally);
    all["since"] = json!(since.as_unix_seconds());
    all["newly_refused_percent"] = json!(tally.newly_refused_percent());
    let tables = [
        ("app", &tally.tables.app),
        ("platform", &tally.tables.platform),
        ("system", &tally.tables.system),
        ("app_version", &tally.tables.app_version),
    ];
    for (name, table) in tables {
        let rows = sorted(table).into_iter().take(limit);
        let rows: Vec<Value> = rows.map(|(name, row)| json!({ "name": name, "counts": row })).collect();
        all["tables"][name] = json!({ "rows": rows, "left_out": table.len().saturating_sub(limit) });
    }
    format!("{all:#}")
}

/// For people.
pub(super) fn text(tally: &Tally, since: Timestamp, limit: usize) -> String {
    let mut parts = vec![
        wrapped(
            "",
            &printable(&format!(
                "Policy {} instead of {}: {} and {} with evidence since {}",
                tally.new_policy,
                tally.present_policy,
                counted(tally.instances.replayed, "instance"),
                counted(tally.refusals.replayed, "refusal"),
                when(since)
            )),
        ),
        totals(tally),
    ];
    if !tally.not_replayed.is_empty() {
        parts.push(not_replayed(tally, limit));
    }
    if tally.constraints.is_empty() {
        parts.push("Nobody's standing changes.".to_owned());
    } else {
        parts.push(constraints(&tally.constraints, limit));
        let tables = [
            ("By app", &tally.tables.app),
            ("By platform", &tally.tables.platform),
            ("By system", &tally.tables.system),
            ("By version of the app", &tally.tables.app_version),
        ];
        // One app is the same as the total.
        let tables = tables.into_iter().filter(|(title, rows)| *title != "By app" || rows.len() > 1);
        parts.extend(tables.map(|(title, rows)| table(title, rows, limit)));
        parts.extend(named(tally, limit));
    }
    if tally.old_evidence > 0 {
        parts.push(wrapped(
            "",
            &format!(
                "The evidence of {} is older than 90 days: such devices may have been updated since, and are counted \
                 as they were.",
                counted(tally.old_evidence, "instance")
            ),
        ));
    }
    parts.join("\n\n")
}

fn totals(tally: &Tally) -> String {
    let mut lines =
        vec![format!("{:NAME$}{:>14}{:>14}{:>14}{:>14}", "", "affirming", "warning", "refused", "of all")];
    let mut add = |name: &str, tiers: &Tiers, of: &Totals| {
        let Tiers { affirming, warning, refused } = tiers;
        lines.push(format!("{name:NAME$}{affirming:>14}{warning:>14}{refused:>14}{:>14}", of.replayed));
    };
    add("instances, at present", &tally.instances.present, &tally.instances);
    add("instances, under the new", &tally.instances.new, &tally.instances);
    if tally.refusals.replayed > 0 {
        add("refusals, at present", &tally.refusals.present, &tally.refusals);
        add("refusals, under the new", &tally.refusals.new, &tally.refusals);
    }
    let newly = &tally.instances.newly;
    lines.push(String::new());
    lines.push(format!(
        "{:>12}  newly refused, {:.1}% of the instances that pass at present",
        newly.refused,
        tally.newly_refused_percent()
    ));
    lines.push(format!("{:>12}  newly at warning", newly.warned));
    lines.push(format!("{:>12}  newly affirming", newly.affirmed));
    lines.push(format!("{:>12}  newly admitted", newly.admitted));
    if tally.refusals.newly.admitted > 0 {
        lines.push(format!("{:>12}  refusals that would not be any", tally.refusals.newly.admitted));
    }
    lines.join("\n")
}

fn not_replayed(tally: &Tally, limit: usize) -> String {
    let mut lines = vec!["Not replayed".to_owned()];
    for (reason, count) in &tally.not_replayed {
        lines.push(format!("{count:>12}  {reason}"));
        let these = || tally.skipped.iter().filter(|skipped| skipped.reason == *reason);
        let names = these().filter_map(|skipped| skipped.instance.as_ref().or(skipped.reference.as_ref()));
        lines.extend(names.take(limit).map(|name| format!("{:14}  {name}", "")));
        lines.extend(left_out(these().count(), limit).map(|line| format!("{:14}{line}", "")));
    }
    lines.join("\n")
}

fn constraints(constraints: &BTreeMap<&'static str, Changes>, limit: usize) -> String {
    let mut rows: Vec<_> = constraints.iter().collect();
    rows.sort_by_key(|(name, changes)| (std::cmp::Reverse(weight(changes)), **name));
    let mut lines = vec![heading("By constraint (a device can have several)", false)];
    lines.extend(rows.iter().take(limit).map(|(name, changes)| {
        format!("{:NAME$}{:28}{}", clipped(&format!("  {name}")), "", changed(changes))
    }));
    lines.extend(left_out(rows.len(), limit));
    lines.join("\n")
}

fn table(title: &str, rows: &BTreeMap<String, Row>, limit: usize) -> String {
    let sorted = sorted(rows);
    let mut lines = vec![heading(title, true)];
    lines.extend(sorted.iter().take(limit).map(|(name, row)| {
        format!(
            "{:NAME$}{:>8}{:>10}{:>10}{}",
            clipped(&format!("  {}", printable(name))),
            row.replayed,
            row.refused_at_present,
            row.refused_by_new,
            changed(&row.newly)
        )
    }));
    lines.extend(left_out(sorted.len(), limit));
    lines.join("\n")
}

fn heading(title: &str, with_counts: bool) -> String {
    let newly = format!("{:>14}{:>14}{:>14}", "newly refused", "warned", "admitted");
    if with_counts {
        format!("{title:NAME$}{:>8}{:>10}{:>10}{newly}", "cases", "refused", "by new")
    } else {
        format!("{title:58}{newly}")
    }
}

fn changed(changes: &Changes) -> String {
    format!("{:>14}{:>14}{:>14}", changes.refused, changes.warned, changes.admitted)
}

/// The rows in which most changes come first.
fn sorted(rows: &BTreeMap<String, Row>) -> Vec<(&String, &Row)> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_key(|(name, row)| (std::cmp::Reverse((weight(&row.newly), row.replayed)), *name));
    rows
}

const fn weight(changes: &Changes) -> (u64, u64) {
    (changes.refused, changes.warned + changes.affirmed + changes.admitted)
}

fn left_out(rows: usize, limit: usize) -> Option<String> {
    (rows > limit).then(|| format!("  and {} more; --limit shows them", rows - limit))
}

fn named(tally: &Tally, limit: usize) -> Option<String> {
    let refused: Vec<&Named> = tally.named.iter().filter(|named| named.newly == Change::Refused).collect();
    let first = refused.iter().take(limit).map(|named| {
        let id = named.instance.as_ref().or(named.reference.as_ref()).map_or("", String::as_str);
        wrapped(
            &format!("  {id}  "),
            &printable(&format!("{}: {}", named.client_id, named.reasons.join(", "))),
        )
    });
    let lines: Vec<String> = std::iter::once("Would be refused".to_owned())
        .chain(first)
        .chain(left_out(refused.len(), limit))
        .collect();
    (!refused.is_empty()).then(|| lines.join("\n"))
}

fn clipped(name: &str) -> String {
    if name.chars().count() < NAME {
        name.to_owned()
    } else {
        let head: String = name.chars().take(NAME - 2).collect();
        format!("{head}… ")
    }
}

fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
