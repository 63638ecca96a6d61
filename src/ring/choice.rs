//! What the rings of a process run on, decided once, before the first of them is made.

use std::fmt;

use super::{
    Io, poll,
    probe::{RingFeatures, RingUnavailable},
};

/// What the rings of a process run on, and why. Displays as one line for a person.
#[derive(Debug)]
pub(crate) struct Choice {
    io: Io,
    /// Why it is not io_uring; None if that was asked for.
    refusal: Option<RingUnavailable>,
}

impl Choice {
    /// io_uring, or epoll where the host refuses io_uring or lacks what Ringway needs of it.
    ///
    /// # Errors
    /// Memory, descriptors or a locked-memory limit stand in the way of a ring: no reason to poll,
    /// since the operator can change them. Or the host can do neither.
    pub(crate) fn auto() -> Result<Self, RingUnavailable> {
        Self::after(RingFeatures::probe().and_then(|features| features.require()))
    }

    fn after(probed: Result<(), RingUnavailable>) -> Result<Self, RingUnavailable> {
        match probed {
            Ok(()) => Ok(Self { io: Io::Ring, refusal: None }),
            Err(refusal) if refusal.is_of_the_host() => {
                poll::require()?;
                Ok(Self { io: Io::Poll, refusal: Some(refusal) })
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
        Ok(Self { io: Io::Ring, refusal: None })
    }

    /// epoll.
    ///
    /// # Errors
    /// What is missing for it.
    pub(crate) fn poll() -> Result<Self, RingUnavailable> {
        poll::require()?;
        Ok(Self { io: Io::Poll, refusal: None })
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
            (Io::Ring, _) => f.write_str("io_uring"),
            (Io::Poll, None) => f.write_str("epoll, as asked for (--io poll)"),
            (Io::Poll, Some(refusal)) => {
                write!(f, "epoll, which costs more CPU for each small request: {refusal}")
            }
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
            RingUnavailable::NoPolling("x"),
        ] {
            let text = error.to_string();
            assert_eq!(Choice::after(Err(error)).unwrap_err().to_string(), text);
        }
        let choice = Choice::after(Ok(())).unwrap();
        assert_eq!((choice.io(), choice.to_string().as_str()), (Io::Ring, "io_uring"));
        assert_eq!(Choice::poll().unwrap().to_string(), "epoll, as asked for (--io poll)");
    }
}
