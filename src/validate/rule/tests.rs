use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{Scope, arbitrary};

fn levels() -> Vec<String> {
    ["environment", "service", "user"].map(str::to_owned).to_vec()
}

fn check_at(scope: &str, rules: &Value, config: &Value, old: Option<&Value>) -> Vec<Found> {
    let rules = RuleSet::parse(rules).unwrap_or_else(|found| panic!("{found:?}"));
    let (scope, levels) = (Scope::parse(scope).expect("a scope"), levels());
    let mut found = FoundList::default();
    rules.check(&mut RuleInput::new(config, old, &scope, &levels), &mut found);
    found.into_kept()
}

fn check(rules: &Value, config: &Value) -> Vec<Found> {
    check_at("/", rules, config, None)
}

fn codes(found: &[Found]) -> Vec<&str> {
    found.iter().map(|found| found.code.as_ref()).collect()
}

#[test]
fn a_rule_that_is_not_satisfied_is_a_finding_in_its_own_words() {
    let rules = json!({"rules": {
        "pool-order": {
            "expression": "config.pool.min <= config.pool.max", "message": "the pool is upside down",
            "severity": "warning", "suggestion": "swap min and max"
        },
        "replicas": {
            "expression": "config.replicas > 1",
            "message_expression": "'only ' + string(config.replicas) + ' replica in ' + scope"
        },
        "plain": {"expression": "config.replicas !=\n   1", "severity": "suggestion"},
        "satisfied": {"expression": "config.replicas == 1"}
    }});
    let found = check(&rules, &json!({"pool": {"min": 5, "max": 1}, "replicas": 1}));
    let expected = |severity, code: &'static str, pointer: &str, message: &str, suggestion: &str| Found {
        severity,
        code: code.into(),
        pointer: pointer.into(),
        message: message.into(),
        suggestion: suggestion.into(),
    };
    assert_eq!(
        found,
        [
            expected(
                Severity::Suggestion,
                "plain",
                "/replicas",
                "rule plain expects config.replicas != 1",
                ""
            ),
            expected(
                Severity::Warning,
                "pool-order",
                "/pool/min",
                "the pool is upside down",
                "swap min and max"
            ),
            expected(Severity::Error, "replicas", "/replicas", "only 1 replica in /", ""),
        ]
    );
}

#[test]
fn rules_see_the_scope_its_levels_and_the_document_before() {
    let rules = json!({"rules": {
        "debug": {"expression": "!(levels.environment == 'production' && config.debug)"},
        "path": {"expression": "scope != '/production/checkout'"},
        "no-user": {"expression": "levels.user == '' && levels.service == 'checkout'"},
        "grows": {"expression": "old == null || config.version >= old.version"}
    }});
    let config = json!({"debug": true, "version": 1});
    assert_eq!(codes(&check_at("/production/checkout", &rules, &config, None)), ["debug", "path"]);
    assert_eq!(codes(&check_at("/", &rules, &config, Some(&json!({"version": 2})))), ["grows", "no-user"]);
    assert_eq!(codes(&check_at("/test/checkout", &rules, &config, Some(&config))), Vec::<&str>::new());
}

#[test]
fn a_rule_applies_where_its_pattern_says() {
    let rules = json!({"rules": {
        "all": {"expression": "false"}, "production": {"expression": "false", "scope": "/production/**"},
        "services": {"expression": "false", "scope": "/*/*"}
    }});
    let at = |scope| codes(&check_at(scope, &rules, &json!({}), None)).join(" ");
    assert_eq!(at("/"), "all");
    assert_eq!(at("/production"), "all production");
    assert_eq!(at("/production/checkout"), "all production services");
    assert_eq!(at("/test/checkout/alice"), "all");
}

#[test]
fn a_rule_that_cannot_be_evaluated_is_a_finding_of_its_severity() {
    let rules = json!({"rules": {
        "missing": {"expression": "config.tls.cert != ''", "severity": "warning"},
        "number": {"expression": "config.replicas"},
        "too-much": {"expression": "config.n.all(a, config.n.all(b, config.n.all(c, true)))", "severity": "suggestion"},
        "message": {"expression": "config.replicas > 1", "message_expression": "config.absent"}
    }});
    let found = check(&rules, &json!({"replicas": 1, "n": (0..1000).collect::<Vec<_>>()}));
    let told: Vec<_> = found.iter().map(|f| (f.severity, f.code.as_ref(), f.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (
                Severity::Error,
                "message",
                "rule message expects config.replicas > 1 (its message failed: there is no `config.absent`)"
            ),
            (Severity::Warning, RULE_FAILED, "rule missing cannot be evaluated: there is no `config.tls`"),
            (
                Severity::Error,
                RULE_FAILED,
                "rule number cannot be evaluated: its result is of type int, expected is true or false"
            ),
            (
                Severity::Suggestion,
                RULE_FAILED,
                "rule too-much cannot be evaluated: it is too expensive for this document"
            ),
        ]
    );
    assert_eq!(found[1].suggestion, "guard it: `has(config.tls) && …`");
}

