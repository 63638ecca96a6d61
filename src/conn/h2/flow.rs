//! Flow-control windows (RFC 9113 sections 5.2 and 6.9).

/// The initial window of every stream and connection, which Ringway leaves as it is for what it
/// receives.
pub(super) const INITIAL_WINDOW: u32 = 65_535;

/// The largest window.
const MAX_WINDOW: i64 = 0x7fff_ffff;

/// What may be sent. May be negative: SETTINGS can take back what was granted.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow(i32);

/// A window would exceed 2^31-1 octets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl SendWindow {
    /// A window of this initial size, at most 2^31-1.
    pub(super) fn new(initial: u32) -> Self {
        Self(i64::from(initial).min(MAX_WINDOW) as i32)
    }

    /// Octets that may be sent.
    pub(super) fn available(self) -> u32 {
        self.0.max(0) as u32
    }

    /// Changes it by what WINDOW_UPDATE grants, or by the change of SETTINGS_INITIAL_WINDOW_SIZE.
    pub(super) fn change(&mut self, by: i64) -> Result<(), Overflow> {
        let changed = i64::from(self.0) + by;
        if changed > MAX_WINDOW {
            return Err(Overflow);
        }
        self.0 = i32::try_from(changed).map_err(|_| Overflow)?;
        Ok(())
    }

    /// Takes note of octets sent, which must have been available.
    pub(super) fn take(&mut self, count: u32) {
        debug_assert!(count <= self.available(), "more was sent than the window allows");
        self.0 = self.0.saturating_sub_unsigned(count);
    }
}

/// What the peer may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    left: u32,
    /// Octets that were consumed and not given back yet.
    owed: u32,
}

impl Default for ReceiveWindow {
    fn default() -> Self {
        Self { left: INITIAL_WINDOW, owed: 0 }
    }
}

impl ReceiveWindow {
    /// Takes note of a DATA frame, padding included. False if it exceeds the window.
    #[must_use]
    pub(super) fn receive(&mut self, count: u32) -> bool {
        let left = self.left.checked_sub(count);
        // Exceeded: the stream ends by FLOW_CONTROL_ERROR, and its window with it.
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// Takes note of octets that need no memory any longer. Returns the increment of the
    /// WINDOW_UPDATE that is due: one for each half of the window.
    #[must_use]
    pub(super) fn consumed(&mut self, count: u32) -> Option<u32> {
        self.owed += count;
        if self.owed <= INITIAL_WINDOW / 2 {
            return None;
        }
        let owed = std::mem::take(&mut self.owed);
        self.left += owed;
        Some(owed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_may_be_negative_and_never_overflow() {
        let mut window = SendWindow::new(65_535);
        window.take(60_000);
        assert_eq!(window.change(-65_535), Ok(()));
        assert_eq!((window.available(), window.0), (0, -60_000));
        assert_eq!(window.change(60_000), Ok(()));
        assert_eq!(window.available(), 0);
        assert_eq!(window.change(0x7fff_ffff), Ok(()));
        assert_eq!(window.change(1), Err(Overflow));
        assert_eq!(window.available(), 0x7fff_ffff);
        assert_eq!(SendWindow::new(u32::MAX).available(), 0x7fff_ffff);
    }

    proptest! {
        /// Whatever the peer sends within what it was granted is accepted, and nothing leaks.
        #[test]
        fn what_is_consumed_comes_back(sizes in prop::collection::vec(0..20_000_u32, 1..100)) {
            let mut window = ReceiveWindow::default();
            let (mut granted, mut sent) = (u64::from(INITIAL_WINDOW), 0);
            for size in sizes {
                let fits = sent + u64::from(size) <= granted;
                prop_assert_eq!(window.receive(size), fits);
                if !fits {
                    break;
                }
                sent += u64::from(size);
                granted += u64::from(window.consumed(size).unwrap_or(0));
                prop_assert!(granted - sent >= u64::from(INITIAL_WINDOW / 2));
                prop_assert!(granted - sent <= u64::from(INITIAL_WINDOW));
            }
        }
    }
}
