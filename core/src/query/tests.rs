//! The language as a whole: what it accepts, what it means, that it prints back.

use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use super::*;
use crate::error::Code;
use crate::limits;
use crate::model::{Availability, Health, Locality, Registration};
use crate::rng::Rng;
use crate::value::Value;

fn instance() -> Registration {
    let mut instance = Registration::new("billing", "b1")
        .version("1.4.2")
        .and_then(|r| r.tags(["canary", "traefik.enable=true"]))
        .and_then(|r| r.weight(2.5))
        .and_then(|r| {
            r.metadata([("env", "prod"), ("tier", "web"), ("cores", "8"), ("build", "9007199254740993"), ("empty", ""), ("version", "v1")])
        })
        .unwrap()
        .zone("eu-1a");
    instance.locality.region = "eu-1".into();
    instance
}

fn matches(selector: &str) -> bool {
    let query = Query::service("billing").health(HealthFilter::Any).selector(selector);
    query.and_then(|query| query.compile()).unwrap_or_else(|error| panic!("{selector}: {error}")).matches(&instance())
}

#[test]
fn selectors_mean_what_they_say() {
    for (selector, expected) in [
        ("", true),
        (" \t\r\n", true),
        ("env=prod", true),
        ("env == prod", true),
        ("env!=prod", false),
        ("env in (dev, prod)", true),
        ("env not in (dev, prod)", false),
        ("env=prod,tier=api", false),
        ("env=dev or tier=web", true),
        // `and` binds tighter than `or`, a comma weaker than both.
        ("env=prod or tier=api and tier=db", true),
        ("env=prod or tier=api, tier=db", false),
        ("(env=prod or tier=api) and tier=db", false),
        ("not env=dev and tier=web", true),
        ("not (env=dev or tier=web)", false),
        ("!(env=dev, tier=web)", true),
        ("not not env", true),
        ("cores >= 8", true),
        ("cores > 8.0", false),
        ("cores < 10", true),
        ("cores > -1", true),
        ("build > 9007199254740992", true),
        ("env > 1", false),
        ("not env > 1", true),
        ("absent < 1", false),
        ("weight = 2.50", true),
        ("weight in (1, 2.5)", true),
        ("weight != 2.5", false),
        ("weight > 2.4999", true),
        ("weight <= 2.5", true),
        ("weight", true),
        ("zone matches eu-*", true),
        ("zone not matches eu-??", false),
        ("zone = eu-1a, region = eu-1", true),
        ("subzone", false),
        ("node != n1", true),
        ("node matches *", false),
        ("tags contains canary", true),
        ("tags contains \"traefik.enable=true\"", true),
        ("tags not contains canary", false),
        ("tags in (x, canary)", true),
        ("tags notin (x, y)", true),
        ("version ^1.4", true),
        ("version \">=1.2, <1.4\"", false),
        ("version = 1.4", true),
        ("version != 1.4", false),
        ("version in (1.3, 1.4.2)", true),
        ("version notin (1.3, 1.4.2)", false),
        ("version > 1.4", false),
        ("version >= 1.4", true),
        ("version", true),
        ("meta.version = v1", true),
        ("health = healthy", true),
        ("health in (degraded, unhealthy)", false),
        ("id = b1, service = billing", true),
        ("id matches b?", true),
        ("meta.env = 'prod'", true),
        ("meta.meta.env", false),
    ] {
        assert_eq!(matches(selector), expected, "{selector}");
    }
}

/// What the Kubernetes documentation and API reference say of label selectors.
#[test]
fn kubernetes_semantics() {
    for (selector, expected) in [
        ("absent", false),
        ("!absent", true),
        ("! env", false),
        ("absent=prod", false),
        ("absent!=prod", true),
        ("absent in (prod)", false),
        ("absent notin (prod)", true),
        ("env notin (dev,qa)", true),
        ("empty", true),
        ("empty=", true),
        ("empty=,env", true),
        ("empty in ()", true),
        ("empty in (a,)", true),
        ("env notin (,a)", true),
        ("absent=", false),
        ("cores>7,cores<9", true),
        ("env in (in,notin,prod)", true),
        ("in,notin", false),
        ("!in", true),
        ("!example.com/role", true),
    ] {
        assert_eq!(matches(selector), expected, "{selector}");
    }
    for selector in [
        "x=a||y=b",
        "x==a==b",
        "!x=a",
        "x<a",
        "x,,y",
        ",x,y",
        "x,",
        "x nott in (y)",
        "a in (xyz abc)",
        "a notin(",
        "a (",
        "(",
        "x in a",
        "x in (",
    ] {
        let error = Selector::parse(selector).unwrap_err();
        assert_eq!((error.code(), error.field()), (Code::InvalidSelector, "selector"), "{selector}");
    }
}

