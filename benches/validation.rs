//! What validation costs: a commit at `/` of a config with a thousand scopes, beside the same schema and rules run on the same documents
//! and nothing else; and whether other commits wait for it.
//!
//! `cargo bench --bench validation`. Times are of the processor, of the whole process, so that it does not matter how many threads share the
//! work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use confwatch::auth::Access;
use confwatch::engine::{Action, Change, Engine, Intent, Options, Origin, PutSchema, Text, Viewer, Write};
use confwatch::model::text::Format;
use confwatch::model::{ConfigId, ConfigName, Epoch, Governs, LayerKey, LayerKind, Namespace, Scope, Source};
use confwatch::store::MemoryStore;
use confwatch::validate::{FoundList, RuleInput, RuleSet, Schema};
use serde_json::{Map, Value, json};

const SCOPES: usize = 1000;
const FIELDS: usize = 200;
const RULES: usize = 50;
const ROUNDS: usize = 5;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let store = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = tokio::task::block_in_place(|| Engine::open(store, Options::default())).expect("an engine");
    let (schema, rules) = (schema(), rules());
    let put =
        PutSchema { schema: schema.clone(), up: None, down: None, accept_existing: false, expected: None };
    write(&engine, Intent::PutSchema { governed: id("app"), put }).await;
    let stored_rules = Governs::Rules(Some(id("app").config)).name();
    set(&engine, stored_rules.as_str(), "/", &rules).await;
    set(&engine, "app", "/", &document(0)).await;
    for number in 1..SCOPES {
        set(&engine, "app", &scope(number), &json!({ "field-0": number })).await;
    }

    let documents: Vec<(Scope, Value)> = (0..SCOPES)
        .map(|number| {
            let mut value = document(1);
            value["field-0"] = number.into();
            let path = if number == 0 { "/".to_owned() } else { scope(number) };
            (Scope::parse(&path).expect("a scope"), value)
        })
        .collect();
    let compiled = Schema::compile(&id("app").config, &schema, &BTreeMap::new()).expect("a schema");
    let rule_set = RuleSet::parse(&rules).expect("rules");
    let levels = ["environment", "service", "user"].map(str::to_owned);
    let direct = |with_rules: bool| {
        for (scope, document) in &documents {
            let mut found = FoundList::default();
            compiled.check(document, &mut found);
            if with_rules {
                rule_set.check(&mut RuleInput::new(document, Some(document), scope, &levels), &mut found);
            }
            assert!(found.kept().is_empty(), "{found:?}");
        }
    };

    let (mut direct_cpu, mut direct_wall, mut commit_cpu, mut commit_wall) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let (cpu, wall) = measured(|| direct(true));
        direct_cpu.push(cpu);
        direct_wall.push(wall);
        let (before, began) = (processor_time(), Instant::now());
        set(&engine, "app", "/", &document(round + 2)).await;
        commit_cpu.push(processor_time() - before);
        commit_wall.push(began.elapsed());
    }
    let (schema_cpu, _) = measured(|| direct(false));
    let bytes = document(0).to_string().len();
    println!(
        "{SCOPES} scopes, documents of {bytes} bytes, {FIELDS} properties, {RULES} rules; medians of {ROUNDS}\n"
    );
    println!("| what | CPU ms | wall ms |\n| --- | --: | --: |");
    println!("| schema and rules alone, one thread | {} | {} |", millis(&direct_cpu), millis(&direct_wall));
    println!("| of which the schema | {:.1} | |", schema_cpu.as_secs_f64() * 1e3);
    println!("| a commit at / | {} | {} |", millis(&commit_cpu), millis(&commit_wall));
    let ratio = median(&commit_cpu).as_secs_f64() / median(&direct_cpu).as_secs_f64();
    println!(
        "| **CPU of the commit to that of schema and rules alone** | **{ratio:.2}** (at most 1.5 is promised) | |"
    );

    let (idle, busy) = (latencies(&engine, None).await, {
        let done = Arc::new(AtomicBool::new(false));
        let validating = tokio::spawn({
            let (engine, done) = (engine.clone(), done.clone());
            async move {
                let mut number = 100;
                while !done.load(Ordering::Relaxed) {
                    set(&engine, "app", "/", &document(number)).await;
                    number += 1;
                }
            }
        });
        let latencies = latencies(&engine, Some(Duration::from_secs(3))).await;
        done.store(true, Ordering::Relaxed);
        validating.await.expect("it does not panic");
        latencies
    });
    println!("\nCommits of another config meanwhile, one at a time (in memory, so without a disk):\n");
    println!("| | commits | p50 us | p99 us | longest ms |\n| --- | --: | --: | --: | --: |");
    for (name, mut latencies) in [("nothing else", idle), ("beside commits as above", busy)] {
        latencies.sort_unstable();
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
        println!(
            "| {name} | {} | {:.0} | {:.0} | {:.1} |",
            latencies.len(),
            at(0.5),
            at(0.99),
            at(1.0) / 1e3
        );
    }
    engine.close().await;
}

