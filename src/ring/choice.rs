//! What the rings of a process run on, decided once, before the first of them is made.

use std::fmt;

use super::{
    Io, PollFeatures,
    probe::{RingFeatures, RingUnavailable},
};

/// What the rings of a process run on, and why. Displays as one line for a person.
#[derive(Debug)]
pub(crate) struct Choice {
    io: Io,
    /// Why it is not io_uring; None if that was asked for.
    refusal: Option<RingUnavailable>,
    /// What the host has of the newer calls that polling uses; None on io_uring.
    polling: Option<PollFeatures>,
}

impl Choice {
    /// io_uring, or epoll where the host refuses io_uring or lacks what Ringway needs of it.
    ///
    /// # Errors
    /// Memory, descriptors or a locked-memory limit stand in the way of a ring: no reason to poll,
    /// since the operator can change them.
    pub(crate) fn auto() -> Result<Self, RingUnavailable> {
        Self::after(RingFeatures::probe().and_then(|features| features.require()))
    }

    fn after(probed: Result<(), RingUnavailable>) -> Result<Self, RingUnavailable> {
        match probed {
            Ok(()) => Ok(Self { io: Io::Ring, refusal: None, polling: None }),
            Err(refusal) if refusal.is_of_the_host() => {
                Ok(Self { refusal: Some(refusal), ..Self::poll() })
            }
            Err(error) => Err(error),
        }
    }

    /// io_uring.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn ring() -> Result<Self, RingUnavailable> {
        RingFeatures::probe().and_then(|features| features.require())?;
        Ok(Self { io: Io::Ring, refusal: None, polling: None })
    }

    /// epoll, which every kernel has that Ringway runs on (Linux 4.18).
    pub(crate) fn poll() -> Self {
        Self { io: Io::Poll, refusal: None, polling: Some(PollFeatures::probe()) }
    }

    /// What was chosen.
    pub(crate) fn io(&self) -> Io {
        self.io
    }

    /// Why the host's io_uring is not used, if it was tried.
    pub(crate) fn refusal(&self) -> Option<&RingUnavailable> {
        self.refusal.as_ref()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.io, &self.refusal) {
            (Io::Ring, _) => f.write_str("io_uring")?,
            (Io::Poll, None) => f.write_str("epoll, as asked for (--io poll)")?,
            (Io::Poll, Some(refusal)) => {
                write!(f, "epoll, which costs more CPU for each small request: {refusal}")?;
            }
        }
        match self.polling {
            Some(features) if !features.is_complete() => {
                write!(f, ". This host has {features}")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_a_host_that_refuses_io_uring_is_polled_on() {
        for refusal in [
            RingUnavailable::NotThere,
            RingUnavailable::Refused { disabled: Some(2) },
            RingUnavailable::Refused { disabled: None },
            RingUnavailable::EnterRefused,
            RingUnavailable::Lacking(vec!["RECV"]),
        ] {
            let choice = Choice::after(Err(refusal)).unwrap();
            assert_eq!(choice.io(), Io::Poll);
            assert!(choice.refusal().is_some());
            let text = choice.to_string();
            assert!(text.starts_with("epoll, which costs more CPU"), "{text}");
            assert!(text.contains("; to change it: "), "{text}");
        }
        for error in [
            RingUnavailable::Memory,
            RingUnavailable::Descriptors,
            RingUnavailable::Loopback(io::ErrorKind::AddrNotAvailable.into()),
            RingUnavailable::Other(io::Error::from_raw_os_error(libc::EINVAL)),
        ] {
            let text = error.to_string();
            assert_eq!(Choice::after(Err(error)).unwrap_err().to_string(), text);
        }
        let choice = Choice::after(Ok(())).unwrap();
        assert_eq!((choice.io(), choice.to_string().as_str()), (Io::Ring, "io_uring"));
        let asked = |polling| Choice { polling: Some(polling), ..Choice::poll() }.to_string();
        let all = PollFeatures { openat2: true, resolve_cached: true, cachestat: true };
        assert_eq!(asked(all), "epoll, as asked for (--io poll)");
        let old = asked(PollFeatures { openat2: false, ..all });
        assert!(old.contains("(--io poll). This host has no openat2(2) (Linux 5.6): "), "{old}");
    }
}
