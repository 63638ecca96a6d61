//! Respond: response heads and small bodies. Pure.
