//! The phone that tests hold one after the other: there is one key store in the program, and one fault at a time.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use jni::objects::{JObject, JString};
use jni::strings::JNIString;
use jni::{Env, JValue, jni_sig, jni_str};
use p256::ecdsa::SigningKey;

use countersign_core::time::Timestamp;
use countersign_virtual_device::{GoogleAuthority, SecurityLevel, Seed, VirtualAndroid};

use crate::machine::{Machine, machine};

/// The time on the phone and at the service.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
pub(crate) const PACKAGE: &str = "com.example.app";
pub(crate) const SIGNING_DIGEST: [u8; 32] = [8; 32];

static GOOGLE: LazyLock<GoogleAuthority> = LazyLock::new(|| GoogleAuthority::from_seed(&seed()));
static HELD: Mutex<()> = Mutex::new(());

/// A phone with the app on it, its context handed over.
pub(crate) struct Phone {
    pub(crate) machine: &'static Machine,
    _held: MutexGuard<'static, ()>,
}

impl Phone {
    /// A phone without faults, once no other test holds one; nothing where there is no virtual machine.
    pub(crate) fn take() -> Option<Self> {
        let machine = machine()?;
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let phone = Self { machine, _held: held };
        phone.call("VirtualKeyStore", "reset");
        phone.set_text("AppContext", "fault", "");
        phone.set_text("AppContext", "installer", "com.android.vending");
        assert_eq!(phone.attach(), None);
        Some(phone)
    }

    /// As [`Phone::take`], with something wrong with its key store.
    pub(crate) fn with_fault(fault: &str) -> Option<Self> {
        let phone = Self::take()?;
        phone.play(fault);
        Some(phone)
    }

    /// Something goes wrong with the key store from now on.
    pub(crate) fn play(&self, fault: &str) {
        self.call_with("VirtualKeyStore", "play", fault);
    }

    /// Making a key waits, until [`Phone::release`].
    pub(crate) fn hold(&self) {
        self.call("VirtualKeyStore", "hold");
    }

    pub(crate) fn release(&self) {
        self.call("VirtualKeyStore", "release");
    }

    /// How many keys were made.
    pub(crate) fn keys_made(&self) -> i32 {
        self.with(|env| {
            let class = class(env, "VirtualKeyStore")?;
            env.call_static_method(&class, jni_str!("made"), jni_sig!("()I"), &[])?.i()
        })
    }

    /// A key that the app made for itself.
    pub(crate) fn put_key_of_the_app(&self, alias: &str) {
        self.call_with("VirtualKeyStore", "putKeyOfTheApp", alias);
    }

    /// Aliases of all keys of the app.
    pub(crate) fn aliases(&self) -> Vec<String> {
        let text = self.with(|env| {
            let class = class(env, "VirtualKeyStore")?;
            let text =
                env.call_static_method(&class, jni_str!("aliases"), jni_sig!("()Ljava/lang/String;"), &[])?;
            env.cast_local::<JString<'_>>(text.l()?)?.try_to_string(env)
        });
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// A static field of a class of the phone.
    pub(crate) fn set_text(&self, name: &str, field: &str, value: &str) {
        self.with(|env| {
            let class = class(env, name)?;
            let value = env.new_string(value)?;
            let signature = jni_sig!("Ljava/lang/String;");
            env.set_static_field(&class, JNIString::from(field), signature, JValue::Object(&value))
        });
    }

    /// Nobody is named as the app's installer.
    pub(crate) fn set_no_installer(&self) {
        self.with(|env| {
            let class = class(env, "AppContext")?;
            let (none, signature) = (JObject::null(), jni_sig!("Ljava/lang/String;"));
            env.set_static_field(&class, jni_str!("installer"), signature, JValue::Object(&none))
        });
    }

    /// A switch of `Settings.Global`.
    pub(crate) fn set_setting(&self, name: &str, on: bool) {
        self.with(|env| {
            let class = class(env, "AppContext")?;
            let name = env.new_string(name)?;
            let signature = jni_sig!("(Ljava/lang/String;I)V");
            let arguments = [(&name).into(), JValue::Int(on.into())];
            env.call_static_method(&class, jni_str!("set"), signature, &arguments)?.v()
        });
    }

    /// Hands the context over as the Kotlin face does, through Java.
    pub(crate) fn attach(&self) -> Option<String> {
        self.with(|env| {
            let folder = env.new_string(self.machine.folder().to_str().unwrap())?;
            let context = class(env, "AppContext")?;
            let signature = jni_sig!("(Ljava/lang/String;)V");
            let context = env.new_object(&context, signature, &[(&folder).into()])?;
            let loader = system_loader(env)?;
            attach(env, &context, &loader)
        })
    }

    /// Work with the machine that must not fail.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Env<'_>) -> jni::errors::Result<T>) -> T {
        self.machine.vm.attach_current_thread(work).unwrap()
    }

