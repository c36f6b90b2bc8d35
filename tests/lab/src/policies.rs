//! Policies as documents, by name.

use serde_json::Value;

use crate::read::{Object, Result, list};

/// A policy under a name of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub name: String,
    /// What `Balancer::from_value` reads as `policy`. The texts `$client` and `$clients` in it stand for the number of the
    /// client and how many there are, `$zone` for the client's zone.
    pub policy: Value,
    /// What it reads as `options`, without the seed.
    pub options: Value,
}

/// The policies that scenarios name, in groups.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    groups: Vec<(String, Vec<Named>)>,
}

impl Policies {
    /// Reads `{group: [{name, policy?, options?} or name, ..], ..}`.
    pub fn read(value: &Value, place: &str) -> Result<Self> {
        let groups = value.as_object().ok_or_else(|| format!("{place}: must be an object"))?;
        let group = |(name, members): (&String, &Value)| {
            let place = format!("{place}.{name}");
            let members = list(members, &place)?.iter().map(|member| Named::read(member, &place)).collect::<Result<_>>()?;
            Ok((name.clone(), members))
        };
        Ok(Self { groups: groups.iter().map(group).collect::<Result<_>>()? })
    }

    /// Adds the presets that are in no group yet, as a group.
    pub fn add_presets(&mut self) {
        let is_new = |name: &&str| self.named(name).is_none();
        let preset = |name: &str| Named { name: name.to_owned(), policy: name.into(), options: Value::Null };
        let presets: Vec<Named> = callboard::balance::Policy::presets().filter(is_new).map(preset).collect();
        self.groups.push(("presets".to_owned(), presets));
    }

    /// What a word stands for: `*` for all, `@GROUP`, or a name.
    pub fn named(&self, word: &str) -> Option<Vec<Named>> {
        let all = || self.groups.iter().flat_map(|(_, members)| members);
        if word == "*" {
            return Some(all().cloned().collect());
        }
        if let Some(group) = word.strip_prefix('@') {
            return self.groups.iter().find(|(name, _)| name == group).map(|(_, members)| members.clone());
        }
        all().find(|member| member.name == word).map(|member| vec![member.clone()])
    }

    /// Reads a list of such words and of policies of the scenario's own.
    pub fn select(&self, values: &[Value], place: &str) -> Result<Vec<Named>> {
        let mut found: Vec<Named> = Vec::new();
        for value in values {
            let members = match value.as_str() {
                Some(word) => self.named(word).ok_or_else(|| format!("{place}: no policy or group {word:?} in policies.json"))?,
                None => vec![Named::read(value, place)?],
            };
            for member in members {
                if found.iter().all(|known| known.name != member.name) {
                    found.push(member);
                }
            }
        }
        if found.is_empty() { Err(format!("{place}: names no policy")) } else { Ok(found) }
    }
}

impl Named {
    fn read(value: &Value, place: &str) -> Result<Self> {
        if let Some(name) = value.as_str() {
            return Ok(Self { name: name.to_owned(), policy: value.clone(), options: Value::Null });
        }
        let object = Object::new(value, place, &["name", "policy", "options"])?;
        Ok(Self {
            name: object.must_text("name")?.to_owned(),
            policy: object.must("policy")?.clone(),
            options: object.get("options").cloned().unwrap_or_default(),
        })
    }

    /// The document of one client's balancer.
    pub fn document(&self, client: usize, clients: usize, zone: &str, seed: u64) -> Value {
        let fill = |text: &str| match text {
            "$client" => Some(client.into()),
            "$clients" => Some(clients.into()),
            "$zone" => Some(zone.into()),
            _ => None,
        };
        let mut options = self.options.clone();
        crate::read::merge(&mut options, &serde_json::json!({ "seed": seed }));
        let mut policy = self.policy.clone();
        substitute(&mut policy, &fill);
        serde_json::json!({ "query": { "service": crate::fleet::SERVICE }, "policy": policy, "options": options })
    }
}

fn substitute(value: &mut Value, fill: &dyn Fn(&str) -> Option<Value>) {
    match value {
        Value::String(text) => {
            if let Some(filled) = fill(text) {
                *value = filled;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| substitute(item, fill)),
        Value::Object(map) => map.values_mut().for_each(|item| substitute(item, fill)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_groups_and_documents() {
        let policies = json!({"old": ["random", {"name": "two", "policy": {"preset": "least-request"}}], "new": ["other"]});
        let policies = Policies::read(&policies, "p").unwrap();
        let names = |words: Value| -> Result<Vec<String>> {
            Ok(policies.select(words.as_array().unwrap(), "x")?.into_iter().map(|named| named.name).collect())
        };
        assert_eq!(names(json!(["*"])).unwrap().len(), 3);
        assert_eq!(names(json!(["two", "@old"])).unwrap(), ["two", "random"]);
        assert_eq!(names(json!([{"name": "own", "policy": "first"}])).unwrap(), ["own"]);
        assert!(names(json!(["third"])).is_err() && names(json!([])).is_err());
        assert!(names(json!([{"name": "own", "police": "first"}])).is_err());
        let mut every = policies.clone();
        every.add_presets();
        // "random" is there already.
        assert_eq!(every.named("*").unwrap().len(), 2 + callboard::balance::Policy::presets().count());
    }

    #[test]
    fn clients_are_filled_in() {
        let named = Named {
            name: "x".into(),
            policy: json!({"a": ["$client", {"b": "$zone"}], "c": "$clients"}),
            options: json!({"reap_after": 5}),
        };
        let document = named.document(3, 7, "z", 9);
        assert_eq!(document["policy"], json!({"a": [3, {"b": "z"}], "c": 7}));
        assert_eq!(document["options"], json!({"reap_after": 5, "seed": 9}));
    }
}
