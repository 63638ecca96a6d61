//! The own time of layers: a probe outside of each, by name.
//!
//! A thread has at most one probe that time goes to at present. Entering a probe charges what has passed
//! to the one around it, leaving it charges its own: so each gets its own time, however often its
//! future is pending.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tower_service::Service;

use crate::observe::Layer;

thread_local! {
    /// The probe that time goes to, and since when.
    static CURRENT: Cell<Option<(Layer, Instant)>> = const { Cell::new(None) };
}

/// A layer that measures the own time of the layers and the handler that it wraps: the time of their
/// polls, without that of further layers of this kind among them. It shows in `/metrics` as
/// `ringway_layer_seconds_total{layer="auth"}`, over all workers, and for each request in `Server-Timing`
/// and the access log, as far as its worker polls it. At most 63 names are distinguished in
/// a process; further ones are all `other`.
///
/// ```
/// use axum::{Router, routing::get};
///
/// # fn auth() -> tower_layer::Identity { tower_layer::Identity::new() }
/// let app: Router = Router::new()
///     .route("/", get(|| async { "…" }))
///     .layer(ringway::layer("handler"))
///     .layer(auth())
///     .layer(ringway::layer("auth"));
/// ```
pub fn layer(name: &str) -> Probe {
    Probe(Layer::named(name))
}

/// The layer of [`layer`].
#[derive(Clone, Copy, Debug)]
pub struct Probe(
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "its service is made of it"))]
    Layer,
);

#[cfg(feature = "tokio")]
impl<S> tower_layer::Layer<S> for Probe {
    type Service = Probed<S>;

    fn layer(&self, service: S) -> Probed<S> {
        Probed { service, layer: self.0 }
    }
}

/// A service whose time is measured.
#[derive(Clone, Debug)]
pub struct Probed<S> {
    service: S,
    layer: Layer,
}

impl<R, S: Service<R>> Service<R> for Probed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = ProbedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let _within = Within::enter(self.layer);
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let _within = Within::enter(self.layer);
        ProbedFuture { future: Box::pin(self.service.call(request)), layer: self.layer }
    }
}

/// A call whose time is measured.
#[derive(Debug)]
pub struct ProbedFuture<F> {
    future: Pin<Box<F>>,
    layer: Layer,
}

impl<F: Future> Future for ProbedFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _within = Within::enter(self.layer);
        self.future.as_mut().poll(cx)
    }
}

/// Time goes to a probe while this lives, also if a poll panics.
struct Within {
    layer: Layer,
    around: Option<Layer>,
}

impl Within {
    fn enter(layer: Layer) -> Self {
        let now = Instant::now();
        let around = CURRENT.replace(Some((layer, now)));
        if let Some((around, since)) = around {
            around.charge(now.duration_since(since).as_nanos() as u64);
        }
        Self { layer, around: around.map(|(around, _)| around) }
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        let now = Instant::now();
        let current = CURRENT.replace(self.around.map(|around| (around, now)));
        if let Some((_, since)) = current {
            self.layer.charge(now.duration_since(since).as_nanos() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_to_the_innermost_probe_and_comes_back() {
        let (outer, inner) = (Layer::named("outer"), Layer::named("inner"));
        let current = || CURRENT.get().map(|(layer, _)| layer);
        {
            let _outer = Within::enter(outer);
            assert_eq!(current(), Some(outer));
            let panicked = std::panic::catch_unwind(|| {
                let _inner = Within::enter(inner);
                assert_eq!(current(), Some(inner));
                std::panic::resume_unwind(Box::new(()));
            });
            assert!(panicked.is_err());
            assert_eq!(current(), Some(outer));
        }
        assert_eq!(current(), None);
    }
}
