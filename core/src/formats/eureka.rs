//! Eureka in JSON or XML: `/apps`, `/apps/delta`, `/apps/:app`, `/vips/:vip` and `/instances/:id`.
//!
//! | ours | Eureka's |
//! |---|---|
//! | id | `instanceId`, else `dataCenterInfo.metadata.instance-id`, else `hostName` |
//! | service | `app` of the instance, else `name` of the application, in upper case as Eureka reads it; in the spelling that was asked for |
//! | endpoints | `http` at `port` and `https` at `securePort`, each when it is enabled; both may be off. The host is `ipAddr`, else `hostName` |
//! | health | `status`: `UP` is healthy, `DOWN` is unhealthy, `STARTING` is starting, all else is unknown |
//! | admin | disabled when `status`, or the override of it, is `OUT_OF_SERVICE` |
//! | zone | `metadata.zone`, else `dataCenterInfo.metadata.availability-zone` |
//! | version, metadata | `metadata.version`, `metadata` |
//!
//! XStream's spellings are read for what they mean: one thing may stand for a list of it, numbers and truth values may be texts, a map that is
//! empty has an `@class`. Of changes, the last word on an instance counts. A change that is not known is taken for a new state of the instance.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::document::{Document, Node};
use super::{Ask, Context, Decoded, Entry, fit, xml};
use crate::error::{Code, Error};
use crate::model::{AdminState, Endpoint, Health, Locality, Registration};
use crate::registry::Extent;
use crate::value::Value;

/// Reads the answer of `/apps`, `/apps/delta` or `/vips/:vip`.
///
/// # Errors
/// [`Code::Malformed`] when it has no map of applications, and those of the document.
pub(super) fn apps(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let document = parse(bytes)?;
    let applications = document.root().get("applications").filter(|applications| applications.is_map());
    let applications = applications.ok_or_else(|| Error::new(Code::Malformed, "applications").message("expected a map"))?;
    let mut reading = Reading::new(context);
    for application in applications.list("application") {
        reading.application(application);
    }
    // The server may be told to write one underscore.
    let hash = applications.any(&["apps__hashcode", "apps_hashcode"]).and_then(Node::as_str);
    Ok(Decoded { hash: hash.map(String::from), ..reading.done() })
}

/// Reads the answer of `/apps/:app` or of `/instances/:id`.
///
/// # Errors
/// [`Code::Malformed`] when it has no application and no instance, and those of the document.
pub(crate) fn app(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let document = parse(bytes)?;
    let root = document.root();
    let mut reading = Reading::new(context);
    match (root.get("application"), root.get("instance")) {
        (Some(application), _) if application.is_map() => reading.application(application),
        (None, Some(instance)) if instance.is_map() => reading.instance(instance, ""),
        _ => return Err(Error::new(Code::Malformed, "application").message("expected a map")),
    }
    Ok(reading.done())
}

/// JSON, or XML, which begins with an angle bracket.
pub(crate) fn parse(bytes: &[u8]) -> Result<Document<'_>, Error> {
    match bytes.trim_ascii_start().first() {
        Some(b'<') => Document::xml(bytes),
        _ => Document::json(bytes),
    }
}

/// An answer on its way to what it means.
struct Reading<'a> {
    context: &'a Context<'a>,
    decoded: Decoded,
    /// The last word of each instance of a delta, in the order of their names.
    changes: BTreeMap<(String, String), Option<Entry>>,
    index: usize,
}

impl<'a> Reading<'a> {
    fn new(context: &'a Context<'a>) -> Self {
        Self { context, decoded: Decoded::default(), changes: BTreeMap::new(), index: 0 }
    }

    fn application(&mut self, application: Node<'_>) {
        let name = application.text("name");
        for instance in application.list("instance") {
            self.instance(instance, &name);
        }
    }

    fn instance(&mut self, instance: Node<'_>, application: &str) {
        let index = self.index;
        self.index = index.saturating_add(1);
        let name = (service(instance, application, self.context), id(instance).into_owned());
        if self.context.ask != Ask::Delta {
            let read = entry(instance, &name, self.context);
            return self.decoded.take(index, read, || name);
        }
        if instance.text("actionType") == "DELETED" && !name.0.is_empty() && !name.1.is_empty() {
            self.changes.insert(name, None);
            return;
        }
        match entry(instance, &name, self.context) {
            Ok(entry) => {
                self.changes.insert(name, Some(Entry { index, ..entry }));
            }
            Err(error) => self.decoded.skip(index, name.0, name.1, error),
        }
    }

