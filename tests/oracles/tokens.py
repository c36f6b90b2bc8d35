"""Writes tests/vectors/tokens.json: proofs of tokens by Python's hashlib and hmac, from the rule in the documentation of `core/src/serve/token.rs`.

    python tests/oracles/tokens.py
"""

import hashlib
import hmac
import json
import pathlib

TOKEN = "0123456789abcdef"
OTHER = "fedcba9876543210"
SECRET = "a secret of thirty-two bytes or more"
PATH = "/v1/instances/default/web/a"
FIRST, SECOND = 0, 1 << 32  # The handles of the first and the second life of slot 0.


def digest(data):
    return hashlib.sha256(data.encode())


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def proof(verb, sequence, token=TOKEN, epoch=1, handle=FIRST, query="", body=""):
    lines = ["callboard proof", verb, str(epoch), str(handle), str(sequence), query, digest(body).hexdigest()]
    return f"{sequence}.{sign(digest(token).digest(), chr(10).join(lines))}"


def issued(epoch, handle):
    return sign(digest(SECRET).digest(), f"callboard token\n{epoch}\n{handle}")


def ask(method, path, expect, body=None, query=None, **headers):
    args = {"method": method, "path": path}
    args |= {} if body is None else {"body": body}
    args |= {"query": query} if query else {}
    headers = {f"x-callboard-{name}": value for name, value in headers.items()}
    args |= {"headers": headers} if headers else {}
    return {"do": "request", "args": args, "expect": expect}


def put(status, **more):
    return ask("PUT", PATH, {"status": status, **more.pop("expect", {})}, body={"ttl": 60}, **more)


def renew(status, sent=None, **more):
    return ask("POST", f"{PATH}/renew", {"status": status, **more.pop("expect", {})}, **({"proof": sent} if sent else {}), **more)


DENIED = {"body": {"code": "permission-denied", "field": "proof"}}
TOLD = {"body": {"code": "permission-denied", "field": "token"}}
HEALTH = '{"health":"degraded"}'

CASES = {
    "who brings a token speaks for the instance, and nobody else": [
        put(201, token=TOKEN, expect={"body": {"handle": FIRST, "epoch": 1, "token": None}}),
        put(403, expect=TOLD),
        put(403, token=OTHER, expect=TOLD),
        put(200, token=TOKEN),
        renew(403, expect=TOLD),
        renew(403, proof("renew", 1, token=OTHER), expect=DENIED),
        renew(200, proof("renew", 1)),
        ask("DELETE", PATH, {"status": 403}),
        ask("PUT", f"{PATH}/health", {"status": 403}, body={"health": "unhealthy"}),
        ask("POST", "/v1/batch", {"status": 403, **TOLD}, body={"ops": [{"op": "deregister", "service": "web", "id": "a"}]}),
        ask("PUT", "/v1/agent/service/deregister/a", {"status": 403}),
        ask("PUT", "/v1/agent/service/register", {"status": 403}, body={"Name": "web", "ID": "a", "Address": "10.0.0.1", "Port": 1}),
        ask("DELETE", "/eureka/apps/WEB/a", {"status": 403}),
        ask("GET", PATH, {"status": 200, "body": {"health": "healthy", "token": None, "token_digest": None}}),
        ask("PUT", f"{PATH}/health", {"status": 200}, body=HEALTH, proof=proof("health", 2, body=HEALTH)),
        ask("DELETE", PATH, {"status": 200}, proof=proof("deregister", 3)),
    ],
    "a request that was seen is of no use": [
        put(201, token=TOKEN),
        renew(200, proof("renew", 5)),
        renew(403, proof("renew", 5), expect=DENIED),
        renew(403, proof("renew", 4), expect=DENIED),
        ask("DELETE", PATH, {"status": 403, **DENIED}, proof=proof("renew", 6)),
        renew(403, proof("renew", 6), query="incarnation=9", expect=DENIED),
        ask("PUT", f"{PATH}/health", {"status": 403}, body='{"health":"unhealthy"}', proof=proof("health", 6, body=HEALTH)),
        # One that was refused for another reason is used up all the same.
        {**put(200, token=TOKEN), "args": {"method": "PUT", "path": PATH, "body": {"ttl": 60, "incarnation": 5}, "headers": {"x-callboard-token": TOKEN}}},
        renew(409, proof("renew", 6, query="incarnation=4"), query="incarnation=4", expect={"body": {"code": "stale-incarnation"}}),
        renew(403, proof("renew", 6), expect=DENIED),
        ask("DELETE", PATH, {"status": 200}, proof=proof("deregister", 7)),
        # Another life of the same name, under the same token.
        put(201, token=TOKEN, expect={"body": {"handle": SECOND}}),
        renew(403, proof("renew", 99), expect=DENIED),
        ask("DELETE", PATH, {"status": 403, **DENIED}, proof=proof("deregister", 7)),
        renew(200, proof("renew", 1, handle=SECOND)),
    ],
    "a restart ends every proof, and no token": [
        put(201, token=TOKEN),
        {"do": "snapshot"},
        {"do": "restore", "expect": {"epoch": 2}},
        put(403, expect=TOLD),
        renew(403, proof("renew", 1), expect=DENIED),
        renew(200, proof("renew", 1, epoch=2)),
        {"do": "store", "expect": {"whole": True}},
        {"do": "load", "expect": {"epoch": 3}},
        put(403, expect=TOLD),
        renew(403, proof("renew", 2, epoch=2), expect=DENIED),
        put(200, token=TOKEN, expect={"body": {"epoch": 3, "handle": FIRST}}),
        renew(200, proof("renew", 1, epoch=3)),
    ],
    "what is no token and no proof": [
        *(put(400, token=bad, expect={"body": {"code": "invalid-argument", "field": "x-callboard-token"}}) for bad in ("0" * 15, "0" * 257, "0123456789 abcdef")),
        put(201, token=TOKEN),
        *(
            renew(400, bad, expect={"body": {"code": "invalid-argument", "field": "x-callboard-proof"}})
            for bad in ("1", "1.", ".", f".{'0' * 64}", f"-1.{'0' * 64}", f"+1.{'0' * 64}", f"1.{'0' * 63}", f"1.{'0' * 63}g", f"{1 << 53}.{'0' * 64}")
        ),
        renew(403, f"1.{'0' * 64}", expect=DENIED),
        renew(200, proof("renew", (1 << 53) - 1)),
    ],
}


