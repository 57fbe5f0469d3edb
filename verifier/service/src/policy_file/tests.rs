//! What a policy file means, and what it may not say.

use std::fs;

use countersign_core::environment::{self, Signal};
use countersign_core::token::result::Protection;
use countersign_verifier::evidence::app_attest::{AppAttestEnvironment, ValidationCategory};
use countersign_verifier::policy::{
    AppMode, AppleApp, Constraint, DeviceActivityLimit, DeviceIntegrity, Enforcement,
};

use super::*;

const DIGEST: &str = "A5cca721bb3ddb2a3c5567e0011ba62efd6210d8fe0e8057e375c8e19ab98939";

fn policy(text: &str) -> Result<AppraisalPolicy, String> {
    document::parse("policy.toml", text)
        .map(|policy: PolicyFile| policy.into_policy(Path::new(".")))
        .map_err(|problems| problems.to_string())
}

#[test]
fn a_policy_is_read_with_its_overrides() {
    let policy = policy(&format!(
        "id = 'shop/7'\n\
         [constraints]\nvalidation-category = 'warn'\n\
         [android]\nminimum_os_patch = '2025-01'\nminimum_protection = 'strongbox'\n\
         [android.constraints]\nremote-provisioning = 'require'\nboot-state = 'warn'\n\
         [apple]\nvalidation_categories = ['app-store']\n\
         [[app]]\nclient_id = 'shop'\n\
         apple = [{{ team_id = 'TEAM', bundle_id = 'com.example' }}]\n\
         android = [{{ package = 'com.example', signing_digests = ['{DIGEST}'] }}]\n\
         [app.constraints]\nboot-state = 'require'\n\
         [[app]]\nclient_id = 'lab'\nmode = 'development'\non_android = {{ minimum_os_patch = '2020-01' }}\n\
         [danger]\napp_attest_environments = ['development']\nweak_devices = ['boot-state']\n"
    ))
    .unwrap();
    let shop = policy.app("shop").unwrap();
    assert_eq!(shop.apple, [AppleApp::from_app_id("TEAM.com.example")]);
    assert_eq!(shop.android[0].signing_digests[0][..2], [0xa5, 0xcc]);
    assert_eq!(shop.minimum_os_patch, "2025-01".parse().ok());
    assert_eq!(shop.minimum_protection, Protection::Strongbox);
    assert_eq!(shop.validation_categories, [ValidationCategory::APP_STORE]);
    let of = |constraint| shop.enforcements.of(constraint, Platform::Android);
    assert_eq!(of(Constraint::ValidationCategory), Enforcement::Warn);
    assert_eq!(of(Constraint::RemoteProvisioning), Enforcement::Require);
    assert_eq!(of(Constraint::BootState), Enforcement::Require);
    let lab = policy.app("lab").unwrap();
    assert_eq!(lab.mode, AppMode::Development);
    assert_eq!(lab.minimum_os_patch, "2020-01".parse().ok());
    assert_eq!(lab.enforcements.of(Constraint::BootState, Platform::Android), Enforcement::Warn);
    assert_eq!(policy.danger().app_attest_environments, [AppAttestEnvironment::Development]);
}

#[test]
fn a_misspelt_safeguard_is_a_problem_and_not_a_default() {
    let found = policy("id = 'x'\n[constraints]\nboot-sate = 'require'\n[danger]\nroots = []\n").unwrap_err();
    assert!(found.contains("policy.toml:3: `boot-sate` is not known here"), "{found}");
    assert!(found.contains("policy.toml:5: `roots` is not known here"), "{found}");
}

#[test]
fn what_is_not_negotiable_is_not_in_the_table() {
    for label in ["client", "app-identity", "play-app-identity", "development-mode", "platform-evidence"] {
        let found = policy(&format!("id = 'x'\n[constraints]\n{label} = 'ignore'\n")).unwrap_err();
        assert!(found.contains(&format!("policy.toml:3: `{label}` is not negotiable")), "{found}");
    }
}

#[test]
fn what_is_asked_of_google_play_is_read_for_all_apps_and_for_one() {
    let text = "id = 'x'\n[android.play_integrity]\nminimum_device_integrity = 'strong'\n\
                maximum_activity_level = 4\n\
                [[app]]\nclient_id = 'a'\nmode = 'development'\n\
                [app.on_android.play_integrity]\nminimum_device_integrity = 'basic'\n\
                [[app]]\nclient_id = 'b'\nmode = 'development'\n";
    let read = policy(text).unwrap();
    let rules = |client_id| read.app(client_id).unwrap().play_integrity;
    assert_eq!(rules("a").minimum_device_integrity, DeviceIntegrity::Basic);
    assert_eq!(rules("b").minimum_device_integrity, DeviceIntegrity::Strong);
    assert_eq!(rules("a").maximum_activity, DeviceActivityLimit::Level4);
    let found = policy("id = 'x'\n[android.play_integrity]\nmaximum_activity_level = 5\n");
    assert!(found.unwrap_err().starts_with("policy.toml:3: "));
}

