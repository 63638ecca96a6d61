//! A connection: one task that walks the stages.
