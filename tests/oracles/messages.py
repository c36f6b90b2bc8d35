"""Makes the vectors of DNS: messages that dnspython writes, and what RFC 1035, 2782, 6762 and 6763 say of them.

    pip install dnspython && python tests/oracles/messages.py
"""

import json
import pathlib

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rrset

FOLDER = pathlib.Path(__file__).parent.parent / "vectors"
WEB = "_http._tcp.web.example."


def message(question, kind, answer=(), additional=(), authority=(), rcode="NOERROR", flags=dns.flags.QR | dns.flags.AA):
    """An answer; records are lines of a zone file with a whole name, and `IN` left out."""
    made = dns.message.Message(id=0)
    made.flags = flags
    made.set_rcode(dns.rcode.from_text(rcode))
    if question:
        made.question.append(dns.rrset.from_text(question, 0, "IN", kind))
    for section, lines in [(made.answer, answer), (made.authority, authority), (made.additional, additional)]:
        for line in lines:
            name, ttl, *rest = line.split(maxsplit=3)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", rest[0], rest[1]))
    return made.to_wire()


def answer(question, kind, *lines, **more):
    return message(question, kind, lines, **more)


def decode(wire, expect, service=None):
    args = {"format": "dns", "hex": wire.hex()} | ({"service": service} if service else {})
    return {"do": "decode", "args": args, "expect": expect}


def refused(wire, field, code="malformed", service="web"):
    return decode(wire, {"error": {"code": code, "field": field}}, service)


def place(host, port=None, scheme="http", **more):
    return {"scheme": scheme, "host": host, "port": port, "secure": scheme == "https"} | more


def one(id, *places, service="web", weight=1, metadata=None, **more):
    return {"service": service, "id": id, "endpoints": list(places), "weight": weight, "metadata": metadata or {"priority": None}} | more


def said(*instances, extent=None, ttl=None, resync=None, **more):
    return {"instances": list(instances), "skipped": [], "extent": extent, "ttl": ttl, "resync": resync} | more


SOA = "example. 300 SOA ns.example. admin.example. 1 2 3 4 60"


