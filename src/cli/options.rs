//! The command line, as clap derives it. Every default stands in [`crate::config`] alone: an
//! option that is not given leaves the configuration's value as it is.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use log::LevelFilter;

use super::{anatomy::Target, units};
use crate::config::{
    AccessLogTarget, AdminAddress, CertificateSource, ClientAuth, ClientAuthMode, Config,
    ConfigError, FieldLine, IoMode, KtlsMode, LandlockMode, ListenAddress, LogFormat,
    ObserveOptions, ProcessOptions, TlsVersion, UserSpec,
};

/// What is printed after the help of the program and in its man page.
const EXIT_CODES: &str = "\
Exit codes:
  0    done; for a server, drained after SIGTERM or SIGINT
  1    failed while running
  2    the command line or the configuration is wrong
  3    this host lacks something that was asked for, see `ringway doctor`
  130  ended at once by SIGINT during the start, or by a second one
  143  ended at once by SIGTERM during the start, or by a second one";

/// An HTTPS server on io_uring, with kernel TLS where the kernel has it.
#[derive(Debug, Parser)]
#[command(name = "ringway", version, about, after_help = EXIT_CODES, max_term_width = 100)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve a folder over HTTPS
    Serve(Box<Serve>),
    /// Put HTTPS in front of an application server
    Proxy(super::proxy::Proxy),
    /// Say what this host offers, what Ringway will do with it, and how to change it
    Doctor(Doctor),
    /// Look at one request as a client: where its time went
    Anatomy(Anatomy),
    /// Watch a running server in the terminal: rates, stages, ends, workers, slowest requests
    Top(Top),
    /// Print the man page
    Man,
    /// Print the completions of a shell
    Completions {
        /// The shell to print for
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// The options of `ringway anatomy`.
#[derive(Debug, Args)]
#[command(after_help = "Trusted are this host's authorities, what --cacert names, and the \
    certificate that Ringway made for this user. Two connections are made: one with a full \
    handshake, and one that resumes it.")]
pub(super) struct Anatomy {
    /// What to ask for, as https://host:port/path
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    pub(super) url: Target,
    /// Certificate or authority to trust besides, in PEM; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) cacert: Vec<PathBuf>,
    /// Go on whatever the certificate is, and say what is wrong with it
    #[arg(long)]
    pub(super) insecure: bool,
    /// Rounds of both connections, at most 1000; of several the medians are shown [default: 1, with
    /// --watch no end]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) repeat: Option<u16>,
    /// Ask again and again, a line for each: our wait, and what of it the server does not explain
    #[arg(long, conflicts_with = "json")]
    pub(super) watch: bool,
    /// With --watch, how long to wait between requests
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::time)]
    pub(super) every: Duration,
    /// Request method
    #[arg(long, value_name = "METHOD", default_value = "GET", ignore_case = true)]
    pub(super) method: Method,
    /// For each connection, from connecting to the last byte
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::time)]
    pub(super) timeout: Duration,
    /// Print one JSON object instead of a picture
    #[arg(long)]
    pub(super) json: bool,
}

/// The options of `ringway top`.
#[derive(Debug, Args)]
#[command(after_help = "The server has to run with --admin. From elsewhere: \
    ssh -t HOST ringway top.")]
pub(super) struct Top {
    /// The server's --admin address: 127.0.0.1:PORT or unix:/path
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub(super) admin: AdminAddress,
    /// How often to ask
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::time)]
    pub(super) every: Duration,
    /// The time to show, up to an hour
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = units::time)]
    pub(super) since: Duration,
    /// Print one picture and end; the same if standard output is no terminal
    #[arg(long)]
    pub(super) once: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Method {
    #[value(name = "GET")]
    Get,
    #[value(name = "HEAD")]
    Head,
}

impl Method {
    /// As the request line has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

/// The options of `ringway serve`.
#[derive(Debug, Args)]
#[command(after_help = "Sizes: 512, 64KiB, 1MiB, 2GiB. Times: 250ms, 10s, 2m, 1h.")]
pub(super) struct Serve {
    /// The folder to serve
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    root: PathBuf,

