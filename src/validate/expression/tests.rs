use std::time::{Duration, Instant};

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::arbitrary;

fn compiled(text: &str) -> Expression {
    Expression::compile(text, &["config", "value"]).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"))
}

fn json_of(text: &str, config: &Value) -> Result<Value, Failure> {
    let mut variables = Variables::new();
    variables.set("config", config);
    compiled(text).json(&variables, &mut STEPS_MAX.clone())
}

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = Expression::compile(text, &["config"]).expect_err(text);
    mistakes.iter().map(Mistake::to_string).collect()
}

#[test]
fn expressions_mean_what_cel_says() {
    let config = json!({
        "replicas": 3, "ratio": 0.5, "name": "checkout", "big": u64::MAX, "on": true, "nothing": null,
        "ports": [80, 443, 80], "db": {"url": "postgres://db", "pool": {"min": 1, "max": 5}},
        "hosts": [{"name": "a", "port": 1}, {"name": "b", "port": 2}], "wait": "1h30m"
    });
    let check = |text: &str, expected: Value| assert_eq!(json_of(text, &config), Ok(expected), "{text}");
    check("config.replicas + 1", json!(4));
    check(
        "config.replicas * 2 - 1 == 5 && config.replicas / 2 == 1 && config.replicas % 2 == 1",
        json!(true),
    );
    check("-config.replicas", json!(-3));
    check("config.big", json!(u64::MAX));
    check("config.ratio + 0.25", json!(0.75));
    check("config.map(key, key).filter(key, key < 'n')", json!(["big", "db", "hosts"]));
    check("config.ratio < config.replicas", json!(true));
    check("config.db.pool.min <= config.db.pool.max", json!(true));
    check("has(config.db.pool) && !has(config.db.pooling)", json!(true));
    check("config.on ? 'yes' : 'no'", json!("yes"));
    check("config.nothing == null", json!(true));
    check("80 in config.ports && !(81 in config.ports) && 'db' in config", json!(true));
    check("config.hosts.all(h, h.port > 0 && h.name != '')", json!(true));
    check("config.hosts.exists(h, h.name == 'b')", json!(true));
    check("config.hosts.exists_one(h, h.port == 2)", json!(true));
    check("config.hosts.map(h, h.port * 10)", json!([10, 20]));
    check("config.hosts.filter(h, h.port > 1).map(h, h.name)", json!(["b"]));
    check("config.hosts.map(h, h.port > 1, h.name)", json!(["b"]));
    check("config.db.pool.all(k, config.db.pool[k] > 0)", json!(true));
    check("size(config.ports.distinct()) == config.ports.size() - 1", json!(true));
    check(
        "config.name.startsWith('check') && config.name.endsWith('out') && config.name.contains('cko')",
        json!(true),
    );
    check(
        "config.name.matches('^[a-z]+$') && matches(config.name, 'ck') && !config.name.matches('^x')",
        json!(true),
    );
    check("config.name.matches('^' + config.name + '$')", json!(true));
    check("duration(config.wait) > duration('1h')", json!(true));
    check("timestamp('2026-11-05T10:00:00Z').getFullYear() == 2026", json!(true));
    check("config.?absent.?deep.orValue(7)", json!(7));
    check("config.ports[?9].hasValue() || config[?'name'].orValue('') == 'checkout'", json!(true));
    check("config.ports[?1.5].hasValue() || 1[?1.5].?c.hasValue()", json!(false));
    check("optional.of(config.db).value().pool.min", json!(1));
    check("'a,b,,c'.split(',')", json!(["a", "b", "", "c"]));
    check("'äb'.split('')", json!(["ä", "b"]));
    check("['a', config.name].join('-') + [config.name].join()", json!("a-checkoutcheckout"));
    check("'a-b-c'.replace('-', '+').upperAscii().trim().substring(1, 4)", json!("+B+"));
    check("[3, 1, 2].sort() == [1, 2, 3] && [[1], [2]].flatten() == [2, 1].reverse()", json!(true));
    check("math.greatest(config.replicas, 10) + math.least([3, 4]) + math.abs(-1)", json!(14));
    check("{'a': config.ports, 'b': [config.db]}.b[0].pool.max", json!(5));
    check("config.ports == [80, 443, 80] && {'min': 1, 'max': 5} == config.db.pool", json!(true));
    check("type(config.name) == string && type(config.db) == map && type(1) == int", json!(true));
    check("config['db']['pool']['max'] == config.db.pool.max", json!(true));
    check("config.ports[1.0]", json!(443));
    check("int('12') + int(config.ratio) + int(uint(1))", json!(13));
    check("config.absent == 1 || true", json!(true));
    check("string(config.replicas) + ' replicas of ' + config.name", json!("3 replicas of checkout"));
}

