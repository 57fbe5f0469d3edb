//! Reading a body up to a limit, and giving back all that was read.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;

/// What came of reading a body.
#[derive(Debug)]
pub enum Read {
    /// All of it. Trailers are dropped: no proof covers them.
    Whole(Bytes),
    /// It is longer than the limit; the body as it was.
    TooLarge(Body),
}

/// Reads a body of at most `limit` bytes, for a request whose decision needs its content.
///
/// # Errors
/// When the body ends before it is whole.
pub async fn read(mut body: Body, limit: usize) -> Result<Read, axum::Error> {
    if body.size_hint().lower() > limit as u64 {
        return Ok(Read::TooLarge(body));
    }
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let fits = seen.len().saturating_add(data.len()) <= limit;
        seen.extend_from_slice(&data);
        if !fits {
            return Ok(Read::TooLarge(Body::new(Prefixed { prefix: Some(seen.into()), rest: body })));
        }
    }
    Ok(Read::Whole(seen.into()))
}

/// What was read already, and what is still to come.
struct Prefixed {
    prefix: Option<Bytes>,
    rest: Body,
}

impl HttpBody for Prefixed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        match self.prefix.take() {
            Some(prefix) => Poll::Ready(Some(Ok(http_body::Frame::data(prefix)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}
