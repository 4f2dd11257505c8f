//! What a tenant with a good credential does in a namespace of their own, which is called `hostile`. Knows calls; never how the server
//! bounds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use confwatch::client::{Client, ConnectOptions};
use confwatch::proto::v1::*;
use prost::Message;
use tokio::time::{Instant, sleep_until, timeout};

use super::http2::*;
use super::streams::hold;
use super::{Size, Target};

const BATCH_GET: &str = "/confwatch.v1.ConfigService/BatchGet";
/// Below the limit of a layer.
const LARGE_BYTES: usize = 900 << 10;
/// Changes of one commit.
const CHANGES: usize = 1000;

fn client(target: &Target) -> Client {
    Client::connect(ConnectOptions {
        address: format!("http://{}", target.address),
        token: Some(target.tenant.parse().expect("a token")),
        ..ConnectOptions::default()
    })
    .expect("options that make sense")
}

fn change(config: &str, scope: &str, action: change::Action) -> Change {
    Change {
        namespace: "hostile".into(),
        config: config.into(),
        scope: scope.into(),
        action: Some(action),
        ..Default::default()
    }
}

fn replace(config: &str, scope: &str, content: String) -> Change {
    change(config, scope, change::Action::Replace(Text { content, format: Format::Json.into() }))
}

fn assign(config: &str, value: usize) -> Change {
    let values = [("a".to_owned(), value.to_string())].into_iter().collect();
    change(config, "/", change::Action::Assign(Assignments { values }))
}