def with_secret(step):
    return {**step, "args": {**step["args"], "server": {"secret": SECRET}}}


GIVEN = [
    put(201, expect={"body": {"token": issued(1, FIRST), "handle": FIRST}}),
    put(403, expect=TOLD),
    put(200, token=issued(1, FIRST), expect={"body": {"token": None}}),
    renew(200, proof("renew", 1, token=issued(1, FIRST))),
    ask("DELETE", PATH, {"status": 200}, proof=proof("deregister", 2, token=issued(1, FIRST))),
    put(201, token=OTHER, expect={"body": {"token": None, "handle": SECOND}}),
    renew(200, proof("renew", 1, token=OTHER, handle=SECOND)),
]
ANN = {"policy": [{"name": "ann", "grants": [{"may": "register"}]}, {"name": "olga", "grants": [{"may": "operate"}]}]}


def by(step, who):
    return {**step, "args": {**step["args"], "principal": who, "server": ANN}}


POLICY = [
    by(put(201, token=TOKEN), "ann"),
    by(renew(403, expect=TOLD), "ann"),
    by(renew(200, proof("renew", 1)), "ann"),
    by(ask("PUT", f"{PATH}/admin", {"status": 403}, body={"state": "disabled"}), "ann"),
    by(renew(200), "olga"),
    # She gives the instance another token, and its own one back: what was sent with a token is taken no second time.
    by(put(200, token=OTHER), "olga"),
    by(put(403, token=TOKEN, expect=TOLD), "ann"),
    by(put(200, token=OTHER), "ann"),
    by(renew(200, proof("renew", 2, token=OTHER)), "ann"),
    by(put(200, token=TOKEN), "olga"),
    by(renew(403, proof("renew", 1), expect=DENIED), "ann"),
    by(renew(200, proof("renew", 3)), "ann"),
    by(ask("DELETE", PATH, {"status": 200}), "olga"),
]


def main():
    cases = [{"name": name, "config": {"epoch": 1}, "steps": steps} for name, steps in CASES.items()]
    cases.append({"name": "a server with a secret gives tokens", "config": {"epoch": 1}, "steps": [with_secret(step) for step in GIVEN]})
    cases.append({"name": "with a policy an operator needs none", "config": {"epoch": 1}, "steps": POLICY})
    short = ask("GET", "/v1/health", {"error": {"code": "invalid-argument", "field": "secret"}})
    short["args"]["server"] = {"secret": "x" * 31}
    cases.append({"name": "a short secret is none", "config": {"epoch": 1}, "steps": [short]})
    for case in cases:
        case["steps"][0] = {"at": 0, **case["steps"][0]}
    about = {"name": "tokens", "about": "Tokens of instances, and proofs of them that are good once", "source": "tests/oracles/tokens.py: HMAC-SHA-256 (RFC 2104) and SHA-256 of Python's standard library over the text that core/src/serve/token.rs documents"}
    lines = [f'   {{"name": {json.dumps(case["name"])}, "config": {json.dumps(case["config"])}, "steps": [\n     ' + ",\n     ".join(map(json.dumps, case["steps"])) + "]}" for case in cases]
    head = json.dumps(about)[:-1]
    path = pathlib.Path(__file__).parents[1] / "vectors/tokens.json"
    path.write_text(f'{head},\n "cases": [\n' + ",\n".join(lines) + "]}\n")


main()
