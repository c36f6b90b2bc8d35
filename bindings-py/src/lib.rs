//! The Python package of callboard.
//!
//! A method converts, calls, converts, and decides nothing. Every class is frozen with a mutex inside, so that any
//! number of threads may use it, and no Python code runs while a lock is held: it could come back and want the same one.

mod clock;
mod convert;
mod errors;
mod python;
mod query;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    #[pymodule_export]
    const __VERSION__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    use crate::clock::now;
    #[pymodule_export]
    use crate::errors::codes;
    #[pymodule_export]
    use crate::query::Query;
}
