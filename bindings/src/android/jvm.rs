//! The one place that speaks JNI: the machine, the app's class loader, cached classes, attached threads, and exceptions,
//! which are always cleared and turned into a [`Fault`] by the names of their classes. Messages are never read: they can
//! hold anything, and reading one runs code of the exception.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jni::objects::{JByteArray, JClass, JClassLoader, JObject, JObjectArray, JString, JThrowable};
use jni::refs::{Global, LoaderContext};
use jni::signature::{RuntimeFieldSignature, RuntimeMethodSignature};
use jni::strings::JNIString;
use jni::vm::{AttachConfig, JavaVM};
use jni::{Env, JValue, JValueOwned, jni_str};

use super::names::{self, Kind, Member, exception};

/// Longest string, byte array and object array that is taken over.
const MAX_STRING: usize = 4096;
const MAX_BYTES: usize = 64 * 1024;
const MAX_OBJECTS: usize = 64;
/// Most causes, and most superclasses of each, that are looked at.
const MAX_CAUSES: usize = 8;
const MAX_SUPERCLASSES: usize = 16;
/// Local references of one piece of work, to begin with.
const FRAME: usize = 32;

static MACHINE: OnceLock<Machine> = OnceLock::new();

/// What the app handed over.
struct Machine {
    vm: JavaVM,
    loader: Global<JClassLoader<'static>>,
    context: Global<JObject<'static>>,
    classes: RwLock<HashMap<&'static str, Arc<Global<JClass<'static>>>>>,
}

/// Why a call to Java gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The app has not handed its context over.
    NotAttached,
    /// Java threw.
    Thrown(Thrown),
    /// This system does not have the class or the member.
    Missing,
    /// Null, or an array that is too long or too short, where Java promises something else.
    Unexpected,
    /// The machine refused: no memory, a thread that cannot be attached.
    Refused,
}

/// An exception and its causes, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Thrown(Vec<Cause>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cause {
    /// The class and its superclasses.
    classes: Vec<String>,
    /// The number of a `android.security.KeyStoreException`, where there is one.
    number: Option<i32>,
}

impl Thrown {
    /// Whether the exception, or a cause of it, is of this class or one below it.
    pub(super) fn is(&self, class: &str) -> bool {
        self.0.iter().any(|cause| cause.classes.iter().any(|name| name == class))
    }

    /// The number with which the key store service explains itself, from API level 33 on.
    pub(super) fn number(&self) -> Option<i32> {
        self.0.iter().find_map(|cause| cause.number)
    }

    /// An exception as a test makes it up: chains of classes, and a number for the last.
    #[cfg(test)]
    pub(super) fn of(causes: &[&[&str]], number: Option<i32>) -> Self {
        let cause = |classes: &&[&str]| Cause {
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            number: None,
        };
        let mut causes: Vec<_> = causes.iter().map(cause).collect();
        if let Some(last) = causes.last_mut() {
            last.number = number;
        }
        Self(causes)
    }
}

/// Takes over the app's context and class loader. The first call counts; later ones change nothing.
pub(super) fn attach(env: &mut Env<'_>, context: &JObject<'_>, loader: &JObject<'_>) -> Result<(), Fault> {
    if is_attached() {
        return Ok(());
    }
    if context.is_null() || loader.is_null() {
        return Err(Fault::Unexpected);
    }
    let made = machine_of(env, context, loader);
    let machine = made.map_err(|error| fault_of(env, &error))?;
    // An activity's context would keep the activity in memory; there is none above it while the application starts.
    let mut java = Java { env, machine: &machine };
    let application = java.optional(&names::CONTEXT_APPLICATION, context, &[])?;
    let application = application.map(|application| java.env.new_global_ref(application)).transpose();
    let application = application.map_err(|error| fault_of(env, &error))?;
    let machine = match application {
        Some(context) => Machine { context, ..machine },
        None => machine,
    };
    // Another thread may have been faster, with the same values.
    drop(MACHINE.set(machine));
    Ok(())
}

/// Whether the app has handed its context over.
pub(super) fn is_attached() -> bool {
    MACHINE.get().is_some()
}

/// Runs `work` on this thread, which is attached for it unless it is a thread of Java's anyway. References that `work`
/// makes end with it.
pub(super) fn with<T>(work: impl FnOnce(&mut Java<'_, '_>) -> Result<T, Fault>) -> Result<T, Fault> {
    let machine = MACHINE.get().ok_or(Fault::NotAttached)?;
    let config = || AttachConfig::new().scoped(true).thread_name(jni_str!("countersign"));
    let done: Result<Result<T, Fault>, jni::errors::Error> =
        machine.vm.attach_current_thread_with_config(config, Some(FRAME), |env| {
            Ok(work(&mut Java { env, machine }))
        });
    done.unwrap_or(Err(Fault::Refused))
}

/// Calls into Java by the names of [`names`], on an attached thread.
pub(super) struct Java<'a, 'local> {
    env: &'a mut Env<'local>,
    machine: &'a Machine,
}

