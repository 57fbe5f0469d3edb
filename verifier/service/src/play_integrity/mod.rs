//! Opening Play Integrity tokens: offline with the console's keys where an app has them, else by Google, through a
//! port. A token is decoded once: Google clears the verdicts of one that it is shown again.

mod answers;
mod google;
mod service_account;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use countersign_core::time::Timestamp;
use countersign_edge::Breaker;
use countersign_verifier::crypto::sha256;
use countersign_verifier::enrolment::{DecodeFailure, DecodedToken};
use countersign_verifier::evidence::play_integrity::{
    ClassicKeyError, ClassicKeys, PlayIntegrityError, decrypt, from_decode_answer,
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub use google::GoogleDecoder;
pub use service_account::ServiceAccountError;

use self::answers::{Answers, Found};
use crate::keys::{KeysError, files};
use crate::settings::{PlayAppSettings, PlayIntegritySettings, WebUrl};

/// Calls to Google at the same time; a token that finds none free counts as one that Google was not asked about.
const MAX_CALLS: usize = 16;

/// What a decoder's call becomes.
pub type Decoding<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, DecodeError>> + Send + 'a>>;

/// The port to Google's `decodeIntegrityToken`.
pub trait PlayDecoder: Send + Sync {
    /// The body of the answer to one call for a token of `package`, within a bounded time and size.
    fn decode<'a>(&'a self, package: &'a str, token: &'a str) -> Decoding<'a>;
}

/// Why a call brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Google says that it is no token of this app.
    Rejected,
    /// No connection, or it broke off.
    Connection,
    /// No complete answer in time.
    TimedOut,
    /// A status that says nothing of the token; redirects are not followed.
    Status(u16),
    /// Longer than an answer can be.
    TooLarge,
    /// The service account got no access token.
    NotAuthorized,
}

impl DecodeError {
    /// Whether the next token would fare no better. A status that blames the call may be the token's doing: whoever
    /// sends five such tokens is not to keep Google's word from everybody else.
    const fn is_an_outage(self) -> bool {
        match self {
            Self::Rejected => false,
            Self::Status(status) => !(status >= 400 && status <= 499) || status == 429,
            Self::Connection | Self::TimedOut | Self::TooLarge | Self::NotAuthorized => true,
        }
    }

    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Rejected => "play_decode_rejected",
            Self::Connection => "play_decode_connection",
            Self::TimedOut => "play_decode_timed_out",
            Self::Status(_) => "play_decode_status",
            Self::TooLarge => "play_decode_too_large",
            Self::NotAuthorized => "play_decode_not_authorized",
        }
    }
}

/// Who opens the tokens of which app.
pub struct PlayIntegrity {
    apps: BTreeMap<String, Opener>,
    answers: Answers,
    breaker: Breaker,
    calls: Semaphore,
}

/// Who opens the tokens of one app.
#[derive(Default)]
struct Opener {
    classic: Option<ClassicKeys>,
    google: Option<Arc<dyn PlayDecoder>>,
}

impl PlayIntegrity {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn open(settings: &PlayIntegritySettings) -> Result<Self, PlayIntegrityProblem> {
        let mut opened = Self::default();
        for app in &settings.apps {
            opened.apps.insert(app.package.clone(), Opener::open(app, &settings.endpoint)?);
        }
        Ok(opened)
    }

    /// Lets `decoder` decode the tokens of `package`.
    #[must_use]
    pub fn with_decoder(mut self, package: &str, decoder: Arc<dyn PlayDecoder>) -> Self {
        self.apps.entry(package.to_owned()).or_default().google = Some(decoder);
        self
    }

    /// What becomes of a token of an app with these package names: the console's keys of each are tried, and then
    /// Google is asked once, for the first of them that has an account.
    pub async fn decode(
        &self,
        packages: impl Iterator<Item = &str>,
        token: &str,
        now: Timestamp,
    ) -> DecodedToken {
        let openers: Vec<_> = packages.filter_map(|package| self.apps.get_key_value(package)).collect();
        let mut failure = DecodeFailure::NotAsked;
        for keys in openers.iter().filter_map(|(_, opener)| opener.classic.as_ref()) {
            match decrypt(token, keys) {
                Ok(payload) => return Ok(payload),
                // A token of a standard request is for Google's eyes alone, whatever form it has.
                Err(error) => failure = DecodeFailure::Invalid(error),
            }
        }
        let google = openers.iter().find_map(|(package, opener)| Some((*package, opener.google.as_ref()?)));
        let Some((package, decoder)) = google else { return Err(failure) };
        // A token that opened with our keys and is wrong is wrong; only what is not for them is for Google.
        if let DecodeFailure::Invalid(error) = failure
            && !is_perhaps_for_google(error)
        {
            return Err(failure);
        }
        self.ask(decoder.as_ref(), package, token, now).await
    }

