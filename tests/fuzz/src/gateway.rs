//! What gateways tell of a request: Envoy's `CheckRequest`, and the client's certificate in three conventions.

use countersign_core::encoding::base64url;
use countersign_core::request::sha256;
use countersign_service::fuzzing::{client_certificate, envoy_check};
use countersign_service::settings::ClientCertificateField;
use countersign_verifier::credential::client_certificate::{ClientCertificate, MAX_CERTIFICATE};
use countersign_virtual_device::certificate::pem;

use super::{choose, chosen, world};

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    let field = match choice {
        0 => return envoy(data),
        1 => ClientCertificateField::ClientCert,
        2 => ClientCertificateField::Xfcc,
        _ => ClientCertificateField::NginxEscapedPem,
    };
    let certificate = client_certificate(field, &[data]).expect("a field that stands there says something");
    let twice = client_certificate(field, &[data, data]);
    assert_eq!(twice, Some(ClientCertificate::malformed()), "two lines are none");
    let joined = [data, b",", data].concat();
    let joined = client_certificate(field, &[&joined]);
    assert_eq!(joined, Some(ClientCertificate::malformed()), "two lines, joined, are none");
    if let Some(der) = certificate.der() {
        assert!((1..=MAX_CERTIFICATE).contains(&der.len()));
        assert_eq!(certificate.thumbprint(), Some(sha256(der)));
    }
    if choice == 2
        && let Some(thumbprint) = certificate.thumbprint()
    {
        let hash: String = thumbprint.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = String::from_utf8_lossy(data).to_ascii_lowercase();
        assert!(text.contains(&hash), "a certificate that Envoy did not name");
    }
}

fn envoy(data: &[u8]) {
    let Some(check) = envoy_check(data) else { return };
    assert_eq!(envoy_check(data).as_ref(), Some(&check), "the same message tells the same");
    assert!(check.path.starts_with('/'));
    let contains = |text: &str| data.windows(text.len().max(1)).any(|window| window == text.as_bytes());
    assert!(check.resource.is_empty() || contains(&check.resource), "a resource that Envoy did not name");
    assert_eq!(check.set, ["x-attested-subject"]);
    for removed in &check.removed {
        assert!(!removed.eq_ignore_ascii_case("x-attested-subject"), "removed after it was set");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let der = world::android().attest(&world::CHALLENGE, world::NOW).swap_remove(0);
    let escaped = |der: &[u8]| {
        let pem = pem(der).replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B");
        pem.replace('/', "%2F").replace('=', "%3D")
    };
    let base64 = |der: &[u8]| {
        let text = base64url(der).replace('-', "+").replace('_', "/");
        let padding = "=".repeat((4 - text.len() % 4) % 4);
        format!(":{text}{padding}:")
    };
    let hash = |der: &[u8]| sha256(der).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut seeds = vec![chosen(0, &check_request(false)), chosen(0, &check_request(true))];
    for der in [&der[..], &[0x30, 0]] {
        let (hash, cert) = (hash(der), escaped(der));
        seeds.push(chosen(1, base64(der).as_bytes()));
        seeds.push(chosen(2, format!("Hash={hash}").as_bytes()));
        let names = "Subject=\"CN=a\\\"b\\,c\";URI=spiffe://a?b=c;DNS=a";
        seeds.push(chosen(2, format!("By=;Hash={hash};Cert=\"{cert}\";{names}").as_bytes()));
        seeds.push(chosen(3, cert.as_bytes()));
    }
    seeds
}

/// A `CheckRequest` as Envoy makes it, with its fields joined in a map, or each line by itself.
fn check_request(is_raw: bool) -> Vec<u8> {
    let fields = [("attestation-proof", "a"), ("x_attested_subject", "spoofed"), ("x-attested-scope", "all")];
    let entry = |key: &str, value: &str| [part(1, key.as_bytes()), part(2, value.as_bytes())].concat();
    let mut http = [part(2, b"POST"), part(4, b"/v1/pay?a=%2F"), part(12, b"body")].concat();
    // size: 4
    http.extend([9 << 3, 4]);
    if is_raw {
        let line = |(key, value): (&str, &str)| {
            part(1, &[part(1, key.as_bytes()), part(3, value.as_bytes())].concat())
        };
        http.extend(part(13, &fields.map(line).concat()));
    } else {
        http.extend(fields.map(|(key, value)| part(3, &entry(key, value))).concat());
    }
    // source.address.socket_address.address
    let source = part(1, &part(1, &part(1, &part(2, b"192.0.2.7"))));
    let request = part(4, &part(2, &http));
    let context = part(10, &entry("resource", "api"));
    part(1, &[source, request, context].concat())
}

/// A field of protobuf with a length.
fn part(number: u8, content: &[u8]) -> Vec<u8> {
    let mut length = content.len();
    let mut bytes = vec![number << 3 | 2];
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).expect("seven bits"));
    [&bytes, content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_understood() {
        for seed in [check_request(false), check_request(true)] {
            let check = envoy_check(&seed).expect("what Envoy sends");
            assert_eq!((check.resource.as_str(), check.path.as_str()), ("api", "/v1/pay?a=%2F"));
            assert_eq!((check.proofs, check.source.is_some()), (1, true));
            assert_eq!(check.removed, ["x-attested-scope", "x_attested_subject"]);
        }
    }
}
