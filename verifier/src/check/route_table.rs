//! Which route a request takes: prefixes and path templates, the most particular first, as the upstream will see the
//! path.
//!
//! Routes are ordered once, so that the first that matches decides. While looking for it, paths are compared as the
//! most tolerant upstream would: case ignored, a slash at the end ignored, empty parameters taken. A path that reaches
//! the deciding route only in this way is [`Found::Ambiguous`]: this upstream may serve it under that route's operation
//! or under a laxer one.

use std::cmp::Ordering;

use countersign_core::request::decoded;

use super::route::{PathCase, PathMatch, Route};

/// So many segments of a path are looked up once; routes have seldom more.
const NEAR: usize = 12;

/// The routes of one resource, in the order in which they are asked.
pub(super) struct RouteTable {
    entries: Vec<Entry>,
    /// Whether any of them has a segment to compare.
    has_segments: bool,
    case: PathCase,
}

/// What [`RouteTable::find`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The index of the route that decides.
    Route(usize),
    /// No route speaks of this method and path.
    None,
    /// The route that decides is met by a tolerant upstream only.
    Ambiguous,
}

struct Entry {
    route: usize,
    methods: Vec<String>,
    segments: Vec<Segment>,
    extent: Extent,
    /// Entries of the same rank match the same paths, or none that both match.
    rank: usize,
}

/// What may follow the segments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    /// Nothing: a template.
    Exact,
    /// A slash, and anything after it: the prefix `/v1/`, and `/`.
    Below,
    /// Nothing, or a slash and anything after it: the prefix `/v1`.
    AtOrBelow,
}

/// One segment of a route's path, every escape undone.
enum Segment {
    Literal(Box<[u8]>),
    /// One parameter with what stands before and after it: `{name}.json`.
    Parameter {
        before: Box<[u8]>,
        after: Box<[u8]>,
    },
}

/// How well a segment or path fits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Under no reading.
    No,
    /// As a tolerant upstream reads it.
    Tolerant,
    /// Exactly.
    Exact,
}

impl RouteTable {
    pub(super) fn new(routes: &[Route], case: PathCase) -> Self {
        let mut entries: Vec<Entry> = routes.iter().enumerate().map(Entry::new).collect();
        entries.sort_by(|a, b| {
            let is_particular = |entry: &Entry| (!entry.names("HEAD"), entry.methods.is_empty());
            a.by_path(b).then_with(|| is_particular(a).cmp(&is_particular(b)))
        });
        for index in 1..entries.len() {
            if let Some([before, entry]) = entries.get_mut(index - 1..=index) {
                entry.rank = before.rank + usize::from(before.by_path(entry).is_ne());
            }
        }
        let has_segments = entries.iter().any(|entry| !entry.segments.is_empty());
        Self { entries, has_segments, case }
    }

    /// The route of a request whose path passed `check_path`. Allocates nothing.
    pub(super) fn find(&self, method: &str, path: &str) -> Found {
        let path = Path::new(path, self.has_segments);
        let mut ambiguous = None;
        let mut lacks_slash: Option<&Entry> = None;
        for entry in &self.entries {
            if ambiguous.is_some_and(|rank| rank != entry.rank) {
                return Found::Ambiguous;
            }
            if !entry.may_fit(&path) || !entry.speaks_of(method) {
                continue;
            }
            match entry.fit(&path, self.case) {
                Fit::No => {}
                // `/admin` of the prefix `/admin/`: a tolerant upstream adds the slash, unless the settings tell them apart.
                _ if entry.extent == Extent::Below && entry.segments.len() == path.segments => {
                    lacks_slash = lacks_slash.or(Some(entry));
                }
                Fit::Exact if lacks_slash.is_some_and(|other| !other.has_kinds_of(entry)) => {
                    return Found::Ambiguous;
                }
                Fit::Exact => return Found::Route(entry.route),
                Fit::Tolerant => ambiguous = Some(entry.rank),
            }
        }
        if ambiguous.is_some() { Found::Ambiguous } else { Found::None }
    }
}

