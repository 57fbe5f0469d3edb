//! What stands in header fields and request lines: challenges, identifiers, URIs, paths, methods, fields.

use countersign_core::challenge::Challenge;
use countersign_core::encoding::{base64url, from_base64url};
use countersign_core::request::{self, Origin, TargetUri};
use countersign_core::token::keys::Thumbprint;
use countersign_core::token::result::InstanceId;
use countersign_verifier::check::Field;

use super::{choose, chosen, world};

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    let lines = data.split(|byte| *byte == b'\n');
    if let Field::One(value) = Field::from_lines(lines) {
        let value = value.expose();
        assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b','));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match choice {
        0 => {
            if let Ok(challenge) = Challenge::from_base64url(text) {
                assert_eq!(challenge.to_base64url(), text, "one text per challenge");
                assert_eq!(Challenge::from_bytes(challenge.as_bytes()), Ok(challenge));
            }
            if let Ok(bytes) = from_base64url(text) {
                assert_eq!(base64url(&bytes), text, "one text per value");
            }
            if let Ok(id) = InstanceId::from_base64url(text) {
                assert_eq!(id.to_base64url(), text);
            }
        }
        1 => {
            let Ok(uri) = TargetUri::parse(text) else { return };
            let htu = uri.to_htu();
            let again = TargetUri::parse(&htu).expect("what was normalised is a URI");
            assert_eq!(again.to_htu(), htu, "normalising twice changes nothing");
            assert_eq!(again.origin(), uri.origin());
            assert!(again.query.is_none() && again.is_at(&uri.origin(), uri.path));
            let origin = uri.origin().to_string();
            assert_eq!(Origin::parse(&origin), Ok(uri.origin()));
        }
        2 => {
            let (path, _) = request::split_query(text);
            if request::check_path(path).is_err() {
                return;
            }
            let normalised: Vec<u8> = request::normalised(path).collect();
            let normalised = String::from_utf8(normalised).expect("ASCII");
            assert_eq!(request::check_path(&normalised), Ok(()));
            assert!(
                request::normalised(&normalised).eq(normalised.bytes()),
                "normalising twice changes nothing"
            );
            assert!(request::decoded(path).eq(request::decoded(&normalised)), "the same for every server");
            let decoded: Vec<u8> = request::decoded(path).collect();
            let has_dots = decoded.split(|byte| *byte == b'/').any(|part| part == b"." || part == b"..");
            assert!(!has_dots, "no dot segment in any reading");
        }
        _ => {
            if request::check_method(text).is_ok() {
                assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'));
            }
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        chosen(0, world::challenge().to_base64url().as_bytes()),
        chosen(0, InstanceId::from_bytes([5; 16]).to_base64url().as_bytes()),
        chosen(0, Thumbprint::from_bytes([5; 32]).to_base64url().as_bytes()),
        chosen(1, b"https://API.example:443/v1/a%7Eb%2fc?page=1"),
        chosen(1, b"http://[2001:db8::1]:8080/"),
        chosen(1, b"https://user@api.example/a/../b#c"),
        chosen(2, b"/v1/accounts/1%20;x/%2e%2e/%5c?page=1"),
        chosen(2, b"/v1/%41%c3%a9/"),
        chosen(3, b"PROPFIND"),
    ]
}