    fn done(mut self) -> Decoded {
        if self.context.ask == Ask::Delta {
            self.decoded.extent = Extent::Part;
        }
        for (name, entry) in self.changes {
            match entry {
                Some(entry) => self.decoded.put(entry),
                None => self.decoded.removed.push(name),
            }
        }
        self.decoded
    }
}

fn service(instance: Node<'_>, application: &str, context: &Context<'_>) -> String {
    let app = instance.text("app");
    let app = if app.is_empty() { application } else { &app };
    match context.service {
        Some(asked) if asked.eq_ignore_ascii_case(app) => asked.to_string(),
        _ => app.to_ascii_uppercase(),
    }
}

fn id(instance: Node<'_>) -> Cow<'_, str> {
    let amazon = || instance.path(&["dataCenterInfo", "metadata", "instance-id"]).and_then(Node::scalar).unwrap_or_default();
    let said = [instance.text("instanceId"), amazon(), instance.text("hostName")];
    said.into_iter().find(|id| !id.is_empty()).unwrap_or_default()
}

fn entry(instance: Node<'_>, (service, id): &(String, String), context: &Context<'_>) -> Result<Entry, Error> {
    if !instance.is_map() {
        return Err(Error::new(Code::InvalidArgument, "instance").message("expected a map"));
    }
    if id.is_empty() {
        return Err(Error::new(Code::MissingField, "instanceId"));
    }
    let (health, state) = match &*instance.text("status") {
        "UP" => (Health::Healthy, "UP"),
        "DOWN" => (Health::Unhealthy, "DOWN"),
        "STARTING" => (Health::Starting, "STARTING"),
        "OUT_OF_SERVICE" => (Health::Unknown, "OUT_OF_SERVICE"),
        _ => (Health::Unknown, "UNKNOWN"),
    };
    let mut own = Registration::new(service.as_str(), id.as_str()).namespace(context.namespace).health(health);
    for (key, scheme, enabled) in [("port", "http", true), ("securePort", "https", false)] {
        own.endpoints.extend(endpoint(instance, key, scheme, enabled)?);
    }
    let metadata = instance.get("metadata");
    let of = |key| metadata.map(|metadata| metadata.text(key)).unwrap_or_default();
    let amazon = || instance.path(&["dataCenterInfo", "metadata", "availability-zone"]).and_then(Node::scalar).unwrap_or_default();
    let zone = Some(of("zone")).filter(|zone| !zone.is_empty()).unwrap_or_else(amazon);
    own.locality = Locality { zone: fit::place(&zone), ..Locality::default() };
    own.version = fit::version([&*of("version")]);
    own.metadata = fit::metadata(fit::pairs(metadata).filter(|(key, _)| !key.starts_with('@')));
    own.validate()?;
    let overridden = instance.any(&["overriddenStatus", "overriddenstatus"]).and_then(Node::as_str);
    let out = state == "OUT_OF_SERVICE" || overridden == Some("OUT_OF_SERVICE");
    let admin = if out { AdminState::Disabled } else { AdminState::Enabled };
    Ok(Entry { admin, state, ..Entry::new(0, own) })
}

/// The endpoint at `port` or `securePort`, unless it is off: `{"$": 8080, "@enabled": "true"}`, or the number alone.
fn endpoint(instance: Node<'_>, key: &str, scheme: &str, enabled: bool) -> Result<Option<Endpoint>, Error> {
    let Some(said) = instance.get(key) else { return Ok(None) };
    if !said.get("@enabled").and_then(Node::truth).unwrap_or(enabled) {
        return Ok(None);
    }
    let number = if said.is_map() { said.get("$") } else { Some(said) };
    let Some(port) = number.map_or(Ok(None), |number| number.port(key))? else { return Ok(None) };
    let (address, name) = (instance.text("ipAddr"), instance.text("hostName"));
    // Some clients write the port into the name.
    let name = name.split_once(':').filter(|(_, port)| !port.contains(':')).map_or(&*name, |(host, _)| host);
    let host = if address.is_empty() { name } else { &address };
    Endpoint::new(scheme, host, Some(port)).map(Some)
}

/// Writes the answer of `/apps` in JSON, as far as Eureka can say it: one HTTP and one HTTPS port at one address, no weight, no tags, no lease.
pub(super) fn encode(instances: &[Registration]) -> Vec<u8> {
    applications(instances).to_json()
}

/// Writes the same in XML. Metadata whose keys are no names of XML are left out.
pub(super) fn encode_xml(instances: &[Registration]) -> Vec<u8> {
    xml::write(&applications(instances))
}

fn applications(instances: &[Registration]) -> Value {
    let mut applications: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for own in instances {
        let app = own.service.to_ascii_uppercase();
        let written = written(own, &app, state(own.health));
        applications.entry(app).or_default().push(written);
    }
    document("1", &hash(instances.iter().map(|own| state(own.health))), applications)
}

/// The document of applications by name.
pub(crate) fn document(version: &str, hash: &str, applications: BTreeMap<String, Vec<Value>>) -> Value {
    let pairs = [
        ("versions__delta", Value::from(version)),
        ("apps__hashcode", hash.into()),
        ("application", Value::List(applications.into_iter().map(|(name, instances)| application(&name, instances)).collect())),
    ];
    Value::map([("applications", Value::map(pairs))])
}

/// One application.
pub(crate) fn application(name: &str, instances: Vec<Value>) -> Value {
    Value::map([("name", Value::from(name)), ("instance", Value::List(instances))])
}

/// How many instances are in which state, by which clients know whether they have them all.
pub(crate) fn hash<'a>(states: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for state in states {
        let count = counts.entry(state).or_default();
        *count = count.saturating_add(1);
    }
    counts.iter().map(|(state, count)| alloc::format!("{state}_{count}_")).collect()
}

