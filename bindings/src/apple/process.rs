//! The calls that ask the kernel and the dynamic linker about this process.
#![allow(unsafe_code)]

use core::ffi::{CStr, c_char, c_int};
use core::{mem, ptr};

use super::facts::{HEADER_LENGTH, ProcessFacts, load_commands_length};

/// This process.
pub(super) struct ThisProcess;

impl ProcessFacts for ThisProcess {
    fn image_count(&self) -> u32 {
        // SAFETY: takes nothing, and may be called from any thread.
        unsafe { _dyld_image_count() }
    }

    fn image_path(&self, index: u32) -> Option<Vec<u8>> {
        // SAFETY: any index may be asked for: null is returned for one that is too high. The text belongs to the
        // image and stays while that is loaded; images of the system and of apps are not unloaded on Apple's phones.
        unsafe {
            let path = _dyld_get_image_name(index);
            (!path.is_null()).then(|| CStr::from_ptr(path).to_bytes().to_vec())
        }
    }

    fn image_header(&self, index: u32) -> Option<Vec<u8>> {
        // SAFETY: as above. A loaded image begins with its header, and the load commands follow it in memory, as many
        // bytes as the header says: the dynamic linker has walked through them.
        unsafe {
            let header = _dyld_get_image_header(index);
            if header.is_null() {
                return None;
            }
            let fixed = core::slice::from_raw_parts(header, HEADER_LENGTH);
            let length = HEADER_LENGTH.checked_add(load_commands_length(fixed)?)?;
            Some(core::slice::from_raw_parts(header, length).to_vec())
        }
    }

    fn flags(&self) -> Option<i32> {
        /// `struct kinfo_proc` of `sys/sysctl.h`, 64 bits; `p_flag` of `struct extern_proc` stands behind two pointers
        /// for the queue, one for the address space and one for the signal actions.
        #[repr(C, align(8))]
        struct KernelProcess {
            pointers: [u64; 4],
            flags: i32,
            rest: [u8; 612],
        }
        const _: () = assert!(size_of::<KernelProcess>() == 648);

        // SAFETY: all bits of it may be zero.
        let mut process: KernelProcess = unsafe { mem::zeroed() };
        let mut length = size_of::<KernelProcess>();
        // SAFETY: takes nothing.
        let mut name: [c_int; 4] =
            [libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_PID, unsafe { libc::getpid() }];
        // SAFETY: the name has four parts; at most `length` bytes are written, and how many is left in it.
        let status = unsafe {
            libc::sysctl(
                name.as_mut_ptr(),
                4,
                ptr::from_mut(&mut process).cast(),
                &mut length,
                ptr::null_mut(),
                0,
            )
        };
        (status == 0 && length == size_of::<KernelProcess>()).then_some(process.flags)
    }

    #[cfg(not(any(target_os = "tvos", target_os = "watchos")))]
    fn can_fork(&self) -> Option<bool> {
        // SAFETY: the child calls nothing but `_exit`, which is allowed between `fork` and `exec` in a process of many
        // threads, and the parent waits for it.
        unsafe {
            match libc::fork() {
                -1 => Some(false),
                0 => libc::_exit(0),
                child => {
                    libc::waitpid(child, ptr::null_mut(), 0);
                    Some(true)
                }
            }
        }
    }

    #[cfg(any(target_os = "tvos", target_os = "watchos"))]
    fn can_fork(&self) -> Option<bool> {
        None
    }
}

// `mach-o/dyld.h`
unsafe extern "C" {
    fn _dyld_image_count() -> u32;
    fn _dyld_get_image_name(index: u32) -> *const c_char;
    fn _dyld_get_image_header(index: u32) -> *const u8;
}