def services():
    full = message(WEB, "SRV", [
        f"{WEB} 30 SRV 0 10 8080 A.web.example.", f"{WEB} 30 SRV 0 30 8081 b.web.example.", f"{WEB} 30 SRV 1 5 0 elsewhere.example.net."],
        ["a.WEB.example. 60 A 10.0.0.1", "a.web.example. 20 AAAA fd00::1", "b.web.example. 60 A 10.0.0.2", "b.web.example. 60 A 10.0.0.3",
         "stranger.example. 1000 A 10.9.9.9"])
    yield "several targets with their addresses, one without any", [decode(full, said(
        one("a.web.example:8080", place("10.0.0.1", 8080), place("fd00::1", 8080), weight=10),
        one("b.web.example:8081", place("10.0.0.2", 8081), place("10.0.0.3", 8081), weight=30),
        one("elsewhere.example.net", place("elsewhere.example.net"), weight=5, metadata={"priority": "1"}), ttl=20))]
    yield "the one that was asked for is the service", [decode(full, {"instances": [{"service": "shop"}] * 3}, "shop")]
    zero = answer(WEB, "SRV", f"{WEB} 9 SRV 0 0 1 a.", f"{WEB} 9 SRV 0 10 2 b.", f"{WEB} 9 SRV 1 0 3 c.", f"{WEB} 9 SRV 1 0 4 d.", f"{WEB} 9 SRV 2 65535 5 e.")
    weights = [("a:1", .001), ("b:2", 10), ("c:3", 1), ("d:4", 1), ("e:5", 65535)]
    yield "a weight of 0 is a very small chance, and an equal one among zeros", [decode(zero, {
        "instances": [{"id": id, "weight": weight} for id, weight in weights]})]
    for name, priorities, levels in [("priorities are levels", [0, 3, 15], [None, "3", "15"]),
                                     ("priorities beyond the last level are told by their order", [30, 10, 65535, 10], ["1", None, "2", None])]:
        lines = [f"{WEB} 9 SRV {priority} 1 {port} a." for port, priority in enumerate(priorities, 1)]
        yield name, [decode(answer(WEB, "SRV", *lines), {"instances": [{"metadata": {"priority": level}} for level in levels]})]
    yield "the root as the only target: decidedly not available", [
        decode(answer(WEB, "SRV", f"{WEB} 9 SRV 0 0 0 ."), said(extent="certain", ttl=9)),
        decode(answer(WEB, "SRV", f"{WEB} 9 SRV 0 0 0 .", f"{WEB} 9 SRV 0 0 1 a."), {
            "instances": [{"id": "a:1"}], "skipped": [{"index": 0, "error": {"code": "invalid-address", "field": "target"}}]})]
    text = message(WEB, "SRV", [f"{WEB} 9 SRV 0 1 80 a.web.example.", f"{WEB} 9 SRV 0 1 81 b.web.example."], [
        "a.web.example. 9 A 10.0.0.1", 'a.web.example. 9 TXT "callboard-id=web/A" "version=v1.2.0" "zone=z1" "region=eu" "Env=prod" "n=a=b" "flag"',
        'b.web.example. 9 TXT "callboard-id=" "version=latest" "env=1" "ENV=2" "=x" "" "k="'])
    yield "what the TXT record of a target says", [decode(text, said(
        one("web/A", place("10.0.0.1", 80), version="1.2.0", locality={"region": "eu", "zone": "z1"}, metadata={"env": "prod", "flag": "true", "n": "a=b"}),
        one("b.web.example:81", place("b.web.example", 81), metadata={"env": "1", "k": "", "version": "latest"}), ttl=9))]
    yield "an address in hexadecimal, as Consul names it", [decode(answer(
        "_web._tcp.service.consul.", "SRV", "_web._tcp.service.consul. 0 SRV 1 1 80 0A000001.addr.dc1.consul.",
        "_web._tcp.service.consul. 0 SRV 1 1 81 fd000000000000000000000000000001.addr.dc1.consul."), said(
        one("0a000001.addr.dc1.consul:80", place("10.0.0.1", 80), metadata={"priority": "1"}),
        one("fd000000000000000000000000000001.addr.dc1.consul:81", place("fd00::1", 81), metadata={"priority": "1"})))]
    bad = "_http._tcp.web.example."
    yield "a target that is no host is told", [decode(answer(bad, "SRV", f"{bad} 9 SRV 0 1 80 a\\032b.example.", f"{bad} 9 SRV 0 1 81 d.example."), {
        "instances": [{"id": "d.example:81"}], "skipped": [{"index": 0, "error": {"code": "invalid-address", "field": "target"}}]})]


def addresses():
    a = answer("web.example.", "A", "web.example. 7 A 10.0.0.1", "WEB.example. 9 A 10.0.0.2", "other.example. 9 A 10.0.0.3")
    yield "addresses alone have no port, and those of others are not read", [decode(a, said(
        one("10.0.0.1", place("10.0.0.1")), one("10.0.0.2", place("10.0.0.2")), ttl=7))]
    yield "IPv6", [decode(answer("web.example.", "AAAA", "web.example. 7 AAAA 2001:db8:0:0:0:0:0:1"), said(
        one("2001:db8::1", place("2001:db8::1")), ttl=7))]
    chain = ["web.example. 9 CNAME a.example.", "a.example. 8 CNAME b.example.", "b.example. 30 A 10.0.0.1"]
    yield "an alias of an alias", [decode(answer("web.example.", "A", *reversed(chain)), said(one("10.0.0.1", place("10.0.0.1")), ttl=8))]
    links = [f"a{count}.example. 9 CNAME a{count + 1}.example." for count in range(9)]
    yield "eight aliases and no more", [
        decode(answer("a1.example.", "A", *links, "a9.example. 9 A 10.0.0.1"), {"instances": [{"id": "10.0.0.1", "service": "a1"}]}),
        refused(answer("a0.example.", "A", *links, "a9.example. 9 A 10.0.0.1"), "CNAME"),
        refused(answer("a.example.", "A", "a.example. 9 CNAME b.example.", "b.example. 9 CNAME a.example."), "CNAME")]
    yield "an alias that leads nowhere says nothing", [
        refused(answer("web.example.", "A", chain[0]), "answer"), decode(message("web.example.", "A", chain[:1], authority=[SOA]), said(ttl=9))]
    yield "no longer than the shortest time to live, and nothing kept at 0", [
        decode(answer("web.example.", "A", "web.example. 0 A 10.0.0.1", "web.example. 9 A 10.0.0.2"), {"ttl": None}),
        decode(answer("web.example.", "A", "web.example. 2147483647 A 10.0.0.1"), {"ttl": 2147483647}),
        decode(answer("web.example.", "A", "web.example. 2147483647 A 10.0.0.1").replace(b"\x7f\xff\xff\xff", b"\x80\0\0\0"), {"ttl": None})]


