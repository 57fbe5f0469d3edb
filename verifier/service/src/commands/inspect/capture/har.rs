//! HAR 1.2, as browsers and debugging proxies export it.

use base64ct::{Base64, Encoding};
use serde::Deserialize;

use super::{Body, Capture, Captured, TimeFrom, rfc3339_time};
use crate::commands::inspect::fault::Fault;

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    started_date_time: Option<String>,
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Line>,
    body_size: Option<i64>,
    post_data: Option<PostData>,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct PostData {
    text: Option<String>,
    /// Not of HAR 1.2; proxies write it beside a body that is no text.
    encoding: Option<String>,
}

/// Whether it is a JSON object whose first member, or whose first but a comment, is `log`.
pub(super) fn is_like(input: &[u8]) -> bool {
    let start = input.get(..4096).unwrap_or(input);
    let start: Vec<u8> = start.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    start.starts_with(b"{\"log\":{")
}

/// Reads all requests that are for an edge; if none is, all.
pub(super) fn read(input: &[u8]) -> Result<Capture, Fault> {
    let input = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
    let har: Har = serde_json::from_slice(input).map_err(|error| Fault {
        seems: "a HAR file",
        reason: "har_malformed",
        at: format!("line {}, column {}", error.line(), error.column()),
    })?;
    let requests: Vec<_> = har.log.entries.into_iter().map(captured).collect();
    let count = requests.len();
    let (attested, others): (Vec<_>, Vec<_>) = requests.into_iter().partition(Captured::is_attested);
    let shown = if attested.is_empty() { others } else { attested };
    if shown.is_empty() {
        let at = "log.entries is empty".to_owned();
        return Err(Fault { seems: "a HAR file", reason: "no_request", at });
    }
    let left_out = count - shown.len();
    Ok(Capture::new("HAR", shown, left_out))
}

fn captured(entry: Entry) -> Captured {
    let Request { method, url, headers, body_size, post_data } = entry.request;
    let mut request = Captured { method, ..Captured::default() };
    request.set_target(&url);
    // Over HTTP/2 some browsers list `:method` and its like among the fields.
    for line in headers.iter().filter(|line| !line.name.starts_with(':')) {
        request.push(&line.name, &line.value);
    }
    request.time =
        entry.started_date_time.as_deref().and_then(rfc3339_time).map(|time| (time, TimeFrom::Capture));
    request.complete();
    if request.values("authorization").next().is_none() {
        request.notes.push(
            "the HAR file has no Authorization; browsers leave it out unless told to export with sensitive data"
                .to_owned(),
        );
    }
    let has_none =
        body_size.is_none_or(|size| size <= 0) && ["GET", "HEAD"].contains(&request.method.as_str());
    request.body = match post_data {
        None if has_none => Body::Whole(Vec::new()),
        post_data => body(body_size, post_data, &mut request.notes),
    };
    request
}

fn body(size: Option<i64>, post_data: Option<PostData>, notes: &mut Vec<String>) -> Body {
    let text = post_data.and_then(|data| {
        let text = data.text?;
        match data.encoding.as_deref() {
            Some("base64") => Base64::decode_vec(&text).ok(),
            _ => Some(text.into_bytes()),
        }
    });
    match (text, size) {
        (None, Some(0)) => Body::Whole(Vec::new()),
        (Some(body), Some(size)) if size > 0 && u64::try_from(size).ok() != Some(body.len() as u64) => {
            notes.push(format!(
                "the HAR file has {} bytes of a body of {size}: it is taken as not shown",
                body.len()
            ));
            Body::NotShown
        }
        (Some(body), _) => Body::Whole(body),
        (None, _) => {
            notes.push("the HAR file does not show the body, or whether there is one".to_owned());
            Body::NotShown
        }
    }
}