#[test]
fn many_expensive_rules_share_what_a_document_may_cost() {
    let expensive = json!({"expression": "config.n.all(a, config.n.all(b, a + b >= 0))"});
    let rules: serde_json::Map<_, _> = (0..500).map(|at| (format!("r{at}"), expensive.clone())).collect();
    let found = check(&json!({ "rules": rules }), &json!({"n": (0..100).collect::<Vec<_>>()}));
    assert!((400..500).contains(&found.len()), "{}", found.len());
    assert!(found.iter().all(|found| found.code == RULE_FAILED));
}

#[test]
fn every_mistake_in_stored_rules_is_told_with_its_place() {
    let rules = json!({"rules": {
        "a": {"expression": "config.a <", "mesage": "x"},
        "b": {"severity": "fatal", "scope": "/production/**/x"},
        "C": {"expression": "true"},
        "d": {"expression": "configg.a", "message": "m", "message_expression": "'m'"},
        "e": 5,
        "f": {"expression": 1}
    }, "rule": {}});
    let found = RuleSet::parse(&rules).expect_err("mistakes");
    let told: Vec<_> = found.iter().map(|f| (f.code.as_ref(), f.pointer.as_str())).collect();
    assert_eq!(
        told,
        [
            (RULE_MALFORMED, "/rule"),
            (RULE_MALFORMED, "/rules/C"),
            (RULE_MALFORMED, "/rules/a/mesage"),
            (RULE_EXPRESSION_INVALID, "/rules/a/expression"),
            (RULE_MALFORMED, "/rules/b"),
            (RULE_MALFORMED, "/rules/b/severity"),
            (RULE_MALFORMED, "/rules/b/scope"),
            (RULE_EXPRESSION_INVALID, "/rules/d/expression"),
            (RULE_MALFORMED, "/rules/d/message_expression"),
            (RULE_MALFORMED, "/rules/e"),
            (RULE_MALFORMED, "/rules/f/expression"),
        ]
    );
    assert_eq!(
        found[2].suggestion,
        "allowed are expression, message, message_expression, severity, suggestion, scope"
    );
    assert_eq!(found[3].message, "line 1, column 11: Syntax error: mismatched input '<EOF>'");
    let too_many: serde_json::Map<_, _> = (0..501).map(|at| (format!("r{at}"), json!({}))).collect();
    assert_eq!(RuleSet::parse(&json!({ "rules": too_many })).expect_err("too many").len(), 1);
    assert!(RuleSet::parse(&json!({})).expect("no rules").is_empty());
    assert_eq!(RuleSet::parse(&json!([])).expect_err("a list").len(), 1);
}

#[test]
fn fields_that_no_document_can_have_are_told_with_their_position() {
    let rules = json!({"rules": {
        "a": {"expression": "config.pool.min <=\n config.pool.mex", "message_expression": "config.nmae"},
        "b": {"expression": "has(old.gone) || scope == '/'"}
    }});
    let rules = RuleSet::parse(&rules).expect("rules");
    let reads: Vec<_> = rules.reads().map(|reads| (reads.rule, reads.paths.len())).collect();
    assert_eq!(reads, [("a", 3), ("b", 0)]);
    let found = rules.check_fields(&|path| [&["pool", "mex"][..], &["nmae"]].contains(&path));
    let told: Vec<_> = found.iter().map(|f| (f.pointer.as_str(), f.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (
                "/rules/a/expression",
                "line 2, column 2: `config.pool.mex` is read, which the schema does not permit"
            ),
            (
                "/rules/a/message_expression",
                "line 1, column 1: `config.nmae` is read, which the schema does not permit"
            ),
        ]
    );
    assert!(found.iter().all(|found| found.code == RULE_FIELD_UNKNOWN));
}

