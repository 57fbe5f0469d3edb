//! Settings of client certificates as people write them, good and bad.

use std::fs;

use countersign_core::time::Timestamp;
use countersign_virtual_device::{ClientAuthority, Seed};

use super::*;

const EDGE: &str = "edge = '127.0.0.1:8081'\ngateway = 'nginx'\nclient_certificate = 'nginx-escaped-pem'";
const PINNED: &str =
    "app = 'app'\nthumbprint = '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff'";
const NAMED: &str = "app = 'app'\nsan = 'dns:partner.example'\nca_file = 'ca.pem'";

/// The settings with these lines of `[listen]` and these certificates, and a route that asks for `credentials`.
fn read(listen: &str, certificates: &[&str], credentials: &str) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("policy.toml"), "").unwrap();
    let authority =
        ClientAuthority::from_seed(&Seed::from_text("a"), Timestamp::from_unix_seconds(1_800_000_000));
    fs::write(directory.path().join("ca.pem"), authority.certificate_pem()).unwrap();
    fs::write(directory.path().join("leaf.pem"), authority.issue("dns:a").certificate_pem()).unwrap();
    let certificates: String =
        certificates.iter().map(|lines| format!("[[resource.client_certificate]]\n{lines}\n")).collect();
    let text = format!(
        "issuer = 'https://a.example'\n[listen]\n{listen}\n[[resource]]\nname = 'api'\n\
         identifier = 'https://api.example'\napps = ['app']\n{certificates}[[resource.route]]\npath = '/'\n\
         credentials = {credentials}\n"
    );
    let file = directory.path().join("settings.toml");
    fs::write(&file, text).unwrap();
    Settings::load(&file).map_err(|problems| problems.to_string())
}

fn refused(certificate: &str) -> String {
    read(EDGE, &[certificate], "['client_certificate']").unwrap_err()
}

#[test]
fn certificates_by_thumbprint_and_by_name_are_read() {
    let pinned = format!("{PINNED}\nnot_after = '2027-06-30'\nscopes = ['read']");
    let settings = read(EDGE, &[&pinned, NAMED], "['client_certificate']").unwrap();
    let [pinned, named] = settings.resources[0].client_certificates.as_slice() else { panic!("two") };
    assert_eq!(pinned.not_after.as_ref().unwrap().end().as_unix_seconds(), 1_814_399_999);
    assert!(pinned.name().is_none() && named.name().is_some());
    assert!(named.ca_file.as_ref().unwrap().is_absolute());
    assert_eq!(settings.listen.client_certificate, Some(ClientCertificateField::NginxEscapedPem));
}

#[test]
fn no_field_is_read_and_every_peer_may_ask_unless_the_settings_say_so() {
    let listen = ListenSettings::default();
    assert_eq!(listen.client_certificate, None);
    assert!(listen.is_trusted_gateway([192, 0, 2, 1].into()));
}

#[test]
fn an_entry_is_one_certificate_or_one_name() {
    assert!(refused("app = 'app'").contains("which certificate?"));
    assert!(refused(&format!("{PINNED}\nsan = 'dns:a'")).contains("which certificate?"));
    assert!(refused(&PINNED.replace("ff'", "f'")).contains("64 hexadecimal digits"));
    for san in [
        "partner.example",
        "dns:",
        "dns:*.example",
        "dns:a b",
        "uri:",
        "uri:nothing",
        "ip:192.0.2.1",
        "uri:a:\u{e9}",
    ] {
        let found = refused(&format!("app = 'app'\nsan = '{san}'\nca_file = 'ca.pem'"));
        assert!(found.contains("a whole name is"), "{san}: {found}");
    }
}

#[test]
fn a_thumbprint_has_an_end_and_a_name_has_an_authority() {
    assert!(refused(PINNED).contains("add `not_after`"));
    let with_authority = format!("{PINNED}\nnot_after = '2027-06-30'\nca_file = 'ca.pem'");
    assert!(refused(&with_authority).contains("whoever issued it"));
    assert!(refused("app = 'app'\nsan = 'dns:a'").contains("add `ca_file`"));
    assert!(refused(&NAMED.replace("ca.pem", "missing.pem")).contains("does not exist"));
    assert!(refused(&NAMED.replace("ca.pem", "leaf.pem")).contains("certificate 1"));
    assert!(refused(&NAMED.replace("ca.pem", "policy.toml")).contains("holds no certificates"));
    assert!(refused(&format!("{NAMED}\nnot_after = 'never'")).contains("a day such as"));
}

#[test]
fn an_entry_belongs_to_an_app_of_the_resource_and_stands_once() {
    assert!(refused(&NAMED.replace("'app'", "'other'")).contains("write `apps = [\"other\"]`"));
    assert!(refused(&format!("{NAMED}\nscopes = ['a b']")).contains("one word"));
    let upper = NAMED.replace("partner", "PARTNER");
    let twice = read(EDGE, &[NAMED, &upper], "['client_certificate']").unwrap_err();
    assert!(twice.contains("the same certificate already"), "{twice}");
}

#[test]
fn list_and_routes_belong_together() {
    assert!(read(EDGE, &[], "['client_certificate']").unwrap_err().contains("list them as"));
    assert!(read(EDGE, &[NAMED], "[]").unwrap_err().contains("no route asks for client certificates"));
    let untold = "edge = '127.0.0.1:8081'\ngateway = 'nginx'";
    assert!(read(untold, &[NAMED], "['client_certificate']").unwrap_err().contains("how the gateway tells"));
    let step_up = "['client_certificate']\nmax_age = '5m'";
    assert!(read(EDGE, &[NAMED], step_up).unwrap_err().contains("only an access token tells"));
}

#[test]
fn whoever_reaches_the_edge_from_another_machine_cannot_claim_a_certificate() {
    let listen = |more: &str| {
        let text = EDGE.replace("127.0.0.1:8081", "0.0.0.0:8081");
        read(&format!("danger_plaintext = true\n{text}\n{more}"), &[], "[]")
    };
    assert!(listen("").unwrap_err().contains("could claim any certificate"));
    let settings = listen("trusted_gateways = ['10.0.0.0/8', '::1']").unwrap();
    assert!(settings.listen.is_trusted_gateway([10, 1, 2, 3].into()));
    assert!(!settings.listen.is_trusted_gateway([11, 1, 2, 3].into()));
    assert!(
        listen("trusted_gateways = ['10.0.0.1/8']").unwrap_err().contains("begins with its first address")
    );
}

#[test]
fn without_an_edge_no_gateway_tells_anything() {
    let found = read("client_certificate = 'xfcc'\ntrusted_gateways = ['127.0.0.1']", &[], "[]").unwrap_err();
    assert_eq!(found.matches("without `edge`").count(), 2, "{found}");
}
