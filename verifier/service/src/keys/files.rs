//! Secret files: read only when nobody else can, written so that a crash leaves the old file or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::KeysError;

/// Longest secret file that is read, in bytes; what is longer is none of ours.
const MAX_SECRET_FILE: u64 = 1024 * 1024;

/// Makes a directory of mode 0700, or checks that an existing one is not open to others.
pub(super) fn private_directory(path: &Path) -> Result<(), KeysError> {
    if !path.exists() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(|error| io_error(path, &error))?;
    }
    refuse_exposed(path)
}

/// The text of a secret file, `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, KeysError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, &error)),
    };
    refuse_exposed(path)?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_SECRET_FILE).read_to_string(&mut text).map_err(|error| io_error(path, &error))?;
    Ok(Some(text))
}

/// Writes a secret file of mode 0600: a temporary file beside it, synced, then renamed, then the directory synced.
pub(super) fn write(path: &Path, text: &str) -> Result<(), KeysError> {
    let temporary = path.with_extension("tmp");
    let written = (|| {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // A bare name has an empty parent, which is no directory.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.map_err(|error| io_error(path, &error))
}

fn io_error(path: &Path, error: &io::Error) -> KeysError {
    KeysError::Io { path: path.to_owned(), kind: error.kind() }
}

#[cfg(unix)]
fn refuse_exposed(path: &Path) -> Result<(), KeysError> {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(path).map_err(|error| io_error(path, &error))?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeysError::Exposed { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn refuse_exposed(_path: &Path) -> Result<(), KeysError> {
    Ok(())
}
