//! Which long polls a change concerns.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{Response, Server, Wait, Watched, consul, rest};
use crate::registry::{Position, Registry};

/// A namespace and a service of it; an empty service is all of them, and an empty namespace too.
type Topic = (Box<str>, Box<str>);

/// The long polls of a host, each with what the host needs to go on with it.
///
/// A wait is taken out by the first change of a service that it is about, and by no other: then the host asks again with
/// [`Server::resume`](super::Server::resume), and puts it back if there is still nothing to say. That it is over in time is the host's affair.
#[derive(Clone, Debug)]
pub struct Waits<T> {
    all: BTreeMap<u64, (Vec<Topic>, T)>,
    about: BTreeMap<Topic, BTreeSet<u64>>,
    /// What those that wait have been told of.
    told: Position,
    last: u64,
}

impl<T> Default for Waits<T> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), about: BTreeMap::new(), told: Position::default(), last: 0 }
    }
}

impl<T> Waits<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What the host keeps with them, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.all.values().map(|(_, own)| own)
    }

    /// What one more that would wait is answered, when there is no room for it.
    pub fn refuses(&self, server: &Server) -> Option<Response> {
        (self.len() >= server.bounds().waits).then(|| Response::overloaded("waits"))
    }

    /// Lets one wait; the number takes it out again. None when what it waits for has already come since it was made: to be resumed at once.
    pub fn add(&mut self, registry: &Registry, wait: &Wait, own: T) -> Option<u64> {
        if self.is_empty() {
            self.told = registry.position();
        }
        let topics = wait.topics();
        if topics_since(registry, wait.since)?.any(|topic| topics.contains(&topic)) {
            return None;
        }
        self.last = self.last.saturating_add(1);
        for topic in &topics {
            self.about.entry(topic.clone()).or_default().insert(self.last);
        }
        self.all.insert(self.last, (topics, own));
        Some(self.last)
    }

    /// Takes one out, if it is still there.
    pub fn remove(&mut self, number: u64) -> Option<T> {
        let (topics, own) = self.all.remove(&number)?;
        for topic in topics {
            if let Some(numbers) = self.about.get_mut(&topic) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.about.remove(&topic);
                }
            }
        }
        Some(own)
    }

    /// Takes those out that what has changed since the last call concerns, in the order in which they came. To be called after
    /// whatever may have changed the registry.
    pub fn woken(&mut self, registry: &Registry) -> Vec<T> {
        let told = core::mem::replace(&mut self.told, registry.position());
        if told == self.told || self.is_empty() {
            return Vec::new();
        }
        let mut numbers = BTreeSet::new();
        match topics_since(registry, told) {
            Some(topics) => {
                for topic in topics {
                    numbers.extend(self.about.get(&topic).into_iter().flatten());
                }
            }
            // The log does not tell, or the registry is another.
            None => numbers.extend(self.all.keys()),
        }
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }
}

/// What a change of a service is about.
fn topics_of((namespace, service): (&str, &str)) -> [Topic; 3] {
    [(namespace.into(), service.into()), (namespace.into(), Box::default()), Topic::default()]
}

/// What a change of a saved query is about: no service has such a name.
fn topic_of(namespace: &str, name: &str) -> Topic {
    (namespace.into(), alloc::format!("?{name}").into())
}

/// The topics of all that has changed since a position; none when that cannot be told.
fn topics_since(registry: &Registry, since: Position) -> Option<impl Iterator<Item = Topic>> {
    let services = registry.changed_services(since)?.into_iter().flat_map(topics_of);
    let saved = registry.saved_since(since.revision)?.into_iter().map(|(namespace, name)| topic_of(namespace, name));
    Some(services.chain(saved))
}