/// The path of a request, looked at once.
struct Path<'a> {
    /// Without the first slash.
    rest: &'a str,
    segments: usize,
    ends_with_slash: bool,
    has_escape: bool,
    near: [&'a str; NEAR],
}

impl<'a> Path<'a> {
    fn new(path: &'a str, has_segments: bool) -> Self {
        let rest = path.strip_prefix('/').unwrap_or(path);
        let slashes = rest.bytes().filter(|byte| *byte == b'/').count();
        let mut near = [""; NEAR];
        if has_segments {
            near.iter_mut().zip(rest.split('/')).for_each(|(place, segment)| *place = segment);
        }
        Self {
            rest,
            segments: slashes + 1,
            ends_with_slash: rest.is_empty() || rest.ends_with('/'),
            has_escape: has_segments && rest.contains('%'),
            near,
        }
    }

    fn segment(&self, index: usize) -> &'a str {
        match self.near.get(index) {
            Some(segment) => segment,
            None => self.rest.split('/').nth(index).unwrap_or_default(),
        }
    }
}

impl Entry {
    fn new((route, settings): (usize, &Route)) -> Self {
        let path = settings.path.strip_prefix('/').unwrap_or(&settings.path);
        let (path, extent) = match (settings.path_match, path.strip_suffix('/')) {
            (PathMatch::Template, _) => (Some(path), Extent::Exact),
            (PathMatch::Prefix, Some(path)) => (Some(path), Extent::Below),
            (PathMatch::Prefix, None) if path.is_empty() => (None, Extent::Below),
            (PathMatch::Prefix, None) => (Some(path), Extent::AtOrBelow),
        };
        let is_template = settings.path_match == PathMatch::Template;
        let segment = |text| Segment::new(text, is_template);
        let segments = path.into_iter().flat_map(|path| path.split('/')).map(segment).collect();
        Self { route, methods: settings.methods.clone(), segments, extent, rank: 0 }
    }

    /// Some servers take `post` for POST and answer HEAD as GET: neither shall find a laxer route. The proof's `htm`
    /// is compared exactly.
    fn speaks_of(&self, method: &str) -> bool {
        self.methods.is_empty()
            || self.names(method)
            || (method.eq_ignore_ascii_case("HEAD") && self.names("GET"))
    }

    fn names(&self, method: &str) -> bool {
        self.methods.iter().any(|name| name.eq_ignore_ascii_case(method))
    }

    /// Segment by segment from the left: written out before a parameter, a parameter before the end.
    fn by_path(&self, other: &Self) -> Ordering {
        other.kinds().cmp(self.kinds()).then_with(|| self.extent.cmp(&other.extent))
    }

    /// How particular each segment is.
    fn kinds(&self) -> impl Iterator<Item = (u8, usize)> {
        self.segments.iter().map(|segment| match segment {
            Segment::Literal(_) => (1, 0),
            Segment::Parameter { before, after } => (0, before.len() + after.len()),
        })
    }

    fn has_kinds_of(&self, other: &Self) -> bool {
        self.kinds().eq(other.kinds())
    }

    /// Whether the numbers of segments agree; most entries end here.
    fn may_fit(&self, path: &Path<'_>) -> bool {
        let own = self.segments.len();
        match self.extent {
            Extent::Exact => own == path.segments || (path.ends_with_slash && own + 1 == path.segments),
            Extent::Below | Extent::AtOrBelow => own <= path.segments,
        }
    }

    fn fit(&self, path: &Path<'_>, case: PathCase) -> Fit {
        let slash_ignored = self.extent == Extent::Exact && self.segments.len() < path.segments;
        let mut fit = if slash_ignored { Fit::Tolerant } else { Fit::Exact };
        for (index, own) in self.segments.iter().enumerate() {
            let segment = path.segment(index);
            fit =
                fit.min(if path.has_escape { own.fit(segment, case) } else { own.plain_fit(segment, case) });
            if fit == Fit::No {
                break;
            }
        }
        fit
    }
}

