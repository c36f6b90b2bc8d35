//! etcd: the answers of `POST /v3/kv/range` and the lines of `POST /v3/watch`, with the values that four families of clients write.
//!
//! | family | key | value |
//! |---|---|---|
//! | gRPC's resolver | `SERVICE/ADDRESS` | `{"Op":0,"Addr":"ip:port","Metadata":any}` |
//! | Kratos | `/microservices/SERVICE/ID` | `{"id","name","version","metadata","endpoints":["grpc://ip:port?isSecure=false"]}` |
//! | Go Micro | `/micro/registry/SERVICE/NODE` | `{"name","version","metadata","nodes":[{"id","address","metadata"}]}` |
//! | go-zero | `SERVICE/LEASE` | `ip:port` |
//!
//! Keys and values are base64 in the gateway's JSON, numbers are strings, and what is zero or empty is not there. A service that was asked for keeps the others
//! out: the prefix `user` matches `user-admin` too. Each key is a part, ordered by its `mod_revision`: an event that comes twice or late changes nothing. A
//! value that cannot be read keeps what the key said before. A compaction or any other end of a watch asks for everything again; a page of a range (`more`) is a part of it.
//!
//! Instances have no lease of their own: that of the key is etcd's to watch.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::document::{Document, Node};
use super::{Context, Decoded, Entry, Part, fit};
use crate::base64;
use crate::error::{Code, Error};
use crate::model::{Endpoint, Host, Registration};
use crate::registry::Extent;

/// What a value says: its instances, or that its key is gone.
type Read = fn(&str, &[u8], &Context<'_>) -> Result<Vec<Registration>, Error>;

/// Reads values of gRPC's resolver.
pub(super) fn grpc(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    answer(bytes, context, |key, value, context| {
        let json = Document::json(value)?;
        let root = json.root();
        // An update of the kind `Delete`.
        if root.get("Op").and_then(Node::whole) == Some(1) {
            return Ok(Vec::new());
        }
        let address = root.text("Addr");
        let mut own = registration(&of_key(key, context), &address, context);
        own.endpoints.push(place("grpc", &address, "Addr")?);
        own.metadata = fit::metadata(fit::pairs(root.get("Metadata")));
        Ok(alloc::vec![own])
    })
}

/// Reads values of Kratos.
pub(super) fn kratos(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    answer(bytes, context, |_, value, context| {
        let json = Document::json(value)?;
        let root = json.root();
        let mut own = registration(&root.text("name"), &root.text("id"), context);
        for endpoint in root.list("endpoints") {
            let text = endpoint.as_str().unwrap_or_default();
            let (url, query) = text.split_once('?').unwrap_or((text, ""));
            let secure = query.split('&').any(|pair| pair.eq_ignore_ascii_case("isSecure=true"));
            let parsed = Endpoint::parse(url).map_err(|error| error.within("endpoints"))?;
            own.endpoints.push(Endpoint::build("", &parsed.scheme, parsed.host, parsed.port, secure)?);
        }
        let version = root.text("version");
        own.version = fit::version([&*version]);
        own.metadata = fit::metadata(fit::pairs(root.get("metadata")));
        Ok(alloc::vec![own])
    })
}

/// Reads values of Go Micro: one for each node, though a value may have many.
pub(super) fn micro(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    answer(bytes, context, |_, value, context| {
        let json = Document::json(value)?;
        let root = json.root();
        let version = root.text("version");
        let mut all = Vec::new();
        for node in root.list("nodes") {
            let mut own = registration(&root.text("name"), &node.text("id"), context);
            own.endpoints.push(place("http", &node.text("address"), "address")?);
            own.version = fit::version([&*version]);
            let mut pairs: Vec<(&str, Cow<'_, str>)> = fit::pairs(node.get("metadata")).collect();
            let of_service =
                fit::pairs(root.get("metadata")).filter(|(key, _)| node.get("metadata").and_then(|own| own.get(key)).is_none());
            pairs.extend(of_service);
            own.metadata = fit::metadata(pairs);
            all.push(own);
        }
        Ok(all)
    })
}

/// Reads values of go-zero. An address is in two keys while a lease is being replaced: it is one instance.
pub(super) fn zero(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    answer(bytes, context, |key, value, context| {
        let address = core::str::from_utf8(value).map_err(|_| Error::new(Code::InvalidAddress, "value"))?.trim();
        let mut own = registration(&of_key(key, context), address, context);
        own.endpoints.push(place("grpc", address, "value")?);
        Ok(alloc::vec![own])
    })
}

fn registration(service: &str, id: &str, context: &Context<'_>) -> Registration {
    Registration::new(service, id).namespace(context.namespace)
}

/// The service of a key: the last part of the path before the name of the instance.
fn of_key(key: &str, context: &Context<'_>) -> String {
    let path = key.rsplit_once('/').map_or("", |(path, _)| path);
    let last = path.rsplit('/').next().unwrap_or_default();
    // A prefix of many parts is asked for by its last.
    if last.is_empty() { context.service.unwrap_or_default().into() } else { last.into() }
}

/// `host:port`, IPv6 with or without brackets.
fn place(scheme: &str, address: &str, field: &str) -> Result<Endpoint, Error> {
    let bare = address.rsplit_once(':').filter(|(host, port)| host.contains(':') && !host.starts_with('[') && !port.is_empty());
    let parsed = match bare {
        Some((host, port)) => Endpoint::parse(&alloc::format!("{scheme}://[{host}]:{port}")),
        None => Endpoint::parse(&alloc::format!("{scheme}://{address}")),
    };
    let endpoint = parsed.map_err(|error| error.within(field))?;
    if matches!(&endpoint.host, Host::Name(name) if name.is_empty()) {
        return Err(Error::new(Code::MissingField, field));
    }
    Ok(endpoint)
}

/// Reads a range, or the lines of a watch.
fn answer(bytes: &[u8], context: &Context<'_>, read: Read) -> Result<Decoded, Error> {
    let mut decoded = Decoded::default();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace));
    let first = lines.clone().next().map(<[u8]>::trim_ascii_start).unwrap_or_default();
    // A watch is lines of results; a range may be written over many lines.
    if first.starts_with(b"{\"result\"") || first.starts_with(b"{ \"result\"") {
        decoded.extent = Extent::Part;
        for line in lines {
            let json = Document::json(line)?;
            watched(json.root(), context, read, &mut decoded)?;
        }
        return Ok(decoded);
    }
    let json = Document::json(bytes)?;
    let root = json.root();
    if root.get("result").is_some() {
        decoded.extent = Extent::Part;
        watched(root, context, read, &mut decoded)?;
        return Ok(decoded);
    }
    let header = root.get("header").filter(|_| root.get("error").is_none());
    let revision = header.and_then(|header| header.get("revision")).and_then(Node::whole);
    let revision = revision.ok_or_else(|| Error::new(Code::Malformed, "header.revision").message("not the answer of a range"))?;
    for kv in root.list("kvs") {
        value(kv, false, context, read, &mut decoded);
    }
    if root.get("more").and_then(Node::truth) == Some(true) {
        decoded.extent = Extent::Part;
    } else {
        decoded.cursor = Some(revision.to_string());
    }
    Ok(decoded)
}

