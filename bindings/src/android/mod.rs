//! Android: the key store, Key Attestation and what the system tells of the app, over JNI.
//!
//! JNA loads this library by `dlopen`, so `JNI_OnLoad` does not run: the Kotlin face loads it once more with
//! `System.loadLibrary`, which is the same library, and hands over the application's context and class loader.

mod evidence;
mod facts;
mod jvm;
mod key_store;
pub mod names;
mod worker;

use std::sync::Arc;

use jni::EnvUnowned;
use jni::errors::ThrowRuntimeExAndDefault;
use jni::objects::{JObject, JString};

use crate::attester::Attester;
use crate::error::CountersignError;
use crate::file_storage::FileStorage;
use crate::port::{Parts, Ports, Timer, Transport};
use crate::probe::Surroundings;
use crate::record::{Configuration, DevicePlatform};

use jvm::Fault;

pub use evidence::{AndroidEvidence, PlayIntegrityProvider};
pub use facts::AndroidPlatform;
pub use key_store::AndroidKeyStore;

/// `dev.countersign.internal.NativeLibrary.attach(Object context, ClassLoader loader): String`: takes the context and
/// the class loader over, once for the process; later calls change nothing. Null, or what is wrong.
#[expect(unsafe_code, reason = "the name under which Java finds it")]
#[unsafe(no_mangle)]
pub extern "system" fn Java_dev_countersign_internal_NativeLibrary_attach<'local>(
    mut env: EnvUnowned<'local>,
    _receiver: JObject<'local>,
    context: JObject<'local>,
    loader: JObject<'local>,
) -> JString<'local> {
    // A panic becomes an exception as well: nothing unwinds into Java.
    env.with_env(|env| match jvm::attach(env, &context, &loader) {
        Ok(()) => Ok(JString::null()),
        Err(fault) => env.new_string(reason(&fault)),
    })
    .resolve::<ThrowRuntimeExAndDefault>()
}

#[uniffi::export]
impl Attester {
    /// An attester for phones: its keys are in AndroidKeyStore, its state in a file that no backup takes along.
    /// `configuration.platform` is not read: Google is asked if `play_integrity` is there. The app's context must have
    /// been handed over before.
    ///
    /// # Errors
    /// [`CountersignError::Configuration`]; [`CountersignError::PlatformUnavailable`] if the context was not handed over,
    /// or has no folder for such files.
    #[uniffi::constructor]
    pub fn android(
        configuration: Configuration,
        transport: Arc<dyn Transport>,
        timer: Arc<dyn Timer>,
        play_integrity: Option<Arc<dyn PlayIntegrityProvider>>,
    ) -> Result<Arc<Self>, CountersignError> {
        let platform = DevicePlatform::Android { play_integrity: play_integrity.is_some() };
        let configuration = Configuration { platform, ..configuration };
        let folder = jvm::with(facts::no_backup_folder).map_err(|_| CountersignError::PlatformUnavailable)?;
        let storage = Arc::new(FileStorage::new(folder, &configuration));
        let evidence = Arc::new(AndroidEvidence::new(play_integrity, Arc::clone(&timer)));
        let keys = Arc::new(AndroidKeyStore);
        let ports = Ports { keys, evidence, transport, storage: storage.clone(), timer };
        let platform = Arc::new(AndroidPlatform::default());
        let signals = Arc::new(Surroundings::new(platform, configuration.expected()?));
        let parts = Parts { enrolment_lock: Some(storage), signals: Some(signals), ..Parts::new(ports) };
        Self::from_parts(configuration, parts)
    }
}

/// Whether the app has handed its context over to this process.
#[uniffi::export]
pub fn android_is_attached() -> bool {
    jvm::is_attached()
}

/// The `versionName` of the app, for its configuration; nothing if the system does not say.
#[uniffi::export]
pub fn android_app_version() -> Option<String> {
    jvm::with(facts::app_version).ok().flatten()
}

fn reason(fault: &Fault) -> &'static str {
    match fault {
        Fault::NotAttached => "not_attached",
        Fault::Thrown(_) => "java_threw",
        Fault::Missing => "class_or_member_missing",
        Fault::Unexpected => "context_or_class_loader_unusable",
        Fault::Refused => "virtual_machine_refused",
    }
}
