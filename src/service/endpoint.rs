//! Names of endpoints: which route of an application a worker is in.
//!
//! A name is a number, given out once for the life of the process and to at most [`MOST`] names, so that
//! names made of what clients send cannot fill memory. The number of the exchange that is being polled
//! is the thread's; [`Watched`](super::Watched) sets it, and the layer of [`endpoint`] changes it.

use std::{
    cell::Cell,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use http::Request;
use tower_service::Service;

/// Names that are distinguished, at most; further ones are all `other`.
pub(super) const MOST: usize = 256;

/// The number of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endpoint(u16);

static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn names() -> MutexGuard<'static, Vec<String>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static CURRENT: Cell<Endpoint> = const { Cell::new(Endpoint::UNNAMED) };
}

impl Endpoint {
    /// No name was given.
    pub(crate) const UNNAMED: Self = Self(0);
    const OTHER: Self = Self(u16::MAX);

    /// The number of a name.
    pub(crate) fn named(name: &str) -> Self {
        let mut names = names();
        let known = names.iter().position(|known| known == name);
        let at = known.or_else(|| {
            (names.len() < MOST).then(|| {
                names.push(name.to_owned());
                names.len() - 1
            })
        });
        at.map_or(Self::OTHER, |at| Self(at as u16 + 1))
    }

    /// The name.
    pub(crate) fn name(self) -> String {
        let known = |at| names().get(usize::from(at)).cloned();
        match self.0.checked_sub(1) {
            None => "a service".to_owned(),
            Some(at) => known(at).unwrap_or_else(|| "other".to_owned()),
        }
    }

    /// As a word that threads can share, and back.
    pub(super) fn number(self) -> u16 {
        self.0
    }

    pub(super) fn of_number(number: u16) -> Self {
        Self(number)
    }

    /// That of the exchange that this thread polls.
    pub(crate) fn current() -> Self {
        CURRENT.get()
    }

    pub(super) fn make_current(self) {
        CURRENT.set(self);
    }
}

/// A layer that names the endpoint which it wraps: in the log, and where the watchdog reports who holds
/// a worker.
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
pub struct Named(Endpoint);

#[cfg(feature = "tokio")]
impl<S> tower_layer::Layer<S> for Named {
    type Service = NamedService<S>;

    fn layer(&self, service: S) -> NamedService<S> {
        NamedService { service, endpoint: self.0 }
    }
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
        self.endpoint.make_current();
        super::watched::renamed(self.endpoint);
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number_and_there_is_an_end_of_them() {
        let one = Endpoint::named("/one");
        assert_eq!((Endpoint::named("/one"), one.name().as_str()), (one, "/one"));
        assert_ne!(Endpoint::named("/two"), one);
        assert_eq!(Endpoint::UNNAMED.name(), "a service");
        for number in 0..2 * MOST {
            Endpoint::named(&format!("/filler/{number}"));
        }
        assert_eq!(Endpoint::named("/beyond").name(), "other");
        assert_eq!(Endpoint::of_number(one.number()), one);
    }
}