#[test]
fn that_google_play_is_alone_is_ignored_only_where_danger_says_so() {
    let text = |value: &str, weak: &str| {
        format!(
            "id = 'x'\n[constraints]\nkey-attestation-present = '{value}'\n[danger]\nweak_devices = [{weak}]\n"
        )
    };
    let found = policy(&text("ignore", "")).unwrap_err();
    assert!(found.contains("with less than \"warn\" for `key-attestation-present`"), "{found}");
    assert!(policy(&text("warn", "")).is_ok() && policy(&text("require", "")).is_ok());
    assert!(policy(&text("ignore", "'key-attestation-present'")).is_ok());
}

#[test]
fn weak_devices_and_keys_pass_only_where_danger_names_the_constraint() {
    let lists =
        [(OptOut::WeakDevices, "weak_devices", "weak_keys"), (OptOut::WeakKeys, "weak_keys", "weak_devices")];
    for (opt_out, own, other) in lists {
        for constraint in Constraint::ALL.iter().filter(|one| one.opt_out() == Some(opt_out)) {
            let (label, least) = (constraint.label(), constraint.default_enforcement());
            let text = |table: &str, value: &str, danger: &str| {
                format!("id = 'x'\n[{table}]\n{label} = '{value}'\n[danger]\n{danger}\n")
            };
            for table in ["constraints", "android.constraints", "apple.constraints"] {
                for value in
                    [Enforcement::Warn, Enforcement::Ignore].into_iter().filter(|value| *value < least)
                {
                    let found = policy(&text(table, value.name(), "")).unwrap_err();
                    assert!(found.starts_with("policy.toml:3: "), "{found}");
                    assert!(found.contains(&format!("`{own} = [\"{label}\"]`")), "{found}");
                    assert!(policy(&text(table, value.name(), &format!("{own} = ['{label}']"))).is_ok());
                    assert!(policy(&text(table, value.name(), &format!("{other} = ['{label}']"))).is_err());
                }
                assert!(policy(&text(table, "require", "")).is_ok());
            }
        }
    }
    let other = policy("id = 'x'\n[danger]\nweak_devices = ['app-identity']\n").unwrap_err();
    assert!(other.contains("policy.toml:3: "), "{other}");
}

#[test]
fn danger_is_asked_for_in_every_table_of_an_app() {
    for table in ["", ".on_android", ".on_apple", ".cohort", ".cohort.on_android", ".cohort.on_apple"] {
        let cohort = if table.starts_with(".cohort") {
            "[[app.cohort]]\nname = 'c'\npercentage = 1\nconstraints = {}\n".replace("constraints = {}\n", "")
        } else {
            "\n\n\n".to_owned()
        };
        let text = |danger: &str| {
            format!(
                "id = 'x'\n[[app]]\nclient_id = 'a'\nmode = 'development'\n{cohort}[app{table}.constraints]\n\
                 device-locked = 'warn'\n[danger]\nweak_devices = [{danger}]\n"
            )
        };
        let found = policy(&text("'boot-state'")).unwrap_err();
        assert!(found.starts_with("policy.toml:9: "), "{table}: {found}");
        assert!(policy(&text("'device-locked'")).is_ok(), "{table}");
    }
}

#[test]
fn stricter_than_the_default_needs_no_danger() {
    assert!(
        policy("id = 'x'\n[constraints]\nrevocation-checked = 'require'\nremote-provisioning = 'warn'\n")
            .is_ok()
    );
}

#[test]
fn what_holds_for_one_app_on_one_platform_goes_before_all_else() {
    let policy = policy(&app(
        "[android.constraints]\nremote-provisioning = 'warn'\nos-version = 'warn'\n[constraints]\nknown-tags = 'ignore'\n",
        "[app.constraints]\nremote-provisioning = 'ignore'\nos-version = 'require'\n\
         [app.on_android.constraints]\nremote-provisioning = 'require'\n[app.on_apple.constraints]\nos-version = 'warn'\n",
    ))
    .unwrap();
    let shop = policy.app("shop").unwrap();
    let of = |constraint, platform| shop.enforcements.of(constraint, platform);
    assert_eq!(of(Constraint::RemoteProvisioning, Platform::Android), Enforcement::Require);
    assert_eq!(of(Constraint::RemoteProvisioning, Platform::Apple), Enforcement::Ignore);
    assert_eq!(of(Constraint::OsVersion, Platform::Android), Enforcement::Require);
    assert_eq!(of(Constraint::OsVersion, Platform::Apple), Enforcement::Warn);
    assert_eq!(of(Constraint::KnownTags, Platform::Android), Enforcement::Ignore);
}

