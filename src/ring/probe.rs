//! What this kernel's io_uring offers, found by trying each feature on a real ring.
//!
//! The invariant: nothing here is concluded from the kernel's version, and a probe leaves nothing
//! behind: every ring, socket and mapping that it made is gone when it returns. It takes a few
//! hundred microseconds and at most a few seconds on a host where operations do not complete.

mod trial;

use std::fmt;
use std::io;

use io_uring::{Builder, IoUring, Probe};

use super::operations::OPERATIONS;
use trial::{Trial, is_scarcity};

/// Entries of a probed ring's submission queue.
const ENTRIES: u32 = 8;

/// The features of this kernel's io_uring, each one tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RingFeatures {
    /// `IORING_SETUP_SINGLE_ISSUER` with `IORING_SETUP_DEFER_TASKRUN` (Linux 6.1): completion work
    /// runs when the worker asks for it, not in between.
    pub defer_taskrun: bool,
    /// `IORING_SETUP_COOP_TASKRUN` (5.19): the lesser form of `defer_taskrun`.
    pub coop_taskrun: bool,
    /// `IORING_SETUP_SUBMIT_ALL` (5.18): one refused operation does not stop a batch.
    pub submit_all: bool,
    /// `IORING_SETUP_NO_SQARRAY` (6.6): no indirection between queue and entries.
    pub no_sqarray: bool,
    /// `IORING_REGISTER_RING_FDS` (5.18): entering the kernel without a descriptor look-up.
    pub registered_ring_fd: bool,
    /// `IORING_REGISTER_PBUF_RING` (5.19): receive buffers that the kernel picks.
    pub buffer_ring: bool,
    /// `IOU_PBUF_RING_INC` (6.12): buffers that are used up piece by piece.
    pub incremental_buffers: bool,
    /// Multishot `ACCEPT` (5.19): one submission accepts many connections.
    pub multishot_accept: bool,
    /// Multishot `RECV` (6.0) into a buffer ring: one submission receives many times.
    pub multishot_receive: bool,
    /// `IORING_FEAT_EXT_ARG` (5.11): a deadline on the wait itself.
    pub wait_deadline: bool,
    /// `IORING_FEAT_MIN_TIMEOUT` (6.12): a wait that gathers for a moment before it returns.
    pub minimum_wait: bool,
    /// The names of the operations that Ringway needs and the kernel lacks.
    pub missing_operations: Vec<&'static str>,
}

impl RingFeatures {
    /// Tries every feature. Opens loopback TCP sockets for it and closes them again.
    ///
    /// # Errors
    ///
    /// If no ring can be made at all, or the loopback sockets cannot, or memory or descriptors lack for
    /// a trial, which then says nothing of the kernel. A ring that can be made but
    /// lacks what Ringway needs is not an error here: ask [`RingFeatures::require`].
    pub(crate) fn probe() -> Result<Self, RingUnavailable> {
        let ring = plain(ENTRIES).map_err(|error| RingUnavailable::from_setup(&error))?;
        // Nothing is queued: whether the call is allowed is all that this says.
        ring.submit().map_err(|error| RingUnavailable::from_enter(&error))?;
        let missing_operations =
            missing_operations(&ring).map_err(|error| RingUnavailable::from_setup(&error))?;
        let minimum_wait = ring.params().is_feature_min_timeout();
        let wait_deadline = ring.params().is_feature_ext_arg();
        let registered_ring_fd = registers_its_descriptor(&ring);
        drop(ring);

        let mut features = Self {
            defer_taskrun: builds(|ring| ring.setup_single_issuer().setup_defer_taskrun()),
            coop_taskrun: builds(Builder::setup_coop_taskrun),
            submit_all: builds(Builder::setup_submit_all),
            no_sqarray: builds(Builder::setup_no_sqarray),
            registered_ring_fd,
            buffer_ring: false,
            incremental_buffers: false,
            multishot_accept: false,
            multishot_receive: false,
            wait_deadline,
            minimum_wait,
            missing_operations,
        };
        if wait_deadline {
            let ring = plain(ENTRIES).map_err(|error| RingUnavailable::from_setup(&error))?;
            let mut trial = Trial::new(ring).map_err(RingUnavailable::from_loopback)?;
            features.incremental_buffers = trial.incremental_buffers();
            features.buffer_ring = trial.buffer_ring();
            features.multishot_accept = trial.multishot_accept();
            features.multishot_receive = features.buffer_ring && trial.multishot_receive();
            if let Some(error) = trial.scarcity() {
                return Err(RingUnavailable::from_setup(&error));
            }
        }
        Ok(features)
    }