#[test]
fn numbers_of_different_types_are_calculated_with_together() {
    let check = |text: &str, config: Value, expected: Value| {
        assert_eq!(json_of(text, &config), Ok(expected), "{text} of {config}");
    };
    for (rate, expected) in [(json!(0.5), true), (json!(1), true), (json!(1.0), true), (json!(2), false)] {
        let mut config = json!({ "rate": rate });
        crate::model::canonical::normalize(&mut config);
        check("config.rate * 100.0 <= 100.0", config, json!(expected));
    }
    check("config.a + config.b", json!({"a": 1, "b": 0.5}), json!(1.5));
    check("config.a - config.b", json!({"a": 1, "b": 0.5}), json!(0.5));
    check("config.b / config.a", json!({"a": 2, "b": 0.5}), json!(0.25));
    check("config.a / config.b", json!({"a": 2, "b": 0.5}), json!(4));
    check("config.a / 2", json!({"a": 1}), json!(0));
    check("config.a + config.b", json!({"a": u64::MAX, "b": 0.5}), json!(18_446_744_073_709_551_616.0));
    check("config.a - config.b", json!({"a": u64::MAX, "b": 1}), json!(u64::MAX - 1));
    check(
        "math.ceil(config.a) + math.floor(1.5) == 2 && math.isFinite(config.a)",
        json!({"a": 1}),
        json!(true),
    );
    check(
        "math.greatest(config.a, 1.5) == 2 && config.a in [2.0] && config.a == 2.0",
        json!({"a": 2}),
        json!(true),
    );
    check("'a' + 'b' + string(config.a) == 'ab1' && [1] + [2.5] == [1.0, 2.5]", json!({"a": 1}), json!(true));
    let failed = json_of("config.a * 2.0", &json!({"a": "x"})).expect_err("a text");
    assert_eq!(failed.message, "`*` cannot be applied to string and double");
    let failed =
        json_of("config.a - config.b", &json!({"a": u64::MAX, "b": -1})).expect_err("no type has both");
    assert_eq!(failed.message, "`-` cannot be applied to uint and int");
    assert!(Expression::compile("18446744073709551616 > 1", &[]).is_err(), "an integer beyond 64 bits");
}

#[test]
fn the_common_extensions_are_there() {
    let config = json!({"l": ["a", "b", "a"], "m": {"x": 1, "y": 2}, "name": "checkout"});
    let check = |text: &str, expected: Value| assert_eq!(json_of(text, &config), Ok(expected), "{text}");
    check(
        "sets.contains(config.l, ['a']) && !sets.contains(config.l, ['c']) && sets.contains([1], [])",
        json!(true),
    );
    check("sets.equivalent(config.l, ['b', 'a']) && !sets.equivalent(config.l, ['b'])", json!(true));
    check("sets.intersects(config.l, ['c', 'b']) && !sets.intersects([1.0], [2])", json!(true));
    check("sets.contains([1, 2.5], [1.0])", json!(true));
    check("lists.range(3)", json!([0, 1, 2]));
    check(
        "config.name.indexOf('c') * 100 + config.name.lastIndexOf('c') * 10 + config.name.indexOf('x')",
        json!(29),
    );
    check("strings.quote('a\"b')", json!("\"a\\\"b\""));
    check("math.bitOr(4, 1) + math.bitShiftLeft(1, 3)", json!(13));
    check("cel.bind(first, config.l[0], first + first)", json!("aa"));
    check("cel.bind(config, 1, config) + cel.bind(a, 1, cel.bind(b, a + 1, a + b))", json!(4));
    check("config.m.all(k, v, v > 0 && k != '')", json!(true));
    check("config.l.exists(i, e, i == 1 && e == 'b') && !config.m.exists(k, v, v > 2)", json!(true));
    check("config.l.existsOne(i, e, e == 'b') && !config.l.exists_one(i, e, e == 'a')", json!(true));
    check("config.l.transformList(i, e, e + string(i))", json!(["a0", "b1", "a2"]));
    check("config.m.transformList(k, v, v > 1, {k: v})", json!([{"y": 2}]));
    check("config.l.all(i, e, config.m.all(k, v, e in ['a', 'b'] && i < 3 && v > 0))", json!(true));
    let failed = json_of("lists.range(100000000000).size()", &config).expect_err("too much");
    assert_eq!(failed.message, "it is too expensive for this document");
    let failed = json_of("config.name.all(i, e, true)", &config).expect_err("a text");
    assert_eq!(failed.message, "`all` cannot be applied to string");
    for missing in [
        "'%d'.format([1])",
        "[1].sortBy(x, x)",
        "config.m.transformMap(k, v, v)",
        "config.m.transformMapEntry(k, v, {k: v})",
        "base64.encode(b'a')",
        "foo.bind(a, 1, a)",
        "cel.bind(1, 1, 1)",
    ] {
        assert!(Expression::compile(missing, &["config"]).is_err(), "{missing}");
    }
    assert_eq!(
        mistakes("config.m.all(k, v, w > 1)"),
        ["line 1, column 20: there is no variable `w`, only config"]
    );
}

