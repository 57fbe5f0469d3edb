//! A certificate in PEM, percent-encoded, as nginx (`$ssl_client_escaped_cert`) and Envoy write it into a header field.

use base64ct::{Base64, Encoding};
use countersign_verifier::credential::client_certificate::MAX_CERTIFICATE;

/// Longest text read, in bytes: a certificate of [`MAX_CERTIFICATE`] bytes, each third character escaped, fits.
pub(super) const MAX_ESCAPED: usize = 48 * 1024;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// The DER of the one certificate, which nothing stands beside; `None` for anything else. Gateways write this, so there
/// is one spelling: whatever is not unreserved (RFC 3986 section 2.3) is escaped.
pub(super) fn decode(escaped: &[u8]) -> Option<Vec<u8>> {
    if escaped.len() > MAX_ESCAPED {
        return None;
    }
    let pem = unescaped(escaped)?;
    let pem = pem.strip_suffix(b"\n").unwrap_or(&pem);
    let pem = pem.strip_suffix(b"\r").unwrap_or(pem);
    let body = pem.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let base64: Vec<u8> = body.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let der = Base64::decode_vec(std::str::from_utf8(&base64).ok()?).ok()?;
    Some(der).filter(|der| (1..=MAX_CERTIFICATE).contains(&der.len()))
}

fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => byte,
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As nginx and Envoy escape: line feeds, spaces, and what base64 has beside letters and digits.
    pub(crate) fn escaped(der: &[u8]) -> String {
        let pem = countersign_virtual_device::certificate::pem(der);
        let pem = pem.replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B");
        pem.replace('/', "%2F").replace('=', "%3D")
    }

    #[test]
    fn one_certificate_is_read() {
        for der in [&[0x30, 3, 2, 1, 0][..], &[0xfb, 0xff, 0xfe], &[7; 200], &[7; MAX_CERTIFICATE]] {
            assert_eq!(decode(escaped(der).as_bytes()).as_deref(), Some(der));
        }
        let der = [0x30, 0];
        assert_eq!(decode(escaped(&der).replace("%0A", "%0a").as_bytes()).as_deref(), Some(&der[..]));
        assert_eq!(decode(escaped(&der).replace("%0A", "%0D%0A").as_bytes()).as_deref(), Some(&der[..]));
        assert_eq!(decode(escaped(&der).trim_end_matches("%0A").as_bytes()).as_deref(), Some(&der[..]));
    }

    #[test]
    fn whatever_else_stands_there_is_refused() {
        let right = escaped(&[0xfb, 0xff]);
        for wrong in [
            String::new(),
            "%".into(),
            "%4".into(),
            "%4g".into(),
            "-".into(),
            escaped(&[]),
            format!("{right}{right}"),
            format!("a{right}"),
            format!("%0A{right}"),
            format!("{right}a"),
            format!("{right}%0A"),
            format!("{right},{right}"),
            right.replace("%20", " "),
            right.replace("%20", "+"),
            right.replace("%2F", "/"),
            right.replace("%3D", ""),
            right.replace("%3D", "="),
            right.replace("%0A", "%20"),
            right.replace("%0A", "%00"),
            right.replace("CERTIFICATE", "TRUSTED%20CERTIFICATE"),
            right.replace("-----BEGIN", "----BEGIN"),
            right.replace("%20CERTIFICATE-----", "%20certificate-----"),
            right.trim_end_matches("-----%0A").into(),
            right.replace("%0A", "\u{e9}"),
        ] {
            assert_ne!(wrong, right);
            assert_eq!(decode(wrong.as_bytes()), None, "{wrong}");
        }
        for length in [MAX_CERTIFICATE + 1, 40 * 1024] {
            assert_eq!(decode(escaped(&vec![7; length]).as_bytes()), None, "{length}");
        }
    }
}
