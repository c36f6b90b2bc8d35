//! The verbs of balancers.

use callboard::balance::{Balancer, Outcome, Pick, Request};
use callboard::model::Handle;
use callboard::{Error, Timestamp, Value};

use super::{Host, number, one, text, text_or};

impl Host {
    pub(super) fn balance(&mut self, verb: &str, args: &Value, now: Timestamp) -> Result<Value, Error> {
        let name = text_or(args, "balancer", "balancer")?;
        if verb == "balancer" {
            let pairs = args.as_map().unwrap_or_default().iter().filter(|(key, _)| key != "balancer").cloned();
            self.balancers.insert(name.to_owned(), Balancer::from_value(&Value::map(pairs))?);
            return Ok(Value::Map(Vec::new()));
        }
        let registry = &self.registry;
        let balancer = self.balancers.get_mut(name).unwrap_or_else(|| panic!("no balancer {name:?}"));
        if verb.contains("pick") || ["probe_requests", "balancer_stats", "explain"].contains(&verb) {
            balancer.follow(registry);
        }
        let service = balancer.query().service.clone().unwrap_or_default();
        let namespace = balancer.query().namespace.clone();
        let ids = args.get("exclude").and_then(Value::as_list).unwrap_or_default().iter().filter_map(Value::as_str);
        // An id that nobody has excludes nobody, like a handle that is gone.
        let exclude: Vec<Handle> = ids.filter_map(|id| registry.lookup(&namespace, &service, id)).collect();
        let key = args.get("key").map(|_| text(args, "key")).transpose()?;
        let labels = args.get("labels").map(Request::read_labels).transpose()?.unwrap_or_default();
        let prefer = args.get("prefer").map(Request::read_prefer).transpose()?.unwrap_or_default();
        let request = Request { key: key.map(str::as_bytes), exclude: &exclude, labels: &labels, prefer: &prefer };
        let outcome = |field: &str| args.get(field).map(Outcome::from_value).transpose();
        let document = |pick: Pick| {
            let instance = registry.instance(pick.handle).expect("a pick is of an instance on record");
            Value::map([
                ("id", instance.registration.id.into()),
                ("service", instance.registration.service.into()),
                ("handle", pick.handle.to_bits().into()),
                ("token", pick.token.into()),
            ])
        };
        match verb {
            "pick" => balancer.pick(&request, now).map(document),
            "picks" => {
                let (finish, mut ids, mut counts) = (outcome("finish")?, Vec::new(), Vec::<(String, u64)>::new());
                let each = args.get("each").map(|_| text(args, "each")).transpose()?;
                for at in 0..number(args, "count")?.unwrap_or(0) {
                    let key = each.map(|each| format!("{each}{at}"));
                    let request = Request { key: key.as_ref().map(String::as_bytes).or(request.key), ..request };
                    let pick = balancer.pick(&request, now)?;
                    let id = registry.instance(pick.handle).expect("on record").registration.id;
                    if let Some(outcome) = finish {
                        balancer.finish(pick.token, outcome, now);
                    }
                    match counts.iter_mut().find(|(known, _)| *known == id) {
                        Some((_, count)) => *count += 1,
                        None => counts.push((id.clone(), 1)),
                    }
                    ids.push(id);
                }
                let counts = Value::map(counts.into_iter().map(|(id, count)| (id, count.into())));
                Ok(Value::map([("ids", ids.into()), ("counts", counts)]))
            }
            "finish" => {
                let token = number(args, "token")?.unwrap_or(u64::MAX);
                Ok(one("known", balancer.finish(token, outcome("outcome")?.unwrap_or_default(), now)))
            }
            "finish_and_pick" => {
                let token = number(args, "token")?.unwrap_or(u64::MAX);
                balancer.finish_and_pick(token, outcome("outcome")?.unwrap_or_default(), &request, now).map(document)
            }
            "reap" => Ok(one("reaped", u64::from(balancer.advance(now)))),
            "balancer_deadline" => Ok(one("deadline", balancer.deadline().map(Timestamp::as_micros))),
            "may_retry" => Ok(one("may", balancer.may_retry(now))),
            "may_hedge" => Ok(one("may", balancer.may_hedge(now))),
            "admit" => Ok(Value::map([("may", balancer.admit(now).into()), ("limit", balancer.limit().map(u64::from).into())])),
            "retry_delay" => {
                let retry = number(args, "retry")?.unwrap_or(1) as u32;
                Ok(one("delay", balancer.retry_delay(retry).map(|delay| delay.as_secs_f64())))
            }
            "hedge_delay" => Ok(one("delay", balancer.hedge_delay(now).map(|delay| delay.as_secs_f64()))),
            "probe_requests" => {
                let id = |handle| registry.instance(handle).expect("on record").registration.id;
                Ok(one("ids", balancer.probe_requests(now).into_iter().map(id).collect::<Vec<_>>()))
            }
            "probed" => {
                let handle = registry.lookup(&namespace, &service, text(args, "id")?).expect("on record");
                let latency = Outcome::measured(true, args.get("latency").and_then(Value::as_f64))?.latency.unwrap_or_default();
                let rif = number(args, "rif")?.unwrap_or_default().try_into().unwrap_or(u32::MAX);
                Ok(one("used", balancer.probed(handle, rif, latency, now)))
            }
            "explain" => Ok(balancer.explain(&request, now).to_value()),
            "explained" => Ok(one("told", balancer.explained().map(|told| told.to_value()))),
            "balancer_stats" => Ok(balancer.stats().to_value()),
            other => panic!("no verb {other:?}"),
        }
    }
}
