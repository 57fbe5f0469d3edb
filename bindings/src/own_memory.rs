//! The first bytes of system functions, as they stand in this process. Reading code is not always allowed: Android 10
//! maps libraries so that they can be executed and not read. So the kernel is asked to copy, which answers with an
//! error where a pointer would crash.
#![allow(unsafe_code, reason = "the one place that looks at machine code")]

use countersign_core::environment::probe::{FUNCTION_START, SystemFunction};

/// The beginning of a function of the C library, or nothing where it cannot be read.
pub(crate) fn function_start(function: SystemFunction) -> Option<[u8; FUNCTION_START]> {
    let function = match function {
        SystemFunction::Open => libc::open as *const (),
        SystemFunction::Read => libc::read as *const (),
        SystemFunction::Access => libc::access as *const (),
        SystemFunction::Stat => libc::stat as *const (),
        SystemFunction::Fopen => libc::fopen as *const (),
        #[cfg(not(target_vendor = "apple"))]
        SystemFunction::Trace => libc::ptrace as *const (),
        #[cfg(target_vendor = "apple")]
        SystemFunction::Trace => libc::sysctl as *const (),
        _ => return None,
    };
    // On 32-bit ARM the lowest bit says that the function is Thumb code; it is no part of its address.
    #[cfg(target_arch = "arm")]
    let function = function.map_addr(|address| address & !1);
    copied(function)
}

/// Bytes of this process, copied by the kernel.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn copied(from: *const ()) -> Option<[u8; FUNCTION_START]> {
    let mut bytes = [0_u8; FUNCTION_START];
    let here = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: FUNCTION_START };
    let there = libc::iovec { iov_base: from.cast_mut().cast(), iov_len: FUNCTION_START };
    let own = i32::try_from(std::process::id()).ok()?;
    // SAFETY: `here` is `bytes`, exclusively borrowed and as long as it says. `there` is only read, by the kernel,
    // which answers `EFAULT` for what this process may not read. Both records outlive the call.
    let length = unsafe { libc::process_vm_readv(own, &raw const here, 1, &raw const there, 1, 0) };
    (usize::try_from(length) == Ok(FUNCTION_START)).then_some(bytes)
}

/// Bytes of this process, where the system maps its libraries readable.
#[cfg(target_vendor = "apple")]
fn copied(from: *const ()) -> Option<[u8; FUNCTION_START]> {
    if from.is_null() {
        return None;
    }
    // SAFETY: `from` is a function of the system's library, which is mapped readable and executable as long as the
    // process lives, and is followed by more code than these bytes. An array of bytes has no alignment.
    Some(unsafe { from.cast::<[u8; FUNCTION_START]>().read_volatile() })
}

/// Nothing is known of this system.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
const fn copied(_: *const ()) -> Option<[u8; FUNCTION_START]> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_the_functions_own_code() {
        // Own code is readable here, so that what the kernel copies can be compared with it.
        let start = copied(what_is_read_is_the_functions_own_code as *const ()).unwrap();
        // SAFETY: this function is code of this process, longer than these bytes.
        let own = unsafe {
            (what_is_read_is_the_functions_own_code as *const ()).cast::<[u8; FUNCTION_START]>().read()
        };
        assert_eq!(start, own);
        assert_ne!(start, [0; FUNCTION_START]);
    }

    #[test]
    fn what_cannot_be_read_is_no_crash() {
        for address in [0, 1, 0x10, usize::MAX - 8] {
            assert_eq!(copied(std::ptr::without_provenance(address)), None, "{address:x}");
        }
    }

    #[test]
    fn every_function_is_found() {
        for function in SystemFunction::ALL {
            assert!(function_start(*function).is_some(), "{function:?}");
        }
    }
}