impl Wait {
    fn topics(&self) -> Vec<Topic> {
        let view = match &self.watched {
            Watched::Rest(rest::Watched::Changes(_)) => None,
            Watched::Rest(rest::Watched::Answer(view)) => Some(&**view),
            Watched::Rest(rest::Watched::Stream(stream)) => stream.view(),
            Watched::Consul(consul::Watched { view, .. }) => Some(&**view),
        };
        let Some(view) = view else { return alloc::vec![Topic::default()] };
        let scopes = view.scopes().map(|(namespace, service)| (namespace.into(), service.unwrap_or_default().into()));
        let saved = view.saved_name().map(|name| topic_of(&view.query().namespace, name));
        let topics: BTreeSet<Topic> = scopes.chain(saved).collect();
        topics.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;
    use crate::query::Query;
    use crate::registry::Config;
    use crate::serve::{Reply, Request, handle, resume};
    use crate::time::Timestamp;

    fn registry(log: u32) -> Registry {
        Registry::new(Config { log_capacity: log, ..Config::default() }).unwrap()
    }

    fn send(registry: &mut Registry, line: &str) -> Reply {
        let (method, target) = line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body: &[u8] = if method == "PUT" { b"{}" } else { b"" };
        handle(registry, &Request { method, path, query, body, ..Request::default() }, Timestamp::from_secs(1))
    }

    fn waits(registry: &mut Registry, path: &str) -> Wait {
        let position = registry.position();
        let since = match path.strip_prefix("/v1/health/") {
            Some(_) => std::format!("index={}&wait=60s", position.revision + 1),
            None => std::format!("epoch={}&revision={}&wait=60", position.epoch, position.revision),
        };
        match send(registry, &std::format!("GET {path}?{since}")) {
            Reply::Wait(wait) => wait,
            Reply::Response(response) | Reply::Stream(response, _) => panic!("{path}: {}", String::from_utf8_lossy(&response.body)),
        }
    }

    /// A stream with nothing to say for now.
    fn follows(registry: &mut Registry, path: &str) -> Wait {
        let headers = [("accept", "text/event-stream")];
        let request = Request { method: "GET", path, headers: &headers, ..Request::default() };
        let Reply::Stream(_, wait) = handle(registry, &request, Timestamp::from_secs(1)) else { panic!("{path} is no stream") };
        let Reply::Wait(wait) = resume(registry, wait, Timestamp::from_secs(1)) else { panic!("{path} has more to say") };
        wait
    }

    #[test]
    fn streams_and_saved_queries_wake_for_what_they_are_about() {
        let mut r = registry(100);
        r.save_query("q", &Query::service("a"), Timestamp::ZERO).unwrap();
        let paths = ["/v1/instances/default/a", "/v1/instances/default/b", "/v1/changes", "/v1/queries/default/q/instances"];
        let mut all = Waits::default();
        for path in paths {
            let wait = follows(&mut r, path);
            all.add(&r, &wait, path).unwrap();
        }
        let late = follows(&mut r, paths[3]);
        r.save_query("other", &Query::service("a"), Timestamp::ZERO).unwrap();
        assert!(all.woken(&r).is_empty());
        r.save_query("q", &Query::service("b"), Timestamp::ZERO).unwrap();
        assert_eq!(all.woken(&r), [paths[3]]);
        assert_eq!(all.add(&r, &late, paths[3]), None);
        let wait = follows(&mut r, paths[3]);
        all.add(&r, &wait, paths[3]).unwrap();
        send(&mut r, "PUT /v1/instances/default/b/1");
        assert_eq!(all.woken(&r), [paths[1], paths[2], paths[3]]);
        let wait = follows(&mut r, paths[3]);
        all.add(&r, &wait, paths[3]).unwrap();
        r.drop_query("default", "q", Timestamp::ZERO).unwrap();
        assert_eq!(all.woken(&r), [paths[3]]);
    }

    const PATHS: [&str; 8] = [
        "/v1/instances/default/a",
        "/v1/instances/default/b",
        "/v1/instances/other/a",
        "/v1/instances/default",
        "/v1/changes",
        "/v1/health/service/a",
        "/v1/health/service/b",
        "/v1/health/state/any",
    ];

    #[test]
    fn a_change_wakes_those_it_concerns_and_each_once() {
        let mut r = registry(100);
        let mut all = Waits::default();
        for path in PATHS {
            let wait = waits(&mut r, path);
            all.add(&r, &wait, (path, wait.clone())).unwrap();
        }
        assert!(all.woken(&r).is_empty());
        send(&mut r, "PUT /v1/instances/default/a/1");
        send(&mut r, "PUT /v1/instances/default/a/2");
        let woken = all.woken(&r);
        let paths: Vec<&str> = woken.iter().map(|(path, _)| *path).collect();
        assert_eq!(paths, [PATHS[0], PATHS[3], PATHS[4], PATHS[5], PATHS[7]]);
        for (path, wait) in woken {
            assert!(matches!(resume(&mut r, wait, Timestamp::from_secs(1)), Reply::Response(_)), "{path}");
        }
        assert!(all.woken(&r).is_empty());
        // Nor does a renewal concern anybody.
        send(&mut r, "POST /v1/instances/default/a/1/renew");
        assert!(all.woken(&r).is_empty());
        send(&mut r, "PUT /v1/instances/other/a/1");
        assert_eq!(all.woken(&r).iter().map(|(path, _)| *path).collect::<Vec<_>>(), [PATHS[2]]);
        assert_eq!((all.len(), all.about.len()), (2, 1));
        assert_eq!(all.remove(2).unwrap().0, PATHS[1]);
        assert!(all.remove(2).is_none() && all.remove(7).is_some() && all.is_empty() && all.about.is_empty());
    }

    #[test]
    fn who_comes_too_late_does_not_wait() {
        let mut r = registry(100);
        let mut all = Waits::default();
        let (a, b) = (waits(&mut r, PATHS[0]), waits(&mut r, PATHS[1]));
        send(&mut r, "PUT /v1/instances/default/a/1");
        assert_eq!(all.add(&r, &a, ()), None);
        let number = all.add(&r, &b, ()).unwrap();
        assert!(all.woken(&r).is_empty());
        assert_eq!(all.remove(number), Some(()));
    }

    #[test]
    fn where_the_log_does_not_tell_all_are_woken() {
        let mut r = registry(16);
        let mut all = Waits::default();
        for path in PATHS {
            let wait = waits(&mut r, path);
            all.add(&r, &wait, path).unwrap();
        }
        for n in 0..40 {
            send(&mut r, &std::format!("PUT /v1/instances/third/c/{n}"));
        }
        assert_eq!(all.woken(&r), PATHS);
        let wait = waits(&mut r, PATHS[1]);
        all.add(&r, &wait, PATHS[1]).unwrap();
        let other = Registry::restore(&r.snapshot(), Config::default(), Timestamp::from_secs(2)).unwrap();
        assert_eq!(all.woken(&other), [PATHS[1]]);
        assert_eq!(all.add(&other, &wait, PATHS[1]), None);
    }
}
