//! `countersign policy check` as a person uses it: what it says of a policy, what it warns of, and how it ends.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Output};

const SIGNER: &str = "0808080808080808080808080808080808080808080808080808080808080808";

/// Runs the command over a policy.
fn check(policy: &str, flags: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    fs::write(&file, policy).unwrap();
    Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["policy", "check"])
        .arg(&file)
        .args(flags)
        .output()
        .unwrap()
}

fn said(policy: &str, flags: &[&str]) -> String {
    let output = check(policy, flags);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What stands under a title, up to the next.
fn section<'t>(text: &'t str, title: &str) -> &'t str {
    let rest = text.split_once(&format!("\n  {title}\n")).unwrap_or_else(|| panic!("{title} in {text}")).1;
    let end = rest.match_indices("\n  ").find(|(at, _)| !rest[at + 3..].starts_with(' ')).map(|(at, _)| at);
    rest.get(..end.unwrap_or(rest.len())).unwrap()
}

/// Whether the words stand in the text in this order, whatever the line breaks.
fn tells(text: &str, words: &str) -> bool {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    flat(text).contains(&flat(words))
}

fn shop(more: &str) -> String {
    format!(
        "id = 'shop/7'\n[[app]]\nclient_id = 'shop'\n\
         apple = [{{ team_id = 'ABCDE12345', bundle_id = 'com.example.shop' }}]\n\
         android = [{{ package = 'com.example.shop', signing_digests = ['{SIGNER}'] }}]\n{more}"
    )
}

#[test]
fn it_says_who_may_enrol() {
    let text = said(&shop(""), &[]);
    assert!(text.starts_with("Policy shop/7: 1 app, nothing in [danger], "), "{text}");
    let identities = section(&text, "Who may enrol");
    assert!(tells(identities, "Apple ABCDE12345.com.example.shop"), "{identities}");
    assert!(tells(identities, &format!("Android com.example.shop signed by {SIGNER}")), "{identities}");
    assert!(!text.contains("DANGER"));
}

#[test]
fn it_says_what_differs_from_the_defaults_and_why() {
    let text = said(
        &shop(
            "[app.constraints]\nrevocation-checked = 'require'\nos-patch-age = 'ignore'\nknown-tags = 'warn'\n",
        ),
        &[],
    );
    let differences = section(&text, "Enforced otherwise than by default");
    assert!(tells(
        differences,
        "require revocation-checked Android by default: warn Leaked attestation keys"
    ));
    assert!(tells(differences, "ignore os-patch-age Android by default: require"));
    assert!(!differences.contains("known-tags"), "{differences}");
    assert!(tells(differences, "everything else as by default:"));
}

#[test]
fn it_says_what_is_asked_for_and_what_follows() {
    let text = said(
        &shop(
            "minimum_version_code = 21000\nresult_lifetime = '5m'\nlabels = ['known-tags']\n\
             [app.on_android]\nminimum_os_version = '8.1'\nminimum_os_patch = '2025-01'\nmaximum_os_patch_age = '180d'\n\
             [app.on_android.constraints]\nos-version = 'warn'\n\
             [app.environment]\nrefuse = ['hooks', '0x80002000']\nwarn = ['debugger']\n\
             [[app.cohort]]\nname = 'remote'\npercentage = 10\nconstraints = { remote-provisioning = 'require' }\n",
        ),
        &[],
    );
    let asked = section(&text, "Asked for");
    assert!(tells(asked, "warn Android 8.1 or newer (os-version)"), "{asked}");
    assert!(tells(asked, "require Android's patch level 2025-01 or later (os-patch-level)"));
    assert!(tells(asked, "at most 180 days old; today that is 20"));
    assert!(tells(asked, "version code 21000 or higher on Android, as attested (app-version)"));
    let signals = section(&text, "What a device notices about itself");
    assert!(tells(signals, "refused hooks, no-passcode, bit-31 warned of debugger"), "{signals}");
    let cohorts = section(&text, "Cohorts");
    assert!(tells(
        cohorts,
        "remote: 10 of 100 instances, always the same ones require remote-provisioning Android others: ignore"
    ));
    let results = section(&text, "Results");
    assert!(
        tells(results, "live 5m") && tells(results, "which of these constraints failed: known-tags"),
        "{results}"
    );
}

#[test]
fn the_danger_stands_in_a_frame_at_the_end() {
    let text = said(
        &shop(
            "[app.constraints]\ndevice-locked = 'warn'\nkey-origin = 'ignore'\n[danger]\n\
             weak_devices = ['device-locked']\nweak_keys = ['key-origin']\n\
             app_attest_environments = ['production', 'development']\n",
        ),
        &[],
    );
    assert!(text.contains("3 opt-outs in [danger]"));
    let frame: Vec<&str> =
        text.trim_end().lines().skip_while(|line| !line.starts_with("┌─ DANGER")).collect();
    for line in [
        "│ weak_devices = device-locked ",
        "│ weak_keys = key-origin ",
        "│ app_attest_environments = production, development ",
    ] {
        assert!(frame.iter().any(|one| one.starts_with(line)), "{text}");
    }
    assert!(frame.last().unwrap().starts_with('└'));
}