    async fn ask(
        &self,
        decoder: &dyn PlayDecoder,
        package: &str,
        token: &str,
        now: Timestamp,
    ) -> DecodedToken {
        // What cannot be sent in a small request is no token; nothing else is known of its form.
        let printable = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.len() > countersign_verifier::evidence::play_integrity::MAX_TOKEN {
            return Err(DecodeFailure::Invalid(PlayIntegrityError::TooLong));
        }
        if token.is_empty() || !printable {
            return Err(DecodeFailure::Invalid(PlayIntegrityError::Rejected));
        }
        // What Google says of a token to one app says nothing to another one.
        let asked = sha256(&[package.as_bytes(), &[0], token.as_bytes()].concat());
        let place = match self.answers.find(asked, now) {
            Found::Known(answer) => return *answer,
            Found::UnderWay | Found::Full => return Err(DecodeFailure::Unreachable),
            Found::New(place) => place,
        };
        let Ok(_permit) = self.calls.try_acquire() else { return Err(DecodeFailure::Unreachable) };
        if !self.breaker.allows(now) {
            return Err(DecodeFailure::Unreachable);
        }
        let answer = decoder.decode(package, token).await;
        self.breaker.note(answer.as_ref().is_err_and(|error| error.is_an_outage()), now);
        let decoded = match answer {
            Ok(json) => from_decode_answer(&json).map_err(DecodeFailure::Invalid),
            Err(DecodeError::Rejected) => Err(DecodeFailure::Invalid(PlayIntegrityError::Rejected)),
            Err(error) => {
                tracing::warn!(reason = error.reason(), package, "Google could not be asked for a verdict");
                return Err(DecodeFailure::Unreachable);
            }
        };
        place.keep(&decoded, now);
        decoded
    }
}

impl Default for PlayIntegrity {
    fn default() -> Self {
        Self {
            apps: BTreeMap::new(),
            answers: Answers::default(),
            breaker: Breaker::default(),
            calls: Semaphore::new(MAX_CALLS),
        }
    }
}

impl fmt::Debug for PlayIntegrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.apps.keys()).finish()
    }
}

/// Whether our keys not opening a token leaves open that Google does.
const fn is_perhaps_for_google(error: PlayIntegrityError) -> bool {
    use PlayIntegrityError as E;
    matches!(
        error,
        E::Parts
            | E::Base64
            | E::Header
            | E::KeyManagement
            | E::ContentEncryption
            | E::ForeignParameter
            | E::Length
            | E::WrongKey
    )
}

impl Opener {
    fn open(app: &PlayAppSettings, endpoint: &WebUrl) -> Result<Self, PlayIntegrityProblem> {
        let classic = match (&app.decryption_key_file, &app.verification_key_file) {
            (Some(decryption), Some(verification)) => Some(console_keys(decryption, verification)?),
            _ => None,
        };
        let google = match &app.service_account_file {
            Some(file) => {
                let decoder = GoogleDecoder::new(endpoint, &secret(file)?)
                    .map_err(|error| PlayIntegrityProblem::ServiceAccount(file.clone(), error))?;
                Some(Arc::new(decoder) as Arc<dyn PlayDecoder>)
            }
            None => None,
        };
        Ok(Self { classic, google })
    }
}

/// The pair of keys that the console shows, each in a file.
///
/// # Errors
/// The first file that cannot be used.
pub(crate) fn console_keys(
    decryption: &Path,
    verification: &Path,
) -> Result<ClassicKeys, PlayIntegrityProblem> {
    ClassicKeys::new(&console_key(decryption)?, &console_key(verification)?).map_err(|error| {
        let file = match error {
            ClassicKeyError::VerificationKey => verification,
            _ => decryption,
        };
        PlayIntegrityProblem::ConsoleKey(file.to_owned())
    })
}

/// A key as the console shows it: base64, perhaps broken into lines.
fn console_key(file: &Path) -> Result<Zeroizing<Vec<u8>>, PlayIntegrityProblem> {
    let text = secret(file)?;
    let joined: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
    Base64::decode_vec(&joined)
        .map(Zeroizing::new)
        .map_err(|_| PlayIntegrityProblem::ConsoleKey(file.to_owned()))
}

fn secret(file: &Path) -> Result<Zeroizing<String>, PlayIntegrityProblem> {
    files::read(file)
        .map_err(PlayIntegrityProblem::File)?
        .ok_or_else(|| PlayIntegrityProblem::Missing(file.to_owned()))
}

/// Why keys or accounts of Play Integrity cannot be used. Displayed as a sentence that says what to do.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlayIntegrityProblem {
    /// A file that cannot be read, or that others can read.
    File(KeysError),
    /// A file that is not there.
    Missing(PathBuf),
    /// A file that holds no key of the console.
    ConsoleKey(PathBuf),
    /// A file that holds no service account.
    ServiceAccount(PathBuf, ServiceAccountError),
}

impl fmt::Display for PlayIntegrityProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Missing(file) => write!(f, "the file {} does not exist", file.display()),
            Self::ConsoleKey(file) => write!(
                f,
                "{} does not hold the key that the Play Console shows; copy it there, in base64 and nothing else",
                file.display()
            ),
            Self::ServiceAccount(file, error) => write!(
                f,
                "{} is no service account key of Google ({}); make one as JSON and put it there as it is",
                file.display(),
                error.reason()
            ),
        }
    }
}

impl std::error::Error for PlayIntegrityProblem {}
