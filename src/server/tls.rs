//! Certificates, clients' authorities, ticket keys and the admin token: read at start, and again when they
//! change.
//!
//! The invariant: what is served is always whole and checked. Each pair of certificate and key,
//! the file of authorities, the file of ticket keys and that of the token is replaced by itself, or kept
//! as it is if the new one is bad; then all of them together make a new configuration, which takes the place
//! of the old one in one step. Connections and handshakes that have begun do not notice.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustls::server::ProducesTickets;

use super::{
    StartError,
    patience::within,
    secrets,
    watched::{Outcome, Watched},
};
use crate::{
    config::{AdminToken, CertificateSource, Config, Demand, TlsVersion},
    observe::admin::SharedToken,
    record,
    tls::{
        ClientPolicy, Offer, SharedConfig, SharedTickets, TlsParts,
        identity::{Certificate, Certificates},
        own_tickets,
    },
};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the thread waits to be called where there is nothing to look at.
const FOR_EVER: Duration = Duration::from_secs(24 * 3_600);

/// A certificate that is being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedCertificate {
    /// The PEM file of its chain; empty if it is kept in memory only.
    pub file: PathBuf,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// SHA-256 of it, in pairs of hexadecimal digits parted by colons.
    pub fingerprint: String,
    /// The last second of its validity, since 1970; None if that could not be read.
    pub not_after: Option<i64>,
}

/// Files that were refused; what they held before is still in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadError {
    refusals: Vec<String>,
}

impl ReloadError {
    /// What is wrong, one text for each pair or file.
    pub fn refusals(&self) -> &[String] {
        &self.refusals
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.refusals.join("; "))
    }
}

impl std::error::Error for ReloadError {}

/// What the configuration of TLS is made of at present.
struct State {
    offer: Offer,
    /// What the chains are read from.
    files: Vec<PathBuf>,
    /// Empty for a certificate of our own.
    pairs: Vec<Watched<Certificate>>,
    own: Option<Arc<Certificate>>,
    /// What is demanded of clients, somewhere; the first is for names that no site has.
    clients: Vec<(Demand, Option<Watched<ClientPolicy>>)>,
    tickets: Option<Watched<SharedTickets>>,
    own_tickets: Arc<dyn ProducesTickets>,
    admin_token: Option<Watched<AdminToken>>,
    make: fn(TlsParts, Offer) -> Result<Arc<rustls::ServerConfig>, rustls::Error>,
}

/// What the thread that watches is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Look,
    ReadAll,
    End,
}

/// The server's side of TLS, shared with the thread that replaces it.
pub(super) struct Tls {
    config: Arc<SharedConfig>,
    admin_token: Option<Arc<SharedToken>>,
    state: Mutex<State>,
    message: Mutex<Message>,
    called: Condvar,
}

impl Tls {
    /// Reads everything, and watches from then on.
    pub(super) fn load(config: &Config) -> Result<Arc<Self>, StartError> {
        let state = State::load(config)?;
        for certificate in state.certificates() {
            for warning in certificate.warnings() {
                log::warn!("certificate: {warning}");
            }
        }
        let built = state.build().map_err(StartError::Tls)?;
        let token = state.admin_token.as_ref().map(|token| SharedToken::new(*token.value));
        Ok(Arc::new(Self {
            config: Arc::new(SharedConfig::of(built)),
            admin_token: token.map(Arc::new),
            state: Mutex::new(state),
            message: Mutex::new(Message::Look),
            called: Condvar::new(),
        }))
    }

    /// What the workers begin handshakes with.
    pub(super) fn config(&self) -> Arc<SharedConfig> {
        Arc::clone(&self.config)
    }

    /// What clients of the admin listener have to send, if anything.
    pub(super) fn admin_token(&self) -> Option<Arc<SharedToken>> {
        self.admin_token.clone()
    }

    /// What is served at present.
    pub(super) fn certificates(&self) -> Vec<ServedCertificate> {
        let state = self.state();
        let served = |(file, certificate): (&PathBuf, Arc<Certificate>)| ServedCertificate {
            file: file.clone(),
            names: certificate.names().to_vec(),
            fingerprint: certificate.fingerprint().to_owned(),
            not_after: certificate.not_after(),
        };
        state.files.iter().zip(state.certificates()).map(served).collect()
    }

