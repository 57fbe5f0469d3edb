//! What a phone does with the genuine app on it, from the first start on.

use countersign_virtual_device::VirtualPhone;

use crate::Trouble;
use crate::install::{Call, Install};
use crate::report::{By, Report};
use crate::world::World;

/// Enrols, logs `user` in, calls the API, pays, renews after the app was restarted, and calls again.
///
/// # Errors
/// What the phone's owner would see.
pub(crate) async fn use_app(
    world: &World,
    phone: impl Into<VirtualPhone>,
    user: &str,
    report: &mut Report,
) -> Result<Install, Trouble> {
    let phone = phone.into();
    let kind = match &phone {
        VirtualPhone::Iphone(_) => "iPhone: ",
        VirtualPhone::Android(_) => "Android:",
    };
    let mut install = Install::new(world, phone, user)?;
    let enrolled = install.obtain(world).await?;
    report.honest(&format!("{kind} enrols with evidence of phone and app"), By::Service, &enrolled);
    let logged_in = install.log_in(world, user).await?;
    report.honest(&format!("{kind} {user} logs in"), By::Login, &logged_in);
    let called = install.call(world, Call::get("/account?full=1")).await?;
    report.honest(&format!("{kind} GET /account with a proof"), By::Edge, &called);
    let payment = Call { method: "POST", path: "/transfers", body: "7 to Carol" };
    let paid = install.call(world, payment).await?;
    report.honest(&format!("{kind} POST /transfers, with the nonce it was asked for"), By::Edge, &paid);
    let limit = Call { method: "POST", path: "/limits", body: "1000" };
    let raised = install.call(world, limit).await?;
    report.honest(&format!("{kind} POST /limits, signed by the hardware key as asked"), By::Edge, &raised);
    install.device.restart();
    let renewed = install.obtain(world).await?;
    report.honest(&format!("{kind} renews after the app was restarted"), By::Service, &renewed);
    let called = install.call(world, Call::get("/account")).await?;
    report.honest(&format!("{kind} GET /account with the renewed result"), By::Edge, &called);
    Ok(install)
}
