//! Commits against schemas and rules: what is refused is exactly what a validator refuses that resolves every scope anew, whatever
//! changes at the same time.

use std::collections::BTreeSet;

use super::*;
use crate::model::Governs;
use crate::store::Sealed;
use crate::validate::{Report, Severity};

/// A schema, and what it says of a document: places that violate it.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// `a` is a number where it is there.
    NumberA,
    /// `b` must be there.
    RequiredB,
    /// Nothing but `a`, `b` and `c`.
    Closed,
    Anything,
}

impl Rule {
    fn schema(self) -> Value {
        match self {
            Rule::NumberA => json!({"properties": {"a": {"type": "number"}}}),
            Rule::RequiredB => json!({"required": ["b"]}),
            Rule::Closed => {
                json!({"properties": {"a": true, "b": true, "c": true}, "additionalProperties": false})
            }
            Rule::Anything => json!({}),
        }
    }

    fn violations(self, document: &Value) -> BTreeSet<String> {
        let members = document.as_object().expect("an effective document is an object");
        let wrong = |name: &&String| match self {
            Rule::NumberA => *name == "a" && !members[*name].is_number(),
            Rule::Closed => !["a", "b", "c"].contains(&name.as_str()),
            Rule::RequiredB | Rule::Anything => false,
        };
        let places = members.keys().filter(wrong).map(|name| format!("/{name}"));
        let missing = matches!(self, Rule::RequiredB) && !members.contains_key("b");
        places.chain(missing.then(String::new)).collect()
    }
}

#[derive(Clone, Debug)]
enum Change2 {
    Put(usize, LayerKind, Value),
    Delete(usize, LayerKind),
    Schema(Rule),
}

fn document() -> impl Strategy<Value = Value> {
    let value = prop_oneof![3 => Just(json!(1)), 2 => Just(json!("x")), 1 => Just(json!(null)), 1 => Just(json!({"a": 1}))];
    let name = prop_oneof![3 => Just("a"), 3 => Just("b"), 2 => Just("c"), 1 => Just("d")];
    prop::collection::btree_map(name, value, 0..4).prop_map(|members| {
        Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    })
}

fn any_change() -> impl Strategy<Value = Change2> {
    let kind = || prop_oneof![3 => Just(LayerKind::Base), 1 => Just(LayerKind::Override)];
    let rule =
        prop_oneof![Just(Rule::NumberA), Just(Rule::RequiredB), Just(Rule::Closed), Just(Rule::Anything)];
    prop_oneof![
        6 => (0..SCOPES.len(), kind(), document()).prop_map(|(at, kind, value)| Change2::Put(at, kind, value)),
        2 => (0..SCOPES.len(), kind()).prop_map(|(at, kind)| Change2::Delete(at, kind)),
        2 => rule.prop_map(Change2::Schema),
    ]
}

/// Every place that violates the rule in the documents of these scopes, with and without overrides.
fn violations(layers: &Layers, rule: Rule, reached: impl Fn(&str) -> bool) -> BTreeSet<(String, String)> {
    let base: Layers = layers
        .iter()
        .filter(|((kind, _), _)| *kind == LayerKind::Base)
        .map(|(key, value)| (*key, value.clone()))
        .collect();
    let scopes = SCOPES.iter().filter(|scope| reached(scope));
    scopes
        .flat_map(|scope| {
            let documents = [Naive::effective(layers, scope), Naive::effective(&base, scope)];
            documents.into_iter().flatten().flat_map(|document| {
                rule.violations(&document).into_iter().map(|pointer| ((*scope).to_owned(), pointer))
            })
        })
        .collect()
}

fn below(scope: &str, top: &str) -> bool {
    top == "/" || scope == top || scope.starts_with(&format!("{top}/"))
}

fn put_schema(rule: Rule) -> Intent {
    let put =
        PutSchema { schema: rule.schema(), up: None, down: None, accept_existing: false, expected: None };
    Intent::PutSchema { governed: id(0), put }
}

