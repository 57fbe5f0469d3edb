//! Bodies on their way: bounded in time and size, compared with the proof, and without trailers, which no proof covers.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use http_body::{Frame, SizeHint};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Longest pause of a client within a body.
const PAUSE: Duration = Duration::from_secs(10);

/// Why a body did not arrive or leave whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The client broke off, or wrote no HTTP.
    Client,
    /// The client was too slow.
    Slow,
    /// It is longer than the settings allow.
    TooLarge,
    /// It is not the one that was proven.
    Unproven,
    /// The upstream paused too long, or the result that opened the answer has ended.
    Ended,
}

/// What became of a request's body, once it broke.
pub(super) type Ending = Arc<OnceLock<Broken>>;

impl Broken {
    /// The status and the name of the reason where the client's body is to blame.
    pub(super) const fn blames_client(self) -> (StatusCode, &'static str) {
        match self {
            Self::Client | Self::Ended => (StatusCode::BAD_REQUEST, "body_broken_off"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::Unproven => (StatusCode::UNAUTHORIZED, "content_mismatch"),
        }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client => "the client broke off",
            Self::Slow => "the client was too slow",
            Self::TooLarge => "the body is too long",
            Self::Unproven => "the body is not the one that was proven",
            Self::Ended => "the answer took too long",
        })
    }
}

impl std::error::Error for Broken {}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// A request's body as it arrives: at most so long, in at most so much time, without trailers.
pub(super) struct ArrivingBody {
    inner: Body,
    left: u64,
    pause: Pin<Box<Sleep>>,
    end: Pin<Box<Sleep>>,
    ending: Ending,
}

impl ArrivingBody {
    pub(super) fn new(inner: Body, longest: Duration, limit: u64) -> (Self, Ending) {
        let ending = Ending::default();
        let (pause, end) = (Box::pin(sleep(PAUSE)), Box::pin(sleep(longest)));
        (Self { inner, left: limit, pause, end, ending: Arc::clone(&ending) }, ending)
    }

    fn broken(&self, why: Broken) -> Polled {
        Poll::Ready(Some(Err(Box::new(*self.ending.get_or_init(|| why)))))
    }
}

impl HttpBody for ArrivingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        loop {
            let data = match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(_))) => return self.broken(Broken::Client),
                Poll::Ready(Some(Ok(frame))) => frame.into_data(),
                Poll::Pending => {
                    let late =
                        self.pause.as_mut().poll(cx).is_ready() || self.end.as_mut().poll(cx).is_ready();
                    return if late { self.broken(Broken::Slow) } else { Poll::Pending };
                }
            };
            let Ok(data) = data else { continue };
            match self.left.checked_sub(data.len() as u64) {
                None => return self.broken(Broken::TooLarge),
                Some(left) => self.left = left,
            }
            // Who sends a byte at a time is never pending for long.
            if self.end.as_mut().poll(cx).is_ready() {
                return self.broken(Broken::Slow);
            }
            self.pause.as_mut().reset(Instant::now() + PAUSE);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A request's body on its way to the upstream. If it was proven, its last part is held back until all of it has been
/// compared with the proof: of another body the upstream gets no whole request.
pub(super) struct PassingBody {
    inner: Body,
    proven: Option<Proven>,
    ended: bool,
    ending: Ending,
    /// Dropped when the body has left, or will not.
    _sent: oneshot::Sender<()>,
    /// Its place in memory, if it is held there.
    _held: Option<OwnedSemaphorePermit>,
}

struct Proven {
    digest: [u8; 32],
    seen: Sha256,
    held: Option<Bytes>,
}

impl PassingBody {
    /// The body, and what ends when it has left.
    pub(super) fn new(
        inner: Body,
        digest: Option<[u8; 32]>,
        ending: Ending,
        held: Option<OwnedSemaphorePermit>,
    ) -> (Self, oneshot::Receiver<()>) {
        let (sent, receiver) = oneshot::channel();
        let ended = inner.is_end_stream();
        // A body that ended before it began has been compared by the check.
        let digest = digest.filter(|_| !ended);
        let proven = digest.map(|digest| Proven { digest, seen: Sha256::new(), held: None });
        (Self { inner, proven, ended, ending, _sent: sent, _held: held }, receiver)
    }
}