impl<'local> Java<'_, 'local> {
    /// The application's context.
    pub(super) fn context(&mut self) -> Result<JObject<'local>, Fault> {
        self.caught(|env, machine| env.new_local_ref(&machine.context))
    }

    /// An object that is there: a new one, or what a method or field gives.
    pub(super) fn object(
        &mut self,
        member: &Member,
        target: &JObject<'_>,
        arguments: &[JValue<'_>],
    ) -> Result<JObject<'local>, Fault> {
        self.optional(member, target, arguments)?.ok_or(Fault::Unexpected)
    }

    /// An object, or null.
    pub(super) fn optional(
        &mut self,
        member: &Member,
        target: &JObject<'_>,
        arguments: &[JValue<'_>],
    ) -> Result<Option<JObject<'local>>, Fault> {
        let object = self.value(member, target, arguments)?.l().map_err(|_| Fault::Unexpected)?;
        Ok((!object.is_null()).then_some(object))
    }

    /// A number.
    pub(super) fn int(
        &mut self,
        member: &Member,
        target: &JObject<'_>,
        arguments: &[JValue<'_>],
    ) -> Result<i32, Fault> {
        self.value(member, target, arguments)?.i().map_err(|_| Fault::Unexpected)
    }

    /// A truth value.
    pub(super) fn boolean(
        &mut self,
        member: &Member,
        target: &JObject<'_>,
        arguments: &[JValue<'_>],
    ) -> Result<bool, Fault> {
        self.value(member, target, arguments)?.z().map_err(|_| Fault::Unexpected)
    }

    /// A method that returns nothing.
    pub(super) fn run(
        &mut self,
        member: &Member,
        target: &JObject<'_>,
        arguments: &[JValue<'_>],
    ) -> Result<(), Fault> {
        self.value(member, target, arguments)?.v().map_err(|_| Fault::Unexpected)
    }

    /// A string that a method or field gives; nothing for null.
    pub(super) fn text(
        &mut self,
        member: &Member,
        target: &JObject<'_>,
        arguments: &[JValue<'_>],
    ) -> Result<Option<String>, Fault> {
        let Some(object) = self.optional(member, target, arguments)? else { return Ok(None) };
        let length = self.int(&names::STRING_LENGTH, &object, &[])?;
        if usize::try_from(length).is_ok_and(|length| length > MAX_STRING) {
            return Err(Fault::Unexpected);
        }
        self.caught(|env, _| env.cast_local::<JString<'_>>(object)?.try_to_string(env)).map(Some)
    }

    /// A byte array that a method gives.
    pub(super) fn bytes(&mut self, member: &Member, target: &JObject<'_>) -> Result<Vec<u8>, Fault> {
        let object = self.object(member, target, &[])?;
        let array = self.caught(|env, _| env.cast_local::<JByteArray<'_>>(object))?;
        if self.caught(|env, _| array.len(env))? > MAX_BYTES {
            return Err(Fault::Unexpected);
        }
        self.caught(|env, _| env.convert_byte_array(&array))
    }

    /// The elements of an array that a method or field gives, none of them null; nothing for null.
    pub(super) fn elements(
        &mut self,
        member: &Member,
        target: &JObject<'_>,
        arguments: &[JValue<'_>],
    ) -> Result<Option<Vec<JObject<'local>>>, Fault> {
        let Some(object) = self.optional(member, target, arguments)? else { return Ok(None) };
        let array = self.caught(|env, _| env.cast_local::<JObjectArray<'_>>(object))?;
        let length = self.caught(|env, _| array.len(env))?;
        if length > MAX_OBJECTS {
            return Err(Fault::Unexpected);
        }
        let mut elements = Vec::with_capacity(length);
        for at in 0..length {
            let element = self.caught(|env, _| array.get_element(env, at))?;
            if element.is_null() {
                return Err(Fault::Unexpected);
            }
            elements.push(element);
        }
        Ok(Some(elements))
    }

    /// A new string.
    pub(super) fn new_text(&mut self, text: &str) -> Result<JObject<'local>, Fault> {
        self.caught(|env, _| env.new_string(text)).map(Into::into)
    }

    /// A new byte array.
    pub(super) fn new_bytes(&mut self, bytes: &[u8]) -> Result<JObject<'local>, Fault> {
        self.caught(|env, _| env.byte_array_from_slice(bytes)).map(Into::into)
    }

    /// A new array of one string.
    pub(super) fn new_texts(&mut self, text: &str) -> Result<JObject<'local>, Fault> {
        self.caught(|env, _| {
            let text = env.new_string(text)?;
            env.new_object_type_array::<JString<'_>>(1, &text)
        })
        .map(Into::into)
    }

    /// A class, as an object.
    pub(super) fn class(&mut self, name: &'static str) -> Result<JObject<'local>, Fault> {
        let class = self.cached(name)?;
        self.caught(|env, _| env.new_local_ref(&*class)).map(Into::into)
    }

    fn value(
        &mut self,
        member: &Member,
        target: &JObject<'_>,
        arguments: &[JValue<'_>],
    ) -> Result<JValueOwned<'local>, Fault> {
        let name = JNIString::from(member.name);
        let method = || RuntimeMethodSignature::from_str(member.signature);
        let field = || RuntimeFieldSignature::from_str(member.signature);
        match member.kind {
            Kind::Method => {
                self.caught(|env, _| env.call_method(target, &name, method()?.method_signature(), arguments))
            }
            Kind::Field => self.caught(|env, _| env.get_field(target, &name, field()?.field_signature())),
            Kind::StaticMethod => {
                let class = self.cached(member.class)?;
                self.caught(|env, _| {
                    env.call_static_method(&*class, &name, method()?.method_signature(), arguments)
                })
            }
            Kind::Constructor => {
                let class = self.cached(member.class)?;
                self.caught(|env, _| env.new_object(&*class, method()?.method_signature(), arguments))
                    .map(JValueOwned::Object)
            }
            Kind::StaticField => {
                let class = self.cached(member.class)?;
                self.caught(|env, _| env.get_static_field(&*class, &name, field()?.field_signature()))
            }
        }
    }

    /// The class of this name, by the app's class loader: a thread of our own would only find Java's own classes.
    fn cached(&mut self, name: &'static str) -> Result<Arc<Global<JClass<'static>>>, Fault> {
        let classes = &self.machine.classes;
        if let Some(class) = classes.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(class));
        }
        let class = self.caught(|env, machine| {
            let class =
                LoaderContext::Loader(&machine.loader).load_class(env, JNIString::from(name), true)?;
            env.new_global_ref(&class)
        })?;
        let class = Arc::new(class);
        classes.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::clone(&class));
        Ok(class)
    }

    /// Makes a call; whatever it throws is cleared.
    fn caught<T>(
        &mut self,
        call: impl FnOnce(&mut Env<'local>, &Machine) -> jni::errors::Result<T>,
    ) -> Result<T, Fault> {
        call(self.env, self.machine).map_err(|error| fault_of(self.env, &error))
    }
}

fn machine_of(
    env: &mut Env<'_>,
    context: &JObject<'_>,
    loader: &JObject<'_>,
) -> jni::errors::Result<Machine> {
    let loader = env.new_cast_local_ref::<JClassLoader<'_>>(loader)?;
    Ok(Machine {
        vm: env.get_java_vm()?,
        loader: env.new_global_ref(&loader)?,
        context: env.new_global_ref(context)?,
        classes: RwLock::default(),
    })
}

/// What went wrong; clears the exception that is pending, if one is.
fn fault_of(env: &mut Env<'_>, error: &jni::errors::Error) -> Fault {
    use jni::errors::Error;
    let pending = env.exception_occurred();
    if let Some(thrown) = pending {
        env.exception_clear();
        return Fault::Thrown(read(env, &thrown));
    }
    match error {
        Error::MethodNotFound { .. }
        | Error::FieldNotFound { .. }
        | Error::NoSuchMethod(_)
        | Error::ClassNotFound { .. }
        | Error::NoClassDefFound { .. }
        | Error::LinkageError { .. }
        | Error::ExceptionInInitializer { .. } => Fault::Missing,
        Error::CaughtJavaException { exception, .. } if !exception.is_null() => {
            Fault::Thrown(read(env, exception))
        }
        Error::NullPtr(_) | Error::WrongObjectType | Error::WrongJValueType(..) => Fault::Unexpected,
        _ => Fault::Refused,
    }
}

/// The classes of an exception and its causes. An exception's own methods may throw, lie and run in circles: what they
/// throw ends the reading, and the reading has an end.
fn read(env: &mut Env<'_>, thrown: &JThrowable<'_>) -> Thrown {
    let mut causes = Vec::new();
    let read = env.with_local_frame(FRAME + MAX_CAUSES * (MAX_SUPERCLASSES + 4), |env| {
        let mut next = env.new_local_ref(thrown)?;
        while !next.is_null() && causes.len() < MAX_CAUSES {
            let classes = classes_of(env, &next)?;
            let number =
                classes.iter().any(|class| class == exception::KEY_STORE).then(|| number_of(env, &next));
            causes.push(Cause { classes, number: number.flatten() });
            next = next.get_cause(env)?;
        }
        Ok::<_, jni::errors::Error>(())
    });
    if read.is_err() {
        env.exception_clear();
    }
    Thrown(causes)
}

fn classes_of(env: &mut Env<'_>, object: &JThrowable<'_>) -> jni::errors::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut class = Some(env.get_object_class(object)?);
    while let Some(this) = class.take().filter(|_| names.len() < MAX_SUPERCLASSES) {
        names.push(this.get_name(env)?.try_to_string(env)?);
        class = env.get_superclass(&this)?;
    }
    Ok(names)
}

fn number_of(env: &mut Env<'_>, thrown: &JThrowable<'_>) -> Option<i32> {
    let Member { name, signature, .. } = names::KEY_STORE_ERROR_NUMBER;
    let signature = RuntimeMethodSignature::from_str(signature).ok()?;
    let number = env.call_method(thrown, JNIString::from(name), signature.method_signature(), &[]);
    if number.is_err() {
        env.exception_clear();
    }
    number.ok()?.i().ok()
}