    fn call(&self, name: &str, method: &str) {
        self.with(|env| {
            let class = class(env, name)?;
            env.call_static_method(&class, JNIString::from(method), jni_sig!("()V"), &[])?.v()
        });
    }

    fn call_with(&self, name: &str, method: &str, argument: &str) {
        self.with(|env| {
            let class = class(env, name)?;
            let argument = env.new_string(argument)?;
            let signature = jni_sig!("(Ljava/lang/String;)V");
            env.call_static_method(&class, JNIString::from(method), signature, &[(&argument).into()])?.v()
        });
    }
}

/// A phone's secrets and faults end with the test that had it.
impl Drop for Phone {
    fn drop(&mut self) {
        self.call("VirtualKeyStore", "reset");
    }
}

/// `NativeLibrary.attach`.
pub(crate) fn attach(
    env: &mut Env<'_>,
    context: &JObject<'_>,
    loader: &JObject<'_>,
) -> jni::errors::Result<Option<String>> {
    let name = jni_str!("dev.countersign.internal.NativeLibrary");
    let class = jni::refs::LoaderContext::default().load_class(env, name, true)?;
    let signature = jni_sig!("(Ljava/lang/Object;Ljava/lang/ClassLoader;)Ljava/lang/String;");
    let arguments = [context.into(), loader.into()];
    let said = env.call_static_method(&class, jni_str!("attach"), signature, &arguments)?.l()?;
    if said.is_null() {
        return Ok(None);
    }
    env.cast_local::<JString<'_>>(said)?.try_to_string(env).map(Some)
}

/// The class loader of the program's classes.
pub(crate) fn system_loader<'local>(env: &mut Env<'local>) -> jni::errors::Result<JObject<'local>> {
    let signature = jni_sig!("()Ljava/lang/ClassLoader;");
    let class = env.find_class(jni_str!("java/lang/ClassLoader"))?;
    env.call_static_method(&class, jni_str!("getSystemClassLoader"), signature, &[])?.l()
}

/// The authority that provisioned the phone.
pub(crate) fn google() -> &'static GoogleAuthority {
    &GOOGLE
}

/// What the phone's hardware says of a key; `level` as in `KeyProperties`.
pub(crate) fn attest(secret: &[u8], challenge: &[u8], level: i32) -> Vec<Vec<u8>> {
    let level = if level == 2 { SecurityLevel::StrongBox } else { SecurityLevel::TrustedEnvironment };
    let phone = VirtualAndroid::new(google(), &seed()).app(PACKAGE, 1, SIGNING_DIGEST).security_level(level);
    phone.attest_key(&SigningKey::from_slice(secret).unwrap(), challenge, NOW)
}

fn seed() -> Seed {
    Seed::from_text("a phone in a virtual machine")
}

fn class<'local>(env: &mut Env<'local>, name: &str) -> jni::errors::Result<jni::objects::JClass<'local>> {
    let name = JNIString::from(format!("dev.countersign.phone.{name}"));
    jni::refs::LoaderContext::default().load_class(env, name, true)
}
