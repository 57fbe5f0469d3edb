//! What `curl -v` writes to standard error: `> ` what was sent, `< ` what was answered, `* ` what curl says.

use super::{Body, Capture, Captured, TimeFrom, http_date, request_line};
use crate::commands::inspect::fault::Fault;

/// Whether there is a line that curl sent, or that its HTTP/2 says it sent.
pub(super) fn is_like(text: &str) -> bool {
    text.lines().any(|line| sent(line).and_then(request_line).is_some() || http2_field(line).is_some())
}

/// Reads all requests; the answers in between tell the time.
pub(super) fn read(text: &str) -> Result<Capture, Fault> {
    let mut requests = lines_sent(text);
    if requests.is_empty() {
        // Only what curl says of its HTTP/2 was kept.
        requests = fields_of_http2(text);
    }
    let tunnels = requests.iter().filter(|request| request.method == "CONNECT").count();
    requests.retain(|request| request.method != "CONNECT");
    if requests.is_empty() {
        let at = if tunnels == 0 { "no request line" } else { "only the CONNECT to a proxy" };
        return Err(Fault { seems: "output of curl -v", reason: "no_request", at: at.to_owned() });
    }
    for request in &mut requests {
        request.complete();
        match request.announced_length() {
            // curl announces every body that it sends over HTTP/1.1; over HTTP/2 it need not.
            Some(0) if ["GET", "HEAD"].contains(&request.method.as_str()) => {
                request.body = Body::Whole(Vec::new());
            }
            _ => request.notes.push("curl -v does not show the body".to_owned()),
        }
    }
    Ok(Capture::new("output of curl -v", requests, 0))
}

fn lines_sent(text: &str) -> Vec<Captured> {
    let mut requests: Vec<Captured> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        if let Some(sent) = sent(line) {
            if let Some((method, target, _)) = request_line(sent).filter(|_| !is_open) {
                let mut request = Captured { method: method.to_owned(), ..Captured::default() };
                request.set_target(target);
                requests.push(request);
                is_open = true;
            } else if sent.is_empty() {
                is_open = false;
            } else if let Some(request) = requests.last_mut().filter(|_| is_open) {
                request.push_line(sent);
            }
            continue;
        }
        if let Some(answered) = without_time(line).strip_prefix("< ") {
            is_open = false;
            if let Some(request) = requests.last_mut()
                && let Some((name, value)) = answered.split_once(':')
                && name.eq_ignore_ascii_case("date")
            {
                request.time = http_date(value).map(|time| (time, TimeFrom::Answer)).or(request.time);
            }
        }
    }
    requests
}

/// `* [HTTP/2] [1] [:method: GET]`, a line for each field; a new `:method` is a new request.
fn fields_of_http2(text: &str) -> Vec<Captured> {
    let mut requests: Vec<Captured> = Vec::new();
    for (name, value) in text.lines().filter_map(http2_field) {
        if name == ":method" {
            requests.push(Captured { method: value.to_owned(), ..Captured::default() });
            continue;
        }
        let Some(request) = requests.last_mut() else { continue };
        match name {
            ":path" => request.set_target(value),
            ":authority" => request.authority = Some(value.to_ascii_lowercase()),
            ":scheme" => {}
            name => request.push(name, value),
        }
    }
    requests
}

/// What follows `> `, without the end of the line.
fn sent(line: &str) -> Option<&str> {
    let line = without_time(line);
    let sent = line.strip_prefix("> ").or_else(|| (line.trim_end() == ">").then_some(""))?;
    Some(sent.trim_end_matches('\r'))
}

/// Name and value in `[HTTP/2] [1] [name: value]`, or `h2 [name: value]` as earlier releases have it.
fn http2_field(line: &str) -> Option<(&str, &str)> {
    let said = without_time(line).strip_prefix("* ")?.trim_end().strip_suffix(']')?;
    let field = match ["[HTTP/2] [", "[HTTP/3] ["].iter().find_map(|start| said.strip_prefix(start)) {
        Some(streamed) => streamed.split_once("] [")?.1,
        None => ["h2h3 [", "h2 ["].iter().find_map(|start| said.strip_prefix(start))?,
    };
    // Pseudo fields begin with a colon.
    let end = field.get(1..)?.find(": ")? + 1;
    Some((field.get(..end)?, field.get(end + 2..)?))
}

/// Without what `--trace-time` puts before a line.
fn without_time(line: &str) -> &str {
    let is_time = |word: &str| {
        word.len() >= 8
            && word.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte))
            && word.matches(':').count() == 2
    };
    match line.split_once(' ') {
        Some((word, rest)) if is_time(word) => rest,
        _ => line,
    }
}
