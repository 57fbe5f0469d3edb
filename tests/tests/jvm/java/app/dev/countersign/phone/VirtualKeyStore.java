package dev.countersign.phone;

import android.os.DeadObjectException;
import android.os.ServiceSpecificException;
import android.security.KeyStoreException;
import android.security.keystore.KeyGenParameterSpec;
import android.security.keystore.KeyInfo;
import android.security.keystore.KeyPermanentlyInvalidatedException;
import android.security.keystore.StrongBoxUnavailableException;
import java.math.BigInteger;
import java.security.InvalidKeyException;
import java.security.PrivateKey;
import java.security.ProviderException;
import java.security.UnrecoverableKeyException;
import java.security.cert.Certificate;
import java.security.interfaces.ECPrivateKey;
import java.util.Date;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

/** The hardware behind the virtual phone's AndroidKeyStore, with one thing wrong with it at a time. */
public final class VirtualKeyStore {
    /** Numbers of Android's key store service. */
    static final int SYSTEM_ERROR = 4;
    static final int OUT_OF_KEYS = 22;
    static final int RKP_TEMPORARILY_UNAVAILABLE = 1;
    static final int HARDWARE_TYPE_UNAVAILABLE = -68;
    static final int ATTESTATION_KEYS_NOT_PROVISIONED = -79;
    static final int KEY_NOT_FOUND = 7;

    static final int TEE = 1;
    static final int STRONG_BOX = 2;

    static final Map<String, Key> KEYS = new ConcurrentHashMap<>();
    static final AtomicInteger MADE = new AtomicInteger();
    static volatile String fault = "";
    static volatile CountDownLatch held = new CountDownLatch(0);

    private VirtualKeyStore() {}

    /** What is wrong from now on; nothing if empty. */
    public static void play(String fault) {
        VirtualKeyStore.fault = fault;
    }

    /** A new phone. */
    public static void reset() {
        release();
        KEYS.clear();
        MADE.set(0);
        play("");
    }

    /** Making a key waits from now on. */
    public static void hold() {
        held = new CountDownLatch(1);
    }

    /** Making a key goes on. */
    public static void release() {
        held.countDown();
    }

    /** Aliases of all keys, one a line. */
    public static String aliases() {
        return String.join("\n", KEYS.keySet());
    }

    /** How many keys were made. */
    public static int made() {
        return MADE.get();
    }

    /** A key of the app's own, which is nothing to us. */
    public static void putKeyOfTheApp(String alias) {
        KEYS.put(alias, new Key(null, TEE, null));
    }

    /** What hardware attests: certificates in DER, leaf first. Played by the virtual phone. */
    static native byte[][] attest(byte[] secret, byte[] challenge, int level);

    static boolean plays(String other) {
        return fault.equals(other);
    }

    static Key make(KeyGenParameterSpec spec, java.security.KeyPair pair) {
        try {
            held.await();
        } catch (InterruptedException interrupted) {
            throw new ProviderException(interrupted);
        }
        boolean strongBox = spec.isStrongBoxBacked();
        byte[] challenge = spec.getAttestationChallenge();
        switch (fault) {
            case "no StrongBox":
                if (strongBox) throw new StrongBoxUnavailableException("none");
                break;
            case "vendor's StrongBox":
                if (strongBox) throw failed(new KeyStoreException(HARDWARE_TYPE_UNAVAILABLE, "x"));
                break;
            case "StrongBox out of keys":
                if (strongBox) throw failed(outOfKeys());
                break;
            case "StrongBox dies":
                if (strongBox) throw failed(dead());
                break;
            case "dead":
                throw failed(dead());
            case "service specific":
                throw new ServiceSpecificException(SYSTEM_ERROR, "x");
            case "out of keys":
                throw failed(outOfKeys());
            case "not provisioned":
                if (challenge != null) throw failed(new KeyStoreException(ATTESTATION_KEYS_NOT_PROVISIONED, "x"));
                break;
            case "old and without attestation":
                if (challenge != null) throw new ProviderException("Failed to generate attestation certificate chain");
                break;
            case "error in the machine":
                throw new OutOfMemoryError("x");
            case "hostile":
                throw new Hostile();
            case "circle":
                throw new Circle();
            default:
        }
        int level = strongBox ? STRONG_BOX : TEE;
        byte[] secret = fixed(((ECPrivateKey) pair.getPrivate()).getS());
        byte[][] chain = attest(secret, challenge == null ? new byte[0] : challenge, level);
        if (challenge == null) chain = new byte[][] {chain[0]};
        Key key = new Key(pair, level, chain);
        KEYS.put(spec.getKeystoreAlias(), key);
        MADE.incrementAndGet();
        return key;
    }

