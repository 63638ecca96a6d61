//! What is read again when its files change: certificates with their keys, authorities of clients, ticket
//! keys and the admin listener's token.

use std::{path::PathBuf, sync::Arc};

use super::{StartError, patience::within, watch::Watch, watched::Watched};
use crate::{
    config::{AdminToken, CertificatePair, ClientAuth},
    tls::{ClientPolicy, SharedTickets, identity::Certificate},
};

/// Reads a certificate and its key, for the first time.
///
/// # Errors
/// They do not fit each other or cannot be read, or the files do not answer.
pub(super) fn pair(pair: CertificatePair) -> Result<Watched<Certificate>, StartError> {
    let shown = format!("{} and {}", pair.cert.display(), pair.key.display());
    let files = pair.clone();
    let load = move || {
        // Looked at before it is read: a change in between is noticed.
        let watch = Watch::new(vec![files.cert.clone(), files.key.clone()]);
        (watch, Certificate::load(&files.cert, &files.key))
    };
    let (watch, certificate) = within(shown, load)?;
    Ok(Watched {
        what: "certificate",
        watch,
        value: Arc::new(certificate.map_err(StartError::Credentials)?),
        previous: None,
        read: Box::new(move |old| read_pair_again(&pair, old)),
    })
}

/// At the start a certificate that is out of date is better than none; in place of another one it
/// is a mistake.
fn read_pair_again(
    pair: &CertificatePair,
    old: &Certificate,
) -> Result<Option<(Certificate, String)>, String> {
    let new = Certificate::load(&pair.cert, &pair.key).map_err(|error| error.to_string())?;
    if new.is_same(old) {
        return Ok(None);
    }
    let warnings = new.warnings().join("; ");
    if !new.is_in_time() {
        return Err(warnings);
    }
    let (file, names) = (pair.cert.display(), new.names().join(", "));
    let line = format!("replaced by {file}, for {names}, SHA-256 {}", new.fingerprint());
    if !warnings.is_empty() {
        log::warn!("certificate: {warnings}");
    }
    Ok(Some((new, line)))
}

/// Reads the authorities of clients, for the first time.
///
/// # Errors
/// The file holds none, or does not answer.
pub(super) fn authorities(clients: ClientAuth) -> Result<Watched<ClientPolicy>, StartError> {
    let asked = clients.clone();
    let load = move || (Watch::new(vec![asked.ca.clone()]), ClientPolicy::load(&asked));
    let (watch, policy) = within(clients.ca.display(), load)?;
    Ok(Watched {
        what: "authorities of clients",
        watch,
        value: Arc::new(policy.map_err(StartError::Credentials)?),
        previous: None,
        read: Box::new(move |old| {
            let new = ClientPolicy::load(&clients).map_err(|error| error.to_string())?;
            if new.is_same(old) {
                return Ok(None);
            }
            let (file, count) = (clients.ca.display(), new.authorities());
            let line = format!("replaced by the {count} in {file}");
            Ok(Some((new, line)))
        }),
    })
}

/// Reads ticket keys, for the first time.
///
/// # Errors
/// The file holds none, or does not answer.
pub(super) fn ticket_keys(file: PathBuf) -> Result<Watched<SharedTickets>, StartError> {
    let keys = file.clone();
    // Looked at before it is read: a change in between is noticed.
    let load = move || (Watch::new(vec![keys.clone()]), SharedTickets::load(&keys));
    let (watch, keys) = within(file.display(), load)?;
    Ok(Watched {
        what: "ticket keys",
        watch,
        value: Arc::new(keys.map_err(StartError::TicketKeys)?),
        previous: None,
        read: Box::new(move |old| {
            let new = SharedTickets::load(&file).map_err(|error| error.to_string())?;
            if new.is_same(old) {
                return Ok(None);
            }
            let line = format!("replaced by the {} in {}", new.keys(), file.display());
            Ok(Some((new, line)))
        }),
    })
}

/// Reads the admin listener's token, for the first time.
///
/// # Errors
/// The file holds none, or does not answer.
pub(super) fn admin_token(file: PathBuf) -> Result<Watched<AdminToken>, StartError> {
    let token = file.clone();
    let load = move || (Watch::new(vec![token.clone()]), AdminToken::load(&token));
    let (watch, token) = within(file.display(), load)?;
    Ok(Watched {
        what: "admin token",
        watch,
        value: Arc::new(token.map_err(StartError::Config)?),
        previous: None,
        read: Box::new(move |old| {
            let new = AdminToken::load(&file).map_err(|error| error.to_string())?;
            let line = || format!("replaced by the one in {}", file.display());
            Ok((new != *old).then(|| (new, line())))
        }),
    })
}