    /// Whether all is there that Ringway cannot do without, which Linux 6.1 has.
    ///
    /// # Errors
    ///
    /// [`RingUnavailable::Lacking`] with the names of what is missing.
    pub(crate) fn require(&self) -> Result<(), RingUnavailable> {
        let mut lacking: Vec<_> = [
            ("provided buffer rings", self.buffer_ring),
            ("multishot accept", self.multishot_accept),
            ("multishot receive", self.multishot_receive),
            ("deadlines on waits", self.wait_deadline),
        ]
        .into_iter()
        .filter_map(|(name, there)| (!there).then_some(name))
        .collect();
        lacking.extend(&self.missing_operations);
        if lacking.is_empty() { Ok(()) } else { Err(RingUnavailable::Lacking(lacking)) }
    }
}

/// Why there is no io_uring that Ringway could run on. Displays as what is wrong and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum RingUnavailable {
    /// `ENOSYS`: the kernel has none, or a filter pretends so.
    NotThere,
    /// `EPERM` or `EACCES`; with `kernel.io_uring_disabled`, where that can be read.
    Refused {
        /// The value of the sysctl `kernel.io_uring_disabled`: 1 for all but one group, 2 for all.
        disabled: Option<u8>,
    },
    /// `ENOMEM`: the locked-memory limit, or really no memory.
    Memory,
    /// `EMFILE` or `ENFILE`: no descriptor is left.
    Descriptors,
    /// A ring, but `io_uring_enter(2)` is refused: a filter names one call and not the other.
    EnterRefused,
    /// A ring, but without the features named.
    Lacking(Vec<&'static str>),
    /// The loopback sockets for the trial could not be made.
    Loopback(io::Error),
    /// Anything else that `io_uring_setup(2)` answered.
    Other(io::Error),
}

impl RingUnavailable {
    fn from_enter(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Self::EnterRefused,
            _ => Self::from_setup(error),
        }
    }

    fn from_loopback(error: io::Error) -> Self {
        if is_scarcity(&error) { Self::from_setup(&error) } else { Self::Loopback(error) }
    }

    fn from_setup(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => Self::NotThere,
            Some(libc::EPERM | libc::EACCES) => Self::Refused { disabled: io_uring_disabled() },
            Some(libc::ENOMEM | libc::ENOBUFS) => Self::Memory,
            Some(libc::EMFILE | libc::ENFILE) => Self::Descriptors,
            Some(code) => Self::Other(io::Error::from_raw_os_error(code)),
            None => Self::Other(io::Error::new(error.kind(), error.to_string())),
        }
    }

    /// Whether the host has no io_uring for this process: then it can poll. What else stands in the way
    /// is for the operator to change.
    pub fn is_of_the_host(&self) -> bool {
        matches!(
            self,
            Self::NotThere | Self::Refused { .. } | Self::EnterRefused | Self::Lacking(_)
        )
    }

    /// The command or the setting that would help, where there is one.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotThere => {
                "run Linux 6.1 or newer; in a container, give the seccomp profile \
                 deploy/seccomp-io_uring.json to the container engine"
            }
            Self::Refused { disabled: Some(1) } => {
                "sudo sysctl kernel.io_uring_disabled=0, or put this user's group id into \
                 kernel.io_uring_group"
            }
            Self::Refused { disabled: Some(2..) } => "sudo sysctl kernel.io_uring_disabled=0",
            Self::Refused { .. } | Self::EnterRefused => {
                "docker run --security-opt seccomp=deploy/seccomp-io_uring.json, or the like of \
                 another container engine; under systemd, let SystemCallFilter= name @io-uring or \
                 the three calls io_uring_setup, io_uring_enter and io_uring_register"
            }
            Self::Memory => "ulimit -l unlimited, or LimitMEMLOCK=infinity in the systemd unit",
            Self::Descriptors => "ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit",
            Self::Lacking(_) => "run Linux 6.1 or newer",
            Self::Loopback(_) => "sudo ip link set lo up",
            Self::Other(_) => "look for the kernel's reason in its log: sudo dmesg | tail",
        }
    }
}

