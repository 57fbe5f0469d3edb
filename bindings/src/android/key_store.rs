//! The instance key in AndroidKeyStore: StrongBox if the phone has it, else the trusted execution environment, attested
//! under our challenge wherever the phone attests keys.

use jni::JValue;
use jni::objects::JObject;

use crate::error::KeyStoreError;
use crate::port::InstanceKeys;
use crate::record::{KeyProtection, NewKey};

use super::jvm::{self, Fault, Java, Thrown};
use super::names::{self, exception};
use super::worker;

/// The name of the provider.
const PROVIDER: &str = "AndroidKeyStore";
/// What our aliases begin with. Nothing else in the app's key store is touched.
const INSTANCE: &str = "dev.countersign.instance.";
const THROWAWAY: &str = "dev.countersign.throwaway.";
/// `KeyProperties.PURPOSE_SIGN`.
const PURPOSE_SIGN: i32 = 4;
/// `KeyProperties.SECURITY_LEVEL_…`: the hardware is not told apart, or is one of these.
const LEVEL_UNKNOWN_SECURE: i32 = -1;
const LEVEL_TEE: i32 = 1;
const LEVEL_STRONGBOX: i32 = 2;
/// What stands before the 65 bytes of an uncompressed P-256 point in a SubjectPublicKeyInfo (RFC 5480).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Certificates in a chain that is no attestation: the key's own, signed by itself or by nobody.
const UNATTESTED_CHAIN: usize = 1;

/// Numbers of `android.security.KeyStoreException`.
mod number {
    pub(super) const KEY_DOES_NOT_EXIST: i32 = 6;
    pub(super) const KEY_CORRUPTED: i32 = 7;
    /// Also where the phone was never given attestation keys, or lost them.
    pub(super) const UNIMPLEMENTED: i32 = 12;
    pub(super) const DEVICE_REQUIRES_UPGRADE_FOR_ATTESTATION: i32 = 17;
}

/// The instance key in AndroidKeyStore.
#[derive(Clone, Copy, Debug)]
pub struct AndroidKeyStore;

#[async_trait::async_trait]
impl InstanceKeys for AndroidKeyStore {
    async fn make(&self, challenge: Option<Vec<u8>>) -> Result<NewKey, KeyStoreError> {
        let make = move || jvm::with(|java| make(java, &new_alias(INSTANCE)?, challenge.as_deref()));
        // A key that nobody was told of would stay for ever.
        let forget = |key: NewKey| delete(&key.handle);
        worker::run(make, forget).await.map_err(|fault| failure(&fault))
    }

    async fn sign(&self, handle: Vec<u8>, message: Vec<u8>) -> Result<Vec<u8>, KeyStoreError> {
        // A handle of another kind of key store, as after a switch from development to production.
        let alias = own_alias(&handle).ok_or(KeyStoreError::Lost)?.to_owned();
        let sign = move || jvm::with(|java| sign(java, &alias, &message));
        match worker::run(sign, drop).await {
            Ok(Some(signature)) => Ok(signature),
            Ok(None) => Err(KeyStoreError::Lost),
            Err(fault) => Err(failure(&fault)),
        }
    }

    async fn delete(&self, handle: Vec<u8>) {
        let delete = move || {
            delete(&handle);
            Ok(())
        };
        // One that cannot be deleted now stays behind, unused.
        drop(worker::run(delete, drop).await);
    }
}

/// The attestation chain of a key that is made for it and deleted at once, whatever comes of it. Nothing where the phone
/// attests no keys.
pub(super) fn throwaway_chain(java: &mut Java<'_, '_>, challenge: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let alias = new_alias(THROWAWAY)?;
    let made = make_attested(java, &alias, challenge);
    let deleted = delete_entry(java, &alias);
    let chain = match made {
        Ok(made) => made.chain,
        Err(fault) if lacks_attestation(&fault) => Vec::new(),
        Err(fault) => return Err(fault),
    };
    deleted.map(|()| chain)
}

/// What a fault of the key store means for the attester.
pub(super) fn failure(fault: &Fault) -> KeyStoreError {
    match fault {
        Fault::Missing => KeyStoreError::Unsupported,
        Fault::NotAttached | Fault::Unexpected | Fault::Refused => KeyStoreError::Unavailable,
        Fault::Thrown(thrown) => failure_of(thrown),
    }
}

