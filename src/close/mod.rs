//! Close: close_notify, lingering close, drain.
