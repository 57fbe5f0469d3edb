//! Lines of files that a stranger may have prepared: of any length, in any encoding, without end.

use core::ops::ControlFlow;

use crate::environment::probe::{Each, MAX_FILE, ProcessProbe};

/// Most bytes of a line that are looked at; the longest path has 4096.
const MAX_LINE: usize = 4608;

/// Hands over the lines of a file's first [`MAX_FILE`] bytes, each up to [`MAX_LINE`] bytes, without their ends.
pub(super) fn each_line(process: &dyn ProcessProbe, path: &str, each: &mut Each<'_>) {
    let mut begun = Vec::new();
    let mut is_broken_off = false;
    let mut left = MAX_FILE;
    process.read(path, MAX_FILE, &mut |piece| {
        let mut rest = piece.get(..left).unwrap_or(piece);
        left = left.saturating_sub(piece.len());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            let step = if begun.is_empty() {
                each(line.get(..MAX_LINE).unwrap_or(line))
            } else {
                keep(&mut begun, line);
                let step = each(&begun);
                begun.clear();
                step
            };
            if step.is_break() {
                is_broken_off = true;
                return step;
            }
        }
        keep(&mut begun, rest);
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if !begun.is_empty() && !is_broken_off {
        let _ = each(&begun);
    }
}

/// Adds as much of `more` as a line may have.
fn keep(begun: &mut Vec<u8>, more: &[u8]) {
    let room = MAX_LINE.saturating_sub(begun.len());
    begun.extend_from_slice(more.get(..room).unwrap_or(more));
}

/// The last part of a path.
pub(super) fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Whether `text` begins with one of `prefixes`, in upper or lower case.
pub(super) fn begins_with(text: &[u8], prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| {
        text.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix.as_bytes()))
    })
}

/// Whether `part` stands anywhere in `text`.
pub(super) fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}
