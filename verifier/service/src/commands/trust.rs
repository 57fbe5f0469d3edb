//! `countersign trust`: what evidence is judged by, and the bundles that say so.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use countersign_core::encoding::{base64url, from_base64url_array};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_verifier::anchors::Anchor;
use countersign_verifier::boot_keys::BootKey;
use countersign_verifier::certificate_file;
use countersign_verifier::trust_bundle::{
    BundleContent, BundledRoots, BundledStatusList, MAX_BUNDLE, NotedBootKey, RootKind, TrustBundle,
};
use ed25519_dalek::Signer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

use crate::boot_keys_file::{BootKeySection, BootKeysFile};
use crate::bounded_file;
use crate::cli::{Exit, SettingsFile, answer, complain};
use crate::clock::Clock;
use crate::document;
use crate::keys;
use crate::settings::{Settings, TimeSpan};
use crate::trust::{Trust, bundle_key};

/// Longest input file, in bytes.
const MAX_INPUT: u64 = MAX_BUNDLE as u64;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print which policy, roots, status list and boot keys the settings lead to, as JSON.
    Show(SettingsFile),
    /// The key that signs trust bundles.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Roots, status list and boot keys in one signed file.
    #[command(subcommand)]
    Bundle(BundleCommand),
}

/// What to do with the signing key.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print its public part, for `bundle_key` in the settings. Keep the file off the service's machine.
    New {
        /// The file to write; there must be none. Mode 0600.
        file: PathBuf,
    },
}

/// What to do with a bundle.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Make a bundle and sign it.
    Make(Box<Make>),
    /// Print what a bundle says, as JSON. Nothing is verified.
    Show {
        /// The bundle.
        file: PathBuf,
    },
    /// Verify a bundle as the service would, except that the service also compares its version with the last one's.
    Verify {
        /// The bundle.
        file: PathBuf,
        /// The public key that must have signed it.
        #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
        key: String,
    },
}

/// What goes into a bundle.
#[derive(Debug, Args)]
pub struct Make {
    /// The signing key, as `countersign trust key new` wrote it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The version; higher than that of every bundle before.
    #[arg(long, value_name = "NUMBER")]
    version: u64,
    /// How long the bundle is good, such as 90d; after that no device gets a result. Default: for ever.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    lifetime: Option<TimeSpan>,
    /// Roots (PEM or DER) beside the embedded ones: KIND=FILE with app-attest, app-attest-receipt or android-key.
    #[arg(long, value_name = "KIND=FILE", value_parser = roots)]
    roots: Vec<(RootKind, PathBuf)>,
    /// A kind of roots that stands in the place of the embedded ones, instead of beside them.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    replace: Vec<RootKind>,
    /// Android's status list (JSON).
    #[arg(long, value_name = "FILE")]
    status_list: Option<PathBuf>,
    /// How old that list is by now. Default: it was fetched just now.
    #[arg(long, value_name = "SPAN", value_parser = span, requires = "status_list")]
    status_list_age: Option<TimeSpan>,
    /// Boot keys (TOML, see docs/trust-bundle.md).
    #[arg(long, value_name = "FILE")]
    boot_keys: Option<PathBuf>,
    /// The file to write.
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

/// The file of a signing key: a private JWK (RFC 8037).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    kty: String,
    crv: String,
    x: String,
    d: String,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.d.zeroize();
    }
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    let done = match command {
        Command::Show(settings) => show_trust(&settings.path),
        Command::Key(KeyCommand::New { file }) => new_key(file),
        Command::Bundle(BundleCommand::Make(make)) => make_bundle(make),
        Command::Bundle(BundleCommand::Show { file }) => show_bundle(file),
        Command::Bundle(BundleCommand::Verify { file, key }) => verify_bundle(file, key),
    };
    match done {
        Ok(text) => {
            answer(text);
            Exit::Success
        }
        Err(sentence) => {
            complain(sentence);
            Exit::Failure
        }
    }
}

fn show_trust(settings: &Path) -> Result<String, String> {
    let settings = Settings::load(settings).map_err(|problems| problems.to_string())?;
    let now = Clock::system().now();
    let trust = Trust::load(&settings, now).map_err(|error| error.to_string())?;
    let names =
        |anchors: &[Anchor]| anchors.iter().map(|anchor| anchor.name().to_owned()).collect::<Vec<_>>();
    let list = trust.revocation.as_ref().zip(trust.revocation_age(now)).map(|(list, (age, stale))| {
        json!({
            "entries": list.len(),
            "as_of": list.as_of().as_unix_seconds(),
            "age_hours": age / 3600,
            "too_old": stale,
        })
    });
    let bundle = trust.bundle().map(|bundle| {
        json!({
            "version": bundle.seen().version,
            "issued_at": bundle.issued_at().as_unix_seconds(),
            "expires_at": bundle.expires_at().map(Timestamp::as_unix_seconds),
            "hours_left": trust.bundle_time_left(now).map(|left| left / 3600),
        })
    });
    let mut systems: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in trust.policy.boot_keys().entries() {
        *systems.entry(entry.name.as_str()).or_default() += 1;
    }
    let all = json!({
        "policy": trust.policy.id(),
        "generation": trust.generation().to_string(),
        "roots": {
            "app-attest": names(trust.anchors.app_attest()),
            "app-attest-receipt": names(trust.anchors.app_attest_receipt()),
            "android-key": names(trust.anchors.android_key()),
        },
        "status_list": list,
        "bundle": bundle,
        "boot_keys": systems,
    });
    Ok(format!("{all:#}"))
}