#[test]
fn minimums_hold_for_every_app_or_for_one() {
    let policy = policy(&app(
        "[apple]\nminimum_os_version = '26.1'\nmaximum_risk_metric = 20\n\
         [android]\nminimum_os_version = '14'\nmaximum_revocation_age = '2d'\nmaximum_os_patch_age = '180d'\nminimum_os_patch = '2025-01'\n",
        "minimum_app_version = '2.10'\nminimum_version_code = 210\n\
         [app.on_android]\nminimum_os_version = '8.1'\nmaximum_os_patch_age = '365d'\n\
         [app.on_apple]\nminimum_os_version = '27'\nmaximum_risk_metric = 90\nvalidation_categories = ['app-store']\n\
         [[app]]\nclient_id = 'lab'\nmode = 'development'\n",
    ))
    .unwrap();
    let (shop, lab) = (policy.app("shop").unwrap(), policy.app("lab").unwrap());
    assert_eq!((shop.minimum_android_version, lab.minimum_android_version), (Some(80_100), Some(140_000)));
    assert_eq!((shop.maximum_os_patch_age, lab.maximum_os_patch_age), (Some(365), Some(180)));
    assert_eq!(
        (shop.minimum_os_patch, lab.minimum_os_patch),
        ("2025-01".parse().ok(), "2025-01".parse().ok())
    );
    assert_eq!((shop.maximum_revocation_age, lab.maximum_revocation_age), (172_800, 172_800));
    assert_eq!((shop.maximum_risk_metric, lab.maximum_risk_metric), (Some(90), Some(20)));
    assert_eq!(shop.minimum_apple_version.as_deref(), Some("27"));
    assert_eq!(lab.minimum_apple_version.as_deref(), Some("26.1"));
    assert_eq!((shop.minimum_app_version.as_deref(), shop.minimum_version_code), (Some("2.10"), Some(210)));
    assert_eq!((&lab.minimum_app_version, lab.minimum_version_code), (&None, None));
    assert_eq!(shop.validation_categories, [ValidationCategory::APP_STORE]);
}

#[test]
fn systems_certificates_and_shared_keys_are_limited_for_every_app_or_for_one() {
    let policy = policy(&app(
        "[android]\nboot_keys = ['GrapheneOS']\nmaximum_certificates_issued = 200\n\
         maximum_instances_per_certificate = { factory = 500 }\n",
        "[app.on_android]\nboot_keys = []\nmaximum_instances_per_certificate = { remote = 3 }\n\
         [[app]]\nclient_id = 'lab'\nmode = 'development'\n",
    ))
    .unwrap();
    let (shop, lab) = (policy.app("shop").unwrap(), policy.app("lab").unwrap());
    assert_eq!((&shop.boot_keys, &lab.boot_keys), (&vec![], &vec!["GrapheneOS".to_owned()]));
    assert_eq!((shop.maximum_certificates_issued, lab.maximum_certificates_issued), (Some(200), Some(200)));
    let instances = |app: &AppPolicy| {
        let most = app.maximum_instances_per_certificate;
        (most.remote, most.factory)
    };
    assert_eq!((instances(shop), instances(lab)), ((Some(3), Some(500)), (Some(10), Some(500))));
}

#[test]
fn a_version_or_an_age_that_cannot_be_meant_is_a_problem() {
    let cases = [
        ("[android]\nminimum_os_version = '14.0.0.1'\n", "Android has no such version"),
        ("[android]\nminimum_os_version = '140000'\n", "Android has no such version"),
        ("[android]\nminimum_os_version = '0'\n", "Android has no such version"),
        ("[android]\nminimum_os_version = 'U'\n", "write a version such as"),
        ("[apple]\nminimum_os_version = '17.x'\n", "write a version such as"),
        ("[android]\nmaximum_os_patch_age = '44d'\n", "patch levels come once a month"),
        ("[android]\nmaximum_os_patch_age = '180'\n", "write a time span"),
        ("[android]\nmaximum_revocation_age = '31d'\n", "a status list of more than 30d ago"),
        ("[android]\nminimum_os_version = 14\n", "write a text"),
    ];
    for (text, sentence) in cases {
        let found = policy(&format!("id = 'x'\n{text}")).unwrap_err();
        assert!(found.starts_with("policy.toml:3: ") && found.contains(sentence), "{text}: {found}");
    }
    for key in ["minimum_app_version = 'latest'", "minimum_version_code = -1", "minimum_version_code = '2'"] {
        assert!(policy(&app("", &format!("{key}\n"))).unwrap_err().starts_with("policy.toml:6: "), "{key}");
    }
}

