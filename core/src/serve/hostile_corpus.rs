//! Requests that are true, and how to spoil them: for the tests of the protocols here, and for those that send them over the wire (`tests/src/hostile`).

use std::vec::Vec;

/// Method, path, query, body.
pub const TRUE: &[(&str, &str, &str, &str)] = &[
    (
        "PUT",
        "/v1/instances/default/web/a",
        "mode=upsert&if_revision=1",
        r#"{"endpoints":["http://10.0.0.1:80",{"host":"::1","port":1}],"weight":1.5,"ttl":30,"metadata":{"password":"hunter2"},"tags":["t"]}"#,
    ),
    (
        "PUT",
        "/v1/instances/default/web/b",
        "",
        r#"{"version":"1.2.3","locality":{"zone":"z"},"health":"degraded","incarnation":7,"grace":1,"ttl":2}"#,
    ),
    ("GET", "/v1/instances/default/web/a", "", ""),
    ("DELETE", "/v1/instances/default/web/b", "incarnation=7", ""),
    ("POST", "/v1/instances/default/web/a/renew", "incarnation=0", ""),
    ("PUT", "/v1/instances/default/web/a/health", "", r#"{"health":"unhealthy","incarnation":1}"#),
    ("PUT", "/v1/instances/default/web/a/admin", "", r#"{"state":"draining","ttl":30,"reason":"moving"}"#),
    ("DELETE", "/v1/instances/default/web/a/admin", "", ""),
    ("GET", "/v1/instances/default/web", "selector=meta.env%3Dprod+or+not+(zone+in+(a,b))&version=%5E1&tag=t,u&health=any&limit=3", ""),
    ("GET", "/v1/instances/default", "epoch=1&revision=1&wait=5&region=r&subzone=s&node=n&zone=z", ""),
    ("GET", "/v1/services/default", "", ""),
    ("GET", "/v1/services", "", ""),
    ("GET", "/v1/changes", "epoch=1&revision=0&wait=300", ""),
    (
        "POST",
        "/v1/batch",
        "",
        r#"{"ops":[{"op":"register","instance":{"service":"web","id":"c","metadata":{"password":"hunter2"}}},{"op":"renew","service":"web","id":"a"}]}"#,
    ),
    (
        "PUT",
        "/v1/queries/default/q",
        "",
        r#"{"service":"web","selector":"meta.env=prod","version":"^1","fallbacks":[{"service":"db","limit":1}]}"#,
    ),
    ("GET", "/v1/queries/default/q/instances", "epoch=1&revision=1&wait=5", ""),
    ("GET", "/v1/queries/default/q/explain", "", ""),
    ("DELETE", "/v1/queries/default/q", "", ""),
    ("GET", "/v1/explain/default/web", "selector=meta.env%3Dprod&health=any&limit=1", ""),
    ("GET", "/v1/snapshot", "", ""),
    ("GET", "/v1/health", "", ""),
    ("GET", "/v1/openapi.json", "", ""),
    ("GET", "/ui", "", ""),
    ("HEAD", "/ui/page.js", "", ""),
    (
        "PUT",
        "/v1/agent/service/register",
        "replace-existing-checks=true",
        r#"{"ID":"a","Name":"web","Address":"10.0.0.1","Port":80,"Tags":["t"],"Meta":{"password":"hunter2"},"Check":{"TTL":"10s","DeregisterCriticalServiceAfter":"1m"}}"#,
    ),
    ("PUT", "/v1/agent/check/pass/service:a", "note=well", ""),
    ("PUT", "/v1/agent/check/update/service%3Aa", "", r#"{"Status":"warning"}"#),
    ("PUT", "/v1/agent/service/maintenance/a", "enable=true&reason=r", ""),
    ("PUT", "/v1/agent/service/deregister/a", "", ""),
    ("GET", "/v1/health/service/web", "passing=1&tag=t&index=3&wait=5s", ""),
    ("GET", "/v1/catalog/services", "index=1&wait=1m30s&dc=dc1", ""),
    ("GET", "/v1/agent/health/service/id/a", "format=text", ""),
    (
        "PUT",
        "/v1/catalog/register",
        "",
        r#"{"Node":"n","Address":"10.0.0.2","Service":{"Service":"db","Port":1},"Check":{"Status":"passing"}}"#,
    ),
    ("PUT", "/v1/catalog/deregister", "", r#"{"Node":"n","ServiceID":"db"}"#),
    (
        "POST",
        "/eureka/apps/WEB",
        "",
        r#"{"instance":{"instanceId":"i","hostName":"h","app":"WEB","ipAddr":"10.0.0.3","status":"UP","port":{"$":80,"@enabled":"true"},"dataCenterInfo":{"name":"MyOwn"},"metadata":{"password":"hunter2"},"leaseInfo":{"durationInSecs":90},"lastDirtyTimestamp":"1"}}"#,
    ),
    (
        "POST",
        "/eureka/v2/apps/web",
        "",
        "<instance><instanceId>x</instanceId><hostName>h</hostName><app>web</app><ipAddr>10.0.0.4</ipAddr><status>UP</status><port enabled=\"true\">80</port><dataCenterInfo><name>MyOwn</name></dataCenterInfo></instance>",
    ),
    ("PUT", "/eureka/apps/WEB/i", "status=UP&lastDirtyTimestamp=1", ""),
    ("PUT", "/eureka/apps/WEB/i/status", "value=OUT_OF_SERVICE", ""),
    ("PUT", "/eureka/apps/WEB/i/metadata", "k=v", ""),
    ("DELETE", "/eureka/apps/WEB/i", "", ""),
    ("GET", "/eureka/apps/delta", "", ""),
    ("GET", "/eureka/vips/web", "", ""),
    (
        "POST",
        "/nacos/v1/ns/instance",
        "serviceName=G%40%40web&ip=10.0.0.5&port=80&clusterName=c&weight=2&enable=true&ephemeral=True&metadata=%7B%22password%22%3A%22hunter2%22%7D",
        "",
    ),
    (
        "PUT",
        "/nacos/v1/ns/instance/beat",
        "serviceName=G%40%40web&beat=%7B%22ip%22%3A%2210.0.0.5%22%2C%22port%22%3A80%2C%22serviceName%22%3A%22G%40%40web%22%7D",
        "",
    ),
    ("DELETE", "/nacos/v1/ns/instance", "serviceName=G%40%40web&ip=10.0.0.5&port=80&cluster=c", ""),
    ("GET", "/nacos/v1/ns/instance/list", "serviceName=web&groupName=G&clusters=c&healthyOnly=true&namespaceId=public", ""),
    ("GET", "/nacos/v1/ns/service/list", "pageNo=1&pageSize=10", ""),
    ("POST", "/nacos/v3/client/ns/instance", "serviceName=web&ip=10.0.0.5&port=80&heartBeat=true", ""),
    ("GET", "/nacos/v3/client/ns/instance/list", "serviceName=web", ""),
];

/// Pieces that parsers trip over.
pub const BITS: &[&[u8]] = &[
    b"%00",
    b"%2F",
    b"%",
    b"%%",
    b"..",
    b"//",
    b"\0",
    b"\r\n",
    b"&",
    b"=",
    b"+",
    b"\"",
    b"{",
    b"[[[[[[[[",
    b"}",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc3\xa9",
    b"-1",
    b"1e999",
    b"NaN",
    b"9007199254740992",
    b"18446744073709551616",
    b"null",
    b"\\u0000",
    b"\\ud800",
    b"__proto__",
    b"(((((((",
];

/// Changes some bytes of a text; `below` draws a number below another.
pub fn spoil(mut below: impl FnMut(usize) -> usize, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=below(3) {
        let at = below(bytes.len() + 1);
        match below(5) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = below(256) as u8,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                let again = bytes[at..].to_vec();
                bytes.extend(again);
            }
            _ => drop(bytes.splice(at..at, BITS[below(BITS.len())].iter().copied())),
        }
    }
    bytes
}