#[test]
fn errors_tell_the_column() {
    for (selector, column) in [
        ("=x", 1),
        ("env=prod tier=web", 10),
        ("env=prod and", 13),
        ("env=prod or or tier", 13),
        ("env =\u{e9}", 6),
        ("env = '\u{e9}' x", 11),
        ("env = 'open", 7),
        ("env = 'a\\n'", 9),
        ("env = 'a\u{7}'", 9),
        ("a)", 2),
        ("(a", 3),
        ("a not b", 3),
        ("a matches", 10),
        ("tags", 5),
        ("tags = a", 6),
        ("env contains a", 5),
        ("version = v1", 9),
        ("version matches 1.*", 9),
        ("version > '=1'", 9),
        ("version '>=1,,'", 9),
        ("version in (1, latest)", 9),
        ("weight = heavy", 8),
        ("weight matches 1*", 8),
        ("health = ill", 8),
        ("cores > many", 7),
        ("and = 1", 1),
        ("a*b", 1),
        ("'env' = prod", 1),
        ("env === prod", 7),
    ] {
        let error = Selector::parse(selector).unwrap_err();
        assert_eq!((error.code(), error.field()), (Code::InvalidSelector, "selector"), "{selector}");
        assert!(error.text().starts_with(&format!("column {column}: ")), "{selector}: {error}");
    }
}

#[test]
fn one_spelling() {
    for (selector, text) in [
        (" env == prod ,tier in( b , a,b ) , ! canary", "env=prod,tier in (a,b),!canary"),
        ("a in (x)", "a=x"),
        ("a notin (x)", "a!=x"),
        ("a and b", "a,b"),
        ("a and (b and (c, d))", "a,b,c,d"),
        ("(a or b), c", "a or b,c"),
        ("(a or b) and c or d", "(a or b) and c or d"),
        ("a or (b and c)", "a or b and c"),
        ("a or (b, c or d)", "a or b and (c or d)"),
        ("not (a)", "!a"),
        ("not not not a", "!a"),
        ("not a != b", "a=b"),
        ("!(a, b)", "not (a,b)"),
        ("a = ''", "a=\"\""),
        ("a in ()", "a=\"\""),
        ("a in (b,)", "a in (,b)"),
        ("a = 'x y\"\\\\'", "a=\"x y\\\"\\\\\""),
        ("a = and", "a=and"),
        ("meta.a=1,meta.zone=1,meta.and,meta.meta.x", "a=1,meta.zone=1,meta.and,meta.meta.x"),
        ("a >= 007.50", "a>=7.5"),
        ("weight in (1.0, 1)", "weight=1"),
        ("tags in (a)", "tags contains a"),
        ("tags not contains a", "tags notin (a)"),
        ("zone not matches a*", "zone not matches a*"),
        ("not zone matches 'a b'", "zone not matches \"a b\""),
        ("version '1.4'", "version ^1.4"),
        ("version 1.*", "version 1.*"),
        ("version '>=1.2,<2'", "version \">=1.2, <2\""),
        ("version '>=1.2'", "version>=1.2"),
        ("version notin (1.4)", "version!=1.4"),
        ("version in (2,1.4)", "version in (2,1.4)"),
        ("not version ^1", "not version ^1"),
    ] {
        let parsed = Selector::parse(selector).unwrap();
        assert_eq!(parsed.text(), text);
        assert_eq!(Selector::parse(text), Ok(parsed), "{text}");
    }
}