/// One message of a watch.
fn watched(root: Node<'_>, context: &Context<'_>, read: Read, decoded: &mut Decoded) -> Result<(), Error> {
    let Some(result) = root.get("result").filter(|_| root.get("error").is_none()) else {
        return Err(Error::new(Code::Malformed, "result").message("not a message of a watch"));
    };
    if result.get("compact_revision").and_then(Node::whole).is_some_and(|revision| revision > 0) {
        decoded.resync = Some("what was asked from is compacted");
    } else if result.get("canceled").and_then(Node::truth) == Some(true) {
        decoded.resync = Some("the watch was cancelled");
    }
    let mut latest = None;
    for event in result.list("events") {
        let kv = event.get("kv");
        latest = latest.max(kv.and_then(|kv| kv.get("mod_revision")).and_then(Node::whole));
        if let Some(kv) = kv {
            value(kv, event.text("type") == "DELETE", context, read, decoded);
        }
    }
    // A watcher that catches up is told the store's own revision: only where it tells of progress alone is that where we stand.
    let newest = result.path(&["header", "revision"]).and_then(Node::whole);
    if result.get("created").and_then(Node::truth) == Some(true) {
        decoded.newest = newest;
    } else if latest.is_none() {
        latest = newest;
    }
    if let Some(latest) = latest {
        decoded.cursor = Some(latest.to_string());
    }
    Ok(())
}

fn unwrapped(text: &str, field: &str) -> Result<Vec<u8>, Error> {
    base64::decode(text).ok_or_else(|| Error::new(Code::Malformed, field).message("not base64"))
}

