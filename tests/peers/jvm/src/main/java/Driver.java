import ch.veehait.devicecheck.appattest.AppleAppAttest;
import ch.veehait.devicecheck.appattest.attestation.AttestationValidator;
import ch.veehait.devicecheck.appattest.assertion.AssertionValidator;
import ch.veehait.devicecheck.appattest.common.App;
import ch.veehait.devicecheck.appattest.common.AppleAppAttestEnvironment;
import ch.veehait.devicecheck.appattest.receipt.Receipt;
import ch.veehait.devicecheck.appattest.receipt.ReceiptValidator;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.management.OperatingSystemMXBean;
import com.webauthn4j.anchor.TrustAnchorRepository;
import com.webauthn4j.appattest.DeviceCheckManager;
import com.webauthn4j.appattest.authenticator.DCAppleDeviceImpl;
import com.webauthn4j.appattest.data.DCAssertionParameters;
import com.webauthn4j.appattest.data.DCAssertionRequest;
import com.webauthn4j.appattest.data.DCAttestationParameters;
import com.webauthn4j.appattest.data.DCAttestationRequest;
import com.webauthn4j.appattest.data.attestation.statement.AppleAppAttestAttestationStatement;
import com.webauthn4j.appattest.server.DCServerProperty;
import com.webauthn4j.data.attestation.authenticator.AAGUID;
import com.webauthn4j.data.attestation.authenticator.AttestedCredentialData;
import com.webauthn4j.data.attestation.authenticator.EC2COSEKey;
import com.webauthn4j.data.attestation.statement.AttestationCertificatePath;
import com.webauthn4j.data.client.challenge.DefaultChallenge;
import com.webauthn4j.verifier.attestation.trustworthiness.certpath.DefaultCertPathTrustworthinessVerifier;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.reflect.Field;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.cert.CertificateFactory;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import kotlin.coroutines.EmptyCoroutineContext;
import kotlinx.coroutines.BuildersKt;
import kotlinx.io.bytestring.ByteString;
import org.multipaz.crypto.X509Cert;
import org.multipaz.crypto.X509CertChain;
import org.multipaz.device.AndroidKeystoreSecurityLevel;
import org.multipaz.util.ValidateAndroidKeyAttestationKt;

/** Runs a library of the JVM over the corpus: LIBRARY FOLDER TIME [SECONDS CASE...]. See ../README.md. */
public final class Driver {
    private interface Judge {
        void judge(JsonNode input) throws Throwable;
    }

    private interface Call {
        void run() throws Throwable;
    }

    /** How much longer than a measurement the time to warm up is. */
    private static final double WARM_UP = 20;

    private final String folder;
    /** Seconds since 1970; null where every case is judged at its own time. */
    private final Long time;
    private final List<String> bench;
    private final Map<String, List<Call>> measured = new LinkedHashMap<>();

    private Driver(String folder, Long time, List<String> bench) {
        this.folder = folder;
        this.time = time;
        this.bench = bench;
    }

