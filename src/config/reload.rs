//! What a running server does not take from a new configuration, and why.

use super::{CertificateSource, Config};

impl Config {
    /// The settings in which `new` differs from this one and which only a start brings into force, each
    /// with the reason. All others a running server takes, as far as its confinement allows.
    pub fn needs_restart(&self, new: &Self) -> Vec<String> {
        const THREADS: &str = "threads and their rings are made at the start";
        const MEMORY: &str = "its memory is taken at the start";
        const GIVEN_UP: &str = "it decides what the process gives up, which nothing brings back";
        const OPENED: &str = "it is opened before the process is confined";
        const COUNTED: &str = "connections are counted from the start on, or not at all";
        let mut changed = Vec::new();
        let mut note = |key: &str, differs: bool, why: &str| {
            if differs {
                changed.push(format!("{key}: {why}; restart ringway"));
            }
        };
        note("workers", self.workers != new.workers, THREADS);
        note("pin", self.pin != new.pin, THREADS);
        note("io", self.io != new.io, THREADS);
        note("tls.ktls", self.ktls != new.ktls, "kernel TLS is tried at the start, as root");
        let (old, now) = (&self.limits, &new.limits);
        note("limits.receive_buffers", old.receive_buffers != now.receive_buffers, MEMORY);
        let differs = old.receive_buffer_bytes != now.receive_buffer_bytes;
        note("limits.receive_buffer_size", differs, MEMORY);
        let differs = old.leases_per_connection != now.leases_per_connection;
        note("limits.leases_per_connection", differs, MEMORY);
        note("limits.send_memory", old.send_memory_bytes != now.send_memory_bytes, MEMORY);
        let differs = (old.connections_in_all == 0) != (now.connections_in_all == 0);
        note("limits.max_connections, from or to 0", differs, COUNTED);
        let differs = (old.connections_per_address == 0) != (now.connections_per_address == 0);
        note("limits.max_connections_per_address, from or to 0", differs, COUNTED);
        let (old, now) = (&self.observe, &new.observe);
        note("observe.admin", old.admin != now.admin, OPENED);
        let differs = old.admin_token.is_some() != now.admin_token.is_some();
        note("observe.admin_token, given or not", differs, OPENED);
        note("observe.admin_client_ca", old.admin_client_ca != now.admin_client_ca, OPENED);
        note("observe.access_log", old.access_log != now.access_log, OPENED);
        let differs = old.access_log_one_in != now.access_log_one_in;
        note("observe.access_log_sample", differs, THREADS);
        note("observe.access_log_slow", old.access_log_slow != now.access_log_slow, THREADS);
        note("observe.otlp", old.otlp != now.otlp, THREADS);
        note("observe.otlp_slow", old.otlp_slow != now.otlp_slow, THREADS);
        note("observe.anatomy", old.anatomy != now.anatomy, MEMORY);
        let (old, now) = (&self.process, &new.process);
        note("process.user", old.user != now.user, GIVEN_UP);
        note("process.landlock", old.landlock != now.landlock, GIVEN_UP);
        note("process.core_dumps", old.core_dumps != now.core_dumps, GIVEN_UP);
        note("process.allow_read", old.allow_read != now.allow_read, GIVEN_UP);
        note("process.allow_bind", old.allow_bind != now.allow_bind, GIVEN_UP);
        note("process.allow_connect", old.allow_connect != now.allow_connect, GIVEN_UP);
        note("process.control", old.control != now.control, OPENED);
        note("log.format", self.log_format != new.log_format, "the log is opened at the start");
        // Ringway's own certificate is made by a start, before the process is confined.
        let own = |config: &Self| config.certificate_in_force() == CertificateSource::SelfSigned;
        let differs = !own(self) && own(new);
        note("tls.cert", differs, "Ringway makes its own certificate before it is confined");
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
        new.limits.body_bytes += 1;
        new.timeouts.idle *= 2;
        new.listen.pop();
        new.observe.server_timing = true;
        let mut guarded = old.clone();
        guarded.observe.admin_token = Some("one".into());
        let said = old.needs_restart(&guarded);
        assert!(said.len() == 1 && said[0].starts_with("observe.admin_token, "), "{said:?}");
        new.observe.admin_token = Some("two".into());
        assert!(guarded.needs_restart(&new).is_empty());
        new.observe.admin_token = None;
        assert!(old.needs_restart(&new).is_empty());
        new.workers = Some(3);
        new.limits.send_memory_bytes *= 2;
        let said = old.needs_restart(&new);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("workers: ") && said[1].starts_with("limits.send_memory: "));
    }
}
