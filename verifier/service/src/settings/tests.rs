//! Settings files as people write them, good and bad.

use std::fs;

use tempfile::TempDir;

use super::*;

const RESOURCE: &str = r#"
[[resource]]
name = "api"
identifier = "https://api.example"
[[resource.authorization_server]]
issuer = "https://login.example"
jwks = "https://login.example/jwks"
clients = { "app" = ["mobile"] }
[[resource.route]]
path = "/"
"#;

fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("policy.toml"), "").unwrap();
    directory
}

fn read(text: &str) -> Result<Settings, String> {
    let directory = directory();
    let file = directory.path().join("settings.toml");
    fs::write(&file, text).unwrap();
    Settings::load(&file)
        .map_err(|problems| problems.to_string().replace(&format!("{}/", directory.path().display()), ""))
}

#[test]
fn one_line_is_enough_and_every_default_is_the_documented_one() {
    let settings = read("issuer = 'https://attest.example'").unwrap();
    assert_eq!(settings.lifetime.result.as_seconds(), 600);
    assert_eq!(settings.lifetime.client_attestation.as_seconds(), 3600);
    assert!(settings.listen.public.ip().is_loopback() && settings.listen.admin.ip().is_loopback());
    assert!(!settings.listen.danger_plaintext);
    assert!(settings.store.path.is_absolute());
}

#[test]
fn a_route_without_a_word_more_is_strict() {
    let settings = read(&format!("issuer = 'https://attest.example'\n{RESOURCE}")).unwrap();
    let route = &settings.resources[0].routes[0];
    assert_eq!(
        (route.mode, route.token_binding, route.tier, route.nonce),
        (Mode::Require, TokenBinding::Instance, Tier::Affirming, NonceDemand::Off)
    );
}

#[test]
fn every_problem_of_a_bad_file_is_named_at_once() {
    let text = r#"issuer = "http://attest.example"
policy = "missing.toml"
[listen]
public = "0.0.0.0:8080"
admin = "localhost"
[lifetime]
result = "20m"
audit = "soon"
[[resource]]
name = "Main API"
identifier = "https://api.example"
[[resource.authorization_server]]
issuer = "https://login.example"
jwks = "jwks.json"
clients = {}
[[resource.route]]
path = "v1/*"
mode = "strict"
"#;
    let found = read(text).unwrap_err();
    for line in [1, 2, 4, 5, 7, 8, 10, 14, 15, 17, 18] {
        assert!(found.contains(&format!("settings.toml:{line}: ")), "line {line} in\n{found}");
    }
    assert_eq!(found.lines().count(), 11, "{found}");
}

#[test]
fn plain_http_to_other_machines_needs_the_danger_word() {
    for listener in ["public", "admin"] {
        let text = |danger: bool| {
            format!(
                "issuer = 'https://a.example'\n[listen]\n{listener} = '0.0.0.0:80'\ndanger_plaintext = {danger}\n"
            )
        };
        assert!(read(&text(false)).unwrap_err().contains("settings.toml:3: 0.0.0.0:80 can be reached"));
        assert!(read(&text(true)).is_ok());
    }
}

#[test]
fn instances_are_kept_for_a_day_at_least_and_ten_years_at_most() {
    let text = |span: &str| format!("issuer = 'https://a.example'\n[lifetime]\ninstances = '{span}'\n");
    assert!(read(&text("1d")).is_ok() && read(&text("3650d")).is_ok());
    for wrong in ["23h", "3651d"] {
        assert!(read(&text(wrong)).unwrap_err().contains("settings.toml:3: `instances` is"), "{wrong}");
    }
}

#[test]
fn evidence_is_kept_as_long_as_the_records_unless_it_is_told_to_be_shorter() {
    let text = |lines: &str| format!("issuer = 'https://a.example'\n[lifetime]\n{lines}\n");
    let kept = |lines: &str| read(&text(lines)).unwrap().lifetime.evidence().as_seconds() / 86_400;
    assert_eq!((kept(""), kept("audit = '90d'"), kept("audit = '90d'\nevidence = '7d'")), (30, 90, 7));
    let longer = read(&text("evidence = '31d'")).unwrap_err();
    assert!(longer.contains("settings.toml:3: `evidence` is 31d, and the records"), "{longer}");
    assert!(read(&text("evidence = '10s'")).unwrap_err().contains("settings.toml:3: `evidence` is 10s"));
    // What is not written is not blamed.
    assert!(!read(&text("audit = '10s'")).unwrap_err().contains("`evidence`"));
}