impl HttpBody for PassingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx)).transpose()?;
            let Some(proven) = &mut this.proven else {
                this.ended = frame.is_none();
                return Poll::Ready(frame.map(Ok));
            };
            match frame.map(Frame::into_data) {
                Some(Ok(data)) if !data.is_empty() => {
                    proven.seen.update(&data);
                    if let Some(earlier) = proven.held.replace(data) {
                        return Poll::Ready(Some(Ok(Frame::data(earlier))));
                    }
                }
                Some(_) => {}
                None => {
                    this.ended = true;
                    if <[u8; 32]>::from(proven.seen.clone().finalize()) != proven.digest {
                        let broken = *this.ending.get_or_init(|| Broken::Unproven);
                        return Poll::Ready(Some(Err(Box::new(broken))));
                    }
                    return Poll::Ready(proven.held.take().map(|last| Ok(Frame::data(last))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        // Told once, before the first part is asked for.
        self.inner.size_hint()
    }
}

/// An answer's body on its way to the client. It holds a place among the requests that are worked on until it has left,
/// and ends with the result that opened it.
pub(super) struct LeavingBody {
    inner: Body,
    bodiless: bool,
    longest_pause: Duration,
    pause: Pin<Box<Sleep>>,
    end: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl LeavingBody {
    /// `bodiless` answers have a length and no body: that of HEAD, for example.
    pub(super) fn new(
        inner: Body,
        bodiless: bool,
        longest_pause: Duration,
        lives: Option<Duration>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let end = lives.map(|lives| Box::pin(sleep_until(Instant::now() + lives)));
        Self { inner, bodiless, longest_pause, pause: Box::pin(sleep(longest_pause)), end, _place: place }
    }
}

impl HttpBody for LeavingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        if this.end.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Some(Err(Box::new(Broken::Ended))));
        }
        loop {
            match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    this.pause.as_mut().reset(Instant::now() + this.longest_pause);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    ready!(this.pause.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(Box::new(Broken::Ended))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Whoever sees a length of 0 here writes it over the one that the upstream told.
        if self.bodiless { SizeHint::default() } else { self.inner.size_hint() }
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::request::sha256;
    use tokio::sync::Semaphore;

    use super::*;

    /// What came of a body before it ended, and whether it broke.
    async fn read(mut body: impl HttpBody<Data = Bytes, Error = BoxError> + Unpin) -> (Vec<u8>, bool) {
        let mut seen = Vec::new();
        loop {
            match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                None => return (seen, false),
                Some(Ok(frame)) => seen.extend_from_slice(&frame.into_data().unwrap()),
                Some(Err(_)) => return (seen, true),
            }
        }
    }

    /// A body of these parts, with a trailer.
    struct Parts(Vec<Option<&'static str>>);

    impl HttpBody for Parts {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
            if self.0.is_empty() {
                return Poll::Ready(None);
            }
            let frame = self.0.remove(0).map(|part| Frame::data(Bytes::from_static(part.as_bytes())));
            Poll::Ready(Some(Ok(frame.unwrap_or_else(|| Frame::trailers(Default::default())))))
        }
    }

    fn body(parts: &[&'static str]) -> Body {
        Body::new(Parts(parts.iter().map(|part| Some(*part)).chain([None]).collect()))
    }

    fn arriving(parts: &[&'static str], limit: u64) -> (ArrivingBody, Ending) {
        ArrivingBody::new(body(parts), Duration::from_secs(60), limit)
    }

    #[tokio::test]
    async fn the_last_part_waits_until_all_of_it_is_the_proven_one() {
        for (proven, whole) in [(&b"abcdef"[..], true), (b"abcdeg", false), (b"abc", false), (b"", false)] {
            for parts in [&["abc", "def"][..], &["abc", "", "def", ""], &["abcdef"]] {
                let (body, ending) = arriving(parts, 6);
                let (passing, _sent) =
                    PassingBody::new(Body::new(body), Some(sha256(proven)), Arc::clone(&ending), None);
                let (seen, broke) = read(passing).await;
                assert_eq!((seen.len() == 6, !broke), (whole, whole), "{parts:?}");
                assert_eq!(ending.get(), if whole { None } else { Some(&Broken::Unproven) });
            }
        }
    }

    #[tokio::test]
    async fn a_body_without_a_proof_passes_part_by_part_and_a_longer_one_breaks() {
        for (limit, expected) in [(6, None), (5, Some(&Broken::TooLarge))] {
            let (body, ending) = arriving(&["abc", "def"], limit);
            let (passing, sent) = PassingBody::new(Body::new(body), None, Arc::clone(&ending), None);
            let (seen, broke) = read(passing).await;
            assert_eq!((seen.len() == 6, broke), (expected.is_none(), expected.is_some()));
            assert_eq!(ending.get(), expected);
            assert!(sent.await.is_err(), "told that it has left");
        }
    }

    /// A body that never comes.
    struct Silent;

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn an_answer_ends_with_the_result_that_opened_it_or_after_a_long_pause() {
        let places = Arc::new(Semaphore::new(1));
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(600));
        for (inner, pause, lives, broken) in [
            (body(&["abc"]), long, None, false),
            (body(&["abc"]), long, Some(long), false),
            (Body::new(Silent), long, Some(short), true),
            (Body::new(Silent), short, Some(long), true),
        ] {
            let place =
                Arc::clone(&places).try_acquire_owned().expect("the answer before gave its place back");
            let leaving = LeavingBody::new(inner, false, pause, lives, place);
            assert_eq!(read(leaving).await.1, broken);
        }
    }
}
