//! Every name of Java that native code looks up, in one place, so that it can be compared with what shrinkers are told to
//! keep and with Android's own classes. Data alone: tools read this file too.

/// How a member is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A method of an object.
    Method,
    /// A method of the class.
    StaticMethod,
    /// A constructor.
    Constructor,
    /// A field of an object.
    Field,
    /// A field of the class.
    StaticField,
}

/// A member of a class, as JNI names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// How it is looked up.
    pub kind: Kind,
    /// The class, with dots, and `$` before an inner class.
    pub class: &'static str,
    /// The name; of a constructor `<init>`.
    pub name: &'static str,
    /// The descriptor of JNI.
    pub signature: &'static str,
    /// The API level that brought it, where that is above the oldest one supported: calls expect that it is missing.
    pub since: u8,
}

/// The oldest API level supported.
pub const MIN_SDK: u8 = 24;

/// Classes of the SDK itself whose names native code depends on, each with the native methods that it declares. Shrinkers
/// must keep them by name; all other names below are of Android and Java, which no shrinker touches.
pub const TO_BE_KEPT: &[(&str, &[&str])] = &[("dev.countersign.internal.NativeLibrary", &["attach"])];

/// Classes that exceptions are recognised by, as `Class.getName` names them.
pub mod exception {
    /// The key was invalidated for good.
    pub const KEY_PERMANENTLY_INVALIDATED: &str =
        "android.security.keystore.KeyPermanentlyInvalidatedException";
    /// There is no StrongBox, or it cannot make such a key.
    pub const STRONG_BOX_UNAVAILABLE: &str = "android.security.keystore.StrongBoxUnavailableException";
    /// The user has to unlock the device first.
    pub const USER_NOT_AUTHENTICATED: &str = "android.security.keystore.UserNotAuthenticatedException";
    /// Too many operations at once.
    pub const BACKEND_BUSY: &str = "android.security.keystore.BackendBusyException";
    /// What the key store service answered; has a number from API level 33.
    pub const KEY_STORE: &str = "android.security.KeyStoreException";
    /// The other process of a call died; `DeadObjectException` is one of these.
    pub const REMOTE: &str = "android.os.RemoteException";
    /// The other process of a call answered with an error of its own.
    pub const SERVICE_SPECIFIC: &str = "android.os.ServiceSpecificException";
    /// What providers throw where the interface declares nothing.
    pub const PROVIDER: &str = "java.security.ProviderException";
    /// The key's entry cannot be used.
    pub const UNRECOVERABLE_ENTRY: &str = "java.security.UnrecoverableEntryException";
    /// The key cannot be used.
    pub const UNRECOVERABLE_KEY: &str = "java.security.UnrecoverableKeyException";
    /// No provider has the algorithm.
    pub const NO_SUCH_ALGORITHM: &str = "java.security.NoSuchAlgorithmException";
    /// There is no such provider.
    pub const NO_SUCH_PROVIDER: &str = "java.security.NoSuchProviderException";
    /// No such package is installed, or this app may not see it.
    pub const NAME_NOT_FOUND: &str = "android.content.pm.PackageManager$NameNotFoundException";
    /// The provider cannot make such keys.
    pub const INVALID_PARAMETER: &str = "java.security.InvalidAlgorithmParameterException";

    /// All of them.
    pub const ALL: &[&str] = &[
        KEY_PERMANENTLY_INVALIDATED,
        STRONG_BOX_UNAVAILABLE,
        USER_NOT_AUTHENTICATED,
        BACKEND_BUSY,
        KEY_STORE,
        REMOTE,
        SERVICE_SPECIFIC,
        PROVIDER,
        UNRECOVERABLE_ENTRY,
        UNRECOVERABLE_KEY,
        NO_SUCH_ALGORITHM,
        NO_SUCH_PROVIDER,
        NAME_NOT_FOUND,
        INVALID_PARAMETER,
    ];
}

macro_rules! members {
    ($($name:ident = $kind:ident $class:literal $member:literal $signature:literal $(since $since:literal)?;)*) => {
        $(
            #[doc = concat!("`", $class, ".", $member, "`")]
            pub const $name: Member = Member {
                kind: Kind::$kind,
                class: $class,
                name: $member,
                signature: $signature,
                since: MIN_SDK $(- MIN_SDK + $since)?,
            };
        )*

        /// Every member that is called or read.
        pub const MEMBERS: &[Member] = &[$($name,)*];
    };
}

