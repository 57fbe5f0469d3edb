//! Settings of attempts, anomalies and pages as people write them, good and bad.

use std::fs;

use super::*;

/// The settings with these lines of the resource, and these of its only route.
fn read(resource: &str, route: &str) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("policy.toml"), "").unwrap();
    let text = format!(
        "issuer = 'https://a.example'\n{resource}\n[[resource.route]]\npath = '/'\ncredentials = []\n{route}\n"
    );
    let file = directory.path().join("settings.toml");
    fs::write(&file, text).unwrap();
    Settings::load(&file).map_err(|problems| problems.to_string())
}

fn with(lines: &str) -> Result<Settings, String> {
    read(
        &format!("[[resource]]\nname = 'api'\nidentifier = 'https://api.example'\napps = ['app']\n{lines}"),
        "",
    )
}

#[test]
fn a_signal_alone_is_a_rule_and_only_observes() {
    let settings = with("[[resource.anomaly]]\nsignal = 'session_key_many_addresses'").unwrap();
    let rule = settings.resources[0].anomalies[0].rule().unwrap();
    assert_eq!((rule.threshold(), rule.window()), (8, 600));
    assert_eq!(rule.action().name(), "observe");
}

#[test]
fn a_rule_that_cannot_be_kept_is_a_problem_of_its_line() {
    let rule = |signal: &str, more: &str| {
        with(&format!("[[resource.anomaly]]\nsignal = '{signal}'\n{more}")).unwrap_err()
    };
    assert!(rule("instance_many_subjects", "threshold = 65").contains("write 1 to 64"));
    assert!(rule("instance_many_subjects", "window = '2d'").contains("ten seconds to a day"));
    assert!(rule("refusal_ratio_jump", "action = 'refuse'").contains("only observed"));
    assert!(rule("instance_many_subjects", "action = 'tighten'").contains("no route has a limit"));
    let twice = "[[resource.anomaly]]\nsignal = 'instance_many_subjects'\n";
    assert!(with(&twice.repeat(2)).unwrap_err().contains("remove one"));
}

#[test]
fn pages_are_named_exactly_and_never_everybody() {
    assert!(with("[resource.cors]\norigins = ['https://app.example']\npaths = ['/v1']").is_ok());
    for origin in ["*", "null", "https://App.example", "https://app.example:443", "https://*.example"] {
        assert!(with(&format!("[resource.cors]\norigins = ['{origin}']")).is_err(), "{origin}");
    }
    assert!(with("[resource.cors]\norigins = []").is_err());
    let cors = "[resource.cors]\norigins = ['https://app.example']\n";
    assert!(with(&format!("{cors}paths = ['v1']")).unwrap_err().contains("no path prefix"));
    assert!(with(&format!("{cors}max_age = '2d'")).unwrap_err().contains("a day at most"));
}

#[test]
fn attempts_are_kept_for_a_day_and_never_for_long() {
    let settings = with("").unwrap();
    assert_eq!((settings.attempts.entries, settings.attempts.kept.as_seconds()), (10_000, 86_400));
    assert!(read("[attempts]\nkept = '31d'\n[[resource]]\nname = 'api'\nidentifier = 'https://api.example'\napps = ['app']", "").unwrap_err().contains("30 days"));
}
