//! A service without its type: called with a request, then polled for a head and for frames.

use std::{
    cell::Cell,
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Body,
    panics::{caught, drop_caught_with},
};

/// What a worker has of an application.
pub(crate) trait Application {
    /// Begins to answer a request. Nothing of the application runs before the first poll.
    fn call(&self, request: Request<Body>) -> Pin<Box<dyn Call>>;

    /// Begins to answer a request, and polls for the answer into `polled`, which is pending, as
    /// [`Call::poll_answer`] does: neither the service nor the request is stored if the service is ready. The
    /// request is taken where it lies, since it is long. None if nothing more comes of the call.
    fn call_at_once(
        &self,
        request: &mut Option<Request<Body>>,
        cx: &mut Context<'_>,
        is_short: IsShort,
        polled: &mut Poll<Answer>,
    ) -> Option<Pin<Box<dyn Call>>>;
}

/// What becomes an [`Application`]: every service of HTTP requests.
pub(crate) trait IntoApplication: Clone + 'static {
    fn into_application(self) -> Box<dyn Application>;
}

/// The answer to one request, while it is made. Polled within the runtime of the worker; a panic of
/// the application comes out as an error, also from a drop.
pub(crate) trait Call {
    /// Polls for the head, and in the same go for content that `is_short`: to enter an application, with its
    /// clock, its layers and the watchdog, costs more than such a poll.
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>, is_short: IsShort) -> Poll<Answer>;

    /// Polls for the next frame, once there was a head.
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, CallError>>>;
}

/// Whether the content behind a head is short enough to be polled together with it.
pub(crate) type IsShort = fn(&Head) -> bool;

/// A head, and the content that was polled together with it.
pub(crate) type Answer = Result<(Head, Ahead), CallError>;

/// Content that was polled together with the head.
#[derive(Debug)]
pub(crate) enum Ahead {
    /// None.
    Nothing,
    /// All of it, as long as the head has it.
    Whole(Bytes),
    /// What came first, if it did not end at once.
    First(Option<Result<Frame, CallError>>),
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) parts: http::response::Parts,
    /// Bytes of the content, if it knows them.
    pub(crate) length: Option<u64>,
}

/// A part of an answer.
#[derive(Debug)]
pub(crate) enum Frame {
    /// Content; possibly none.
    Data(Bytes),
    /// The trailers.
    Trailers(HeaderMap),
}

/// Why an application gave no answer, or no more of it.
#[derive(Debug)]
pub(crate) enum CallError {
    /// It panicked, with this message.
    Panicked(String),
    /// Its service, or the content of its answer, failed.
    Failed(Box<dyn Error + Send + Sync>),
    /// It was polled when it had ended: a defect of ours.
    Ended,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "an application panicked: {message}"),
            Self::Failed(error) => {
                let mut said = error.to_string();
                write!(f, "an application failed: {said}")?;
                let mut source = error.source();
                while let Some(error) = source {
                    let text = error.to_string();
                    // Many errors, axum's for one, say what the one within them says.
                    if !said.ends_with(&text) {
                        write!(f, ": {text}")?;
                    }
                    said = text;
                    source = error.source();
                }
                Ok(())
            }
            Self::Ended => f.write_str("an application was polled behind its end"),
        }
    }
}

impl<S, B> IntoApplication for S
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: 'static,
    B: HttpBody + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn into_application(self) -> Box<dyn Application> {
        Box::new(Own { service: self, spare: Cell::default() })
    }
}

/// A service of a worker.
struct Own<S: Service<Request<Body>>, B> {
    service: S,
    /// The place of a call that has ended, for the next one: an application that answers at once takes no
    /// memory for its future. At most one for each application of a worker, of the size of its future.
    spare: Cell<Option<Place<S, B>>>,
}

type Place<S, B> = Pin<Box<Running<S, B>>>;

impl<S, B> Application for Own<S, B>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: 'static,
    B: HttpBody + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn call(&self, request: Request<Body>) -> Pin<Box<dyn Call>> {
        // The clone is the application's code too.
        let step = match caught(|| self.service.clone()) {
            Ok(service) => Step::Ready { service, request: Some(request) },
            Err(message) => Step::Failed { message: Some(message) },
        };
        Box::pin(Running { step })
    }

    fn call_at_once(
        &self,
        request: &mut Option<Request<Body>>,
        cx: &mut Context<'_>,
        is_short: IsShort,
        polled: &mut Poll<Answer>,
    ) -> Option<Pin<Box<dyn Call>>> {
        let mut running =
            self.spare.take().unwrap_or_else(|| Box::pin(Running { step: Step::Ended }));
        let entered = caught(|| {
            let mut step = running.as_mut().project().step;
            let mut service = self.service.clone();
            match service.poll_ready(cx) {
                Poll::Ready(Ok(())) => {
                    let Some(request) = request.take() else {
                        *polled = Poll::Ready(Err(CallError::Ended));
                        return;
                    };
                    let future = service.call(request);
                    step.set(Step::Answering { future });
                    *polled = step.poll_answer(cx, is_short);
                }
                Poll::Ready(Err(error)) => {
                    *polled = Poll::Ready(Err(CallError::Failed(error.into())));
                }
                Poll::Pending => step.set(Step::Ready { service, request: request.take() }),
            }
        });
        if let Err(message) = entered {
            *polled = Poll::Ready(Err(CallError::Panicked(message)));
        }
        if !matches!(polled, Poll::Ready(Err(_) | Ok((_, Ahead::Whole(_))))) {
            return Some(running);
        }
        running.as_mut().end();
        self.spare.set(Some(running));
        None
    }
}

