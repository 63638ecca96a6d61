//! Warnings about pools whose settings are valid and unwise: times that do not fit each other cause most 502s,
//! work for clients that have left, and answers that a deployment cuts off.

use std::time::Duration;

use super::{Config, PoolOptions, UpstreamAddress};

/// Node, uvicorn and Apache close unused connections after so long; few servers do it earlier.
const USUAL_IDLE: Duration = Duration::from_secs(5);

/// Local ports of one address that a host has for connections to another, less a fifth
/// (`net.ipv4.ip_local_port_range`).
const PORTS: u64 = 28_232 * 4 / 5;

/// Adds what there is to say of the pools.
pub(super) fn of_pools(config: &Config, lints: &mut Vec<String>) {
    for (name, pool) in &config.pools {
        for lint in of_pool(config, pool) {
            lints.push(format!("pool {name:?}: {lint}"));
        }
    }
}

fn of_pool(config: &Config, pool: &PoolOptions) -> Vec<String> {
    let mut lints = Vec::new();
    let attempts = pool.connect.saturating_mul(pool.tries.saturating_add(1));
    let longest = pool.wait.saturating_add(attempts).saturating_add(pool.first_byte);
    if let Some(in_front) = pool.in_front.filter(|in_front| longest >= *in_front) {
        lints.push(format!(
            "a request may take {longest:?} (wait, connect for each try, first_byte), and what stands in \
             front gives up after {in_front:?} (in_front): the servers then work for nobody; lower \
             first_byte or wait"
        ));
    }
    let idle = pool.server_idle.unwrap_or(USUAL_IDLE);
    if pool.keep_idle >= idle {
        let known = match pool.server_idle {
            Some(idle) => {
                format!("the servers close unused connections after {idle:?} (server_idle)")
            }
            None => {
                "Node, uvicorn and Apache close unused connections after 5 s; say what yours do by \
                     server_idle"
                    .to_owned()
            }
        };
        lints.push(format!(
            "keep_idle is {:?}, and {known}: a request may be sent just as its connection ends",
            pool.keep_idle
        ));
    }
    let drain = config.timeouts.drain;
    if drain < pool.first_byte {
        lints.push(format!(
            "first_byte is {:?}, and a stop waits {drain:?} for requests (drain): it cuts off slow ones",
            pool.first_byte
        ));
    }
    if pool.health.path.is_some() && pool.health.timeout >= pool.health.interval {
        lints.push(format!(
            "a health check may take {:?}, and the next begins after {:?}: lower health_timeout",
            pool.health.timeout, pool.health.interval
        ));
    }
    if config.limits.body_bytes < pool.hold_request as u64 {
        lints.push(format!(
            "hold_request is {} bytes, and content beyond {} is refused (max_body): lower it",
            pool.hold_request, config.limits.body_bytes
        ));
    }
    let tcp = |address: &UpstreamAddress| !matches!(address, UpstreamAddress::Unix(_));
    if u64::from(pool.max) > PORTS && pool.servers.iter().any(|server| tcp(&server.address)) {
        lints.push(format!(
            "max is {}, and a host has about 28,000 ports for connections to one address: further ones \
             fail; lower it or use a Unix socket",
            pool.max
        ));
    }
    if pool.tunnels > 0 && !pool.upgrade.is_empty() {
        let places = u64::from(pool.max) * pool.most_servers() as u64;
        if u64::from(pool.tunnels) > places && pool.tunnels != PoolOptions::default().tunnels {
            lints.push(format!(
                "tunnels is {}, and the servers have {places} connections in all (max): raise max too",
                pool.tunnels
            ));
        }
    }
    lints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UpstreamServer;

    type Change = fn(&mut Config, &mut PoolOptions);

    #[test]
    fn times_that_do_not_fit_each_other_are_named() {
        let server = UpstreamServer::new("127.0.0.1:3000".parse().unwrap());
        let cases: [(&str, Change); 8] = [
            ("", |_, _| {}),
            ("in front", |_, pool| pool.in_front = Some(Duration::from_secs(30))),
            ("keep_idle", |_, pool| pool.keep_idle = Duration::from_secs(5)),
            ("keep_idle", |_, pool| pool.server_idle = Some(Duration::from_secs(2))),
            ("drain", |config, _| config.timeouts.drain = Duration::from_secs(5)),
            ("health", |_, pool| {
                pool.health.path = Some("/".into());
                pool.health.timeout = pool.health.interval;
            }),
            ("max_body", |config, _| config.limits.body_bytes = 100),
            ("ports", |_, pool| pool.max = 100_000),
        ];
        for (word, change) in cases {
            let (mut config, mut pool) = (Config::default(), PoolOptions::of(vec![server.clone()]));
            change(&mut config, &mut pool);
            let lints = of_pool(&config, &pool);
            assert_eq!(lints.len(), usize::from(!word.is_empty()), "{word}: {lints:?}");
            assert!(lints.iter().all(|lint| lint.contains(word)), "{word}: {lints:?}");
        }
    }
}
