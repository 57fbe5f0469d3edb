//! The reverse proxy for an API that has no gateway.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Origin, ResourceSettings, TimeSpan, WebUrl, private_url};
use crate::document::{Problems, formats};

/// A reverse proxy before one API: HTTP/1.1, checked, to one upstream.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxySettings {
    /// The name of the resource whose rules hold.
    pub resource: String,
    /// Where clients connect.
    #[schemars(with = "String", extend("format" = formats::SOCKET_ADDRESS))]
    pub listen: SocketAddr,
    /// The API itself, which nobody else may reach: `http` on this machine, `https` anywhere.
    pub upstream: Origin,
    /// Speak plain HTTP to an upstream on another machine: only where something else encrypts on the whole way.
    #[serde(default)]
    pub danger_plaintext_upstream: bool,
    /// Longest wait for the upstream: for its answer once it has the request, and between parts of the answer; 1s to 1h.
    #[serde(default = "default_response_timeout")]
    pub response_timeout: TimeSpan,
    /// Longest time for a request's body to arrive; between its parts ten seconds pass at most. 1s to 1h.
    #[serde(default = "default_body_timeout")]
    pub body_timeout: TimeSpan,
    /// Longest request body, in bytes.
    #[serde(default = "default_max_body")]
    #[schemars(range(max = 1_099_511_627_776_u64))]
    pub max_body: u64,
    /// Longest body, in bytes, that is held in memory until it is known to be the one that was proven. A longer one is
    /// checked on its way, or refused where the route has `body = "required"`.
    #[serde(default = "default_max_content")]
    #[schemars(range(max = 16_777_216))]
    pub max_content: usize,
}

/// Checks what the schema cannot say about the proxies.
pub(super) fn check(proxies: &[ProxySettings], resources: &[ResourceSettings], problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for (index, proxy) in proxies.iter().enumerate() {
        let at = format!("/proxy/{index}");
        if !resources.iter().any(|resource| resource.name == proxy.resource) {
            let message = format!("no [[resource]] is called `{}`; name one that is", proxy.resource);
            problems.at(&format!("{at}/resource"), message);
        }
        if !seen.insert(&proxy.resource) {
            let message = format!("an earlier proxy serves `{}`; remove one", proxy.resource);
            problems.at(&format!("{at}/resource"), message);
        }
        let upstream = format!("{at}/upstream");
        if let Ok(url) = WebUrl::try_from(proxy.upstream.as_str().to_owned())
            && !proxy.danger_plaintext_upstream
        {
            private_url(&url, &upstream, problems);
        }
        if proxy.upstream.as_str() == format!("http://{}", proxy.listen) {
            problems.at(&upstream, "this is where the proxy itself listens: it would ask itself without end");
        }
        for (name, span) in
            [("response_timeout", proxy.response_timeout), ("body_timeout", proxy.body_timeout)]
        {
            if !(1..=3600).contains(&span.as_seconds()) {
                problems.at(&format!("{at}/{name}"), format!("`{name}` is {span}; 1s to 1h is allowed"));
            }
        }
    }
}

const fn default_response_timeout() -> TimeSpan {
    TimeSpan::from_seconds(60)
}

const fn default_body_timeout() -> TimeSpan {
    TimeSpan::from_seconds(300)
}

const fn default_max_body() -> u64 {
    100 * 1024 * 1024
}

const fn default_max_content() -> usize {
    countersign_edge::DEFAULT_MAX_CONTENT
}
