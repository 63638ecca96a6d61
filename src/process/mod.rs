//! Process: from a request to what is to be sent.