impl Segment {
    fn new(text: &str, is_template: bool) -> Self {
        let bytes = |text: &str| segment_bytes(text).collect();
        let parameter = text.split_once('{').and_then(|(before, rest)| {
            let (_, after) = rest.split_once('}')?;
            Some(Self::Parameter { before: bytes(before), after: bytes(after) })
        });
        parameter.filter(|_| is_template).unwrap_or_else(|| Self::Literal(bytes(text)))
    }

    /// The same as [`fit`](Self::fit) of a segment without escapes, faster.
    fn plain_fit(&self, segment: &str, case: PathCase) -> Fit {
        match self {
            Self::Literal(literal) if **literal == *segment.as_bytes() => Fit::Exact,
            Self::Literal(literal) if literal.len() != segment.len() => Fit::No,
            Self::Parameter { before, after } if before.is_empty() && after.is_empty() => {
                if segment.is_empty() { Fit::Tolerant } else { Fit::Exact }
            }
            _ => self.fit(segment, case),
        }
    }

    fn fit(&self, segment: &str, case: PathCase) -> Fit {
        match self {
            Self::Literal(literal) => literal_fit(literal.iter().copied(), segment_bytes(segment), case),
            Self::Parameter { before, after } => {
                let Some(value) = segment_bytes(segment).count().checked_sub(before.len() + after.len())
                else {
                    return Fit::No;
                };
                let seen = || segment_bytes(segment);
                let start = literal_fit(before.iter().copied(), seen().take(before.len()), case);
                let end = literal_fit(after.iter().copied(), seen().skip(before.len() + value), case);
                // Some servers take an empty parameter, others do not.
                start.min(end).min(if value == 0 { Fit::Tolerant } else { Fit::Exact })
            }
        }
    }
}

/// The bytes of one segment, every escape undone.
fn segment_bytes(segment: &str) -> impl Iterator<Item = u8> {
    // `decoded` takes the empty path for `/`.
    decoded(segment).take(if segment.is_empty() { 0 } else { usize::MAX })
}

