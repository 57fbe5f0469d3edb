//! Which phone, with which app on it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use countersign_core::encoding::{base64url, from_base64url_array};
use countersign_virtual_device::{
    AppleAuthority, GoogleAuthority, Seed, VirtualAndroid, VirtualIphone, VirtualPhone,
};

use super::{Failed, files, random};

/// The seed that roots and phones follow from.
#[derive(Debug, Args)]
pub struct SeedSource {
    /// The file of the seed; made at the first use, mode 0600. Who has it can forge any phone.
    #[arg(long = "seed", value_name = "FILE", default_value = "virtual-device.seed")]
    path: PathBuf,
    /// Any text as the seed, instead of a file. Others see it in the list of processes: for tests alone.
    #[arg(long = "seed-text", value_name = "TEXT", conflicts_with = "path")]
    text: Option<String>,
}

/// A phone and its app.
#[derive(Debug, Args)]
pub(super) struct Phone {
    #[command(flatten)]
    pub(super) seed: SeedSource,
    /// The kind of phone.
    #[arg(long, value_enum, default_value_t)]
    pub(super) platform: Platform,
    /// The app on an iPhone: team identifier, dot, bundle identifier.
    #[arg(long, value_name = "ID", default_value = "ABCDE12345.com.example.app")]
    app_id: String,
    /// The team identifier alone.
    #[arg(long, value_name = "ID", requires = "bundle", conflicts_with = "app_id")]
    team: Option<String>,
    /// The bundle identifier alone.
    #[arg(long, value_name = "ID", requires = "team", conflicts_with = "app_id")]
    bundle: Option<String>,
    /// The app on an Android phone.
    #[arg(long, value_name = "NAME", default_value = "com.example.app")]
    package: String,
    /// SHA-256 of the Android app's signing certificate, in hex.
    #[arg(
        long,
        value_name = "HEX",
        default_value = "0808080808080808080808080808080808080808080808080808080808080808"
    )]
    signer: String,
}

/// The kind of phone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Platform {
    /// An iPhone with App Attest.
    #[default]
    Iphone,
    /// An Android phone with key attestation.
    Android,
}

impl Phone {
    /// The phone, honest.
    pub(super) fn make(&self) -> Result<VirtualPhone, Failed> {
        Ok(match self.platform {
            Platform::Iphone => self.iphone()?.into(),
            Platform::Android => self.android()?.into(),
        })
    }

    pub(super) fn iphone(&self) -> Result<VirtualIphone, Failed> {
        let (team, bundle) = match (&self.team, &self.bundle) {
            (Some(team), Some(bundle)) => (team.as_str(), bundle.as_str()),
            _ => self.app_id.split_once('.').ok_or("--app-id is team, dot, bundle identifier")?,
        };
        let seed = self.seed.open()?;
        Ok(VirtualIphone::new(&AppleAuthority::from_seed(&seed), &seed).app(team, bundle))
    }

    pub(super) fn android(&self) -> Result<VirtualAndroid, Failed> {
        let signer = from_hex(&self.signer).ok_or("--signer is 64 hexadecimal digits")?;
        let seed = self.seed.open()?;
        Ok(VirtualAndroid::new(&GoogleAuthority::from_seed(&seed), &seed).app(&self.package, 1, signer))
    }
}

impl SeedSource {
    /// The seed; a new one if there is no file.
    pub(super) fn open(&self) -> Result<Seed, Failed> {
        if let Some(text) = &self.text {
            return Ok(Seed::from_text(text));
        }
        if let Some(content) = files::existing(&self.path)? {
            let text = str::from_utf8(&content).unwrap_or_default().trim();
            return from_base64url_array(text).map(Seed::from_bytes).map_err(|_| {
                let path = self.path.display();
                format!("{path} holds no seed of this command; remove it to get a new one").into()
            });
        }
        let bytes: [u8; 32] = random()?;
        files::write_secret(&self.path, format!("{}\n", base64url(&bytes)).as_bytes())?;
        Ok(Seed::from_bytes(bytes))
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |digit: char| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = text.chars().map(digit).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    (digits.len() == 64).then_some(bytes)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_has_exactly_64_digits() {
        assert_eq!(from_hex(&"0f".repeat(32)), Some([0x0f; 32]));
        for wrong in ["", "0f", &"0f".repeat(33), &"0g".repeat(32), &"0".repeat(63)] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }
}
