@file:JvmName("CountersignOkHttp")

package dev.countersign.okhttp

import dev.countersign.Countersign
import okhttp3.OkHttpClient

/**
 * Proves this client's requests to the APIs that [countersign] names, and answers what their edges ask for, once for each
 * request. Requests to other hosts pass as they are.
 *
 * Each hop of a redirect is proven by itself, for its own host or not at all. The credential is the one that leaves: of
 * the `Authorization` field, or else `X-API-Key`, whoever added it. Bodies in memory are covered by the proof, up to 1 MiB
 * and before a content coding; one that can be written once only is not, and is never sent again.
 * A request with an OAuth client's fields of the app's own ([Countersign.authenticateClient]) passes with these alone.
 * The upgrade of a WebSocket is not proven: OkHttp shows it to no network interceptor.
 *
 * For Java: `CountersignOkHttp.install(builder, countersign)`.
 */
@JvmName("install")
public fun OkHttpClient.Builder.countersign(countersign: Countersign): OkHttpClient.Builder =
    // Two, because OkHttp lets only the outer one repeat a request, and shows only the inner one each hop.
    addInterceptor(Resend(countersign)).addNetworkInterceptor(ProveHop(countersign))
