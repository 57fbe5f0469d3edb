//! Every lie that evidence can tell, each by one builder call, with the verdict that it deserves.
//!
//! Attacks are applied at the stage of the making where they belong, so that everything after it is consistent:
//! a wrong App ID is covered by the nonce, a forged KeyDescription by the signatures of the chain.

mod android;
mod android_names;
mod assertion;
mod iphone;
mod play_integrity;
mod protocol;
mod receipt;

pub use android::AndroidAttack;
pub(crate) use android::AndroidForgery;
pub use assertion::AssertionAttack;
pub use iphone::IphoneAttack;
pub(crate) use iphone::IphoneForgery;
pub use play_integrity::PlayIntegrityAttack;
pub use protocol::{EnrolmentAttack, ProofAttack};
pub use receipt::ReceiptAttack;
pub(crate) use receipt::ReceiptForgery;

/// What has to become of a piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It cannot be verified: encoding, signature, chain, anchor, challenge, key id or counter are wrong.
    Unverifiable,
    /// It is authentic, and what it says is refused: application, environment, boot state, level, key parameters.
    Contraindicated,
    /// It is authentic, and refused only by a policy that demands more: newer patches, a StrongBox.
    BelowMinimum,
}

/// Defines an enumeration of attacks from one line each: name, verdict and description.
macro_rules! attacks {
    ($(#[$meta:meta])* $name:ident { $($variant:ident $expected:ident $description:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = $description] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The verdict that the evidence deserves.
            pub const fn expected(self) -> $crate::hostile::Expected {
                match self {
                    $(Self::$variant => $crate::hostile::Expected::$expected,)+
                }
            }

            /// What is wrong, in one line.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $description,)+
                }
            }

            /// The name on a command line, such as `wrong-nonce`.
            pub fn name(self) -> String {
                $crate::hostile::kebab_case(match self {
                    $(Self::$variant => stringify!($variant),)+
                })
            }

            /// The attack of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|attack| attack.name() == name)
            }
        }
    };
}
use attacks;

/// `WrongNonce` as `wrong-nonce`.
fn kebab_case(camel_case: &str) -> String {
    let mut out = String::new();
    for character in camel_case.chars() {
        if character.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_attack_is_found_by_its_name() {
        assert_eq!(IphoneAttack::WrongNonce.name(), "wrong-nonce");
        for attack in IphoneAttack::ALL {
            assert_eq!(IphoneAttack::from_name(&attack.name()), Some(*attack));
        }
        for attack in AssertionAttack::ALL {
            assert_eq!(AssertionAttack::from_name(&attack.name()), Some(*attack));
        }
        for attack in AndroidAttack::ALL {
            assert_eq!(AndroidAttack::from_name(&attack.name()), Some(*attack));
        }
        for attack in EnrolmentAttack::ALL {
            assert_eq!(EnrolmentAttack::from_name(&attack.name()), Some(*attack));
        }
        for attack in ProofAttack::ALL {
            assert_eq!(ProofAttack::from_name(&attack.name()), Some(*attack));
        }
        for attack in PlayIntegrityAttack::ALL {
            assert_eq!(PlayIntegrityAttack::from_name(&attack.name()), Some(*attack));
        }
        for attack in ReceiptAttack::ALL {
            assert_eq!(ReceiptAttack::from_name(&attack.name()), Some(*attack));
        }
        assert_eq!(AndroidAttack::from_name("none"), None);
    }

    #[test]
    fn no_two_attacks_are_described_alike() {
        let described = |texts: Vec<&str>| texts.iter().collect::<BTreeSet<_>>().len() == texts.len();
        assert!(described(IphoneAttack::ALL.iter().map(|attack| attack.description()).collect()));
        assert!(described(ReceiptAttack::ALL.iter().map(|attack| attack.description()).collect()));
        assert!(described(AssertionAttack::ALL.iter().map(|attack| attack.description()).collect()));
        assert!(described(EnrolmentAttack::ALL.iter().map(|attack| attack.description()).collect()));
        assert!(described(ProofAttack::ALL.iter().map(|attack| attack.description()).collect()));
        assert!(described(PlayIntegrityAttack::ALL.iter().map(|attack| attack.description()).collect()));
        assert!(described(AndroidAttack::ALL.iter().map(|attack| attack.description()).collect()));
    }
}
