//! The client of a request: the other end of its connection, the client that a balancer announced for
//! the connection, or the one that a trusted proxy names in the request's own fields.

use std::{
    cell::Cell,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use super::{
    Context, client,
    exchange::{About, EachField},
    sites::Terms,
};
use crate::{
    config::ForwardedForm,
    observe::{ConnectionClock, RequestClock},
    parse::{HopForm, Hops},
    ring::Socket,
};

/// A request as far as its client is concerned. What has to be asked of the kernel or looked for among
/// the fields is so once, and only if it is wanted.
pub(super) struct Sender<'r> {
    terms: Rc<Terms>,
    socket: &'r Socket,
    clock: &'r ConnectionClock,
    about: &'r About,
    pub(super) fields: &'r dyn EachField,
    found: Cell<Option<IpAddr>>,
}

impl<'r> Sender<'r> {
    /// A request with these fields on a connection. If proxies are trusted to name the client, the log
    /// has the one that they name.
    pub(super) fn new(
        context: &'r Context,
        socket: &'r Socket,
        clock: &'r ConnectionClock,
        about: &'r About,
        fields: &'r dyn EachField,
        request: &mut RequestClock,
    ) -> Self {
        let terms = context.terms();
        let this = Self { terms, socket, clock, about, fields, found: Cell::new(None) };
        if this.terms.forwarded.is_some() {
            let named = this.address().filter(|ip| this.peer().is_some_and(|p| p.ip() != *ip));
            if let Some(client) = named {
                request.comes_from(client);
            }
        }
        this
    }

    fn peer(&self) -> Option<SocketAddr> {
        if let Some(peer) = self.about.peer.get() {
            return Some(**peer);
        }
        let peer = client(self.socket, self.clock)?;
        Some(**self.about.peer.get_or_init(|| Box::new(peer)))
    }

    /// The client's address; None if the connection is gone, and there is nobody to answer.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let address = self.found.get().or_else(|| self.find());
        self.found.set(address);
        address
    }

    fn find(&self) -> Option<IpAddr> {
        let peer = self.peer()?.ip();
        let Some(forwarded) = &self.terms.forwarded else { return Some(peer) };
        if !forwarded.trusts(peer) {
            return Some(peer);
        }
        let form = match forwarded.form {
            ForwardedForm::XForwarded => HopForm::Addresses,
            ForwardedForm::Forwarded => HopForm::Standard,
        };
        let mut hops = Hops::new(form);
        self.fields.each(&mut |name, value| {
            if name.eq_ignore_ascii_case(form.field()) {
                hops.line(value);
            }
        });
        Some(hops.client(peer, |hop| forwarded.trusts(hop)))
    }
}
