//! What a registry does all day: leases, questions, other systems' answers, requests.

use std::hint::black_box;
use std::time::Duration;

use callboard::formats::{Context, Format, decode, encode};
use callboard::model::{Handle, Registration};
use callboard::query::Query;
use callboard::registry::{Config, Put, Registry};
use callboard::serve::{Reply, Request, Server};
use callboard::{Code, Error, Timestamp};

use super::Case;

/// So many operations.
type Work = fn(u64) -> Result<(), Error>;

const SERVICES: u32 = 10;
const INSTANCES: u32 = 10;

pub fn cases() -> impl Iterator<Item = (&'static str, u64, Case<'static>)> {
    let cases: [(&str, u64, Work); 8] = [
        ("register anew", 1_000, register),
        ("renew by handle", 20_000, |count| renew(count, |registry, handle, now| registry.renew_handle(handle, 0, now))),
        ("renew by name", 5_000, |count| {
            renew(count, |registry, _, now| registry.renew("default", "service-3", "host-7", 0, now).map(drop))
        }),
        ("query, 10 of 100", 1_000, query),
        ("decode, Consul, 10", 100, |count| decoded(count, Format::ConsulHealth)),
        ("decode, Eureka XML, 10", 50, |count| decoded(count, Format::EurekaXml)),
        ("serve a read, 10", 200, |count| {
            serve(count, &Request { method: "GET", path: "/v1/instances/default/service-3", ..Request::default() })
        }),
        ("serve a renewal", 1_000, |count| {
            serve(count, &Request { method: "POST", path: "/v1/instances/default/service-3/host-7/renew", ..Request::default() })
        }),
    ];
    cases.into_iter().map(|(name, operations, run)| (name, operations, Box::new(run) as Case<'static>))
}

fn registration(service: u32, id: u32) -> Result<Registration, Error> {
    let zone = format!("zone-{}", id % 3);
    let made = Registration::new(format!("service-{service}"), format!("host-{id}"));
    let made = made.endpoint(&format!("http://10.0.{service}.{id}:8080"))?.metadata([("stage", "prod"), ("team", "shop")])?;
    Ok(made.lease(Duration::from_secs(30), Duration::ZERO)?.zone(zone))
}

fn filled() -> Result<(Registry, Vec<Handle>), Error> {
    let mut registry = Registry::new(Config::default())?;
    let mut handles = Vec::new();
    for (service, id) in (0..SERVICES).flat_map(|service| (0..INSTANCES).map(move |id| (service, id))) {
        handles.push(registry.register(&registration(service, id)?, Put::default(), Timestamp::ZERO)?.handle);
    }
    Ok((registry, handles))
}

/// Each time the weight is another.
fn register(count: u64) -> Result<(), Error> {
    let (mut registry, _) = filled()?;
    let both = [registration(3, 7)?.weight(2.0)?, registration(3, 7)?];
    for (at, registration) in (0..count).zip(both.iter().cycle()) {
        black_box(registry.register(registration, Put::default(), Timestamp::from_micros(at)?)?);
    }
    Ok(())
}

fn renew(count: u64, renew: impl Fn(&mut Registry, Handle, Timestamp) -> Result<(), Error>) -> Result<(), Error> {
    let (mut registry, handles) = filled()?;
    for (at, handle) in (0..count).zip(handles.iter().cycle()) {
        renew(&mut registry, *handle, Timestamp::from_micros(at)?)?;
    }
    Ok(())
}

fn query(count: u64) -> Result<(), Error> {
    let (registry, _) = filled()?;
    let query = Query::service("service-3").selector("stage=prod, team!=other")?;
    for _ in 0..count {
        assert_eq!(black_box(registry.query(&query)).handles.len(), INSTANCES as usize);
    }
    Ok(())
}

fn decoded(count: u64, format: Format) -> Result<(), Error> {
    let listed = (0..INSTANCES).map(|id| registration(3, id)).collect::<Result<Vec<_>, _>>()?;
    let bytes = encode(format, &listed)?;
    for _ in 0..count {
        assert_eq!(black_box(decode(format, &bytes, &Context::new("default"))?).instances.len(), INSTANCES as usize);
    }
    Ok(())
}

fn serve(count: u64, request: &Request<'_>) -> Result<(), Error> {
    let (mut registry, _) = filled()?;
    let server = Server::default();
    for at in 0..count {
        match black_box(server.handle(&mut registry, request, Timestamp::from_micros(at)?)) {
            Reply::Response(response) if response.status < 300 => {}
            _ => return Err(Error::new(Code::InvalidArgument, "request")),
        }
    }
    Ok(())
}
