//! What a policy asks of Google Play's verdict.

use countersign_verifier::policy::{DeviceActivityLimit, DeviceIntegrity, PlayIntegrityRules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is asked of Google Play's verdict.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlayIntegritySection {
    /// Least integrity of the device. Default: device.
    pub minimum_device_integrity: Option<DeviceIntegrityName>,
    /// Highest level of recent device activity that is not conspicuous. Default: 2.
    #[schemars(range(min = 1, max = 4))]
    pub maximum_activity_level: Option<u8>,
}

/// How much Google vouches for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceIntegrityName {
    /// Basic checks; the boot loader may be unlocked.
    Basic,
    /// A certified device with a locked boot loader.
    Device,
    /// The same with security updates in the last year (Android 13 on).
    Strong,
}

impl PlayIntegritySection {
    /// Writes what the section asks for; what it leaves out stays as it is.
    pub(super) fn write(&self, rules: &mut PlayIntegrityRules) {
        if let Some(name) = self.minimum_device_integrity {
            rules.minimum_device_integrity = match name {
                DeviceIntegrityName::Basic => DeviceIntegrity::Basic,
                DeviceIntegrityName::Device => DeviceIntegrity::Device,
                DeviceIntegrityName::Strong => DeviceIntegrity::Strong,
            };
        }
        if let Some(limit) = self.maximum_activity_level.and_then(DeviceActivityLimit::from_number) {
            rules.maximum_activity = limit;
        }
    }
}
