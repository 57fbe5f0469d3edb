//! Reads a built library, Android's shared one or Apple's static one, and holds it against the rules.

use std::collections::BTreeSet;

use object::{
    Object, ObjectSegment, ObjectSymbol,
    elf::{DT_NEEDED, PF_X, PT_GNU_STACK},
    read::{
        archive::ArchiveFile,
        elf::{self, Dyn, FileHeader, ProgramHeader},
    },
};

/// What the rules look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Library {
    /// What something else must define for it to be loaded.
    pub(super) undefined: BTreeSet<String>,
    /// What others can call.
    pub(super) exported: BTreeSet<String>,
    /// Libraries that the system must load with it.
    pub(super) needed: BTreeSet<String>,
    /// The alignment of each part that is mapped into memory, in bytes.
    pub(super) alignments: BTreeSet<u64>,
    /// Whether its stack could be executed.
    pub(super) stack_is_executable: bool,
}

/// What a library may be.
pub(super) struct Rules<'a> {
    /// Names that the system defines.
    pub(super) defined_by_the_system: &'a Names,
    /// Names that others may call; `None` for a static library, whose names the linker of the app hides.
    pub(super) exported: Option<&'a Names>,
    /// The libraries of the system.
    pub(super) needed: &'a [&'a str],
    /// The largest page that a device may have, in bytes; `None` for a static library.
    pub(super) page: Option<u64>,
}

/// A list of names from a file: one a line, `#` starts a remark, `*` at the end stands for anything.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// Reads the list.
    pub(super) fn read(text: &str) -> Self {
        let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        Self(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Whether `name` is on it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == known,
        })
    }
}

impl Library {
    /// Reads a shared library of Android or Linux.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn shared(bytes: &[u8]) -> Result<Self, String> {
        let unreadable = |error| format!("no shared library: {error}");
        let file = object::File::parse(bytes).map_err(unreadable)?;
        let (needed, stack_is_executable) = match &file {
            object::File::Elf32(file) => dynamic(file).map_err(unreadable)?,
            object::File::Elf64(file) => dynamic(file).map_err(unreadable)?,
            _ => return Err("no shared library of ELF".to_owned()),
        };
        let mut library = Self { needed, stack_is_executable, ..Self::default() };
        for symbol in file.dynamic_symbols() {
            let name = symbol.name().map_err(unreadable)?;
            // What is weak may be missing at run time: whoever asks for it so can do without.
            if name.is_empty() || symbol.is_local() || (symbol.is_undefined() && symbol.is_weak()) {
                continue;
            }
            let into = if symbol.is_undefined() { &mut library.undefined } else { &mut library.exported };
            into.insert(name.to_owned());
        }
        library.alignments = file.segments().map(|segment| segment.align()).collect();
        Ok(library)
    }

    /// Reads a static library: what all of its objects together leave undefined.
    ///
    /// # Errors
    /// When it is none, or an object of it cannot be read.
    pub(super) fn archive(bytes: &[u8]) -> Result<Self, String> {
        let unreadable = |error| format!("no static library: {error}");
        let archive = ArchiveFile::parse(bytes).map_err(unreadable)?;
        let mut library = Self::default();
        for member in archive.members() {
            let member = member.map_err(unreadable)?;
            let data = member.data(bytes).map_err(unreadable)?;
            // What the compiler keeps for itself beside the objects.
            if member.name().ends_with(b".rmeta") {
                continue;
            }
            let file = object::File::parse(data).map_err(unreadable)?;
            for symbol in file.symbols().filter(ObjectSymbol::is_global) {
                let name = symbol.name().map_err(unreadable)?.to_owned();
                let into = if symbol.is_undefined() { &mut library.undefined } else { &mut library.exported };
                into.insert(name);
            }
        }
        library.undefined = library.undefined.difference(&library.exported).cloned().collect();
        if library.exported.is_empty() {
            return Err("a static library without a name in it".to_owned());
        }
        Ok(library)
    }

    /// Every rule that is broken, in words.
    pub(super) fn breaks(&self, rules: &Rules<'_>) -> Vec<String> {
        let mut broken = Vec::new();
        for name in self.undefined.iter().filter(|name| !rules.defined_by_the_system.has(name)) {
            broken.push(format!("needs `{name}`, which is not on the list of what the system defines"));
        }
        if let Some(names) = rules.exported {
            for name in self.exported.iter().filter(|name| !names.has(name)) {
                broken.push(format!("exports `{name}`, which is not on the list of what others may call"));
            }
        }
        if self.exported.is_empty() {
            broken.push("exports nothing".to_owned());
        }
        for name in self.needed.iter().filter(|name| !rules.needed.contains(&name.as_str())) {
            broken.push(format!("wants `{name}` loaded with it"));
        }
        if let Some(page) = rules.page {
            if self.alignments.is_empty() {
                broken.push("has no part that is mapped into memory".to_owned());
            }
            for align in self.alignments.iter().filter(|align| **align % page != 0) {
                broken
                    .push(format!("is aligned to {align} bytes, and there are devices with pages of {page}"));
            }
        }
        if self.stack_is_executable {
            broken.push("asks for a stack that can be executed".to_owned());
        }
        broken
    }
}

/// Which of `words` stand somewhere in `bytes`.
pub(super) fn words_in<'a>(bytes: &[u8], words: &[&'a str]) -> Vec<&'a str> {
    let within = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    words.iter().copied().filter(|word| within(word)).collect()
}

