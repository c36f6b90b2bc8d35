//! The verbs of formats and of the HTTP API.

use callboard::formats::{Context, Feed, FeedConfig, Format, Transport, decode, encode_value};
use callboard::model::DEFAULT_NAMESPACE;
use callboard::serve::{Reply, Request, Response, Server};
use callboard::{Error, Timestamp, Value};

use super::{Host, part, text, text_or};
use crate::document::{hex, unhex};

impl Host {
    pub(super) fn wire(&mut self, verb: &str, args: &Value, keep: Option<&str>, now: Timestamp) -> Result<Value, Error> {
        match verb {
            "decode" => {
                let format = Format::parse(text(args, "format")?)?;
                let service = args.get("service").and_then(Value::as_str);
                let context = Context { service, ..Context::new(text_or(args, "namespace", DEFAULT_NAMESPACE)?) };
                Ok(decode(format, &body(args)?, &context)?.to_value())
            }
            "encode" => {
                let bytes = encode_value(Format::parse(text(args, "format")?)?, part(args, "instances")?)?;
                Ok(Value::map([("body", Value::from(String::from_utf8_lossy(&bytes).into_owned())), ("hex", hex(&bytes).into())]))
            }
            "feed" => {
                let scope = args.as_map().unwrap_or_default().iter().filter(|(key, _)| key != "body" && key != "hex").cloned();
                let mut feed = Feed::new(FeedConfig::from_value(&Value::map(scope))?)?;
                Ok(feed.take(&mut self.registry, &body(args)?, now)?.to_value())
            }
            "follow" => {
                let config = without(args, &["feed"]);
                let feed = Feed::new(FeedConfig::from_value(&config)?)?;
                let next = feed.upcoming().to_value();
                self.feeds.insert(text_or(args, "feed", "feed")?.to_owned(), feed);
                Ok(next)
            }
            "push" => {
                let transport = Transport::from_value(&without(args, &["feed", "body", "hex"]))?;
                let name = text_or(args, "feed", "feed")?;
                let feed = self.feeds.get_mut(name).unwrap_or_else(|| panic!("nobody follows as {name:?}"));
                Ok(transport.push(feed, &mut self.registry, &body(args)?, now).to_value())
            }
            "lost" => {
                let name = text_or(args, "feed", "feed")?;
                let feed = self.feeds.get_mut(name).unwrap_or_else(|| panic!("nobody follows as {name:?}"));
                Ok(feed.failed(now).to_value())
            }
            "dns" => {
                let server = Server::from_value(args.get("server").unwrap_or(&Value::Map(Vec::new())))?;
                let udp = args.get("udp").and_then(Value::as_bool).unwrap_or(true);
                let answer = server.answer_dns(&mut self.registry, &unhex(text(args, "hex")?), udp, now);
                Ok(Value::map([("hex", answer.map(|answer| hex(&answer)).into())]))
            }
            "request" => {
                let body = body(args).unwrap_or_default();
                let (method, path, query) = (text(args, "method")?, text(args, "path")?, text_or(args, "query", "")?);
                let headers = args.get("headers").and_then(Value::as_map).unwrap_or_default();
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("text"))).collect();
                let request = Request {
                    method,
                    path,
                    query,
                    headers: &headers,
                    body: &body,
                    peer: text_or(args, "peer", "")?,
                    principal: text_or(args, "principal", "")?,
                };
                let server = Server::from_value(args.get("server").unwrap_or(&Value::Map(Vec::new())))?;
                let reply = server.handle(&mut self.registry, &request, now);
                Ok(self.reply(server, reply, keep.unwrap_or("request")))
            }
            _ => {
                let name = text_or(args, "from", "request")?;
                let (server, wait) = self.waits.remove(name).unwrap_or_else(|| panic!("no request {name:?} waits"));
                let reply = server.resume(&mut self.registry, wait, now);
                Ok(self.reply(server, reply, name))
            }
        }
    }

    fn reply(&mut self, server: Server, reply: Reply, name: &str) -> Value {
        match reply {
            Reply::Wait(wait) => {
                let until = Value::from(wait.until.as_micros());
                self.waits.insert(name.to_owned(), (server, wait));
                Value::map([("wait", Value::map([("until", until)]))])
            }
            Reply::Stream(response, wait) => {
                let until = Value::from(wait.until.as_micros());
                self.waits.insert(name.to_owned(), (server, wait));
                let Value::Map(mut pairs) = document(response) else { unreachable!() };
                pairs.push(("more".into(), Value::map([("until", until)])));
                Value::Map(pairs)
            }
            Reply::Response(response) => document(response),
        }
    }
}

/// What a response says.
fn document(response: Response) -> Value {
    let kind = response.headers.iter().find(|(name, _)| *name == "content-type").map_or("", |(_, value)| value);
    let body = match kind {
        "application/json" | "application/problem+json" => Value::from_json(&response.body).expect("JSON"),
        "application/octet-stream" => Value::Null,
        _ => Value::from(String::from_utf8(response.body).expect("UTF-8")),
    };
    let headers = response.headers.into_iter().map(|(name, value)| (name, Value::from(value)));
    Value::map([("status", Value::from(u64::from(response.status))), ("headers", Value::map(headers)), ("body", body)])
}

/// The arguments save these.
fn without(args: &Value, names: &[&str]) -> Value {
    Value::map(args.as_map().unwrap_or_default().iter().filter(|(key, _)| !names.contains(&key.as_str())).cloned())
}

/// Bytes in hexadecimal; of a `body`, a string is sent as it is, anything else as its JSON.
pub(super) fn body(args: &Value) -> Result<Vec<u8>, Error> {
    if let Some(hex) = args.get("hex").and_then(Value::as_str) {
        return Ok(unhex(hex));
    }
    let body = part(args, "body")?;
    Ok(body.as_str().map_or_else(|| body.to_json(), |text| text.as_bytes().to_vec()))
}
