//! Which endpoint of an application a worker is in.
//!
//! The endpoint of the exchange that is being polled is the thread's; [`Watched`](super::Watched) sets
//! it, and the layers of this module change it.

use std::{
    cell::Cell,
    task::{Context, Poll},
};

use http::Request;
use tower_service::Service;

use crate::observe::Endpoint;

thread_local! {
    static CURRENT: Cell<Endpoint> = const { Cell::new(Endpoint::UNNAMED) };
}

/// The endpoint of the exchange that this thread polls.
pub(super) fn current() -> Endpoint {
    CURRENT.get()
}

/// From here on this thread polls an exchange of `endpoint`.
pub(super) fn make_current(endpoint: Endpoint) {
    CURRENT.set(endpoint);
}

/// A layer that names the endpoint which it wraps: in the access log, in metrics, in `Server-Timing`, among
/// the slowest requests, and where the watchdog reports who holds a worker.
///
/// At most 256 names are distinguished in a process; further ones are all `other`.
///
/// ```
/// use axum::{Router, routing::get};
///
/// let app: Router = Router::new()
///     .route("/report", get(|| async { "…" }).layer(ringway::endpoint("/report")));
/// ```
pub fn endpoint(name: &str) -> Named {
    Named(Endpoint::named(name))
}

/// The layer of [`endpoint`].
#[derive(Clone, Copy, Debug)]
pub struct Named(
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "its service is made of it"))]
    Endpoint,
);

#[cfg(feature = "tokio")]
impl<S> tower_layer::Layer<S> for Named {
    type Service = NamedService<S>;

    fn layer(&self, service: S) -> NamedService<S> {
        NamedService { service, endpoint: self.0 }
    }
}

/// The request that is being polled is at `endpoint`.
fn enter(endpoint: Endpoint) {
    make_current(endpoint);
    super::watched::renamed(endpoint);
}

/// A service with a name.
#[derive(Clone, Debug)]
pub struct NamedService<S> {
    service: S,
    endpoint: Endpoint,
}

impl<S, B> Service<Request<B>> for NamedService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        enter(self.endpoint);
        self.service.call(request)
    }
}

/// A layer that names endpoints by the routes of an axum `Router`, as
/// [`MatchedPath`](axum::extract::MatchedPath) has them. Apply it with
/// [`Router::route_layer`](axum::Router::route_layer), in each nested router: outside of a router its
/// routes are not known.
///
/// ```
/// use axum::{Router, routing::get};
///
/// let app: Router = Router::new()
///     .route("/items/{id}", get(|| async { "…" }))
///     .route_layer(ringway::endpoints_by_route());
/// ```
#[cfg(feature = "axum")]
pub fn endpoints_by_route() -> ByRoute {
    ByRoute(())
}

/// The layer of [`endpoints_by_route`].
#[cfg(feature = "axum")]
#[derive(Clone, Copy, Debug)]
pub struct ByRoute(());

#[cfg(all(feature = "axum", feature = "tokio"))]
impl<S> tower_layer::Layer<S> for ByRoute {
    type Service = ByRouteService<S>;

    fn layer(&self, service: S) -> ByRouteService<S> {
        ByRouteService(service)
    }
}

/// A service whose endpoints are named by routes.
#[cfg(feature = "axum")]
#[derive(Clone, Debug)]
pub struct ByRouteService<S>(S);

#[cfg(feature = "axum")]
thread_local! {
    /// The numbers of routes, so that a request takes no lock: as many as there are numbers.
    static ROUTES: std::cell::RefCell<std::collections::HashMap<Box<str>, Endpoint>> =
        std::cell::RefCell::default();
}

#[cfg(feature = "axum")]
fn of_route(path: &str) -> Endpoint {
    ROUTES.with_borrow_mut(|routes| {
        if let Some(endpoint) = routes.get(path) {
            return *endpoint;
        }
        let endpoint = Endpoint::named(path);
        if routes.len() < crate::observe::MOST_ENDPOINTS {
            routes.insert(path.into(), endpoint);
        }
        endpoint
    })
}

#[cfg(feature = "axum")]
impl<S, B> Service<Request<B>> for ByRouteService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        if let Some(route) = request.extensions().get::<axum::extract::MatchedPath>() {
            enter(of_route(route.as_str()));
        }
        self.0.call(request)
    }
}
