//! What a running server takes from a new configuration, and what only a new start does.

use super::{CertificateSource, Config};

impl Config {
    /// The settings in which `new` differs from this one and which only a start brings into force: they
    /// made threads, memory, sockets or rules of confinement. Sites, certificates, authorities of
    /// clients and ticket keys are not among them.
    pub fn needs_restart(&self, new: &Self) -> Vec<String> {
        let mut changed = Vec::new();
        let mut note = |what: &str, differs: bool| {
            if differs {
                changed.push(what.to_owned());
            }
        };
        note("listen", self.listen != new.listen);
        note("plain", self.plain != new.plain);
        note("redirect", self.redirect != new.redirect);
        note("workers", self.workers != new.workers);
        note("pin", self.pin != new.pin);
        note("io", self.io != new.io);
        note("tls.ktls", self.ktls != new.ktls);
        note("limits", self.limits != new.limits);
        note("timeouts", self.timeouts != new.timeouts);
        note("observe", self.observe != new.observe);
        note("process", self.process != new.process);
        note("log", self.log_format != new.log_format);
        note("pool", self.pools != new.pools);
        // Ringway's own certificate is made by a start, before the process is confined.
        let own = |config: &Self| config.certificate_in_force() == CertificateSource::SelfSigned;
        note("certificates, to one that Ringway makes itself", !own(self) && own(new));
        // What lists folders has memory set aside for it.
        note("listing, which no route had", !self.lists_folders() && new.lists_folders());
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, Fixed, Route, RoutePath, Site};

    #[test]
    fn sites_and_certificates_need_no_restart() {
        let old = Config { certificate: CertificateSource::pair("a", "b"), ..Config::default() };
        let mut new = old.clone();
        let route = Route::new(RoutePath::default(), Action::Fixed(Fixed::default()));
        new.sites.push(Site::default().with_route(route));
        new.certificate = CertificateSource::pair("c", "d");
        new.ticket_keys = Some("keys".into());
        assert!(old.needs_restart(&new).is_empty());
        new.limits.connections += 1;
        new.listen.pop();
        assert_eq!(old.needs_restart(&new), ["listen", "limits"]);
    }
}
