//! A thread per core: executor, timers, inbox.
