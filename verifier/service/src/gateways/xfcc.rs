//! `X-Forwarded-Client-Cert`, as Envoy tells of the client's certificate with `forward_client_cert_details:
//! SANITIZE_SET`: one element, pairs of key and value between semicolons, values in quotes where they need them.
//!
//! Envoy writes names out of the certificate into it that its issuer may have let the client choose, and does not quote
//! all of them. So a value counts only if it cannot be the client's: `Hash` stands in every element of Envoy's own, once,
//! and what else is read must agree with it.

use countersign_verifier::check::ClientCertificate;

use super::escaped_pem;

/// The field's name, in lower case.
pub(super) const FIELD: &str = "x-forwarded-client-cert";

/// Longest value, in bytes; the chain, which is not read, may be in it.
const MAX_VALUE: usize = 60 * 1024;

/// The certificate of one element; `None` if it is anything else.
pub(super) fn decode(line: &[u8]) -> Option<ClientCertificate> {
    if line.len() > MAX_VALUE || !line.iter().all(|byte| (0x20..=0x7e).contains(byte)) {
        return None;
    }
    let (mut hash, mut certificate) = (None, None);
    let mut rest = std::str::from_utf8(line).ok()?;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        let slot = match key {
            // Keys have no case; only these two are read.
            key if key.eq_ignore_ascii_case("hash") => Some(&mut hash),
            key if key.eq_ignore_ascii_case("cert") => Some(&mut certificate),
            key if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic()) => None,
            _ => return None,
        };
        if let Some(slot) = slot
            && slot.replace(value).is_some()
        {
            return None;
        }
        rest = match after.strip_prefix(';') {
            Some(rest) => rest,
            None if after.is_empty() => break,
            // A comma: a second element, so Envoy appends where it should overwrite.
            None => return None,
        };
    }
    let thumbprint = digest(hash?)?;
    let Some(escaped) = certificate else { return Some(ClientCertificate::from_thumbprint(thumbprint)) };
    let whole = ClientCertificate::from_der(&escaped_pem::decode(escaped.as_bytes())?);
    (whole.thumbprint() == Some(thumbprint)).then_some(whole)
}

/// A value at the beginning of `text`, without its quotes, and what follows it. In quotes a backslash takes the next
/// character with it.
fn value(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end)?;
        return (!value.contains('"')).then_some((value, rest));
    };
    let mut is_escaped = false;
    let end = quoted.find(|character| {
        let ends = character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        ends
    })?;
    let (value, rest) = quoted.split_at_checked(end)?;
    Some((value, rest.strip_prefix('"')?))
}

/// SHA-256 as 64 hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let digit = |letter: char| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = text.chars().map(digit).collect::<Option<_>>()?;
    let bytes = digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit));
    let bytes: Vec<u8> = bytes.collect();
    bytes.try_into().ok().filter(|_| digits.len() == 64)
}

#[cfg(test)]
mod tests {
    use countersign_core::request::sha256;

    use super::super::escaped_pem::tests::escaped;
    use super::*;

    const DER: &[u8] = &[0x30, 3, 2, 1, 0];

    fn hash(der: &[u8]) -> String {
        sha256(der).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn read(line: &str) -> Option<ClientCertificate> {
        decode(line.as_bytes())
    }

    #[test]
    fn envoys_own_element_is_read() {
        let (hash, cert) = (hash(DER), escaped(DER));
        let bare = Some(ClientCertificate::from_thumbprint(sha256(DER)));
        let whole = Some(ClientCertificate::from_der(DER));
        for (line, expected) in [
            (format!("Hash={hash}"), &bare),
            (format!("hash={}", hash.to_uppercase()), &bare),
            (format!("By=spiffe://mesh/edge;Hash={hash};Subject=\"CN=a\\\"b\\,c\\\\\";URI="), &bare),
            (format!("By=;Hash={hash};Subject=\"CN=a;Hash=b,Cert=c\";URI=spiffe://a?b=c;DNS=a;DNS=b"), &bare),
            (format!("Hash={hash};Cert=\"{cert}\""), &whole),
            (format!("Hash={hash};Cert=\"{cert}\";Chain=\"{cert}{cert}\";Subject=\"\";URI=a;URI=b"), &whole),
            (format!("CERT={cert};HASH=\"{hash}\""), &whole),
        ] {
            assert_eq!(read(&line), *expected, "{line}");
        }
    }

    #[test]
    fn a_second_element_is_refused_whoever_wrote_it() {
        let (hash, other) = (hash(DER), hash(b"other"));
        for line in [
            format!("Hash={hash},Hash={other}"),
            format!("Hash={hash}, Hash={hash}"),
            format!("Hash={hash},"),
            format!(",Hash={hash}"),
            format!("By=a,b;Hash={hash}"),
        ] {
            assert_eq!(read(&line), None, "{line}");
        }
    }

    #[test]
    fn names_that_a_client_chose_put_no_other_certificate_in_its_place() {
        let (hash, other, cert) = (hash(DER), hash(b"other"), escaped(b"other"));
        for chosen in [
            format!("URI=a;Hash={other}"),
            format!("DNS=a;hash={other}"),
            format!("URI=a;Cert={cert}"),
            format!("URI=a;Cert=\"{cert}\""),
            format!("Subject=\"CN=a\";Hash={other};URI=\"\""),
            "URI=a;Cert=".to_owned(),
        ] {
            assert_eq!(read(&format!("Hash={hash};{chosen}")), None, "{chosen}");
        }
        let twice = format!("Hash={hash};Cert=\"{}\";URI=a;Cert=\"{cert}\"", escaped(DER));
        assert_eq!(read(&twice), None);
    }

    #[test]
    fn whatever_else_stands_there_is_refused() {
        let (hash, cert) = (hash(DER), escaped(DER));
        for line in [
            String::new(),
            "Hash".into(),
            "Hash=".into(),
            ";".into(),
            format!("Cert=\"{cert}\""),
            "By=a;Subject=\"CN=a\"".into(),
            format!("Hash={}", &hash[1..]),
            format!("Hash={hash}0"),
            format!("Hash={}g", &hash[1..]),
            format!("Hash={hash};"),
            format!(";Hash={hash}"),
            format!("Hash={hash};;By=a"),
            format!("Hash={hash};Hash={hash}"),
            format!("Hash={hash};By"),
            format!("Hash={hash};=a"),
            format!("Hash={hash};B y=a"),
            format!("Hash={hash}; By=a"),
            format!(" Hash={hash}"),
            format!("Hash=\"{hash}"),
            format!("Hash=\"{hash}\"a"),
            format!("Hash={hash}\""),
            format!("Hash={hash};Subject=\"CN=a\\\""),
            format!("Hash={hash};Cert=\"\""),
            format!("Hash={hash};Cert=\"{cert}{cert}\""),
            format!("Hash={hash};Cert=\"{cert}"),
            format!("Hash={hash};By=\u{e9}"),
            format!("Hash={hash};By=a\tb"),
            format!("Hash={hash};By={}", "a".repeat(MAX_VALUE)),
        ] {
            assert_eq!(read(&line), None, "{line}");
        }
    }
}