async fn latencies(engine: &Arc<Engine>, how_long: Option<Duration>) -> Vec<Duration> {
    let began = Instant::now();
    let mut latencies = vec![];
    let how_long = how_long.unwrap_or(Duration::from_secs(1));
    while began.elapsed() < how_long {
        let sent = Instant::now();
        set(engine, "other", "/", &json!({ "number": latencies.len() })).await;
        latencies.push(sent.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    latencies
}

fn id(name: &str) -> ConfigId {
    let namespace = Namespace::parse("bench").expect("a name");
    ConfigId { namespace, config: ConfigName::parse(name).expect("a name") }
}

fn scope(number: usize) -> String {
    format!("/environment-{}/service-{number}", number % 10)
}

/// Some 10 KB.
fn document(seed: usize) -> Value {
    let field = |at: usize| {
        (
            format!("field-{at}"),
            if at.is_multiple_of(2) {
                json!(seed + at)
            } else {
                json!(format!("value {at} of the document {seed:032}"))
            },
        )
    };
    Value::Object(Map::from_iter((0..FIELDS).map(field)))
}

fn schema() -> Value {
    let property = |at: usize| {
        let schema = match at % 2 {
            0 => json!({"type": "integer", "minimum": 0}),
            _ => json!({"type": "string", "maxLength": 200}),
        };
        (format!("field-{at}"), schema)
    };
    json!({"type": "object", "properties": Map::from_iter((0..FIELDS).map(property)), "required": ["field-0"], "additionalProperties": false})
}

fn rules() -> Value {
    let rule = |at: usize| {
        let expression =
            format!("config['field-{}'] + 10000 > config['field-{}']", at * 2, (at * 2 + 2) % 100);
        (format!("rule-{at}"), json!({ "expression": expression }))
    };
    json!({ "rules": Map::from_iter((0..RULES).map(rule)) })
}

async fn set(engine: &Arc<Engine>, config: &str, scope: &str, value: &Value) {
    let change = Change {
        id: id(config),
        key: LayerKey { kind: LayerKind::Base, scope: Scope::parse(scope).expect("a scope") },
        ttl: None,
        action: Action::Replace(Text { content: value.to_string(), format: Format::Json }),
        expected: None,
        field: "change".into(),
    };
    write(engine, Intent::Changes(vec![change])).await;
}

async fn write(engine: &Arc<Engine>, intent: Intent) {
    let origin = Origin {
        author: confwatch::model::Author::named("bench"),
        source: Source::Set,
        reason: String::new(),
        request: None,
        annotations: BTreeMap::new(),
    };
    engine
        .write(Write {
            origin,
            intent,
            validate_only: false,
            without_backup: false,
            viewer: Viewer::new(Access::unrestricted("bench").expect("a name").visibility()),
        })
        .await
        .expect("it is accepted");
}

fn measured(run: impl FnOnce()) -> (Duration, Duration) {
    let (before, began) = (processor_time(), Instant::now());
    run();
    (processor_time() - before, began.elapsed())
}

/// Of this process: user and system.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is there to be written.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "every system has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

fn millis(times: &[Duration]) -> String {
    format!("{:.1}", median(times).as_secs_f64() * 1e3)
}
