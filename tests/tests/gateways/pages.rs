//! Pages of other origins (CORS) at our own proxy.

use crate::http::Sent;
use crate::proxy::before;
use crate::world::World;

#[tokio::test]
async fn a_page_on_the_list_reads_answers_and_no_other_page_does() {
    let world = World::new("nginx").await;
    let listed = "[resource.cors]\norigins = ['https://app.example']\n";
    let (address, _running) = before(&world, world.upstream.address, listed).await;
    let (ours, theirs) = ("https://app.example", "https://evil.example");
    let may_read = "access-control-allow-origin";
    let asks = |origin: &str| {
        Sent::new("OPTIONS", "/v1/account")
            .with("Origin", origin)
            .with("Access-Control-Request-Method", "GET")
    };
    let preflight = asks(ours).send(address).await;
    assert_eq!((preflight.status, preflight.all(may_read)), (204, vec![ours]));
    assert_eq!(world.upstream.requests(), 0);
    let foreign = asks(theirs).send(address).await;
    assert_eq!((foreign.status, foreign.all(may_read)), (401, vec![]));
    for (origin, told) in [(ours, vec![ours]), (theirs, vec![]), ("null", vec![])] {
        let passes = world.proven("GET", "/v1/account").with("Origin", origin).send(address).await;
        assert_eq!((passes.status, passes.all(may_read)), (200, told.clone()), "{origin}");
        let refused = Sent::new("GET", "/v1/account").with("Origin", origin).send(address).await;
        assert_eq!((refused.status, refused.all(may_read)), (401, told), "{origin}");
    }
}
