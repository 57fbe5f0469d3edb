//! What the most expensive inputs of allowed size cost, beside the good ones that the same code takes every day.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "prints its table")]

#[allow(dead_code, reason = "what is counted is for the test")]
mod hostile_inputs;

use std::time::Instant;

use hostile_inputs::Case;

const ROUNDS: usize = 25;

fn main() {
    println!("{:<84} {:>10} {:>10} {:>7}", "worst input", "worst", "good", "ratio");
    for case in hostile_inputs::cases() {
        let Case { name, good, worst, .. } = &case;
        let (mut for_good, mut for_worst) = (Vec::new(), Vec::new());
        // In turn, so that a busy machine slows both alike.
        for _ in 0..ROUNDS {
            for_good.push(seconds(good));
            for_worst.push(seconds(worst));
        }
        let (good, worst) = (least(&for_good), least(&for_worst));
        let ratio = worst / good;
        let mark = if ratio > 5.0 { "  more than five times" } else { "" };
        println!("{name:<84} {:>7.0} us {:>7.0} us {ratio:>6.2}x{mark}", worst * 1e6, good * 1e6);
    }
}

fn seconds(body: &dyn Fn() -> bool) -> f64 {
    let start = Instant::now();
    std::hint::black_box(body());
    start.elapsed().as_secs_f64()
}

/// Whatever else runs on the machine only adds.
fn least(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}
