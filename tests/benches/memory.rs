//! What the edge's tables weigh, each by itself, and the whole edge under a crowd of genuine instances and under a flood of
//! made-up ones; and whether those who keep calling are still known.
//!
//! Nothing here is a matter of time, so the machine may be busy. `--instances N` for another crowd than 100,000.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "prints its table; borrows modules of a test"
)]

mod scene;
mod tables;

use countersign_verifier::check::limits::{Per, RateLimit};
use countersign_verifier::check::{Decision, Limits, Route};

use scene::{NOW, Scene, Sent, address};
use tables::Table;

const SIZE: usize = 4096;
/// Those who keep calling.
const REGULARS: u32 = 250;
/// One request in so many is a regular's.
const BETWEEN: u32 = 16;
/// Strangers a second: the replay set of default size has room for a little more.
const PER_SECOND: u32 = 1400;
/// Seconds after which a regular gets a new result and a new access token, which nobody knows yet.
const RENEWAL: u32 = 500;
/// The largest lists that an edge takes.
const DENIED: [(&str, u32, u32); 2] = [("instances", 490_000, 0), ("subjects", 0, 240_000)];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given = arguments.iter().skip_while(|argument| *argument != "--instances").nth(1);
    let instances = given.map_or(100_000, |given| given.parse().expect("a number"));

    let limits = Limits::default();
    println!("| table | entries at most, by default | bytes each | MB at most |\n| --- | --- | --- | --- |");
    let mut sum = 0.0;
    for table in Table::ALL {
        let most = table.most(limits);
        // As many as fit, and half as many again: what the first pushed out is gone.
        let room = if table == Table::FirstUses { SIZE } else { 2 * SIZE };
        let each = table.bytes(SIZE, (room + SIZE) as u32) / room as f64;
        sum += each * most as f64;
        println!("| {} | {most} | {each:.0} | {:.1} |", table.name(), each * most as f64 / 1e6);
    }
    println!("| all of them | | | {:.1} |", sum / 1e6);
    for (what, of_instances, of_subjects) in DENIED {
        let count = of_instances + of_subjects;
        let bytes = tables::deny_list_bytes(of_instances, of_subjects);
        println!("| deny list of {what} | {count} | {:.0} | {:.1} |", bytes / f64::from(count), bytes / 1e6);
    }
    println!(
        "\n| default sizes, five limits on the route | MB in the edge | regulars still known |\n| --- | --- | --- |"
    );
    let info = allocation_counter::measure(|| crowd(limits, instances));
    assert_eq!(info.count_current, 0, "nothing stays behind");
}

/// Genuine instances, each of which calls once; among them the regulars, in turn. Then a flood of made-up ones.
fn crowd(limits: Limits, instances: u32) {
    let per = |per| RateLimit::new(per, "10000/s".parse().unwrap(), 10_000).unwrap();
    let limits_of_route = [Per::Instance, Per::Subject, Per::Address, Per::Client, Per::Route].map(per);
    let route = Route { limits: limits_of_route.into(), ..Route::new("/") };
    let mut scene = None;
    let mut held =
        allocation_counter::measure(|| scene = Some(Scene::with_limits(limits, vec![route], None)))
            .bytes_current;
    let scene = scene.unwrap();
    println!("| just started | {} | |", megabytes(held));
    let mut regulars: Vec<Regular> = (0..REGULARS).map(|number| Regular::new(&scene, number)).collect();
    for regular in &regulars {
        held += permitted(&scene, &regular.sent, 0).1;
    }
    let (mut known, mut calls) = (0, 0);
    for number in 0..instances {
        let second = number / PER_SECOND;
        let now = NOW.plus(second.into());
        held += permitted(&scene, &scene.sent_by(REGULARS + number, true, now), second).1;
        if number % BETWEEN == 0 {
            let regular = &mut regulars[(number / BETWEEN % REGULARS) as usize];
            let (allocations, bytes) = permitted(&scene, regular.sends(&scene, second), second);
            (known, calls, held) = (known + u32::from(allocations == 0), calls + 1, held + bytes);
        }
        if [16_383, 65_535, 262_143, instances - 1].contains(&number) {
            let share = f64::from(known) / f64::from(calls) * 100.0;
            println!("| {} genuine instances | {} | {share:.2} % of {calls} |", number + 1, megabytes(held));
        }
    }
    flood(&scene, &mut regulars, instances, held);
}

/// As many again who make up what they send, each from an address of its own.
fn flood(scene: &Scene, regulars: &mut [Regular], instances: u32, mut held: i64) {
    let second = instances / PER_SECOND;
    let now = NOW.plus(second.into());
    let mut made_up = scene.sent_by(0, true, now);
    // A result that nobody signed, and so a new one each time.
    let length = made_up.result.len();
    let (mut known, mut calls) = (0, 0);
    for number in 0..instances {
        made_up.source = Some(address(REGULARS + instances + number));
        made_up.result.replace_range(length - 20..length - 12, &format!("{number:08}"));
        let info = allocation_counter::measure(|| {
            assert!(matches!(scene.check_at(&made_up, now), Decision::Refusal(_)));
        });
        held += info.bytes_current;
        // Time stands still here: what is left of the replay set's room, and of the route's quota, must do.
        if number % BETWEEN == 0 && calls < 8_000 {
            let regular = &mut regulars[(number / BETWEEN % REGULARS) as usize];
            let (allocations, bytes) = permitted(scene, regular.sends(scene, second), second);
            (known, calls, held) = (known + u32::from(allocations == 0), calls + 1, held + bytes);
        }
    }
    let share = f64::from(known) / f64::from(calls) * 100.0;
    println!("| then {instances} made-up ones | {} | {share:.2} % of {calls} |", megabytes(held));
}

/// One who keeps calling.
struct Regular {
    number: u32,
    since: u32,
    sent: Sent,
}

impl Regular {
    fn new(scene: &Scene, number: u32) -> Self {
        Self { number, since: 0, sent: scene.sent_by(number, true, NOW) }
    }

    /// The next request.
    fn sends(&mut self, scene: &Scene, second: u32) -> &Sent {
        let now = NOW.plus(second.into());
        if second > self.since + RENEWAL {
            (self.since, self.sent) = (second, scene.sent_by(self.number, true, now));
        } else {
            self.sent = scene.again(&self.sent, now);
        }
        &self.sent
    }
}

/// How often a permitted request allocated, which one of somebody known never does, and how many bytes stay.
fn permitted(scene: &Scene, sent: &Sent, second: u32) -> (u64, i64) {
    let mut refused = None;
    let info = allocation_counter::measure(|| match scene.check_at(sent, NOW.plus(second.into())) {
        Decision::Permit(_) => {}
        other => refused = Some(other),
    });
    assert!(refused.is_none(), "{refused:?}");
    (info.count_total, info.bytes_current)
}

fn megabytes(bytes: i64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}
