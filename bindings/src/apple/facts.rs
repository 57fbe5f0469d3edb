//! What an iPhone tells about this app and this process: nothing that identifies the device or its owner.

use std::fs::File;
use std::io::Read;
use std::sync::OnceLock;

use countersign_core::environment::probe::{AppFacts, Each, PlatformProbe, System};

/// The calls that ask the kernel and the dynamic linker about this process.
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

/// Apple's half of what the signals ask.
pub(super) struct ApplePlatform<P> {
    process: P,
    is_simulator: bool,
    identifier: Option<String>,
    bundle_folder: String,
    /// Read once: nothing of it changes while the app runs.
    app: OnceLock<AppFacts>,
}

impl<P: ProcessFacts> ApplePlatform<P> {
    /// For the app with this bundle.
    pub(super) fn new(
        process: P,
        is_simulator: bool,
        identifier: Option<String>,
        bundle_folder: String,
    ) -> Self {
        Self { process, is_simulator, identifier, bundle_folder, app: OnceLock::new() }
    }

    /// The image that is the app itself. Libraries that were pushed in may stand before it.
    fn main_image_is_encrypted(&self) -> Option<bool> {
        (0..self.process.image_count().min(MAX_IMAGES_BEFORE_MAIN))
            .find_map(|index| is_encrypted(&self.process.image_header(index)?))
    }
}

impl<P: ProcessFacts> PlatformProbe for ApplePlatform<P> {
    fn system(&self) -> System {
        System::Apple
    }

    fn is_simulator(&self) -> Option<bool> {
        Some(self.is_simulator)
    }

    fn loaded_images(&self, limit: usize, each: &mut Each<'_>) -> Option<()> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        // One that is unloaded meanwhile has no path any more.
        for path in
            (0..self.process.image_count().min(limit)).filter_map(|index| self.process.image_path(index))
        {
            if each(&path).is_break() {
                break;
            }
        }
        Some(())
    }

    fn is_debugger_attached(&self) -> Option<bool> {
        /// `sys/proc.h`
        const P_TRACED: i32 = 0x800;
        self.process.flags().map(|flags| flags & P_TRACED != 0)
    }

    fn can_fork(&self) -> Option<bool> {
        self.process.can_fork()
    }

    fn app(&self) -> AppFacts {
        let read = || {
            let profile = Profile::read(&self.bundle_folder).unwrap_or_default();
            AppFacts {
                identifier: self.identifier.clone(),
                team: profile.team,
                is_debuggable: profile.is_debuggable,
                is_encrypted: self.main_image_is_encrypted(),
                bundle_folder: Some(self.bundle_folder.clone()),
                ..AppFacts::default()
            }
        };
        self.app.get_or_init(read).clone()
    }
}

