//! Where an instance runs.

use alloc::string::String;

use super::names::graphic;
use crate::error::Error;
use crate::limits;
use crate::value::{Fields, Pairs, Value};

/// Region, zone, sub-zone and node, each possibly unknown (empty). Envoy's locality with the node added.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locality {
    /// The region, such as `eu-west-1`.
    pub region: String,
    /// The zone in the region, such as `eu-west-1a`.
    pub zone: String,
    /// The part of the zone, such as a rack.
    pub subzone: String,
    /// The machine.
    pub node: String,
}

impl Locality {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.parts().iter().all(|(_, part)| part.is_empty())
    }

    /// The parts with their field names, from the widest to the narrowest.
    pub fn parts(&self) -> [(&'static str, &str); 4] {
        [("region", &self.region), ("zone", &self.zone), ("subzone", &self.subzone), ("node", &self.node)]
    }

    /// Reads `{region, zone, subzone, node}`.
    ///
    /// # Errors
    /// [`Code::UnknownField`](crate::Code::UnknownField), [`Code::InvalidArgument`](crate::Code::InvalidArgument), and those of [`Locality::validate`].
    pub fn from_value(value: &Value, path: &str) -> Result<Self, Error> {
        let fields = Fields::new(value, path, &["region", "zone", "subzone", "node"])?;
        let part = |name| fields.text(name).map(|text| text.unwrap_or_default().into());
        let locality = Self { region: part("region")?, zone: part("zone")?, subzone: part("subzone")?, node: part("node")? };
        locality.validate().map_err(|error| error.within(path))?;
        Ok(locality)
    }

    /// Writes the known parts.
    pub fn to_value(&self) -> Value {
        Value::of(|out| self.write(out))
    }

    pub(super) fn write(&self, out: &mut impl Pairs) {
        self.parts().into_iter().filter(|(_, part)| !part.is_empty()).for_each(|(name, part)| out.text(name, part));
    }

    /// Checks that each part is at most 128 bytes of printable ASCII without spaces.
    ///
    /// # Errors
    /// [`Code::InvalidName`](crate::Code::InvalidName), [`Code::LimitExceeded`](crate::Code::LimitExceeded).
    pub fn validate(&self) -> Result<(), Error> {
        self.parts()
            .into_iter()
            .filter(|(_, part)| !part.is_empty())
            .try_for_each(|(name, part)| graphic(name, part, limits::LOCALITY_BYTES))
    }
}
