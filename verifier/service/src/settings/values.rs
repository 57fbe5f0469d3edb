//! Single values of the settings whose text follows a rule.

use std::time::Duration;

use countersign_core::time::Timestamp;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::formats;

/// An absolute `http` or `https` URL without user, query and fragment, kept byte for byte as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = formats::WEB_URL))]
pub struct WebUrl(String);

impl WebUrl {
    /// The text as it was written; tokens compare it byte for byte.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is sent there stays secret: `https`, or a host that is this machine.
    pub fn is_private(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| url.scheme() == "https" || is_loopback(&url))
    }
}

/// Scheme, host and optional port, kept as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = formats::ORIGIN))]
pub struct Origin(String);

impl Origin {
    /// The text as it was written, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A time span of whole seconds, written as `90s`, `10m`, `24h` or `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = formats::TIME_SPAN))]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// A time span of whole seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Its length in seconds.
    pub const fn as_seconds(self) -> u64 {
        self.0.as_secs()
    }
}

/// The last day on which something counts, UTC, written as `2027-06-30`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = formats::DATE))]
pub struct LastDay(String);

impl LastDay {
    /// Its last second.
    pub fn end(&self) -> Timestamp {
        Timestamp::from_unix_seconds(formats::date(&self.0).unwrap_or(0))
    }
}

/// A text breaks the rule of its kind; the schema has said so before, with the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidText;

impl std::fmt::Display for InvalidText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("this text does not follow the rule of its kind")
    }
}

impl TryFrom<String> for WebUrl {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        formats::web_url(&text).map(|_| Self(text)).ok_or(InvalidText)
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        formats::origin(&text).map(|_| Self(text)).ok_or(InvalidText)
    }
}

impl TryFrom<String> for TimeSpan {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        formats::time_span(&text).map(Self).ok_or(InvalidText)
    }
}

impl TryFrom<String> for LastDay {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        formats::date(&text).map(|_| Self(text)).ok_or(InvalidText)
    }
}

impl From<LastDay> for String {
    fn from(day: LastDay) -> Self {
        day.0
    }
}

impl From<WebUrl> for String {
    fn from(url: WebUrl) -> Self {
        url.0
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

impl From<TimeSpan> for String {
    fn from(span: TimeSpan) -> Self {
        match span.as_seconds() {
            seconds if seconds != 0 && seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
            seconds if seconds != 0 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
            seconds if seconds != 0 && seconds % 60 == 0 => format!("{}m", seconds / 60),
            seconds => format!("{seconds}s"),
        }
    }
}

impl std::fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from(*self))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_private() {
        let private = |text: &str| WebUrl::try_from(text.to_owned()).unwrap().is_private();
        for good in ["https://a.example", "http://127.0.0.1:8080", "http://[::1]:1", "http://localhost:8080"]
        {
            assert!(private(good), "{good}");
        }
        for bad in ["http://a.example", "http://127.0.0.1.example", "http://10.0.0.1"] {
            assert!(!private(bad), "{bad}");
        }
    }

    #[test]
    fn a_time_span_is_written_as_it_is_read() {
        for text in ["90s", "10m", "24h", "30d", "0s"] {
            let span = TimeSpan::try_from(text.to_owned()).unwrap();
            let again = TimeSpan::try_from(span.to_string()).unwrap();
            assert_eq!(again, span, "{text}");
        }
        assert_eq!(TimeSpan::from_seconds(600).to_string(), "10m");
    }
}
