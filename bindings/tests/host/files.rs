//! What is kept in files: the state, and the keys of a development installation.
#![cfg(unix)]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use countersign_core::token::keys::{PublicKey, PureRust, VerifySignature};
use countersign_ffi::{
    Attester, Configuration, CountersignError, DevelopmentKeys, EnrolmentLock, Entry, EvidenceError,
    EvidenceRequest, EvidenceSource, FileStorage, GatheredEvidence, InstanceKeys, KeyProtection,
    KeyStoreError, Parts, Storage, StorageError,
};

use crate::phone::{IPHONE, Phone, block_on, configuration, request};

fn storage(folder: &Path) -> FileStorage {
    FileStorage::new(folder, &configuration(IPHONE))
}

/// The files of one kind in the library's own folder.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("countersign")).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect()
}

/// The file of the state, once something was stored.
fn state(folder: &Path) -> PathBuf {
    block_on(storage(folder).store(b"state".to_vec())).unwrap();
    let [state] = &files(folder, "")[..] else { panic!("one file") };
    state.clone()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

/// An attester of `phone` whose state is in `folder`.
fn attester(phone: &Arc<Phone>, folder: &Path) -> Arc<Attester> {
    let storage = Arc::new(storage(folder));
    let mut parts = Parts { enrolment_lock: Some(storage.clone()), ..phone.parts() };
    parts.ports.storage = storage;
    Attester::from_parts(configuration(IPHONE), parts).unwrap()
}

#[test]
fn what_was_stored_is_this_users_alone_and_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path());
    assert_eq!(block_on(storage.load()), Ok(None));
    assert!(!folder.path().join("countersign").exists(), "reading makes nothing");
    for state in [b"one".to_vec(), vec![7; 20_000], Vec::new()] {
        block_on(storage.store(state.clone())).unwrap();
        assert_eq!(block_on(storage.load()), Ok(Some(state)));
    }
    assert_eq!(mode(&folder.path().join("countersign")), 0o700);
    let files = files(folder.path(), "");
    assert_eq!(files.len(), 1, "nothing unfinished is left: {files:?}");
    assert_eq!(mode(&files[0]), 0o600);
}

#[test]
fn a_folder_that_others_could_enter_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("countersign");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, Permissions::from_mode(0o777)).unwrap();
    block_on(storage(folder.path()).store(b"state".to_vec())).unwrap();
    assert_eq!(mode(&own), 0o700);
}

#[test]
fn a_folder_that_is_a_link_is_not_used() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(elsewhere.path(), folder.path().join("countersign")).unwrap();
    assert_eq!(block_on(storage(folder.path()).store(b"state".to_vec())), Err(StorageError::Failed));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_damaged_state_costs_an_enrolment_and_nothing_else() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("other bytes", |path| fs::write(path, [0xa5; 300]).unwrap()),
        ("cut", |path| {
            let length = fs::metadata(path).unwrap().len();
            File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
        }),
        ("empty", |path| fs::write(path, []).unwrap()),
        ("far too long", |path| fs::write(path, vec![0; 70_000]).unwrap()),
        ("a link", |path| {
            let target = path.with_extension("target");
            fs::rename(path, &target).unwrap();
            symlink(&target, path).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let phone = Phone::new();
        block_on(attester(&phone, folder.path()).refresh()).unwrap();
        let [path] = &files(folder.path(), "")
            .into_iter()
            .filter(|path| path.extension().is_none())
            .collect::<Vec<_>>()[..]
        else {
            panic!("one state")
        };
        damage(path);
        assert!(block_on(attester(&phone, folder.path()).prove_when_ready(request())).is_ok(), "{what}");
        assert_eq!(phone.calls("/v1/instances"), 2, "{what}");
        // It was replaced, so that the next process goes on with it.
        block_on(attester(&phone, folder.path()).refresh()).unwrap();
        assert_eq!((phone.calls("/v1/instances"), phone.calls("/results")), (2, 1), "{what}");
    }
}

#[test]
fn a_link_in_place_of_the_state_is_replaced_and_not_followed() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = state(folder.path());
    let target = elsewhere.path().join("target");
    fs::write(&target, b"not ours").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&target, &path).unwrap();
    let storage = storage(folder.path());
    assert_eq!(block_on(storage.load()), Err(StorageError::Failed));
    block_on(storage.store(b"new".to_vec())).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"not ours");
    assert_eq!(block_on(storage.load()), Ok(Some(b"new".to_vec())));
}

#[test]
fn what_is_no_file_is_an_error_and_keeps_nobody_from_enrolling() {
    let folder = tempfile::tempdir().unwrap();
    let path = state(folder.path());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let storage = storage(folder.path());
    assert_eq!(block_on(storage.load()), Err(StorageError::Failed));
    assert_eq!(block_on(storage.store(b"new".to_vec())), Err(StorageError::Failed));
    assert_eq!(files(folder.path(), ".new").len(), 0, "nothing unfinished is left");
    let phone = Phone::new();
    assert!(block_on(attester(&phone, folder.path()).prove_when_ready(request())).is_ok());
}

