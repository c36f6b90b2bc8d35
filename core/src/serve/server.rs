//! Under which names the protocols serve.

use alloc::string::String;

use super::policy::Policy;
use super::room::Bounds;
use super::token::Secret;
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{DEFAULT_NAMESPACE, check_name};
use crate::value::{Fields, Value};

/// The seconds of a day.
const DAY: u32 = 86_400;

/// How a registry is served: what the protocols need to say of it that the registry does not know.
///
/// The registry is no part of it, and it keeps nothing: one serves any number of registries, and may be replaced between two requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The namespace of the protocols that have none: Consul, Eureka, DNS, and Nacos' `public`. `default` when none is named.
    pub(super) namespace: String,
    /// The datacenter that Consul's clients see; `dc1` when none is named, as in Consul.
    pub(super) datacenter: String,
    /// The node that Consul's clients see, on which services are that name no node; `callboard` when none is named.
    pub(super) node: String,
    /// The domain that DNS answers for; `callboard` when none is named.
    pub(super) domain: String,
    /// How long DNS' answers are good for, in seconds, 0 to 86 400; 5 when none is named.
    pub(super) dns_ttl: u32,
    /// What tokens of instances are drawn from; none are drawn when there is none.
    pub(super) secret: Option<Secret>,
    /// Who may do what; everybody may do everything when there is none.
    pub(super) policy: Option<Policy>,
    bounds: Bounds,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            namespace: DEFAULT_NAMESPACE.into(),
            datacenter: "dc1".into(),
            node: "callboard".into(),
            domain: "callboard".into(),
            dns_ttl: 5,
            secret: None,
            policy: None,
            bounds: Bounds::default(),
        }
    }
}

impl Server {
    /// How much its host takes at a time.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Reads `{namespace?, datacenter?, node?, domain?, dns_ttl?, secret?, policy?, bounds?}`, the last a map of [`Bounds`], `patience` in seconds. With a secret, text of at least 32 bytes that nobody knows, whoever signs
    /// an instance in by [`rest`](super::rest) is given a token of it ([`token`](super::token)). The policy is a list of principals, `[{name, tokens?, grants: [{namespace?, service?, may}]}]`: tokens
    /// are SHA-256 digests in hexadecimal, namespaces and services globs (`default` and everything when absent), and `may` is `read`, `register`,
    /// `operate` or `administer`, each with those before it. What no grant allows is denied.
    ///
    /// # Errors
    /// [`Code::InvalidName`](crate::Code::InvalidName), [`Code::LimitExceeded`](crate::Code::LimitExceeded),
    /// [`Code::UnknownField`](crate::Code::UnknownField), [`Code::InvalidArgument`](crate::Code::InvalidArgument).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["namespace", "datacenter", "node", "domain", "dns_ttl", "secret", "policy", "bounds"])?;
        let base = Self::default();
        let name = |field: &str, base: String| match fields.text(field)? {
            Some(name) => check_name(field, name).map(|()| name.into()),
            None => Ok(base),
        };
        let domain = fields.text("domain")?.map_or(base.domain, |domain| domain.trim_end_matches('.').to_ascii_lowercase());
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if domain.len() > limits::NAME_BYTES || !domain.split('.').all(is_label) {
            return Err(Error::new(Code::InvalidName, "domain").message("labels of letters, digits and '-', at most 63 bytes in all"));
        }
        let ttl = fields.u64("dns_ttl")?.unwrap_or(base.dns_ttl.into());
        Ok(Self {
            secret: fields.value("secret").map(Secret::from_value).transpose()?,
            policy: fields.value("policy").map(Policy::from_value).transpose()?,
            bounds: fields.value("bounds").map_or(Ok(base.bounds), Bounds::from_value)?,
            domain,
            dns_ttl: u32::try_from(ttl).ok().filter(|ttl| *ttl <= DAY).ok_or_else(|| Error::too_large("dns_ttl", DAY.into()))?,
            namespace: name("namespace", base.namespace)?,
            datacenter: name("datacenter", base.datacenter)?,
            node: name("node", base.node)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let read = |key, value: &str| Server::from_value(&Value::map([(key, Value::from(value))]));
        assert_eq!(read("node", "n1").unwrap(), Server { node: "n1".into(), ..Server::default() });
        for (key, value) in
            [("node", "a\r\nb"), ("datacenter", ""), ("namespace", "../x"), ("zone", "z"), ("domain", "a..b"), ("domain", "")]
        {
            assert_eq!(read(key, value).unwrap_err().field(), key);
        }
    }
}
