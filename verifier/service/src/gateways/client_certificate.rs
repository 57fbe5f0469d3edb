//! The client's certificate, as the gateway that ended its TLS connection tells of it.

use countersign_edge::{CLIENT_CERT, ClientCertificate, client_cert};

use super::{escaped_pem, xfcc};
use crate::settings::ClientCertificateField;

/// The field of nginx: it has no name of its own for this, so the example's.
const ESCAPED_PEM: &str = "x-ssl-client-cert";

/// The certificate in the field that the settings name, and in no other one; `None` where the client showed none. What is
/// not exactly one certificate is malformed: the gateway alone may write the field, so then it does not overwrite what
/// clients send. `lines` gives all lines of a field, asked for in lower case.
pub(crate) fn client_certificate<'h, I>(
    field: Option<ClientCertificateField>,
    lines: impl Fn(&'static str) -> I,
) -> Option<ClientCertificate>
where
    I: IntoIterator<Item = &'h [u8]>,
{
    let decoded_by = |name, decode: fn(&[u8]) -> Option<ClientCertificate>| {
        let mut lines = lines(name).into_iter();
        let first = lines.next()?;
        let only = if lines.next().is_none() { decode(first) } else { None };
        Some(only.unwrap_or(ClientCertificate::malformed()))
    };
    match field? {
        ClientCertificateField::ClientCert => client_cert(lines(CLIENT_CERT)),
        ClientCertificateField::Xfcc => decoded_by(xfcc::FIELD, xfcc::decode),
        ClientCertificateField::NginxEscapedPem => decoded_by(ESCAPED_PEM, |line| {
            escaped_pem::decode(line).map(|der| ClientCertificate::from_der(&der))
        }),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};
    use countersign_core::request::sha256;

    use super::super::escaped_pem::tests::escaped;
    use super::*;

    fn told(field: Option<ClientCertificateField>, headers: &HeaderMap) -> Option<ClientCertificate> {
        client_certificate(field, |name| headers.get_all(name).iter().map(HeaderValue::as_bytes))
    }

    const DER: &[u8] = &[0x30, 0];

    fn each() -> [(ClientCertificateField, &'static str, String); 3] {
        let hash: String = sha256(DER).iter().map(|byte| format!("{byte:02x}")).collect();
        [
            (ClientCertificateField::ClientCert, "client-cert", ":MAA=:".to_owned()),
            (ClientCertificateField::Xfcc, "x-forwarded-client-cert", format!("Hash={hash}")),
            (ClientCertificateField::NginxEscapedPem, "x-ssl-client-cert", escaped(DER)),
        ]
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_the_field_of_the_settings_is_read() {
        let all = each();
        let lines: Vec<_> = all.iter().map(|(_, name, value)| (*name, value.as_str())).collect();
        assert_eq!(told(None, &headers(&lines)), None);
        for (field, name, value) in &all {
            let read = told(Some(*field), &headers(&[(*name, value)])).unwrap();
            assert_eq!(read.thumbprint(), Some(sha256(DER)), "{name}");
            let others: Vec<_> = lines.iter().copied().filter(|(other, _)| other != name).collect();
            assert_eq!(told(Some(*field), &headers(&others)), None, "{name}");
        }
    }

    #[test]
    fn a_field_that_stands_twice_or_joined_is_malformed() {
        let malformed = Some(ClientCertificate::malformed());
        for (field, name, value) in each() {
            let joined = format!("{value}, {value}");
            for lines in [&[(name, value.as_str()); 2][..], &[(name, joined.as_str())], &[(name, "")]] {
                assert_eq!(told(Some(field), &headers(lines)), malformed, "{lines:?}");
            }
        }
    }
}