#[test]
fn signals_are_named_or_masked_for_all_apps_and_for_one() {
    let policy = policy(&app(
        "[environment]\nrefuse = ['hooks', '0x8000000000000000']\nwarn = ['developer-mode']\n",
        "[app.environment]\nwarn = []\n[[app]]\nclient_id = 'lab'\nmode = 'development'\n",
    ))
    .unwrap();
    let (shop, lab) = (policy.app("shop").unwrap(), policy.app("lab").unwrap());
    let refused = environment::Environment(1 << 63).with(Signal::Hooks);
    assert_eq!((shop.refused_signals, lab.refused_signals), (refused, refused));
    assert!(shop.warned_signals.is_empty() && lab.warned_signals.contains(Signal::DeveloperMode));
}

#[test]
fn a_misspelt_signal_is_a_problem_and_names_those_that_there_are() {
    for wrong in ["hook", "Hooks", "0x", "0x0", "0xg", "0x10000000000000000", "8", ""] {
        let found = policy(&format!("id = 'x'\n[environment]\nrefuse = ['{wrong}']\n")).unwrap_err();
        assert!(found.starts_with("policy.toml:3: ") && found.contains("\"hooks\""), "{wrong}: {found}");
    }
}

#[test]
fn a_signal_is_not_refused_and_warned_of() {
    let cases = [
        ("[environment]\nrefuse = ['hooks', 'debugger', '0x8']\n", "", 3),
        ("[environment]\nrefuse = ['hooks']\nwarn = ['0x8']\n", "", 4),
        ("[environment]\nrefuse = ['hooks']\n", "environment = { warn = ['hooks'] }\n", 8),
        ("[environment]\nwarn = ['hooks']\n", "environment = { refuse = ['hooks'] }\n", 8),
    ];
    for (for_all, own, line) in cases {
        let found = policy(&app(for_all, own)).unwrap_err();
        assert!(found.starts_with(&format!("policy.toml:{line}: hooks ")), "{found}");
    }
    let moved = "environment = { refuse = ['hooks'], warn = [] }\n";
    assert!(policy(&app("[environment]\nwarn = ['hooks']\n", moved)).is_ok());
}

#[test]
fn cohorts_are_named_parts_of_an_app() {
    let text = "[[app.cohort]]\nname = 'strict'\npercentage = 10\n\
                [app.cohort.constraints]\nremote-provisioning = 'require'\n\
                [app.cohort.on_apple.constraints]\nremote-provisioning = 'ignore'\n";
    let policy = policy(&app("", text)).unwrap();
    let [cohort] = policy.app("shop").unwrap().cohorts.as_slice() else { panic!() };
    assert_eq!((cohort.name.as_str(), cohort.percentage), ("strict", 10));
    let of = |platform| cohort.enforcements.stated(Constraint::RemoteProvisioning, platform);
    assert_eq!(
        (of(Platform::Android), of(Platform::Apple)),
        (Some(Enforcement::Require), Some(Enforcement::Ignore))
    );
}

#[test]
fn a_cohort_that_cannot_be_meant_is_a_problem() {
    let cohort = |name: &str, percentage: &str, more: &str| {
        format!("[[app.cohort]]\nname = '{name}'\npercentage = {percentage}\n{more}\n")
    };
    let strict = "constraints = { known-tags = 'require' }";
    for percentage in ["0", "101", "-1", "10.5", "'10'"] {
        let found = policy(&app("", &cohort("a", percentage, strict))).unwrap_err();
        assert!(found.starts_with("policy.toml:8: "), "{found}");
    }
    let twice = cohort("a", "1", strict) + &cohort("a", "2", strict);
    let observed = format!("observe = true\n{}", cohort("a", "1", strict));
    let cases = [
        (twice, 11, "stands twice"),
        (cohort("a", "1", ""), 6, "changes nothing"),
        (observed, 6, "cohorts say nothing"),
        (cohort("", "1", strict), 7, "at least one character"),
        (cohort("a", "1", "observe = true"), 9, "not known here"),
    ];
    for (own, line, sentence) in cases {
        let found = policy(&app("", &own)).unwrap_err();
        let named = found.lines().any(|problem| {
            problem.starts_with(&format!("policy.toml:{line}: ")) && problem.contains(sentence)
        });
        assert!(named, "{found}");
    }
}

