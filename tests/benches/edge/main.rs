//! Requests through whole stacks with the check, beside the same stacks without it and beside what a gateway does by
//! itself: requests a second on one core, the processor's time of each, and latencies at half of that rate.
//!
//! `cargo xtask bench edge` installs the gateways, builds `countersign`, and runs this. All programs under measurement
//! share one core; the client has the other. Every stack is measured in turn, round after round, so that a busy machine
//! slows all alike. With `--rounds N` and `--requests N` less is measured, to see whether it works.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "prints its table; borrows a module of a test"
)]

#[path = "../../tests/gateways/gateway.rs"]
mod gateway;
mod load;
mod process;
mod requests;
mod serve;
mod stack;

use std::time::Duration;

use gateway::Gateway;
use load::Pace;
use requests::Crowd;
use stack::{Filter, Service, Stack};

/// Connections of a client that sends as fast as it can.
const BUSY: usize = 16;
/// Connections of a client that keeps a rate: more than are ever waiting at once.
const STEADY: usize = 64;
/// Seconds that a rate is kept.
const STEADY_SECONDS: f64 = 2.0;

struct Plan {
    rounds: usize,
    requests: usize,
}

#[derive(Default)]
struct Measured {
    /// Requests a second.
    rates: Vec<f64>,
    /// Microseconds of the gateway or server, for each request.
    own: Vec<f64>,
    /// The same of the service that it asks.
    asked: Vec<f64>,
    latencies: Vec<Duration>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == "--serve") {
        return serve::run(&arguments[1..]);
    }
    let number = |name: &str, unless: usize| {
        let value = arguments.iter().skip_while(|argument| *argument != name).nth(1);
        value.map_or(unless, |value| value.parse().expect("a number"))
    };
    let plan = Plan { rounds: number("--rounds", 5), requests: number("--requests", 6000) };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (api, _api) = stack::api(folder);
    let services = ["nginx", "envoy-http", "envoy-grpc"].map(|gateway| Service::start(folder, gateway));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let crowds: Vec<Crowd> =
        services.iter().map(|service| runtime.block_on(Crowd::enrol(service.public))).collect();
    let through = |name, gateway, filter, number: usize| {
        stack::gateway(folder, name, gateway, filter, (number, &services[number]), api)
    };
    let jwt_authn = |remembers| Filter::JwtAuthn { remembers };
    let stacks = [
        stack::axum(folder, "axum", false, 0, &services[0]),
        stack::axum(folder, "axum and our layer", true, 0, &services[0]),
        through("nginx", Gateway::Nginx, Filter::None, 0),
        through("nginx asks our edge", Gateway::Nginx, Filter::Check, 0),
        through("Envoy", Gateway::EnvoyHttp, Filter::None, 1),
        through("Envoy asks our edge, HTTP", Gateway::EnvoyHttp, Filter::Check, 1),
        through("Envoy asks our edge, gRPC", Gateway::EnvoyGrpc, Filter::Check, 2),
        through("Envoy's jwt_authn, ES256", Gateway::EnvoyHttp, jwt_authn(false), 1),
        through("Envoy's jwt_authn, jwt_cache", Gateway::EnvoyHttp, jwt_authn(true), 1),
    ];
    let mut measured: Vec<Measured> = stacks.iter().map(|_| Measured::default()).collect();
    // One round more, to warm up.
    for round in 0..=plan.rounds {
        for (stack, measured) in stacks.iter().zip(&mut measured) {
            let (service, crowd) = (&services[stack.service], &crowds[stack.service]);
            let sample = sample(stack, service, crowd, &plan);
            if round > 0 {
                measured.add(sample);
            }
        }
        eprintln!("round {round} of {}", plan.rounds);
    }
    print(&stacks, &mut measured);
}

fn sample(stack: &Stack, service: &Service, crowd: &Crowd, plan: &Plan) -> Measured {
    let requests = crowd.requests(stack.carries, plan.requests);
    let before = (stack.process.time_on_core(), service.process.time_on_core());
    let busy = load::run(stack.address, BUSY, &requests, Pace::Closed);
    let own = stack.process.time_on_core() - before.0;
    let asked = service.process.time_on_core() - before.1;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / requests.len() as f64;
    let rate = requests.len() as f64 / busy.elapsed.as_secs_f64();
    let steady = ((rate / 2.0 * STEADY_SECONDS) as usize).min(2 * plan.requests);
    let steady = crowd.requests(stack.carries, steady);
    let steady = load::run(stack.address, STEADY, &steady, Pace::Open(rate / 2.0));
    Measured {
        rates: vec![rate],
        own: vec![each(own)],
        asked: vec![if stack.asks_service { each(asked) } else { 0.0 }],
        latencies: steady.latencies,
    }
}

impl Measured {
    fn add(&mut self, other: Self) {
        self.rates.extend(other.rates);
        self.own.extend(other.own);
        self.asked.extend(other.asked);
        self.latencies.extend(other.latencies);
    }
}

fn print(stacks: &[Stack], measured: &mut [Measured]) {
    println!(
        "| stack | requests a second, one core | CPU of each: gateway or server | and of `countersign` | the check \
         adds | p50 at half load | p99 | p99.9 |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    let totals: Vec<f64> = measured
        .iter()
        .map(|measured| {
            let pairs = measured.own.iter().zip(&measured.asked);
            median(&pairs.map(|(own, asked)| own + asked).collect::<Vec<_>>())
        })
        .collect();
    for ((stack, measured), total) in stacks.iter().zip(measured).zip(&totals) {
        let beside = stack.beside.and_then(|name| stacks.iter().position(|stack| stack.name == name));
        let adds = beside.map(|index| format!("{:.1} us", total - totals[index])).unwrap_or_default();
        let asked = if stack.asks_service { shown(&measured.asked, "us") } else { String::new() };
        measured.latencies.sort();
        let latency = |share: f64| {
            let rank = (measured.latencies.len() as f64 * share).ceil() as usize;
            measured.latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default().as_micros()
        };
        println!(
            "| {} | {} | {} | {asked} | {adds} | {} us | {} us | {} us |",
            stack.name,
            shown(&measured.rates, ""),
            shown(&measured.own, "us"),
            latency(0.5),
            latency(0.99),
            latency(0.999)
        );
    }
}

/// Median, least and most.
fn shown(samples: &[f64], unit: &str) -> String {
    let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let most = samples.iter().copied().fold(0.0, f64::max);
    let digits = usize::from(unit == "us");
    format!("{:.digits$} ({least:.digits$} to {most:.digits$}) {unit}", median(samples)).trim_end().to_owned()
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
