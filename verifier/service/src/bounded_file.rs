//! Reading files up to a bound, and never what may keep its reader waiting: a pipe that nobody writes to, or a device.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The content of a file.
///
/// # Errors
/// It cannot be read, or is no regular file (see [`open`]); [`io::ErrorKind::FileTooLarge`] if it has more than `limit`
/// bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let expected = file.metadata()?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    // It may grow meanwhile.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Opens a regular file for reading.
///
/// # Errors
/// It cannot be opened; [`io::ErrorKind::IsADirectory`], or [`io::ErrorKind::InvalidInput`] for a pipe, socket or
/// device.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Before it is opened: that alone waits where a pipe has no writer.
    let kind = fs::metadata(path)?.file_type();
    match () {
        () if kind.is_file() => File::open(path),
        () if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        () => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_bound_and_not_beyond() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read(&path, 10).unwrap(), [7; 10]);
        assert_eq!(read(&path, 9).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(directory.path(), 9).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[cfg(unix)]
    #[test]
    fn what_keeps_its_reader_waiting_or_never_ends_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            assert_eq!(
                read(path, 4096).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{}",
                path.display()
            );
        }
    }
}
