//! Accept: listeners, multishot accept, admission and descriptor back-off.