fn new_key(file: &Path) -> Result<String, String> {
    if file.exists() {
        return Err(format!("{} exists already; a key is never overwritten", file.display()));
    }
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(|_| "the system gives no randomness".to_owned())?;
    let public = ed25519_dalek::SigningKey::from_bytes(&secret).verifying_key().to_bytes();
    let x = base64url(&public);
    let key =
        KeyFile { kty: "OKP".to_owned(), crv: "Ed25519".to_owned(), x: x.clone(), d: base64url(&*secret) };
    let text = Zeroizing::new(serde_json::to_string(&key).unwrap_or_default());
    keys::write_private(file, &text).map_err(|error| error.to_string())?;
    Ok(x)
}

fn signing_key(file: &Path) -> Result<ed25519_dalek::SigningKey, String> {
    let text = keys::read_secret(file).map_err(|error| error.to_string())?;
    let damaged = || format!("{} is no key file of this program", file.display());
    let key: KeyFile = serde_json::from_str(&text).map_err(|_| damaged())?;
    let secret = Zeroizing::new(from_base64url_array::<32>(&key.d).map_err(|_| damaged())?);
    let signing = ed25519_dalek::SigningKey::from_bytes(&secret);
    let whole = key.kty == "OKP" && key.crv == "Ed25519";
    let same = key.x == base64url(&signing.verifying_key().to_bytes());
    if whole && same { Ok(signing) } else { Err(damaged()) }
}

fn make_bundle(make: &Make) -> Result<String, String> {
    let now = Clock::system().now();
    let signing = signing_key(&make.key)?;
    let public = PublicKey::from_ed25519(signing.verifying_key().to_bytes())
        .map_err(|_| "this key cannot sign bundles; make another one".to_owned())?;
    if let Some(kind) = make.replace.iter().find(|kind| make.roots.iter().all(|(named, _)| named != *kind)) {
        return Err(format!(
            "--replace {0} needs --roots {0}=FILE: without a root nothing would verify",
            kind.name()
        ));
    }
    let mut content = BundleContent {
        version: make.version,
        issued_at: now,
        expires_at: make.lifetime.map(|lifetime| now.plus(lifetime.as_seconds())),
        roots: Vec::new(),
        status_list: None,
        boot_keys: Vec::new(),
    };
    for kind in RootKind::ALL {
        let mut certificates = Vec::new();
        for (_, file) in make.roots.iter().filter(|(named, _)| *named == kind) {
            let found = certificate_file::certificates(&read(file)?);
            certificates.extend(found.map_err(|error| format!("{}: {}", file.display(), error.reason()))?);
        }
        if !certificates.is_empty() {
            content.roots.push(BundledRoots { kind, replace: make.replace.contains(&kind), certificates });
        }
    }
    if let Some(file) = &make.status_list {
        let age = make.status_list_age.map_or(0, TimeSpan::as_seconds);
        content.status_list = Some(BundledStatusList { as_of: now.minus(age), json: read(file)? });
    }
    if let Some(file) = &make.boot_keys {
        content.boot_keys = boot_keys(file)?;
    }
    let message = content.to_unsigned(&public);
    let bytes = message.with_signature(&signing.sign(&message.to_be_signed()).to_bytes());
    // What the service would refuse is not written.
    TrustBundle::verify(&bytes, &public, now)
        .map_err(|error| format!("this would be no trust bundle: {error}"))?;
    fs::write(&make.out, &bytes).map_err(|error| format!("{}: {error}", make.out.display()))?;
    Ok(format!("{}: version {}, {} bytes", make.out.display(), make.version, bytes.len()))
}

fn boot_keys(file: &Path) -> Result<Vec<NotedBootKey>, String> {
    let written: BootKeysFile = document::load(file).map_err(|problems| problems.to_string())?;
    let noted = |key: BootKeySection| {
        let BootKeySection { verified_boot_key, name, models, note } = key;
        NotedBootKey { key: BootKey { verified_boot_key: verified_boot_key.bytes(), name, models }, note }
    };
    Ok(written.boot_keys.into_iter().map(noted).collect())
}

fn show_bundle(file: &Path) -> Result<String, String> {
    let content =
        BundleContent::claimed(&read(file)?).map_err(|error| format!("{}: {error}", file.display()))?;
    let roots: Vec<Value> = content
        .roots
        .iter()
        .map(|roots| json!({ "kind": roots.kind.name(), "replace": roots.replace, "certificates": roots.certificates.len() }))
        .collect();
    let boot_keys: Vec<Value> = content
        .boot_keys
        .iter()
        .map(|noted| {
            let mut key = json!(noted.key);
            key["note"] = json!(noted.note);
            key
        })
        .collect();
    let all = json!({
        "verified": false,
        "version": content.version,
        "issued_at": content.issued_at.as_unix_seconds(),
        "expires_at": content.expires_at.map(Timestamp::as_unix_seconds),
        "roots": roots,
        "status_list": content.status_list.as_ref().map(|list| {
            json!({ "as_of": list.as_of.as_unix_seconds(), "bytes": list.json.len() })
        }),
        "boot_keys": boot_keys,
    });
    Ok(format!("{all:#}"))
}

