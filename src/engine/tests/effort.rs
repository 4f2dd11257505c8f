//! What checks cost is bounded for each call, and they stop when nobody waits for them any more.

use super::*;
use crate::engine::check::effort::Effort;
use crate::engine::check::look::Look;
use crate::engine::check::plan_check::check_stored;
use crate::engine::read::documents::Documents;
use crate::model::{Governs, Pointer};
use crate::validate::{CheckedDocument, Contract, NamespaceRules, Report, Steps};

const SCOPES: usize = 100;

fn at(config: ConfigName, place: &str, value: &Value) -> Change {
    let key = LayerKey { kind: LayerKind::Base, scope: Scope::parse(place).expect("a scope") };
    let text = Text { content: value.to_string(), format: crate::model::text::Format::Json };
    let id = ConfigId { config, ..id(0) };
    Change { id, key, ttl: None, action: Action::Replace(text), expected: None, field: "changes".into() }
}

async fn make(engine: &Engine, changes: Vec<Change>) {
    engine.write(write(Source::Apply, Intent::Changes(changes))).await.expect("it is written");
}

/// A config with many documents that take a rule a while each.
async fn costly() -> Arc<Engine> {
    let engine = Engine::open(Arc::new(MemoryStore::new(Epoch(1))), Options::default()).expect("an engine");
    let rule = json!({"expression": "config.l.all(x, config.l.all(y, x + y >= 0))"});
    let rules = Governs::Rules(Some(id(0).config)).name();
    make(&engine, vec![at(rules, "/", &json!({"rules": {"sums": rule}}))]).await;
    let document = |number: usize| json!({"l": vec![number; 30]});
    let changes = (0..SCOPES).map(|number| at(id(0).config, &format!("/s{number}"), &document(number)));
    make(&engine, changes.collect()).await;
    engine
}

fn check_all(engine: &Engine, effort: &Effort<'_>) -> Report {
    let (state, mut report) = (engine.state(), Report::default());
    let config = state.config(&id(0)).expect("it is there");
    let (seen, look) = ((&*engine.key_store, &everything()), Look::at_all(Pointer::root()));
    check_stored(config, state.governance(&id(0).namespace), seen, &look, effort, &mut report);
    report
}

#[tokio::test]
async fn checks_stop_when_the_call_is_cancelled() {
    let engine = costly().await;
    let cancelled = Cancelled::default();
    let all = Effort::new(SCOPES, &cancelled);
    assert!(check_all(&engine, &all).is_valid() && all.check().is_ok());
    assert!(all.spent() > SCOPES as u64 * 1000);

    let cut = Effort::new(SCOPES, &cancelled);
    std::thread::scope(|scope| {
        let checking = scope.spawn(|| check_all(&engine, &cut));
        while cut.spent() == 0 {
            std::thread::yield_now();
        }
        cancelled.set();
        checking.join().expect("it ends");
    });
    assert!(cut.spent() < all.spent(), "documents are left");
    assert!(matches!(cut.check(), Err(Error::Cancelled)));

    let none = Effort::new(SCOPES, &cancelled);
    check_all(&engine, &none);
    assert_eq!(none.spent(), 0);
}

#[tokio::test]
async fn checks_end_where_the_steps_of_the_call_do() {
    let engine = costly().await;
    let cancelled = Cancelled::default();
    let all = Effort::new(SCOPES, &cancelled);
    check_all(&engine, &all);
    let scarce = Effort::new(SCOPES, &cancelled);
    scarce.spend(u64::MAX);
    let before = scarce.spent();
    check_all(&engine, &scarce);
    assert_eq!(scarce.spent(), before);
    assert!(matches!(scarce.check(), Err(Error::TooCostly { .. })));
}

