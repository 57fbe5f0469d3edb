//! What operators hand in: status lists, settings and policies.

use std::path::Path;

use countersign_service::document;
use countersign_service::policy_file::PolicyFile;
use countersign_service::settings::Settings;
use countersign_verifier::revocation::RevocationList;
use countersign_virtual_device::google_authority::status_list_json;

use super::{choose, chosen, world};

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    if choice == 0 {
        if let Ok(list) = RevocationList::parse(data, world::NOW) {
            assert!(list.is_empty() || data.contains(&b':'), "entries out of nothing");
            assert!(std::str::from_utf8(data).is_ok(), "a list is text");
        }
        return;
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match choice {
        1 => {
            let _ = Settings::parse(Path::new("fuzz.toml"), text).map_err(|problems| problems.to_string());
        }
        _ => {
            let _ = document::parse::<PolicyFile>("fuzz.toml", text).map_err(|problems| problems.to_string());
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let settings = "issuer = \"https://attest.example\"\npolicy = \"policy.toml\"\n\
        [listen]\npublic = \"127.0.0.1:8080\"\nedge = \"127.0.0.1:8081\"\ngateway = \"nginx\"\n\
        [lifetime]\nresult = \"10m\"\n\
        [[resources]]\nname = \"api\"\nidentifier = \"https://api.example\"\n";
    let policy = "id = \"default/1\"\n[constraints]\nverified-boot = \"warn\"\n\
        [[apps]]\nclient_id = \"app\"\nmode = \"development\"\n\
        [[apps.apple]]\nteam_id = \"ABCDE12345\"\nbundle_id = \"com.example.app\"\n\
        [[apps.android]]\npackage = \"com.example.app\"\nsigning_digests = [\"00\"]\n";
    vec![
        chosen(0, status_list_json(&[("abcdef", "REVOKED"), ("1", "SUSPENDED")]).as_bytes()),
        chosen(1, settings.as_bytes()),
        chosen(1, b"issuer = \"https://attest.example\"\n"),
        chosen(2, policy.as_bytes()),
    ]
}
