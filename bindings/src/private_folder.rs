//! A folder of this library's own, in which every file is this user's alone and is replaced whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

/// What a crash in the middle of a write leaves behind is swept away after this time, so many files at once.
const LEFT_BEHIND: Duration = Duration::from_secs(60 * 60);
const SWEPT_AT_ONCE: usize = 64;
/// How often, and with which pauses, a lock is waited for: a second.
const LOCK_TRIES: usize = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// What names of files that are being written end with.
const UNFINISHED: &str = ".new";

/// The folder `countersign` within one that the app names; made with mode 0700 when something is first written.
#[derive(Clone, Debug)]
pub(crate) struct PrivateFolder(PathBuf);

/// The lock is held while this lives, and ends with the process.
pub(crate) struct Locked(#[expect(dead_code, reason = "closing the file is what unlocks it")] File);

impl PrivateFolder {
    pub(crate) fn within(parent: impl AsRef<Path>) -> Self {
        Self(parent.as_ref().join("countersign"))
    }

    /// Reads a file; nothing if there is none. A symbolic link, or what is no file or longer than `longest` bytes, is an
    /// error.
    pub(crate) fn read(&self, name: &str, longest: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let file = match read_only().open(self.0.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(longest + 1));
        file.take(longest as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > longest { Err(io::ErrorKind::InvalidData.into()) } else { Ok(Some(bytes)) }
    }

    /// Replaces a file: after a crash at any point, or on a full disk, the old one or the new one is there, whole. A
    /// symbolic link in its place is replaced, not followed.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.make()?;
        self.sweep();
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(io::Error::other)?;
        let unfinished = self.0.join(format!("{name}.{:016x}{UNFINISHED}", u64::from_ne_bytes(number)));
        let written = new_file().open(&unfinished).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, self.0.join(name))
        });
        match written {
            // The name is on the disk with the folder. Not every file system can do this, and then needs it less.
            Ok(()) => drop(File::open(&self.0).and_then(|folder| folder.sync_all())),
            Err(_) => drop(fs::remove_file(&unfinished)),
        }
        written
    }

    /// Removes a file; one that is not there is no error.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits for a lock among all who share the folder, in this process too, on this thread. For what takes no time;
    /// and not for ever, because any process of this user can take it and keep it.
    pub(crate) fn lock(&self, name: &str) -> io::Result<Locked> {
        for _ in 0..LOCK_TRIES {
            if let Some(locked) = self.try_lock(name)? {
                return Ok(locked);
            }
            thread::sleep(LOCK_PAUSE);
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// As `lock`, without waiting; nothing if somebody else holds it.
    pub(crate) fn try_lock(&self, name: &str) -> io::Result<Option<Locked>> {
        let file = self.lock_file(name)?;
        match exclusive(&file) {
            Ok(()) => Ok(Some(Locked(file))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lock_file(&self, name: &str) -> io::Result<File> {
        self.make()?;
        lock_file().open(self.0.join(name))
    }

    fn make(&self) -> io::Result<()> {
        if let Some(parent) = self.0.parent() {
            fs::create_dir_all(parent)?;
        }
        match private_folder().create(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => keep_private(&self.0),
            made => made,
        }
    }

    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.0) else { return };
        let now = SystemTime::now();
        for entry in entries.flatten().take(SWEPT_AT_ONCE) {
            let age = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = age.is_ok_and(|then| now.duration_since(then).is_ok_and(|age| age > LEFT_BEHIND));
            if is_old && entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }
}

#[cfg(unix)]
mod system {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};

    use rustix::fs::{FlockOperation, OFlags, flock};

    use super::*;

    /// Follows no link, and does not wait at a pipe.
    const PLAIN: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;

    pub(super) fn read_only() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(PLAIN);
        options
    }

    pub(super) fn new_file() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options
    }

    pub(super) fn lock_file() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(PLAIN);
        options
    }

    pub(super) fn private_folder() -> DirBuilder {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder
    }

    /// A folder that is there is ours by its name; others get no part in it.
    pub(super) fn keep_private(folder: &Path) -> io::Result<()> {
        let found = fs::symlink_metadata(folder)?;
        if !found.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if found.mode() & 0o077 == 0 {
            return Ok(());
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
    }

    /// `flock(2)`: the kernel lets go of it when the file is closed, or its process ends.
    pub(super) fn exclusive(file: &File) -> io::Result<()> {
        Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
    }
}

#[cfg(not(unix))]
mod system {
    use super::*;

    pub(super) fn read_only() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true);
        options
    }

    pub(super) fn new_file() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        options
    }

    pub(super) fn lock_file() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        options
    }

    pub(super) fn private_folder() -> DirBuilder {
        DirBuilder::new()
    }

    pub(super) fn keep_private(folder: &Path) -> io::Result<()> {
        if folder.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    pub(super) fn exclusive(file: &File) -> io::Result<()> {
        Ok(file.try_lock()?)
    }
}

use system::{exclusive, keep_private, lock_file, new_file, private_folder, read_only};
