package dev.countersign.phone;

import android.security.keystore.KeyGenParameterSpec;
import java.io.InputStream;
import java.io.OutputStream;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.KeyFactorySpi;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyPairGeneratorSpi;
import java.security.KeyStoreSpi;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.SignatureException;
import java.security.SignatureSpi;
import java.security.UnrecoverableKeyException;
import java.security.cert.Certificate;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.KeySpec;
import java.util.Date;
import java.util.Enumeration;

/** Plays Android's key store: the interfaces of the JCA before {@link VirtualKeyStore}. */
public final class KeyStoreProvider extends Provider {
    public KeyStoreProvider() {
        super("AndroidKeyStore", "1", "a virtual phone's key store");
        put("KeyStore.AndroidKeyStore", Store.class.getName());
        put("KeyPairGenerator.EC", Generator.class.getName());
        put("KeyFactory.EC", Factory.class.getName());
    }

    /** On Android, too, keys sign by a provider of another name. */
    public static final class Workaround extends Provider {
        public Workaround() {
            super("AndroidKeyStoreBCWorkaround", "1", "signs with keys of a virtual phone");
            put("Signature.SHA256withECDSA", Signer.class.getName());
            put("Signature.SHA256withECDSA SupportedKeyClasses", VirtualKeyStore.Secret.class.getName());
        }
    }

    /** Puts both where programs find them. */
    public static void install() {
        java.security.Security.addProvider(new KeyStoreProvider());
        java.security.Security.addProvider(new Workaround());
    }

    public static final class Generator extends KeyPairGeneratorSpi {
        private KeyGenParameterSpec spec;

        @Override public void initialize(int size, SecureRandom random) { throw new UnsupportedOperationException(); }

        @Override public void initialize(AlgorithmParameterSpec spec, SecureRandom random)
                throws InvalidAlgorithmParameterException {
            if (VirtualKeyStore.plays("no such curve")) throw new InvalidAlgorithmParameterException("x");
            this.spec = (KeyGenParameterSpec) spec;
            String curve = ((ECGenParameterSpec) this.spec.getAlgorithmParameterSpec()).getName();
            boolean asAgreed = this.spec.getPurposes() == 4 && curve.equals("secp256r1")
                && java.util.Arrays.equals(this.spec.getDigests(), new String[] {"SHA-256"});
            if (!asAgreed) throw new InvalidAlgorithmParameterException("not for signing alone");
        }