#[test]
fn the_trail_of_acts_is_kept_for_a_day_at_least_and_ten_years_at_most() {
    let text = |span: &str| format!("issuer = 'https://a.example'\n[lifetime]\nacts = '{span}'\n");
    assert!(read(&text("1d")).is_ok() && read(&text("3650d")).is_ok());
    for wrong in ["23h", "3651d"] {
        assert!(read(&text(wrong)).unwrap_err().contains("settings.toml:3: `acts` is"), "{wrong}");
    }
}

#[test]
fn a_body_cannot_be_demanded_behind_a_gateway_that_sends_none() {
    let text = |gateway: &str| {
        format!(
            "issuer = 'https://a.example'\n[listen]\nedge = '127.0.0.1:8081'\ngateway = '{gateway}'\n{RESOURCE}body = 'required'\n"
        )
    };
    assert!(read(&text("nginx")).unwrap_err().contains("sends no bodies"));
    assert!(read(&text("envoy-http")).is_ok());
}

#[test]
fn two_routes_for_the_same_requests_are_refused() {
    let text =
        format!("issuer = 'https://a.example'\n{RESOURCE}[[resource.route]]\npath = '/'\nmode = 'observe'\n");
    assert!(read(&text).unwrap_err().contains("settings.toml:12: `/` has a route for all methods already"));
}

#[test]
fn an_edge_listener_needs_its_gateway_and_a_resource() {
    let found = read("issuer = 'https://a.example'\n[listen]\nedge = '127.0.0.1:8081'\n").unwrap_err();
    assert_eq!(found.matches("settings.toml:3: ").count(), 2, "{found}");
}

#[test]
fn relative_paths_start_from_the_directory_of_the_file() {
    let directory = directory();
    let file = directory.path().join("settings.toml");
    fs::write(&file, "issuer = 'https://a.example'\n[keys]\ndirectory = 'k'\n").unwrap();
    assert_eq!(Settings::load(&file).unwrap().keys.directory, directory.path().join("k"));
}

#[test]
fn api_keys_stand_in_one_file_for_each_resource_that_asks_for_them() {
    let resource = |name: &str, more: &str, credentials: &str| {
        format!(
            "[[resource]]\nname = '{name}'\nidentifier = 'https://{name}.example'\napps = ['app']\n{more}\n\
             [[resource.route]]\npath = '/'\ncredentials = {credentials}\n"
        )
    };
    let text = |resources: &[String]| read(&format!("issuer = 'https://a.example'\n{}", resources.concat()));
    let (file, keys) = ("api_keys = 'api-keys.json'", "['api_key']");
    let settings = text(&[resource("a", file, keys)]).unwrap();
    assert!(settings.resources[0].api_keys.as_ref().unwrap().is_absolute());
    assert!(settings.resources[0].has_app("app") && !settings.resources[0].has_app("other"));
    let refused = |resources: &[String]| text(resources).unwrap_err();
    assert!(refused(&[resource("a", "", keys)]).contains("write where they are kept"));
    assert!(refused(&[resource("a", file, "[]")]).contains("no route asks for API keys"));
    assert!(
        refused(&[resource("a", file, keys), resource("b", file, keys)])
            .contains("a key is for one resource")
    );
    let both = "['api_key', 'jwt']";
    assert!(refused(&[resource("a", file, both)]).contains("no authorization server is named"));
}

#[test]
fn a_users_authentication_can_be_demanded_only_where_access_tokens_tell_of_it() {
    let text = |more: &str| read(&format!("issuer = 'https://a.example'\n{RESOURCE}{more}\n"));
    let settings = text("acr_values = ['phr']\nmax_age = '5m'").unwrap();
    let route = &settings.resources[0].routes[0];
    assert_eq!(
        (route.acr_values.as_slice(), route.max_age.unwrap().as_seconds()),
        (&["phr".to_owned()][..], 300)
    );
    assert!(text("max_age = '5m'\ncredentials = []").unwrap_err().contains("only an access token tells"));
    for value in ["", "a b", "a\\\"", "a,b"] {
        let found = text(&format!("acr_values = [\"{value}\"]")).unwrap_err();
        assert!(found.contains("one word of visible ASCII"), "{found}");
    }
}