#[test]
fn a_folder_that_cannot_be_made_keeps_nobody_from_enrolling() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    assert_eq!(block_on(storage(&file).store(b"state".to_vec())), Err(StorageError::Failed));
    assert!(matches!(storage(&file).try_enter(), Entry::Unknown));
    let phone = Phone::new();
    assert!(block_on(attester(&phone, &file).prove_when_ready(request())).is_ok());
}

#[test]
fn a_reader_sees_what_one_writer_wrote_and_no_mixture() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path());
    block_on(storage.store(vec![0; 8_000])).unwrap();
    std::thread::scope(|scope| {
        for byte in 1..=4 {
            let storage = &storage;
            scope.spawn(move || {
                for _ in 0..25 {
                    block_on(storage.store(vec![byte; 8_000])).unwrap();
                }
            });
        }
        for _ in 0..200 {
            let read = block_on(storage.load()).unwrap().unwrap();
            assert!(read.len() == 8_000 && read.iter().all(|byte| *byte == read[0]));
        }
    });
}

#[test]
fn what_a_crash_left_behind_is_swept_away_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = state(folder.path());
    let [old, recent] =
        ["0000000000000001", "0000000000000002"].map(|number| path.with_extension(format!("{number}.new")));
    for file in [&old, &recent] {
        fs::write(file, b"unfinished").unwrap();
    }
    let two_hours_ago = SystemTime::now() - Duration::from_secs(7_200);
    File::options().write(true).open(&old).unwrap().set_modified(two_hours_ago).unwrap();
    block_on(storage(folder.path()).store(b"state".to_vec())).unwrap();
    assert!(!old.exists());
    assert!(recent.exists(), "another process may be writing it");
}

#[test]
fn other_issuers_and_clients_have_states_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let one = configuration(IPHONE);
    let others = [
        Configuration { client_id: "other".to_owned(), ..one.clone() },
        Configuration { issuer: "https://other.example".to_owned(), ..one.clone() },
    ];
    block_on(FileStorage::new(&folder, &one).store(b"one".to_vec())).unwrap();
    for other in others {
        assert_eq!(block_on(FileStorage::new(&folder, &other).load()), Ok(None));
    }
}

#[test]
fn one_at_a_time_is_inside_and_leaving_lets_the_next_in() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [storage(folder.path()), storage(folder.path())];
    let Entry::Entered(inside) = first.try_enter() else { panic!("nobody was inside") };
    assert!(matches!(second.try_enter(), Entry::Taken));
    drop(inside);
    assert!(matches!(second.try_enter(), Entry::Entered(_)));
}

#[test]
fn whoever_finds_the_lock_taken_goes_on_with_what_the_other_enrolled() {
    let folder = tempfile::tempdir().unwrap();
    let phone = Phone::new();
    let [first, second] = [attester(&phone, folder.path()), attester(&phone, folder.path())];
    let both = futures_util::future::join(first.refresh(), second.refresh());
    assert_eq!(block_on(both), (Ok(()), Ok(())));
    assert_eq!((phone.calls("/v1/instances"), phone.calls("/results")), (1, 1));
}

#[test]
fn a_lock_that_is_never_given_back_keeps_nobody_from_enrolling() {
    let folder = tempfile::tempdir().unwrap();
    let Entry::Entered(_held) = storage(folder.path()).try_enter() else { panic!("nobody was inside") };
    let phone = Phone::new();
    assert!(block_on(attester(&phone, folder.path()).prove_when_ready(request())).is_ok());
}

#[test]
fn a_development_key_is_made_once_and_tells_how_to_register_it() {
    let folder = tempfile::tempdir().unwrap();
    let told: Vec<_> = std::thread::scope(|scope| {
        let tell = || DevelopmentKeys::new(folder.path()).development_key("dev").unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(tell)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let key = &told[0];
    assert!(told.iter().all(|other| other == key), "whoever comes first makes it");
    assert!(key.key_id.starts_with("dev-") && key.key_id.len() == 20 && key.public_key.len() == 87);
    let (id, public_key) = (&key.key_id, &key.public_key);
    assert_eq!(
        key.command,
        format!(
            "countersign development-keys add {id} --public-key {public_key} --client 'dev' --expires 90d"
        )
    );
    let file = folder.path().join("countersign/development.key");
    assert_eq!(mode(&file), 0o600);
    let printed = format!("{key:?}");
    let secret = fs::read(&file).unwrap();
    assert!(!printed.contains(&countersign_core::encoding::base64url(&secret)));
}

#[test]
fn a_process_that_keeps_the_lock_stops_nobody_for_ever_and_keeps_nobody_from_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DevelopmentKeys::new(folder.path());
    let key = keys.development_key("dev").unwrap();
    let file = folder.path().join("countersign/development");
    let kept = File::open(file.with_extension("lock")).unwrap();
    kept.lock().unwrap();
    assert_eq!(keys.development_key("dev").as_ref(), Ok(&key));
    fs::remove_file(file.with_extension("key")).unwrap();
    assert_eq!(keys.development_key("dev"), Err(EvidenceError::Other), "no key is made outside the lock");
    drop(kept);
    assert_ne!(keys.development_key("dev").unwrap(), key);
}

#[test]
fn a_client_id_cannot_end_its_quotes_in_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let key = DevelopmentKeys::new(folder.path()).development_key("a'; rm -rf / #").unwrap();
    assert!(key.command.ends_with("--client 'a; rm -rf / #' --expires 90d"), "{}", key.command);
}

