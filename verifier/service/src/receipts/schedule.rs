//! When a receipt is exchanged next. Apple says from when on; failures wait longer each time; and nobody comes back
//! at the same second as everybody else.

use countersign_core::time::Timestamp;
use countersign_verifier::evidence::app_attest::receipt::Receipt;

use super::Failure;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// What the first exchange after an enrolment, and each after its time has come, is spread over.
const SPREAD: u64 = HOUR;

/// When a new receipt is due. `random` spreads it.
pub(super) fn after(receipt: &Receipt, now: Timestamp, random: u16) -> Timestamp {
    let earliest = receipt.exchangeable_from().max(now);
    earliest.plus(part_of(SPREAD, random))
}

/// When a receipt is due again whose exchange has failed, for the `failures`th time in a row.
pub(super) fn after_failure(failure: Failure, failures: u32, now: Timestamp, random: u16) -> Timestamp {
    let (first, longest) = match failure {
        // Apple says that the time has not come, not when it comes.
        Failure::TooEarly => (6 * HOUR, 6 * HOUR),
        Failure::Unavailable => (MINUTE, 6 * HOUR),
        // The next try would come to the same, until somebody changes the settings.
        Failure::Unauthorised => (HOUR, DAY),
        Failure::Refused(_) | Failure::Unusable(_) => (6 * HOUR, 7 * DAY),
    };
    let doublings = failures.saturating_sub(1).min(20);
    let wait = (first << doublings).min(longest);
    now.plus(wait).plus(part_of(wait / 4, random))
}

/// A part of `seconds`.
const fn part_of(seconds: u64, random: u16) -> u64 {
    seconds * random as u64 / (u16::MAX as u64 + 1)
}

#[cfg(test)]
mod tests {
    use countersign_verifier::evidence::app_attest::receipt::ReceiptError;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    #[test]
    fn waits_double_up_to_their_longest() {
        let wait = |failures| after_failure(Failure::Unavailable, failures, NOW, 0).seconds_since(NOW);
        assert_eq!([wait(0), wait(1), wait(2), wait(3)], [60, 60, 120, 240]);
        assert_eq!([wait(10), wait(100), wait(u32::MAX)], [6 * HOUR; 3]);
    }

    #[test]
    fn randomness_adds_at_most_a_quarter() {
        for failure in [
            Failure::TooEarly,
            Failure::Unavailable,
            Failure::Unauthorised,
            Failure::Refused(404),
            Failure::Unusable(ReceiptError::OtherKey),
        ] {
            let wait = |random| after_failure(failure, 1, NOW, random).seconds_since(NOW);
            assert!(wait(u16::MAX) > wait(0) && wait(u16::MAX) < wait(0) * 5 / 4, "{failure:?}");
        }
    }
}
