//! What an embedding program says of its applications before the start.

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::{Builder, Prepared, StartError, start};
use crate::{
    config::{Action, Compression, Config, ConfigError, Route, RoutePath, ServiceId},
    service::{Applications, Body, WorkerInfo, native::Handler},
};

/// Applications, in place of the folder or beside it.
impl Builder {
    /// Has a service answer every request that no route with a longer path answers: an axum
    /// `Router`, or any other `tower::Service`. Each worker polls a clone of it, so neither its
    /// futures nor its response bodies need be `Send`.
    ///
    /// A panic of the service is a 500 for its request and for nobody else, if the program is built
    /// with `panic = "unwind"`, which is the default of Cargo.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    ///
    /// let app = Router::new().route("/", get(|| async { "Hello" }));
    /// ringway::Server::builder().service(app).start()?.wait()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn service<S, B>(self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        S::Future: 'static,
        B: HttpBody + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.service_at("/", service)
    }

    /// Has a service answer the requests whose path is `path` or lies below it, by whole segments:
    /// `/api` answers `/api` and `/api/x`, not `/apix`. The service sees the whole path. It becomes a
    /// route of every site ([`Config::sites`]); the longest path that fits decides, and what no service
    /// answers is the folder's.
    ///
    /// A start fails if `path` is not one that a [`Route`] can have.
    #[must_use]
    pub fn service_at<S, B>(mut self, path: &str, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        S::Future: 'static,
        B: HttpBody + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.applications.add(path, service);
        self
    }

    /// As [`Self::service`], for a service that is made on the thread of each worker and never leaves
    /// it, so that it need not be `Send`. The worker accepts no connection before `make` is done.
    #[must_use]
    pub fn service_per_worker<S, B, F>(
        self,
        make: impl Fn(WorkerInfo) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = S> + 'static,
        S: Service<Request<Body>, Response = Response<B>> + Clone + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        S::Future: 'static,
        B: HttpBody + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.service_per_worker_at("/", make)
    }

    /// As [`Self::service_at`], for a service that is made on the thread of each worker, as
    /// [`Self::service_per_worker`] says.
    #[must_use]
    pub fn service_per_worker_at<S, B, F>(
        mut self,
        path: &str,
        make: impl Fn(WorkerInfo) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = S> + 'static,
        S: Service<Request<Body>, Response = Response<B>> + Clone + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        S::Future: 'static,
        B: HttpBody + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.applications.add_made(path, make);
        self
    }

    /// Asks a native handler first about requests whose path is `path` or lies below it, by whole
    /// segments. It answers them at the cost of a file, or passes them on to what their path leads to
    /// without it: a service, the folder, a pool. Of several handlers the one with the longest path is
    /// asked. It is asked before users and rates of a route are looked at: those guard what it passes
    /// on, and what it answers it guards itself.
    ///
    /// A start fails if `path` is not one that a [`Route`] can have.
    #[must_use]
    pub fn handler_at(mut self, path: &str, handler: impl Handler) -> Self {
        self.applications.add_handler(path, Arc::new(handler));
        self
    }

    /// Compresses what the service at this path answers, while it is sent, for clients that accept one of
    /// these codings. Default: nothing of a service is compressed. If an answer holds a secret beside
    /// something that the request says, its length shows the secret to those who can send requests in the
    /// client's name (BREACH): compress services whose answers hold none.
    ///
    /// A start fails if no service has that path.
    #[must_use]
    pub fn compress_at(mut self, path: &str, codings: Compression) -> Self {
        self.compressed.push((path.to_owned(), codings));
        self
    }

    /// Gives a service so long for the head of an answer; beyond, its future is dropped and the client
    /// gets 503. Default: as long as it takes.
    #[must_use]
    pub fn handler_timeout(mut self, limit: Duration) -> Self {
        self.applications.handler_timeout = Some(limit);
        self
    }

    /// Has services find this runtime entered on every worker. Default: the runtime in which the server
    /// is started, else one that the server makes for itself.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.applications.runtime = Some(runtime);
        self
    }

    /// As [`Builder::prepare`], with a route for each service.
    pub(super) fn prepare_with_applications(mut self) -> Result<Prepared, StartError> {
        add_routes(&mut self.config, &self.applications).map_err(StartError::Config)?;
        compress(&mut self.config, &self.compressed).map_err(StartError::Config)?;
        let mut prepared = start::prepare(self.config)?;
        prepared.applications = self.applications;
        Ok(prepared)
    }
}

