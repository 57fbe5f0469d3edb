//! Handing the context over.

use jni::objects::JObject;

use countersign_ffi::android::{android_app_version, android_is_attached};

use crate::phone::{Phone, attach};

#[test]
fn the_context_is_handed_over_once_and_later_calls_change_nothing() {
    let Some(phone) = Phone::take() else { return };
    assert!(android_is_attached());
    assert_eq!(phone.attach(), None, "again");
    let none = JObject::null();
    assert_eq!(phone.with(|env| attach(env, &none, &none)), None);
    assert_eq!(android_app_version().as_deref(), Some("1.2.3"), "the first context is the one in use");
}

#[test]
fn a_thread_of_our_own_is_attached_for_its_work_alone() {
    let Some(phone) = Phone::take() else { return };
    let attached = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let version = android_app_version();
            (version, phone.machine.vm.is_thread_attached().unwrap())
        });
        thread.join().unwrap()
    });
    assert_eq!(attached, (Some("1.2.3".to_owned()), false));
}

#[test]
fn a_package_manager_that_fails_is_no_failure_of_ours() {
    for fault in ["dead", "no packages", "long version"] {
        let Some(phone) = Phone::take() else { return };
        phone.set_text("AppContext", "fault", fault);
        assert_eq!(android_app_version(), None, "{fault}");
        phone.set_text("AppContext", "fault", "");
        assert!(android_app_version().is_some(), "{fault}: nothing is left pending");
    }
}
