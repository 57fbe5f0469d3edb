//! Templates that match the same path without one being more particular: OpenAPI leaves open which one counts.

use super::document::Operation;

/// How two path templates lie to each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// No path has both.
    Apart,
    /// Where both match, it is settled which one goes first.
    Settled,
    /// It is not.
    Open,
}

/// Pairs of operations (indices) of one method that match the same path, and of which nobody knows which one counts.
pub(super) fn pairs(operations: &[Operation]) -> Vec<(usize, usize)> {
    let segments: Vec<Vec<&str>> =
        operations.iter().map(|operation| operation.path.split('/').skip(1).collect()).collect();
    let mut found = Vec::new();
    for (later, (operation, own)) in operations.iter().zip(&segments).enumerate() {
        for (earlier, (other, others)) in operations.iter().zip(&segments).enumerate().take(later) {
            if operation.method == other.method && relation(own, others) == Relation::Open {
                found.push((earlier, later));
            }
        }
    }
    found
}

fn relation(one: &[&str], other: &[&str]) -> Relation {
    if one.len() != other.len() {
        return Relation::Apart;
    }
    let (mut one_leads, mut other_leads) = (false, false);
    for (a, b) in one.iter().zip(other) {
        match (parameter(a), parameter(b)) {
            (None, None) if a == b => {}
            (None, None) => return Relation::Apart,
            (None, Some(around)) if fits(a, around) => one_leads = true,
            (Some(around), None) if fits(b, around) => other_leads = true,
            (None, Some(_)) | (Some(_), None) => return Relation::Apart,
            (Some((before_a, after_a)), Some((before_b, after_b))) => {
                let starts = before_a.starts_with(before_b) || before_b.starts_with(before_a);
                let ends = after_a.ends_with(after_b) || after_b.ends_with(after_a);
                if !(starts && ends) {
                    return Relation::Apart;
                }
                one_leads |= before_a.len() > before_b.len() || after_a.len() > after_b.len();
                other_leads |= before_b.len() > before_a.len() || after_b.len() > after_a.len();
            }
        }
    }
    if one_leads && other_leads { Relation::Open } else { Relation::Settled }
}

/// What stands before and after a segment's parameter.
fn parameter(segment: &str) -> Option<(&str, &str)> {
    let (before, rest) = segment.split_once('{')?;
    Some((before, rest.split_once('}').map_or("", |(_, after)| after)))
}

fn fits(literal: &str, (before, after): (&str, &str)) -> bool {
    literal.len() > before.len() + after.len() && literal.starts_with(before) && literal.ends_with(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(one: &str, other: &str) -> Relation {
        let segments = |path: &'static str| path.split('/').skip(1).collect::<Vec<_>>();
        let (one, other) = (one.to_owned().leak(), other.to_owned().leak());
        assert!(relation(&segments(one), &segments(other)) == relation(&segments(other), &segments(one)));
        relation(&segments(one), &segments(other))
    }

    #[test]
    fn two_templates_of_which_neither_is_more_particular_are_found() {
        for (one, other) in
            [("/{kind}/mine", "/pets/{id}"), ("/{a}.json", "/x{b}"), ("/a/{b}/c/{d}", "/a/b/{c}/d")]
        {
            assert!(of(one, other) == Relation::Open, "{one} {other}");
        }
    }

    #[test]
    fn what_openapi_settles_or_never_meets_is_not_reported() {
        for (one, other) in [("/pets/{id}", "/pets/mine"), ("/{a}/{b}", "/pets/{id}"), ("/{a}", "/{a}.json")]
        {
            assert!(of(one, other) == Relation::Settled, "{one} {other}");
        }
        for (one, other) in [("/a", "/b"), ("/a/{b}", "/a"), ("/{a}/x", "/{a}/y"), ("/{a}.json", "/b.xml")] {
            assert!(of(one, other) == Relation::Apart, "{one} {other}");
        }
    }
}
