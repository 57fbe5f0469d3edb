package dev.countersign

import java.util.concurrent.CompletableFuture
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.future.future

/** [Countersign] for Java. A future that is cancelled ends the waiting, and not an enrolment that others wait for. */
public class CountersignFutures internal constructor(private val countersign: Countersign) {
    // Waits and nothing else: the work has a scope of its own.
    private val waiting = CoroutineScope(Dispatchers.Default)

    /** As [Countersign.prove]. */
    public fun prove(request: ApiRequest): CompletableFuture<Proof> = waiting.future { countersign.prove(request) }

    /** As [Countersign.proveWithInstanceKey]. */
    public fun proveWithInstanceKey(request: ApiRequest): CompletableFuture<Proof> =
        waiting.future { countersign.proveWithInstanceKey(request) }

    /** As [Countersign.refresh]. */
    public fun refresh(): CompletableFuture<Void?> = waiting.future {
        countersign.refresh()
        null
    }

    /** As [Countersign.authenticateClient]. */
    public fun authenticateClient(proof: ClientProof): CompletableFuture<Proof> =
        waiting.future { countersign.authenticateClient(proof) }

    /** As [Countersign.standing]. */
    public fun standing(): CompletableFuture<Standing> = waiting.future { countersign.standing() }

    /** As [Countersign.developmentKey]. */
    public fun developmentKey(): CompletableFuture<DevelopmentKey?> = waiting.future { countersign.developmentKey() }
}