#[test]
fn labels_are_for_every_app_or_for_one() {
    let labels = |for_all: &str, own: &str| {
        policy(&app(for_all, own)).map(|policy| policy.app("shop").unwrap().exported_labels.clone())
    };
    let [rkp, tags] = [Constraint::RemoteProvisioning, Constraint::KnownTags];
    assert_eq!(labels("labels = ['known-tags']\n", ""), Ok(vec![tags]));
    assert_eq!(labels("labels = ['known-tags']\n", "labels = ['remote-provisioning']\n"), Ok(vec![rkp]));
    for wrong in ["['known-tags', 'known-tags']", "['knowntags']", "'known-tags'"] {
        let found = labels("", &format!("labels = {wrong}\n")).unwrap_err();
        assert!(found.starts_with("policy.toml:6: "), "{found}");
    }
}

#[test]
fn an_app_may_be_observed_and_its_results_live_shorter() {
    let policy = policy(&app("", "observe = true\nresult_lifetime = '5m'\n")).unwrap();
    let shop = policy.app("shop").unwrap();
    assert_eq!((shop.observe, shop.result_lifetime), (true, Some(300)));
    for wrong in ["59s", "601s", "11m", "1h"] {
        let found = super::tests::policy(&app("", &format!("result_lifetime = '{wrong}'\n"))).unwrap_err();
        assert!(found.starts_with("policy.toml:6: results live from 60s to 10m"), "{found}");
    }
}

#[test]
fn what_is_asked_of_a_platform_without_identity_is_a_problem() {
    let keys = [
        "on_android = { minimum_os_patch = '2025-01' }",
        "on_android = { constraints = { known-tags = 'require' } }",
        "minimum_version_code = 7",
    ];
    for key in keys {
        let text = |android: &str| {
            format!(
                "id = 'x'\n[[app]]\nclient_id = 'a'\napple = [{{ team_id = 'T', bundle_id = 'b' }}]\n{android}\n{key}\n"
            )
        };
        assert!(
            policy(&text("")).unwrap_err().starts_with("policy.toml:6: this app has no identity"),
            "{key}"
        );
        let android = format!("android = [{{ package = 'p', signing_digests = ['{DIGEST}'] }}]");
        assert!(policy(&text(&android)).is_ok(), "{key}");
    }
}

#[test]
fn the_schema_refuses_unknown_keys_everywhere() {
    let schema = document::schema::<PolicyFile>();
    let definitions = schema["$defs"].as_object().unwrap().values();
    let tables: Vec<_> =
        definitions.chain([&schema]).filter(|table| table.get("properties").is_some()).collect();
    assert!(tables.len() >= 11);
    for table in tables {
        assert_eq!(table["additionalProperties"], false, "{table:#}");
    }
}

/// A policy with the app `shop` on both platforms: `for_all` stands above it, `own` in it. Without `for_all`, `own`
/// begins on line 6.
fn app(for_all: &str, own: &str) -> String {
    format!(
        "id = 'x'\n{for_all}[[app]]\nclient_id = 'shop'\n\
         apple = [{{ team_id = 'TEAM', bundle_id = 'com.example' }}]\n\
         android = [{{ package = 'com.example', signing_digests = ['{DIGEST}'] }}]\n{own}"
    )
}

#[test]
fn every_wrong_value_is_named_with_its_line() {
    let found = policy(
        "id = 'x'\n[android]\nminimum_os_patch = '2025'\n[constraints]\nboot-state = 'maybe'\n\
         [[app]]\nclient_id = 'a'\nandroid = [{ package = 'p', signing_digests = ['00'] }]\n\
         [[app]]\nclient_id = 'a'\n",
    )
    .unwrap_err();
    for line in [3, 5, 8, 10] {
        assert!(found.contains(&format!("policy.toml:{line}: ")), "{line}: {found}");
    }
}

#[test]
fn a_root_that_cannot_be_used_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.toml");
    fs::write(directory.path().join("root.pem"), "no certificate").unwrap();
    fs::write(&file, "id = 'x'\n[danger]\nandroid_key_roots = ['root.pem', 'absent.pem']\n").unwrap();
    let found = load(&file).unwrap_err().to_string();
    assert!(found.contains("root.pem holds no root certificate"), "{found}");
    assert!(found.contains("absent.pem cannot be read"), "{found}");
}