/// A selector with random words, operators, spaces and redundant parentheses.
fn random_selector(rng: &mut Rng, depth: u32) -> String {
    let value = |rng: &mut Rng| ["a", "b", "and", "not", "''", "'x y'", "\"q\\\"\\\\\"", "1.5", "-3", "eu-*"][rng.below(10) as usize];
    let list = |rng: &mut Rng| (0..=rng.below(3)).map(|_| value(rng)).collect::<Vec<_>>().join(", ");
    let versions = ["1", "1.4", "1.4.2", "0.3.1-rc.1"];
    let version = |rng: &mut Rng| versions[rng.below(4) as usize];
    if depth == 0 || rng.below(3) == 0 {
        let key = ["env", "tier", "meta.zone", "zone", "id", "meta.and", "absent"][rng.below(7) as usize];
        return match rng.below(14) {
            0 => key.into(),
            1 => format!("!{key}"),
            2 => format!("{key}={}", value(rng)),
            3 => format!("{key} != {}", value(rng)),
            4 => format!("{key} in ({})", list(rng)),
            5 => format!("{key} notin ({})", list(rng)),
            6 => format!("{key} {} {}", ["<", "<=", ">", ">="][rng.below(4) as usize], rng.below(9)),
            7 => format!("{key} {}matches {}", ["", "not "][rng.below(2) as usize], value(rng)),
            8 => format!("version {} {}", ["=", "!=", "<", "<=", ">", ">="][rng.below(6) as usize], version(rng)),
            9 => format!("version {}", ["^1.4", "~1", "*", "1.*", "'>=1, <2'", "1.4"][rng.below(6) as usize]),
            10 => format!("version {} ({}, {})", ["in", "notin", "not in"][rng.below(3) as usize], version(rng), version(rng)),
            11 => format!("tags {} ({})", ["in", "notin"][rng.below(2) as usize], list(rng)),
            12 => format!("tags {}contains {}", ["", "not "][rng.below(2) as usize], value(rng)),
            _ => format!("weight {} {}", ["=", "!=", "<", ">"][rng.below(4) as usize], ["1", "2.50", "-1"][rng.below(3) as usize]),
        };
    }
    let part = |rng: &mut Rng| random_selector(rng, depth - 1);
    match rng.below(8) {
        0 => format!("not {}", part(rng)),
        1 => format!("!({})", part(rng)),
        2 => format!("({})", part(rng)),
        joined => {
            let joint = [" and ", " or ", " , "][joined as usize % 3];
            (0..2 + rng.below(2)).map(|_| part(rng)).collect::<Vec<_>>().join(joint)
        }
    }
}

#[test]
fn what_is_printed_reads_back() {
    let mut rng = Rng::new(1);
    let compile = |selector: &Selector| Query { selector: selector.clone(), ..Query::everything() }.compile().unwrap();
    for round in 0..3_000 {
        let text = random_selector(&mut rng, 1 + round % 5);
        let Ok(parsed) = Selector::parse(&text) else {
            assert!(text.len() > 500, "{text}: {:?}", Selector::parse(&text));
            continue;
        };
        let again = Selector::parse(parsed.text()).unwrap_or_else(|error| panic!("{text} printed {parsed}: {error}"));
        assert_eq!((again.text(), &again), (parsed.text(), &parsed), "{text}");
        // The printed text means the same, and its negation the opposite.
        let verdict = compile(&parsed).matches(&instance());
        assert_eq!(compile(&again).matches(&instance()), verdict, "{text}");
        if !parsed.is_empty() && parsed.text().len() < 2_000 {
            let negation = Selector::parse(&format!("not ({text})")).unwrap();
            assert_eq!(compile(&negation).matches(&instance()), !verdict, "{text}");
        }
    }
}

/// A selector built bottom up from requirements whose truth is known, and so is the whole's.
fn known_selector(rng: &mut Rng, depth: u32) -> (String, bool) {
    let leaves =
        [("env=prod", true), ("env!=prod", false), ("!absent", true), ("cores<8", false), ("version ^1", true), ("zone in (x)", false)];
    if depth == 0 {
        let (text, truth) = leaves[rng.below(6) as usize];
        return (text.into(), truth);
    }
    let parts: Vec<_> = (0..2 + rng.below(2)).map(|_| known_selector(rng, depth - 1)).collect();
    let join = |joint: &str| parts.iter().map(|(text, _)| format!("({text})")).collect::<Vec<_>>().join(joint);
    match rng.below(4) {
        0 => (join(" and "), parts.iter().all(|(_, truth)| *truth)),
        1 => (join(","), parts.iter().all(|(_, truth)| *truth)),
        2 => (join(" or "), parts.iter().any(|(_, truth)| *truth)),
        _ => (format!("not ({})", parts[0].0), !parts[0].1),
    }
}

