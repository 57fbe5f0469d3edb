//! The header field `Client-Cert` (RFC 9440): how a gateway that ended a TLS connection tells of the client's
//! certificate.

use base64ct::{Base64, Encoding};
use countersign_verifier::check::ClientCertificate;
use countersign_verifier::credential::client_certificate::MAX_CERTIFICATE;

/// The field's name, in lower case.
pub const CLIENT_CERT: &str = "client-cert";

/// Longest value: a certificate of [`MAX_CERTIFICATE`] bytes in base64, between two colons.
const MAX_VALUE: usize = MAX_CERTIFICATE.div_ceil(3) * 4 + 2;

/// The certificate in the lines of the field, as they came; `None` without any. The gateway alone writes it: anything but
/// one line with one byte sequence (RFC 8941 section 3.3.5, with its padding and without parameters) is
/// [`ClientCertificate::malformed`], and refuses the request.
pub fn client_cert<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<ClientCertificate> {
    let mut lines = lines.into_iter();
    let first = lines.next()?;
    let only = if lines.next().is_none() { decode(first) } else { None };
    Some(only.unwrap_or(ClientCertificate::malformed()))
}

fn decode(line: &[u8]) -> Option<ClientCertificate> {
    let sequence = line.strip_prefix(b":")?.strip_suffix(b":").filter(|_| line.len() <= MAX_VALUE)?;
    let der = Base64::decode_vec(std::str::from_utf8(sequence).ok()?).ok()?;
    Some(ClientCertificate::from_der(&der))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<ClientCertificate> {
        client_cert(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn one_byte_sequence_is_one_certificate() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[":AQID:"]), Some(ClientCertificate::from_der(&[1, 2, 3])));
        assert_eq!(read(&[":AQI=:"]), Some(ClientCertificate::from_der(&[1, 2])));
        assert_eq!(read(&[":+/8=:"]), Some(ClientCertificate::from_der(&[0xfb, 0xff])));
    }

    #[test]
    fn whatever_else_stands_there_is_malformed() {
        for line in [
            "",
            ":",
            "::",
            ":AQID",
            "AQID:",
            "AQID",
            ":AQ:",
            ":AQI:",
            ":AR==:",
            ":AQ ID:",
            ":-_8=:",
            ": AQID:",
            ":AQID:;a=1",
            ":AQID:,:AQID:",
            ":AQID:, :AQID:",
            "\":AQID:\"",
            ":AQID::",
            ":AQ\u{e9}D:",
            "?1",
        ] {
            assert_eq!(read(&[line]), Some(ClientCertificate::malformed()), "{line}");
        }
        assert_eq!(client_cert([&b":AQ\xffD:"[..]]), Some(ClientCertificate::malformed()));
    }

    #[test]
    fn two_lines_are_malformed_also_where_they_say_the_same() {
        for second in [":AQID:", "", ":BBBB:"] {
            assert_eq!(read(&[":AQID:", second]), Some(ClientCertificate::malformed()), "{second}");
            assert_eq!(read(&[second, ":AQID:"]), Some(ClientCertificate::malformed()), "{second}");
        }
    }

    #[test]
    fn a_certificate_of_16_kib_fits_and_no_longer_one() {
        let of = |length| format!(":{}:", Base64::encode_string(&vec![7; length]));
        let longest = ClientCertificate::from_der(&[7; MAX_CERTIFICATE]);
        assert_eq!(read(&[&of(MAX_CERTIFICATE)]), Some(longest));
        for length in [MAX_CERTIFICATE + 1, MAX_CERTIFICATE + 3, 64 * 1024] {
            assert_eq!(read(&[&of(length)]), Some(ClientCertificate::malformed()), "{length}");
        }
    }
}
