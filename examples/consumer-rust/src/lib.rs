//! How a consumer follows the board: the registry server's answers, kept in a registry of its own.

use callboard::formats::{Feed, FeedConfig, Format};
use callboard::registry::{Reconciled, Registry};
use callboard::{Error, Timestamp, Value};

/// Keeps a registry equal to what the server says of one service.
pub struct Follower {
    feed: Feed,
    /// Epoch and revision of the last answer.
    position: Option<(u64, u64)>,
}

impl Follower {
    pub fn new(source: &str, namespace: &str, service: &str) -> Result<Self, Error> {
        let config = FeedConfig { namespace: namespace.into(), ..FeedConfig::new(source, Format::Callboard).service(service) };
        Ok(Self { feed: Feed::new(config)?, position: None })
    }

    /// What to ask next: answered at once when something is new, and after `wait` seconds at the latest.
    pub fn path(&self, wait: u64) -> String {
        let since = self.position.map_or_else(String::new, |(epoch, revision)| format!("&epoch={epoch}&revision={revision}"));
        let config = self.feed.config();
        format!("/v1/instances/{}/{}?wait={wait}{since}", config.namespace, config.service.as_deref().unwrap_or_default())
    }

    /// Takes an answer.
    pub fn push(&mut self, registry: &mut Registry, body: &[u8], now: Timestamp) -> Result<Reconciled, Error> {
        let done = self.feed.take(registry, body, now)?;
        let answer = Value::from_json(body)?;
        let number = |name: &str| answer.get(name).and_then(Value::as_u64);
        self.position = number("epoch").zip(number("revision"));
        Ok(done)
    }
}
