//! The route table against the plainest matcher that can be written down: every route is looked at, nothing is ordered
//! beforehand, nothing is fast.

use super::route::{PathCase, PathMatch, Route};
use super::route_table::{Found, RouteTable};

/// How particular a path is, segment by segment: `(1, 0)` is written out, `(0, n)` a parameter beside `n` bytes.
type Rank = (Vec<(u8, usize)>, std::cmp::Reverse<u8>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    No,
    Tolerant,
    Exact,
}

fn text_fit(own: &str, seen: &str, case: PathCase) -> Fit {
    if own == seen {
        Fit::Exact
    } else if !own.eq_ignore_ascii_case(seen) {
        Fit::No
    } else {
        match case {
            PathCase::Sensitive => Fit::No,
            PathCase::Insensitive => Fit::Exact,
            PathCase::Unknown => Fit::Tolerant,
        }
    }
}

fn segment_fit(own: &str, is_template: bool, seen: &str, case: PathCase) -> Fit {
    let seen = seen.replace("%41", "A").replace("%61", "a");
    let parts = own.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?.1)));
    let Some((before, after)) = parts.filter(|_| is_template) else { return text_fit(own, &seen, case) };
    let Some(length) = seen.len().checked_sub(before.len() + after.len()) else { return Fit::No };
    let (start, rest) = seen.split_at(before.len());
    let (value, end) = rest.split_at(length);
    let empty = if value.is_empty() { Fit::Tolerant } else { Fit::Exact };
    text_fit(before, start, case).min(text_fit(after, end, case)).min(empty)
}

fn fit(route: &Route, path: &str, case: PathCase) -> Fit {
    let is_template = route.path_match == PathMatch::Template;
    let own: Vec<&str> = route.path.split('/').skip(1).collect();
    let seen: Vec<&str> = path.split('/').skip(1).collect();
    let all = |own: &[&str]| {
        let pairs = own.iter().zip(&seen);
        pairs.map(|(own, seen)| segment_fit(own, is_template, seen, case)).min().unwrap_or(Fit::Exact)
    };
    if is_template {
        if own.len() == seen.len() {
            all(&own)
        } else if own.len() + 1 == seen.len() && seen.last() == Some(&"") {
            all(&own).min(Fit::Tolerant)
        } else {
            Fit::No
        }
    } else if let Some(above) = route.path.strip_suffix('/') {
        let own: Vec<&str> = above.split('/').skip(1).collect();
        if own.len() < seen.len() { all(&own) } else { Fit::No }
    } else {
        if own.len() <= seen.len() { all(&own) } else { Fit::No }
    }
}

/// Whether the path would be below the prefix if a slash stood at its end.
fn lacks_slash(route: &Route, path: &str, case: PathCase) -> bool {
    let is_prefix = route.path_match == PathMatch::Prefix && route.path.ends_with('/') && route.path != "/";
    let as_many = route.path.matches('/').count() == path.matches('/').count() + 1;
    is_prefix && as_many && fit(route, &format!("{path}/"), case) > Fit::No
}

fn rank(route: &Route) -> Rank {
    let is_template = route.path_match == PathMatch::Template;
    let path = if is_template { &route.path } else { route.path.trim_end_matches('/') };
    let extent = match (is_template, route.path.ends_with('/')) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    };
    let kind = |segment: &str| match segment.split_once('{') {
        Some((before, rest)) if is_template => {
            (0, before.len() + rest.split_once('}').map_or(0, |(_, after)| after.len()))
        }
        _ => (1, 0),
    };
    (path.split('/').skip(1).map(kind).collect(), std::cmp::Reverse(extent))
}

fn speaks_of(route: &Route, method: &str) -> bool {
    let names = |wanted: &str| route.methods.iter().any(|name| name.eq_ignore_ascii_case(wanted));
    route.methods.is_empty() || names(method) || (method.eq_ignore_ascii_case("HEAD") && names("GET"))
}

fn reference(routes: &[Route], case: PathCase, method: &str, path: &str) -> Found {
    let spoken = || routes.iter().enumerate().filter(|(_, route)| speaks_of(route, method));
    let met = || spoken().filter(|(_, route)| fit(route, path, case) > Fit::No);
    let Some(best) = met().map(|(_, route)| rank(route)).max() else { return Found::None };
    let exact = met().filter(|(_, route)| rank(route) == best && fit(route, path, case) == Fit::Exact);
    // A route that names HEAD before one that does not, one that names methods before one for all, else the first.
    let general =
        |route: &Route| (!route.methods.iter().any(|name| name == "HEAD"), route.methods.is_empty());
    let first = exact.min_by_key(|(index, route)| (general(route), *index));
    let Some((index, _)) = first else { return Found::Ambiguous };
    // `/admin` where `/admin/` is a more particular prefix, and nothing is said of `/admin` itself.
    let hidden = spoken()
        .any(|(_, route)| lacks_slash(route, path, case) && rank(route) > best && rank(route).0 != best.0);
    if hidden { Found::Ambiguous } else { Found::Route(index) }
}

#[test]
fn the_table_answers_as_the_plainest_matcher_does() {
    const SEGMENTS: [&str; 7] = ["a", "b", "A", "{x}", "{x}.a", "a{x}", "a.a"];
    const SEEN: [&str; 9] = ["a", "b", "A", "%61", "%41", "a.a", "ab", "", ".a"];
    const METHODS: [&[&str]; 5] = [&[], &["GET"], &["POST"], &["HEAD"], &["GET", "HEAD"]];
    let mut state = 11u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let (mut routed, mut ambiguous, mut nothing) = (0, 0, 0);
    for _ in 0..4000 {
        let routes: Vec<Route> = (0..1 + below(6))
            .map(|_| {
                let is_template = below(2) == 0;
                let mut path: String = (0..below(4)).map(|_| format!("/{}", SEGMENTS[below(7)])).collect();
                if !is_template {
                    path = path.replace(['{', '}'], "");
                }
                if path.is_empty() || below(5) == 0 {
                    path.push('/');
                }
                let path_match = if is_template { PathMatch::Template } else { PathMatch::Prefix };
                let methods = METHODS[below(5)].iter().map(|method| (*method).to_owned()).collect();
                Route { path_match, methods, ..Route::new(path) }
            })
            .collect();
        let case = [PathCase::Unknown, PathCase::Sensitive, PathCase::Insensitive][below(3)];
        let table = RouteTable::new(&routes, case);
        for _ in 0..20 {
            let segments = 1 + below(4);
            // Empty segments are refused before routes are looked at, but for the last one.
            let segment = |index: usize, choice: usize| match SEEN[choice] {
                "" if index + 1 < segments => "a",
                segment => segment,
            };
            let path: String = (0..segments).map(|index| format!("/{}", segment(index, below(9)))).collect();
            let method = ["GET", "get", "POST", "HEAD", "DELETE"][below(5)];
            let found = table.find(method, &path);
            let told: Vec<_> =
                routes.iter().map(|route| (&route.path, route.path_match, &route.methods)).collect();
            assert_eq!(found, reference(&routes, case, method, &path), "{method} {path} {case:?} {told:?}");
            match found {
                Found::Route(_) => routed += 1,
                Found::Ambiguous => ambiguous += 1,
                Found::None => nothing += 1,
            }
        }
    }
    assert!(routed > 1000 && ambiguous > 1000 && nothing > 1000, "{routed} {ambiguous} {nothing}");
}
