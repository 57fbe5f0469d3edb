//! The enumerations of the attestation schema. Every one keeps the numbers it does not know: they are for the
//! policy to judge, and newer devices have newer ones.

use serde::{Serialize, Serializer};

macro_rules! enumeration {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A number that this version does not know.
            Unknown(u64),
        }

        impl $name {
            /// The value of a number in the schema.
            pub const fn from_number(number: u64) -> Self {
                match number {
                    $($code => Self::$variant,)*
                    unknown => Self::Unknown(unknown),
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($text),)*
                    Self::Unknown(number) => write!(f, "unknown ({number})"),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

enumeration! {
    /// Where something is enforced.
    SecurityLevel {
        /// In Android itself.
        Software = 0 "software",
        /// In a trusted execution environment.
        TrustedEnvironment = 1 "trusted-environment",
        /// In a separate secure element.
        StrongBox = 2 "strongbox",
    }
}

enumeration! {
    /// The outcome of verified boot.
    BootState {
        /// The vendor's own system.
        Verified = 0 "verified",
        /// Another system, signed with a key that the user installed.
        SelfSigned = 1 "self-signed",
        /// Any system; the boot loader does not check.
        Unverified = 2 "unverified",
        /// The check failed.
        Failed = 3 "failed",
    }
}

enumeration! {
    /// How the key came to be.
    KeyOrigin {
        /// Made inside; it never was outside.
        Generated = 0 "generated",
        /// Derived inside.
        Derived = 1 "derived",
        /// Brought from outside.
        Imported = 2 "imported",
        /// Reserved by the schema.
        Reserved = 3 "reserved",
        /// Brought from outside under encryption.
        SecurelyImported = 4 "securely-imported",
    }
}

enumeration! {
    /// What the key may do.
    KeyPurpose {
        /// Encrypt.
        Encrypt = 0 "encrypt",
        /// Decrypt.
        Decrypt = 1 "decrypt",
        /// Sign.
        Sign = 2 "sign",
        /// Verify.
        Verify = 3 "verify",
        /// Unwrap imported keys.
        Wrap = 5 "wrap",
        /// Agree on keys.
        Agree = 6 "agree",
        /// Sign the certificates of other keys.
        Attest = 7 "attest",
    }
}

enumeration! {
    /// The kind of key.
    KeyAlgorithm {
        /// RSA.
        Rsa = 1 "rsa",
        /// Elliptic curves.
        Ec = 3 "ec",
        /// ML-DSA.
        MlDsa = 4 "ml-dsa",
        /// AES.
        Aes = 32 "aes",
        /// Triple DES.
        TripleDes = 33 "3des",
        /// HMAC.
        Hmac = 128 "hmac",
    }
}

enumeration! {
    /// The curve of an elliptic-curve key.
    EcCurve {
        /// P-224.
        P224 = 0 "p-224",
        /// P-256.
        P256 = 1 "p-256",
        /// P-384.
        P384 = 2 "p-384",
        /// P-521.
        P521 = 3 "p-521",
        /// Ed25519 or X25519.
        Curve25519 = 4 "curve-25519",
    }
}

enumeration! {
    /// The parameter set of an ML-DSA key.
    MlDsaVariant {
        /// ML-DSA-44.
        MlDsa44 = 0 "ml-dsa-44",
        /// ML-DSA-65.
        MlDsa65 = 1 "ml-dsa-65",
        /// ML-DSA-87.
        MlDsa87 = 2 "ml-dsa-87",
    }
}

enumeration! {
    /// A hash that the key may be used with.
    Digest {
        /// None: whatever the caller hashed.
        None = 0 "none",
        /// MD5.
        Md5 = 1 "md5",
        /// SHA-1.
        Sha1 = 2 "sha-1",
        /// SHA-224.
        Sha224 = 3 "sha-224",
        /// SHA-256.
        Sha256 = 4 "sha-256",
        /// SHA-384.
        Sha384 = 5 "sha-384",
        /// SHA-512.
        Sha512 = 6 "sha-512",
    }
}