#[test]
fn a_mistake_has_its_place() {
    let check = |text: &str, expected: &[&str]| assert_eq!(mistakes(text), expected, "{text}");
    check("config.a <\n  ", &["line 2, column 3: Syntax error: mismatched input '<EOF>'"]);
    check("'é' + confg.a", &["line 1, column 7: there is no variable `confg`, only config"]);
    check("config.a == 1 &&\n  lenght(config.b)", &["line 2, column 9: there is no function `lenght`"]);
    check(
        "config.l.all(x, y > 1) && x == 2",
        &[
            "line 1, column 17: there is no variable `y`, only config",
            "line 1, column 27: there is no variable `x`, only config",
        ],
    );
    check("startsWith(config.a, 'b')", &["line 1, column 11: `startsWith` is called as `x.startsWith()`"]);
    check("config.a.duration()", &["line 1, column 18: `duration` is called as `duration(x)`"]);
    check("size(config.a, 1)", &["line 1, column 5: `size` takes 1 arguments here, 2 are given"]);
    check("Thing{a: 1}", &["line 1, column 6: there are no message types"]);
    check(
        "config.a.matches('(')",
        &["line 1, column 18: the pattern is not a regular expression: unclosed group"],
    );
    check(
        "config.a.matches('(?=a)')",
        &[
            "line 1, column 18: the pattern is not a regular expression: look-around, including look-ahead and look-behind, is not supported",
        ],
    );
    check(
        "config.a.matches('(\\\\w{1,100}){1,100}')",
        &["line 1, column 18: the pattern is too large when compiled: repeat less"],
    );
    check("[1].sortBy(x, x)", &["line 1, column 11: there is no function `@sortByAssociatedKeys`"]);
    assert_eq!(mistakes("__(1)"), ["line 1, column 3: there is no function `__`"]);
}

#[test]
fn what_the_parser_cannot_bear_is_refused_before_it() {
    assert_eq!(
        mistakes(&"1".repeat(2049)),
        ["line 1, column 1: the expression has 2049 bytes, at most 2048 are allowed"]
    );
    let nested = format!("{}1{}", "[".repeat(25), "]".repeat(25));
    assert_eq!(mistakes(&nested), ["line 1, column 25: more than 24 brackets are open here"]);
    assert!(compiled(&format!("{}1{}", "(".repeat(24), ")".repeat(24))).depth == 1);
    let message =
        "line 1, column 1: the expression nests 1024 deep, at most 160 are allowed: split it into several";
    assert_eq!(mistakes(&["1"; 1024].join("+")), [message]);
}