        @Override public KeyPair generateKeyPair() {
            if (VirtualKeyStore.plays("null pair")) return null;
            try {
                KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "SunEC");
                generator.initialize(new ECGenParameterSpec("secp256r1"));
                KeyPair pair = generator.generateKeyPair();
                VirtualKeyStore.Key key = VirtualKeyStore.make(spec, pair);
                PublicKey shown = pair.getPublic();
                if (VirtualKeyStore.plays("key of another curve")) {
                    generator.initialize(new ECGenParameterSpec("secp384r1"));
                    shown = generator.generateKeyPair().getPublic();
                }
                return new KeyPair(VirtualKeyStore.plays("null public key") ? null : shown, key.secret);
            } catch (java.security.GeneralSecurityException impossible) {
                throw new IllegalStateException(impossible);
            }
        }
    }

    public static final class Store extends KeyStoreSpi {
        @Override public Key engineGetKey(String alias, char[] password) throws UnrecoverableKeyException {
            return VirtualKeyStore.find(alias);
        }

        @Override public Certificate[] engineGetCertificateChain(String alias) {
            VirtualKeyStore.Key key = VirtualKeyStore.KEYS.get(alias);
            if (key == null || VirtualKeyStore.plays("null chain")) return null;
            byte[][] chain = key.chain;
            int length = VirtualKeyStore.plays("endless chain") ? 1_000 : chain.length;
            Certificate[] certificates = new Certificate[length];
            for (int at = 0; at < length; at++) {
                certificates[at] = new VirtualKeyStore.Encoded(chain[Math.min(at, chain.length - 1)]);
            }
            if (VirtualKeyStore.plays("null in chain")) certificates[1] = null;
            if (VirtualKeyStore.plays("null certificate")) certificates[1] = new VirtualKeyStore.Encoded(null);
            if (VirtualKeyStore.plays("vast certificate")) {
                certificates[1] = new VirtualKeyStore.Encoded(new byte[10_000_000]);
            }
            return certificates;
        }

        @Override public void engineDeleteEntry(String alias) { VirtualKeyStore.KEYS.remove(alias); }

        @Override public void engineLoad(InputStream stream, char[] password) {}

        @Override public void engineLoad(java.security.KeyStore.LoadStoreParameter parameter) {}

        @Override public boolean engineContainsAlias(String alias) { return VirtualKeyStore.KEYS.containsKey(alias); }

        @Override public int engineSize() { return VirtualKeyStore.KEYS.size(); }

        @Override public Certificate engineGetCertificate(String alias) { throw new UnsupportedOperationException(); }

        @Override public Date engineGetCreationDate(String alias) { throw new UnsupportedOperationException(); }

        @Override public void engineSetKeyEntry(String alias, Key key, char[] password, Certificate[] chain) {
            throw new UnsupportedOperationException();
        }

        @Override public void engineSetKeyEntry(String alias, byte[] key, Certificate[] chain) {
            throw new UnsupportedOperationException();
        }

        @Override public void engineSetCertificateEntry(String alias, Certificate certificate) {
            throw new UnsupportedOperationException();
        }

        @Override public Enumeration<String> engineAliases() { throw new UnsupportedOperationException(); }

        @Override public boolean engineIsKeyEntry(String alias) { throw new UnsupportedOperationException(); }

        @Override public boolean engineIsCertificateEntry(String alias) { throw new UnsupportedOperationException(); }

        @Override public String engineGetCertificateAlias(Certificate certificate) {
            throw new UnsupportedOperationException();
        }

        @Override public void engineStore(OutputStream stream, char[] password) {
            throw new UnsupportedOperationException();
        }
    }

    public static final class Factory extends KeyFactorySpi {
        @Override protected <T extends KeySpec> T engineGetKeySpec(Key key, Class<T> as) {
            return as.cast(VirtualKeyStore.info(((VirtualKeyStore.Secret) key).key));
        }

        @Override protected PublicKey engineGeneratePublic(KeySpec spec) { throw new UnsupportedOperationException(); }

        @Override protected PrivateKey engineGeneratePrivate(KeySpec spec) {
            throw new UnsupportedOperationException();
        }

        @Override protected Key engineTranslateKey(Key key) { throw new UnsupportedOperationException(); }
    }

    public static final class Signer extends SignatureSpi {
        private Signature signer;

        @Override protected void engineInitSign(PrivateKey key) throws InvalidKeyException {
            VirtualKeyStore.beforeSigning();
            try {
                signer = Signature.getInstance("SHA256withECDSA", "SunEC");
            } catch (java.security.GeneralSecurityException impossible) {
                throw new IllegalStateException(impossible);
            }
            signer.initSign(((VirtualKeyStore.Secret) key).key.pair.getPrivate());
        }

        @Override protected void engineUpdate(byte octet) throws SignatureException { signer.update(octet); }

        @Override protected void engineUpdate(byte[] octets, int from, int length) throws SignatureException {
            signer.update(octets, from, length);
        }

        @Override protected byte[] engineSign() throws SignatureException {
            if (VirtualKeyStore.plays("signature fails")) throw new SignatureException("x");
            return VirtualKeyStore.plays("null signature") ? null : signer.sign();
        }

        @Override protected void engineInitVerify(PublicKey key) { throw new UnsupportedOperationException(); }

        @Override protected boolean engineVerify(byte[] signature) { throw new UnsupportedOperationException(); }

        @Override protected void engineSetParameter(String name, Object value) {
            throw new UnsupportedOperationException();
        }

        @Override protected Object engineGetParameter(String name) { throw new UnsupportedOperationException(); }
    }
}
