//! Follows a service in Consul, by blocking queries. One JSON document a line tells what came and who is there.
//!
//! ```text
//! follower-rust http://127.0.0.1:8500 web
//! ```

use std::io::Write as _;
use std::time::{Duration, Instant};

use callboard::formats::{Fed, Feed, FeedConfig, Format, Payload};
use callboard::query::Query;
use callboard::registry::{Config, Registry};
use callboard::{Timestamp, Value};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let mut args = std::env::args().skip(1);
    let (Some(server), Some(service)) = (args.next(), args.next()) else { return Err("usage: follower-rust URL SERVICE".into()) };
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(90)).build()?;
    let started = Instant::now();
    let now = || Timestamp::ZERO.saturating_add(started.elapsed());
    let mut registry = Registry::new(Config::default())?;
    let config = FeedConfig { seed: std::process::id().into(), ..FeedConfig::new("consul", Format::ConsulHealth).service(&service) };
    let mut feed = Feed::new(config)?;

    loop {
        tokio::time::sleep(feed.upcoming().after).await;
        let url = format!("{server}/v1/health/service/{service}?{}", feed.upcoming().query);
        match ask(&http, &url).await {
            Ok((status, headers, body)) => {
                let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let fed = feed.push(&mut registry, &Payload { status, headers: &headers, body: &body, complete: true }, now());
                say(&registry, &service, &fed)?;
            }
            Err(error) => {
                eprintln!("{error}");
                feed.failed(now());
            }
        }
    }
}

/// Status, headers and body of an answer.
async fn ask(http: &reqwest::Client, url: &str) -> reqwest::Result<(u16, Vec<(String, String)>, Vec<u8>)> {
    let answer = http.get(url).send().await?;
    let text = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let headers = answer.headers().iter().filter_map(text).collect();
    Ok((answer.status().as_u16(), headers, answer.bytes().await?.to_vec()))
}

fn say(registry: &Registry, service: &str, fed: &Fed) -> Result {
    let instances = registry.query(&Query::service(service)).handles.into_iter().filter_map(|handle| registry.instance(handle));
    let urls = Value::List(instances.filter_map(|instance| instance.url()).map(Value::from).collect());
    let line = Value::map(
        [("urls", urls)]
            .into_iter()
            .chain(fed.to_value().as_map().unwrap_or_default().iter().map(|(key, value)| (key.as_str(), value.clone()))),
    );
    let mut out = std::io::stdout().lock();
    out.write_all(&line.to_json())?;
    out.write_all(b"\n")?;
    Ok(())
}