/// Whatever is thrown at the parser, on the small stack of a test.
#[test]
fn hostile_sources_are_refused_or_bounded() {
    let many = |part: &str, end: &str| {
        let text = format!("{}{end}", part.repeat((SOURCE_BYTES_MAX - end.len()) / part.len()));
        let _ = Expression::compile(&text, &["config"]);
    };
    for (part, end) in [
        ("!", "true"),
        ("-", "1"),
        ("true?", "1"),
        ("true?1:", "1"),
        ("1+", "1"),
        ("a.", "a"),
        ("a[", "1"),
        ("(", "1"),
        ("{1:", "1"),
        ("'", ""),
        ("\"\"\"", ""),
        ("x in ", "x"),
        ("[1].all(x,", "true)"),
        ("f(", ")"),
        ("?", ""),
        ("\\", ""),
        ("/*", ""),
        ("\u{0}", ""),
        ("1<", "1"),
        ("true||", "true"),
        ("a.b.c(", ")"),
        ("`a`.", "a"),
        ("&&", "1"),
        ("\")))\"+((", ""),
        ("[[1],", "]"),
    ] {
        many(part, end);
    }
}

/// A document of about a megabyte: a large string, and many elements.
fn large() -> Value {
    let items: Vec<_> = (0..5_000).map(|at| json!({"name": format!("item {at}"), "port": at})).collect();
    json!({"items": items, "text": "ab".repeat(300_000), "n": (0..1000).collect::<Vec<_>>()})
}

#[test]
fn hostile_expressions_end_soon_and_in_little_memory() {
    let config = large();
    let too_expensive = [
        "config.n.all(a, config.n.all(b, config.n.all(c, config.n.all(d, true))))",
        "config.n.exists(a, config.n.exists(b, config.n.exists(c, a + b + c < 0)))",
        "config.n.map(a, config.n.map(b, config.n.map(c, [a, b, c]))).size() > 0",
        "config.n.map(a, config).size() > 0",
        "config.n.all(a, [config, config, config].size() > 0)",
        "config.n.map(a, config.text + config.text).size() > 0",
        "config.n.all(a, !config.text.contains('abc'))",
        "config.n.all(a, config.text == config.text + 'x' || true)",
        "config.n.all(a, config.text < 3 || true)",
        "config.n.all(a, config - 1 == 1 || true)",
        "config.n.all(a, {}[config.text] == 1 || true)",
        "config.n.all(a, config.items[1.5 + 0.0] == 1 || true) && config.n.all(a, config.items.size() > config.items)",
        "config.n.all(a, config.?items.hasValue())",
        "config.n.all(a, optional.of(config).hasValue())",
        "config.items.distinct().size() > 0",
        "config.text.matches('[ab]*a[ab]{100}c')",
        "config.n.all(a, !'aaa'.matches('a' + string(a)))",
        "config.text.replace('', config.text.substring(0, 1000)).size() > 0",
        "config.text.split('').join('0123456789').size() > 0",
        "config.n.all(a, a in config.items || true) && config.items.all(i, i in config.items)",
        "config.n.all(x0, config.n.all(x1, true)) || true",
        "[config.text].map(a, [a + a].map(b, [b + b].map(c, [c + c].map(d, [d + d].map(e, [e + e].map(f, [f + f].map(g, [g + g])))))))",
        "[config.n].map(a, [a + a].map(b, [b + b].map(c, [c + c].map(d, [d + d].map(e, [e + e].map(f, [f + f].map(g, [g + g])))))))",
        "[[config, config]].map(a, [[a, a]].map(b, [[b, b]].map(c, [[c, c]].map(d, [[d, d]].map(e, [[e, e]].map(f, [f, f]))))))",
    ];
    let mut slow = Vec::new();
    for text in too_expensive {
        let started = Instant::now();
        assert_eq!(json_of(text, &config), Err(Failure::too_expensive()), "{text}");
        slow.push((started.elapsed(), text));
    }
    let worst = slow.iter().max().expect("there are some");
    // Not a claim about speed: without bounds, most of these would run for hours.
    assert!(worst.0 < Duration::from_secs(60), "{worst:?}");
}

#[test]
fn what_people_write_is_not_too_expensive() {
    let config = large();
    for text in [
        "config.items.all(i, i.port >= 0 && i.port < 65536 && i.name.startsWith('item') && size(i.name) < 100)",
        "config.items.filter(i, i.port > 10).map(i, i.name).size() > 0",
        "config.n.distinct().size() == config.n.size()",
        "config.items.map(i, i.name).exists(n, n.matches('^item [0-9]+$'))",
        "config.text.contains('aa') || config.text.size() > 10",
        "config.n.all(a, a in config.n)",
    ] {
        assert_eq!(json_of(text, &config), Ok(json!(true)), "{text}");
    }
}