/// Ten kilobytes, and fifty rules such as people write. Prints; run it with `--ignored --nocapture`, and `--release`.
#[test]
#[ignore = "prints what rules cost, beside the same expressions in cel alone"]
fn the_cost_of_fifty_rules_on_ten_kilobytes() {
    let service = |at: usize| json!({"name": format!("service-{at}"), "port": 1000 + at, "timeout_ms": 250, "retries": 3, "url": format!("https://service-{at}.example.com/api"), "tags": ["a", "b"]});
    let config = json!({"services": (0..60).map(service).collect::<Vec<_>>(), "pool": {"min": 1, "max": 10}, "name": "checkout"});
    let sources = [
        "config.pool.min <= config.pool.max",
        "config.services.all(s, s.port > 0 && s.port < 65536)",
        "config.services.all(s, s.url.startsWith('https://'))",
        "config.services.all(s, s.retries * s.timeout_ms < 10000)",
        "config.services.exists(s, s.name == 'service-59')",
        "has(config.name) && config.name.matches('^[a-z]+$')",
        "config.services.map(s, s.name).size() == 60",
        "config.services.all(s, 'a' in s.tags)",
        "levels.environment != 'production' || config.pool.max >= 10",
        "config.services.filter(s, s.port < 1010).size() == 10",
    ];
    let rules: serde_json::Map<_, _> =
        (0..50).map(|at| (format!("r{at}"), json!({"expression": sources[at % 10]}))).collect();
    let rules = RuleSet::parse(&json!({ "rules": rules })).expect("rules");
    let programs: Vec<_> =
        (0..50).map(|at| cel::Program::compile(sources[at % 10]).expect("it compiles")).collect();
    let (scope, levels) = (Scope::parse("/production/checkout").expect("a scope"), levels());
    let environment = std::sync::Arc::new(cel::Env::stdlib());
    let (mut ours, mut theirs) = (std::time::Duration::MAX, std::time::Duration::MAX);
    for _ in 0..30 {
        let started = std::time::Instant::now();
        let mut found = FoundList::default();
        let mut input = RuleInput::new(&config, Some(&config), &scope, &levels);
        rules.check(&mut input, &mut found);
        ours = ours.min(started.elapsed());
        assert_eq!(found.kept(), []);
        let started = std::time::Instant::now();
        let mut context = cel::Context::with_env(environment.clone());
        let value = cel::to_value(&config).expect("JSON");
        context.add_variable_from_value("config", value);
        context.add_variable_from_value(
            "levels",
            cel::to_value(json!({"environment": "production"})).expect("JSON"),
        );
        for program in &programs {
            std::hint::black_box(program.execute(&context)).ok();
        }
        theirs = theirs.min(started.elapsed());
    }
    println!("{} bytes, 50 rules: {ours:?}, in cel alone {theirs:?}", config.to_string().len());
}

proptest! {
    #[test]
    fn any_json_is_rules_or_is_refused(document in arbitrary::value()) {
        let _ = RuleSet::parse(&document);
        let _ = RuleSet::parse(&json!({"rules": {"a": document}}));
    }

    #[test]
    fn what_a_rule_says_of_a_document_is_always_the_same(config in arbitrary::similar_object()) {
        let rules = json!({"rules": {
            "a": {"expression": "config.a == config.b"}, "b": {"expression": "config.all(k, config[k] != 1)"},
            "c": {"expression": "has(config.c) && config.c.size() > 1"}
        }});
        prop_assert_eq!(check(&rules, &config), check(&rules, &config));
    }
}

#[test]
fn expressions_of_a_set_are_bounded_together_and_none_beyond_the_bound_is_compiled() {
    let set = |count: usize, source: &dyn Fn(usize) -> String| -> Value {
        let rule = |at: usize| (format!("r{at}"), json!({"expression": source(at)}));
        json!({"rules": (0..count).map(rule).collect::<serde_json::Map<String, Value>>()})
    };
    let refused = |set: &Value| -> Vec<String> {
        let found = RuleSet::parse(set).expect_err("it is refused");
        assert!(found.iter().all(|found| found.code == RULE_MALFORMED), "{found:?}");
        found.into_iter().map(|found| found.message).collect()
    };
    let long = |at: usize| format!("config.a{at} == '{}'", "x".repeat(1900));
    let messages = refused(&set(400, &long));
    assert!(messages.iter().all(|message| message.contains("together have more than 262144 bytes")));
    let compiled = 400 - messages.len();
    assert!((100..=SOURCES_BYTES_MAX / 1900).contains(&compiled), "{compiled}");
    assert!(RuleSet::parse(&set(compiled, &long)).is_ok());
    // Each pattern has some ten KiB when it is compiled, and some bytes before.
    let pattern = |at: usize| format!(r"config.a.matches('\\pL{{2}}{at}')");
    let messages = refused(&set(400, &pattern));
    assert!(messages.iter().all(|message| message.contains("too large when compiled")), "{messages:?}");
    let one = RuleSet::parse(&set(1, &pattern)).expect("one is fine").patterns_size();
    assert!((400 - messages.len()) * one <= PATTERNS_SIZE_MAX + one, "{one}");
}