#[test]
fn verdicts_agree_with_the_definition() {
    let mut rng = Rng::new(3);
    for round in 0..4_000 {
        let (text, truth) = known_selector(&mut rng, round % 5);
        assert_eq!(matches(&text), truth, "{text}");
        assert_eq!(matches(Selector::parse(&text).unwrap().text()), truth, "{text}");
    }
}

#[test]
fn limits_at_the_border() {
    let refusal = |text: String, field: &str, limit: usize| {
        let error = Selector::parse(&text).unwrap_err();
        assert_eq!((error.code(), error.field(), error.limit_value()), (Code::LimitExceeded, field, Some(limit as u64)));
    };
    // `a=` and a value.
    let long = |bytes: usize| format!("a={}", "x".repeat(bytes - 2));
    assert!(Selector::parse(&long(limits::SELECTOR_BYTES - 1)).is_ok());
    assert!(Selector::parse(&long(limits::SELECTOR_BYTES)).is_ok());
    refusal(long(limits::SELECTOR_BYTES + 1), "selector", limits::SELECTOR_BYTES);
    refusal(format!("{},version 1", long(limits::SELECTOR_BYTES - 10)), "selector", limits::SELECTOR_BYTES);

    // n requirements and one `and`.
    let wide = |nodes: usize| vec!["a"; nodes - 1].join(",");
    assert!(Selector::parse(&wide(limits::SELECTOR_NODES - 1)).is_ok());
    assert!(Selector::parse(&wide(limits::SELECTOR_NODES)).is_ok());
    refusal(wide(limits::SELECTOR_NODES + 1), "selector nodes", limits::SELECTOR_NODES);

    for (open, close) in [("(", ")"), ("not ", ""), ("(a or b and c, ", ")")] {
        let deep = |depth: usize| format!("{}a{}", open.repeat(depth), close.repeat(depth));
        assert!(Selector::parse(&deep(limits::SELECTOR_DEPTH - 1)).is_ok());
        assert!(Selector::parse(&deep(limits::SELECTOR_DEPTH)).is_ok());
        refusal(deep(limits::SELECTOR_DEPTH + 1), "selector depth", limits::SELECTOR_DEPTH);
    }

    let key = |bytes: usize| "k".repeat(bytes);
    assert!(Selector::parse(&key(limits::METADATA_KEY_BYTES)).is_ok());
    refusal(key(limits::METADATA_KEY_BYTES + 1), "selector key", limits::METADATA_KEY_BYTES);
    refusal(format!("a matches {}", key(513)), "selector pattern", limits::METADATA_VALUE_BYTES);
    refusal(format!("version ^1.0.0-{}", key(200)), "selector.version", limits::VERSION_BYTES);
}

#[test]
fn bombs_are_refused_and_soups_do_not_panic() {
    for bomb in ["(", "not ", "!(", "a and(", "a or ", "a,", "'", "=", "a in (", "\\"] {
        let text: String = bomb.repeat(5_000).chars().take(limits::SELECTOR_BYTES).collect();
        assert!(Selector::parse(&text).is_err(), "{bomb}");
    }
    // The deepest tree that parses is compiled, asked and printed.
    let deep = format!("{}a{}", "not (a or b and c, ".repeat(16), ")".repeat(16));
    assert!(matches(&deep) || !matches(&deep));
    let words = [
        "a", "version", "tags", "weight", "and", "or", "not", "in", "notin", "contains", "matches", "(", ")", ",", "=", "!=", "!", "<",
        ">=", "'x'", "\"", "1", "^1.4", "*", "\u{e9}", "\0", " ",
    ];
    let mut rng = Rng::new(2);
    for _ in 0..20_000 {
        let soup: Vec<_> = (0..rng.below(12)).map(|_| words[rng.below(words.len() as u32) as usize]).collect();
        let soup = soup.join(["", " "][rng.below(2) as usize]);
        if let Ok(selector) = Selector::parse(&soup) {
            assert_eq!(Selector::parse(selector.text()), Ok(selector), "{soup}");
        }
    }
}

