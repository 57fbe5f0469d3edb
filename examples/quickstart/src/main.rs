//! The whole of Countersign in one command: an attestation service, an authorization server and a protected API on
//! this machine, two phones that use them as they should, and a thief who does not.
//!
//! `cargo run -p quickstart`
//!
//! The phones are virtual: their evidence has the genuine shape under roots made for this run, which the policy names
//! in its `danger` section. Ends with 1 if an attack passes or an honest call fails.

mod api;
mod attacks;
mod authorization_server;
mod honest;
mod install;
mod report;
mod server_log;
mod world;

use std::process::ExitCode;

use report::Report;
use server_log::ServerLog;
use world::World;

/// Whatever keeps the story from being told.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let mut report = Report::new();
    match tell(&mut report).await {
        Ok(()) => report.end(),
        Err(trouble) => report.broken(&trouble),
    }
}

async fn tell(report: &mut Report) -> Result<(), Trouble> {
    let log = ServerLog::listen()?;
    let world = World::start(log).await?;
    report.heading("Running on this machine, until the story is told");
    report.place(
        "attestation service",
        &world.service_url,
        "verifies evidence, issues results for ten minutes",
    );
    report.place(
        "authorization server",
        &world.authorization_server,
        "issues access tokens bound to an instance key",
    );
    report.place("protected API", &world.api.url, "lets a request through if proof and token hold");

    report.heading("Two phones with the genuine app");
    let mut alice = honest::use_app(&world, world.iphone("alice"), "alice", report).await?;
    let mut bob = honest::use_app(&world, world.android("bob"), "bob", report).await?;

    report.heading("A thief has Alice's access token, her requests, and genuine phones of his own");
    attacks::requests::try_all(&world, &mut alice, report).await?;

    report.heading("Calls for which her API demands the hardware key itself");
    attacks::instance_key::try_all(&world, &mut alice, report).await?;

    report.heading("Phones and apps that are not what they say");
    attacks::evidence::try_all(&world, report).await?;

    report.heading("Messages to the attestation service that are not what they say");
    attacks::messages::try_all(&world, report).await?;

    report.heading("Bob's phone was stolen, and is banned");
    attacks::banned::try_all(&world, &mut bob, report).await?;

    world.shut_down().await;
    Ok(())
}
