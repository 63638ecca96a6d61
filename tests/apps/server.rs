//! A server in this process, which answers with an application.

use std::{
    error::Error,
    net::SocketAddr,
    process::Command,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{Request, Response};
use ringway::{
    Body,
    config::{Config, KtlsMode, Timeouts},
    server::{Builder, RunningServer},
};
use tower_service::Service;

/// A server; it ends when it is dropped.
pub(crate) struct Running {
    server: Option<RunningServer>,
    folder: tempfile::TempDir,
}

/// A server of an application with a worker.
pub(crate) fn serve<S, B>(app: S) -> Running
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: 'static,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    start(|builder| builder.service(app))
}

/// A server as `build` says, over a folder with one file.
pub(crate) fn start(build: impl FnOnce(Builder) -> Builder) -> Running {
    configured(Config::default(), build)
}

/// Whether this is a guest that is there to test kernel TLS.
pub(crate) fn kernel_tls_is_required() -> bool {
    std::env::var_os("RINGWAY_REQUIRE_KTLS").is_some_and(|value| value == "1")
}

/// The same with a configuration. Where kernel TLS is there to be tested, the kernel protects records.
pub(crate) fn configured(mut config: Config, build: impl FnOnce(Builder) -> Builder) -> Running {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file.txt"), "a file\n").unwrap();
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.io = crate::io::io();
    // Unless a test says otherwise, as long as no machine stands still.
    let usual = Timeouts::default();
    let times = &mut config.timeouts;
    for (time, usual) in [
        (&mut times.handshake, usual.handshake),
        (&mut times.head, usual.head),
        (&mut times.body_progress, usual.body_progress),
        (&mut times.idle, usual.idle),
        (&mut times.process, usual.process),
        (&mut times.response_stall, usual.response_stall),
    ] {
        if *time == usual {
            *time = Duration::from_secs(300);
        }
    }
    if kernel_tls_is_required() {
        config.ktls = KtlsMode::On;
    }
    let builder = Builder::from(config)
        .root(folder.path())
        .certificate(&identity().0, &identity().1)
        .workers(1);
    let server = build(builder).start().unwrap();
    Running { server: Some(server), folder }
}

/// A certificate for `localhost` and its key, as files that last as long as the process.
fn identity() -> &'static (std::path::PathBuf, std::path::PathBuf) {
    static IDENTITY: OnceLock<(tempfile::TempDir, (std::path::PathBuf, std::path::PathBuf))> =
        OnceLock::new();
    let (_, files) = IDENTITY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (folder, (cert, key))
    });
    files
}

impl Running {
    pub(crate) fn address(&self) -> SocketAddr {
        self.get().addresses()[0]
    }

    /// The folder of files.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn get(&self) -> &RunningServer {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address().port())
    }

    /// What curl prints for HTTP/1.1, asked for `path` with further arguments: head and content.
    pub(crate) fn curl(&self, path: &str, arguments: &[&str]) -> String {
        let (status, text) = self.try_curl(path, arguments);
        assert_eq!(status, Some(0), "curl failed: {text}");
        text
    }

    /// The same with curl's exit status.
    pub(crate) fn try_curl(&self, path: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new("curl")
            .args(["-skS", "--http1.1", "--max-time", "300", "-i"])
            .args(["--resolve", &format!("localhost:{}:127.0.0.1", self.address().port())])
            .args(arguments)
            .arg(self.url(path))
            .output()
            .expect("curl is installed");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Ends the server; says what it did.
    pub(crate) fn end(mut self) -> ringway::observe::Counts {
        let server = self.server.take().unwrap();
        server.handle().drain(Duration::from_secs(60));
        server.wait().unwrap()
    }
}

/// A client that takes any certificate.
pub(crate) fn client_config() -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(super::client::Trusting::default()))
        .with_no_client_auth();
    Arc::new(config)
}