/// One part of a record, as a registry asks it of an interned set.
struct OnlyEnv(&'static str);

impl Subject for OnlyEnv {
    fn metadata(&self, key: &str) -> Option<&str> {
        (key == "env").then_some(self.0)
    }
}

#[test]
fn conjuncts_tell_what_they_read() {
    let query = Query::service("billing").version("^1").unwrap().zone("z").tags(["t"]).unwrap();
    let query = query.selector("env=prod, tier in (b,a) and not (tags contains x or weight > 2), env or id=i, version=1.4.2").unwrap();
    let compiled = query.compile().unwrap();
    let one_of = |conjunct: &Conjunct| conjunct.as_one_of().map(|(attribute, values)| format!("{attribute}: {}", values.join(" ")));
    let table: Vec<_> = compiled.conjuncts().iter().map(|conjunct| (conjunct.reads(), one_of(conjunct))).collect();
    let some = |text: &str| Some(text.to_string());
    assert_eq!(
        table,
        [
            (Reads::AVAILABILITY, None),
            (Reads::VERSION, None),
            (Reads::LOCALITY, some("zone: z")),
            (Reads::TAGS, some("tags: t")),
            (Reads::METADATA, some("env: prod")),
            (Reads::METADATA, some("tier: a b")),
            (Reads::TAGS, None),
            (Reads::WEIGHT, None),
            (Reads::METADATA | Reads::KEY, None),
            (Reads::VERSION, None),
        ]
    );
    let env = &compiled.conjuncts()[4];
    assert_eq!(env.as_equality(), Some((&Attribute::Metadata("env".into()), "prod")));
    assert!(compiled.conjuncts()[5].as_equality().is_none());
    assert!(env.matches(&OnlyEnv("prod")) && !env.matches(&OnlyEnv("dev")));
    let dynamic: &dyn Subject = &OnlyEnv("prod");
    assert!(env.matches(dynamic));
    assert_eq!(format!("{:?}", Reads::METADATA | Reads::KEY), r#"{"metadata", "key"}"#);
    assert!((Reads::METADATA | Reads::KEY).contains(Reads::KEY) && !Reads::KEY.contains(Reads::METADATA));
}

#[test]
fn scope_and_health() {
    let b1 = instance();
    let compiled = |query: Query| query.compile().unwrap();
    assert!(compiled(Query::service("billing")).matches(&b1));
    assert!(compiled(Query::everything()).matches(&b1));
    assert!(!compiled(Query::service("other")).matches(&b1));
    assert!(!compiled(Query::service("billing").namespace("shop")).matches(&b1));
    assert!(compiled(Query::service("billing").zone("eu-1a")).matches(&b1));
    assert!(!compiled(Query::service("billing").zone("eu-1b")).matches(&b1));
    assert!(!compiled(Query::service("billing").tags(["canary", "x"]).unwrap()).matches(&b1));
    for (health, serving, available) in [(Health::Healthy, true, true), (Health::Degraded, true, false), (Health::Starting, false, false)] {
        let instance = instance().health(health);
        assert!(compiled(Query::service("billing").health(HealthFilter::Any)).matches(&instance));
        assert_eq!(compiled(Query::service("billing")).matches(&instance), serving);
        assert_eq!(compiled(Query::service("billing").health(HealthFilter::Available)).matches(&instance), available);
    }
    assert!(HealthFilter::Serving.admits(Availability::Draining) && !HealthFilter::Available.admits(Availability::Draining));
}

#[test]
fn query_documents_round_trip_and_name_what_is_wrong() {
    let query = Query::service("billing").namespace("shop").health(HealthFilter::Available).zone("z").limit(3);
    let full = query.version(">=1, <2").and_then(|q| q.selector("a or b")).and_then(|q| q.tags(["t"])).unwrap();
    for query in [full, Query::service("a"), Query::everything()] {
        assert_eq!(Query::from_value(&query.to_value()), Ok(query));
    }
    for (key, value, code, field) in [
        ("selektor", Value::from("a"), Code::UnknownField, "selektor"),
        ("selector", Value::from("("), Code::InvalidSelector, "selector"),
        ("selector", Value::Int(1), Code::InvalidArgument, "selector"),
        ("version", Value::from("v1"), Code::InvalidVersion, "version"),
        ("service", Value::from("__proto__"), Code::InvalidName, "service"),
        ("service", Value::from(""), Code::MissingField, "service"),
        ("namespace", Value::from("a b"), Code::InvalidName, "namespace"),
        ("health", Value::from("ill"), Code::InvalidArgument, "health"),
        ("locality", Value::map([("zoen", Value::from("z"))]), Code::UnknownField, "locality.zoen"),
        ("locality", Value::map([("zone", Value::from("a b"))]), Code::InvalidName, "locality.zone"),
        ("tags", Value::from("t"), Code::InvalidArgument, "tags"),
        ("limit", Value::Int(0), Code::InvalidArgument, "limit"),
        ("limit", Value::Int(-1), Code::InvalidArgument, "limit"),
        ("limit", Value::Float(f64::NAN), Code::InvalidArgument, "limit"),
        ("limit", Value::Int(1 << 32), Code::LimitExceeded, "limit"),
    ] {
        let error = Query::from_value(&Value::map([(key, value)])).unwrap_err();
        assert_eq!((error.code(), error.field()), (code, field), "{error}");
    }
    assert_eq!(Query::service("").compile().unwrap_err().field(), "service");
    assert_eq!(Query::service("a").zone("a b").compile().unwrap_err().field(), "locality.zone");
    assert_eq!(Query::service("a").limit(0).compile().unwrap_err().field(), "limit");
}

#[test]
fn a_query_that_is_built_is_one_that_is_read() {
    let text = |key: &'static str, text: &str| (key, Value::from(text));
    let parts = [text("region", "r"), text("zone", "z"), text("subzone", "s"), text("node", "n")];
    let backup = Value::map([text("service", "backup"), ("tags", Value::List(vec!["t".into()]))]);
    let document = Value::map([
        text("namespace", "shop"),
        text("service", "a"),
        text("health", "any"),
        text("version", "^1"),
        text("selector", "env=prod"),
        ("locality", Value::map(parts)),
        ("tags", Value::List(vec!["t".into(), "u".into()])),
        ("limit", Value::Int(2)),
        ("fallbacks", Value::List(vec![backup])),
    ]);
    let [region, zone, subzone, node] = ["r", "z", "s", "n"].map(String::from);
    let backup = Query::service("backup").namespace("shop").tags(["t"]).unwrap();
    let built = Query::service("a").namespace("shop").health(HealthFilter::Any).locality(Locality { region, zone, subzone, node });
    let built = built.version("^1").and_then(|q| q.selector("env=prod")).and_then(|q| q.tags(["t", "u"])).unwrap();
    let built = built.limit(2).fallback(backup);
    assert_eq!(Query::from_value(&document), Ok(built.clone()));
    assert_eq!(Query::from_value(&built.to_value()), Ok(built));
}

#[test]
fn fallbacks_are_a_ladder_in_one_namespace() {
    let backup =
        |n: usize| (0..n).fold(Query::service("a").namespace("shop"), |query, _| query.fallback(Query::service("b").namespace("shop")));
    for (count, good) in [(limits::FALLBACKS - 1, true), (limits::FALLBACKS, true), (limits::FALLBACKS + 1, false)] {
        assert_eq!(backup(count).validate().is_ok(), good);
        assert_eq!(Query::from_value(&backup(count).to_value()).is_ok(), good);
    }
    let query = backup(2);
    assert_eq!(Query::from_value(&query.to_value()), Ok(query.clone()));
    assert_eq!(query.compile().unwrap().rungs().map(|rung| rung.service().unwrap()).collect::<Vec<_>>(), ["a", "b", "b"]);

    let inherits = Value::map([
        ("namespace", "shop".into()),
        ("service", "a".into()),
        ("fallbacks", Value::List([Value::map([("service", "b".into())])].into())),
    ]);
    assert_eq!(Query::from_value(&inherits).unwrap().fallbacks[0].namespace, "shop");
    let foreign = Query::service("a").fallback(Query::service("b").namespace("shop"));
    assert_eq!(foreign.validate().unwrap_err().field(), "fallbacks[0].namespace");
    let nested = Query::service("a").fallback(Query::service("b").fallback(Query::service("c")));
    assert_eq!(nested.validate().unwrap_err().field(), "fallbacks[0].fallbacks");
    assert_eq!(Query::from_value(&nested.to_value()).unwrap_err().field(), "fallbacks[0].fallbacks");
}
