//! The payload of a Play Integrity token, strictly read: the same whether a classic token was opened here or
//! Google decoded it.

use core::str::FromStr;

use countersign_core::encoding::from_base64url_array;
use countersign_core::time::Timestamp;
use countersign_core::token::jose::strict_object;
use serde::Serialize;
use serde_json::{Map, Value};

use super::verdict::{
    AppLicensing, AppRecognition, DetectedApps, DeviceActivity, DeviceRecognition, PlayProtect,
};
use super::{MAX_DECODE_ANSWER, PlayIntegrityError};

/// Most words in a list of verdicts, and most signing certificates.
const MAX_LIST: usize = 16;
/// Longest package name, in bytes.
const MAX_PACKAGE: usize = 256;
/// Longest `requestHash` or `nonce`, in bytes (Google's limit).
const MAX_BINDING: usize = 500;

/// An authentic payload, which has yet to be found fresh and ours by [`verify`](super::verify).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    pub(super) request_hash: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) requested_at_millis: u64,
    pub(super) is_testing_response: bool,
    pub(super) claims: PlayIntegrityClaims,
    json: String,
}

/// What Google Play says of app, device and account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlayIntegrityClaims {
    /// How the token was asked for.
    pub request: RequestKind,
    /// When the token was made.
    #[serde(serialize_with = "crate::evidence::unix_seconds")]
    pub requested_at: Timestamp,
    /// The package that the token was requested for. Unlike [`Self::package`] it can be made up on the device.
    pub request_package: String,
    /// Whether app and certificate are what Google Play distributes.
    pub app_recognition: AppRecognition,
    /// The app's package; None unless the app was evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// SHA-256 of the certificates that the app is signed with, 32 bytes each; empty unless it was evaluated.
    #[serde(serialize_with = "crate::evidence::hex_list", skip_serializing_if = "Vec::is_empty")]
    pub certificate_digests: Vec<[u8; 32]>,
    /// The app's version code; None unless it was evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_code: Option<u64>,
    /// What applies to the device; empty where nothing does.
    pub device_recognition: Vec<DeviceRecognition>,
    /// The same by the rules of before Android 13, where the console asks for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub legacy_device_recognition: Vec<DeviceRecognition>,
    /// The device's Android API level, where the console asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk_version: Option<u32>,
    /// How often tokens were asked for on the device, where the console asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recent_activity: Option<DeviceActivity>,
    /// What the app's developer had Google remember of the device, where the console asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_recall: Option<DeviceRecall>,
    /// Whether the user got the app from Google Play.
    pub licensing: AppLicensing,
    /// What other apps can do, where the console asks for it. Some and empty: asked for and not evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apps_detected: Option<Vec<DetectedApps>>,
    /// What Play Protect found, where the console asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub play_protect: Option<PlayProtect>,
}

/// How a token was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestKind {
    /// By a standard request, with `requestHash`.
    Standard,
    /// By a classic request, with `nonce`.
    Classic,
}

/// Three bits that the app's developer had Google remember of the device, and when each was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceRecall {
    /// `bitFirst`, `bitSecond`, `bitThird`.
    pub bits: [bool; 3],
    /// Year and month (such as 202609) in which each bit was set; None where it is not.
    pub written: [Option<u32>; 3],
}

/// Reads Google's answer to `decodeIntegrityToken`: `{"tokenPayloadExternal": {…}}`. Authentic is what came from
/// Google over TLS, so call this with nothing else.
///
/// # Errors
/// [`PlayIntegrityError`].
pub fn from_decode_answer(json: &[u8]) -> Result<Payload, PlayIntegrityError> {
    if json.len() > MAX_DECODE_ANSWER {
        return Err(PlayIntegrityError::TooLong);
    }
    let answer = strict_object(json).map_err(PlayIntegrityError::Json)?;
    match answer.get("tokenPayloadExternal") {
        Some(Value::Object(payload)) => Payload::read(payload),
        _ => Err(PlayIntegrityError::NoPayload),
    }
}

impl Payload {
    /// What it says, before anything of it has been held against an expectation: for explaining a token.
    pub const fn claims_unchecked(&self) -> &PlayIntegrityClaims {
        &self.claims
    }

    /// The payload as JSON, for [`Self::from_json`].
    pub(crate) fn json(&self) -> &str {
        &self.json
    }

    /// A payload that was authentic when it was kept.
    pub(crate) fn from_json(json: &str) -> Result<Self, PlayIntegrityError> {
        Self::read(&strict_object(json.as_bytes()).map_err(PlayIntegrityError::Json)?)
    }

