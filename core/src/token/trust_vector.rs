//! The trustworthiness vector of AR4SI (draft-ietf-rats-ar4si section 2.3): eight claims, each a small number.

use minicbor::{Decoder, Encoder};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::cbor::{CborError, Never};

/// One claim of the vector (AR4SI section 2.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrustClaim {
    /// Which instance it is, and whether it is one that is known.
    InstanceIdentity,
    /// How it is configured.
    Configuration,
    /// What runs on it.
    Executables,
    /// What lies in its file system.
    FileSystem,
    /// What it is made of.
    Hardware,
    /// Whether its memory is hidden from others.
    RuntimeOpaque,
    /// Whether its secrets are hidden from others.
    StorageOpaque,
    /// Where the data that it hands on come from.
    SourcedData,
}

impl TrustClaim {
    /// All of them, in the order of their keys.
    pub const ALL: [Self; 8] = [
        Self::InstanceIdentity,
        Self::Configuration,
        Self::Executables,
        Self::FileSystem,
        Self::Hardware,
        Self::RuntimeOpaque,
        Self::StorageOpaque,
        Self::SourcedData,
    ];

    /// The key in CBOR: 0 to 7.
    pub const fn key(self) -> u8 {
        self as u8
    }

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InstanceIdentity => "instance-identity",
            Self::Configuration => "configuration",
            Self::Executables => "executables",
            Self::FileSystem => "file-system",
            Self::Hardware => "hardware",
            Self::RuntimeOpaque => "runtime-opaque",
            Self::StorageOpaque => "storage-opaque",
            Self::SourcedData => "sourced-data",
        }
    }
}

/// The range that a value of the vector lies in (AR4SI section 2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustTier {
    /// -1 to 1: nothing is claimed.
    None,
    /// 2 to 31, -32 to -2.
    Affirming,
    /// 32 to 95, -96 to -33.
    Warning,
    /// 96 to 127, -128 to -97.
    Contraindicated,
}

impl TrustTier {
    /// The range of a value.
    pub const fn of(value: i8) -> Self {
        match value {
            -1..=1 => Self::None,
            2..=31 | -32..=-2 => Self::Affirming,
            32..=95 | -96..=-33 => Self::Warning,
            96..=127 | -128..=-97 => Self::Contraindicated,
        }
    }
}

/// A value for each claim; 0, which is the same as its absence, where nothing is claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrustVector([i8; 8]);

impl TrustVector {
    /// The value of a claim.
    pub const fn value(&self, claim: TrustClaim) -> i8 {
        self.0[claim as usize]
    }

    /// Lays a value on a claim: it stays if it is of a worse tier than what stands there.
    pub fn worsen(&mut self, claim: TrustClaim, value: i8) {
        let place = &mut self.0[claim as usize];
        if TrustTier::of(value) > TrustTier::of(*place) {
            *place = value;
        }
    }

    /// This vector with the values of `other` laid on.
    #[must_use]
    pub fn worsened_by(mut self, other: &Self) -> Self {
        for claim in TrustClaim::ALL {
            self.worsen(claim, other.value(claim));
        }
        self
    }

    /// The claims that say something, in the order of their keys.
    pub fn claims(&self) -> impl Iterator<Item = (TrustClaim, i8)> + '_ {
        TrustClaim::ALL.into_iter().zip(self.0).filter(|(_, value)| *value != 0)
    }

    /// The worst tier in it.
    pub fn tier(&self) -> TrustTier {
        self.0.iter().map(|value| TrustTier::of(*value)).max().unwrap_or(TrustTier::None)
    }

    /// Writes the map that AR4SI describes.
    pub(crate) fn encode(&self, e: &mut Encoder<&mut Vec<u8>>) -> Result<(), minicbor::encode::Error<Never>> {
        e.map(self.claims().count() as u64)?;
        for (claim, value) in self.claims() {
            e.u8(claim.key())?.i8(value)?;
        }
        Ok(())
    }

    /// Reads the map that AR4SI describes; a claim that it does not have is a deviation.
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, CborError> {
        let mut vector = Self::default();
        for _ in 0..d.map()?.ok_or(CborError::Unexpected)? {
            let place = vector.0.get_mut(usize::from(d.u8()?)).ok_or(CborError::Unexpected)?;
            *place = d.i8()?;
        }
        Ok(vector)
    }

    /// Reads the object that [`Serialize`] writes; `None` for an unknown name or a value that is no `i8`.
    pub fn from_json(object: &serde_json::Map<String, serde_json::Value>) -> Option<Self> {
        let mut vector = Self::default();
        for (name, value) in object {
            let claim = TrustClaim::ALL.into_iter().find(|claim| claim.name() == name)?;
            vector.0[claim as usize] = i8::try_from(value.as_i64()?).ok()?;
        }
        Some(vector)
    }
}

impl Serialize for TrustVector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (claim, value) in self.claims() {
            map.serialize_entry(claim.name(), &value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_the_range_that_the_draft_gives_it() {
        let ranges =
            [(-128, -97, 3), (-96, -33, 2), (-32, -2, 1), (-1, 1, 0), (2, 31, 1), (32, 95, 2), (96, 127, 3)];
        for (first, last, rank) in ranges {
            for value in first..=last {
                assert_eq!(TrustTier::of(value) as u8, rank, "{value}");
            }
        }
    }

    #[test]
    fn nothing_worse_is_covered_by_something_better() {
        let mut vector = TrustVector::default();
        vector.worsen(TrustClaim::Hardware, 2);
        vector.worsen(TrustClaim::Hardware, 97);
        vector.worsen(TrustClaim::Hardware, 32);
        vector.worsen(TrustClaim::Hardware, -120);
        assert_eq!(vector.value(TrustClaim::Hardware), 97);
        assert_eq!(vector.tier(), TrustTier::Contraindicated);
    }

    #[test]
    fn keys_and_names_are_those_of_the_draft() {
        let keys: Vec<u8> = TrustClaim::ALL.into_iter().map(TrustClaim::key).collect();
        assert_eq!(keys, [0, 1, 2, 3, 4, 5, 6, 7]);
        let mut vector = TrustVector::default();
        vector.worsen(TrustClaim::InstanceIdentity, 2);
        vector.worsen(TrustClaim::StorageOpaque, 32);
        assert_eq!(
            serde_json::json!(vector),
            serde_json::json!({"instance-identity": 2, "storage-opaque": 32})
        );
    }

    #[test]
    fn json_that_is_no_vector_is_not_read() {
        let read = |json: serde_json::Value| TrustVector::from_json(json.as_object().unwrap());
        assert!(read(serde_json::json!({"hardware": 2})).is_some());
        assert!(read(serde_json::json!({"hardware": 200})).is_none());
        assert!(read(serde_json::json!({"hardware": "2"})).is_none());
        assert!(read(serde_json::json!({"hardwear": 2})).is_none());
    }
}