/// Libraries that are loaded with this one, and whether its stack can be executed.
fn dynamic<Elf: FileHeader<Endian = object::Endianness>>(
    file: &elf::ElfFile<'_, Elf>,
) -> object::Result<(BTreeSet<String>, bool)> {
    let (endian, data, sections) = (file.endian(), file.data(), file.elf_section_table());
    let mut needed = BTreeSet::new();
    if let Some((entries, index)) = sections.dynamic(endian, data)? {
        let strings = sections.strings(endian, data, index)?;
        for entry in entries.iter().filter(|entry| entry.tag32(endian) == Some(DT_NEEDED)) {
            needed.insert(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
        }
    }
    // Without a header that says otherwise, Linux makes the stack executable.
    let stack = file.elf_program_headers().iter().find(|header| header.p_type(endian) == PT_GNU_STACK);
    Ok((needed, stack.is_none_or(|header| header.p_flags(endian) & PF_X != 0)))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const PAGE: u64 = 16 * 1024;

    fn sound() -> Library {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Library {
            undefined: names(&["memcpy", "_Unwind_Resume"]),
            exported: names(&["ffi_countersign_ffi_rustbuffer_free"]),
            needed: names(&["libc.so"]),
            alignments: [PAGE].into(),
            stack_is_executable: false,
        }
    }

    fn broken(library: &Library) -> Vec<String> {
        let system = Names::read("memcpy # string.h\n\n_Unwind_*");
        let exported = Names::read("ffi_countersign_ffi_*");
        let needed = ["libc.so"];
        library.breaks(&Rules {
            defined_by_the_system: &system,
            exported: Some(&exported),
            needed: &needed,
            page: Some(PAGE),
        })
    }

    fn one_rule_is_broken(change: impl FnOnce(&mut Library), word: &str) {
        let mut library = sound();
        change(&mut library);
        let broken = broken(&library);
        assert!(matches!(broken.as_slice(), [why] if why.contains(word)), "{broken:?}");
    }

    #[test]
    fn a_library_that_keeps_to_the_rules_passes() {
        assert_eq!(broken(&sound()), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_the_system_does_not_define_is_refused() {
        one_rule_is_broken(
            |library| assert!(library.undefined.insert("system".to_owned())),
            "needs `system`",
        );
    }

    #[test]
    fn the_start_of_a_listed_name_is_not_the_name() {
        one_rule_is_broken(|library| assert!(library.undefined.insert("memcp".to_owned())), "`memcp`");
    }

    #[test]
    fn a_name_that_nobody_should_call_is_refused() {
        one_rule_is_broken(
            |library| assert!(library.exported.insert("host_jvm".to_owned())),
            "exports `host_jvm`",
        );
    }

    #[test]
    fn pages_of_4_kib_are_refused() {
        one_rule_is_broken(|library| assert!(library.alignments.insert(4096)), "4096 bytes");
    }

    #[test]
    fn a_library_that_brings_another_is_refused() {
        one_rule_is_broken(
            |library| assert!(library.needed.insert("libc++_shared.so".to_owned())),
            "libc++_shared",
        );
    }

    #[test]
    fn an_executable_stack_is_refused() {
        one_rule_is_broken(|library| library.stack_is_executable = true, "stack");
    }

    #[test]
    fn a_library_without_exports_or_parts_is_refused() {
        one_rule_is_broken(|library| library.exported.clear(), "exports nothing");
        one_rule_is_broken(|library| library.alignments.clear(), "no part");
    }

    #[test]
    fn words_are_found_wherever_they_stand() {
        assert_eq!(words_in(b"\0never trust\0host-jvm", &["host-jvm", "never trusted"]), ["host-jvm"]);
        assert_eq!(words_in(b"", &["host-jvm"]), Vec::<&str>::new());
    }

    #[test]
    fn what_is_no_library_is_an_error() {
        for bytes in [&b""[..], b"!<arch>\n", b"\x7fELF", include_bytes!("../main.rs")] {
            assert!(Library::shared(bytes).is_err());
            assert!(Library::archive(bytes).is_err());
        }
    }

    /// A library of the machine that runs the tests, which needs `system` and knows no pages of 16 KiB.
    fn build(kind: &str) -> Vec<u8> {
        const SOURCE: &str = "
            #![no_std]
            #[panic_handler]
            fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
            unsafe extern \"C\" { fn system(command: *const u8) -> i32; }
            #[unsafe(no_mangle)]
            pub extern \"C\" fn shell() -> i32 { unsafe { system(core::ptr::null()) } }";
        let folder = tempfile::tempdir().unwrap();
        let [source, built] = ["library.rs", "library"].map(|name| folder.path().join(name));
        std::fs::write(&source, SOURCE).unwrap();
        let mut rustc = Command::new("rustc");
        rustc.args([
            "--edition=2024",
            "--crate-type",
            kind,
            "-Cpanic=abort",
            "-Clink-arg=-Wl,-z,max-page-size=4096",
            "-Clink-arg=-lc",
        ]);
        crate::workspace::output({
            rustc.arg("-o").arg(&built).arg(&source);
            rustc
        })
        .unwrap();
        std::fs::read(built).unwrap()
    }

    #[test]
    fn a_real_shared_library_is_read() {
        let library = Library::shared(&build("cdylib")).unwrap();
        assert!(library.undefined.contains("system") && library.exported.contains("shell"), "{library:?}");
        assert!(library.alignments.contains(&4096) && library.needed.contains("libc.so.6"), "{library:?}");
        let broken = broken(&library).join("\n");
        assert!(
            ["`system`", "`shell`", "libc.so.6", "4096"].iter().all(|word| broken.contains(word)),
            "{broken}"
        );
    }

    #[test]
    fn a_real_static_library_is_read() {
        let library = Library::archive(&build("staticlib")).unwrap();
        assert!(library.undefined.contains("system") && library.exported.contains("shell"), "{library:?}");
        assert!(!library.undefined.contains("shell"));
    }
}