fn failure_of(thrown: &Thrown) -> KeyStoreError {
    let is_one_of = |classes: &[&str]| classes.iter().any(|class| thrown.is(class));
    if is_one_of(&[exception::KEY_PERMANENTLY_INVALIDATED])
        || matches!(thrown.number(), Some(number::KEY_DOES_NOT_EXIST | number::KEY_CORRUPTED))
    {
        return KeyStoreError::Lost;
    }
    // Before what is for good: a dead service is wrapped in exceptions that sound like a lost key.
    if is_outage(thrown) || thrown.number().is_some() {
        return KeyStoreError::Unavailable;
    }
    if is_one_of(&[exception::UNRECOVERABLE_ENTRY, exception::UNRECOVERABLE_KEY]) {
        return KeyStoreError::Lost;
    }
    if is_one_of(&[exception::NO_SUCH_ALGORITHM, exception::NO_SUCH_PROVIDER, exception::INVALID_PARAMETER]) {
        return KeyStoreError::Unsupported;
    }
    KeyStoreError::Unavailable
}

/// Whether the key store, or its user, is away.
fn is_outage(thrown: &Thrown) -> bool {
    [
        exception::REMOTE,
        exception::SERVICE_SPECIFIC,
        exception::BACKEND_BUSY,
        exception::USER_NOT_AUTHENTICATED,
    ]
    .iter()
    .any(|class| thrown.is(class))
}

/// Whether this phone cannot attest keys, as far as its exception tells: a number that says so, or from API level 24 to
/// 32, which have none, the exception in which providers wrap every refusal of the hardware. A pool of attestation keys
/// that is empty has a number of its own, and is an outage.
fn lacks_attestation(fault: &Fault) -> bool {
    let Fault::Thrown(thrown) = fault else { return false };
    if is_outage(thrown) {
        return false;
    }
    match thrown.number() {
        Some(number::UNIMPLEMENTED | number::DEVICE_REQUIRES_UPGRADE_FOR_ATTESTATION) => true,
        Some(_) => false,
        None => thrown.is(exception::PROVIDER),
    }
}

/// Whether a key that StrongBox did not make may be asked of the trusted execution environment. Vendors say in many ways
/// that there is no StrongBox, or that it is full; its pool of attestation keys is another one, too.
fn may_fall_back(fault: &Fault) -> bool {
    match fault {
        Fault::Missing => true,
        Fault::Thrown(thrown) => thrown.is(exception::STRONG_BOX_UNAVAILABLE) || !is_outage(thrown),
        Fault::NotAttached | Fault::Unexpected | Fault::Refused => false,
    }
}

fn make(java: &mut Java<'_, '_>, alias: &str, challenge: Option<&[u8]>) -> Result<NewKey, Fault> {
    let Some(challenge) = challenge else { return make_unattested(java, alias) };
    match make_attested(java, alias, challenge) {
        Err(fault) if lacks_attestation(&fault) => make_unattested(java, alias),
        made => made,
    }
}

fn make_attested(java: &mut Java<'_, '_>, alias: &str, challenge: &[u8]) -> Result<NewKey, Fault> {
    match generate(java, alias, Some(challenge), true) {
        Err(fault) if may_fall_back(&fault) => generate(java, alias, Some(challenge), false),
        made => made,
    }
}

/// Phones that attest no keys are too old for StrongBox, or have lost what it attests with.
fn make_unattested(java: &mut Java<'_, '_>, alias: &str) -> Result<NewKey, Fault> {
    generate(java, alias, None, false)
}

/// Makes a key and reads what there is to know about it. If that fails, the key is deleted again.
fn generate(
    java: &mut Java<'_, '_>,
    alias: &str,
    challenge: Option<&[u8]>,
    strong_box: bool,
) -> Result<NewKey, Fault> {
    let pair = generate_pair(java, alias, challenge, strong_box)?;
    let described = describe(java, alias, &pair, strong_box);
    if described.is_err() {
        // The first failure is the one to tell.
        drop(delete_entry(java, alias));
    }
    described
}

fn generate_pair<'local>(
    java: &mut Java<'_, 'local>,
    alias: &str,
    challenge: Option<&[u8]>,
    strong_box: bool,
) -> Result<JObject<'local>, Fault> {
    let none = JObject::null();
    let alias = java.new_text(alias)?;
    let builder = java.object(&names::SPEC_NEW, &none, &[(&alias).into(), PURPOSE_SIGN.into()])?;
    let curve = java.new_text("secp256r1")?;
    let curve = java.object(&names::CURVE_NEW, &none, &[(&curve).into()])?;
    java.object(&names::SPEC_CURVE, &builder, &[(&curve).into()])?;
    let digests = java.new_texts("SHA-256")?;
    java.object(&names::SPEC_DIGESTS, &builder, &[(&digests).into()])?;
    if let Some(challenge) = challenge {
        let challenge = java.new_bytes(challenge)?;
        java.object(&names::SPEC_CHALLENGE, &builder, &[(&challenge).into()])?;
    }
    if strong_box {
        java.object(&names::SPEC_STRONG_BOX, &builder, &[JValue::Bool(true)])?;
    }
    let spec = java.object(&names::SPEC_BUILD, &builder, &[])?;
    let (algorithm, provider) = (java.new_text("EC")?, java.new_text(PROVIDER)?);
    let named = [(&algorithm).into(), (&provider).into()];
    let generator = java.object(&names::GENERATOR_INSTANCE, &none, &named)?;
    java.run(&names::GENERATOR_INITIALIZE, &generator, &[(&spec).into()])?;
    java.object(&names::GENERATOR_GENERATE, &generator, &[])
}

