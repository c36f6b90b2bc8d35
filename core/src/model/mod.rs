//! The nouns: what a provider says of itself, and what the registry says of it.
//!
//! Everything here is parsed once at the border and valid from then on. Each type reads and writes its
//! [`Value`](crate::Value) document, the one form that crosses a language border.

mod endpoint;
mod health;
mod instance;
mod labels;
mod locality;
mod names;
mod registration;
mod version;
mod weight;

pub use endpoint::{AddressClass, Endpoint, Host};
pub use health::{AdminState, Availability, Health, Lease, LeaseState, Override};
pub use instance::{Handle, Instance};
pub use labels::{Metadata, Tags};
pub use locality::Locality;
pub(crate) use names::{check_id, check_name};
#[cfg(any(feature = "feed", all(test, feature = "serve")))]
pub(crate) use registration::FIELDS as REGISTRATION_FIELDS;
pub use registration::Registration;
pub(crate) use registration::check_incarnation;
pub use version::Version;
pub use weight::Weight;

/// The namespace of a document that names none.
pub const DEFAULT_NAMESPACE: &str = "default";