/// Bytes of `struct mach_header_64` (`mach-o/loader.h`).
pub(super) const HEADER_LENGTH: usize = 32;
/// Images that are searched for the main one, which is the first unless others were pushed in before it.
const MAX_IMAGES_BEFORE_MAIN: u32 = 64;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;
    use std::sync::Mutex;

    use countersign_core::environment::probe::MAX_ENTRIES;

    /// Plays the kernel and the dynamic linker.
    #[derive(Default)]
    struct FakeProcess {
        /// Paths and headers.
        images: Vec<(Option<&'static str>, Option<Vec<u8>>)>,
        flags: Option<i32>,
        can_fork: Option<bool>,
        headers_read: Mutex<u32>,
    }

    impl ProcessFacts for FakeProcess {
        fn image_count(&self) -> u32 {
            self.images.len() as u32
        }

        fn image_path(&self, index: u32) -> Option<Vec<u8>> {
            Some(self.images.get(index as usize)?.0?.as_bytes().to_vec())
        }

        fn image_header(&self, index: u32) -> Option<Vec<u8>> {
            *self.headers_read.lock().unwrap() += 1;
            self.images.get(index as usize)?.1.clone()
        }

        fn flags(&self) -> Option<i32> {
            self.flags
        }

        fn can_fork(&self) -> Option<bool> {
            self.can_fork
        }
    }

    const EXECUTABLE: u32 = 2;
    const LIBRARY: u32 = 6;
    /// A load command of a kind that is of no interest: `LC_UUID`.
    const UUID: &[u32] = &[0x1b, 24, 0, 0, 0, 0];
    const ENCRYPTED: &[u32] = &[0x2c, 24, 0x4000, 0x8000, 1, 0];
    const IN_CLEAR: &[u32] = &[0x2c, 24, 0x4000, 0x8000, 0, 0];

    /// The beginning of an image with these load commands.
    fn image(kind: u32, commands: &[&[u32]]) -> Vec<u8> {
        let length = commands.iter().map(|command| command.len() * 4).sum::<usize>() as u32;
        let header = [0xfeed_facf, 0x0100_000c, 0, kind, commands.len() as u32, length, 0, 0];
        header.iter().chain(commands.iter().copied().flatten()).flat_map(|word| word.to_le_bytes()).collect()
    }

    fn platform(process: FakeProcess) -> ApplePlatform<FakeProcess> {
        ApplePlatform::new(process, false, Some("example.app".to_owned()), "/nowhere".to_owned())
    }

    #[test]
    fn the_stores_encryption_is_told_from_a_copy_in_clear() {
        assert_eq!(is_encrypted(&image(EXECUTABLE, &[UUID, ENCRYPTED, UUID])), Some(true));
        assert_eq!(is_encrypted(&image(EXECUTABLE, &[UUID, IN_CLEAR])), Some(false));
        assert_eq!(is_encrypted(&image(EXECUTABLE, &[UUID])), Some(false));
        assert_eq!(is_encrypted(&image(EXECUTABLE, &[])), Some(false));
    }

    #[test]
    fn what_is_no_main_image_tells_nothing() {
        let mut other_magic = image(EXECUTABLE, &[ENCRYPTED]);
        other_magic[0] = 0xce;
        assert_eq!(is_encrypted(&other_magic), None);
        assert_eq!(is_encrypted(&image(LIBRARY, &[ENCRYPTED])), None);
        assert_eq!(is_encrypted(&[]), None);
    }

    #[test]
    fn no_load_command_leads_out_of_its_image() {
        let whole = image(EXECUTABLE, &[UUID, ENCRYPTED]);
        for length in 0..whole.len() {
            assert_eq!(is_encrypted(&whole[..length]), None, "cut at {length}");
        }
        for size in [0, 4, 7, 25, u32::MAX] {
            let commands: [&[u32]; 2] = [&[0x1b, size, 0, 0, 0, 0], ENCRYPTED];
            assert_ne!(is_encrypted(&image(EXECUTABLE, &commands)), Some(true), "a command of {size} bytes");
            assert_eq!(is_encrypted(&image(EXECUTABLE, &[&[0x2c, size, 0, 0]])), None);
        }
        let mut more_than_there_are = whole.clone();
        more_than_there_are[16] = 200;
        more_than_there_are[32 + 24] = 0x1b;
        assert_eq!(is_encrypted(&more_than_there_are), None);
        let mut endless = whole;
        endless[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(is_encrypted(&endless), None);
        assert_eq!(load_commands_length(&endless), None);
    }

    #[test]
    fn the_main_image_is_found_behind_libraries_that_were_pushed_in() {
        let images = vec![
            (Some("/tmp/pushed.dylib"), Some(image(LIBRARY, &[IN_CLEAR]))),
            (Some("/gone.dylib"), None),
            (Some("/app/App"), Some(image(EXECUTABLE, &[ENCRYPTED]))),
        ];
        let platform = platform(FakeProcess { images, ..FakeProcess::default() });
        assert_eq!(platform.app().is_encrypted, Some(true));
        assert_eq!(platform.app().is_encrypted, Some(true));
        assert_eq!(*platform.process.headers_read.lock().unwrap(), 3, "asked once");
    }

    #[test]
    fn the_search_for_the_main_image_ends() {
        let images = vec![(None, Some(image(LIBRARY, &[]))); 1000];
        let platform = platform(FakeProcess { images, ..FakeProcess::default() });
        assert_eq!(platform.app().is_encrypted, None);
        assert_eq!(*platform.process.headers_read.lock().unwrap(), MAX_IMAGES_BEFORE_MAIN);
    }

    #[test]
    fn images_are_handed_over_until_enough() {
        let images = vec![(Some("/a"), None), (None, None), (Some("/b"), None), (Some("/c"), None)];
        let platform = platform(FakeProcess { images, ..FakeProcess::default() });
        let paths = |limit, stop_at: &str| {
            let mut paths = Vec::new();
            let told = platform.loaded_images(limit, &mut |path| {
                paths.push(String::from_utf8(path.to_vec()).unwrap());
                if path == stop_at.as_bytes() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert_eq!(told, Some(()));
            paths
        };
        assert_eq!(paths(MAX_ENTRIES, ""), ["/a", "/b", "/c"]);
        assert_eq!(paths(3, ""), ["/a", "/b"]);
        assert_eq!(paths(MAX_ENTRIES, "/b"), ["/a", "/b"]);
        assert_eq!(paths(0, ""), [""; 0]);
    }

    #[test]
    fn a_debugger_is_one_flag_of_many() {
        let is_attached =
            |flags| platform(FakeProcess { flags, ..FakeProcess::default() }).is_debugger_attached();
        assert_eq!(is_attached(Some(0x800)), Some(true));
        assert_eq!(is_attached(Some(0x4804)), Some(true));
        assert_eq!(is_attached(Some(0x4004)), Some(false));
        assert_eq!(is_attached(None), None);
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let platform = platform(FakeProcess::default());
        assert_eq!(platform.system(), System::Apple);
        assert_eq!(platform.is_simulator(), Some(false));
        assert_eq!(platform.can_fork(), None);
        let expected = AppFacts {
            identifier: Some("example.app".to_owned()),
            bundle_folder: Some("/nowhere".to_owned()),
            ..AppFacts::default()
        };
        assert_eq!(platform.app(), expected);
    }

    #[test]
    fn a_profile_tells_team_and_debugging_within_its_signature() {
        let bytes = b"\x30\x82\xff\x06<?xml version=\"1.0\"?><plist><dict>\n\t<key>Entitlements</key><dict>\
            \n\t\t<key>get-task-allow</key>\n\t\t<true/>\n\
            \t\t<key>com.apple.developer.team-identifier</key>\n\t\t<string>ABCDE12345</string></dict></plist>\xfe";
        let expected = Profile { team: Some("ABCDE12345".to_owned()), is_debuggable: Some(true) };
        assert_eq!(Profile::parse(bytes), expected);
    }

    #[test]
    fn what_a_profile_does_not_say_clearly_it_does_not_say() {
        let silent: [&[u8]; 6] = [
            b"",
            b"<key>get-task-allow</key>",
            b"<key>get-task-allow</key><string>true</string>",
            b"<key>com.apple.developer.team-identifier</key><string>ABCDE",
            b"<key>com.apple.developer.team-identifier</key><array><string>ABCDE12345</string></array>",
            b"<string>get-task-allow</string><true/>",
        ];
        for bytes in silent {
            assert_eq!(Profile::parse(bytes), Profile::default(), "{}", String::from_utf8_lossy(bytes));
        }
        let forbidden = Profile::parse(b"<key>get-task-allow</key> <false/>");
        assert_eq!(forbidden.is_debuggable, Some(false));
    }

    #[test]
    fn a_profile_is_read_from_the_bundle() {
        let bundle = std::env::temp_dir().join(format!("countersign-bundle-{}", std::process::id()));
        std::fs::create_dir_all(&bundle).unwrap();
        let profile = bundle.join("embedded.mobileprovision");
        std::fs::write(&profile, "<key>get-task-allow</key><true/>").unwrap();
        let folder = bundle.to_str().unwrap().to_owned();
        let read = ApplePlatform::new(FakeProcess::default(), false, None, folder.clone()).app();
        std::fs::remove_dir_all(&bundle).unwrap();
        assert_eq!(read.is_debuggable, Some(true));
        let of_the_store = ApplePlatform::new(FakeProcess::default(), false, None, folder).app();
        assert_eq!(of_the_store.is_debuggable, None);
    }
}
