//! Which quota a request draws on.

use std::net::IpAddr;

use super::rate::{AddressPrefix, Per, RateLimit};
use crate::crypto::sha256_of;

/// The name of one caller's quota under one limit: half a SHA-256, the same at every edge with the same settings, so that
/// edges can keep it in a shared store. It tells nobody who the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitKey([u8; 16]);

impl LimitKey {
    /// The key of whom `parts` name under `limit`; each part is told from the next by its length.
    pub(super) fn new(limit: &RateLimit, [first, second]: [&[u8]; 2]) -> Self {
        let length = (first.len() as u64).to_be_bytes();
        let whole = sha256_of(&[limit.scope(), &length, first, second]);
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        Self(half)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// One quota that a request draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Whose quota.
    pub per: Per,
    /// Under which name.
    pub key: LimitKey,
    /// How much of it there is for this caller now.
    pub gcra: super::gcra::Gcra,
}

/// The prefix of an address with its length, as 17 bytes; IPv4 in IPv6 is IPv4.
pub(in crate::check) fn prefix_of(source: IpAddr, prefix: AddressPrefix) -> [u8; 17] {
    let mut bytes = [0; 17];
    let (bits, length) = match source.to_canonical() {
        IpAddr::V4(address) => {
            let length = prefix.ipv4.min(32);
            (u128::from(u32::from(address)) << 96, length)
        }
        IpAddr::V6(address) => (u128::from(address), prefix.ipv6.min(128) | 0x80),
    };
    let kept = u32::from(length & 0x7f);
    let mask = u128::MAX.checked_shl(128 - kept).unwrap_or(0);
    bytes[..16].copy_from_slice(&(bits & mask).to_be_bytes());
    bytes[16] = length;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str, ipv4: u8, ipv6: u8) -> [u8; 17] {
        prefix_of(text.parse().unwrap(), AddressPrefix { ipv4, ipv6 })
    }

    #[test]
    fn a_host_cannot_hide_in_its_64_or_another_spelling() {
        assert_eq!(prefix("2001:db8::1", 32, 64), prefix("2001:db8::ffff:1", 32, 64));
        assert_ne!(prefix("2001:db8::1", 32, 64), prefix("2001:db8:0:1::1", 32, 64));
        assert_eq!(prefix("2001:db8::1", 32, 48), prefix("2001:db8:0:1::1", 32, 48));
        assert_eq!(prefix("192.0.2.1", 32, 64), prefix("::ffff:192.0.2.1", 32, 64));
        assert_ne!(prefix("192.0.2.1", 32, 64), prefix("192.0.2.2", 32, 64));
        assert_eq!(prefix("192.0.2.1", 24, 64), prefix("192.0.2.2", 24, 64));
    }

    #[test]
    fn no_prefix_of_one_family_is_one_of_the_other() {
        // c000:0200::/24 begins with the bits of 192.0.2.0/24.
        assert_ne!(prefix("192.0.2.0", 24, 24), prefix("c000:0200::", 24, 24));
    }

    #[test]
    fn a_name_cannot_be_cut_elsewhere_to_be_another() {
        let limit = RateLimit::new(Per::Subject, "1/s".parse().unwrap(), 1).unwrap();
        assert_ne!(
            LimitKey::new(&limit, [b"https://as", b"user"]),
            LimitKey::new(&limit, [b"https://asu", b"ser"])
        );
    }
}
