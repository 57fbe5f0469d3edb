//! What only HAProxy has.

use crate::gateway::Gateway;
use crate::process::Running;
use crate::world::World;

#[tokio::test]
async fn lua_that_fails_lets_nothing_pass() {
    if !Gateway::Haproxy.is_installed() {
        return;
    }
    let world = World::new("haproxy").await;
    // HAProxy itself goes on with the next rule.
    let haproxy = Running::start_changed(Gateway::Haproxy, world.edge, &world, |folder| {
        let file = folder.join("countersign/countersign.lua");
        let lua = std::fs::read_to_string(&file).unwrap();
        let (before, after) = lua.split_once("local function check(txn)\n").expect("the action");
        std::fs::write(file, format!("{before}local function check(txn)\nerror('on purpose')\n{after}"))
            .unwrap();
    })
    .await;
    let got = world.proven("GET", "/v1/account").send(haproxy.address).await;
    assert_eq!((got.status, got.one("retry-after")), (503, "5"), "{got:?}");
    assert_eq!(world.upstream.requests(), 0);
}
