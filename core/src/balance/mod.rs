//! Which one.