members! {
    CLASS_NAME = Method "java.lang.Class" "getName" "()Ljava/lang/String;";
    THROWABLE_CAUSE = Method "java.lang.Throwable" "getCause" "()Ljava/lang/Throwable;";
    STRING_LENGTH = Method "java.lang.String" "length" "()I";
    FILE_PATH = Method "java.io.File" "getAbsolutePath" "()Ljava/lang/String;";

    KEY_STORE_INSTANCE = StaticMethod "java.security.KeyStore" "getInstance" "(Ljava/lang/String;)Ljava/security/KeyStore;";
    KEY_STORE_LOAD = Method "java.security.KeyStore" "load" "(Ljava/security/KeyStore$LoadStoreParameter;)V";
    KEY_STORE_KEY = Method "java.security.KeyStore" "getKey" "(Ljava/lang/String;[C)Ljava/security/Key;";
    KEY_STORE_CHAIN = Method "java.security.KeyStore" "getCertificateChain" "(Ljava/lang/String;)[Ljava/security/cert/Certificate;";
    KEY_STORE_DELETE = Method "java.security.KeyStore" "deleteEntry" "(Ljava/lang/String;)V";
    GENERATOR_INSTANCE = StaticMethod "java.security.KeyPairGenerator" "getInstance" "(Ljava/lang/String;Ljava/lang/String;)Ljava/security/KeyPairGenerator;";
    GENERATOR_INITIALIZE = Method "java.security.KeyPairGenerator" "initialize" "(Ljava/security/spec/AlgorithmParameterSpec;)V";
    GENERATOR_GENERATE = Method "java.security.KeyPairGenerator" "generateKeyPair" "()Ljava/security/KeyPair;";
    KEY_PAIR_PUBLIC = Method "java.security.KeyPair" "getPublic" "()Ljava/security/PublicKey;";
    KEY_PAIR_PRIVATE = Method "java.security.KeyPair" "getPrivate" "()Ljava/security/PrivateKey;";
    KEY_ENCODED = Method "java.security.Key" "getEncoded" "()[B";
    CERTIFICATE_ENCODED = Method "java.security.cert.Certificate" "getEncoded" "()[B";
    KEY_FACTORY_INSTANCE = StaticMethod "java.security.KeyFactory" "getInstance" "(Ljava/lang/String;Ljava/lang/String;)Ljava/security/KeyFactory;";
    KEY_FACTORY_SPEC = Method "java.security.KeyFactory" "getKeySpec" "(Ljava/security/Key;Ljava/lang/Class;)Ljava/security/spec/KeySpec;";
    CURVE_NEW = Constructor "java.security.spec.ECGenParameterSpec" "<init>" "(Ljava/lang/String;)V";
    SIGNATURE_INSTANCE = StaticMethod "java.security.Signature" "getInstance" "(Ljava/lang/String;)Ljava/security/Signature;";
    SIGNATURE_INIT = Method "java.security.Signature" "initSign" "(Ljava/security/PrivateKey;)V";
    SIGNATURE_UPDATE = Method "java.security.Signature" "update" "([B)V";
    SIGNATURE_SIGN = Method "java.security.Signature" "sign" "()[B";

    SPEC_NEW = Constructor "android.security.keystore.KeyGenParameterSpec$Builder" "<init>" "(Ljava/lang/String;I)V";
    SPEC_CURVE = Method "android.security.keystore.KeyGenParameterSpec$Builder" "setAlgorithmParameterSpec" "(Ljava/security/spec/AlgorithmParameterSpec;)Landroid/security/keystore/KeyGenParameterSpec$Builder;";
    SPEC_DIGESTS = Method "android.security.keystore.KeyGenParameterSpec$Builder" "setDigests" "([Ljava/lang/String;)Landroid/security/keystore/KeyGenParameterSpec$Builder;";
    SPEC_CHALLENGE = Method "android.security.keystore.KeyGenParameterSpec$Builder" "setAttestationChallenge" "([B)Landroid/security/keystore/KeyGenParameterSpec$Builder;";
    SPEC_STRONG_BOX = Method "android.security.keystore.KeyGenParameterSpec$Builder" "setIsStrongBoxBacked" "(Z)Landroid/security/keystore/KeyGenParameterSpec$Builder;" since 28;
    SPEC_BUILD = Method "android.security.keystore.KeyGenParameterSpec$Builder" "build" "()Landroid/security/keystore/KeyGenParameterSpec;";
    KEY_INFO_LEVEL = Method "android.security.keystore.KeyInfo" "getSecurityLevel" "()I" since 31;
    KEY_INFO_IN_HARDWARE = Method "android.security.keystore.KeyInfo" "isInsideSecureHardware" "()Z";
    KEY_STORE_ERROR_NUMBER = Method "android.security.KeyStoreException" "getNumericErrorCode" "()I" since 33;

    CONTEXT_APPLICATION = Method "android.content.Context" "getApplicationContext" "()Landroid/content/Context;";
    CONTEXT_FOLDER = Method "android.content.Context" "getNoBackupFilesDir" "()Ljava/io/File;";
    CONTEXT_PACKAGE = Method "android.content.Context" "getPackageName" "()Ljava/lang/String;";
    CONTEXT_PACKAGES = Method "android.content.Context" "getPackageManager" "()Landroid/content/pm/PackageManager;";
    CONTEXT_APPLICATION_INFO = Method "android.content.Context" "getApplicationInfo" "()Landroid/content/pm/ApplicationInfo;";
    CONTEXT_RESOLVER = Method "android.content.Context" "getContentResolver" "()Landroid/content/ContentResolver;";
    CONTEXT_SERVICE = Method "android.content.Context" "getSystemService" "(Ljava/lang/String;)Ljava/lang/Object;";
    KEYGUARD_SECURE = Method "android.app.KeyguardManager" "isDeviceSecure" "()Z";
    APPLICATION_FOLDER = Field "android.content.pm.ApplicationInfo" "dataDir" "Ljava/lang/String;";
    APPLICATION_FLAGS = Field "android.content.pm.ApplicationInfo" "flags" "I";
    PACKAGES_PACKAGE = Method "android.content.pm.PackageManager" "getPackageInfo" "(Ljava/lang/String;I)Landroid/content/pm/PackageInfo;";
    PACKAGES_SOURCE = Method "android.content.pm.PackageManager" "getInstallSourceInfo" "(Ljava/lang/String;)Landroid/content/pm/InstallSourceInfo;" since 30;
    PACKAGES_INSTALLER = Method "android.content.pm.PackageManager" "getInstallerPackageName" "(Ljava/lang/String;)Ljava/lang/String;";
    SOURCE_INSTALLER = Method "android.content.pm.InstallSourceInfo" "getInstallingPackageName" "()Ljava/lang/String;" since 30;
    PACKAGE_VERSION = Field "android.content.pm.PackageInfo" "versionName" "Ljava/lang/String;";
    PACKAGE_SIGNING = Field "android.content.pm.PackageInfo" "signingInfo" "Landroid/content/pm/SigningInfo;" since 28;
    PACKAGE_SIGNATURES = Field "android.content.pm.PackageInfo" "signatures" "[Landroid/content/pm/Signature;";
    SIGNING_SIGNERS = Method "android.content.pm.SigningInfo" "getApkContentsSigners" "()[Landroid/content/pm/Signature;" since 28;
    CERTIFICATE_BYTES = Method "android.content.pm.Signature" "toByteArray" "()[B";
    SETTING = StaticMethod "android.provider.Settings$Global" "getInt" "(Landroid/content/ContentResolver;Ljava/lang/String;I)I";
    DEBUGGER = StaticMethod "android.os.Debug" "isDebuggerConnected" "()Z";
    BUILD_TAGS = StaticField "android.os.Build" "TAGS" "Ljava/lang/String;";
    BUILD_TYPE = StaticField "android.os.Build" "TYPE" "Ljava/lang/String;";
    BUILD_FINGERPRINT = StaticField "android.os.Build" "FINGERPRINT" "Ljava/lang/String;";
    BUILD_HARDWARE = StaticField "android.os.Build" "HARDWARE" "Ljava/lang/String;";
    BUILD_PRODUCT = StaticField "android.os.Build" "PRODUCT" "Ljava/lang/String;";
    BUILD_MODEL = StaticField "android.os.Build" "MODEL" "Ljava/lang/String;";
    BUILD_MANUFACTURER = StaticField "android.os.Build" "MANUFACTURER" "Ljava/lang/String;";
    SDK_LEVEL = StaticField "android.os.Build$VERSION" "SDK_INT" "I";
}
