//! The shared store in Prometheus' text format.

use std::fmt::Write;

use countersign_edge::EdgeRuntime;

/// Questions by what came of them, and whether there is a connection; nothing without a shared store.
pub(crate) fn store_metrics(edge: &EdgeRuntime) -> String {
    let Some(connected) = edge.is_store_connected() else { return String::new() };
    let mut text =
        "# HELP countersign_store_questions_total Questions to the shared store, by what came of them.\n\
                    # TYPE countersign_store_questions_total counter\n"
            .to_owned();
    for (outcome, count) in edge.store_outcomes() {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "countersign_store_questions_total{{outcome=\"{outcome}\"}} {count}");
    }
    let _ = write!(
        text,
        "# HELP countersign_store_connected Whether the shared store can be used now.\n\
         # TYPE countersign_store_connected gauge\ncountersign_store_connected {}\n",
        u8::from(connected)
    );
    text
}