fn verify_bundle(file: &Path, key: &str) -> Result<String, String> {
    let key = bundle_key(key).ok_or("--key is no Ed25519 public key: 43 characters of base64url")?;
    let bundle = TrustBundle::verify(&read(file)?, &key, Clock::system().now());
    let bundle = bundle.map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(format!("{}: good, version {}", file.display(), bundle.seen().version))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    bounded_file::read(file, MAX_INPUT).map_err(|error| format!("{}: {error}", file.display()))
}

fn span(text: &str) -> Result<TimeSpan, String> {
    TimeSpan::try_from(text.to_owned()).map_err(|_| "write a time span such as 12h or 90d".to_owned())
}

fn kind(text: &str) -> Result<RootKind, String> {
    let known = RootKind::ALL.into_iter().find(|kind| kind.name() == text);
    known.ok_or_else(|| "roots are for app-attest, app-attest-receipt or android-key".to_owned())
}

fn roots(text: &str) -> Result<(RootKind, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("write KIND=FILE, such as android-key=root.pem")?;
    Ok((kind(name)?, PathBuf::from(file)))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const LIST: &str = r#"{"entries":{"1":{"status":"REVOKED"}}}"#;
    const BOOT_KEYS: &str = "[[boot_key]]\nname = 'GrapheneOS'\nmodels = ['Pixel 9']\nnote = 'its own page'\n\
                             verified_boot_key = '0101010101010101010101010101010101010101010101010101010101010101'\n";

    fn desk() -> (TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let public = new_key(&directory.path().join("key")).unwrap();
        fs::write(directory.path().join("list.json"), LIST).unwrap();
        fs::write(directory.path().join("boot-keys.toml"), BOOT_KEYS).unwrap();
        (directory, public)
    }

    fn make(directory: &TempDir) -> Make {
        let path = |name: &str| directory.path().join(name);
        Make {
            key: path("key"),
            version: 3,
            lifetime: Some(TimeSpan::from_seconds(86_400)),
            roots: Vec::new(),
            replace: Vec::new(),
            status_list: Some(path("list.json")),
            status_list_age: None,
            boot_keys: Some(path("boot-keys.toml")),
            out: path("bundle"),
        }
    }

    #[test]
    fn a_bundle_that_is_made_is_verified_and_shown() {
        let (directory, public) = desk();
        let file = directory.path().join("bundle");
        make_bundle(&make(&directory)).unwrap();
        assert!(verify_bundle(&file, &public).unwrap().ends_with("good, version 3"));
        let shown: Value = serde_json::from_str(&show_bundle(&file).unwrap()).unwrap();
        assert_eq!((&shown["verified"], &shown["version"]), (&json!(false), &json!(3)));
        assert_eq!(shown["boot_keys"][0]["name"], "GrapheneOS");
        assert_eq!(shown["boot_keys"][0]["note"], "its own page");
    }

    #[test]
    fn a_bundle_of_another_key_is_refused_in_a_sentence() {
        let (directory, _) = desk();
        make_bundle(&make(&directory)).unwrap();
        let other = new_key(&directory.path().join("other")).unwrap();
        let refused = verify_bundle(&directory.path().join("bundle"), &other).unwrap_err();
        assert!(refused.contains("another key than the one that is trusted"), "{refused}");
    }

    #[test]
    fn what_the_service_would_refuse_is_not_written() {
        let (directory, _) = desk();
        fs::write(directory.path().join("list.json"), r#"{"entries":{}}"#).unwrap();
        let refused = make_bundle(&make(&directory)).unwrap_err();
        assert!(refused.contains("no entries"), "{refused}");
        let alone = Make { status_list: None, replace: vec![RootKind::AndroidKey], ..make(&directory) };
        assert!(make_bundle(&alone).unwrap_err().contains("--roots android-key=FILE"));
        assert!(!directory.path().join("bundle").exists());
    }

    #[test]
    fn a_misspelt_boot_key_is_a_problem() {
        let (directory, _) = desk();
        for wrong in [
            BOOT_KEYS.replace("models", "modells"),
            BOOT_KEYS.replace("0101'", "'"),
            "boot_key = 1".to_owned(),
        ] {
            fs::write(directory.path().join("boot-keys.toml"), &wrong).unwrap();
            assert!(make_bundle(&make(&directory)).unwrap_err().contains("boot-keys.toml"), "{wrong}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_private_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt;

        let (directory, _) = desk();
        let file = directory.path().join("key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(new_key(&file).unwrap_err().contains("never overwritten"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(make_bundle(&make(&directory)).is_err());
    }
}
