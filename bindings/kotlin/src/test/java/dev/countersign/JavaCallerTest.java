package dev.countersign;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.countersign.okhttp.CountersignOkHttp;
import java.io.File;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import org.junit.jupiter.api.Test;

/** The face as Java sees it. */
class JavaCallerTest {
    private static Countersign device(String api) {
        File folder = RealService.INSTANCE.deviceFolder();
        return Countersign.builder(RealService.INSTANCE.getIssuer(), "com.example.app")
                .api(api)
                .appVersion("1.0")
                .development(folder)
                .build();
    }

    @Test
    void futuresServeJava() throws Exception {
        try (Countersign countersign = device("https://api.example")) {
            ApiRequest request = new ApiRequest("GET", "https://api.example/orders");
            Proof proof = countersign.futures().prove(request).get(30, TimeUnit.SECONDS);
            assertEquals(2, proof.getFields().size());
            countersign.futures().refresh().get(30, TimeUnit.SECONDS);
            assertNotNull(countersign.futures().standing().get().getInstance());
            Proof client = countersign.futures().authenticateClient(ClientProof.pop("https://login.example")).get();
            assertEquals(2, client.getFields().size());
        }
    }

    @Test
    void aFutureFailsWithTheTypedError() {
        try (Countersign countersign = device("https://api.example")) {
            ApiRequest request = new ApiRequest("GET", "https://evil.example/");
            ExecutionException failure =
                    assertThrows(ExecutionException.class, () -> countersign.futures().prove(request).get());
            CountersignException why = assertInstanceOf(CountersignException.UnknownOrigin.class, failure.getCause());
            assertEquals("unknown_origin", why.getReason());
        }
    }

    @Test
    void interceptorsAreInstalledFromJava() throws Exception {
        try (Api api = new Api(new okhttp3.mockwebserver.MockResponse());
                Countersign countersign = device(api.getOrigin())) {
            OkHttpClient client = CountersignOkHttp.install(new OkHttpClient.Builder(), countersign).build();
            try (Response response = client.newCall(new Request.Builder().url(api.getOrigin()).build()).execute()) {
                assertEquals(200, response.code());
            }
            assertNotNull(api.requests(1).get(0).getHeader("Attestation-Proof"));
        }
    }

    @Test
    void googlesCallMayBlockInJava() {
        assertNotNull(PlayIntegrityProvider.blocking(requestHash -> "token for " + requestHash));
    }
}