impl fmt::Display for RingUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere => f.write_str("this kernel has no io_uring, or a filter hides it")?,
            Self::Refused { disabled: Some(value @ 1..) } => {
                write!(f, "io_uring is switched off: kernel.io_uring_disabled is {value}")?;
            }
            Self::Refused { .. } => f.write_str(
                "io_uring is refused to this process, most likely by a seccomp filter, as the \
                 default ones of container engines do",
            )?,
            Self::EnterRefused => f.write_str(
                "io_uring_setup is allowed to this process and io_uring_enter is not, most likely by \
                 a seccomp filter that names one and not the other",
            )?,
            Self::Memory => f.write_str("no memory may be locked for a ring")?,
            Self::Descriptors => f.write_str("no descriptor is left for a ring")?,
            Self::Lacking(names) => {
                write!(f, "this kernel's io_uring lacks {}", names.join(", "))?;
            }
            Self::Loopback(error) => write!(f, "loopback sockets cannot be made: {error}")?,
            Self::Other(error) => write!(f, "a ring cannot be made: {error}")?,
        }
        write!(f, "; to change it: {}", self.remedy())
    }
}

impl std::error::Error for RingUnavailable {}

/// The sysctl that switches io_uring off (Linux 6.6, Documentation/admin-guide/sysctl/kernel.rst).
fn io_uring_disabled() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

fn plain(entries: u32) -> io::Result<IoUring> {
    IoUring::builder().dontfork().build(entries)
}

fn builds(set: impl FnOnce(&mut Builder) -> &mut Builder) -> bool {
    let mut builder = IoUring::builder();
    set(&mut builder).build(ENTRIES).is_ok()
}

/// The registration holds a reference to the ring until the thread ends, so it is taken back by the
/// same submitter, which alone remembers it.
fn registers_its_descriptor(ring: &IoUring) -> bool {
    let mut submitter = ring.submitter();
    submitter.register_ring_fd().is_ok() && submitter.unregister_ring_fd().is_ok()
}

/// # Errors
/// Memory lacks for the question.
fn missing_operations(ring: &IoUring) -> io::Result<Vec<&'static str>> {
    let mut probe = Probe::new();
    let probed = match ring.submitter().register_probe(&mut probe) {
        Err(error) if is_scarcity(&error) => return Err(error),
        probed => probed.is_ok(),
    };
    let lacking = OPERATIONS.iter().filter(|(_, code)| !(probed && probe.is_supported(*code)));
    let mut names: Vec<_> = lacking.map(|(name, _)| *name).collect();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::{RingFeatures, RingUnavailable};
    use std::io;

    /// Where the host has io_uring, a feature set that suffices agrees with itself; where it has
    /// none, the answer names a remedy. Tests run on both.
    #[test]
    fn a_probe_ends_with_an_answer() {
        match RingFeatures::probe() {
            Ok(features) if features.require().is_ok() => {
                assert!(features.buffer_ring && features.multishot_receive);
                assert!(features.missing_operations.is_empty());
            }
            Ok(features) => {
                let text = features.require().unwrap_err().to_string();
                assert!(text.contains("lacks"), "{text}");
            }
            Err(error) => assert!(error.to_string().contains("to change it"), "{error}"),
        }
    }

    #[test]
    fn each_error_has_its_explanation() {
        let explain =
            |code| RingUnavailable::from_setup(&io::Error::from_raw_os_error(code)).to_string();
        assert!(explain(libc::ENOSYS).contains("Linux 6.1"));
        assert!(explain(libc::ENOMEM).contains("LimitMEMLOCK"));
        assert!(explain(libc::EMFILE).contains("LimitNOFILE"));
        let entering = RingUnavailable::from_enter(&io::Error::from_raw_os_error(libc::EPERM));
        let entering = entering.to_string();
        assert!(
            entering.contains("io_uring_enter is not") && entering.contains("seccomp"),
            "{entering}"
        );
        let switched_off = RingUnavailable::Refused { disabled: Some(2) }.to_string();
        assert!(switched_off.contains("sysctl kernel.io_uring_disabled=0"), "{switched_off}");
        let filtered = RingUnavailable::Refused { disabled: Some(0) }.to_string();
        assert!(filtered.contains("seccomp"), "{filtered}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let features = RingFeatures {
            defer_taskrun: false,
            coop_taskrun: true,
            submit_all: true,
            no_sqarray: false,
            registered_ring_fd: true,
            buffer_ring: true,
            incremental_buffers: false,
            multishot_accept: true,
            multishot_receive: false,
            wait_deadline: true,
            minimum_wait: false,
            missing_operations: vec!["READV"],
        };
        let text = features.require().unwrap_err().to_string();
        assert!(text.contains("lacks multishot receive, READV;"), "{text}");
    }
}
