//! A service without its type: called with a request, then polled for a head and for frames.

use std::{
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
}

/// The answer to one request, while it is made. Polled within the runtime of the worker; a panic of
/// the application comes out as an error, also from a drop.
pub(crate) trait Call {
    /// Polls for the head.
    fn poll_head(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Head, CallError>>;

    /// Polls for the next frame, once there was a head.
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, CallError>>>;

    /// Whether the content says that no frame follows those that were polled.
    fn is_end(self: Pin<&mut Self>) -> bool;
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
                write!(f, "an application failed: {error}")?;
                let mut source = error.source();
                while let Some(error) = source {
                    write!(f, ": {error}")?;
                    source = error.source();
                }
                Ok(())
            }
            Self::Ended => f.write_str("an application was polled behind its end"),
        }
    }
}

impl<S, B> Application for S
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: 'static,
    B: HttpBody + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn call(&self, request: Request<Body>) -> Pin<Box<dyn Call>> {
        // The clone is the application's code too.
        let step = match caught(|| self.clone()) {
            Ok(service) => Step::Ready { service, request: Some(request) },
            Err(message) => Step::Failed { message: Some(message) },
        };
        Box::pin(Running { step })
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
        /// It panicked where nobody could be answered; the next poll says so.
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
{
    fn poll_head(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Head, CallError>> {
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
                    let length = body.size_hint().exact();
                    self.set(Self::Content { body });
                    return Poll::Ready(Ok(Head { parts, length }));
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
    fn poll_head(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Head, CallError>> {
        caught(|| self.as_mut().project().step.poll_head(cx)).unwrap_or_else(|message| {
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

    fn is_end(mut self: Pin<&mut Self>) -> bool {
        let StepNow::Content { body } = self.as_mut().project().step.project() else {
            return false;
        };
        caught(|| body.is_end_stream()).unwrap_or_else(|message| {
            self.as_mut().end();
            self.project().step.set(Step::Failed { message: Some(message) });
            false
        })
    }
}
