//! A layer for handlers that must not be dropped halfway.

use std::{
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll},
};

use http::Request;
use tokio::task::JoinHandle;
use tower_layer::Layer;
use tower_service::Service;

/// A layer whose handler runs to its end although its client leaves: its future moves to the runtime,
/// which costs a hop between threads. Without it a client that leaves drops the future of its handler
/// at the next wait.
///
/// The content of the answer is polled by the worker as ever, and dropped when the client leaves.
///
/// ```
/// use axum::{Router, routing::post};
///
/// let app: Router = Router::new()
///     .route("/orders", post(|| async { "ordered" }))
///     .layer(ringway::to_the_end());
/// ```
pub fn to_the_end() -> ToTheEnd {
    ToTheEnd(())
}

/// The layer of [`to_the_end`].
#[derive(Clone, Copy, Debug)]
pub struct ToTheEnd(());

impl<S> Layer<S> for ToTheEnd {
    type Service = Persistent<S>;

    fn layer(&self, service: S) -> Persistent<S> {
        Persistent(service)
    }
}

/// A service whose futures run to their end.
#[derive(Clone, Debug)]
pub struct Persistent<S>(S);

impl<S, B> Service<Request<B>> for Persistent<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Running<S::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Running(tokio::spawn(self.0.call(request)))
    }
}

/// The future of a [`Persistent`] service.
#[derive(Debug)]
pub struct Running<R, E>(JoinHandle<Result<R, E>>);

impl<R, E> Future for Running<R, E> {
    type Output = Result<R, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(Ok(output)) => Poll::Ready(output),
            // Its panic is the exchange's, as it would be without this layer.
            Poll::Ready(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
            // Behind an error: the runtime has ended, and nobody could answer.
            Poll::Pending | Poll::Ready(Err(_)) => Poll::Pending,
        }
    }
}