/// Adds a route for each application to every site, in place of one with the same path.
fn add_routes(config: &mut Config, applications: &Applications) -> Result<(), ConfigError> {
    for path in applications.handler_paths() {
        let _: RoutePath = path.parse().map_err(|error| ConfigError::route_path(path, error))?;
    }
    if applications.paths().len() == 0 {
        return Ok(());
    }
    let mut sites = config.sites_in_force().into_owned();
    for (number, path) in applications.paths().enumerate() {
        let path: RoutePath = path.parse().map_err(|error| ConfigError::route_path(path, error))?;
        for site in &mut sites {
            site.routes.retain(|route| route.exact || route.path != path);
            let action = Action::Service(ServiceId(number));
            site.routes.push(Route::new(path.clone(), action));
        }
    }
    config.sites = sites;
    Ok(())
}

/// Has the services at these paths compressed, on every site.
fn compress(config: &mut Config, paths: &[(String, Compression)]) -> Result<(), ConfigError> {
    for (path, codings) in paths {
        let of: RoutePath = path.parse().map_err(|error| ConfigError::route_path(path, error))?;
        let routes = config.sites.iter_mut().flat_map(|site| &mut site.routes);
        let is_service = |route: &&mut Route| {
            route.path == of && !route.exact && matches!(route.action, Action::Service(_))
        };
        let mut found = false;
        for route in routes.filter(is_service) {
            (route.compress, found) = (Some(*codings), true);
        }
        if !found {
            let problem = format_args!("no service is at {path}");
            return Err(ConfigError::new("compress", problem, "give the path of one"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_becomes_a_route_of_every_site() {
        let app = tower_service_fn;
        let builder = crate::Server::builder().service_at("/api/", app()).service_at("/", app());
        let mut config = builder.config.clone();
        add_routes(&mut config, &builder.applications).unwrap();
        let routes: Vec<_> = config.sites[0]
            .routes
            .iter()
            .map(|route| (route.path.to_string(), &route.action))
            .collect();
        assert_eq!(
            routes,
            [
                ("/api".to_owned(), &Action::Service(ServiceId(0))),
                ("/".to_owned(), &Action::Service(ServiceId(1))),
            ],
            "nothing is left of the folder"
        );
        compress(&mut config, &[("/api".to_owned(), Compression::ALL)]).unwrap();
        let compressed = config.sites[0].routes.iter().map(|route| route.compress);
        assert_eq!(compressed.collect::<Vec<_>>(), [Some(Compression::ALL), None]);
        compress(&mut config, &[("/other".to_owned(), Compression::ALL)]).unwrap_err();
        let refused = crate::Server::builder().service_at("api", app()).prepare();
        assert!(matches!(refused, Err(StartError::Config(_))));
    }

    fn tower_service_fn() -> impl Service<
        Request<Body>,
        Response = Response<String>,
        Error = std::convert::Infallible,
        Future = std::future::Ready<Result<Response<String>, std::convert::Infallible>>,
    > + Clone
    + Send {
        #[derive(Clone)]
        struct Hello;
        impl Service<Request<Body>> for Hello {
            type Response = Response<String>;
            type Error = std::convert::Infallible;
            type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

            fn poll_ready(
                &mut self,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), Self::Error>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn call(&mut self, _: Request<Body>) -> Self::Future {
                std::future::ready(Ok(Response::new("hello".to_owned())))
            }
        }
        Hello
    }
}