fn errors(report: &Report) -> BTreeSet<(String, String)> {
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| (finding.place.scope.to_string(), finding.place.pointer.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_change_is_refused_for_exactly_what_is_wrong_at_the_scopes_it_reaches(changes in prop::collection::vec(any_change(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
            let engine = open(&store, |_| {});
            let (mut layers, mut rule) = (Layers::new(), Rule::Anything);
            for change in changes {
                let (mut after, mut after_rule) = (layers.clone(), rule);
                let (intent, expected) = match &change {
                    Change2::Put(at, kind, value) => {
                        after.insert((*kind, *at), value.clone());
                        let changes = vec![put(0, *at, *kind, value)];
                        (Intent::Changes(changes), violations(&after, rule, |scope| below(scope, SCOPES[*at]) && has_layer(&after, scope)))
                    }
                    Change2::Delete(at, kind) => {
                        let was = after.remove(&(*kind, *at)).is_some();
                        let change = super::change(0, *at, *kind, Action::Delete);
                        let reached = |scope: &str| was && below(scope, SCOPES[*at]) && (scope == SCOPES[*at] || has_layer(&after, scope));
                        (Intent::Changes(vec![change]), violations(&after, rule, reached))
                    }
                    Change2::Schema(new) => {
                        after_rule = *new;
                        (put_schema(*new), violations(&layers, *new, |scope| has_layer(&layers, scope)))
                    }
                };
                let unchanged = after == layers && !matches!(change, Change2::Schema(_));
                match engine.write(write(Source::Set, intent)).await {
                    Ok(_) => {
                        prop_assert!(unchanged || expected.is_empty(), "{change:?} is accepted in spite of {expected:?}");
                        (layers, rule) = (after, after_rule);
                    }
                    Err(Error::Refused(report)) => prop_assert_eq!(errors(&report), expected),
                    Err(other) => prop_assert!(false, "{other}"),
                }
            }
            engine.close().await;
            Ok(())
        })?;
    }
}

fn has_layer(layers: &Layers, scope: &str) -> bool {
    layers.keys().any(|(_, at)| SCOPES[*at] == scope)
}

/// Whoever wins, at no revision is there a document that violates the schema which is active then.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_revision_is_invalid_though_schema_rules_and_layers_change_at_the_same_time() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |_| {});
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for number in 0..60 {
                    let at = (writer + number) % SCOPES.len();
                    let value = match (writer + number) % 4 {
                        0 => json!({"a": 1, "b": 1}),
                        1 => json!({"a": "x", "b": 1}),
                        2 => json!({"b": 1, "d": 1}),
                        _ => json!({"a": 2, "b": number}),
                    };
                    let intent = match writer {
                        0 => put_schema(
                            [Rule::NumberA, Rule::RequiredB, Rule::Closed, Rule::Anything][number % 4],
                        ),
                        1 => rules(number % 2 == 0),
                        _ => Intent::Changes(vec![put(0, at, LayerKind::Base, &value)]),
                    };
                    match engine.write(write(Source::Set, intent)).await {
                        Ok(_) | Err(Error::Refused(_)) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no writer panics");
    }
    let (mut layers, mut schema, mut limited) = (Layers::new(), None, false);
    let (mut from, mut checked) = (Revision(1), 0);
    loop {
        let page = store.commits(from, 1 << 20).expect("commits");
        if page.is_empty() {
            break;
        }
        for Sealed { commit, .. } in page {
            from = commit.revision.next();
            for change in &commit.changes {
                for layer in &change.layers {
                    let content = layer.content.as_ref().map(Content::to_value);
                    match change.id.config.governs() {
                        Some(Governs::Schema(_)) => {
                            schema = content.map(|stored| stored["versions"][0]["schema"].clone());
                        }
                        Some(_) => limited = content.is_some_and(|rules| rules["rules"] != json!({})),
                        None => {
                            let at = SCOPES
                                .iter()
                                .position(|scope| *scope == layer.key.scope.as_str())
                                .expect("one of ours");
                            match content {
                                Some(content) => layers.insert((layer.key.kind, at), content),
                                None => layers.remove(&(layer.key.kind, at)),
                            };
                        }
                    }
                }
            }
            for scope in SCOPES.iter().filter(|scope| has_layer(&layers, scope)) {
                let document = Naive::effective(&layers, scope).expect("it has a layer");
                if let Some(schema) = &schema {
                    let rules = [Rule::NumberA, Rule::RequiredB, Rule::Closed, Rule::Anything];
                    let rule = rules.into_iter().find(|rule| rule.schema() == *schema).expect("one of ours");
                    assert!(
                        rule.violations(&document).is_empty(),
                        "revision {}: {document} against {schema}",
                        commit.revision
                    );
                }
                let b = document.get("b").and_then(Value::as_i64).unwrap_or_default();
                assert!(!limited || b < 30, "revision {}: {document} against the rule", commit.revision);
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "too few were accepted for this to say anything: {checked}");
    engine.close().await;
}

/// A rule for the namespace, or none.
fn rules(limited: bool) -> Intent {
    let rules = match limited {
        true => json!({"rules": {"small-b": {"expression": "!has(config.b) || config.b < 30"}}}),
        false => json!({"rules": {}}),
    };
    let change = put(0, 0, LayerKind::Base, &rules);
    let id = ConfigId { config: Governs::Rules(None).name(), ..change.id };
    Intent::Changes(vec![Change { id, ..change }])
}