def discovery():
    kind = "_http._tcp.example."
    name = "Front\\032Desk\\.2._http._tcp.example."
    whole = message(kind, "PTR", [f"{kind} 4500 PTR {name}", f"{kind} 4500 PTR lost.{kind}"], [
        f"{name} 120 SRV 0 0 8080 desk.example.", f'{name} 4500 TXT "path=/" "Secure"', "desk.example. 120 A 10.0.0.7"])
    yield "instances of service discovery", [decode(whole, {
        "instances": [one("Front\\032Desk.2", place("10.0.0.7", 8080), service="http", metadata={"path": "/", "secure": "true"})],
        "skipped": [{"index": 1, "error": {"code": "missing-field", "field": "SRV"}}], "ttl": 120})]
    yield "one of them", [decode(answer(name, "SRV", f"{name} 120 SRV 0 0 8080 desk.example."), {
        "instances": [{"id": "desk.example:8080", "service": "http"}]})]
    local = "_http._tcp.local."
    flush = dns.rdataclass.IN | 0x8000

    def announce(ttl):
        made = dns.message.from_wire(message(None, None, [
            f"{local} {ttl} PTR desk.{local}", f"desk.{local} 120 SRV 0 0 80 desk.local.", "desk.local. 120 A 10.0.0.7"]))
        for rrset in made.answer[1:]:
            rrset.rdclass = flush
            rrset.items = {dns.rdata.from_wire(dns.rdataclass.IN, rd.rdtype, rd.to_wire(), 0, len(rd.to_wire())): None for rd in rrset}
        return made.to_wire()

    yield "announcements of mDNS come and go one by one", [
        decode(announce(4500), said(one("desk", place("10.0.0.7", 80), service="http", ttl=120), extent="part", ttl=120)),
        decode(announce(0), said(extent="part", ttl=120, removed=[{"service": "http", "id": "desk"}]))]


def names():
    cases = [
        ("_https._tcp.web.example.", "SRV", "web", "https", None), ("_metrics._tcp.web.default.svc.cluster.local.", "SRV", "web", "http", "metrics"),
        ("_grpc-api._tcp.web.", "SRV", "web", "grpc", "grpc-api"), ("_dns._udp.web.example.", "SRV", "web", "udp", "dns"),
        ("web.service.consul.", "SRV", "web", "http", None), ("green.web.service.dc1.consul.", "SRV", "web", "http", None),
        ("_web._green.service.consul.", "SRV", "web", "http", None), ("Web.Example.", "A", "web", "http", None), ("_http._tcp.", "SRV", "http", "http", None)]
    steps = []
    for name, kind, service, scheme, label in cases:
        data = "10.0.0.1" if kind == "A" else "0 1 80 10.0.0.1."
        steps.append(decode(answer(name, kind, f"{name} 9 {kind} {data}"), {"instances": [
            {"service": service, "endpoints": [{"scheme": scheme, "name": label, "host": "10.0.0.1"}]}]}))
    yield "what the name of a question says", steps
    yield "a name that names no service", [refused(answer(".", "A", ". 9 A 10.0.0.1"), "service", "missing-field", None)]