fn describe(
    java: &mut Java<'_, '_>,
    alias: &str,
    pair: &JObject<'_>,
    strong_box: bool,
) -> Result<NewKey, Fault> {
    let public = java.object(&names::KEY_PAIR_PUBLIC, pair, &[])?;
    let public = java.bytes(&names::KEY_ENCODED, &public)?;
    let point = public.strip_prefix(&P256_PREFIX).filter(|point| point.len() == 65);
    let public_key = point.ok_or(Fault::Unexpected)?.to_vec();
    let private = java.object(&names::KEY_PAIR_PRIVATE, pair, &[])?;
    let protection = protection(java, &private, strong_box);
    let chain = chain(java, alias)?;
    Ok(NewKey { handle: alias.as_bytes().to_vec(), public_key, protection, chain })
}

/// Where the key came to live, as the key store says. What it does not say counts as software: nobody is promised more
/// than is known. The attestation says it too, and that is what the service believes.
fn protection(java: &mut Java<'_, '_>, private: &JObject<'_>, strong_box: bool) -> KeyProtection {
    let hardware = if strong_box { KeyProtection::Strongbox } else { KeyProtection::Tee };
    let Ok(info) = key_info(java, private) else { return KeyProtection::Software };
    match java.int(&names::KEY_INFO_LEVEL, &info, &[]) {
        Ok(LEVEL_STRONGBOX) => KeyProtection::Strongbox,
        Ok(LEVEL_TEE) => KeyProtection::Tee,
        Ok(LEVEL_UNKNOWN_SECURE) => hardware,
        Ok(_) => KeyProtection::Software,
        Err(_) => match java.boolean(&names::KEY_INFO_IN_HARDWARE, &info, &[]) {
            Ok(true) => hardware,
            _ => KeyProtection::Software,
        },
    }
}

fn key_info<'local>(java: &mut Java<'_, 'local>, private: &JObject<'_>) -> Result<JObject<'local>, Fault> {
    let (algorithm, provider) = (java.new_text("EC")?, java.new_text(PROVIDER)?);
    let named = [(&algorithm).into(), (&provider).into()];
    let factory = java.object(&names::KEY_FACTORY_INSTANCE, &JObject::null(), &named)?;
    let class = java.class(names::KEY_INFO_LEVEL.class)?;
    java.object(&names::KEY_FACTORY_SPEC, &factory, &[private.into(), (&class).into()])
}

/// The attestation chain in DER, leaf first; empty if the key's own certificate is all there is.
fn chain(java: &mut Java<'_, '_>, alias: &str) -> Result<Vec<Vec<u8>>, Fault> {
    let store = key_store(java)?;
    let alias = java.new_text(alias)?;
    let certificates = java.elements(&names::KEY_STORE_CHAIN, &store, &[(&alias).into()])?;
    let certificates = certificates.ok_or(Fault::Unexpected)?;
    if certificates.len() <= UNATTESTED_CHAIN {
        return Ok(Vec::new());
    }
    certificates.iter().map(|certificate| java.bytes(&names::CERTIFICATE_ENCODED, certificate)).collect()
}

/// Signs; nothing if there is no such key.
fn sign(java: &mut Java<'_, '_>, alias: &str, message: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let store = key_store(java)?;
    let alias = java.new_text(alias)?;
    let no_password = JObject::null();
    let key = java.optional(&names::KEY_STORE_KEY, &store, &[(&alias).into(), (&no_password).into()])?;
    let Some(key) = key else { return Ok(None) };
    let algorithm = java.new_text("SHA256withECDSA")?;
    // By the key alone: keys of AndroidKeyStore sign by a provider of another name.
    let signer = java.object(&names::SIGNATURE_INSTANCE, &JObject::null(), &[(&algorithm).into()])?;
    java.run(&names::SIGNATURE_INIT, &signer, &[(&key).into()])?;
    let message = java.new_bytes(message)?;
    java.run(&names::SIGNATURE_UPDATE, &signer, &[(&message).into()])?;
    java.bytes(&names::SIGNATURE_SIGN, &signer).map(Some)
}

/// Deletes a key of ours; whatever else the handle names stays.
fn delete(handle: &[u8]) {
    if let Some(alias) = own_alias(handle) {
        drop(jvm::with(|java| delete_entry(java, alias)));
    }
}

