//! What a thief tries. Each attack names the one reason for which it has to be refused: refused for another one, it
//! would have been an accident.

pub(crate) mod banned;
pub(crate) mod evidence;
pub(crate) mod instance_key;
pub(crate) mod messages;
pub(crate) mod requests;