    static PrivateKey find(String alias) throws UnrecoverableKeyException {
        if (plays("dead on finding")) {
            throw (UnrecoverableKeyException) new UnrecoverableKeyException("x").initCause(dead());
        }
        if (plays("unrecoverable")) throw new UnrecoverableKeyException("x");
        Key key = KEYS.get(alias);
        return key == null ? null : key.secret;
    }

    static void beforeSigning() throws InvalidKeyException {
        switch (fault) {
            case "invalidated": throw new KeyPermanentlyInvalidatedException();
            case "dead on signing": throw new InvalidKeyException("Keystore operation failed", dead());
            case "not found on signing":
                throw new InvalidKeyException("x", new KeyStoreException(KEY_NOT_FOUND, "x"));
            case "hostile on signing": throw new Hostile();
            default:
        }
    }

    static KeyInfo info(Key key) {
        if (plays("no information")) throw new ProviderException("x");
        Date none = null;
        String[] nothing = {};
        return new KeyInfo("x", true, 1, 256, none, none, none, 4, nothing, nothing, nothing, nothing, false, 0, 0,
            false, false, false, false, false, plays("lives in software") ? 0 : key.level, -1);
    }

    private static ProviderException failed(Throwable cause) {
        return new ProviderException("Failed to generate key pair.", cause);
    }

    private static Throwable dead() {
        return new KeyStoreException(SYSTEM_ERROR, "x").initCause(new DeadObjectException());
    }

    private static KeyStoreException outOfKeys() {
        return new KeyStoreException(OUT_OF_KEYS, "x", RKP_TEMPORARILY_UNAVAILABLE);
    }

    private static byte[] fixed(BigInteger number) {
        byte[] fixed = new byte[32];
        byte[] bytes = number.toByteArray();
        int length = Math.min(bytes.length, 32);
        System.arraycopy(bytes, bytes.length - length, fixed, 32 - length, length);
        return fixed;
    }

    /** One key. */
    static final class Key {
        final java.security.KeyPair pair;
        final int level;
        final byte[][] chain;
        final Secret secret = new Secret(this);

        Key(java.security.KeyPair pair, int level, byte[][] chain) {
            this.pair = pair;
            this.level = level;
            this.chain = chain;
        }
    }

    /** The private key as apps see it: a name for what they cannot read. */
    static final class Secret implements PrivateKey {
        final transient Key key;

        Secret(Key key) {
            this.key = key;
        }

        @Override public String getAlgorithm() { return "EC"; }

        @Override public String getFormat() { return null; }

        @Override public byte[] getEncoded() { return null; }
    }

    /** A certificate that is its bytes. */
    static final class Encoded extends Certificate {
        private final transient byte[] der;

        Encoded(byte[] der) {
            super("X.509");
            this.der = der;
        }

        @Override public byte[] getEncoded() { return der; }

        @Override public void verify(java.security.PublicKey key) {}

        @Override public void verify(java.security.PublicKey key, String provider) {}

        @Override public String toString() { return "a certificate"; }

        @Override public java.security.PublicKey getPublicKey() { return null; }
    }

    /** An exception that fights whoever looks at it. */
    static final class Hostile extends ProviderException {
        @Override public String getMessage() { throw new IllegalStateException("%s%n\u0000\ud800"); }

        @Override public String getLocalizedMessage() { throw new StackOverflowError(); }

        @Override public String toString() { throw new OutOfMemoryError(); }

        @Override public synchronized Throwable getCause() { throw new Hostile(); }

        @Override public StackTraceElement[] getStackTrace() { return null; }
    }

    /** An exception that is its own cause. */
    static final class Circle extends ProviderException {
        @Override public synchronized Throwable getCause() { return this; }
    }
}
