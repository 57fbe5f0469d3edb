//! `cargo xtask mobile --sizes`: how large the library of an Android app is, and which crate takes how much of it.

use std::{collections::BTreeMap, fs};

use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

use crate::{
    Stop,
    mobile::{
        build,
        target::{Target, Toolchain},
    },
};

/// Builds the library for one ABI and prints the table, in Markdown.
///
/// # Errors
/// When it cannot be built or read.
pub(super) fn print(toolchain: &Toolchain) -> Result<(), Stop> {
    let built = build::android_library(toolchain, Target::AndroidArm64)?;
    let read = |path: &std::path::Path| {
        fs::read(path).map_err(|error| Stop::Failed(format!("{}: {error}", path.display())))
    };
    let whole = read(&built.stripped)?.len() as u64;
    let parts = parts(&read(&built.unstripped)?).map_err(Stop::Failed)?;
    println!("{}\n", built.said);
    print!("{}", table(&parts, whole));
    Ok(())
}

/// What a part of the library is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Machine code of a crate.
    Crate(String),
    /// A section that belongs to all of them.
    Section(String),
}

/// Bytes of each part of an unstripped library.
fn parts(bytes: &[u8]) -> Result<BTreeMap<Part, u64>, String> {
    let unreadable = |error| format!("no library: {error}");
    let file = object::File::parse(bytes).map_err(unreadable)?;
    let mut parts = BTreeMap::new();
    let mut code = 0;
    for section in file.sections() {
        let name = section.name().map_err(unreadable)?;
        match section.kind() {
            SectionKind::Text if name == ".text" => code += section.size(),
            // Symbols are taken off, and what is all zero is in no file.
            _ if section.file_range().is_none() || is_taken_off(name) => {}
            _ => *parts.entry(Part::Section(name.to_owned())).or_default() += section.size(),
        }
    }
    // One function may have several names: its bytes count once.
    let mut functions = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        functions.insert(symbol.address(), (symbol.size(), symbol.name().map_err(unreadable)?));
    }
    for (size, name) in functions.into_values() {
        *parts.entry(Part::Crate(crate_of(name))).or_default() += size;
        code = code.saturating_sub(size);
    }
    *parts.entry(Part::Crate("between functions".to_owned())).or_default() += code;
    Ok(parts)
}

fn is_taken_off(section: &str) -> bool {
    matches!(section, ".symtab" | ".strtab" | ".shstrtab" | ".comment" | "") || section.starts_with(".debug")
}

/// The crate that a function is there for: the first one in its name. A function of the standard library that was made
/// for a type of another crate counts for that crate.
fn crate_of(symbol: &str) -> String {
    const OURS: [&str; 2] = ["uniffi_countersign_ffi_", "ffi_countersign_ffi_"];
    const STANDARD: [&str; 3] = ["core", "alloc", "std"];
    if OURS.iter().any(|start| symbol.starts_with(start)) {
        return "countersign_ffi".to_owned();
    }
    if symbol.starts_with("OUTLINED_FUNCTION_") {
        return "pieces that functions share".to_owned();
    }
    let Ok(name) = rustc_demangle::try_demangle(symbol) else { return "not Rust".to_owned() };
    let name = format!("{name:#}");
    // A path's first word is followed by `::` and follows none.
    let mut crates = name.match_indices("::").filter_map(|(end, _)| {
        let before = &name[..end];
        let start =
            before.rfind(|letter: char| !letter.is_alphanumeric() && letter != '_').map_or(0, |at| at + 1);
        let is_first = !before[..start].ends_with("::") && start < end;
        is_first.then_some(&before[start..])
    });
    let first = crates.clone().find(|name| !STANDARD.contains(name));
    // What only the standard library uses is a part of it, whichever crate it comes from.
    first
        .or_else(|| crates.next())
        .map_or("std", |name| if STANDARD.contains(&name) { "std" } else { name })
        .to_owned()
}

/// Lists everything above a hundredth of the library by size.
fn table(parts: &BTreeMap<Part, u64>, whole: u64) -> String {
    let mut rows: Vec<_> = parts.iter().map(|(part, size)| (*size, part)).collect();
    rows.sort_by(|one, other| other.cmp(one));
    let mut text = "| part of the library | KiB | share |\n| --- | --- | --- |\n".to_owned();
    let mut row = |name: &str, size: u64| {
        let (kib, share) = (size as f64 / 1024.0, 100.0 * size as f64 / whole as f64);
        text.push_str(&format!("| {name} | {kib:.1} | {share:.1} % |\n"));
    };
    let (mut small, mut listed) = (0, 0);
    for (size, part) in rows {
        listed += size;
        match part {
            _ if size * 100 < whole => small += size,
            Part::Crate(name) if name.contains(' ') => row(&format!("code: {name}"), size),
            Part::Crate(name) => row(&format!("code of `{name}`"), size),
            Part::Section(name) => row(&format!("`{name}`"), size),
        }
    }
    row("everything below a hundredth", small);
    row("headers and padding", whole.saturating_sub(listed));
    row("**the whole library, stripped**", whole);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_counts_for_the_first_crate_in_its_name() {
        for (symbol, name) in [
            ("_RNvMNtCs5Rf9wAM8uHD_16countersign_core8attesterNtB2_8Attester4step", "countersign_core"),
            ("_RNvNtCscaMiIKikt9q_4sha26sha51211compress512", "sha2"),
            ("uniffi_countersign_ffi_fn_method_countersign_prove", "countersign_ffi"),
            ("ffi_countersign_ffi_rustbuffer_free", "countersign_ffi"),
            ("OUTLINED_FUNCTION_17", "pieces that functions share"),
            ("memcpy", "not Rust"),
        ] {
            assert_eq!(crate_of(symbol), name, "{symbol}");
        }
    }

    #[test]
    fn what_the_standard_library_does_for_itself_counts_for_it() {
        assert_eq!(crate_of("_RNvNtNtNtCsdIPm2GpiP1V_3std12backtrace_rs9symbolize5gimli7resolve"), "std");
    }

    #[test]
    fn all_bytes_of_the_code_of_a_program_are_shared_out() {
        // The test's own program: the only one that is here for certain.
        let bytes = fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = object::File::parse(bytes.as_slice()).unwrap();
        let text = file.section_by_name(".text").unwrap().size();
        let parts = parts(&bytes).unwrap();
        let code: u64 =
            parts.iter().filter(|(part, _)| matches!(part, Part::Crate(_))).map(|(_, size)| size).sum();
        assert!(code >= text, "{code} of {text}");
        assert!(parts.contains_key(&Part::Crate("xtask".to_owned())));
    }

    #[test]
    fn rows_add_up_to_the_whole() {
        let parts =
            [(Part::Crate("sha2".to_owned()), 600), (Part::Section(".rodata".to_owned()), 300)].into();
        let table = table(&parts, 1000);
        assert!(
            table.contains("code of `sha2` | 0.6 | 60.0 %") && table.contains("padding | 0.1 | 10.0 %"),
            "{table}"
        );
    }
}
