//! Who is here now.
