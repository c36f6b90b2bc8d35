//! The Python package of callboard.
//!
//! A method converts, calls, converts, and decides nothing. Every class is frozen with a mutex inside, so that any
//! number of threads may use it, and no Python code runs while a lock is held: it could come back and want the same one.

mod balance;
mod cache;
mod call;
mod clock;
mod convert;
mod errors;
mod formats;
mod listeners;
mod python;
mod query;
mod registry;
mod replica;
mod serve;
mod store;
mod table;
mod view;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    #[pymodule_export]
    const __VERSION__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    use crate::balance::{Balancer, Pick};
    #[pymodule_export]
    use crate::call::is_repeatable;
    #[pymodule_export]
    use crate::clock::now;
    #[pymodule_export]
    use crate::errors::codes;
    #[pymodule_export]
    use crate::formats::{Feed, decode, encode};
    #[pymodule_export]
    use crate::query::Query;
    #[pymodule_export]
    use crate::registry::Registry;
    #[pymodule_export]
    use crate::replica::Replica;
    #[pymodule_export]
    use crate::serve::{Place, Server, Wait, is_heartbeat, proof};
    #[pymodule_export]
    use crate::store::Store;
    #[pymodule_export]
    use crate::view::View;
}