#[test]
fn the_same_evaluation_takes_the_same_steps() {
    let config = large();
    let expression = compiled("config.items.all(i, i.port >= 0) && config.n.map(x, x * 2).size() == 1000");
    let mut variables = Variables::new();
    variables.set("config", &config);
    let taken = || {
        let mut steps = STEPS_MAX;
        assert_eq!(expression.is_true(&variables, &mut steps), Ok(true));
        STEPS_MAX - steps
    };
    let first = taken();
    assert!(first > 10_000, "{first}");
    assert_eq!(taken(), first);
    let mut exactly = first;
    assert_eq!(expression.is_true(&variables, &mut exactly), Ok(true));
    assert_eq!(exactly, 0);
    assert_eq!(expression.is_true(&variables, &mut (first - 1)), Err(Failure::too_expensive()));
}

#[test]
fn deep_expressions_run_on_a_small_stack() {
    let text = format!("{} == {}", vec!["config.n"; 50].join(" + "), vec!["config.n"; 50].join(" + "));
    assert!(compiled(&text).depth > 40);
    assert_eq!(json_of(&text, &json!({"n": 1})), Ok(json!(true)));
}

#[test]
fn a_failure_says_what_to_do_and_no_value() {
    let config = json!({"a": {"b": "hunter2"}, "l": [1], "zero": 0, "max": i64::MAX, "key": "hunter2"});
    let check = |text: &str, message: &str, suggestion: &str| {
        let failure = json_of(text, &config).expect_err(text);
        assert_eq!(failure.message, message, "{text}");
        assert!(failure.suggestion.contains(suggestion), "{text}: {}", failure.suggestion);
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    };
    check("config.a.c > 1", "there is no `config.a.c`", "has(config.a.c)");
    check("config.x.y.z > 1", "there is no `config.x`", "has(config.x)");
    check("config[config.key] == 1", "a field or a key that it reads is not there", "has(");
    check("config.a.b + 1", "`+` cannot be applied to string and int", "int(x)");
    check("config.a.b > 1", "`>` cannot be applied to string and int", "type(x)");
    check("config.l[1] == 1", "an index is not in its list", "size(x)");
    check("1 / config.zero", "it divides by zero", "x != 0");
    check("config.max + 1", "a number becomes larger than its type can hold", "double");
    check("int(config.a.b)", "`int` does not take its argument", "");
    check("timestamp(config.a.b)", "`timestamp` does not take its argument", "");
    check("config.l.matches('a')", "`matches` cannot be applied to list", "");
    check("1.0 / 0.0", "it gives a number that is not finite, which JSON does not have", "");
    check("{1: 2}", "it gives a map with a key that is not a string, which JSON does not have", "");
    check("duration('1s')", "its result is of type google.protobuf.Duration, expected is a JSON value", "");
}

#[test]
fn the_fields_that_are_read_are_known() {
    let reads = |text: &str| {
        let expression = compiled(text);
        expression.reads().iter().map(|read| read.path.join(".")).collect::<Vec<_>>()
    };
    assert_eq!(reads("config.a.b <= config.c"), ["a.b", "c"]);
    assert_eq!(
        reads("has(config.a.b) && config['x']['y z'].z == config.l[0].m"),
        ["a.b", "x.y z.z", "l.0.m"]
    );
    assert_eq!(reads("config.l.all(x, x.port > config.min && config.a.b.size() > 1)"), ["l", "min", "a.b"]);
    assert_eq!(reads("config.?a.?b.orValue(1) == config.m[config.k].n"), ["a.b", "m", "k"]);
    assert_eq!(reads("config.l.all(config, config.a) && size(config) > 1"), ["l"]);
    let expression = compiled("1 < 2 &&\n  config.a > 3");
    assert_eq!((expression.reads()[0].line, expression.reads()[0].column), (2, 3));
    assert!(expression.names("config") && !expression.names("value"));
}

