//! Compact JWS (RFC 7515), read strictly, and JWTs that wait for their signature.

use core::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::MAX_JWT_FIELD;
use super::keys::SIGNATURE_LENGTH;
use crate::encoding::{base64url, from_base64url};
use crate::time::Timestamp;

/// `typ` values of the JWTs, without the optional `application/` prefix.
pub mod typ {
    /// An OAuth access token (RFC 9068).
    pub const ACCESS_TOKEN: &str = "at+jwt";
    /// A client attestation.
    pub const CLIENT_ATTESTATION: &str = "oauth-client-attestation+jwt";
    /// The proof of possession that goes with a client attestation.
    pub const CLIENT_ATTESTATION_POP: &str = "oauth-client-attestation-pop+jwt";
    /// A DPoP proof.
    pub const DPOP: &str = "dpop+jwt";
}

/// Deepest nesting of a JSON header or claims set.
const MAX_DEPTH: u8 = 8;

/// Why text is not a compact JWS that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwsError {
    /// Longer than [`MAX_JWT_FIELD`] characters.
    TooLong,
    /// Not three non-empty segments.
    Segments,
    /// A segment is not unpadded base64url.
    Base64,
    /// Header or claims are not one JSON object; or too deep, or a number out of range.
    Json,
    /// A JSON object has a member twice.
    DuplicateMember,
    /// No `alg`, or not a string.
    Algorithm,
    /// `crit` is present: no extension is understood (RFC 7515 section 4.1.11), `b64` (RFC 7797) least of all.
    Critical,
    /// `typ` is present and not a string.
    Typ,
}

impl JwsError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "jws_too_long",
            Self::Segments => "jws_segments",
            Self::Base64 => "jws_base64",
            Self::Json => "jws_json",
            Self::DuplicateMember => "jws_duplicate_member",
            Self::Algorithm => "jws_alg",
            Self::Critical => "jws_crit",
            Self::Typ => "jws_typ",
        }
    }
}

/// A compact JWS taken apart; nothing in it is authentic before its signature is verified.
pub struct Jws<'a> {
    /// The protected header; `alg` is a string, `crit` and `b64` are absent.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
    /// What the signature covers: header and claims segment with the dot between them.
    pub signing_input: &'a str,
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a compact JWS apart: three segments, strict base64url, JSON without duplicate members.
    ///
    /// # Errors
    /// The first deviation found.
    pub fn decode(token: &'a str) -> Result<Self, JwsError> {
        if token.len() > MAX_JWT_FIELD {
            return Err(JwsError::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(JwsError::Segments)?;
        let (header, claims) = signing_input.split_once('.').ok_or(JwsError::Segments)?;
        if header.is_empty() || claims.is_empty() || signature.is_empty() || claims.contains('.') {
            return Err(JwsError::Segments);
        }
        let decode = |segment: &str| from_base64url(segment).map_err(|_| JwsError::Base64);
        let header = strict_object(&decode(header)?)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(JwsError::Critical);
        }
        if !header.get("alg").is_some_and(Value::is_string) {
            return Err(JwsError::Algorithm);
        }
        if header.get("typ").is_some_and(|typ| !typ.is_string()) {
            return Err(JwsError::Typ);
        }
        let claims = strict_object(&decode(claims)?)?;
        Ok(Self { header, claims, signing_input, signature: decode(signature)? })
    }

    /// `alg`.
    pub fn algorithm(&self) -> &str {
        self.header.get("alg").and_then(Value::as_str).unwrap_or_default()
    }

    /// `kid`, if it is a string.
    pub fn key_id(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// Whether `typ` is `expected`: without regard to case, `application/` before it being optional
    /// (RFC 7515 section 4.1.9).
    pub fn is_typ(&self, expected: &str) -> bool {
        let Some(typ) = self.header.get("typ").and_then(Value::as_str) else {
            return false;
        };
        const PREFIX: &str = "application/";
        let bare = match typ.get(..PREFIX.len()) {
            Some(start) if start.eq_ignore_ascii_case(PREFIX) => &typ[PREFIX.len()..],
            _ => typ,
        };
        bare.eq_ignore_ascii_case(expected)
    }
}

/// Reads one JSON object: no duplicate members at any level, nothing after it, nesting bounded.
///
/// # Errors
/// [`JwsError::DuplicateMember`] or [`JwsError::Json`].
pub fn strict_object(json: &[u8]) -> Result<Map<String, Value>, JwsError> {
    const DUPLICATE: &str = "duplicate member";
    struct Strict(u8);

    impl<'de> DeserializeSeed<'de> for Strict {
        type Value = Value;
        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    impl<'de> Visitor<'de> for Strict {
        type Value = Value;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON of bounded depth")
        }
        fn visit_unit<E>(self) -> Result<Value, E> {
            Ok(Value::Null)
        }
        fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_str<E>(self, value: &str) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_string<E>(self, value: String) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
            let depth = self.0.checked_sub(1).ok_or_else(|| A::Error::custom("too deep"))?;
            let mut values = Vec::new();
            while let Some(value) = sequence.next_element_seed(Strict(depth))? {
                values.push(value);
            }
            Ok(values.into())
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
            let depth = self.0.checked_sub(1).ok_or_else(|| A::Error::custom("too deep"))?;
            let mut members = Map::new();
            while let Some(name) = map.next_key::<String>()? {
                if members.contains_key(&name) {
                    return Err(A::Error::custom(DUPLICATE));
                }
                let value = map.next_value_seed(Strict(depth))?;
                members.insert(name, value);
            }
            Ok(members.into())
        }
    }

    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = Strict(MAX_DEPTH).deserialize(&mut deserializer).map_err(|error| {
        if error.to_string().starts_with(DUPLICATE) { JwsError::DuplicateMember } else { JwsError::Json }
    })?;
    deserializer.end().map_err(|_| JwsError::Json)?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(JwsError::Json),
    }
}

