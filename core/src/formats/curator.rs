//! Curator's `ServiceInstance`, as ZooKeeper holds it and as the REST server of x-discovery answers it: one, or a list of them. Dubbo writes its
//! applications the same way. A list of maps that only have a name is one of services.
//!
//! | ours | Curator's |
//! |---|---|
//! | id, service | `id`, `name` |
//! | endpoints | `http` at `port` and `https` at `sslPort`, of `address`; without an address there is none |
//! | admin | disabled when `enabled` is false; absent is true |
//! | more endpoints | `dubbo.endpoints` in the metadata, a list in JSON of `{port, protocol}` at the same address |
//! | metadata | `payload.metadata` (Spring Cloud, Dubbo), else the pairs of `payload`, without `@class` |
//! | version | the version in the metadata |
//! | health | healthy: who is listed holds its session |

use alloc::string::String;
use alloc::vec::Vec;

use super::document::{Document, Node};
use super::{Context, Decoded, Entry, fit};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{AdminState, Endpoint, Registration, check_name};

/// Reads instances.
///
/// # Errors
/// [`Code::Malformed`] when it is neither a map nor a list, and those of the document.
pub(super) fn decode(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let document = Document::json(bytes)?;
    let root = document.root();
    let list = root.get("services").unwrap_or(root);
    if !list.is_list() && !list.is_map() {
        return Err(Error::new(Code::Malformed, "body").message("expected an instance, or a list of them"));
    }
    let mut decoded = Decoded::default();
    for (index, instance) in list.items().enumerate() {
        if instance.pairs().count() == 1
            && let Some(name) = instance.get("name").and_then(Node::as_str)
        {
            match check_name("service", name) {
                Ok(()) => decoded.services.push(name.into()),
                Err(error) => decoded.skip(index, name.into(), String::new(), error),
            }
            continue;
        }
        decoded.take(index, entry(instance, context), || (instance.text("name").into_owned(), instance.text("id").into_owned()));
    }
    Ok(decoded)
}

fn entry(instance: Node<'_>, context: &Context<'_>) -> Result<Entry, Error> {
    if !instance.is_map() {
        return Err(Error::new(Code::InvalidArgument, "instance").message("expected a map"));
    }
    let mut own = Registration::new(instance.text("name"), instance.text("id")).namespace(context.namespace);
    let address = instance.text("address");
    for (key, scheme) in [("port", "http"), ("sslPort", "https")] {
        let port = instance.get(key).map_or(Ok(None), |port| port.port(key))?;
        if let Some(port) = port.filter(|_| !address.is_empty()) {
            own.endpoints.push(Endpoint::new(scheme, &address, Some(port)).map_err(|error| error.within("address"))?);
        }
    }
    let payload = instance.get("payload");
    let metadata = payload.and_then(|payload| payload.get("metadata")).or(payload);
    let said = metadata.map(|metadata| metadata.text("dubbo.endpoints")).filter(|said| !said.is_empty() && !address.is_empty());
    if let Some(said) = said {
        own.endpoints = speaking(&address, &said)?;
    }
    if own.endpoints.is_empty() && !address.is_empty() {
        own.endpoints.push(Endpoint::new("http", &address, None).map_err(|error| error.within("address"))?);
    }
    let version: String = metadata.map(|metadata| metadata.text("version").into_owned()).unwrap_or_default();
    own.version = fit::version([version.as_str()]);
    own.metadata = fit::metadata(fit::pairs(metadata).filter(|(key, _)| !key.starts_with('@')));
    own.validate()?;
    let enabled = instance.get("enabled").and_then(Node::truth).unwrap_or(true);
    let admin = if enabled { AdminState::Enabled } else { AdminState::Disabled };
    Ok(Entry { admin, ..Entry::new(0, own) })
}

/// What an application of Dubbo speaks, and where.
fn speaking(address: &str, said: &str) -> Result<Vec<Endpoint>, Error> {
    let wrong = |error: Error| error.within("dubbo.endpoints");
    let document = Document::json(said.as_bytes()).map_err(wrong)?;
    let all = document.root().items().take(limits::ENDPOINTS).map(|one| {
        let port = one.get("port").map_or(Ok(None), |port| port.port("port"))?;
        Endpoint::new(&one.text("protocol"), address, port)
    });
    all.collect::<Result<Vec<_>, _>>().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    const ONE: &str = r#"{"name":"web","id":"a1","address":"10.0.0.1","port":80,"sslPort":"443","serviceType":"DYNAMIC","uriSpec":null,
        "payload":{"@class":"x","metadata":{"version":"1.0.0","k":7}}}"#;

    fn read(body: &str) -> Result<Decoded, Error> {
        decode(body.as_bytes(), &Context::new("default"))
    }

    #[test]
    fn one_or_a_list_of_them() {
        for body in [ONE.into(), format!("[{ONE}]"), format!("{{\"services\":[{ONE}]}}")] {
            let own = read(&body).unwrap().instances.remove(0).registration;
            let endpoints: Vec<String> = own.endpoints.iter().map(|endpoint| format!("{endpoint}")).collect();
            assert_eq!(endpoints, ["http://10.0.0.1:80", "https://10.0.0.1:443"]);
            assert_eq!((own.id.as_str(), own.metadata.get("k"), own.version.is_some()), ("a1", Some("7"), true));
        }
        assert!(read("[]").unwrap().instances.is_empty());
        for bad in ["", "null", "7", "\"x\""] {
            assert_eq!(read(bad).unwrap_err().code(), Code::Malformed, "{bad}");
        }
    }

    #[test]
    fn what_is_absent_is_not_guessed() {
        let entry = |from, to| read(&ONE.replacen(from, to, 1)).unwrap();
        assert_eq!(entry("\"port\"", "\"enabled\":false,\"port\"").instances[0].admin, AdminState::Disabled);
        assert!(entry("\"10.0.0.1\"", "null").instances[0].registration.endpoints.is_empty());
        assert_eq!(entry("80,\"sslPort\":\"443\"", "null").instances[0].registration.endpoints[0].port, None);
        assert_eq!(
            entry("{\"@class\":\"x\",\"metadata\":{\"version\":\"1.0.0\",\"k\":7}}", "\"text\"").instances[0].registration.metadata.len(),
            0
        );
        assert_eq!(entry("\"a1\"", "null").skipped[0].error.code(), Code::MissingField);
        assert_eq!(entry("80", "\"eighty\"").skipped[0].error.field(), "port");
    }
}
