//! The table of names against Android's own classes.

use jni::objects::{JClassLoader, JObject};
use jni::refs::LoaderContext;
use jni::signature::{RuntimeFieldSignature, RuntimeMethodSignature};
use jni::strings::JNIString;
use jni::{Env, jni_sig, jni_str};

use countersign_ffi::android::names::{Kind, MEMBERS, MIN_SDK, Member, TO_BE_KEPT, exception};

use crate::machine;
use crate::phone::Phone;

/// Android's classes alone, without what tests put before them.
fn android_alone<'local>(env: &mut Env<'local>) -> jni::errors::Result<JClassLoader<'local>> {
    let file = env.new_string(machine::android().to_str().unwrap())?;
    let file_class = env.find_class(jni_str!("java/io/File"))?;
    let file = env.new_object(&file_class, jni_sig!("(Ljava/lang/String;)V"), &[(&file).into()])?;
    let uri = env.call_method(&file, jni_str!("toURI"), jni_sig!("()Ljava/net/URI;"), &[])?.l()?;
    let url = env.call_method(&uri, jni_str!("toURL"), jni_sig!("()Ljava/net/URL;"), &[])?.l()?;
    let url_class = env.find_class(jni_str!("java/net/URL"))?;
    let urls = env.new_object_array(1, &url_class, &url)?;
    let class = env.find_class(jni_str!("java/net/URLClassLoader"))?;
    let none = JObject::null();
    let signature = jni_sig!("([Ljava/net/URL;Ljava/lang/ClassLoader;)V");
    let loader = env.new_object(&class, signature, &[(&urls).into(), (&none).into()])?;
    env.cast_local::<JClassLoader<'_>>(loader)
}

/// Looks a member up, without running anything of its class.
fn look_up(env: &mut Env<'_>, loader: &JClassLoader<'_>, member: &Member) -> jni::errors::Result<()> {
    let class = LoaderContext::Loader(loader).load_class(env, JNIString::from(member.class), false)?;
    let name = JNIString::from(member.name);
    let method = || RuntimeMethodSignature::from_str(member.signature);
    let field = || RuntimeFieldSignature::from_str(member.signature);
    let found = match member.kind {
        Kind::Method | Kind::Constructor => {
            env.get_method_id(&class, &name, method()?.method_signature()).map(drop)
        }
        Kind::StaticMethod => env.get_static_method_id(&class, &name, method()?.method_signature()).map(drop),
        Kind::Field => env.get_field_id(&class, &name, field()?.field_signature()).map(drop),
        Kind::StaticField => env.get_static_field_id(&class, &name, field()?.field_signature()).map(drop),
    };
    if env.exception_check() {
        env.exception_clear();
    }
    found
}

/// Looking a member up runs the static parts of its class, which call native code that only a phone has.
const INITIALISED_BY_NATIVE_CODE: [&str; 2] = ["android.os.Build", "android.os.Build$VERSION"];

#[test]
fn android_has_every_member_that_is_called() {
    let Some(phone) = Phone::take() else { return };
    let missing: Vec<_> = phone.with(|env| {
        let loader = android_alone(env)?;
        let members = MEMBERS.iter().filter(|member| !INITIALISED_BY_NATIVE_CODE.contains(&member.class));
        let missing = members.filter(|member| look_up(env, &loader, member).is_err());
        Ok(missing.map(|member| (member.class, member.name)).collect())
    });
    assert_eq!(missing, []);
}

#[test]
fn a_member_that_android_does_not_have_is_found_missing() {
    let Some(phone) = Phone::take() else { return };
    let wrong = [
        Member { name: "getKeys", ..MEMBERS[0] },
        Member { signature: "()I", ..MEMBERS[0] },
        Member { class: "android.security.NoSuchThing", ..MEMBERS[0] },
    ];
    for member in wrong {
        let found = phone.with(|env| {
            let loader = android_alone(env)?;
            Ok(look_up(env, &loader, &member).is_ok())
        });
        assert!(!found, "{member:?}");
    }
}

#[test]
fn android_has_every_exception_that_is_recognised() {
    let Some(phone) = Phone::take() else { return };
    for name in exception::ALL {
        phone.with(|env| {
            let loader = android_alone(env)?;
            LoaderContext::Loader(&loader).load_class(env, JNIString::from(*name), false).map(drop)
        });
    }
}

#[test]
fn what_came_later_than_the_oldest_system_says_so() {
    assert!(MEMBERS.iter().all(|member| (MIN_SDK..=34).contains(&member.since)));
    let since = |name: &str| MEMBERS.iter().find(|member| member.name == name).unwrap().since;
    assert_eq!((since("setIsStrongBoxBacked"), since("getSecurityLevel"), since("load")), (28, 31, MIN_SDK));
}

#[test]
fn what_shrinkers_must_keep_is_the_exported_symbol() {
    let symbols = TO_BE_KEPT.iter().flat_map(|(class, methods)| {
        methods.iter().map(|method| format!("Java_{}_{method}", class.replace('.', "_")))
    });
    assert_eq!(symbols.collect::<Vec<_>>(), ["Java_dev_countersign_internal_NativeLibrary_attach"]);
}