fn delete_entry(java: &mut Java<'_, '_>, alias: &str) -> Result<(), Fault> {
    let store = key_store(java)?;
    let alias = java.new_text(alias)?;
    java.run(&names::KEY_STORE_DELETE, &store, &[(&alias).into()])
}

fn key_store<'local>(java: &mut Java<'_, 'local>) -> Result<JObject<'local>, Fault> {
    let provider = java.new_text(PROVIDER)?;
    let store = java.object(&names::KEY_STORE_INSTANCE, &JObject::null(), &[(&provider).into()])?;
    let nothing = JObject::null();
    java.run(&names::KEY_STORE_LOAD, &store, &[(&nothing).into()])?;
    Ok(store)
}

fn new_alias(prefix: &str) -> Result<String, Fault> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| Fault::Refused)?;
    Ok(format!("{prefix}{:016x}", u64::from_be_bytes(random)))
}

/// The alias that a handle is, if it is one of ours.
fn own_alias(handle: &[u8]) -> Option<&str> {
    let alias = core::str::from_utf8(handle).ok()?;
    let suffix = alias.strip_prefix(INSTANCE)?;
    (suffix.len() == 16 && suffix.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: &[&str] = &["android.os.DeadObjectException", exception::REMOTE, "java.lang.Exception"];

    fn thrown(causes: &[&[&str]], number: Option<i32>) -> Fault {
        Fault::Thrown(Thrown::of(causes, number))
    }

    #[test]
    fn what_passes_is_found_under_what_sounds_final() {
        let wrapped = thrown(&[&[exception::UNRECOVERABLE_KEY], &[exception::KEY_STORE], DEAD], None);
        assert_eq!(failure(&wrapped), KeyStoreError::Unavailable);
        let final_alone = thrown(&[&[exception::UNRECOVERABLE_KEY]], None);
        assert_eq!(failure(&final_alone), KeyStoreError::Lost);
    }

    #[test]
    fn numbers_tell_a_lost_key_from_all_other_failures() {
        let numbered = |number| {
            failure(&thrown(&[&["java.security.InvalidKeyException"], &[exception::KEY_STORE]], Some(number)))
        };
        for number in 1..=20 {
            let expected = match number {
                6 | 7 => KeyStoreError::Lost,
                _ => KeyStoreError::Unavailable,
            };
            assert_eq!(numbered(number), expected, "{number}");
        }
    }

    #[test]
    fn an_unknown_exception_is_no_reason_to_give_a_key_up() {
        for class in ["java.lang.Error", "com.vendor.StrangeException", "java.lang.NullPointerException"] {
            let fault = thrown(&[&[class]], None);
            assert_eq!(failure(&fault), KeyStoreError::Unavailable);
            assert!(!lacks_attestation(&fault));
        }
        assert_eq!(failure(&thrown(&[], None)), KeyStoreError::Unavailable);
    }

    #[test]
    fn an_empty_pool_is_no_lack_of_attestation() {
        let refused = |number| thrown(&[&[exception::PROVIDER], &[exception::KEY_STORE]], number);
        assert!(lacks_attestation(&refused(Some(12))), "never provisioned");
        assert!(lacks_attestation(&refused(None)), "before API level 33");
        for number in [1, 4, 10, 11, 16] {
            assert!(!lacks_attestation(&refused(Some(number))), "{number}");
        }
        assert!(!lacks_attestation(&thrown(&[&[exception::PROVIDER], DEAD], Some(12))));
        assert!(!lacks_attestation(&Fault::Refused));
    }

    #[test]
    fn strongbox_is_given_up_for_what_it_lacks_and_not_for_an_outage() {
        assert!(may_fall_back(&thrown(&[&[exception::STRONG_BOX_UNAVAILABLE, exception::PROVIDER]], None)));
        assert!(may_fall_back(&thrown(&[&[exception::PROVIDER], &[exception::KEY_STORE]], Some(16))));
        assert!(may_fall_back(&Fault::Missing), "before API level 28");
        assert!(!may_fall_back(&thrown(&[&[exception::PROVIDER], DEAD], Some(4))));
        assert!(!may_fall_back(&Fault::Refused));
    }

    #[test]
    fn only_aliases_of_our_own_form_are_ours() {
        let alias = new_alias(INSTANCE).unwrap();
        assert_eq!(own_alias(alias.as_bytes()), Some(alias.as_str()));
        assert_eq!(own_alias(new_alias(THROWAWAY).unwrap().as_bytes()), None);
        for other in ["", "dev.countersign.instance.", "dev.countersign.instance.0123", "key"] {
            assert_eq!(own_alias(other.as_bytes()), None, "{other}");
        }
        assert_eq!(own_alias(&[0xff, 0xfe]), None);
    }
}
