//! A page of a list of very many subscribers, by an engine in this process: no connection, and no message.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use confwatch::auth::{Access, Visibility};
use confwatch::engine::watch::{
    Insight, SubscriberFilter, SubscriberQuery, WatchClient, WatchOptions, WatchSelector, WatchTarget,
};
use confwatch::engine::{
    Action, Cancelled, Change, Engine, Intent, Options as EngineOptions, Origin, Text, View, Viewer, Write,
};
use confwatch::model::limits::Limits;
use confwatch::model::text::Format;
use confwatch::model::{Author, ConfigId, ConfigName, Epoch, LayerKey, LayerKind, Namespace, Scope, Source};
use confwatch::store::MemoryStore;
use futures_util::StreamExt;

use super::options::Options;
use super::table::{Table, median};

const CONFIGS: usize = 1000;
const PAGE: usize = 1000;

pub async fn run(options: &Options) {
    let count = options.subscribers;
    let limits = Limits {
        watchers_max: count,
        watchers_of_actor_max: count,
        watched_configs_of_actor_max: 2 * count,
        ..Limits::default()
    };
    let store = Arc::new(MemoryStore::new(Epoch(1)));
    let opened = EngineOptions { limits, ..EngineOptions::default() };
    let engine = tokio::task::block_in_place(|| Engine::open(store, opened)).expect("an engine");
    let visibility = Access::unrestricted("bench").expect("a name").visibility();
    for number in 0..CONFIGS {
        set(&engine, &visibility, number).await;
    }
    let mut streams = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = engine.watch(watch(number, &visibility)).await.expect("there is room");
        stream.next().await.expect("a snapshot").expect("a snapshot");
        streams.push(stream);
    }
    let last = streams.last().map_or(0, |stream| stream.watch_id().parse::<u64>().expect("a number"));
    let query = SubscriberQuery {
        namespace: namespace(),
        config: None,
        scope: Scope::global(),
        after: 0,
        limit: PAGE,
        filter: SubscriberFilter::default(),
        viewer: visibility.clone(),
    };
    let filtered = |filter: SubscriberFilter| SubscriberQuery { filter, ..query.clone() };
    let queries = [
        ("first page", query.clone()),
        ("page in the middle", SubscriberQuery { after: last / 2, ..query.clone() }),
        ("last page", SubscriberQuery { after: last.saturating_sub(PAGE as u64), ..query.clone() }),
        ("one config", SubscriberQuery { config: Some(id(7).config), ..query.clone() }),
        ("only those behind", filtered(SubscriberFilter { only_behind: true, ..Default::default() })),
        (
            "one client id",
            filtered(SubscriberFilter { client_id: client_id(count / 2), ..Default::default() }),
        ),
    ];
    let title = format!("A page of {PAGE} of {count} subscribers of {CONFIGS} configs");
    let table = Table::begin(&title, &["streams", "ms"]);
    let mut slowest: f64 = 0.0;
    for (name, query) in queries {
        let (mut found, mut times) = (0, vec![]);
        for _ in 0..options.rounds.max(3) {
            let insights = |_: Option<&ConfigName>, _: &Scope| Some(Insight::Callers);
            let begin = Instant::now();
            let page = engine.subscribers(&query, &insights, &Cancelled::default());
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            found = page.expect("it is not cancelled").len();
        }
        let took = median(times);
        slowest = slowest.max(took);
        table.row(name, &[found.to_string(), format!("{took:.1}")]);
    }
    table.end(&format!("**The slowest page takes {slowest:.1} ms** (less than 100 ms is asked for)."));
    drop(streams);
    engine.close().await;
}

fn namespace() -> Namespace {
    Namespace::parse("bench").expect("a name")
}

fn id(number: usize) -> ConfigId {
    let config = ConfigName::parse(&format!("service-{number:04}")).expect("a name");
    ConfigId { namespace: namespace(), config }
}

fn client_id(number: usize) -> String {
    format!("checkout-7d9f8b6c5-{number:06}")
}

fn watch(number: usize, visibility: &Visibility) -> WatchOptions {
    let labels = [("version", "1.2.3"), ("zone", "eu-central-1a"), ("team", "checkout")];
    WatchOptions {
        targets: vec![WatchTarget {
            selector: WatchSelector::Config(id(number % CONFIGS), None),
            scope: Scope::parse(&format!("/production/pod-{}", number / CONFIGS)).expect("a scope"),
            view: View::Effective,
            format: Format::Json,
        }],
        resume_token: None,
        progress_interval: Duration::from_secs(3600),
        client: WatchClient {
            client_id: client_id(number),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            address: Some([10, 0, 0, 1].into()),
            library: "confwatch/1.0".to_owned(),
        },
        visibility: visibility.clone(),
    }
}

async fn set(engine: &Arc<Engine>, visibility: &Visibility, number: usize) {
    let change = Change {
        id: id(number),
        key: LayerKey { kind: LayerKind::Base, scope: Scope::global() },
        ttl: None,
        action: Action::Replace(Text { content: format!(r#"{{"number":{number}}}"#), format: Format::Json }),
        expected: None,
        field: "change".into(),
    };
    let origin = Origin {
        author: Author::named("bench"),
        source: Source::Set,
        reason: String::new(),
        request: None,
        annotations: BTreeMap::new(),
    };
    let write = Write {
        origin,
        intent: Intent::Changes(vec![change]),
        validate_only: false,
        without_backup: false,
        viewer: Viewer::new(visibility.clone()),
    };
    engine.write(write).await.expect("it is written");
}
