//! The worker of a play, as the first bytes of the input say.

use std::{os::fd::OwnedFd, sync::Arc};

use super::{
    Input,
    peer::{client_config, identity},
    site,
};
use crate::{
    accept::Total,
    config::{Config, Limits, Timeouts},
    conn::{KtlsPlan, SitePlan, Via},
    files::{Pool, Press},
    ring::{Io, RingConfig, RingOptions},
    tls::SharedConfig,
    worker::{Inbox, Listener, Plan, SharedLimits, ring_config},
};

/// What the first bytes of an input choose.
pub(super) struct Setup {
    pub(super) config: Config,
    #[cfg(feature = "service")]
    applications: crate::worker::Applied,
    /// The size of the ring and its pools.
    pub(super) ring: RingConfig,
    pub(super) clients: Arc<rustls::ClientConfig>,
    /// Bytes that may be on their way to a client.
    pub(super) window: usize,
    /// Connections complete their handshakes before anything else happens to them.
    pub(super) gentle: bool,
    /// Bounds are so low that refusals are in order.
    pub(super) excused: bool,
}

impl Setup {
    pub(super) fn read(input: &mut Input<'_>) -> Self {
        let (pools, bounds, client) =
            (input.byte_or_zero(), input.byte_or_zero(), input.byte_or_zero());
        let bit = |byte: u8, bit: u8| (byte >> bit) & 1 == 1;
        let few_operations = bit(bounds, 0);
        let few_connections = bit(bounds, 1);
        let few_handshakes = bit(bounds, 2);
        let few_in_all = bit(bounds, 6);
        let limits = Limits {
            connections: if few_connections { 2 } else { 16 },
            connections_in_all: if few_in_all { 2 } else { 0 },
            handshakes: if few_handshakes { 2 } else { 16 },
            receive_buffers: [2, 4, 8, 16][usize::from(pools & 3)],
            receive_buffer_bytes: [300, 2048, 16 << 10, 17 << 10][usize::from(pools >> 2 & 3)],
            leases_per_connection: [1, 2, 3, 4][usize::from(pools >> 4 & 3)],
            send_memory_bytes: 0,
            head_bytes: 4096,
            body_bytes: 1 << 14,
            requests_per_connection: if bit(bounds, 3) { 3 } else { 1000 },
            file_cache_max_file: if bit(bounds, 4) { 16 << 10 } else { 100 },
            file_cache_entries: if bit(bounds, 5) { 2 } else { 64 },
            ..Limits::default()
        };
        let mut config = Config {
            root: site::folder().clone(),
            limits,
            timeouts: Timeouts::default(),
            ..Config::default()
        };
        #[cfg(feature = "service")]
        let applications = crate::worker::Applied {
            applications: super::service::mount(&mut config),
            ..crate::worker::Applied::default()
        };
        // Its tables cost more than the rest of a short play.
        config.observe.anatomy = bit(client, 5);
        let queues = RingOptions { submissions: 1 + u32::from(pools >> 6) * 5, completions: 256 };
        let ring =
            RingConfig { queues, ..ring_config(&config, &KtlsPlan::default(), 1, Io::default()) };
        let operations = if few_operations { 12 } else { ring.operations };
        Self {
            config,
            #[cfg(feature = "service")]
            applications,
            ring: RingConfig { operations, ..ring },
            clients: client_config(usize::from(client & 7), bit(client, 6)),
            window: if bit(client, 3) { 1 << 20 } else { 64 << 10 },
            gentle: !bit(client, 4),
            excused: few_operations || few_connections || few_handshakes || few_in_all,
        }
    }

    /// What a worker is made of that accepts at `listener`.
    pub(super) fn into_plan(self, inbox: &Arc<Inbox>, listener: OwnedFd) -> Plan {
        let sites = Arc::new(SitePlan::open(&self.config).expect("the folder is there"));
        let address = ([127, 0, 0, 1], 443).into();
        Plan {
            #[cfg(feature = "service")]
            applications: self.applications,
            shared: SharedLimits {
                total: Total::new(self.config.limits.connections_in_all),
                per_address: None,
            },
            config: Arc::new(self.config),
            sites,
            tls: Arc::new(SharedConfig::new(Arc::clone(&identity().server))),
            ktls: KtlsPlan::default(),
            listeners: vec![Listener {
                via: Via::Tls,
                address,
                wanted: address,
                socket: Arc::new(listener),
            }],
            inbox: Arc::clone(inbox),
            neighbours: Vec::new(),
            io: Io::default(),
            cpu: None,
            log: None,
            spans: None,
            pool: Pool::default(),
            hashing: Pool::default(),
            press: Press::default(),
        }
    }
}
