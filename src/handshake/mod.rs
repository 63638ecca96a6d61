//! Handshake: certificates, tickets, rustls, and the hand-over of keys.
