//! The peer's SETTINGS (RFC 9113 section 6.5, RFC 9218 section 2.1, RFC 8441 section 3).

use super::{ErrorCode, Fault, MAX_FRAME_SIZE};

/// What the peer has set, as far as it concerns what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerSettings {
    /// SETTINGS_HEADER_TABLE_SIZE: the most that our encoder's table may have.
    pub header_table_size: u32,
    /// SETTINGS_INITIAL_WINDOW_SIZE: what a new stream may send.
    pub initial_window: u32,
    /// SETTINGS_MAX_FRAME_SIZE.
    pub max_frame_size: u32,
}

impl Default for PeerSettings {
    /// What holds until the first SETTINGS (RFC 9113 section 6.5.2).
    fn default() -> Self {
        Self { header_table_size: 4096, initial_window: 65_535, max_frame_size: MAX_FRAME_SIZE }
    }
}

/// What a SETTINGS frame has changed besides the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// By how much the windows of all open streams change (RFC 9113 section 6.9.2).
    pub window_change: i64,
    /// The peer lowered its table at least once: the next field block must begin with a size update.
    pub table_lowered: bool,
}

impl PeerSettings {
    /// Takes the payload of a SETTINGS frame, in order; unknown settings are ignored.
    ///
    /// # Errors
    /// Of the connection: a value that its setting cannot have.
    pub(crate) fn apply(&mut self, payload: &[u8]) -> Result<Applied, Fault> {
        let mut applied = Applied::default();
        let before = i64::from(self.initial_window);
        for setting in payload.chunks_exact(6) {
            let (Some(name), Some(value)) = (setting.first_chunk(), setting.last_chunk()) else {
                continue;
            };
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes(*name) {
                0x1 => {
                    applied.table_lowered |= value < self.header_table_size;
                    self.header_table_size = value;
                }
                0x2 if value > 1 => {
                    return Err(Fault::protocol("SETTINGS_ENABLE_PUSH is neither 0 nor 1"));
                }
                0x4 if value > 0x7fff_ffff => {
                    let why = "SETTINGS_INITIAL_WINDOW_SIZE is beyond 2^31-1";
                    return Err(Fault::Connection(ErrorCode::FlowControlError, why));
                }
                0x4 => self.initial_window = value,
                0x5 if !(MAX_FRAME_SIZE..=0x00ff_ffff).contains(&value) => {
                    let why = "SETTINGS_MAX_FRAME_SIZE is not within 16,384 and 2^24-1";
                    return Err(Fault::protocol(why));
                }
                0x5 => self.max_frame_size = value,
                0x8 if value > 1 => {
                    let why = "SETTINGS_ENABLE_CONNECT_PROTOCOL is neither 0 nor 1";
                    return Err(Fault::protocol(why));
                }
                0x9 if value > 1 => {
                    let why = "SETTINGS_NO_RFC7540_PRIORITIES is neither 0 nor 1";
                    return Err(Fault::protocol(why));
                }
                // Nothing is pushed, heads are never long enough to ask for the list's size, and
                // what is unknown is ignored.
                _ => {}
            }
        }
        applied.window_change = i64::from(self.initial_window) - before;
        Ok(applied)
    }
}