    /// Address and port to listen on, [::]:PORT for every address; may be repeated [default: 127.0.0.1:8443 and [::1]:8443]
    #[allow(rustdoc::broken_intra_doc_links, reason = "an address, not a link")]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<ListenAddress>,

    /// Worker threads, one ring each [default: the CPUs that this process may use]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,

    /// Leave the workers to the scheduler instead of pinning each to a CPU
    #[arg(long)]
    no_pin: bool,

    /// What workers run on: io_uring, or epoll where the host refuses io_uring; io_uring alone; or
    /// epoll alone
    #[arg(long, value_name = "WHAT", default_value = "auto")]
    io: IoOption,
    #[command(flatten)]
    tls: Tls,
    #[command(flatten)]
    site: Site,
    #[command(flatten)]
    log: LogOptions,
    #[command(flatten)]
    observe: Observe,
    #[command(flatten)]
    process: Process,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    times: TimeOptions,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
struct Tls {
    /// Certificate chain in PEM, leaf first; may be repeated, each with its --key, and is chosen by
    /// the name that a client asks for, the first for all others [default: one that Ringway makes
    /// and keeps]
    #[arg(long, value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    cert: Vec<PathBuf>,
    /// Private key in PEM: PKCS#8, SEC1 or PKCS#1; the first belongs to the first --cert, and so on
    #[arg(long, value_name = "FILE", requires = "cert", value_hint = ValueHint::FilePath)]
    key: Vec<PathBuf>,
    /// Ask clients for a certificate by an authority in this PEM file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    client_ca: Option<PathBuf>,
    /// Whether a client may come without a certificate [default: required]
    #[arg(long, value_name = "WHEN", requires = "client_ca")]
    client_auth: Option<ClientAuthOption>,
    /// Keys of session tickets, shared by servers that resume each other's sessions: lines made by
    /// `openssl rand -base64 32`; the first seals, all open [default: keys of this process alone]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ticket_keys: Option<PathBuf>,
    /// Record protection by the kernel: where that costs less, always, for sending alone, or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    ktls: Ktls,
    /// The oldest TLS version to accept
    #[arg(long = "tls-min", value_name = "VERSION", default_value = "1.2")]
    oldest: MinVersion,
    /// Offer HTTP/1.1 alone, not HTTP/2
    #[arg(long, hide = true)]
    no_h2: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Site")]
struct Site {
    /// File in DIR that answers every path that names no file, as single-page applications want
    #[arg(long, value_name = "FILE")]
    spa: Option<PathBuf>,
    /// Answer a folder without an index file with a listing
    #[arg(long)]
    listing: bool,
    /// Answer 404 where a path leads over a symbolic link
    #[arg(long)]
    no_follow: bool,
    /// Name of the file that answers for its folder [default: index.html]
    #[arg(long, value_name = "NAME")]
    index: Option<String>,
    /// Field line for every response, as 'Name: value'; may be repeated
    #[arg(long, value_name = "FIELD")]
    header: Vec<FieldLine>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
struct LogOptions {
    /// Form of the log on standard error, and of the access log
    #[arg(long, value_name = "FORM", default_value = "text")]
    log_format: LogForm,
    /// Least level to log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", env = "RINGWAY_LOG", default_value = "info")]
    log_level: LevelFilter,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Observation")]
struct Observe {
    /// Serve metrics and a live page of where time and copies go: 127.0.0.1:PORT or unix:/path
    #[arg(long, value_name = "ADDR")]
    admin: Option<AdminAddress>,
    /// Write a line for each request, - for standard output; SIGUSR1 opens the file anew
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    access_log: Option<PathBuf>,
    /// Send clients the stages of their requests in the field Server-Timing
    #[arg(long)]
    server_timing: bool,
    /// Neither time stages nor count copies, to measure what that costs
    #[arg(long)]
    no_anatomy: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Privileges")]
struct Process {
    /// Become this user once ports are bound and keys are read; names or numbers
    #[arg(long, value_name = "NAME[:GROUP]")]
    user: Option<UserSpec>,
    /// Confine the process to its files by Landlock: where the kernel has it, always, or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    landlock: Landlock,
    /// Let a crash leave a memory image, and debuggers look inside: both see private keys
    #[arg(long)]
    core_dumps: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Landlock {
    Auto,
    On,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ClientAuthOption {
    Optional,
    Required,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum IoOption {
    Auto,
    Ring,
    Poll,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ktls {
    Auto,
    On,
    Send,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MinVersion {
    #[value(name = "1.2")]
    V12,
    #[value(name = "1.3")]
    V13,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogForm {
    Text,
    Json,
}

/// Declares a group of optional overrides: for each its documentation, its name on the command
/// line, its type and parser, and the value that it replaces.
macro_rules! overrides {
    ($name:ident of $target:ty, under $heading:literal {
        $($(#[$doc:meta])* $option:ident $flag:literal $unit:literal:
            $kind:ty = $parser:expr => $field:ident,)*
    }) => {
        #[derive(Debug, Args)]
        #[command(next_help_heading = $heading)]
        struct $name {
            $($(#[$doc])* #[arg(long = $flag, value_name = $unit, value_parser = $parser)]
            $option: Option<$kind>,)*
        }

        impl $name {
            fn apply(&self, target: &mut $target) {
                $(if let Some(value) = self.$option { target.$field = value; })*
            }
        }
    };
}

overrides! {
    LimitOptions of crate::config::Limits, under "Limits" {
        /// Open connections per worker [default: 10000]
        connections "connections" "N": usize = number::<usize> => connections,
        /// Open connections on all workers together, 0 for no limit [default: 0]
        in_all "max-connections" "N": usize = number::<usize> => connections_in_all,
        /// Open connections of one address, an IPv6 one by its /64, 0 for no limit [default: 0]
        per_address "max-connections-per-address" "N": usize = number::<usize>
            => connections_per_address,
        /// Handshakes in flight per worker [default: 1024]
        handshakes "handshakes" "N": usize = number::<usize> => handshakes,
        /// Receive buffers per worker, a power of two [default: 1024]
        receive_buffers "receive-buffers" "N": usize = number::<usize> => receive_buffers,
        /// Size of one receive buffer [default: 16KiB]
        receive_buffer_size "receive-buffer-size" "SIZE": usize = units::memory
            => receive_buffer_bytes,
        /// Receive buffers that one connection may hold at a time [default: 4]
        leases "leases-per-connection" "N": usize = number::<usize> => leases_per_connection,
        /// Registered send memory per worker [default: 8MiB]
        send_memory "send-memory" "SIZE": usize = units::memory => send_memory_bytes,
        /// Largest request head; beyond it 431 [default: 16KiB]
        max_head "max-head" "SIZE": usize = units::memory => head_bytes,
        /// Most field lines in a request head; beyond them 431 [default: 100]
        max_fields "max-fields" "N": usize = number::<usize> => head_fields,
        /// Longest request target; beyond it 414 [default: 8KiB]
        max_target "max-target" "SIZE": usize = units::memory => target_bytes,
        /// Largest request body; beyond it 413 [default: 1MiB]
        max_body "max-body" "SIZE": u64 = units::bytes => body_bytes,
        /// Most requests on one connection [default: 1000000]
        max_requests "max-requests" "N": u64 = number::<u64> => requests_per_connection,
        /// Most streams of an HTTP/2 connection at a time [default: 100]
        h2_streams "h2-streams" "N": usize = number::<usize> => h2_streams,
        /// File content that a worker caches [default: 64MiB]
        file_cache "file-cache" "SIZE": usize = units::memory => file_cache_bytes,
        /// Largest file that is cached [default: 1MiB]
        file_cache_max_file "file-cache-max-file" "SIZE": usize = units::memory
            => file_cache_max_file,
        /// Most files that a worker knows at a time [default: 4096]
        file_cache_entries "file-cache-entries" "N": usize = number::<usize> => file_cache_entries,
    }
}

overrides! {
    TimeOptions of crate::config::Timeouts, under "Timeouts" {
        /// For the TLS handshake [default: 10s]
        handshake "handshake-timeout" "TIME": Duration = units::time => handshake,
        /// For a request head; beyond it 408 [default: 10s]
        head "head-timeout" "TIME": Duration = units::time => head,
        /// Between a response and the next request [default: 60s]
        idle "idle-timeout" "TIME": Duration = units::time => idle,
        /// Between two pieces of a request body; beyond it 408 [default: 10s]
        body "body-timeout" "TIME": Duration = units::time => body_progress,
        /// Least bytes per second of a request body, 0 for none [default: 500]
        body_rate "body-min-rate" "RATE": u64 = units::bytes => body_min_rate,
        /// For opening a file or listing a folder; beyond it 503 [default: 10s]
        process "process-timeout" "TIME": Duration = units::time => process,
        /// Between two advances of a response [default: 30s]
        response "response-timeout" "TIME": Duration = units::time => response_stall,
        /// Least bytes per second of a response, 0 for none [default: 500]
        response_rate "response-min-rate" "RATE": u64 = units::bytes => response_min_rate,
        /// For the last bytes of a connection to leave [default: 2s]
        close "close-timeout" "TIME": Duration = units::time => close,
        /// For requests in flight when the server stops [default: 30s]
        drain "drain-timeout" "TIME": Duration = units::time => drain,
    }
}

fn number<N: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str) -> Result<N, N::Err> {
    text.parse()
}

impl Serve {
    /// The configuration that these options ask for, not yet checked.
    ///
    /// # Errors
    /// Options that do not fit together, so that no configuration can hold them.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        let mut config = Config { root: self.root.clone(), ..Config::default() };
        if !self.listen.is_empty() {
            config.listen = self.listen.iter().map(|address| address.0).collect();
        }
        config.workers = self.workers;
        config.pin = !self.no_pin;
        config.io = match self.io {
            IoOption::Auto => IoMode::Auto,
            IoOption::Ring => IoMode::Ring,
            IoOption::Poll => IoMode::Poll,
        };
        config.certificate = CertificateSource::paired(&self.tls.cert, &self.tls.key)?;
        config.client_auth = self.tls.client_ca.clone().map(|ca| ClientAuth {
            ca,
            mode: match self.tls.client_auth {
                Some(ClientAuthOption::Optional) => ClientAuthMode::Optional,
                Some(ClientAuthOption::Required) => ClientAuthMode::Required,
                None => ClientAuthMode::default(),
            },
        });
        config.ticket_keys.clone_from(&self.tls.ticket_keys);
        config.ktls = match self.tls.ktls {
            Ktls::Auto => KtlsMode::Auto,
            Ktls::On => KtlsMode::On,
            Ktls::Send => KtlsMode::Send,
            Ktls::Off => KtlsMode::Off,
        };
        config.tls_min = match self.tls.oldest {
            MinVersion::V12 => TlsVersion::V12,
            MinVersion::V13 => TlsVersion::V13,
        };
        config.http2 &= !self.tls.no_h2;
        config.site.spa.clone_from(&self.site.spa);
        config.site.listing = self.site.listing;
        config.site.follow_links &= !self.site.no_follow;
        if let Some(index) = &self.site.index {
            config.site.index.clone_from(index);
        }
        config.site.headers.clone_from(&self.site.header);
        config.log_format = match self.log.log_format {
            LogForm::Text => LogFormat::Text,
            LogForm::Json => LogFormat::Json,
        };
        config.observe = ObserveOptions {
            admin: self.observe.admin.clone(),
            access_log: self.observe.access_log.clone().map(AccessLogTarget::from),
            server_timing: self.observe.server_timing,
            anatomy: !self.observe.no_anatomy,
        };
        config.process = ProcessOptions {
            user: self.process.user.clone(),
            landlock: match self.process.landlock {
                Landlock::Auto => LandlockMode::Auto,
                Landlock::On => LandlockMode::On,
                Landlock::Off => LandlockMode::Off,
            },
            core_dumps: self.process.core_dumps,
        };
        self.limits.apply(&mut config.limits);
        self.times.apply(&mut config.timeouts);
        Ok(config)
    }

    /// The least level of records to log.
    pub(super) fn log_level(&self) -> LevelFilter {
        self.log.log_level
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
