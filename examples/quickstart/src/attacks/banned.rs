//! A phone that was genuine, and still is, and is not welcome any more.

use crate::Trouble;
use crate::install::{Call, Install, request};
use crate::report::{By, Report};
use crate::world::{Answered, World};

/// Bans the install; then it calls with its result, which has minutes to live, and tries to renew.
///
/// # Errors
/// A server does not answer.
pub(crate) async fn try_all(
    world: &World,
    install: &mut Install,
    report: &mut Report,
) -> Result<(), Trouble> {
    world.ban(&install.instance()?).await?;
    let call = Call::get("/account");
    let token = install.token.clone();
    let headers = install.prove(world, call, &token)?;
    let answered = world.ask(request(world, call, Some(headers.fields()), Some(&token))).await?;
    report.attack("a call with the result that it still has", By::Edge, &answered, "instance_denied");
    install.device.restart();
    let answered = match install.obtain(world).await {
        Ok(answered) => answered,
        Err(_) => Answered { status: 403, reasons: world.reasons(), told: String::new(), body: Vec::new() },
    };
    report.attack("a renewal", By::Service, &answered, "instance_banned");
    Ok(())
}