/// A JWT that waits for its signature, so that the key may live in hardware and answer later.
#[derive(Clone, PartialEq, Eq)]
pub struct UnsignedJwt {
    signing_input: String,
}

impl UnsignedJwt {
    pub(super) fn new(header: &impl Serialize, claims: &impl Serialize) -> Self {
        let segment = |json: Result<Vec<u8>, _>| json.map(|json| base64url(&json)).unwrap_or_default();
        let header = segment(serde_json::to_vec(header));
        let claims = segment(serde_json::to_vec(claims));
        Self { signing_input: format!("{header}.{claims}") }
    }

    /// What the key signs (RFC 7515 section 5.1).
    pub fn to_be_signed(&self) -> &[u8] {
        self.signing_input.as_bytes()
    }

    /// The finished compact JWS.
    pub fn with_signature(&self, signature: &[u8; SIGNATURE_LENGTH]) -> String {
        format!("{}.{}", self.signing_input, base64url(signature))
    }
}

/// A member that is text, and some.
pub(super) fn non_empty(claims: &Map<String, Value>, name: &str) -> Option<String> {
    claims.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A NumericDate without a fraction.
pub(super) fn seconds(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    claims.get(name)?.as_u64().map(Timestamp::from_unix_seconds)
}

pub(super) fn write_seconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_unix_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jws(header: &str, claims: &str) -> String {
        format!("{}.{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()), base64url(&[1; 64]))
    }

    fn verdict(header: &str, claims: &str) -> Result<(), JwsError> {
        Jws::decode(&jws(header, claims)).map(drop)
    }

    #[test]
    fn strict_json_or_nothing() {
        assert_eq!(verdict(r#"{"alg":"ES256"}"#, r#"{"a":{"b":[1,null,true,"x",-1]}}"#), Ok(()));
        for (header, claims, error) in [
            (r#"{"alg":"ES256","alg":"none"}"#, "{}", JwsError::DuplicateMember),
            (r#"{"alg":"ES256"}"#, r#"{"cnf":{"jkt":"a","jkt":"b"}}"#, JwsError::DuplicateMember),
            (r#"{"alg":"ES256"} "x""#, "{}", JwsError::Json),
            (r#"{"alg":"ES256"}"#, "[]", JwsError::Json),
            (r#"{"alg":"ES256"}"#, r#"{"exp":1e400}"#, JwsError::Json),
            (r#"{"alg":"ES256"}"#, r#"{"exp":NaN}"#, JwsError::Json),
            (r#"{"alg":"ES256"}"#, "{\"a\":\"\\ud800\"}", JwsError::Json),
            (r#"{"alg":"ES256"}"#, r#"{"a":[[[[[[[[[1]]]]]]]]]}"#, JwsError::Json),
            ("\u{feff}{\"alg\":\"ES256\"}", "{}", JwsError::Json),
            ("{}", "{}", JwsError::Algorithm),
            (r#"{"alg":["none"]}"#, "{}", JwsError::Algorithm),
            (r#"{"alg":"ES256","crit":["exp"]}"#, "{}", JwsError::Critical),
            (r#"{"alg":"ES256","b64":false}"#, "{}", JwsError::Critical),
            (r#"{"alg":"ES256","typ":1}"#, "{}", JwsError::Typ),
        ] {
            assert_eq!(verdict(header, claims), Err(error), "{header} {claims}");
        }
    }

    #[test]
    fn crit_in_any_form_is_refused() {
        for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", r#"["alg","alg"]"#, r#""exp""#, "null", "{}", "1"] {
            let header = format!(r#"{{"alg":"ES256","crit":{crit}}}"#);
            assert_eq!(verdict(&header, "{}"), Err(JwsError::Critical), "{crit}");
        }
    }

    #[test]
    fn json_that_is_no_text_is_refused() {
        for bytes in [&b"{\"a\":\"\xff\"}"[..], b"{\"a\":\"\xed\xa0\x80\"}", b"{\"\xc0\xaf\":1}", b"\xff{}"] {
            assert_eq!(strict_object(bytes), Err(JwsError::Json), "{bytes:?}");
        }
        for text in [
            r#"{"a":"\udc00"}"#,
            r#"{"a":1}{"#,
            r#"{"a":1},"#,
            "",
            "null",
            r#"{"a":01}"#,
            r#"{"a":+1}"#,
            r#"{'a':1}"#,
            r#"{"a":1,}"#,
            "{\"a\":\"\n\"}",
        ] {
            assert_eq!(strict_object(text.as_bytes()), Err(JwsError::Json), "{text}");
        }
        let nested = format!("{}1{}", r#"{"a":"#.repeat(8000), "}".repeat(8000));
        assert_eq!(strict_object(nested.as_bytes()), Err(JwsError::Json), "depth");
    }

    #[test]
    fn three_segments_of_strict_base64url() {
        let good = jws(r#"{"alg":"ES256"}"#, "{}");
        for (token, error) in [
            (format!("{good}.AA"), JwsError::Segments),
            (good.replace('.', ""), JwsError::Segments),
            (format!("{good}="), JwsError::Base64),
            (format!(" {good}"), JwsError::Base64),
            (format!("{good},{good}"), JwsError::Segments),
            (good.rsplit_once('.').map(|(start, _)| format!("{start}.")).unwrap(), JwsError::Segments),
            ("a".repeat(MAX_JWT_FIELD + 1), JwsError::TooLong),
        ] {
            assert_eq!(Jws::decode(&token).err(), Some(error), "{token}");
        }
    }

    #[test]
    fn typ_is_compared_as_a_media_type() {
        let is = |typ: &str| {
            Jws::decode(&jws(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#), "{}")).unwrap().is_typ("at+jwt")
        };
        assert!(is("at+jwt") && is("AT+JWT") && is("application/at+jwt"));
        assert!(!is("JWT") && !is("at+jwtx") && !is("text/at+jwt") && !is("application/application/at+jwt"));
    }
}