fn value(kv: Node<'_>, gone: bool, context: &Context<'_>, read: Read, decoded: &mut Decoded) {
    let index = decoded.instances.len().saturating_add(decoded.skipped_total);
    let bytes = |name: &str| kv.get(name).and_then(Node::as_str).map_or(Ok(Vec::new()), |text| unwrapped(text, name));
    let key = bytes("key").and_then(|key| String::from_utf8(key).map_err(|_| Error::new(Code::Malformed, "key").message("not UTF-8")));
    let key = match key {
        Ok(key) if !key.is_empty() => key,
        Ok(_) => return decoded.skip(index, String::new(), String::new(), Error::new(Code::MissingField, "key")),
        Err(error) => return decoded.skip(index, String::new(), String::new(), error),
    };
    let revision = kv.get("mod_revision").and_then(Node::whole);
    let part = decoded.parts.len();
    let mut told = Part { key: key.clone(), revision, gone, unread: false };
    if !gone {
        let checked = |all: Vec<Registration>| all.iter().try_for_each(Registration::validate).map(|()| all);
        match bytes("value").and_then(|value| read(&key, &value, context)).and_then(checked) {
            Ok(all) => {
                for (more, own) in all.into_iter().enumerate() {
                    decoded.put(Entry { part, ..Entry::new(index.saturating_add(more), own) });
                }
            }
            Err(error) => {
                told.unread = true;
                decoded.skip(index, String::new(), key.clone(), error);
            }
        }
    }
    decoded.parts.push(told);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::formats::{Ask, Feed, FeedConfig, Format, Payload};
    use crate::query::Query;
    use crate::registry::{Config, Registry};
    use std::format;

    fn b64(text: &str) -> String {
        base64::encode(text.as_bytes())
    }

    fn kv(key: &str, value: &str, revision: u64) -> String {
        format!(r#"{{"key":"{}","value":"{}","mod_revision":"{revision}"}}"#, b64(key), b64(value))
    }

    fn put(key: &str, value: &str, revision: u64) -> String {
        format!(r#"{{"kv":{}}}"#, kv(key, value, revision))
    }

    fn delete(key: &str, revision: u64) -> String {
        format!(r#"{{"type":"DELETE","kv":{{"key":"{}","mod_revision":"{revision}"}}}}"#, b64(key))
    }

    fn range(revision: u64, kvs: &[String]) -> String {
        format!(r#"{{"header":{{"revision":"{revision}"}},"kvs":[{}],"count":"{}"}}"#, kvs.join(","), kvs.len())
    }

    fn watch(revision: u64, events: &[String]) -> String {
        format!("{{\"result\":{{\"header\":{{\"revision\":\"{revision}\"}},\"events\":[{}]}}}}\n", events.join(","))
    }

    fn read(read: fn(&[u8], &Context<'_>) -> Result<Decoded, Error>, key: &str, value: &str) -> Result<Vec<Registration>, Error> {
        let mut decoded = read(range(9, &[kv(key, value, 3)]).as_bytes(), &Context::new("default"))?;
        match decoded.skipped.pop() {
            Some(skipped) => Err(skipped.error),
            None => Ok(decoded.instances.into_iter().map(|entry| entry.registration).collect()),
        }
    }

    #[test]
    fn each_family_says_its_instances() {
        let [own] = &read(grpc, "billing/10.0.0.1:9", r#"{"Op":0,"Addr":"10.0.0.1:9","Metadata":{"w":3,"x":[1]}}"#).unwrap()[..] else {
            panic!()
        };
        assert_eq!((own.service.as_str(), own.id.as_str()), ("billing", "10.0.0.1:9"));
        assert_eq!(own.endpoints[0].to_string(), "grpc://10.0.0.1:9");
        assert_eq!(own.metadata.iter().collect::<Vec<_>>(), [("w", "3")]);
        assert!(read(grpc, "billing/a", r#"{"Op":1,"Addr":"10.0.0.1:9"}"#).unwrap().is_empty());

        let value = r#"{"id":"k1","name":"user","version":"v1.2.0","metadata":{"zone":"a"},"endpoints":["grpc://10.0.0.2:9000?isSecure=false","http://[2001:db8::2]:8000?isSecure=true"]}"#;
        let [own] = &read(kratos, "/microservices/user/k1", value).unwrap()[..] else { panic!() };
        let urls: Vec<String> = own.endpoints.iter().map(|endpoint| endpoint.to_string()).collect();
        assert_eq!(urls, ["grpc://10.0.0.2:9000", "https://[2001:db8::2]:8000"]);
        assert_eq!(own.version, crate::model::Version::parse("1.2.0").ok());

        let value = r#"{"name":"greeter","version":"latest","metadata":{"a":"1","b":"2"},"endpoints":[],"nodes":[{"id":"greeter-1","address":"10.0.0.3:8080","metadata":{"b":"3"}},{"id":"greeter-2","address":"2001:db8::3:8080","metadata":null}]}"#;
        let [one, two] = &read(micro, "/micro/registry/greeter/greeter-1", value).unwrap()[..] else { panic!() };
        assert_eq!((one.id.as_str(), one.version.is_none()), ("greeter-1", true));
        assert_eq!(one.metadata.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert_eq!(two.endpoints[0].to_string(), "http://[2001:db8::3]:8080");

        let [own] = &read(zero, "user.rpc/7587848943239", "10.0.0.4:8081").unwrap()[..] else { panic!() };
        assert_eq!((own.service.as_str(), own.id.as_str()), ("user.rpc", "10.0.0.4:8081"));
        for (reader, value) in [
            (grpc as fn(&[u8], &Context<'_>) -> _, "{}"),
            (kratos, "{}"),
            (micro, r#"{"name":"x","nodes":[{}]}"#),
            (zero, ""),
            (zero, "a b:1"),
            (kratos, "["),
        ] {
            assert!(read(reader, "s/x", value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_watch_is_followed_through_repetition_reordering_and_compaction() {
        let mut registry = Registry::new(Config::default()).unwrap();
        let mut feed = Feed::new(FeedConfig::new("etcd", Format::EtcdZero).service("user")).unwrap();
        let push = |feed: &mut Feed, registry: &mut Registry, body: &str, at: u64| {
            feed.push(registry, &Payload::new(body.as_bytes()), Timestamp::from_secs(at))
        };
        let ids = |registry: &Registry| -> Vec<String> {
            let handles = registry.query(&Query::service("user")).handles;
            handles.into_iter().map(|handle| registry.instance(handle).unwrap().registration.id).collect()
        };
        // The prefix matches another service too.
        let kvs = [kv("user/1", "10.0.0.1:1", 4), kv("user/2", "10.0.0.2:1", 5), kv("user-admin/3", "10.0.0.3:1", 6)];
        let fed = push(&mut feed, &mut registry, &range(10, &kvs), 0);
        assert_eq!((fed.added, fed.next.ask, fed.next.query.as_str()), (2, Ask::Watch, "start_revision=11"));
        // The lease of one is replaced: its address is in two keys for a while.
        let news = watch(12, &[put("user/9", "10.0.0.1:1", 11), delete("user/1", 12)]);
        let fed = push(&mut feed, &mut registry, &news, 1);
        assert_eq!((fed.added, fed.removed, fed.next.query.as_str()), (0, 0, "start_revision=13"));
        // Again, and late: nothing.
        let digest = registry.digest("default", "user");
        for late in [news.clone(), watch(12, &[put("user/1", "10.0.0.7:1", 11)]), watch(12, &[delete("user/2", 5), delete("user/9", 9)])] {
            push(&mut feed, &mut registry, &late, 2);
            assert_eq!(registry.digest("default", "user"), digest);
        }
        // What cannot be read keeps what the key said; a deletion needs no second word.
        let fed = push(&mut feed, &mut registry, &watch(14, &[put("user/2", "nowhere at all", 13), delete("user/9", 14)]), 3);
        assert_eq!((fed.removed, fed.skipped.len(), ids(&registry)), (1, 1, [String::from("10.0.0.2:1")].into()));
        // A compaction asks for everything; meanwhile all stands.
        let fed = push(&mut feed, &mut registry, r#"{"result":{"header":{"revision":"50"},"canceled":true,"compact_revision":"40"}}"#, 4);
        assert_eq!((fed.next.ask, fed.next.cursor, fed.stale, registry.len()), (Ask::Full, None, true, 1));
        let fed = push(&mut feed, &mut registry, &range(50, &[kv("user/2", "10.0.0.2:1", 45), kv("user/5", "10.0.0.5:1", 44)]), 5);
        assert_eq!((fed.added, fed.removed, fed.next.query.as_str()), (1, 0, "start_revision=51"));
        // Progress without events moves on; a creation does not.
        assert_eq!(push(&mut feed, &mut registry, &watch(60, &[]), 6).next.query, "start_revision=61");
        let created = r#"{"result":{"header":{"revision":"70"},"created":true}}"#;
        assert_eq!(push(&mut feed, &mut registry, created, 7).next.query, "start_revision=61");
        for bad in [r#"{"error":"etcdserver: no leader","code":14}"#, "{}", "", r#"{"result":{}}x"#] {
            assert!(push(&mut feed, &mut registry, bad, 8).problem.is_some(), "{bad}");
            assert_eq!(registry.len(), 2);
        }
    }

    #[test]
    fn the_words_of_deleted_keys_are_not_kept_for_ever() {
        let mut registry = Registry::new(Config::default()).unwrap();
        let mut feed = Feed::new(FeedConfig::new("etcd", Format::EtcdZero).service("user")).unwrap();
        for at in 0..5_000u64 {
            let events = [put(&format!("user/{at}"), "10.0.0.1:1", at * 2 + 1), delete(&format!("user/{at}"), at * 2 + 2)];
            feed.push(&mut registry, &Payload::new(watch(at * 2 + 2, &events).as_bytes()), Timestamp::from_secs(at));
        }
        assert!(format!("{feed:?}").matches("revision: Some").count() <= 1_100);
        let late = watch(10_000, &[put("user/4", "10.0.0.1:1", 9)]);
        assert_eq!(feed.push(&mut registry, &Payload::new(late.as_bytes()), Timestamp::from_secs(6_000)).added, 0);
    }
}