    /// Reads what has changed, or everything if `forced`, and puts it to use. Answers how many
    /// pairs and files gave something new.
    pub(super) fn refresh(&self, forced: bool) -> Result<usize, ReloadError> {
        let mut state = self.state();
        let Outcome { replaced, mut refusals } = state.refresh(forced);
        if !replaced.is_empty() {
            match state.build() {
                Ok(config) => {
                    state.settle(Ok(()));
                    self.config.replace(config);
                    self.take_token(&state);
                    for line in &replaced {
                        log::info!("{line}");
                    }
                }
                Err(error) => {
                    state.settle(Err(&error));
                    log::error!("TLS configuration: not replaced: {error}");
                    refusals.push(error.to_string());
                }
            }
        }
        let replaced = replaced.len();
        if refusals.is_empty() { Ok(replaced) } else { Err(ReloadError { refusals }) }
    }

    /// Reads everything that another configuration names, and builds what it says, under the ticket keys
    /// of this process if it names none. Nothing changes yet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn prepare(&self, config: &Config) -> Result<NewTls, StartError> {
        let mut state = State::load_beside(config, self.state().own.as_ref())?;
        state.own_tickets = Arc::clone(&self.state().own_tickets);
        let built = state.build().map_err(StartError::Tls)?;
        Ok(NewTls { state, built })
    }

    /// Puts what was prepared to use, for handshakes that begin from now on.
    pub(super) fn put_to_use(&self, new: NewTls) {
        let mut state = self.state();
        *state = new.state;
        self.config.replace(new.built);
        self.take_token(&state);
        drop(state);
        // The thread may wait for a call, since there was nothing to look at.
        self.called.notify_all();
    }

    /// A reload neither begins nor ends to demand a token.
    fn take_token(&self, state: &State) {
        if let (Some(shared), Some(token)) = (&self.admin_token, &state.admin_token) {
            shared.replace(*token.value);
        }
    }

    /// Starts the thread that looks at the files, so that no worker has to. It is not waited for at
    /// the end: a network file system may hold it.
    pub(super) fn watch(self: &Arc<Self>) -> Result<(), StartError> {
        let tls = Arc::clone(self);
        let thread = thread::Builder::new().name("certificates".to_owned());
        thread.spawn(move || tls.keep_watch()).map(drop).map_err(StartError::Thread)
    }

    /// Has everything read again, by that thread.
    pub(super) fn call(&self) {
        self.send(Message::ReadAll);
    }

    /// Ends that thread.
    pub(super) fn end(&self) {
        self.send(Message::End);
    }

    fn send(&self, message: Message) {
        let mut waiting = self.message.lock().unwrap_or_else(PoisonError::into_inner);
        if *waiting != Message::End {
            *waiting = message;
        }
        self.called.notify_all();
    }

    fn keep_watch(&self) {
        loop {
            let interval = if self.state().watches_any() { INTERVAL } else { FOR_EVER };
            let message = {
                let waiting = self.message.lock().unwrap_or_else(PoisonError::into_inner);
                let (mut waiting, _) = self
                    .called
                    .wait_timeout_while(waiting, interval, |message| *message == Message::Look)
                    .unwrap_or_else(PoisonError::into_inner);
                let message = *waiting;
                if message == Message::ReadAll {
                    *waiting = Message::Look;
                }
                message
            };
            match message {
                Message::End => return,
                // Refusals have been logged.
                Message::Look => _ = self.refresh(false),
                Message::ReadAll => {
                    if self.refresh(true) == Ok(0) {
                        log::info!(
                            "reload: certificates, authorities, keys and the admin token are as before"
                        );
                    }
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What another configuration says of TLS, ready to be put to use.
pub(super) struct NewTls {
    state: State,
    built: Built,
}

/// A configuration for each demand on clients.
type Built = Vec<(Demand, Arc<rustls::ServerConfig>)>;

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Reads everything that a start would, and gives it back; answers with warnings. A certificate that
/// Ringway makes itself is not made.
///
/// # Errors
/// What would keep a server from starting.
pub(crate) fn try_tls(config: &Config) -> Result<Vec<String>, StartError> {
    super::start::trust(config)?;
    if config.certificate_in_force() == CertificateSource::SelfSigned {
        for clients in config.demands().into_iter().flatten() {
            ClientPolicy::load(&clients).map_err(StartError::Credentials)?;
        }
        return Ok(Vec::new());
    }
    let state = State::load(config)?;
    state.build().map_err(StartError::Tls)?;
    let certificates = state.certificates();
    let warnings = certificates.iter().flat_map(|certificate| certificate.warnings());
    Ok(warnings.map(|warning| format!("certificate: {warning}")).collect())
}

impl State {
    fn load(config: &Config) -> Result<Self, StartError> {
        Self::load_beside(config, None)
    }

    /// The same, with a certificate that Ringway has made before.
    fn load_beside(config: &Config, own: Option<&Arc<Certificate>>) -> Result<Self, StartError> {
        let mut state = Self {
            offer: Offer {
                minimum: match config.tls_min {
                    TlsVersion::V12 => record::TlsVersion::Tls12,
                    TlsVersion::V13 => record::TlsVersion::Tls13,
                },
                http2: config.http2,
            },
            files: Vec::new(),
            pairs: Vec::new(),
            own: None,
            clients: Vec::new(),
            tickets: None,
            own_tickets: own_tickets().map_err(StartError::Tls)?,
            admin_token: None,
            make: TlsParts::server_config,
        };
        match &config.certificate_in_force() {
            CertificateSource::Files(pairs) => {
                for pair in pairs {
                    state.files.push(pair.cert.clone());
                    state.pairs.push(secrets::pair(pair.clone())?);
                }
            }
            CertificateSource::SelfSigned => {
                if let Some(own) = own {
                    state.files.push(PathBuf::new());
                    state.own = Some(Arc::clone(own));
                } else {
                    let (certificate, file) = self_signed()?;
                    state.files.push(file);
                    state.own = Some(Arc::new(certificate));
                }
            }
        }
        for clients in config.demands() {
            let Some(clients) = clients else {
                state.clients.push((Demand::NONE, None));
                continue;
            };
            let demand = clients.demand();
            state.clients.push((demand, Some(secrets::authorities(clients)?)));
        }
        if let Some(file) = config.ticket_keys.clone() {
            state.tickets = Some(secrets::ticket_keys(file)?);
        }
        if let Some(file) = config.observe.admin_token.clone() {
            state.admin_token = Some(secrets::admin_token(file)?);
        }
        Ok(state)
    }

    fn watches_any(&self) -> bool {
        !self.pairs.is_empty()
            || self.clients.iter().any(|(_, clients)| clients.is_some())
            || self.tickets.is_some()
            || self.admin_token.is_some()
    }

    /// In the order of the configuration.
    fn certificates(&self) -> Vec<Arc<Certificate>> {
        let read = self.pairs.iter().map(|pair| Arc::clone(&pair.value));
        self.own.iter().cloned().chain(read).collect()
    }

    fn refresh(&mut self, forced: bool) -> Outcome {
        let mut outcome = Outcome::default();
        for pair in &mut self.pairs {
            pair.refresh(forced, &mut outcome);
        }
        for clients in self.clients.iter_mut().filter_map(|(_, clients)| clients.as_mut()) {
            clients.refresh(forced, &mut outcome);
        }
        if let Some(tickets) = &mut self.tickets {
            tickets.refresh(forced, &mut outcome);
        }
        if let Some(token) = &mut self.admin_token {
            token.refresh(forced, &mut outcome);
        }
        outcome
    }

    /// Takes over what was read, or gives it up, according to what came of building with it.
    fn settle(&mut self, built: Result<(), &rustls::Error>) {
        for pair in &mut self.pairs {
            pair.settle(built);
        }
        for clients in self.clients.iter_mut().filter_map(|(_, clients)| clients.as_mut()) {
            clients.settle(built);
        }
        if let Some(tickets) = &mut self.tickets {
            tickets.settle(built);
        }
        if let Some(token) = &mut self.admin_token {
            token.settle(built);
        }
    }

    fn build(&self) -> Result<Built, rustls::Error> {
        let tickets = match &self.tickets {
            Some(shared) => Arc::clone(&shared.value) as Arc<dyn ProducesTickets>,
            None => Arc::clone(&self.own_tickets),
        };
        let certificates = Arc::new(Certificates::new(self.certificates()));
        let built = self.clients.iter().map(|(demand, clients)| {
            let parts = TlsParts {
                certificates: Arc::clone(&certificates),
                clients: clients.as_ref().map(|clients| Arc::clone(&clients.value)),
                tickets: Arc::clone(&tickets),
            };
            Ok((*demand, (self.make)(parts, self.offer)?))
        });
        built.collect()
    }
}

#[cfg(not(feature = "self-signed"))]
fn self_signed() -> Result<(Certificate, PathBuf), StartError> {
    let why = "this build has no feature `self-signed`; configure a certificate and its key";
    Err(StartError::SelfSigned(why.to_owned()))
}

#[cfg(feature = "self-signed")]
fn self_signed() -> Result<(Certificate, PathBuf), StartError> {
    use crate::tls::identity::{SelfSigned, Storage};
    let made = within("the folder of Ringway's own certificate", SelfSigned::obtain)?;
    let made = made.map_err(|error| StartError::SelfSigned(error.to_string()))?;
    let file = match made.storage {
        Storage::Kept { certificate } => certificate,
        Storage::MemoryOnly { reason } => {
            log::warn!("certificate: kept in memory only, {reason}");
            PathBuf::new()
        }
    };
    Ok((Certificate::new(made.credentials).map_err(StartError::Tls)?, file))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
