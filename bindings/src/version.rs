//! Which library this is. uniffi compares checksums of every function when a face is first used, and ends with its own
//! error, or on Swift with the process; a face asks here, and names the versions.

use crate::error::CountersignError;

/// The version of this library.
#[uniffi::export]
pub fn library_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Refuses a face that was made for another version of this library.
///
/// # Errors
/// [`CountersignError::LibraryMismatch`].
#[uniffi::export]
pub fn require_library_version(face: String) -> Result<(), CountersignError> {
    let library = library_version();
    if library == face { Ok(()) } else { Err(CountersignError::LibraryMismatch { library, face }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_face_of_the_same_version_passes() {
        assert_eq!(require_library_version(library_version()), Ok(()));
        for face in ["", "0.0.9", "99.0.0", " 0.1.0"] {
            let error = require_library_version(face.to_owned()).unwrap_err();
            assert!(error.to_string().starts_with("library_mismatch (library "), "{error}");
        }
    }
}
