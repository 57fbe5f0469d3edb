//! How the policy commands lay text out for a terminal of 100 columns.

/// Columns of a line.
pub(super) const WIDTH: usize = 100;

/// A line over the whole width.
pub(super) fn rule() -> String {
    "─".repeat(WIDTH)
}

/// Text broken at spaces. The first line begins with `first`, the others with as many spaces. A word that is longer
/// than a line stands alone.
pub(super) fn wrapped(first: &str, text: &str) -> String {
    wrapped_within(WIDTH, first, text).join("\n")
}

/// A frame with a title around paragraphs, each broken so that it fits.
pub(super) fn framed(title: &str, paragraphs: &[(String, String)]) -> String {
    let inner = WIDTH - 4;
    let mut text = format!("┌─ {title} {}┐\n", "─".repeat(WIDTH.saturating_sub(title.chars().count() + 5)));
    for (head, body) in paragraphs {
        for line in wrapped_within(inner, "", head).into_iter().chain(wrapped_within(inner, "  ", body)) {
            let fill = inner.saturating_sub(line.chars().count());
            text += &format!("│ {line}{} │\n", " ".repeat(fill));
        }
    }
    text + &format!("└{}┘", "─".repeat(WIDTH - 2))
}

/// A count with its noun, in the plural where that is due.
pub(super) fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

fn wrapped_within(width: usize, first: &str, text: &str) -> Vec<String> {
    let indent = " ".repeat(first.chars().count());
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut is_fresh = true;
    for word in text.split_whitespace() {
        if !is_fresh && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            is_fresh = true;
        }
        if !is_fresh {
            line.push(' ');
        }
        line.push_str(word);
        is_fresh = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_longer_than_the_terminal_and_no_word_is_lost() {
        let text = "a constraint that does not hold ".repeat(20);
        let lines = wrapped("  first  ", &text);
        assert!(lines.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(
            lines.lines().skip(1).all(|line| line.starts_with("         a") || line.starts_with("         "))
        );
        assert_eq!(lines.split_whitespace().skip(1).collect::<Vec<_>>().join(" "), text.trim_end());
    }

    #[test]
    fn every_line_of_a_frame_is_as_wide_as_the_terminal() {
        let frame =
            framed("title", &[("head".to_owned(), "word ".repeat(60)), ("é".to_owned(), String::new())]);
        assert!(frame.lines().all(|line| line.chars().count() == WIDTH), "{frame}");
    }
}
