//! Respond, HTTP/2: heads and control frames into memory that the caller owns. Pure.

mod frames;
mod head;

pub use frames::{
    OWN_SETTINGS, continue_100, data, go_away, go_away_bytes, ping, ping_ack, rst_stream, settings,
    settings_ack, window_update,
};
pub use head::{HeadWriter, made_block};
