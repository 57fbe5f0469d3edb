import CountersignBindings

/// Pauses, as long as the task that waits is not cancelled. Time spent suspended counts where the system counts it.
final class TaskTimer: CountersignBindings.Timer {
    func sleep(millis: UInt64) async {
        let (nanoseconds, overflow) = millis.multipliedReportingOverflow(by: 1_000_000)
        // Cancelled: nobody waits any more.
        try? await Task.sleep(nanoseconds: overflow ? UInt64(Int64.max) : min(nanoseconds, UInt64(Int64.max)))
    }
}