fn literal_fit(literal: impl Iterator<Item = u8>, mut seen: impl Iterator<Item = u8>, case: PathCase) -> Fit {
    let mut fit = Fit::Exact;
    for byte in literal {
        match seen.next() {
            Some(seen) if seen == byte => {}
            Some(seen) if case != PathCase::Sensitive && seen.eq_ignore_ascii_case(&byte) => {
                if case == PathCase::Unknown {
                    fit = Fit::Tolerant;
                }
            }
            _ => return Fit::No,
        }
    }
    if seen.next().is_some() { Fit::No } else { fit }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(path: &str) -> Route {
        Route { path_match: PathMatch::Template, ..Route::new(path) }
    }

    fn of(methods: &[&str], route: Route) -> Route {
        Route { methods: methods.iter().map(|method| (*method).to_owned()).collect(), ..route }
    }

    /// The path and methods of the route found, or why none was.
    fn found(routes: &[Route], case: PathCase, method: &str, path: &str) -> String {
        match RouteTable::new(routes, case).find(method, path) {
            Found::Route(index) => {
                let route = &routes[index];
                [&[route.path.clone()][..], &route.methods].concat().join(" ")
            }
            Found::None => "none".to_owned(),
            Found::Ambiguous => "ambiguous".to_owned(),
        }
    }

    fn get(routes: &[Route], path: &str) -> String {
        found(routes, PathCase::Unknown, "GET", path)
    }

    #[test]
    fn an_escaped_character_does_not_evade_a_prefix() {
        for path in ["/%40me", "/@me/a", "/%40%6De", "/%40me/%61"] {
            assert_eq!(get(&[Route::new("/@me")], path), "/@me", "{path}");
        }
        assert_eq!(get(&[Route::new("/@me")], "/%2540me"), "none", "undone once");
    }

    #[test]
    fn prefixes_match_at_segment_borders_after_normalisation() {
        for (path, prefix) in
            [("/v1", "/v1"), ("/v1/a", "/v1"), ("/v1/", "/v1/"), ("/%761/a", "/v1"), ("/a", "/"), ("/", "/")]
        {
            assert_eq!(get(&[Route::new(prefix)], path), prefix, "{path} {prefix}");
        }
        for (path, prefix) in [("/v10", "/v1"), ("/v", "/v1"), ("/v1", "/v1/"), ("/", "/v1"), ("", "/v1")] {
            assert_eq!(get(&[Route::new(prefix)], path), "none", "{path} {prefix}");
        }
        assert_eq!(get(&[Route::new("/")], ""), "/");
    }

    #[test]
    fn a_prefix_without_its_last_slash_reaches_no_laxer_route() {
        let strict = [Route::new("/"), Route::new("/admin/"), template("/{page}")];
        for path in ["/admin", "/Admin", "/%61dmin"] {
            assert_eq!(get(&strict, path), "ambiguous", "{path}");
            assert_eq!(get(&[strict[0].clone(), strict[1].clone()], path), "ambiguous", "{path}");
        }
        for (path, wanted) in [("/admin/", "/admin/"), ("/admin/1", "/admin/"), ("/home", "/{page}")] {
            assert_eq!(get(&strict, path), wanted, "{path}");
        }
        let told_apart = [Route::new("/"), Route::new("/admin/"), Route::new("/admin")];
        assert_eq!(
            (get(&told_apart, "/admin").as_str(), get(&told_apart, "/admin/").as_str()),
            ("/admin", "/admin/")
        );
    }

    #[test]
    fn the_longest_prefix_of_the_method_decides() {
        let routes = [Route::new("/v1"), of(&["POST"], Route::new("/v1/pay"))];
        let route = |method, path| found(&routes, PathCase::Unknown, method, path);
        assert_eq!(route("POST", "/v1/pay/1"), "/v1/pay POST");
        assert_eq!(route("GET", "/v1/pay/1"), "/v1");
        assert_eq!(route("post", "/v1/pay"), "/v1/pay POST", "no other spelling finds a laxer route");
        assert_eq!(route("GET", "/v2"), "none");
    }

    #[test]
    fn a_route_that_names_the_method_goes_before_one_for_all_in_any_order() {
        let (all, post) = (Route::new("/v1"), of(&["POST"], Route::new("/v1")));
        for routes in [[all.clone(), post.clone()], [post, all]] {
            let route = |method| found(&routes, PathCase::Unknown, method, "/v1/a");
            assert_eq!((route("POST").as_str(), route("GET").as_str()), ("/v1 POST", "/v1"));
        }
    }

    #[test]
    fn a_route_of_get_is_heads_too_and_no_other_methods() {
        let routes = [of(&["GET"], Route::new("/v1"))];
        for (method, wanted) in [
            ("GET", "/v1 GET"),
            ("HEAD", "/v1 GET"),
            ("head", "/v1 GET"),
            ("POST", "none"),
            ("DELETE", "none"),
        ] {
            assert_eq!(found(&routes, PathCase::Unknown, method, "/v1"), wanted, "{method}");
        }
        assert_eq!(found(&[of(&["POST"], Route::new("/v1"))], PathCase::Unknown, "HEAD", "/v1"), "none");
        let (get, head) = (of(&["GET"], template("/a")), of(&["HEAD"], template("/a")));
        for routes in [[get.clone(), head.clone()], [head, get]] {
            assert_eq!(found(&routes, PathCase::Unknown, "HEAD", "/a"), "/a HEAD");
            assert_eq!(found(&routes, PathCase::Unknown, "GET", "/a"), "/a GET");
        }
    }

    #[test]
    fn a_template_matches_its_segments_and_nothing_below_or_beside() {
        let routes = [template("/pets/{id}"), template("/pets")];
        for (path, wanted) in [
            ("/pets", "/pets"),
            ("/pets/1", "/pets/{id}"),
            ("/pets/%7Bid%7D", "/pets/{id}"),
            ("/%70ets/a%20b", "/pets/{id}"),
            ("/pets/1/toys", "none"),
            ("/petshop", "none"),
            ("/", "none"),
            ("", "none"),
            ("/pet/1", "none"),
        ] {
            assert_eq!(get(&routes, path), wanted, "{path}");
        }
    }

    #[test]
    fn what_is_written_out_goes_before_parameters_and_both_before_a_prefix() {
        let routes = [
            Route::new("/"),
            Route::new("/pets"),
            template("/pets/{id}"),
            template("/pets/mine"),
            template("/pets/{id}.json"),
            template("/{kind}/{id}"),
        ];
        for (path, wanted) in [
            ("/pets/mine", "/pets/mine"),
            ("/pets/1", "/pets/{id}"),
            ("/pets/1.json", "/pets/{id}.json"),
            ("/cats/1", "/{kind}/{id}"),
            ("/pets/1/toys", "/pets"),
            ("/pets", "/pets"),
            ("/cats", "/"),
        ] {
            assert_eq!(get(&routes, path), wanted, "{path}");
            let reversed: Vec<Route> = routes.iter().rev().cloned().collect();
            assert_eq!(get(&reversed, path), wanted, "{path}, other order");
        }
    }

    #[test]
    fn a_parameter_within_a_segment_needs_what_stands_around_it() {
        let routes = [template("/v1/{name}:cancel")];
        assert_eq!(get(&routes, "/v1/job:cancel"), "/v1/{name}:cancel");
        assert_eq!(get(&routes, "/v1/job%3Acancel"), "/v1/{name}:cancel");
        for path in ["/v1/job", "/v1/job:cancel2", "/v1/cancel", "/v1/l"] {
            assert_eq!(get(&routes, path), "none", "{path}");
        }
        assert_eq!(get(&routes, "/v1/:cancel"), "ambiguous");
    }

    #[test]
    fn another_case_a_last_slash_or_an_empty_parameter_reaches_no_laxer_route() {
        let routes = [Route::new("/"), template("/admin/{id}"), template("/admin"), Route::new("/v1/pay")];
        for path in ["/Admin", "/admin/", "/ADMIN/1", "/admin/1/", "/%41dmin/1", "/v1/Pay", "/V1/pay/now"] {
            assert_eq!(get(&routes, path), "ambiguous", "{path}");
        }
        for (path, wanted) in [("/admin/A", "/admin/{id}"), ("/v1/pay/Now", "/v1/pay"), ("/Users", "/")] {
            assert_eq!(get(&routes, path), wanted, "{path}");
        }
    }

    #[test]
    fn routes_that_differ_in_case_or_in_the_last_slash_are_told_apart() {
        let routes = [template("/Users"), template("/users"), template("/users/")];
        for path in ["/Users", "/users", "/users/"] {
            assert_eq!(get(&routes, path), path);
        }
        assert_eq!(get(&routes, "/uSers"), "ambiguous");
    }

    #[test]
    fn an_upstream_whose_case_is_known_is_read_as_it_reads() {
        let routes = [Route::new("/"), template("/admin/{id}")];
        let find = |case, path| found(&routes, case, "GET", path);
        assert_eq!(find(PathCase::Sensitive, "/Admin/1"), "/");
        assert_eq!(find(PathCase::Insensitive, "/Admin/1"), "/admin/{id}");
        for case in [PathCase::Sensitive, PathCase::Insensitive] {
            assert_eq!(find(case, "/admin/1/"), "ambiguous", "a last slash is another question");
        }
    }

    #[test]
    fn braces_in_a_prefix_are_nothing_but_braces() {
        assert_eq!(get(&[Route::new("/{id}")], "/1"), "none");
        assert_eq!(get(&[Route::new("/{id}")], "/{id}"), "/{id}");
    }
}