pin_project! {
    /// A call in progress.
    struct Running<S: Service<Request<Body>>, B> {
        #[pin]
        step: Step<S, B>,
    }

    impl<S: Service<Request<Body>>, B> PinnedDrop for Running<S, B> {
        fn drop(this: Pin<&mut Self>) {
            this.end();
        }
    }
}

pin_project! {
    /// Service, future and content stand one after the other in the same allocation.
    #[project = StepNow]
    enum Step<S: Service<Request<Body>>, B> {
        /// The service has to be ready for the request first. A clone for each request: none is entered
        /// twice.
        Ready { service: S, request: Option<Request<Body>> },
        Answering { #[pin] future: S::Future },
        Content { #[pin] body: B },
        /// Its clone panicked, where nobody could be answered; the next poll says so.
        Failed { message: Option<String> },
        Ended,
    }
}

fn failed(message: &mut Option<String>) -> CallError {
    message.take().map_or(CallError::Ended, CallError::Panicked)
}

impl<S, B> Step<S, B>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: HttpBody,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn poll_answer(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        is_short: IsShort,
    ) -> Poll<Answer> {
        loop {
            match self.as_mut().project() {
                StepNow::Ready { service, request } => {
                    ready!(service.poll_ready(cx))
                        .map_err(|error| CallError::Failed(error.into()))?;
                    let request = request.take().ok_or(CallError::Ended)?;
                    let future = service.call(request);
                    self.set(Self::Answering { future });
                }
                StepNow::Answering { future } => {
                    let response = ready!(future.poll(cx));
                    let response = response.map_err(|error| CallError::Failed(error.into()))?;
                    let (parts, body) = response.into_parts();
                    let head = Head { parts, length: body.size_hint().exact() };
                    self.set(Self::Content { body });
                    let ahead =
                        if is_short(&head) { self.ahead(cx, head.length) } else { Ahead::Nothing };
                    return Poll::Ready(Ok((head, ahead)));
                }
                StepNow::Failed { message } => return Poll::Ready(Err(failed(message))),
                StepNow::Content { .. } | StepNow::Ended => {
                    return Poll::Ready(Err(CallError::Ended));
                }
            }
        }
    }
}

impl<S, B> Step<S, B>
where
    S: Service<Request<Body>>,
    B: HttpBody,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Polls for content of this length.
    fn ahead(mut self: Pin<&mut Self>, cx: &mut Context<'_>, length: Option<u64>) -> Ahead {
        let frame = if length == Some(0) {
            Some(Ok(Frame::Data(Bytes::new())))
        } else {
            let Poll::Ready(frame) = self.as_mut().poll_frame(cx) else { return Ahead::Nothing };
            frame
        };
        match frame {
            Some(Ok(Frame::Data(data)))
                if Some(data.len() as u64) == length && self.as_mut().is_end() =>
            {
                Ahead::Whole(data)
            }
            frame => Ahead::First(frame),
        }
    }

    /// Whether the content says that no frame follows those that were polled.
    fn is_end(self: Pin<&mut Self>) -> bool {
        matches!(self.project(), StepNow::Content { body } if body.is_end_stream())
    }

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, CallError>>> {
        let body = match self.project() {
            StepNow::Content { body } => body,
            StepNow::Failed { message } => return Poll::Ready(Some(Err(failed(message)))),
            StepNow::Ready { .. } | StepNow::Answering { .. } | StepNow::Ended => {
                return Poll::Ready(Some(Err(CallError::Ended)));
            }
        };
        let frame = match ready!(body.poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(CallError::Failed(error.into())))),
            Some(Ok(frame)) => frame,
        };
        let frame = match frame.into_data() {
            // `Bytes` gives itself, not a copy.
            Ok(mut data) => Frame::Data(data.copy_to_bytes(data.remaining())),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Frame::Trailers(trailers),
                // A kind of frame that HTTP does not have yet.
                Err(_) => Frame::Data(Bytes::new()),
            },
        };
        Poll::Ready(Some(Ok(frame)))
    }
}

impl<S, B> Running<S, B>
where
    S: Service<Request<Body>>,
{
    /// Lets go of what is not polled again.
    fn end(self: Pin<&mut Self>) {
        drop_caught_with(|| self.project().step.set(Step::Ended));
    }
}

impl<S, B> Call for Running<S, B>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: HttpBody,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn poll_answer(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        is_short: IsShort,
    ) -> Poll<Answer> {
        let step = self.as_mut().project().step;
        caught(|| step.poll_answer(cx, is_short)).unwrap_or_else(|message| {
            self.end();
            Poll::Ready(Err(CallError::Panicked(message)))
        })
    }

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, CallError>>> {
        caught(|| self.as_mut().project().step.poll_frame(cx)).unwrap_or_else(|message| {
            self.end();
            Poll::Ready(Some(Err(CallError::Panicked(message))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error, and the one within it.
    #[derive(Debug)]
    struct Nested(&'static str, Option<Box<Nested>>);

    impl fmt::Display for Nested {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Nested {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_ref().map(|within| &**within as &(dyn Error + 'static))
        }
    }

    #[test]
    fn what_errors_repeat_of_each_other_is_said_once() {
        let nested = |texts: &[&'static str]| {
            let within =
                texts.iter().rev().fold(None, |within, text| Some(Box::new(Nested(text, within))));
            CallError::Failed(within.unwrap()).to_string()
        };
        let said = nested(&["no room", "no room", "no room"]);
        assert_eq!(said, "an application failed: no room");
        let said = nested(&["query", "connect: refused", "refused", "no listener"]);
        assert_eq!(said, "an application failed: query: connect: refused: no listener");
    }
}
