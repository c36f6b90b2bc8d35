//! The catalog: services of any node are put in and taken out by hand.

use alloc::string::String;
use alloc::vec::Vec;

use super::agent::{health, json, registration};
use super::write::Place;
use super::{Call, Refusal, document, get, refuse, text};
use crate::formats::document::Node;
use crate::model::{Health, Instance};
use crate::registry::{Key, Op, Put};
use crate::serve::http::Reply;
use crate::value::Value;

pub(super) fn register(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let document = document(call.request)?;
    let said = document.root();
    let (node, address) = (text(said, "Node")?, text(said, "Address")?);
    if node.is_empty() || address.is_empty() {
        return refuse(400, "Must provide node and address");
    }
    let all: Vec<Node<'_>> = ["Check", "Checks"].into_iter().filter_map(|key| get(said, key)).flat_map(Node::items).collect();
    let mut worst = None;
    for check in &all {
        let status = text(*check, "Status")?;
        let told = match (health(status), status) {
            (Some(told), _) => told,
            (None, "") => Health::Unhealthy,
            _ => return refuse(400, alloc::format!("Invalid check status: '{status}'")),
        };
        worst = worst.max(Some(told));
    }
    let mut ops = Vec::new();
    if let Some(service) = get(said, "Service") {
        let mut own = registration(call, service, "Service", address)?;
        own.id = id(call, node, &own.id);
        own.locality.node = node.into();
        own.health = worst.unwrap_or(Health::Healthy);
        ops.push(Op::Register { registration: own, put: Put::default() });
    } else {
        // Checks alone are reports about services that are there.
        for check in &all {
            if let Some(own) = on_node(call, node, text(*check, "ServiceID")?) {
                ops.push(Op::SetHealth { key: Key::of(&own.registration), health: worst.unwrap_or(Health::Healthy), incarnation: None });
            }
        }
    }
    call.registry.apply(&ops)?;
    Ok(json(200, &true.into()))
}

pub(super) fn deregister(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let document = document(call.request)?;
    let said = document.root();
    let node = text(said, "Node")?;
    if node.is_empty() {
        return refuse(400, "Must provide node");
    }
    let (service, check) = (text(said, "ServiceID")?, text(said, "CheckID")?);
    let mut told: Vec<Instance> = on_node(call, node, service).into_iter().collect();
    if service.is_empty() && check.is_empty() {
        told = call.registry.everybody(&call.server.namespace, None);
        told.retain(|own| Place::of(call.server, own).node == node);
    }
    let ops: Vec<Op> = told.iter().map(|own| Op::Deregister { key: Key::of(&own.registration), incarnation: None }).collect();
    call.registry.apply(&ops)?;
    Ok(json(200, &true.into()))
}

/// The id of a service of a node: on the agent's own it is the service's.
fn id(call: &Call<'_>, node: &str, service: &str) -> String {
    if node == call.server.node { service.into() } else { alloc::format!("{node}/{service}") }
}

fn on_node(call: &Call<'_>, node: &str, service: &str) -> Option<Instance> {
    let found = call.registry.find(&call.server.namespace, &id(call, node, service)).into_iter();
    found.filter_map(|handle| call.registry.instance(handle)).find(|own| Place::of(call.server, own).node == node)
}

pub(super) fn datacenters(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(json(200, &Value::List(alloc::vec![call.server.datacenter.as_str().into()])))
}

pub(super) fn leader(_: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(json(200, &LEADER.into()))
}

pub(super) fn peers(_: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(json(200, &Value::List(alloc::vec![LEADER.into()])))
}

/// There is one server, and it leads.
const LEADER: &str = "127.0.0.1:8300";