    /// Reads the members that are known; others are ignored, because Google adds some from time to time. Every
    /// known member has its type, or the payload is refused.
    pub(super) fn read(payload: &Map<String, Value>) -> Result<Self, PlayIntegrityError> {
        let json = serde_json::to_string(payload).map_err(|_| PlayIntegrityError::MalformedPayload)?;
        let payload = Members(Some(payload));
        let request = payload.object("requestDetails")?;
        let (Some(request_package), Some(requested_at_millis)) =
            (request.text("requestPackageName", MAX_PACKAGE)?, request.integer("timestampMillis")?)
        else {
            return Err(PlayIntegrityError::MissingRequestDetails);
        };
        let request_hash = request.text("requestHash", MAX_BINDING)?;
        let nonce = request.text("nonce", MAX_BINDING)?;
        let app = payload.object("appIntegrity")?;
        let device = payload.object("deviceIntegrity")?;
        let account = payload.object("accountDetails")?;
        let environment = payload.object("environmentDetails")?;
        let activity = device.object("recentDeviceActivity")?;
        let claims = PlayIntegrityClaims {
            request: if request_hash.is_some() { RequestKind::Standard } else { RequestKind::Classic },
            requested_at: Timestamp::from_unix_seconds(requested_at_millis / 1000),
            request_package,
            app_recognition: app
                .word("appRecognitionVerdict", AppRecognition::from_word)?
                .unwrap_or(AppRecognition::Unevaluated),
            package: app.text("packageName", MAX_PACKAGE)?,
            certificate_digests: app.list("certificateSha256Digest", digest)?.unwrap_or_default(),
            version_code: app.integer("versionCode")?,
            device_recognition: device.words("deviceRecognitionVerdict", DeviceRecognition::from_word)?,
            legacy_device_recognition: device
                .words("legacyDeviceRecognitionVerdict", DeviceRecognition::from_word)?,
            sdk_version: device.object("deviceAttributes")?.integer("sdkVersion")?,
            recent_activity: activity.word("deviceActivityLevel", DeviceActivity::from_word)?,
            device_recall: device_recall(device.object("deviceRecall")?)?,
            licensing: account
                .word("appLicensingVerdict", AppLicensing::from_word)?
                .unwrap_or(AppLicensing::Unevaluated),
            apps_detected: apps_detected(environment.object("appAccessRiskVerdict")?)?,
            play_protect: environment.word("playProtectVerdict", PlayProtect::from_word)?,
        };
        let is_testing_response =
            payload.object("testingDetails")?.flag("isTestingResponse")?.unwrap_or(false);
        Ok(Self { request_hash, nonce, requested_at_millis, is_testing_response, claims, json })
    }
}

/// The members of an object, or of one that is absent. Null counts as absent; any other type is refused.
#[derive(Clone, Copy)]
struct Members<'a>(Option<&'a Map<String, Value>>);

impl<'a> Members<'a> {
    fn member(&self, name: &str) -> Option<&'a Value> {
        self.0.and_then(|members| members.get(name)).filter(|value| !value.is_null())
    }

    fn object(&self, name: &str) -> Result<Self, PlayIntegrityError> {
        match self.member(name) {
            None => Ok(Members(None)),
            Some(Value::Object(members)) => Ok(Members(Some(members))),
            Some(_) => Err(PlayIntegrityError::MalformedPayload),
        }
    }

    fn text(&self, name: &str, longest: usize) -> Result<Option<String>, PlayIntegrityError> {
        match self.member(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= longest => Ok(Some(text.clone())),
            Some(_) => Err(PlayIntegrityError::MalformedPayload),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, PlayIntegrityError> {
        match self.member(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(PlayIntegrityError::MalformedPayload),
        }
    }

    /// A whole number that is not negative: as text, which is how Google writes 64 bits, or as a JSON number,
    /// which says the same and is met in hand-made payloads.
    fn integer<T: FromStr + TryFrom<u64>>(&self, name: &str) -> Result<Option<T>, PlayIntegrityError> {
        let number = match self.member(name) {
            None => return Ok(None),
            Some(Value::String(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            Some(Value::Number(number)) => number.as_u64().and_then(|number| T::try_from(number).ok()),
            Some(_) => None,
        };
        number.map(Some).ok_or(PlayIntegrityError::MalformedPayload)
    }

    fn word<T>(&self, name: &str, from_word: fn(&str) -> T) -> Result<Option<T>, PlayIntegrityError> {
        match self.member(name) {
            None => Ok(None),
            Some(Value::String(word)) => Ok(Some(from_word(word))),
            Some(_) => Err(PlayIntegrityError::MalformedPayload),
        }
    }

    fn words<T>(&self, name: &str, from_word: fn(&str) -> T) -> Result<Vec<T>, PlayIntegrityError> {
        let word = |word: &str| Some(from_word(word));
        Ok(self.list(name, word)?.unwrap_or_default())
    }

    /// A list of texts; None if it is absent.
    fn list<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<Vec<T>>, PlayIntegrityError> {
        match self.member(name) {
            None => Ok(None),
            Some(Value::Array(values)) if values.len() <= MAX_LIST => values
                .iter()
                .map(|value| value.as_str().and_then(&read))
                .collect::<Option<_>>()
                .map(Some)
                .ok_or(PlayIntegrityError::MalformedPayload),
            Some(_) => Err(PlayIntegrityError::MalformedPayload),
        }
    }
}

/// A digest, whose base64url Google has been seen to pad.
fn digest(text: &str) -> Option<[u8; 32]> {
    from_base64url_array(text.strip_suffix('=').unwrap_or(text)).ok()
}

fn apps_detected(verdict: Members<'_>) -> Result<Option<Vec<DetectedApps>>, PlayIntegrityError> {
    if verdict.0.is_none() {
        return Ok(None);
    }
    verdict.words("appsDetected", DetectedApps::from_word).map(Some)
}

fn device_recall(recall: Members<'_>) -> Result<Option<DeviceRecall>, PlayIntegrityError> {
    if recall.0.is_none() {
        return Ok(None);
    }
    let (values, dates) = (recall.object("values")?, recall.object("writeDates")?);
    let bit = |name| Ok(values.flag(name)?.unwrap_or(false));
    Ok(Some(DeviceRecall {
        bits: [bit("bitFirst")?, bit("bitSecond")?, bit("bitThird")?],
        written: [
            dates.integer("yyyymmFirst")?,
            dates.integer("yyyymmSecond")?,
            dates.integer("yyyymmThird")?,
        ],
    }))
}
