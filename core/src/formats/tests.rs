//! The rules of following: what each answer changes, and what is asked next.

use core::time::Duration;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;
use crate::model::{AdminState, Health, Locality, Override, Registration, Weight};
use crate::registry::{Config, Put, Registry};
use crate::{Timestamp, Value};

fn registry() -> Registry {
    Registry::new(Config::default()).unwrap()
}

fn feed() -> Feed {
    Feed::new(FeedConfig::new("consul:dc1", Format::ConsulHealth).service("web")).unwrap()
}

fn listing(ids: &[&str]) -> String {
    let entry = |id: &&str| {
        format!(r#"{{"Node":{{"Node":"n","Address":"10.0.0.1"}},"Service":{{"ID":"{id}","Service":"web","Port":80}},"Checks":[]}}"#)
    };
    format!("[{}]", ids.iter().map(entry).collect::<Vec<_>>().join(","))
}

/// One answer with a Consul index, at a second.
fn answer(feed: &mut Feed, registry: &mut Registry, index: &str, body: &str, at: u64) -> Fed {
    let headers = [("X-Consul-Index", index)];
    feed.push(registry, &Payload { headers: &headers, ..Payload::new(body.as_bytes()) }, Timestamp::from_secs(at))
}

#[test]
fn an_index_is_followed_and_one_that_runs_backwards_starts_anew() {
    let (mut registry, mut feed) = (registry(), feed());
    assert_eq!((feed.upcoming().after, feed.upcoming().query.as_str()), (Duration::ZERO, ""));
    let fed = answer(&mut feed, &mut registry, "42", &listing(&["a", "b", "c"]), 0);
    assert_eq!((fed.added, fed.next.query.as_str(), fed.stale), (3, "index=42&wait=60s", false));
    assert!(fed.next.after <= Duration::from_millis(150));
    // The question waited in vain.
    let fed = answer(&mut feed, &mut registry, "42", &listing(&["a", "b", "c"]), 60);
    assert_eq!((fed.unchanged, fed.next.after), (true, Duration::ZERO));
    // A server that was restored from an old snapshot: what it says is not taken until it is asked anew.
    let fed = answer(&mut feed, &mut registry, "41", &listing(&["a"]), 61);
    assert_eq!((fed.removed, fed.held, fed.stale, fed.next.query.as_str()), (0, 0, true, ""));
    assert_eq!((fed.next.resync, fed.next.cursor), (Some("the index ran backwards"), None));
    let fed = answer(&mut feed, &mut registry, "41", &listing(&["a", "b"]), 62);
    assert_eq!((fed.removed, fed.stale, fed.next.query.as_str()), (1, false, "index=41&wait=60s"));
    // No index, or one of 0, is none: the listing counts, and is asked for every so often.
    for index in ["0", "-1", ""] {
        let fed = answer(&mut feed, &mut registry, index, &listing(&["a", "b"]), 63);
        assert_eq!((fed.problem, fed.next.query.as_str()), (None, ""));
        assert!(fed.next.after >= Duration::from_secs(27));
    }
}

#[test]
fn the_last_good_state_stands_whatever_comes() {
    let (mut registry, mut feed) = (registry(), feed());
    answer(&mut feed, &mut registry, "5", &listing(&["a", "b", "c", "d"]), 0);
    let before = registry.digest("default", "web");
    let statuses = [0, 100, 204, 301, 304 + 1, 400, 401, 403, 404, 410, 429, 500, 502, 503, 504, 999];
    for (count, status) in statuses.into_iter().enumerate() {
        let payload = Payload { status, ..Payload::new(b"[]") };
        let fed = feed.push(&mut registry, &payload, Timestamp::from_secs(count as u64));
        assert!(fed.problem.is_some() && fed.stale, "{status}");
        assert_eq!((fed.next.resync.is_some(), fed.next.cursor.is_none()), (status == 410, count >= 2), "{status}");
    }
    for body in ["", "null", "[]", "{}", "[null]", "<html></html>", "[{\"Node\":", "\"error\""] {
        let fed = answer(&mut feed, &mut registry, "6", body, 20);
        assert_eq!((fed.removed, fed.stale), (0, true), "{body}");
    }
    let headers = [("x-consul-knownleader", "false")];
    let fed = feed.push(&mut registry, &Payload { headers: &headers, ..Payload::new(b"[]") }, Timestamp::from_secs(21));
    assert_eq!(fed.problem.map(|error| error.field().into()), Some(String::from("X-Consul-KnownLeader")));
    assert_eq!(registry.digest("default", "web"), before);
    // An answer that was cut adds and removes nobody.
    let cut = listing(&["e"]);
    let fed = feed.push(&mut registry, &Payload { complete: false, ..Payload::new(cut.as_bytes()) }, Timestamp::from_secs(22));
    assert_eq!((fed.added, fed.removed), (1, 0));
    assert_eq!(registry.len(), 5);
    // It says so long and often enough.
    let ends: Vec<usize> = (30..60)
        .map(|second| {
            answer(&mut feed, &mut registry, "7", "[]", second);
            registry.len()
        })
        .collect();
    assert_eq!((ends.first(), ends.last()), (Some(&5), Some(&0)));
}

#[test]
fn the_same_bytes_are_not_read_twice() {
    let (mut registry, mut feed) = (registry(), feed());
    let body = listing(&["a", "b"]);
    answer(&mut feed, &mut registry, "5", &body, 0);
    assert!(answer(&mut feed, &mut registry, "5", &body, 1).unchanged);
    // Somebody else has changed what they made.
    let drain = Override { state: AdminState::Draining, until: None, reason: String::new() };
    registry.set_admin("default", "web", "n/a", Some(drain), Timestamp::from_secs(2)).unwrap();
    let fed = answer(&mut feed, &mut registry, "5", &body, 3);
    assert_eq!((fed.unchanged, fed.updated), (false, 0));
    // Another service is none of its business.
    registry.register(&Registration::new("other", "x"), Put::default(), Timestamp::from_secs(4)).unwrap();
    assert!(answer(&mut feed, &mut registry, "5", &body, 5).unchanged);
    // While something is held, each repetition counts.
    answer(&mut feed, &mut registry, "6", "[]", 6);
    for second in 7..17 {
        assert!(!answer(&mut feed, &mut registry, "6", "[]", second).unchanged);
    }
    assert_eq!(registry.len(), 1);
}

#[test]
fn retry_after_and_etag_are_kept() {
    let (mut registry, mut feed) = (registry(), feed());
    for (status, secs) in [(429, 30), (503, 120)] {
        let (status, text) = (status, format!("{secs}"));
        let headers = [("Retry-After", text.as_str())];
        let fed = feed.push(&mut registry, &Payload { status, headers: &headers, ..Payload::new(b"") }, Timestamp::from_secs(secs));
        assert!(fed.next.after >= Duration::from_secs(secs), "{:?}", fed.next.after);
    }
    assert!(feed.failed(Timestamp::from_secs(1_000)).after >= Duration::from_secs(1));
}

#[test]
fn settings_are_checked_and_documents_read() {
    let text = r#"{"source":"s","format":"consul-health","service":"web","seed":7,"client":"c1","interval":5,"wait":10}"#;
    let config = FeedConfig::from_value(&Value::from_json(text.as_bytes()).unwrap()).unwrap();
    assert_eq!((config.seed, config.interval, config.wait), (7, Some(Duration::from_secs(5)), Duration::from_secs(10)));
    for (from, to, field) in [
        ("\"s\"", "\"local\"", "source"),
        ("\"web\"", "\"a b\"", "service"),
        ("consul-health", "consul-illness", "format"),
        ("\"c1\"", "\"c 1\"", "client"),
        (":5", ":0.5", "interval"),
        (":10", ":3601", "wait"),
        ("seed", "sead", "sead"),
    ] {
        let error = FeedConfig::from_value(&Value::from_json(text.replace(from, to).as_bytes()).unwrap()).unwrap_err();
        assert_eq!(error.field(), field);
    }
    // Clients of one seed do not move in step.
    let after = |client: &str| {
        let config = FeedConfig { client: client.into(), ..config.clone() };
        Feed::new(config).unwrap().failed(Timestamp::ZERO).after
    };
    assert_eq!(after("c1"), after("c1"));
    assert_ne!(after("c1"), after("c2"));
}

/// Whatever a format writes it reads back as it was.
#[test]
fn what_is_written_is_read_back() {
    let full = Registration::new("web", "n1/w-1")
        .endpoint("http://10.0.0.5:8080")
        .and_then(|own| own.version("1.4.2"))
        .and_then(|own| own.metadata([("version", "1.4.2"), ("env", "prod")]))
        .and_then(|own| own.tags(["canary", "x,y"]))
        .and_then(|own| own.weight(2.5))
        .unwrap()
        .zone("z1")
        .health(Health::Degraded);
    let full = Registration { locality: Locality { region: "r".into(), node: "n1".into(), ..full.locality.clone() }, ..full };
    let v6 = Registration::new("web", "n2/w").endpoint("http://[2001:db8::1]").unwrap().health(Health::Unhealthy);
    let v6 = Registration { locality: Locality { node: "n2".into(), ..Locality::default() }, weight: Weight::ZERO, ..v6 };
    let rich = Registration::new("web", "any id:1".replace(' ', "_"))
        .endpoint("grpcs://a.example:443")
        .and_then(|own| own.endpoint("http://10.0.0.7"))
        .and_then(|own| own.metadata([("a.b/c", "1"), ("U__x", "2"), ("__proto__", "3"), ("plain", "")]))
        .and_then(|own| own.lease(Duration::from_millis(1_500), Duration::from_secs(3)))
        .unwrap()
        .health(Health::Starting)
        .incarnation(7);
    let bare = Registration::new("web", "bare");
    // Eureka reads names in upper case, and one address for both ports.
    let shop = Registration::new("SHOP", "s-1")
        .endpoint("http://10.0.0.1:8080")
        .and_then(|own| own.endpoint("https://10.0.0.1:8443"))
        .and_then(|own| own.metadata([("version", "1.4.2"), ("note", "a < \"b\" & c"), ("zone", "z1")]))
        .and_then(|own| own.version("1.4.2"))
        .unwrap()
        .zone("z1")
        .health(Health::Starting);
    let cart = Registration::new("CART", "c-1").endpoint("http://cart.example:80").unwrap().health(Health::Healthy);
    // Nacos knows one address and two states.
    let nacos = Registration::new("web", "10.0.0.1#80").endpoint("http://10.0.0.1:80").and_then(|own| own.weight(0.5)).unwrap();
    let nacos = nacos.metadata([("version", "1.4.2")]).and_then(|own| own.version("1.4.2")).unwrap().zone("c1").health(Health::Unhealthy);
    for (format, all) in [
        (Format::ConsulHealth, std::vec![full.clone(), v6.clone()]),
        (Format::Envoy, std::vec![v6.clone(), rich.clone(), full.clone()]),
        (Format::EurekaApps, std::vec![cart.clone(), shop.clone()]),
        (Format::EurekaXml, std::vec![cart, shop]),
        (Format::Nacos, std::vec![nacos]),
        (Format::Prometheus, std::vec![full, v6, rich, bare]),
    ] {
        let bytes = encode(format, &all).unwrap();
        let decoded = decode(format, &bytes, &Context::new("default")).unwrap();
        assert!(decoded.skipped.is_empty(), "{:?}", decoded.skipped);
        let back: Vec<Registration> = decoded.instances.into_iter().map(|entry| entry.registration).collect();
        assert_eq!(back, all, "{}", format.name());
        assert_eq!(encode(format, &back).unwrap(), bytes);
    }
    assert_eq!(encode(Format::ConsulServices, &[]).unwrap_err().field(), "format");
}

#[test]
fn names_of_services_are_told_and_nothing_else() {
    let (mut registry, config) = (registry(), FeedConfig::new("consul:dc1", Format::ConsulServices));
    let mut feed = Feed::new(config).unwrap();
    let fed = feed.push(&mut registry, &Payload::new(br#"{"consul":[],"web":["a"],"a b":null}"#), Timestamp::ZERO);
    assert_eq!((fed.services, fed.skipped.len(), registry.len()), (std::vec!["consul".into(), "web".into()], 1, 0));
}

/// A source of changes that lists anew, and says that nearly all whom it named are gone, has no more changes to tell of them.
#[test]
fn what_a_new_listing_drops_is_gone_once_listings_confirm_it() {
    let slices = |addresses: &[&str]| {
        let endpoints: Vec<String> = addresses.iter().map(|address| std::format!(r#"{{"addresses":["{address}"]}}"#)).collect();
        std::format!(
            r#"{{"kind":"EndpointSliceList","metadata":{{"resourceVersion":"9"}},"items":[{{"metadata":{{"name":"web-1","resourceVersion":"7",
            "labels":{{"kubernetes.io/service-name":"web"}}}},"ports":[{{"port":80}}],"endpoints":[{}]}}]}}"#,
            endpoints.join(",")
        )
    };
    let apps = |addresses: &[&str]| {
        let instance = |address: &&str| {
            std::format!(
                r#"{{"instanceId":"{address}","app":"WEB","ipAddr":"{address}","hostName":"{address}","port":{{"$":80,"@enabled":"true"}},"status":"UP"}}"#
            )
        };
        let instances: Vec<String> = addresses.iter().map(instance).collect();
        let hash = std::format!("UP_{}_", addresses.len());
        std::format!(
            r#"{{"applications":{{"apps__hashcode":"{hash}","application":[{{"name":"WEB","instance":[{}]}}]}}}}"#,
            instances.join(",")
        )
    };
    let before = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
    type Listing<'a> = &'a dyn Fn(&[&str]) -> String;
    for (format, listing, gap) in [(Format::Kubernetes, &slices as Listing<'_>, 410), (Format::EurekaApps, &apps as Listing<'_>, 500)] {
        let (mut registry, mut feed) = (registry(), Feed::new(FeedConfig::new("theirs", format)).unwrap());
        let mut now = Timestamp::from_secs(1);
        let mut push = |feed: &mut Feed, registry: &mut Registry, body: &str, status: u16| {
            now = now.saturating_add(feed.upcoming().after);
            feed.push(registry, &Payload { status, ..Payload::new(body.as_bytes()) }, now)
        };
        assert_eq!(push(&mut feed, &mut registry, &listing(&before), 200).added, 4, "{format:?}");
        assert_eq!(push(&mut feed, &mut registry, "", gap).next.ask, Ask::Full);
        let mut listings = 0;
        while registry.len() > 1 {
            let fed = push(&mut feed, &mut registry, &listing(&["10.0.0.9"]), 200);
            assert_eq!((fed.next.ask == Ask::Full, fed.next.query.is_empty()), (fed.held > 0, fed.next.ask != Ask::Watch));
            listings += 1;
            assert!(listings < 9, "{format:?}: {fed:?}");
        }
    }
}
