//! Parse: request heads. Pure.