#[test]
fn no_scope_of_the_settings_ends_its_quotes_in_a_challenge() {
    let text = |scope: &str| {
        read(&format!("issuer = 'https://a.example'\n{RESOURCE}scopes = ['read', '{scope}']\n")).map(drop)
    };
    assert_eq!(text("urn:example/pay,all"), Ok(()));
    for scope in ["", "a b", "a\"", "a\\", "\u{e4}"] {
        let found = text(scope).unwrap_err();
        assert!(found.contains("a scope is one word"), "{found}");
    }
}

/// The problems of a service whose edge has a shared store with these lines.
fn shared_store_problem(lines: &str, route: &str) -> String {
    let text = format!(
        "issuer = 'https://attest.example'\n[listen]\nedge = '127.0.0.1:8081'\ngateway = 'nginx'\n{lines}\n\
         {RESOURCE}{route}"
    );
    read(&text).map(|_| String::new()).unwrap_or_else(|problems| problems)
}

#[test]
fn a_shared_store_is_reached_in_private_and_its_password_stands_in_a_file() {
    let problem = |url: &str| shared_store_problem(&format!("[shared_store]\nurl = '{url}'"), "");
    for url in ["rediss://redis.internal:6379/0", "redis://127.0.0.1:6379", "valkeys://valkey.internal"] {
        assert_eq!(problem(url), "");
    }
    for (url, said) in [
        ("redis://redis.internal:6379", "rediss://"),
        ("rediss://edge:sesame@redis.internal", "a file of mode 0600"),
        ("rediss://redis.internal/#insecure", "write a URL"),
        ("http://redis.internal", "write a URL"),
    ] {
        let told = problem(url);
        assert!(told.contains(said), "{url}: {told}");
        assert!(!told.contains("sesame"), "{told}");
    }
    let plain = "[shared_store]\nurl = 'redis://redis.internal:6379'\ndanger_plaintext = true";
    assert_eq!(shared_store_problem(plain, ""), "");
}

#[test]
fn a_shared_store_is_somewhere_in_one_place_and_somebody_asks_it() {
    for (lines, said) in [
        ("[shared_store]", "where is it?"),
        ("[shared_store]\nurl_file = 'missing'", "does not exist"),
        ("[shared_store]\nurl = 'redis://localhost'\nurl_file = 'policy.toml'", "one is right"),
        ("[shared_store]\nurl = 'redis://localhost'\nkey_prefix = 'a b'", "visible ASCII"),
        ("[shared_store]\nurl = 'redis://localhost'\nkey_prefix = ''", "key_prefix"),
        ("[shared_store]\nurl = 'redis://localhost'\ndeadline_ms = 0", "deadline_ms"),
        ("[shared_store]\nurl = 'redis://localhost'\ndeadline_ms = 60000", "deadline_ms"),
    ] {
        let told = shared_store_problem(lines, "");
        assert!(told.contains(said), "{lines}: {told}");
    }
    let nobody =
        format!("issuer = 'https://attest.example'\n[shared_store]\nurl = 'redis://localhost'\n{RESOURCE}");
    assert!(read(&nobody).unwrap_err().contains("only an edge asks it"));
}

#[test]
fn a_route_speaks_of_a_failing_store_only_where_there_is_one() {
    let told = shared_store_problem("", "when_store_fails = 'local'");
    assert!(told.contains("there is no store that could fail"), "{told}");
    let store = "[shared_store]\nurl = 'redis://localhost'";
    assert_eq!(shared_store_problem(store, "replay = 'windowed'\nwhen_store_fails = 'local'"), "");
    assert_eq!(shared_store_problem(store, "when_store_fails = 'closed'"), "");
    let told = shared_store_problem(store, "when_store_fails = 'local'");
    assert!(
        told.contains("strict") && told.contains("windowed"),
        "a promise that an outage would break: {told}"
    );
    assert!(shared_store_problem(store, "when_store_fails = 'open'").contains("when_store_fails"));
}