async fn put_large(client: &Client) -> bool {
    let content = format!(r#"{{"a":0,"text":"{}"}}"#, "x".repeat(LARGE_BYTES));
    client.set(replace("large", "/", content), WriteOptions::default()).await.is_ok()
}

/// Calls again and again, as many at once as there are connections, until the time or the count is over. How many succeeded, of how many.
async fn repeat<F, T, E>(size: Size, call: impl Fn(usize) -> F + Clone + Send + 'static) -> (usize, usize)
where
    F: Future<Output = Result<T, E>> + Send,
    T: Send,
    E: Send,
{
    let (end, next, succeeded) =
        (Instant::now() + size.time, Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..size.connections {
        let (next, succeeded, call) = (next.clone(), succeeded.clone(), call.clone());
        workers.spawn(async move {
            while Instant::now() < end {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= size.count {
                    return;
                }
                if call(number).await.is_ok() {
                    succeeded.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    workers.join_all().await;
    (succeeded.load(Ordering::Relaxed), next.load(Ordering::Relaxed).min(size.count))
}

/// Each journals a whole layer.
pub async fn small_assignments(target: Arc<Target>, size: Size) -> String {
    let client = client(&target);
    put_large(&client).await;
    let call = move |number| {
        let client = client.clone();
        async move { client.set(assign("large", number + 1), WriteOptions::default()).await }
    };
    let (made, tried) = repeat(size, call).await;
    format!("{made} of {tried} assignments to a layer of {} KiB", LARGE_BYTES >> 10)
}

/// Configs that large writes go to: what is stored stays small, and what is not are the writes that are being processed.
const LARGE_CONFIGS: usize = 4;

/// A large layer, different for each number.
fn large(number: usize) -> Change {
    let content = format!(r#"{{"a":{number},"text":"{}"}}"#, "x".repeat(LARGE_BYTES));
    replace(&format!("large{}", number % LARGE_CONFIGS), "/", content)
}

/// A connection for each ten calls.
fn clients(target: &Target, size: Size) -> Arc<Vec<Client>> {
    Arc::new((0..size.connections.div_ceil(10)).map(|_| client(target)).collect())
}

/// Large layers, as many at once as there are connections.
pub async fn large_writes(target: Arc<Target>, size: Size) -> String {
    let clients = clients(&target, size);
    let call = move |number: usize| {
        let client = clients[number % clients.len()].clone();
        async move { client.set(large(number), WriteOptions::default()).await }
    };
    let (made, tried) = repeat(size, call).await;
    format!("{made} of {tried} writes of {} KiB, {} at once", LARGE_BYTES >> 10, size.connections)
}

/// Pages of the history of large layers, with their content.
pub async fn history_pages(target: Arc<Target>, size: Size) -> String {
    let clients = clients(&target, size);
    for number in 0..20 {
        let number = LARGE_CONFIGS * number;
        let _ = clients[0].set(large(number), WriteOptions::default()).await;
    }
    let call = move |number: usize| {
        let client = clients[number % clients.len()].clone();
        let request = ListVersionsRequest {
            namespace: "hostile".into(),
            config: "large0".into(),
            include_content: true,
            ..Default::default()
        };
        async move { client.api().list_versions(request).await }
    };
    let (read, tried) = repeat(size, call).await;
    format!("{read} of {tried} pages, {} at once", size.connections)
}

/// Writes without an effect, each of which is to be remembered.
pub async fn request_ids(target: Arc<Target>, size: Size) -> String {
    let client = client(&target);
    put_large(&client).await;
    let call = move |number| {
        let client = client.clone();
        let options = WriteOptions { request_id: format!("hostile-{number}"), ..Default::default() };
        async move { client.set(assign("large", 0), options).await }
    };
    let (made, tried) = repeat(size, call).await;
    format!("{made} of {tried} writes without an effect")
}

/// Large responses that the client has no window for.
pub async fn unread(target: Arc<Target>, size: Size) -> String {
    put_large(&client(&target)).await;
    let get = GetRequest { namespace: "hostile".into(), config: "large".into(), ..Default::default() };
    let batch = BatchGetRequest { requests: vec![get; 4], ..Default::default() }.encode_to_vec();
    let head = head(BATCH_GET, Some(&target.tenant));
    let call = move |id| {
        [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, END_STREAM, id, &message(&batch))].concat()
    };
    let (connections, opened) =
        (size.connections, hold(target, size, beginning_without_window(), call).await);
    format!("{opened} calls for 3.5 MiB each over {connections} connections")
}

/// Watches of all configs of a large namespace at many scopes.
pub async fn namespace_watches(target: Arc<Target>, size: Size) -> String {
    let end = Instant::now() + size.time;
    let client = client(&target);
    let mut configs = 0;
    while configs < size.count && Instant::now() < end {
        let changes =
            (configs..configs + CHANGES).map(|at| replace(&format!("c{at:05}"), "/", r#"{"a":1}"#.into()));
        let request = ApplyRequest { changes: changes.collect(), options: None };
        if client.api().apply(request).await.is_err() {
            break;
        }
        configs += CHANGES;
    }
    let (mut streams, mut refused) = (vec![], 0);
    // First as many targets as a watch may have, then as many as one may have of such a namespace.
    for scopes in [1000, 4] {
        for _ in 0..size.connections {
            let targets = (0..scopes).map(|at| WatchTarget {
                namespace: "hostile".into(),
                config: "*".into(),
                scope: format!("/s{at}"),
                ..Default::default()
            });
            let request = WatchRequest { targets: targets.collect(), ..Default::default() };
            match client.api().watch(request).await {
                Ok(stream) => streams.push(stream.into_inner()),
                Err(_) => refused += 1,
            }
        }
    }
    let (mut reading, opened) = (tokio::task::JoinSet::new(), streams.len());
    for mut stream in streams {
        reading.spawn(async move {
            while let Ok(Ok(Some(_))) = timeout(end - Instant::now(), stream.message()).await {}
        });
    }
    reading.join_all().await;
    sleep_until(end).await;
    format!("{} watches of {configs} configs, {opened} opened and {refused} refused", opened + refused)
}

/// A config with as many layers and tags as it may have, which is then listed.
pub async fn large_lists(target: Arc<Target>, size: Size) -> String {
    let end = Instant::now() + size.time;
    let client = client(&target);
    let mut layers = 0;
    while layers < size.count && Instant::now() < end {
        let changes =
            (layers..layers + CHANGES).map(|at| replace("listed", &format!("/s{at:05}"), "{}".into()));
        let request = ApplyRequest { changes: changes.collect(), options: None };
        if client.api().apply(request).await.is_err() {
            break;
        }
        layers += CHANGES;
    }
    let tag = {
        let client = client.clone();
        move |number| {
            let client = client.clone();
            let (namespace, config) = ("hostile".into(), "listed".into());
            let request =
                SetTagRequest { namespace, config, tag: format!("t{number}"), ..Default::default() };
            async move { client.api().set_tag(request).await }
        }
    };
    let left = |end: Instant| end.saturating_duration_since(Instant::now());
    let (tags, _) = repeat(Size { time: left(end) / 2, ..size }, tag).await;
    let list = move |_| {
        let client = client.clone();
        let request = ListRequest { namespace: "hostile".into(), page_size: 1, ..Default::default() };
        async move { client.api().list(request).await }
    };
    let (listed, tried) = repeat(Size { count: usize::MAX, time: left(end), ..size }, list).await;
    format!("{layers} layers, {tags} tags, {listed} of {tried} lists")
}

/// Validations that are costly and abandoned at once.
pub async fn abandoned_validates(target: Arc<Target>, size: Size) -> String {
    let client = client(&target);
    let items: Vec<String> = (0..15_000).map(|at| format!(r#"{{"a":{at}}}"#)).collect();
    let text = |content: String| Some(Text { content, format: Format::Json.into() });
    let request = ValidateRequest {
        schema: text(
            r#"{"properties":{"l":{"uniqueItems":true,"items":{"not":{"required":["b"]}}}}}"#.into(),
        ),
        document: text(format!(r#"{{"l":[{}]}}"#, items.join(","))),
        ..Default::default()
    };
    let call = move |_| {
        let (client, request) = (client.clone(), request.clone());
        async move { timeout(Duration::from_millis(20), client.api().validate(request)).await }
    };
    let (answered, tried) = repeat(size, call).await;
    format!("{} of {tried} validations abandoned", tried - answered)
}

/// Small commits, so many that history has to be compacted all the time.
pub async fn compaction(target: Arc<Target>, size: Size) -> String {
    let client = client(&target);
    let call = move |number: usize| {
        let client = client.clone();
        let change = replace(&format!("c{}", number % 1000), "/", format!(r#"{{"a":{number}}}"#));
        async move { client.set(change, WriteOptions::default()).await }
    };
    let (made, tried) = repeat(size, call).await;
    format!("{made} of {tried} commits")
}
