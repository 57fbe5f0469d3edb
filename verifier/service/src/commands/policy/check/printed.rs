//! The description of a policy on a terminal.

use super::super::layout::{WIDTH, counted, framed, rule, wrapped};
use super::description::{AppDescription, CohortDescription, Description, Difference};
use super::minimums::{Minimum, span};
use crate::commands::inspect::printable;

pub(super) fn text(description: &Description) -> String {
    let danger = match description.danger.len() {
        0 => "nothing in [danger]".to_owned(),
        count => format!("{} in [danger]", counted(count, "opt-out")),
    };
    let mut parts = vec![format!(
        "Policy {}: {}, {danger}, {}",
        printable(&description.policy),
        counted(description.apps.len(), "app"),
        counted(description.mistakes.len(), "likely mistake"),
    )];
    parts.extend(description.apps.iter().map(app));
    if !description.mistakes.is_empty() {
        let sentences = description.mistakes.iter().map(|mistake| {
            let client_id =
                mistake.client_id.as_ref().map(|client_id| format!("{client_id}: ")).unwrap_or_default();
            wrapped("  ! ", &printable(&format!("{client_id}{}", mistake.sentence)))
        });
        parts.push(section("Likely mistakes", sentences).trim_start().to_owned());
    }
    if !description.danger.is_empty() {
        let opt_outs = description.danger.iter();
        let paragraphs: Vec<_> = opt_outs
            .map(|opt_out| (format!("{} = {}", opt_out.key, opt_out.value), opt_out.consequence.to_owned()))
            .collect();
        parts.push(framed("DANGER: holds for every app of this policy", &paragraphs));
    }
    parts.join("\n\n")
}

fn app(app: &AppDescription) -> String {
    let mode = match (app.mode, app.observed) {
        ("development", true) => "in development, observed: nobody is refused",
        ("development", false) => "in development: registered developers' keys pass at warning",
        (_, true) => "for users, observed: nobody is refused",
        (_, false) => "for users",
    };
    let name = printable(&app.client_id);
    let gap = WIDTH.saturating_sub(name.chars().count() + mode.chars().count()).max(2);
    let mut text = format!("{name}{}{mode}\n{}", " ".repeat(gap), rule());
    text += &section("Who may enrol", identities(app));
    text += &section("Enforced otherwise than by default", differences(app));
    text += &section("Asked for", app.minimums.iter().map(minimum));
    let signals = [("refused", &app.refused_signals), ("warned of", &app.warned_signals)];
    let signals = signals.into_iter().filter(|(_, signals)| !signals.is_empty());
    text += &section(
        "What a device notices about itself",
        signals.map(|(what, signals)| wrapped(&format!("    {what:<10}"), signals)),
    );
    text += &section("Cohorts", app.cohorts.iter().map(cohort));
    text += &section("Results", results(app));
    text
}

/// A title over lines; nothing if there are none.
fn section(title: &str, lines: impl IntoIterator<Item = String>) -> String {
    let lines: Vec<String> = lines.into_iter().collect();
    if lines.is_empty() { String::new() } else { format!("\n  {title}\n{}", lines.join("\n")) }
}

fn identities(app: &AppDescription) -> Vec<String> {
    let mut lines = Vec::new();
    if app.identities.is_empty() {
        lines.push("    nobody but registered developers".to_owned());
    }
    for identity in &app.identities {
        lines.push(format!("    {:<9}{}", identity.platform, printable(&identity.name)));
        for (index, digest) in identity.signing_digests.iter().enumerate() {
            let joint = if index == 0 { "signed by" } else { "or by" };
            lines.push(format!("             {joint:<10}{digest}"));
        }
    }
    lines
}

fn differences(app: &AppDescription) -> Vec<String> {
    let mut lines: Vec<String> =
        app.differences.iter().map(|one| difference("    ", one, "by default")).collect();
    let defaults = &app.defaults;
    let rest = format!(
        "{}as by default: {} required, {} warned, {} ignored",
        if lines.is_empty() { "nothing: everything " } else { "everything else " },
        defaults.required,
        defaults.warned,
        defaults.ignored
    );
    lines.push(format!("    {rest}"));
    lines
}

fn difference(indent: &str, difference: &Difference, instead: &str) -> String {
    let platforms = difference.platforms.join(", ");
    let head = format!(
        "{indent}{:<9}{:<28}{platforms:<17}{instead}: {}",
        difference.enforcement.name(),
        difference.constraint,
        difference.instead_of.name()
    );
    format!("{head}\n{}", wrapped(&format!("{indent}         "), difference.why))
}

fn minimum(minimum: &Minimum) -> String {
    let first = format!("    {:<9}", minimum.enforcement.name());
    wrapped(&first, &format!("{} ({})", minimum.what, minimum.constraint))
}

fn cohort(cohort: &CohortDescription) -> String {
    let head = format!(
        "    {}: {} of 100 instances, always the same ones",
        printable(&cohort.name),
        cohort.percentage
    );
    let changes = cohort.differences.iter().map(|one| difference("      ", one, "others"));
    std::iter::once(head).chain(changes).collect::<Vec<_>>().join("\n")
}

fn results(app: &AppDescription) -> Vec<String> {
    let life = app.result_lifetime.map(|seconds| {
        format!("    live {}, or as long as the service says where that is shorter", span(seconds))
    });
    let labels = (!app.labels.is_empty()).then(|| {
        wrapped("    ", &format!("tell edges which of these constraints failed: {}", app.labels.join(", ")))
    });
    life.into_iter().chain(labels).collect()
}
