//! Texts of a document that follow a rule of their own, named by `format` in the schema, so that a wrong one is
//! reported together with everything else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use countersign_verifier::check::limits::Rate;
use countersign_verifier::evidence::android_key::PatchLevel;
use ipnet::IpNet;
use reqwest::Url;
use time::Date;
use time::macros::format_description;

/// A text format: its name in the schema, its rule, and how a sentence asks for it.
pub(super) struct Format {
    pub(super) name: &'static str,
    pub(super) accepts: fn(&str) -> bool,
    pub(super) wanted: &'static str,
    /// A text that follows the rule; stands in for a wrong one while the rest of the document is checked.
    pub(super) example: &'static str,
}

/// Every format that a document may use; the constants below are their names.
pub(super) const FORMATS: &[Format] = &[
    Format {
        name: WEB_URL,
        accepts: |text| web_url(text).is_some(),
        wanted: "an absolute URL such as \"https://api.example\", without user, query and fragment",
        example: "https://api.example",
    },
    Format {
        name: ORIGIN,
        accepts: |text| origin(text).is_some(),
        wanted: "an origin such as \"https://api.example\": scheme, host and port, and nothing after them",
        example: "https://api.example",
    },
    Format {
        name: TIME_SPAN,
        accepts: |text| time_span(text).is_some(),
        wanted: "a time span such as \"90s\", \"10m\", \"24h\" or \"30d\"",
        example: "60s",
    },
    Format {
        name: RATE,
        accepts: |text| text.parse::<Rate>().is_ok(),
        wanted: "a rate such as \"10/s\", \"60/min\", \"1000/h\" or \"5000/day\"",
        example: "1/s",
    },
    Format {
        name: SOCKET_ADDRESS,
        accepts: |text| text.parse::<SocketAddr>().is_ok(),
        wanted: "an address with a port such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
        example: "127.0.0.1:0",
    },
    Format {
        name: ADDRESS_RANGE,
        accepts: |text| address_range(text).is_some(),
        wanted: "an address such as \"127.0.0.1\", or a network such as \"10.0.0.0/8\" that begins with its first address",
        example: "127.0.0.1",
    },
    Format {
        name: DATE,
        accepts: |text| date(text).is_some(),
        wanted: "a day such as \"2027-06-30\"",
        example: "2027-06-30",
    },
    Format {
        name: SHA256_HEX,
        accepts: |text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        wanted: "a SHA-256 value: 64 hexadecimal digits",
        example: "0000000000000000000000000000000000000000000000000000000000000000",
    },
    Format {
        name: PATCH_LEVEL,
        accepts: |text| text.parse::<PatchLevel>().is_ok(),
        wanted: "a patch level: year and month such as \"2025-01\", or a day such as \"2025-01-05\"",
        example: "2025-01",
    },
    Format {
        name: VERSION,
        accepts: |text| is_version(text),
        wanted: "a version such as \"14\" or \"2.10.1\": up to four numbers with dots between them",
        example: "0",
    },
];

/// Format name: an absolute `http` or `https` URL without user, query and fragment.
pub const WEB_URL: &str = "web-url";
/// Format name: scheme, host and optional port of an `http` or `https` URL (RFC 6454).
pub const ORIGIN: &str = "origin";
/// Format name: a whole number and its unit, `s`, `m`, `h` or `d`.
pub const TIME_SPAN: &str = "time-span";
/// Format name: a number of requests, `/`, and its unit, `s`, `min`, `h` or `day`.
pub const RATE: &str = "rate";
/// Format name: an IP address with a port.
pub const SOCKET_ADDRESS: &str = "socket-address";
/// Format name: an IP address, or a network with the length of its prefix.
pub const ADDRESS_RANGE: &str = "address-range";
/// Format name: year, month and day (RFC 3339 full-date).
pub const DATE: &str = "calendar-day";
/// Format name: 32 bytes as 64 hexadecimal digits.
pub const SHA256_HEX: &str = "sha256-hex";

