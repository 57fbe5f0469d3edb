//! Certificates as people keep them in files: PEM blocks, or DER one after the other.

use base64ct::{Base64, Encoding};
use der::{Reader, SliceReader};

use crate::chain::MAX_CERTIFICATES;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Why a file does not hold certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFileError {
    /// Neither a PEM block nor DER in it.
    Empty,
    /// A PEM block without its end, or with something other than base64 inside.
    MalformedPem,
    /// Bytes that are not one DER value after the other.
    MalformedDer,
    /// More than [`MAX_CERTIFICATES`].
    TooMany,
}

impl CertificateFileError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Empty => "certificate_file_empty",
            Self::MalformedPem => "certificate_file_malformed_pem",
            Self::MalformedDer => "certificate_file_malformed_der",
            Self::TooMany => "certificate_file_too_many",
        }
    }
}

/// The certificates of a file in its order, each as the bytes that stand there. Text around PEM blocks is
/// ignored, as everywhere. Whether the bytes are certificates shows only when they are verified.
///
/// # Errors
/// [`CertificateFileError`].
pub fn certificates(file: &[u8]) -> Result<Vec<Vec<u8>>, CertificateFileError> {
    match core::str::from_utf8(file) {
        Ok(text) if text.contains(BEGIN) => from_pem(text),
        _ => from_der(file),
    }
}

fn from_pem(text: &str) -> Result<Vec<Vec<u8>>, CertificateFileError> {
    let mut certificates = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        let (content, _) = block.split_once(END).ok_or(CertificateFileError::MalformedPem)?;
        let base64: String = content.split_ascii_whitespace().collect();
        certificates.push(Base64::decode_vec(&base64).map_err(|_| CertificateFileError::MalformedPem)?);
        if certificates.len() > MAX_CERTIFICATES {
            return Err(CertificateFileError::TooMany);
        }
    }
    Ok(certificates)
}

fn from_der(file: &[u8]) -> Result<Vec<Vec<u8>>, CertificateFileError> {
    let mut reader = SliceReader::new(file).map_err(|_| CertificateFileError::MalformedDer)?;
    let mut certificates = Vec::new();
    while !reader.is_finished() {
        let der = reader.tlv_bytes().map_err(|_| CertificateFileError::MalformedDer)?;
        certificates.push(der.to_vec());
        if certificates.len() > MAX_CERTIFICATES {
            return Err(CertificateFileError::TooMany);
        }
    }
    if certificates.is_empty() { Err(CertificateFileError::Empty) } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_and_der_read_the_same() {
        let pem = format!("subject=x\n{BEGIN}\nMAMC\r\nAQA=\n{END}\n{BEGIN}\nMAA=\n{END}");
        let expected = Ok(vec![vec![0x30, 3, 2, 1, 0], vec![0x30, 0]]);
        assert_eq!(certificates(pem.as_bytes()), expected);
        assert_eq!(certificates(&[0x30, 3, 2, 1, 0, 0x30, 0]), expected);
    }

    #[test]
    fn broken_files_are_refused() {
        let pem = |content: &str| certificates(content.as_bytes());
        assert_eq!(pem(&format!("{BEGIN}\nMAA=\n")), Err(CertificateFileError::MalformedPem));
        assert_eq!(pem(&format!("{BEGIN}\n!\n{END}")), Err(CertificateFileError::MalformedPem));
        assert_eq!(pem(""), Err(CertificateFileError::Empty));
        assert_eq!(pem("no certificate"), Err(CertificateFileError::MalformedDer));
        assert_eq!(
            certificates(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]),
            Err(CertificateFileError::MalformedDer)
        );
        let many = [0x30, 0].repeat(MAX_CERTIFICATES + 1);
        assert_eq!(certificates(&many), Err(CertificateFileError::TooMany));
    }
}