#[test]
fn no_line_is_wider_than_a_hundred_columns() {
    let text = said(
        include_str!("../../../docs/policy.md")
            .split("```toml policy\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap(),
        &[],
    );
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(text.contains("com.example.till") && text.contains("observed: nobody is refused"));
}

/// The mistakes that are named, as one text.
fn mistakes(policy: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(&said(policy, &["--json"])).unwrap();
    let sentences = json["mistakes"].as_array().unwrap().iter().map(|one| one["sentence"].as_str().unwrap());
    sentences.collect::<Vec<_>>().join("\n")
}

#[test]
fn likely_mistakes_are_named() {
    let require = "[constraints]\nrevocation-checked = 'require'\n";
    let clean = shop("").replace("[[app]]", &format!("{require}[[app]]"));
    assert_eq!(mistakes(&clean), "");
    let with = |more: &str| mistakes(&format!("{clean}{more}"));
    let again = format!("android = [{{ package = 'com.example.shop', signing_digests = ['{SIGNER}'] }}]\n");
    let cases = [
        ("observe = true\n".to_owned(), "The app is observed"),
        ("on_android = { minimum_os_patch = '2020-01' }\n".to_owned(), "patch level 2020-01 is"),
        (
            "on_android = { minimum_os_patch = '2025-01', constraints = { os-patch-level = 'ignore' } }\n"
                .to_owned(),
            "`os-patch-level` is ignored",
        ),
        (format!("[[app]]\nclient_id = 'b'\n{again}"), "The app b has the same identity: com.example.shop"),
        (
            format!("[[app]]\nclient_id = 'lab'\nmode = 'development'\n{again}"),
            "identity of the app for users shop: com.example.shop",
        ),
        (
            "[[app.cohort]]\nname = 'c'\npercentage = 5\nconstraints = { os-version = 'require' }\n"
                .to_owned(),
            "The cohort c asks for what holds for everybody anyway",
        ),
        (
            "[[app.cohort]]\nname = 'c'\npercentage = 100\nconstraints = { os-version = 'warn' }\n"
                .to_owned(),
            "Every instance belongs to the cohort c",
        ),
        ("[danger]\nweak_keys = ['key-origin']\n".to_owned(), "[danger] weak_keys names `key-origin`"),
    ];
    for (more, sentence) in cases {
        let named = with(&more);
        assert!(named.contains(sentence), "{more}: {named}");
    }
    assert!(mistakes(&shop("")).contains("`revocation-checked` is not required"));
    let verdict = "play-device-integrity = 'require'\n";
    let required = format!("{}{verdict}", shop("[app.constraints]\nrevocation-checked = 'require'\n"));
    assert!(
        mistakes(&required)
            .contains("`play-device-integrity` is required, but a device that sends no verdict")
    );
    assert_eq!(mistakes(&format!("{required}play-integrity-present = 'require'\n")), "");
    let twice = clean.replace(&format!("['{SIGNER}']"), &format!("['{SIGNER}', '{SIGNER}']"));
    assert!(mistakes(&twice).contains("A signing digest of com.example.shop stands twice"));
}

#[test]
fn one_app_can_be_asked_for() {
    let policy = shop("[[app]]\nclient_id = 'lab'\nmode = 'development'\n");
    let text = said(&policy, &["--app", "lab"]);
    assert!(text.contains("lab") && !text.contains("com.example.shop"), "{text}");
    assert!(tells(&text, "nobody but registered developers"));
    let unknown = check(&policy, &["--app", "Shop"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no app with the client_id \"Shop\""));
}

#[test]
fn the_same_is_told_as_json() {
    let json = said(&shop("[app.on_android]\nminimum_os_patch = '2025-01'\n"), &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["policy"], "shop/7");
    let app = &json["apps"][0];
    assert_eq!(app["client_id"], "shop");
    assert_eq!(app["identities"][1]["signing_digests"][0], SIGNER);
    let minimums = app["minimums"].as_array().unwrap();
    assert!(
        minimums.iter().any(|one| one["constraint"] == "os-patch-level" && one["enforcement"] == "require")
    );
}

#[test]
fn a_problem_is_named_with_its_line_and_ends_with_1() {
    let policy = shop("[app.constraints]\nboot-state = 'warn'\n");
    let output = check(&policy, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let named = String::from_utf8(output.stderr).unwrap();
    assert!(named.contains("policy.toml:7: ") && named.contains("weak_devices"), "{named}");
    let json = check(&policy, &["--json"]);
    assert_eq!(json.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["problems"][0]["line"], 7);
}

#[test]
fn a_name_in_the_policy_cannot_steer_the_terminal() {
    let text = said(&shop("").replace("client_id = 'shop'", "client_id = \"sh\\u001b[2Jop\""), &[]);
    assert!(!text.contains('\u{1b}'), "{text}");
}
