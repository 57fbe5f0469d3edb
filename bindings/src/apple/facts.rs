//! What an iPhone tells about this app and this process: nothing that identifies the device or its owner.

use std::fs::File;
use std::io::Read;

/// What the kernel and the dynamic linker tell.
pub(super) trait ProcessFacts: Send + Sync + 'static {
    /// How many images are loaded.
    fn image_count(&self) -> u32;
    /// The path of a loaded image.
    fn image_path(&self, index: u32) -> Option<Vec<u8>>;
    /// The header of a loaded image, with its load commands.
    fn image_header(&self, index: u32) -> Option<Vec<u8>>;
    /// `p_flag` of this process.
    fn flags(&self) -> Option<i32>;
    /// Whether `fork` makes a process.
    fn can_fork(&self) -> Option<bool>;
}

/// Bytes of `struct mach_header_64` (`mach-o/loader.h`).
pub(super) const HEADER_LENGTH: usize = 32;
/// Most bytes of load commands that are looked at; large apps have some 20 KB.
const MAX_LOAD_COMMANDS: usize = 256 * 1024;
/// Most bytes that are read of a provisioning profile; usual ones have some 15 KB.
const MAX_PROFILE: u64 = 1024 * 1024;

/// Bytes of the load commands that follow this header; `None` for what is no 64-bit image.
pub(super) fn load_commands_length(header: &[u8]) -> Option<usize> {
    const MH_MAGIC_64: u32 = 0xfeed_facf;
    if number(header, 0)? != MH_MAGIC_64 {
        return None;
    }
    usize::try_from(number(header, 20)?).ok().filter(|length| *length <= MAX_LOAD_COMMANDS)
}

/// Whether the code of an app's main image is encrypted, as the App Store delivers it; `None` for what is no main
/// image.
fn is_encrypted(image: &[u8]) -> Option<bool> {
    const MH_EXECUTE: u32 = 2;
    const LC_ENCRYPTION_INFO_64: u32 = 0x2c;

    let length = load_commands_length(image)?;
    if number(image, 12)? != MH_EXECUTE {
        return None;
    }
    let mut commands = image.get(HEADER_LENGTH..)?.get(..length)?;
    for _ in 0..number(image, 16)? {
        let size = usize::try_from(number(commands, 4)?).ok()?;
        if number(commands, 0)? == LC_ENCRYPTION_INFO_64 {
            return Some(number(commands.get(..size)?, 16)? != 0);
        }
        // Each has at least these two numbers: no run in place.
        commands = commands.get(size.max(8)..)?;
    }
    Some(false)
}

/// A number of four bytes, least significant first, as all of Apple's processors write them.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// What the profile says with which a build for development, for testers or for an enterprise is signed. Builds from
/// the App Store and TestFlight have none. Read as text and not verified: it is a signal, and App Attest proves the
/// rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Profile {
    /// `com.apple.developer.team-identifier`.
    team: Option<String>,
    /// `get-task-allow`: a debugger may attach.
    is_debuggable: Option<bool>,
}

impl Profile {
    fn read(bundle_folder: &str) -> Option<Self> {
        let file = File::open(format!("{bundle_folder}/embedded.mobileprovision")).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_PROFILE).read_to_end(&mut bytes).ok()?;
        Some(Self::parse(&bytes))
    }

    /// Finds the two entries in the property list, which stands in clear within its signature.
    fn parse(bytes: &[u8]) -> Self {
        // The signature around it is binary; what is no text of the list is of no interest.
        let text = String::from_utf8_lossy(bytes);
        let value_of =
            |key: &str| text.split_once(&format!("<key>{key}</key>")).map(|(_, rest)| rest.trim_start());
        let team = value_of("com.apple.developer.team-identifier")
            .and_then(|rest| rest.strip_prefix("<string>")?.split_once("</string>"))
            .map(|(team, _)| team.to_owned());
        let is_debuggable = value_of("get-task-allow").and_then(|rest| {
            if rest.starts_with("<true/>") {
                Some(true)
            } else {
                rest.starts_with("<false/>").then_some(false)
            }
        });
        Self { team, is_debuggable }
    }
}
