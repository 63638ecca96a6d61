//! Write: the queue of segments on their way to one socket.
