//! What administration means, whether it comes from the command line or over HTTP: who may, what may be asked, and
//! how what was found is told.

mod admin_key;
mod explanation;
mod key_failures;
mod public_key_file;
mod table;
mod values;
mod views;

pub(crate) use admin_key::{AdminKey, KeyRefusal};
pub(crate) use explanation::Explanation;
#[cfg(test)]
pub(crate) use key_failures::PER_SOURCE;
pub(crate) use key_failures::{KeyFailures, WINDOW};
pub(crate) use public_key_file::{from_jwk, public_key, public_point};
pub(crate) use table::Table;
pub(crate) use values::{
    Cursor, Expiry, Invalid, Limit, TierName, Time, ban_reason, client_ids, issuer, name, subject,
};
pub(crate) use views::{
    act, admin_key, development_key, instance, page, page_of_instances, page_of_readable, standing,
    subject_ban, when,
};
