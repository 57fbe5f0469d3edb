//! iOS: App Attest and the Secure Enclave behind the attester's ports.
//!
//! Two layers. What Apple's answers mean (`app_attest`, `secure_enclave`, `facts`) is written over small traits of the
//! few calls that are made, and tested on any host with fakes of the system. The calls themselves (`device_check`,
//! `keychain`, `foundation`, `process`) hold nothing that could be decided otherwise; they are the only files of the
//! crate with `unsafe` for Apple, and are compiled for Apple's systems alone.

#[cfg(any(target_vendor = "apple", test))]
mod app_attest;
#[cfg(target_vendor = "apple")]
mod device_check;
#[cfg(target_vendor = "apple")]
mod keychain;
#[cfg(any(target_vendor = "apple", test))]
mod secure_enclave;
#[cfg(any(target_vendor = "apple", test))]
mod system_error;
