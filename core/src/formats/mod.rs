//! Other systems' payloads: bytes in, registrations out, and what could not be taken with the reason.
//!
//! Manners that hold for every format: unknown fields are ignored; null, absent and empty are one; a number may be a string and the other
//! way round; a bad entry is skipped and told; a bad document is an error and changes nothing; a key that stands twice is an error.

mod apply;
mod callboard;
#[cfg(feature = "consul")]
pub(crate) mod consul;
#[cfg(feature = "curator")]
mod curator;
mod decoded;
#[cfg(feature = "dns")]
pub(crate) mod dns;
pub(crate) mod document;
#[cfg(feature = "dubbo")]
mod dubbo;
#[cfg(feature = "envoy")]
mod envoy;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "eureka")]
pub(crate) mod eureka;
mod feed;
pub(crate) mod fit;
mod json;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(feature = "nacos")]
pub(crate) mod nacos;
mod next;
mod pace;
mod parts;
#[cfg(feature = "prometheus")]
mod prometheus;
mod recall;
#[cfg(feature = "eureka")]
pub(crate) mod xml;
#[cfg(feature = "yaml")]
mod yaml;

pub use decoded::{Context, Decoded, Entry, Part};
pub use feed::{Feed, FeedConfig};
pub use next::{Ask, Fed, Next, Payload, Transport};

use alloc::vec::Vec;

use crate::error::{Code, Error};
use crate::limits;
use crate::model::{AdminState, Health, Registration};
use crate::value::Value;

/// What a payload of a format speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coverage {
    /// All instances of one service.
    Service,
    /// All instances of many services.
    Services,
    /// Names of services, without their instances.
    Names,
}

/// How a system is asked, and what its transport tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asking {
    /// Every so often, with the entity tag of the answer before.
    Poll,
    /// By a question that waits for news: Consul's blocking queries, with `X-Consul-Index`.
    Block,
    /// By a question that waits for news, with `epoch` and `revision`: another callboard.
    Follow,
    /// By a listing, and then a stream of changes from where the listing stands: Kubernetes, etcd.
    Watch,
    /// By a listing, and then by questions for what has changed: Eureka.
    Delta,
}