/// Format name: a month, or a day, of a security patch level.
pub const PATCH_LEVEL: &str = "patch-level";

/// Format name: up to four numbers with dots between them.
pub const VERSION: &str = "dotted-version";

/// Whether a text is a version as policies write one: one to four numbers of at most nine digits.
pub fn is_version(text: &str) -> bool {
    let number = |part: &str| (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').count() <= 4 && text.split('.').all(number)
}

/// Reads an absolute `http` or `https` URL without user, query and fragment.
pub fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let clean = url.username().is_empty() && url.password().is_none();
    let whole = url.query().is_none() && url.fragment().is_none();
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    (matches!(url.scheme(), "http" | "https") && url.has_host() && clean && whole && printable).then_some(url)
}

/// Reads an origin; a trailing slash is no part of one.
pub fn origin(text: &str) -> Option<Url> {
    web_url(text).filter(|url| url.path() == "/" && !text.ends_with('/'))
}

/// Reads an IP address, or a network whose bits behind the prefix are zero.
pub fn address_range(text: &str) -> Option<IpNet> {
    let network = || text.parse::<IpNet>().ok().filter(|network| network.trunc() == *network);
    text.parse::<IpAddr>().ok().map(IpNet::from).or_else(network)
}

/// Reads a day; its last second (UTC) in seconds since 1970.
pub fn date(text: &str) -> Option<u64> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    u64::try_from(day.midnight().assume_utc().unix_timestamp()).ok().map(|first| first + 86_399)
}

/// Reads a whole number followed by `s`, `m`, `h` or `d`.
pub fn time_span(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u32>().ok().map(|count| Duration::from_secs(u64::from(count) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_span_is_a_whole_number_and_a_unit() {
        assert_eq!(time_span("10m"), Some(Duration::from_secs(600)));
        assert_eq!(time_span("30d"), Some(Duration::from_secs(30 * 86_400)));
        for wrong in ["", "m", "10", "+5m", "-5m", "1.5h", "10 m", "10M", "10ms", "99999999999d", "1é"] {
            assert_eq!(time_span(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_range_is_an_address_or_a_whole_network() {
        for right in ["127.0.0.1", "::1", "10.0.0.0/8", "2001:db8::/32", "10.1.2.3/32", "0.0.0.0/0"] {
            assert!(address_range(right).is_some(), "{right}");
        }
        for wrong in [
            "",
            "localhost",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0/8",
            "127.0.0.1:80",
            "[::1]",
            "010.0.0.1",
            "*",
        ] {
            assert!(address_range(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_day_counts_to_its_last_second() {
        assert_eq!(date("1970-01-01"), Some(86_399));
        assert_eq!(date("2027-06-30"), Some(1_814_399_999));
        for wrong in
            ["", "2027-06-31", "2027-6-30", "30.06.2027", "1969-12-31", "2027-06-30T00:00:00Z", " 2027-06-30"]
        {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_version_is_numbers_with_dots() {
        for right in ["14", "17.4", "2.10.0.1", "123456789"] {
            assert!(is_version(right), "{right}");
        }
        for wrong in ["", ".", "1.", ".1", "1.2.3.4.5", "v1", "1.2-beta", "1234567890", "1,2", " 1", "-1"] {
            assert!(!is_version(wrong), "{wrong}");
        }
    }

    #[test]
    fn an_origin_ends_after_the_port() {
        assert!(origin("https://api.example").is_some());
        assert!(origin("http://127.0.0.1:8080").is_some());
        for wrong in ["https://api.example/", "https://api.example/v1", "api.example", "ftp://api.example"] {
            assert!(origin(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_web_url_carries_no_secrets_and_no_query() {
        assert!(web_url("https://api.example/v1").is_some());
        for wrong in [
            "https://u:p@api.example",
            "https://api.example?x",
            "https://api.example#x",
            "/v1",
            " https://a.example",
        ] {
            assert!(web_url(wrong).is_none(), "{wrong:?}");
        }
    }
}
