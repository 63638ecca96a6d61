//! The admin listener's socket of TCP, with what clients from elsewhere have to pass.

use super::{StartError, tls::Tls};
use crate::{
    config::{AdminAddress, ClientAuth, Config, Demand},
    observe::admin::{AdminSocket, Door},
};

/// Binds the admin listener's address, if it is one of TCP.
///
/// # Errors
/// The address cannot be used.
pub(super) fn bind(config: &Config, tls: &Tls) -> Result<Option<AdminSocket>, StartError> {
    let address = config.observe.admin.as_ref();
    let Some(address) = address.filter(|address: &&AdminAddress| address.as_tcp().is_some()) else {
        return Ok(None);
    };
    let door = if config.observe.guards_admin() {
        let clients = config.observe.admin_clients();
        let demand = clients.as_ref().map_or(Demand::NONE, ClientAuth::demand);
        let shared = tls.config();
        Some(Door::new(Box::new(move || shared.current(demand, false)), tls.admin_token()))
    } else {
        None
    };
    AdminSocket::bind(address, door).map(Some).map_err(StartError::Admin)
}
