//! Who may do what.

use alloc::string::String;
use alloc::vec::Vec;

use hmac_sha256::Hash;

use super::http::Request;
use crate::error::{Code, Error};
use crate::hex::unhex;
use crate::limits;
use crate::query::Glob;
use crate::value::{Fields, Value};

/// What a principal may do to the services of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Capability {
    /// Look instances up, follow them, resolve them in DNS.
    Read,
    /// Sign instances in, and renew, report on and sign out those that it signed in itself. Includes reading.
    Register,
    /// Override instances, and change those of others. Includes registering.
    Operate,
    /// Take a snapshot and see what the registry tells of itself. Only on everything: namespace and service `*`.
    Administer,
}

impl Capability {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Read, "read"), (Self::Register, "register"), (Self::Operate, "operate"), (Self::Administer, "administer")];

    fn parse(word: &str) -> Result<Self, Error> {
        let known = Self::ALL.iter().find(|(_, own)| *own == word).map(|(capability, _)| *capability);
        known.ok_or_else(|| Error::new(Code::InvalidArgument, "may").message("one of read register operate administer"))
    }

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(own, _)| *own == self).map_or("", |(_, word)| word)
    }
}

/// Capabilities on the services that two globs name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    namespace: Glob,
    service: Glob,
    /// The highest; each includes those before it.
    may: Capability,
}

/// Somebody whom grants are for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Principal {
    name: String,
    /// SHA-256 of its tokens.
    tokens: Vec<[u8; 32]>,
    grants: Vec<Grant>,
}

/// Principals and what each may do; all else is denied. Whoever names none and has no token is `anonymous`, which is denied everything unless the
/// policy says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy(Vec<Principal>);

/// The name of those who say nothing of themselves.
pub(super) const ANONYMOUS: &str = "anonymous";

/// Principals, grants of one and tokens of one, at most.
const MOST: usize = 1_024;

impl Policy {
    /// Reads `[{name, tokens?, grants: [{namespace?, service?, may}]}]`: a token is the SHA-256 of the real one in hexadecimal, `namespace` and `service` are
    /// globs (`*`, `?`), of `default` and everything when they are absent, and `may` is `read`, `register`, `operate` or `administer`, each of which includes
    /// those before it.
    ///
    /// # Errors
    /// A typed error that names the field.
    pub(super) fn from_value(value: &Value) -> Result<Self, Error> {
        let list = value.as_list().ok_or_else(|| Error::new(Code::InvalidArgument, "policy").message("expected a list of principals"))?;
        if list.len() > MOST {
            return Err(Error::too_large("policy", MOST as u64));
        }
        let mut principals: Vec<Principal> = Vec::new();
        for (at, one) in list.iter().enumerate() {
            let own = Principal::from_value(one).map_err(|error| error.within(&alloc::format!("policy[{at}]")))?;
            let twice =
                principals.iter().any(|known| known.name == own.name || known.tokens.iter().any(|token| own.tokens.contains(token)));
            if twice {
                return Err(
                    Error::new(Code::DuplicateKey, alloc::format!("policy[{at}]")).message("its name or a token of it is another's")
                );
            }
            principals.push(own);
        }
        Ok(Self(principals))
    }

    fn named(&self, name: &str) -> Option<&Principal> {
        self.0.iter().find(|principal| principal.name == name)
    }

    /// Whose request it is: whom the host names, else whose token it carries, else anonymous.
    ///
    /// # Errors
    /// [`Code::PermissionDenied`] for a name or a token that nobody has.
    pub(super) fn whose(&self, request: &Request<'_>) -> Result<String, Error> {
        let unknown = |field| Error::new(Code::PermissionDenied, field).message("nobody's");
        if !request.principal.is_empty() {
            return self.named(request.principal).map(|own| own.name.clone()).ok_or_else(|| unknown("principal"));
        }
        let bearer = request.header("authorization").split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
        let token = [request.header("x-consul-token"), bearer.map_or("", |(_, token)| token.trim_ascii())]
            .into_iter()
            .find(|token| !token.is_empty());
        let Some(token) = token else { return Ok(ANONYMOUS.into()) };
        // What is compared is a digest: how long that takes tells nothing of a token.
        let digest = Hash::hash(token.as_bytes());
        let owner = self.0.iter().find(|principal| principal.tokens.contains(&digest));
        owner.map(|own| own.name.clone()).ok_or_else(|| unknown("token"))
    }

    /// The grants of somebody: none for who is not in it.
    pub(super) fn grants(&self, who: &str) -> &[Grant] {
        self.named(who).map_or(&[], |own| &own.grants)
    }
}

/// That somebody may not do something.
pub(super) fn denied(capability: Capability) -> Error {
    Error::new(Code::PermissionDenied, capability.as_str()).message("no grant of the policy allows it")
}

impl Principal {
    fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["name", "tokens", "grants"])?;
        let name = fields.required_text("name")?;
        crate::model::check_name("name", name)?;
        let few = |name: &str| match fields.list(name)?.unwrap_or_default() {
            list if list.len() > MOST => Err(Error::too_large(name, MOST as u64)),
            list => Ok(list),
        };
        let wrong = || Error::new(Code::InvalidArgument, "tokens").message("the SHA-256 of a token, 64 hexadecimal digits");
        let tokens = few("tokens")?.iter().map(|token| token.as_str().and_then(unhex).ok_or_else(wrong)).collect::<Result<_, _>>()?;
        let read = |(at, grant)| Grant::from_value(grant).map_err(|error| error.within(&alloc::format!("grants[{at}]")));
        let grants = few("grants")?.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { name: name.into(), tokens, grants })
    }
}

impl Grant {
    /// Whether it allows something to be done to a service.
    pub(super) fn allows(&self, capability: Capability, namespace: &str, service: &str) -> bool {
        // To administer is about everything: a grant of less than that is none.
        let names = |glob: &Glob, name| if capability == Capability::Administer { glob.pattern() == "*" } else { glob.matches(name) };
        self.may >= capability && names(&self.namespace, namespace) && names(&self.service, service)
    }

    /// Whether it allows something to be done to every service of a namespace.
    pub(super) fn allows_all(&self, capability: Capability, namespace: &str) -> bool {
        self.service.pattern() == "*" && self.allows(capability, namespace, "")
    }

    fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["namespace", "service", "may"])?;
        let glob = |name: &str, usual: &str| {
            let text = fields.text(name)?.unwrap_or(usual);
            if text.len() > limits::NAME_BYTES {
                return Err(Error::too_large(name, limits::NAME_BYTES as u64));
            }
            Glob::new(text).map_err(|_| Error::new(Code::InvalidArgument, name).message("a glob of letters, digits, '*' and '?'"))
        };
        let (namespace, service) = (glob("namespace", crate::model::DEFAULT_NAMESPACE)?, glob("service", "*")?);
        Ok(Self { namespace, service, may: Capability::parse(fields.required_text("may")?)? })
    }
}