    public static void main(String[] arguments) throws Throwable {
        List<String> rest = Arrays.asList(arguments).subList(3, arguments.length);
        Driver driver = new Driver(arguments[1], arguments[2].equals("all") ? null : Long.valueOf(arguments[2]), rest);
        switch (arguments[0]) {
            case "devicecheck-appattest" -> driver.devicecheck();
            case "webauthn4j-appattest" -> driver.webauthn4j();
            case "multipaz" -> driver.multipaz();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        if (!rest.isEmpty()) {
            driver.measure();
        }
        System.exit(0);
    }

    /** ch.veehait.devicecheck:devicecheck-appattest; its clock and its root are arguments, receipts are left out. */
    private void devicecheck() throws Throwable {
        JsonNode manifest = read("app-attest");
        App app = new App(manifest.at("/policy/team_id").asText(), manifest.at("/policy/bundle_id").asText());
        AppleAppAttest appAttest = new AppleAppAttest(app, AppleAppAttestEnvironment.PRODUCTION);
        Clock[] clock = {Clock.systemUTC()};
        // The virtual phones write no receipts that are one.
        Receipt none = (Receipt) unsafe().allocateInstance(Receipt.class);
        ReceiptValidator receipts = (ReceiptValidator) Proxy.newProxyInstance(
            Driver.class.getClassLoader(), new Class<?>[] {ReceiptValidator.class},
            (proxy, method, values) -> switch (method.getName()) {
                case "getClock" -> clock[0];
                case "getMaxAge" -> Duration.ofDays(1);
                case "getTrustAnchor" -> ReceiptValidator.APPLE_PUBLIC_ROOT_CA_G3_BUILTIN_TRUST_ANCHOR;
                case "getApp" -> app;
                default -> none;
            });
        TrustAnchor root = new TrustAnchor(root(manifest), null);
        run("app-attest", manifest, input -> {
            clock[0] = Clock.fixed(Instant.ofEpochSecond(input.get("verify_at").asLong()), ZoneOffset.UTC);
            AttestationValidator attestations = appAttest.createAttestationValidator(root, clock[0], receipts);
            attestations.validate(
                bytes(input, "attestation_object"), input.get("key_id").asText(), text(input, "client_data"));
        });
        // That the challenge is the right one is for the caller to say; what is signed is compared all the same.
        AssertionValidator assertions = appAttest.createAssertionValidator((assertion, data, key, challenge) -> true);
        run("app-attest-assertion", read("app-attest-assertion"), input -> assertions.validate(
            bytes(input, "assertion"), text(input, "client_data"), publicKey(input),
            input.get("previous_counter").asLong(), text(input, "client_data")));
    }

    /** com.webauthn4j:webauthn4j-appattest; it reads the system's clock. */
    private void webauthn4j() throws Throwable {
        JsonNode manifest = read("app-attest");
        Set<TrustAnchor> anchors = Set.of(new TrustAnchor(root(manifest), null));
        TrustAnchorRepository repository = new TrustAnchorRepository() {
            @Override
            public Set<TrustAnchor> find(AAGUID aaguid) {
                return anchors;
            }

            @Override
            public Set<TrustAnchor> find(byte[] keyIdentifier) {
                return anchors;
            }
        };
        DeviceCheckManager manager = new DeviceCheckManager(new DefaultCertPathTrustworthinessVerifier(repository));
        manager.getAttestationDataValidator().setProduction(true);
        String appId = manifest.at("/policy/app_id").asText();
        run("app-attest", manifest, input -> {
            DCServerProperty server = new DCServerProperty(appId, new DefaultChallenge(text(input, "client_data")));
            manager.validate(
                new DCAttestationRequest(
                    bytes(input, "key_id"), bytes(input, "attestation_object"), bytes(input, "client_data_hash")),
                new DCAttestationParameters(server));
        });
        AppleAppAttestAttestationStatement statement =
            new AppleAppAttestAttestationStatement(new AttestationCertificatePath(), new byte[0]);
        AAGUID aaguid = new AAGUID("appattest\0\0\0\0\0\0\0".getBytes(StandardCharsets.US_ASCII));
        run("app-attest-assertion", read("app-attest-assertion"), input -> {
            DCServerProperty server = new DCServerProperty(appId, new DefaultChallenge(text(input, "client_data")));
            AttestedCredentialData credential = new AttestedCredentialData(
                aaguid, bytes(input, "key_id"), EC2COSEKey.createFromUncompressedECCKey(bytes(input, "public_key")));
            manager.validate(
                new DCAssertionRequest(
                    bytes(input, "key_id"), bytes(input, "assertion"), bytes(input, "client_data_hash")),
                new DCAssertionParameters(server, new DCAppleDeviceImpl(
                    credential, statement, input.get("previous_counter").asLong(), null)));
        });
    }

    /** org.multipaz:multipaz-jvm; its roots are a private map, to which the corpus' is added. */
    private void multipaz() throws Throwable {
        JsonNode manifest = read("android-key");
        X509Cert root = X509Cert.Companion.fromPem(manifest.at("/roots/0").asText());
        Field roots = ValidateAndroidKeyAttestationKt.class.getDeclaredField("GOOGLE_ATTESTATION_ROOT_CERTIFICATES");
        roots.setAccessible(true);
        @SuppressWarnings("unchecked")
        Map<Object, Object> known = (Map<Object, Object>) roots.get(null);
        known.put(root.getSubject(), root);
        ByteString digest = byteString(Base64.getDecoder().decode(manifest.at("/policy/signing_digests/0").asText()));
        Set<ByteString> digests = Set.of(digest);
        Set<String> packages = Set.of(manifest.at("/policy/package").asText());
        run("android-key", manifest, input -> {
            List<X509Cert> certificates = new ArrayList<>();
            for (JsonNode certificate : input.get("chain")) {
                certificates.add(new X509Cert(byteString(Base64.getDecoder().decode(certificate.asText()))));
            }
            X509CertChain chain = new X509CertChain(certificates);
            ByteString challenge = byteString(bytes(input, "challenge"));
            long verifyAt = input.get("verify_at").asLong();
            kotlin.time.Instant now = kotlin.time.Instant.Companion.fromEpochSeconds(verifyAt, 0);
            BuildersKt.runBlocking(EmptyCoroutineContext.INSTANCE, (scope, continuation) ->
                ValidateAndroidKeyAttestationKt.validateAndroidKeyAttestation(
                    chain, challenge, true, true, AndroidKeystoreSecurityLevel.TRUSTED_ENVIRONMENT, digests, packages,
                    now, true, continuation));
        });
    }

    private void run(String family, JsonNode manifest, Judge judge) throws Throwable {
        for (JsonNode input : manifest.get("cases")) {
            String name = family + "/" + input.get("id").asText();
            if (bench.isEmpty() && (time == null || input.get("verify_at").asLong() == time)) {
                String answer = "accept";
                try {
                    judge.judge(input);
                } catch (Throwable refused) {
                    answer = "reject";
                    if (System.getenv("PEER_REASONS") != null) {
                        System.err.println(name + " " + refused);
                    }
                }
                System.out.println(name + " " + answer);
            } else if (!bench.isEmpty() && bench.subList(1, bench.size()).contains(name.split("~")[0])) {
                measured.computeIfAbsent(name.split("~")[0], kind -> new ArrayList<>()).add(() -> judge.judge(input));
            }
        }
    }

    /** `NAME CALLS SECONDS` for every chosen case, and `end`: once to warm up, and then for every line that is read. */
    private void measure() throws Throwable {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        double seconds = Double.parseDouble(bench.get(0));
        // The compiler of the JVM needs its time.
        double limit = WARM_UP * seconds;
        do {
            for (Map.Entry<String, List<Call>> entry : measured.entrySet()) {
                System.out.println(entry.getKey() + " " + measure(limit, entry.getValue()));
            }
            System.out.println("end");
            limit = seconds;
        } while (lines.readLine() != null);
    }

    /**
     * How many calls accepted (others throw) in about so many seconds of the processor's time, and in how many exactly.
     * The time is that of all threads: the collector and the compiler work for the library too.
     */
    private static String measure(double limit, List<Call> ofPhones) throws Throwable {
        OperatingSystemMXBean system =
            (OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean();
        long start = system.getProcessCpuTime();
        int calls = 0;
        while (system.getProcessCpuTime() - start < limit * 1e9) {
            for (int i = 0; i < 16; i++) {
                ofPhones.get(calls % ofPhones.size()).run();
                calls++;
            }
        }
        return calls + " " + (system.getProcessCpuTime() - start) / 1e9;
    }

    private JsonNode read(String family) throws Exception {
        return new ObjectMapper().readTree(new File(folder, family + ".json"));
    }

    private static X509Certificate root(JsonNode manifest) throws Exception {
        byte[] pem = manifest.at("/roots/0").asText().getBytes(StandardCharsets.US_ASCII);
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(pem));
    }

    private static ECPublicKey publicKey(JsonNode input) throws Exception {
        return (ECPublicKey) KeyFactory.getInstance("EC")
            .generatePublic(new X509EncodedKeySpec(bytes(input, "public_key_spki")));
    }

    private static byte[] bytes(JsonNode input, String name) {
        return Base64.getDecoder().decode(input.get(name).asText());
    }

    private static byte[] text(JsonNode input, String name) {
        return input.get(name).asText().getBytes(StandardCharsets.UTF_8);
    }

    private static ByteString byteString(byte[] bytes) {
        return new ByteString(bytes, 0, bytes.length);
    }

    private static sun.misc.Unsafe unsafe() throws Exception {
        Field field = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
        field.setAccessible(true);
        return (sun.misc.Unsafe) field.get(null);
    }
}