fn with_route(more: &str) -> Result<Settings, String> {
    read(&format!("issuer = 'https://a.example'\n{RESOURCE}{more}\n"))
}

#[test]
fn a_route_enforces_for_all_and_a_proof_passes_once_unless_it_is_told_otherwise() {
    let route = |more: &str| with_route(more).unwrap().resources[0].routes[0].clone();
    let default = route("");
    assert_eq!((default.percent, default.replay, default.limits.len()), (100, ReplayDemand::Strict, 0));
    let other = route("percent = 20\nreplay = 'windowed'");
    assert_eq!((other.percent, other.replay), (20, ReplayDemand::Windowed));
}

#[test]
fn a_percentage_is_of_those_whom_require_refuses() {
    for (more, complaint) in [
        ("percent = 0", "settings.toml:12: "),
        ("percent = 101", "settings.toml:12: "),
        ("mode = 'observe'\npercent = 20", "settings.toml:13: only the mode \"require\" refuses anybody"),
        ("mode = 'warn'\npercent = 20", "settings.toml:13: only the mode \"require\" refuses anybody"),
    ] {
        let found = with_route(more).unwrap_err();
        assert!(found.contains(complaint), "{more}: {found}");
    }
}

#[test]
fn limits_are_read_as_they_are_written() {
    let limits = with_route(
        r#"limits = [
            { per = "instance", rate = "60/min", burst = 20, adaptive = true },
            { per = "subject", rate = "1000/h" },
            { per = "address", rate = "10/s", ipv4_prefix = 24, ipv6_prefix = 56 },
            { per = "client", rate = "10000/s" },
            { per = "route", rate = "5000/day" },
        ]"#,
    );
    let limits = limits.unwrap().resources[0].routes[0].limits.clone();
    let limits: Vec<_> = limits.iter().map(|limit| limit.limit().unwrap()).collect();
    let microseconds = |index: usize| limits[index].gcra().emission_interval();
    assert_eq!(
        (0..5).map(microseconds).collect::<Vec<_>>(),
        [1_000_000, 3_600_000, 100_000, 100, 17_280_000]
    );
    assert_eq!(
        limits.iter().map(|limit| limit.is_adaptive()).collect::<Vec<_>>(),
        [true, false, false, false, false]
    );
    assert_eq!(limits[0].gcra().burst_tolerance(), 19_000_000);
    assert_eq!(
        limits[1].gcra().burst_tolerance(),
        999 * 3_600_000,
        "a burst that is not written is the rate's number"
    );
    assert_eq!((limits[2].prefix().ipv4, limits[2].prefix().ipv6), (24, 56));
    assert_eq!((limits[0].prefix().ipv4, limits[0].prefix().ipv6), (32, 64));
}

#[test]
fn a_limit_that_could_not_be_kept_as_it_is_written_is_refused() {
    for (limit, complaint) in [
        ("per = 'instance', rate = '60/m'", "a rate such as"),
        ("per = 'instance', rate = '0/s'", "a rate such as"),
        ("per = 'device', rate = '1/s'", "device"),
        ("per = 'instance', rate = '1/s', burst = 0", "0"),
        ("per = 'instance', rate = '20000/s'", "write at most 10000/s"),
        ("per = 'instance', rate = '100/s', burst = 20", "write at least 100"),
        ("per = 'instance', rate = '1/day', burst = 40", "more than 30 days"),
        ("per = 'instance', rate = '1/s', ipv6_prefix = 48", "write `per = \"address\"`"),
        ("per = 'address', rate = '1/s', ipv6_prefix = 128", "a host has a /64"),
        ("per = 'address', rate = '1/s', ipv4_prefix = 0", "8 to 32 bits"),
        ("per = 'client', rate = '1/s', adaptive = true", "one caller could lock out the others"),
    ] {
        let found = with_route(&format!("limits = [{{ {limit} }}]")).unwrap_err();
        assert!(found.contains("settings.toml:12: ") && found.contains(complaint), "{limit}: {found}");
    }
}