def nothing():
    yield "no such name, and nothing there, are empty listings", [
        decode(message("web.example.", "A", authority=[SOA], rcode="NXDOMAIN"), said(ttl=60)),
        decode(message("web.example.", "A", authority=[SOA.replace("300", "30", 1)]), said(ttl=30)), decode(answer("web.example.", "A"), said())]
    wire = message(WEB, "SRV", [f"{WEB} 30 SRV 0 1 80 a{count}.example." for count in range(3)])
    gone = message(WEB, "SRV", authority=[SOA], rcode="NXDOMAIN")
    push = lambda at, wire, expect: {"at": at, "do": "push", "args": {"hex": wire.hex()}, "expect": expect}
    follow = {"do": "follow", "args": {"source": "dns", "format": "dns", "service": "web"}, "expect": {"after": 0, "ask": "full"}}
    fine = {"added": 3, "stale": False, "problem": None, "next": {"resync": None}}
    yield "a name that is gone is doubted first", [
        follow, push(0, wire, fine), push(1_000_000, gone, {"held": 3, "removed": 0, "stale": True}),
        push(6_000_000, gone, {"held": 3}), push(12_000_000, gone, {"held": 0, "removed": 3, "stale": False})]
    yield "decidedly not available is believed at once", [
        follow, push(0, wire, fine), push(1, answer(WEB, "SRV", f"{WEB} 9 SRV 0 0 0 ."), {"removed": 3, "held": 0, "stale": False})]
    failures = [(message(WEB, "SRV", rcode=rcode), rcode) for rcode in ["SERVFAIL", "REFUSED", "FORMERR", "NOTIMP", "YXDOMAIN"]]
    yield "a failure of the server changes nothing", [
        follow, push(0, wire, fine), *[push(at, failed, {"removed": 0, "stale": True, "problem": {
            "code": "malformed", "field": "rcode", "message": f"the server answers {rcode}"}}) for at, (failed, rcode) in enumerate(failures, 1)],
        push(9, wire, {"added": 0, "removed": 0, "stale": False})]
    cut = dns.flags.QR | dns.flags.TC
    some = message(WEB, "SRV", [f"{WEB} 30 SRV 0 1 80 a1.example.", f"{WEB} 30 SRV 0 1 80 a9.example."], flags=cut)
    word = "the answer was cut: ask again over TCP"
    yield "an answer that was cut removes nobody, and all is asked for again", [
        decode(some, {"extent": "part", "resync": word, "instances": [{"id": "a1.example:80"}, {"id": "a9.example:80"}]}),
        decode(some[:-1], {"extent": "part", "resync": word, "instances": [{"id": "a1.example:80"}]}),
        decode(message(WEB, "SRV", flags=cut), said(extent="part", resync=word)), follow, push(0, wire, fine),
        push(1, some, {"added": 1, "removed": 0, "held": 0, "stale": True, "next": {"resync": word}}),
        push(2, wire, {"added": 0, "removed": 1, "stale": False})]
    referral = message("web.example.", "A", authority=["example. 9 NS ns.example."], additional=["ns.example. 9 A 10.0.0.1"], flags=dns.flags.QR)
    yield "a referral is no answer", [refused(referral, "answer")]