#[test]
fn a_thousand_documents_with_many_rules_and_properties_are_far_from_too_costly() {
    let properties: BTreeMap<String, Value> = (0..200)
        .map(|at| (format!("p{at}"), json!({"type": "integer", "minimum": 0, "maximum": 9})))
        .collect();
    let rules: BTreeMap<String, Value> = (0..50)
        .map(|at| (format!("r{at}"), json!({"expression": format!("config.p{at} <= config.p{}", at + 1)})))
        .collect();
    let schema = json!({"properties": properties, "additionalProperties": false});
    let registry = json!({"active": 1, "versions": [{"number": 1, "schema": schema}]});
    let stored = |name: &ConfigName| match name.governs() {
        Some(Governs::Schema(_)) => Some(registry.clone()),
        Some(Governs::Rules(Some(_))) => Some(json!({ "rules": rules })),
        _ => None,
    };
    let contract = Contract::build(&id(0).config, &stored, &NamespaceRules::default()).expect("a contract");
    let document: Value = json!((0..200).map(|at| (format!("p{at}"), at / 25)).collect::<BTreeMap<_, _>>());
    let (scope, masked) = (Scope::global(), Default::default());
    let subject = CheckedDocument {
        scope: &scope,
        document: &document,
        old: None,
        hidden: None,
        masked: &masked,
        may_quote: &|_| true,
    };
    let mut steps = Steps::beyond(0);
    assert!(!contract.check_counting(&subject, &mut steps).has_errors());
    let cancelled = Cancelled::default();
    let share = Effort::new(1000, &cancelled).of_document();
    assert!(steps.taken() > 200 && steps.taken() * 4 < share, "{} of {share}", steps.taken());
}

#[tokio::test]
async fn rules_of_a_namespace_are_compiled_once_and_contracts_are_paid_for_and_forgotten_when_they_are_large()
{
    let engine = Engine::open(Arc::new(MemoryStore::new(Epoch(1))), Options::default()).expect("an engine");
    let named = |at: usize| ConfigName::parse(&format!("c{at}")).expect("a name");
    // Some bytes, which are megabytes when they are compiled.
    let pattern = |at: usize| (format!("p{at}"), json!({"pattern": format!("{}{at}", r"\p{L}{8}")}));
    let base = json!({"properties": (0..8).map(pattern).collect::<BTreeMap<_, _>>()});
    let stored = |schema: Value| json!({"active": 1, "versions": [{"number": 1, "schema": schema}]});
    let schema = |name: ConfigName| Governs::Schema(name).name();
    let rules = json!({"rules": {"r": {"expression": "config == config"}}});
    make(
        &engine,
        vec![at(schema(named(0)), "/", &stored(base)), at(Governs::Rules(None).name(), "/", &rules)],
    )
    .await;
    let reference = |number: usize| at(schema(named(number)), "/", &stored(json!({"$ref": "schema:c0"})));
    // What one write compiles is bounded, too.
    make(&engine, (1..20).map(reference).collect()).await;
    make(&engine, (20..40).map(reference).collect()).await;
    let state = engine.state();
    let governance = state.governance(&id(0).namespace).expect("there is one");
    let cancelled = Cancelled::default();
    let effort = Effort::new(1, &cancelled);
    let contract =
        |number: usize| governance.contract_counting(&named(number), &effort).expect("it compiles");
    let (first, one) = (contract(0), effort.spent());
    assert!(one > 1_000_000, "{one}");
    assert!(contract(0).shares_rules_with(&first) && effort.spent() == one, "it is compiled once");
    for number in 1..40 {
        assert!(contract(number).shares_rules_with(&first));
    }
    assert!(effort.spent() >= 39 * one, "each is paid for");
    let kept: usize =
        (0..40).filter_map(|number| governance.known(&named(number))).map(|it| it.expect("ok").size()).sum();
    assert!(kept <= 96 << 20 && first.size() * 40 > 96 << 20, "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_of_secrets_of_other_scopes_are_not_gone_through() {
    let engine = Engine::open(Arc::new(MemoryStore::new(Epoch(1))), Options::default()).expect("an engine");
    let secret = |number: usize| json!({format!("s{number}"): {"$secret": number.to_string()}});
    let changes = (0..50).map(|number| at(id(0).config, &format!("/s{number}"), &secret(number)));
    make(&engine, changes.chain([at(id(0).config, "/", &json!({"all": {"$secret": "x"}}))]).collect()).await;
    let state = engine.state();
    let config = state.config(&id(0)).expect("it is there");
    let nothing = |_: &LayerKey| Value::Null;
    for mut documents in
        [Documents::of(config, &engine.key_store), Documents::masked(config, &engine.key_store, &nothing)]
    {
        for number in [1, 7, 7, 2, 49] {
            let scope = Scope::parse(&format!("/s{number}")).expect("a scope");
            let document = documents.effective(&scope).expect("it has layers");
            let places: Vec<String> = documents.secrets().iter().map(ToString::to_string).collect();
            assert_eq!(places, ["/all".to_owned(), format!("/s{number}")]);
            let masked = documents.masked_in(&document);
            assert!(masked.is_empty() || masked.iter().eq(&places), "{masked:?}");
        }
    }
}
