//! Those who use the server as it is meant: watchers, and a writer at a steady pace. Knows how late they hear of a write.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use confwatch::client::Client;
use confwatch::proto::v1::*;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use super::server::Server;

const CONNECTIONS: usize = 20;
const STREAMS_PER_CONNECTION: usize = 10;
const WRITES_PER_SECOND: u32 = 25;
const PATIENCE: Duration = Duration::from_secs(30);

/// They end when they are dropped.
pub struct Watchers {
    start: Instant,
    latencies: Arc<Mutex<Vec<Duration>>>,
    writer: Client,
    _tasks: JoinSet<()>,
}

/// What was delivered while something went on.
pub struct Delivered {
    pub p50: Duration,
    pub p99: Duration,
    /// Of the writes that it was about.
    pub set_p99: Duration,
    pub writes: usize,
    pub deliveries: usize,
}

impl Delivered {
    /// Of those that should have been.
    pub fn share(&self) -> f64 {
        self.deliveries as f64 / (self.writes * CONNECTIONS * STREAMS_PER_CONNECTION) as f64
    }
}

pub fn replace(namespace: &str, config: &str, content: String) -> Change {
    let text = Text { content, format: Format::Json.into() };
    Change {
        namespace: namespace.into(),
        config: config.into(),
        action: Some(change::Action::Replace(text)),
        ..Default::default()
    }
}

impl Watchers {
    /// Once each has its first state.
    pub async fn open(server: &Server) -> Watchers {
        let (start, latencies) = (Instant::now(), Arc::<Mutex<Vec<Duration>>>::default());
        let writer = server.client();
        let first = replace("test", "app", document(0));
        writer.set(first, WriteOptions::default()).await.expect("set");
        let (opened, mut is_open) = unbounded_channel();
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let client = server.client();
            for _ in 0..STREAMS_PER_CONNECTION {
                tasks.spawn(follow(client.clone(), start, latencies.clone(), opened.clone()));
            }
        }
        for _ in 0..CONNECTIONS * STREAMS_PER_CONNECTION {
            timeout(PATIENCE, is_open.recv()).await.expect("streams open in time").expect("a stream");
        }
        Watchers { start, latencies, writer, _tasks: tasks }
    }

    /// Writes until `done`, and tells how late it was heard of.
    pub async fn while_(&self, done: impl Future<Output = ()>) -> Delivered {
        self.latencies.lock().expect("no panic").clear();
        let mut done = std::pin::pin!(done);
        let (mut writes, mut next) = (vec![], tokio::time::Instant::now());
        loop {
            next += Duration::from_secs(1) / WRITES_PER_SECOND;
            let sent = u64::try_from(self.start.elapsed().as_nanos()).expect("it does not last so long");
            let write = replace("test", "app", document(sent));
            let write = timeout(PATIENCE, self.writer.set(write, WriteOptions::default()));
            // One that fails is missed in what is delivered.
            let begin = Instant::now();
            let _ = write.await.expect("a write is answered in time");
            writes.push(begin.elapsed());
            tokio::select! {
                () = &mut done => break,
                () = sleep_until(next) => {}
            }
        }
        // The last one is on its way.
        sleep(Duration::from_millis(300)).await;
        let mut latencies = std::mem::take(&mut *self.latencies.lock().expect("no panic"));
        latencies.sort_unstable();
        writes.sort_unstable();
        let quantile =
            |of: &[Duration], percent: usize| of.get(of.len() * percent / 100).copied().unwrap_or_default();
        Delivered {
            p50: quantile(&latencies, 50),
            p99: quantile(&latencies, 99),
            set_p99: quantile(&writes, 99),
            writes: writes.len(),
            deliveries: latencies.len(),
        }
    }
}

/// A document of a usual size that says when it was sent.
fn document(sent: u64) -> String {
    format!(r#"{{"sent":{sent},"text":"{}"}}"#, "x".repeat(2000))
}

async fn follow(
    client: Client,
    start: Instant,
    latencies: Arc<Mutex<Vec<Duration>>>,
    opened: UnboundedSender<()>,
) {
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let request = WatchRequest { targets: vec![target], ..Default::default() };
    let mut stream = client.api().watch(request).await.expect("it opens").into_inner();
    while let Ok(Some(message)) = stream.message().await {
        match message.event {
            Some(watch_response::Event::Snapshot(_)) => opened.send(()).expect("somebody waits"),
            Some(watch_response::Event::Update(update)) => {
                let document = update.states.into_iter().next().and_then(|state| state.document);
                let content = document.expect("a document").content;
                let sent = content.split(['{', ':', ',']).nth(2).and_then(|text| text.parse().ok());
                let sent = Duration::from_nanos(sent.expect("it says when"));
                latencies.lock().expect("no panic").push(start.elapsed().saturating_sub(sent));
            }
            Some(watch_response::Event::Progress(_)) | None => {}
        }
    }
}