#[test]
fn a_damaged_development_key_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DevelopmentKeys::new(folder.path());
    let first = keys.development_key("dev").unwrap();
    let file = folder.path().join("countersign/development.key");
    for damage in [vec![], vec![1; 31], vec![0; 32], vec![0xff; 32]] {
        fs::write(&file, damage).unwrap();
        let other = keys.development_key("dev").unwrap();
        assert_ne!(other, first);
        assert_eq!(keys.development_key("dev").unwrap(), other);
    }
    fs::write(&file, [1; 33]).unwrap();
    assert_eq!(keys.development_key("dev"), Err(EvidenceError::Other), "too long to be ours");
}

#[test]
fn a_development_key_vouches_for_nothing_but_what_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DevelopmentKeys::new(folder.path());
    let told = keys.development_key("dev").unwrap();
    let message = vec![9; 32];
    let gathered =
        block_on(keys.gather(EvidenceRequest::DevelopmentKey { message: message.clone() })).unwrap();
    let GatheredEvidence::DevelopmentKey { key_id, signature } = gathered else { panic!("another kind") };
    assert_eq!(key_id, told.key_id);
    let point = countersign_core::encoding::from_base64url(&told.public_key).unwrap();
    let public_key = PublicKey::from_p256_sec1(&point).unwrap();
    assert_eq!(PureRust.verify(&public_key, &message, &signature), Ok(()));
    assert!(PureRust.verify(&public_key, &[8; 32], &signature).is_err());
    let request = EvidenceRequest::PlayIntegrity { request_hash: String::new() };
    assert_eq!(block_on(keys.gather(request)).err(), Some(EvidenceError::Unsupported));
    assert_eq!(block_on(keys.make_app_attest_key()), Err(EvidenceError::Unsupported));
}

#[test]
fn an_instance_key_signs_until_it_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DevelopmentKeys::new(folder.path());
    let made = block_on(keys.make(None)).unwrap();
    assert_eq!((made.protection, made.chain.len()), (KeyProtection::Software, 0));
    let public_key = PublicKey::from_p256_sec1(&made.public_key).unwrap();
    let again = DevelopmentKeys::new(folder.path());
    let signature = block_on(again.sign(made.handle.clone(), b"message".to_vec())).unwrap();
    assert_eq!(PureRust.verify(&public_key, b"message", &signature), Ok(()));
    for file in files(folder.path(), ".key") {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    block_on(again.delete(made.handle.clone()));
    block_on(again.delete(made.handle.clone()));
    assert_eq!(block_on(keys.sign(made.handle, b"message".to_vec())), Err(KeyStoreError::Lost));
}

#[test]
fn a_handle_is_no_way_out_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DevelopmentKeys::new(folder.path());
    keys.development_key("dev").unwrap();
    let victim = folder.path().join("instance-0.key");
    fs::write(&victim, [1; 32]).unwrap();
    for handle in [
        "",
        "../instance-0",
        "x/../../instance-0",
        "../../../etc/pass",
        "development",
        "0123456789abcde\u{0}",
    ] {
        let handle = handle.as_bytes().to_vec();
        assert_eq!(block_on(keys.sign(handle.clone(), vec![])), Err(KeyStoreError::Lost));
        block_on(keys.delete(handle));
    }
    assert!(victim.exists() && folder.path().join("countersign/development.key").exists());
}

#[test]
fn an_attester_tells_its_development_key_if_it_has_one() {
    let (folder, phone) = (tempfile::tempdir().unwrap(), Phone::new());
    let path = folder.path().to_str().unwrap().to_owned();
    let ports = phone.ports();
    let attester = Attester::development(configuration(IPHONE), path, ports.transport, ports.timer).unwrap();
    let key = attester.development_key().unwrap().unwrap();
    assert_eq!(Ok(key), DevelopmentKeys::new(folder.path()).development_key(crate::service::CLIENT_ID));
    assert_eq!(phone.attester(IPHONE).development_key(), Ok(None));
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let ports = phone.ports();
    let path = file.to_str().unwrap().to_owned();
    let nowhere = Attester::development(configuration(IPHONE), path, ports.transport, ports.timer).unwrap();
    assert_eq!(nowhere.development_key(), Err(CountersignError::PlatformUnavailable));
}
