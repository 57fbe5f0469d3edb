//! What the developer says of the app, so that a copy under another name or signature notices itself.

use countersign_core::environment::probe;

use crate::error::CountersignError;

/// What the developer expects of the running app; what is left out is not compared. A difference is a signal for the
/// service's policy, never an error: the service judges name and signature by evidence as well.
#[derive(Clone, Default, PartialEq, Eq, uniffi::Record)]
pub struct ExpectedApp {
    /// The package or bundle identifier.
    #[uniffi(default)]
    pub identifier: Option<String>,
    /// Android: SHA-256 of the certificates that may sign, each as 64 hexadecimal digits, with colons or without.
    /// With Play App Signing, Google's certificate belongs here.
    #[uniffi(default)]
    pub signing_digests: Vec<String>,
    /// Apple: the team identifier.
    #[uniffi(default)]
    pub team: Option<String>,
    /// Android: packages of stores that may install the app, beside Google Play and those that come with phones.
    #[uniffi(default)]
    pub installers: Vec<String>,
}

impl ExpectedApp {
    /// In the core's types.
    ///
    /// # Errors
    /// [`CountersignError::Configuration`] for what is no digest.
    pub fn checked(self) -> Result<probe::ExpectedApp, CountersignError> {
        let refused = || CountersignError::Configuration { reason: "config_signing_digest".to_owned() };
        let digests = self.signing_digests.iter().map(|text| digest(text).ok_or_else(refused));
        Ok(probe::ExpectedApp {
            identifier: self.identifier,
            signing_digests: digests.collect::<Result<_, _>>()?,
            team: self.team,
            installers: self.installers,
        })
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|character| *character != ':')
        .map(|character| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(digest: &str) -> Result<Vec<[u8; 32]>, CountersignError> {
        let app = ExpectedApp { signing_digests: vec![digest.to_owned()], ..ExpectedApp::default() };
        app.checked().map(|app| app.signing_digests)
    }

    #[test]
    fn a_digest_is_read_as_tools_print_it() {
        let bytes: [u8; 32] = std::array::from_fn(|index| 0xf0 + u8::try_from(index % 16).unwrap());
        let plain: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let colons: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(checked(&plain).unwrap(), [bytes]);
        assert_eq!(checked(&colons.join(":")).unwrap(), [bytes]);
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in
            ["", "00", &"0".repeat(63), &"0".repeat(65), &"0".repeat(66), &"g".repeat(64), &"é".repeat(32)]
        {
            let Err(CountersignError::Configuration { reason }) = checked(text) else {
                panic!("{text} was taken");
            };
            assert_eq!(reason, "config_signing_digest");
        }
    }
}
