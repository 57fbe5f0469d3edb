//! Addresses of peers, one or a whole network.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::InvalidText;
use crate::document::formats;

/// An IP address such as `127.0.0.1`, or a network such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = formats::ADDRESS_RANGE))]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// Whether it is, or holds, `address`. An IPv4 address that comes mapped into IPv6 is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl TryFrom<String> for AddressRange {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        formats::address_range(&text).map(Self).ok_or(InvalidText)
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        match range.0 {
            net if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
            net => net.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        let holds = |range: &str, address: &str| {
            AddressRange::try_from(range.to_owned()).unwrap().contains(address.parse().unwrap())
        };
        for (range, address) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "::ffff:127.0.0.1"),
            ("10.0.0.0/8", "10.255.0.1"),
            ("2001:db8::/32", "2001:db8::7"),
            ("::1", "::1"),
        ] {
            assert!(holds(range, address), "{range} {address}");
        }
        for (range, address) in [
            ("127.0.0.1", "127.0.0.2"),
            ("10.0.0.0/8", "11.0.0.1"),
            ("::1", "127.0.0.1"),
            ("0.0.0.0/0", "::1"),
        ] {
            assert!(!holds(range, address), "{range} {address}");
        }
    }

    #[test]
    fn a_range_is_written_as_it_is_read() {
        for text in ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"] {
            assert_eq!(String::from(AddressRange::try_from(text.to_owned()).unwrap()), text);
        }
    }
}
