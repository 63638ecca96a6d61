//! The TLS record layer: sealing and opening with extracted keys.