def nasties():
    question = message(WEB, "SRV", flags=0)
    fine = answer("web.example.", "A", "web.example. 9 A 10.0.0.1")
    yield "what is no answer", [
        refused(b"", "header"), refused(fine[:11], "header"), refused(b"[]", "header"), refused(question, "header"),
        refused(message(WEB, "SRV", flags=dns.flags.QR | 4 << 11), "header"), refused(fine[:12], "question"),
        refused(bytes([0, 0, 0x80, 0]) + bytes(8), "question"), refused(answer("web.example.", "MX"), "question"),
        refused(answer("web.example.", "TXT", 'web.example. 9 TXT "a=b"'), "question")]
    # The question is 17 bytes from 12 on; the answer's owner points to 12.
    at = 12 + 13 + 4
    assert fine[at:at + 2] == b"\xc0\x0c" and fine[-6:] == b"\0\4\x0a\0\0\1"
    bent = lambda pointer: fine[:at] + pointer + fine[at + 2:]
    yield "pointers lead backwards only", [
        refused(bent(bytes([0xc0, at])), "answer[0]"), refused(bent(bytes([0xc0, at + 2])), "answer[0]"), refused(bent(b"\xff\xff"), "answer[0]"),
        refused(bent(b"\xc0\x02"), "answer[0]"), refused(bent(b"\x40\x0c"), "answer[0]"), refused(bent(b"\x80\x0c"), "answer[0]"),
        refused(fine[:12] + b"\xc0\x0c" + fine[14:], "question")]
    counts = lambda number: fine[:6] + number.to_bytes(2, "big") + fine[8:]
    yield "counts and lengths are what they are", [
        refused(counts(2), "answer[1]"), refused(counts(65535), "answer[1]"), decode(counts(0), said()),
        refused(fine[:-6] + b"\0\5" + fine[-4:], "answer[0]"),
        decode(fine[:-6] + b"\0\3" + fine[-4:], {"instances": [], "skipped": [{"index": 0, "error": {"code": "malformed", "field": "address"}}]}),
        decode(fine + b"more", {"instances": [{"id": "10.0.0.1"}]})]
    target = message(WEB, "SRV", [f"{WEB} 9 SRV 0 1 80 a."])
    assert target[-5:] == b"\0\x50\1a\0"
    yield "a target that is more or less than its record", [
        decode(target[:-11] + b"\0\x0a" + target[-9:] + b"x", {"instances": [], "skipped": [{"index": 0, "error": {"field": "SRV"}}]}),
        decode(target[:-11] + b"\0\x06" + target[-9:-3], {"instances": [], "skipped": [{"index": 0, "error": {"field": "SRV"}}]})]
    long = b"\x3f" + b"a" * 63
    names = lambda name: bytes([0, 0, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0]) + name + bytes([0, 1, 0, 1, 0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1])
    yield "a name of 255 bytes and one of 256", [
        decode(names(long * 3 + b"\x3d" + b"b" * 61 + b"\0"), {"instances": [{"id": "10.0.0.1", "service": "a" * 63}]}),
        refused(names(long * 3 + b"\x3e" + b"b" * 62 + b"\0"), "question")]


