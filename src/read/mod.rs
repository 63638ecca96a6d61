//! Read: from ring buffers to plaintext.