/// What can stand in an expression.
fn source() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "1",
        "0",
        "-1",
        "1.5",
        "'a'",
        "''",
        "true",
        "false",
        "null",
        "config",
        "config.a",
        "config.b",
        "config.a.c",
        "b'a'",
        "2u",
        "9223372036854775807",
        "'2026-11-05T10:00:00Z'",
        "'1h'",
        "[]",
        "{}",
        "x",
        "int",
        "1e308",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(5, 40, 4, |inner| {
        let operators = vec!["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"];
        let methods = vec![
            "size()", "distinct()", "sort()", "flatten()", "reverse()", "trim()", "lowerAscii()", "split('')", "join()", "hasValue()",
            "value()", "getHours()", "getFullYear('Europe/Berlin')", "substring(1)", "charAt(0)", "slice(0, 1)", "join('x')",
        ];
        let functions = vec![
            "size", "int", "uint", "double", "string", "bytes", "bool", "type", "duration", "timestamp", "dyn", "math.abs",
            "math.greatest", "math.round", "math.sqrt", "optional.of", "optional.ofNonZeroValue", "-", "!", "has",
        ];
        let two_arguments = vec!["contains", "startsWith", "matches", "orValue", "or", "split", "join"];
        prop_oneof![
            4 => (inner.clone(), prop::sample::select(operators), inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            2 => (inner.clone(), prop::sample::select(methods)).prop_map(|(a, m)| format!("{a}.{m}")),
            2 => (prop::sample::select(functions), inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            1 => (inner.clone(), prop::sample::select(two_arguments), inner.clone()).prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("{a}.replace({b}, {c})")),
            2 => (inner.clone(), prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter"]), inner.clone())
                .prop_map(|(a, m, b)| format!("{a}.{m}(x, {b})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}.optMap(x, {b})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, ?{b}]")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("{a}[?{b}].?c")),
        ]
    })
}

/// The expression with arithmetic that takes numbers of different types, and nothing else changed.
fn with_own_arithmetic(node: &IdedExpr) -> IdedExpr {
    let mut node = node.clone();
    let each = |node: &mut IdedExpr| *node = with_own_arithmetic(node);
    match &mut node.expr {
        Expr::Call(call) => {
            let is_accumulated = matches!(call.args.first().map(|first| &first.expr), Some(Expr::Ident(name)) if name.starts_with('@'));
            if let (Some(own), false) = (numbers::replacing(&call.func_name), is_accumulated) {
                call.func_name = own.to_owned();
            }
            call.args.iter_mut().chain(call.target.as_deref_mut()).for_each(each);
        }
        Expr::Comprehension(all) => {
            [
                &mut all.iter_range,
                &mut all.accu_init,
                &mut all.loop_cond,
                &mut all.loop_step,
                &mut all.result,
            ]
            .into_iter()
            .for_each(each);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(each),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    [&mut entry.key, &mut entry.value].into_iter().for_each(each);
                }
            }
        }
        Expr::Select(select) => each(&mut select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
    node
}

/// What `cel` itself says to an expression, unmetered.
fn plain(text: &str, config: &Value) -> Option<Value> {
    let program = functions::environment().compile(text).expect("it compiled before");
    let mut variables = Variables::new();
    variables.set("config", config);
    let expression = with_own_arithmetic(program.expression());
    let value = cel::Value::resolve_val(&expression, variables.context()).ok()?;
    value::to_json(value.as_ref()).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn numbers_and_all_else_survive_the_conversion(json in arbitrary::value()) {
        let mut variables = Variables::new();
        variables.set("value", &json);
        let back = compiled("value").json(&variables, &mut STEPS_MAX.clone());
        prop_assert_eq!(back.as_ref(), Ok(&json));
    }

    #[test]
    fn any_text_compiles_or_is_refused(text in any::<String>()) {
        let _ = Expression::compile(&text, &["config"]);
    }

    /// Also a claim that the calls which pay for steps change no result.
    #[test]
    fn any_expression_gives_what_cel_gives_and_never_panics(text in source(), config in arbitrary::similar_object()) {
        if let Ok(expression) = Expression::compile(&text, &["config", "x"]) {
            let mut variables = Variables::new();
            variables.set("config", &config);
            let result = expression.json(&variables, &mut STEPS_MAX.clone());
            prop_assert_ne!(&result, &Err(Failure::interpreter()), "{}", text);
            if expression.depth <= DEPTH_ON_CALLERS_STACK {
                let result = result.ok();
                // `cel` takes the keys of a map in any order: ours must be one of those.
                let is_one = (0..1000).any(|_| result == plain(&text, &config));
                prop_assert!(is_one, "{}: {:?}", text, result);
            }
        }
    }
}