def written():
    """Our own messages: exact ones that RFC 1035 spells, and what becomes of instances that are written and read again."""
    def encode(instances, expect=None, **more):
        return {"do": "encode", "args": {"format": "dns", "instances": instances}, **({"expect": expect} if expect else {}), **more}

    own = lambda id, *endpoints, service="web", **more: {"service": service, "id": id, "endpoints": list(endpoints)} | more
    header = lambda answers, additional: bytes([0, 0, 0x84, 0, 0, 1, 0, answers, 0, 0, 0, additional])
    name = lambda *labels: b"".join(bytes([len(label)]) + label.encode() for label in labels)
    question = name("_http", "_tcp", "web") + b"\0" + bytes([0, 33, 0, 1])
    record = lambda owner, kind, data: owner + bytes([0, kind, 0, 1, 0, 0, 0, 5, 0, len(data)]) + data
    srv = record(b"\xc0\x0c", 33, bytes([0, 0, 0, 7, 0x1f, 0x90]) + name("a1", "web") + b"\0")
    # A pointer to `web` in the question, and one to the owner before; the target of an SRV record is spelled out (RFC 2782).
    below = name("a1") + bytes([0xc0, 12 + len(name("_http", "_tcp"))])
    at = bytes([0xc0, 12 + len(question) + len(srv)])
    text = b"callboard-id=a1"
    exact = header(1, 2) + question + srv + record(below, 1, bytes([10, 0, 0, 1])) + record(at, 16, bytes([len(text)]) + text)
    yield "an instance, byte by byte", [
        encode([own("a1", "http://10.0.0.1:8080", weight=7)], {"hex": exact.hex()}),
        encode([own("h:80", "http://h:80")], {"hex": (header(1, 0) + question + record(b"\xc0\x0c", 33, bytes([0, 0, 0, 1, 0, 80]) + name("h") + b"\0")).hex()})]
    many = [
        own("a.1", "http://10.0.0.1:8080", weight=3, version="1.2.0", locality={"region": "eu", "zone": "z", "subzone": "s", "node": "n"}, metadata={"env": "prod", "priority": "2"}),
        own("n1/Web-2", "http://10.0.0.2:8080", "http://[fd00::2]:8080"), own("api.example.net:443", "http://api.example.net:443"),
        own("x", "http://api2.example.net"), own("i" * 242, "http://10.0.0.3:1"), own("10.0.0.4:80", "http://10.0.0.4:80", metadata={"k": "v" * 250})]
    back = [dict(one) for one in many]
    for one in back:
        one["endpoints"] = [{"host": url.split("//")[1].rsplit(":", 1)[0].strip("[]") if url.count(":") > 1 else url.split("//")[1],
                             "port": int(url.rsplit(":", 1)[1]) if url.count(":") > 1 else None, "scheme": "http"} for url in one["endpoints"]]
    yield "what is written is read as it was", [
        encode(many, **{"as": "said"}),
        {"do": "decode", "args": {"format": "dns", "hex": {"$": "said.hex"}}, "as": "back", "expect": said(*back, ttl=5)},
        encode({"$": "back.instances"}, {"hex": {"$": "said.hex"}})]
    yield "only those that may be called, of one service", [
        encode([own("a", "http://a:1"), own("b", "http://b:1", health="unhealthy"), own("c", "http://c:1", weight=0), own("d", "http://d:1", service="other"),
                own("e"), own("f", "http://f:1", health="degraded"), own("g", "http://g:1", health="starting")], **{"as": "said"}),
        {"do": "decode", "args": {"format": "dns", "hex": {"$": "said.hex"}}, "expect": {"instances": [{"id": "a"}, {"id": "f"}]}}]
    for weights, read in [([1, 0.001, 65535], [1, .001, 65535]), ([0.5, 1.5], [500, 1500]), ([0.001, 65535, 0.5], [1, 65535, 1])]:
        yield f"weights of {weights}", [
            encode([own(str(at), f"http://h{at}:1", weight=weight) for at, weight in enumerate(weights)], **{"as": "said"}),
            {"do": "decode", "args": {"format": "dns", "hex": {"$": "said.hex"}}, "expect": {"instances": [{"weight": weight} for weight in read]}}]
    steps = []
    for label, scheme, asked in [("", "https", "_https._tcp"), ("metrics", "http", "_metrics._tcp"), ("grpc-api", "grpc", "_grpc-api._tcp"), ("dns", "udp", "_udp._udp")]:
        steps += [encode([own("a:5", {"name": label, "scheme": scheme, "host": "a", "port": 5})], **{"as": "said"}),
                  {"do": "decode", "args": {"format": "dns", "hex": {"$": "said.hex"}}, "expect": {"instances": [
                      {"id": "a:5", "endpoints": [{"name": None if scheme == "udp" else label or None, "scheme": scheme}]}]}}]
    yield "the scheme and the name of a port are in the question", steps
    yield "nobody is nobody", [
        encode([], {"hex": (header(0, 0) + b"\0" + bytes([0, 33, 0, 1])).hex()}, **{"as": "said"}),
        {"do": "decode", "args": {"format": "dns", "service": "web", "hex": {"$": "said.hex"}}, "expect": said()}]


def write(*made):
    cases = [{"name": name, "steps": steps} for family in made for name, steps in family]
    lines = [f'   {{"name": {json.dumps(case["name"])}, "steps": [\n      ' + ",\n      ".join(map(json.dumps, case["steps"])) + "]}" for case in cases]
    head = {"name": "dns", "about": "Messages of DNS: addresses, services, discovery, and what a listing of them means",
            "source": "RFC 1035, 2181, 2308, 2782, 6762, 6763 and 9267; the messages by dnspython: python tests/oracles/messages.py"}
    text = json.dumps(head)[:-1] + ',\n "cases": [\n' + ",\n".join(lines) + "]}\n"
    (FOLDER / "dns.json").write_text(text)


if __name__ == "__main__":
    write(services(), addresses(), discovery(), names(), nothing(), nasties(), written())