pub(crate) fn state(health: Health) -> &'static str {
    match health {
        Health::Healthy | Health::Degraded => "UP",
        Health::Unhealthy => "DOWN",
        Health::Starting => "STARTING",
        Health::Unknown => "UNKNOWN",
    }
}

pub(crate) fn written(own: &Registration, app: &str, state: &str) -> Value {
    let text = |text: &str| Value::from(text);
    let secure = own.endpoints.iter().find(|endpoint| endpoint.scheme == "https");
    let plain = own.endpoints.iter().find(|endpoint| endpoint.scheme != "https");
    let host = plain.or(secure).map_or(String::new(), |endpoint| endpoint.host.bare());
    let port = |endpoint: Option<&Endpoint>| {
        let number = endpoint.and_then(|endpoint| endpoint.port);
        let enabled = if number.is_some() { "true" } else { "false" };
        Value::map([("$", Value::from(u64::from(number.unwrap_or(0)))), ("@enabled", enabled.into())])
    };
    let mut metadata: Vec<(&str, Value)> = own.metadata.iter().map(|(key, value)| (key, text(value))).collect();
    if let Some(version) = own.version.as_ref().filter(|_| own.metadata.get("version").is_none()) {
        metadata.push(("version", text(&version.text())));
    }
    let class = |name| Value::from(alloc::format!("com.netflix.appinfo.{name}"));
    let center = if own.locality.zone.is_empty() {
        Value::map([("@class", class("InstanceInfo$DefaultDataCenterInfo")), ("name", text("MyOwn"))])
    } else {
        let zone = Value::map([("availability-zone", text(&own.locality.zone))]);
        Value::map([("@class", class("AmazonInfo")), ("name", text("Amazon")), ("metadata", zone)])
    };
    Value::map([
        ("instanceId", text(&own.id)),
        ("hostName", text(&host)),
        ("app", text(app)),
        ("ipAddr", text(&host)),
        ("status", text(state)),
        ("overriddenStatus", text("UNKNOWN")),
        ("port", port(plain)),
        ("securePort", port(secure)),
        ("countryId", Value::from(1u64)),
        ("dataCenterInfo", center),
        ("metadata", Value::map(metadata)),
        ("vipAddress", text(app)),
        ("actionType", text("ADDED")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn read(list: &str, ask: Ask) -> Decoded {
        let body = format!(r#"{{"applications":{{"versions__delta":1,"apps__hashcode":"UP_1_","application":{list}}}}}"#);
        apps(body.as_bytes(), &Context { ask, ..Context::new("default") }).unwrap()
    }

    const ONE: &str = r#"{"name":"shop","instance":{"instanceId":"i-1","hostName":"shop.local:8080","ipAddr":"10.0.0.1","status":"UP",
        "port":{"$":"8080","@enabled":"true"},"securePort":{"$":8443,"@enabled":true},
        "dataCenterInfo":{"name":"Amazon","metadata":{"availability-zone":"us-east-1c"}},"metadata":{"@class":"x","version":"1.2.0"}}}"#;

    #[test]
    fn one_thing_stands_for_a_list_and_texts_for_numbers() {
        let decoded = read(ONE, Ask::Full);
        let own = &decoded.instances[0].registration;
        assert_eq!((own.service.as_str(), own.id.as_str(), own.health), ("SHOP", "i-1", Health::Healthy));
        let endpoints: Vec<String> = own.endpoints.iter().map(|endpoint| format!("{endpoint}")).collect();
        assert_eq!(endpoints, ["http://10.0.0.1:8080", "https://10.0.0.1:8443"]);
        assert_eq!((own.locality.zone.as_str(), own.metadata.len()), ("us-east-1c", 1));
        assert_eq!(decoded.hash.as_deref(), Some("UP_1_"));
        for nothing in ["null", "[]", r#"{"name":"x"}"#, r#"[{"name":"x","instance":null}]"#] {
            assert_eq!(read(nothing, Ask::Full).instances.len(), 0, "{nothing}");
        }
    }

    #[test]
    fn states_are_health_or_the_operators_word() {
        for (state, health, admin) in [
            ("UP", Health::Healthy, AdminState::Enabled),
            ("DOWN", Health::Unhealthy, AdminState::Enabled),
            ("STARTING", Health::Starting, AdminState::Enabled),
            ("OUT_OF_SERVICE", Health::Unknown, AdminState::Disabled),
            ("SLEEPY", Health::Unknown, AdminState::Enabled),
        ] {
            let decoded = read(&ONE.replace("\"UP\"", &format!("\"{state}\"")), Ask::Full);
            let entry = &decoded.instances[0];
            assert_eq!((entry.registration.health, entry.admin), (health, admin), "{state}");
        }
        for key in ["overriddenStatus", "overriddenstatus"] {
            let decoded = read(&ONE.replace("\"status\"", &format!("\"{key}\":\"OUT_OF_SERVICE\",\"status\"")), Ask::Full);
            assert_eq!(decoded.instances[0].admin, AdminState::Disabled);
        }
    }

    #[test]
    fn of_changes_the_last_word_counts() {
        let gone = ONE.replace("\"status\"", "\"actionType\":\"DELETED\",\"status\"");
        let decoded = read(&format!("[{ONE},{gone}]"), Ask::Delta);
        assert_eq!((decoded.instances.len(), decoded.extent), (0, Extent::Part));
        assert_eq!(decoded.removed, [("SHOP".into(), "i-1".into())]);
        let decoded = read(&format!("[{gone},{ONE}]"), Ask::Delta);
        assert_eq!((decoded.instances.len(), decoded.removed.len()), (1, 0));
    }

    #[test]
    fn ports_that_are_off_are_no_endpoints_and_a_name_may_carry_a_port() {
        let decoded = read(&ONE.replace("true", "false"), Ask::Full);
        assert!(decoded.instances[0].registration.endpoints.is_empty());
        let decoded = read(&ONE.replace("10.0.0.1", "").replace("\"instanceId\":\"i-1\",", ""), Ask::Full);
        let own = &decoded.instances[0].registration;
        assert_eq!((own.id.as_str(), format!("{}", own.endpoints[0])), ("shop.local:8080", "http://shop.local:8080".into()));
        let decoded = read(&ONE.replace("\"8080\"", "\"70000\""), Ask::Full);
        assert_eq!((decoded.instances.len(), decoded.skipped[0].error.field()), (0, "port"));
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let own = read(ONE, Ask::Full).instances.remove(0).registration;
        let context = Context::new("default");
        let again = apps(&encode(core::slice::from_ref(&own)), &context).unwrap();
        assert_eq!((&again.instances[0].registration, again.hash.as_deref()), (&own, Some("UP_1_")));
        let context = Context { service: Some("shop"), ..context };
        let single = app(format!("{{\"application\":{ONE}}}").as_bytes(), &context).unwrap();
        assert_eq!(single.instances[0].registration.service, "shop");
        for body in ["{}", "[]", "{\"applications\":[]}", "{\"application\":[]}", ""] {
            assert!(apps(body.as_bytes(), &context).is_err() && app(body.as_bytes(), &context).is_err(), "{body}");
        }
    }
}
