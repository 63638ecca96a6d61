//! Respond, HTTP/2: heads and control frames into memory that the caller owns. Pure.

mod frames;
mod head;

pub(crate) use frames::{
    continue_100, data, go_away, ping, ping_ack, rst_stream, settings, settings_ack, window_update,
};
pub(crate) use head::{HeadWriter, made_block};