#[test]
fn the_limits_of_a_route_are_few_and_each_says_something_else() {
    let same = "{ per = 'route', rate = '1/s' }";
    assert!(with_route(&format!("limits = [{same}, {same}]")).unwrap_err().contains("says the same"));
    let many: Vec<_> = (1..10).map(|rate| format!("{{ per = 'route', rate = '{rate}/s' }}")).collect();
    assert!(with_route(&format!("limits = [{}]", many.join(", "))).unwrap_err().contains("8 limits at most"));
}

#[test]
fn users_are_counted_only_where_each_caller_is_one() {
    let text = |credentials: &str| {
        format!("credentials = [{credentials}]\nlimits = [{{ per = 'subject', rate = '1/s' }}]")
    };
    assert!(with_route(&text("'jwt'")).is_ok());
    for credentials in ["", "'jwt', 'api_key'"] {
        let found = with_route(&text(credentials)).unwrap_err();
        assert!(
            found.contains("settings.toml:13: requests to this route may come without a user"),
            "{found}"
        );
    }
}

/// Settings whose authorization server has these lines, and whose route asks for these credentials.
fn with_server(lines: &str, credentials: &str) -> Result<Settings, String> {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory();
    for (name, mode) in [("edge.secret", 0o600), ("exposed.secret", 0o644)] {
        let file = directory.path().join(name);
        fs::write(&file, "s3cret\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
    let text = format!(
        "issuer = 'https://attest.example'\n[[resource]]\nname = 'api'\nidentifier = 'https://api.example'\n\
         [[resource.authorization_server]]\nissuer = 'https://login.example'\nclients = {{ 'app' = ['mobile'] }}\n\
         {lines}\n[[resource.route]]\npath = '/'\ncredentials = {credentials}\n"
    );
    let file = directory.path().join("settings.toml");
    fs::write(&file, text).unwrap();
    Settings::load(&file).map_err(|problems| problems.to_string())
}

const ASKED: &str = "introspection = { client_id = 'edge', client_secret_file = 'edge.secret' }";

#[test]
fn an_authorization_server_whose_keys_are_not_named_is_discovered() {
    let settings = with_server("", "['jwt']").unwrap();
    let servers: Vec<_> = settings.resources[0].jwt_servers().map(|server| server.jwks.clone()).collect();
    assert_eq!(servers, [None]);
    assert_eq!(settings.limits.stale_keys.as_seconds(), 86_400);
}

#[test]
fn a_server_of_opaque_tokens_is_asked_and_needs_keys_only_where_jwts_are_taken() {
    let settings = with_server(ASKED, "['opaque']").unwrap();
    let resource = &settings.resources[0];
    let (server, asked) = resource.opaque_token_server().unwrap();
    assert_eq!((server.issuer.as_str(), asked.client_id.as_str()), ("https://login.example", "edge"));
    assert!(asked.client_secret_file.is_absolute() && !asked.danger_missing_audience);
    assert_eq!(
        (asked.max_age.as_seconds(), asked.authentication),
        (60, ClientAuthentication::ClientSecretBasic)
    );
    assert_eq!(resource.jwt_servers().count(), 0);
    let both = with_server(ASKED, "['opaque', 'jwt']").unwrap();
    assert_eq!(both.resources[0].jwt_servers().count(), 1);
}

#[test]
fn introspection_that_cannot_be_meant_is_named() {
    let asked = |more: &str| {
        with_server(&ASKED.replace(" }", &format!(", {more} }}")), "['opaque']").expect_err("refused")
    };
    assert!(asked("endpoint = 'http://login.example/introspect'").contains("is not private"));
    for age in ["0s", "11m"] {
        assert!(asked(&format!("max_age = '{age}'")).contains("a revoked token passes this long"), "{age}");
    }
    assert!(asked("client_secret = 's3cret'").contains("client_secret"), "a secret in the settings");
    assert!(asked("authentication = 'none'").contains("authentication"));
    let exposed = ASKED.replace("edge.secret", "exposed.secret");
    assert!(with_server(&exposed, "['opaque']").unwrap_err().contains("give it mode 0600"));
    let missing = ASKED.replace("edge.secret", "missing.secret");
    assert!(with_server(&missing, "['opaque']").unwrap_err().contains("cannot be read"));
    assert!(with_server("", "['opaque']").unwrap_err().contains("how it is asked about them"));
    assert!(with_server(ASKED, "['jwt']").unwrap_err().contains("no route asks for opaque tokens"));
    let second = format!(
        "{ASKED}\n[[resource.authorization_server]]\nissuer = 'https://other.example'\nclients = {{ 'app' = ['a'] }}\n{ASKED}"
    );
    assert!(with_server(&second, "['opaque']").unwrap_err().contains("takes those of one server"));
}

#[test]
fn step_up_can_be_demanded_of_opaque_tokens() {
    assert!(with_server(ASKED, "['opaque', 'jwt']\nmax_age = '5m'").is_ok());
    assert!(with_server(ASKED, "['opaque', 'api_key']\nmax_age = '5m'").is_err());
}

#[test]
fn keys_that_cannot_be_fetched_again_are_believed_for_an_hour_at_least_and_a_month_at_most() {
    let text = |span: &str| format!("issuer = 'https://a.example'\n[limits]\nstale_keys = '{span}'\n");
    assert!(read(&text("1h")).is_ok() && read(&text("30d")).is_ok());
    for wrong in ["59m", "31d"] {
        assert!(read(&text(wrong)).unwrap_err().contains("settings.toml:3: keys are believed"), "{wrong}");
    }
}

#[test]
fn a_template_is_said_to_be_one() {
    let text = |route: &str| {
        let resource = RESOURCE.replace("path = \"/\"", route);
        read(&format!("issuer = 'https://a.example'\n{resource}"))
    };
    let settings = text("path = '/pets/{id}'\nmatch = 'template'").unwrap();
    assert_eq!(settings.resources[0].routes[0].path_match, PathMatch::Template);
    assert!(text("path = '/pets/{id}'").unwrap_err().contains("braces stand for themselves"));
    for path in ["/{a}{b}", "/{", "/{}"] {
        let found = text(&format!("path = '{path}'\nmatch = 'template'")).unwrap_err();
        assert!(found.contains("this is no template"), "{found}");
    }
    assert!(text("path = '/a'\n[[resource.route]]\npath = '/a'\nmatch = 'template'").is_ok());
}

#[test]
fn a_resource_needs_a_route_or_a_document() {
    let resource = RESOURCE.replace("[[resource.route]]\npath = \"/\"", "");
    let found = read(&format!("issuer = 'https://a.example'\n{resource}")).unwrap_err();
    assert!(found.contains("it has no route"), "{found}");
}

#[test]
fn the_operations_of_a_document_are_routes_beside_those_of_the_settings() {
    let directory = directory();
    let file = directory.path().join("settings.toml");
    let read = |document: &str, more: &str| {
        fs::write(directory.path().join("api.yaml"), document).unwrap();
        let resource = RESOURCE.replace("identifier", "openapi = 'api.yaml'\nidentifier");
        fs::write(&file, format!("issuer = 'https://a.example'\n{more}\n{resource}")).unwrap();
        Settings::load(&file).map_err(|problems| problems.to_string())
    };
    let document = |members: &str| format!("openapi: 3.1.0\npaths:\n  /pets/{{id}}:\n    put: {members}\n");
    let settings = read(&document("{}"), "").unwrap();
    let paths: Vec<&str> = settings.resources[0].routes.iter().map(|route| route.path.as_str()).collect();
    assert_eq!(paths, ["/", "/pets/{id}"]);
    assert!(settings.resources[0].openapi.as_ref().unwrap().is_absolute());
    let found = read(&document("{x-attestation: {tier: gold}}"), "").unwrap_err();
    assert!(found.contains("settings.toml:6: ") && found.contains("api.yaml:4: PUT /pets/{id}: "), "{found}");
    let nginx = "[listen]\nedge = '127.0.0.1:8081'\ngateway = 'nginx'";
    let found = read(&document("{x-attestation: {body: required}}"), nginx).unwrap_err();
    assert!(found.contains("PUT /pets/{id}: the gateway in [listen] sends no bodies"), "{found}");
    assert!(read("swagger: '2.0'", "").unwrap_err().contains("Swagger 2.0"));
    fs::remove_file(directory.path().join("api.yaml")).unwrap();
    let found = Settings::load(&file).unwrap_err().to_string();
    assert!(found.contains("the file does not exist"), "{found}");
}
