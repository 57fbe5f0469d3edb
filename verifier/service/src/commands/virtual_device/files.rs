//! Files of the virtual device: what is secret in them only their owner may read.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use super::Failed;

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    existing(path)?.ok_or_else(|| format!("{} does not exist", path.display()).into())
}

/// Reads a file, if there is one.
pub(super) fn existing(path: &Path) -> Result<Option<Vec<u8>>, Failed> {
    let mut bytes = Vec::new();
    match fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)) {
        Ok(_) if bytes.len() as u64 > MAX_FILE => {
            Err(format!("{} is longer than 16 MiB", path.display()).into())
        }
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display()).into()),
    }
}

/// Writes a secret in place of what was there, whole or not at all; mode 0600.
pub(super) fn write_secret(path: &Path, content: &[u8]) -> Result<(), Failed> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = Path::new(&name);
    let write = || -> io::Result<()> {
        match fs::remove_file(new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(new, path)
    };
    write().map_err(|error| format!("{} cannot be written: {error}", path.display()).into())
}