type Encode = fn(&[Registration]) -> Vec<u8>;
type Decode = fn(&[u8], &Context<'_>) -> Result<Decoded, Error>;

/// One line for each format: its name, who reads it, what it speaks of and how it is asked for.
macro_rules! formats {
    ($all:ident { $($(#[doc = $doc:literal])+ $(#[cfg($cfg:meta)])? $format:ident = $name:literal, $decode:path, $kind:ident, $asking:ident $(, $encode:path)?;)+ }) => {
        /// A payload that can be read.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $all {
            $($(#[doc = $doc])+ $(#[cfg($cfg)])? $format,)+
        }

        impl $all {
            /// Every format of this build.
            pub const ALL: &[Self] = &[$($(#[cfg($cfg)])? Self::$format,)+];

            /// The name in documents.
            pub const fn name(self) -> &'static str {
                match self { $($(#[cfg($cfg)])? Self::$format => $name,)+ }
            }

            /// What a payload speaks of.
            pub const fn coverage(self) -> Coverage {
                match self { $($(#[cfg($cfg)])? Self::$format => Coverage::$kind,)+ }
            }

            /// How the system is asked.
            pub const fn asking(self) -> Asking {
                match self { $($(#[cfg($cfg)])? Self::$format => Asking::$asking,)+ }
            }

            fn writer(self) -> Option<Encode> {
                let writers: &[Encode] = match self { $($(#[cfg($cfg)])? Self::$format => &[$($encode as Encode)?],)+ };
                writers.first().copied()
            }

            fn reader(self) -> Decode {
                match self { $($(#[cfg($cfg)])? Self::$format => $decode,)+ }
            }
        }
    };
}

formats! {
    Format {
        /// The answer of another callboard's `GET /v1/instances/{namespace}/{service}`: how a client follows a registry server.
        Callboard = "callboard", callboard::answer, Service, Follow;
        /// Consul's `/v1/health/service/:name`.
        #[cfg(feature = "consul")]
        ConsulHealth = "consul-health", consul::health, Service, Block, consul::encode;
        /// Consul's `/v1/query/:id/execute`: a prepared query.
        #[cfg(feature = "consul")]
        ConsulQuery = "consul-query", consul::query, Service, Poll;
        /// Consul's `/v1/catalog/service/:name`, which knows no health.
        #[cfg(feature = "consul")]
        ConsulCatalog = "consul-catalog", consul::catalog, Service, Block;
        /// Consul's `/v1/catalog/services`: names only.
        #[cfg(feature = "consul")]
        ConsulServices = "consul-services", consul::services, Names, Block;
        /// Consul's `/v1/agent/services`: what is registered with one agent.
        #[cfg(feature = "consul")]
        ConsulAgent = "consul-agent", consul::agent, Services, Poll;
        /// Prometheus' `http_sd` and `file_sd`: groups of targets.
        #[cfg(feature = "prometheus")]
        Prometheus = "prometheus", prometheus::decode, Services, Poll, prometheus::encode;
        /// Curator's service instances, and Dubbo's applications, as ZooKeeper has them.
        #[cfg(feature = "curator")]
        Curator = "curator", curator::decode, Services, Poll;
        /// Dubbo's providers by interface, as ZooKeeper has them.
        #[cfg(feature = "dubbo")]
        Dubbo = "dubbo", dubbo::decode, Services, Poll;
        /// What an application of Dubbo tells of a revision: the interfaces it offers.
        #[cfg(feature = "dubbo")]
        DubboMetadata = "dubbo-metadata", dubbo::metadata, Names, Poll;
        /// Nacos' lists of instances: of its APIs v1, v2 and v3, pushed over gRPC, in failover files.
        #[cfg(feature = "nacos")]
        Nacos = "nacos", nacos::decode, Service, Poll, nacos::encode;
        /// Answers of DNS: SRV records with addresses, bare addresses, the service discovery of RFC 6763.
        #[cfg(feature = "dns")]
        Dns = "dns", dns::decode, Service, Poll, dns::encode;
        /// Envoy's endpoint discovery: a response, one assignment, a config dump.
        #[cfg(feature = "envoy")]
        Envoy = "envoy", envoy::decode, Services, Poll, envoy::encode;
        /// Kubernetes' EndpointSlices: a list, one slice, the lines of a watch.
        #[cfg(feature = "kubernetes")]
        Kubernetes = "kubernetes", kubernetes::decode, Services, Watch;
        /// etcd's ranges and watches, with the values of gRPC's resolver.
        #[cfg(feature = "etcd")]
        EtcdGrpc = "etcd-grpc", etcd::grpc, Services, Watch;
        /// etcd's ranges and watches, with the values of Kratos.
        #[cfg(feature = "etcd")]
        EtcdKratos = "etcd-kratos", etcd::kratos, Services, Watch;
        /// etcd's ranges and watches, with the values of Go Micro.
        #[cfg(feature = "etcd")]
        EtcdMicro = "etcd-micro", etcd::micro, Services, Watch;
        /// etcd's ranges and watches, with the values of go-zero.
        #[cfg(feature = "etcd")]
        EtcdZero = "etcd-zero", etcd::zero, Services, Watch;
        /// Eureka's `/apps` and `/apps/delta`, in JSON or XML.
        #[cfg(feature = "eureka")]
        EurekaApps = "eureka-apps", eureka::apps, Services, Delta, eureka::encode;
        /// The same; what is written is XML.
        #[cfg(feature = "eureka")]
        EurekaXml = "eureka-xml", eureka::apps, Services, Delta, eureka::encode_xml;
        /// Eureka's `/apps/:app` and `/instances/:id`, in JSON or XML.
        #[cfg(feature = "eureka")]
        EurekaApp = "eureka-app", eureka::app, Service, Poll;
        /// Eureka's `/vips/:vip`, in JSON or XML: the instances of an address, of whatever application.
        #[cfg(feature = "eureka")]
        EurekaVips = "eureka-vips", eureka::apps, Services, Poll;
    }
}

impl Format {
    /// Reads the name.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] for any other word.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.iter().copied().find(|format| format.name() == name);
        known.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|format| format.name()).collect();
            Error::new(Code::InvalidArgument, "format").detail(alloc::format!("one of {}", names.join(" ")))
        })
    }
}

/// Reads a payload.
///
/// # Errors
/// [`Code::Malformed`], [`Code::DuplicateKey`], [`Code::LimitExceeded`] for the document as a whole, [`Code::InvalidName`] for the namespace or
/// service; [`Code::MissingField`] when the format names no service and the context does not either.
pub fn decode(format: Format, bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    crate::model::check_name("namespace", context.namespace)?;
    context.service.map_or(Ok(()), |service| crate::model::check_name("service", service))?;
    let decoded = format.reader()(bytes, context)?;
    if decoded.instances.len() > limits::PAYLOAD_INSTANCES {
        return Err(Error::too_large("instances", limits::PAYLOAD_INSTANCES as u64));
    }
    Ok(decoded)
}

/// Writes instances as a system says them, as far as it can.
///
/// # Errors
/// [`Code::InvalidArgument`] for a format that is only read.
pub fn encode(format: Format, instances: &[Registration]) -> Result<Vec<u8>, Error> {
    let writer = format.writer().ok_or_else(|| Error::new(Code::InvalidArgument, "format").message("this format is only read"))?;
    Ok(writer(instances))
}

/// As [`encode`], of a list of documents such as [`Decoded`] has: registrations, with the operator's `admin`.
///
/// Few systems have a place for such a word: who is not `enabled` is written as unhealthy, so that nobody calls it.
///
/// # Errors
/// Also those of [`Registration::from_value`], about `instances[3].id`; [`Code::InvalidArgument`] for what is no list or no state of an operator.
pub fn encode_value(format: Format, instances: &Value) -> Result<Vec<u8>, Error> {
    let wrong =
        || Error::new(Code::InvalidArgument, "instances").detail(alloc::format!("expected a list, found {}", instances.type_name()));
    let documents = instances.as_list().ok_or_else(wrong)?.iter().enumerate();
    let read = |(at, document)| Entry::from_value(document).map_err(|error| error.within(&alloc::format!("instances[{at}]")));
    let written = |entry: Entry| match entry.admin {
        AdminState::Enabled => entry.registration,
        _ => entry.registration.health(Health::Unhealthy),
    };
    encode(format, &documents.map(|one| read(one).map(written)).collect::<Result<Vec<_>, _>>()?)
}

#[cfg(all(test, feature = "formats"))]
mod recall_tests;
#[cfg(all(test, feature = "formats"))]
mod tests;
