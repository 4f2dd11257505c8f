//! Attacks, each bounded in count and time: what somebody does who can reach the server. Knows the wire; never how the server defends itself.
//!
//! The benchmark runs them large beside watchers, and `tests/wire/hostile_connections.rs` small.

mod connect;
mod floods;
mod handshakes;
mod http2;
mod slow;
mod streams;
mod tenant;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Whom to attack, and with what in hand.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    /// Of a server with TLS: where `ca.pem` is, and certificates that are not good.
    pub files: Option<PathBuf>,
    /// A good token with the right to read `test/app`, for attacks from within.
    pub token: String,
    /// Another, of somebody who may do anything in the namespace `hostile`.
    pub tenant: String,
}

/// How large an attack is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub connections: usize,
    /// On each connection, or in all, whatever the attack counts.
    pub count: usize,
    pub time: Duration,
}

/// Says what was reached.
type Running = Pin<Box<dyn Future<Output = String> + Send>>;

pub struct Attack {
    pub name: &'static str,
    /// On a server with TLS that demands a certificate.
    pub with_tls: bool,
    /// What the server is told besides.
    pub arguments: &'static [&'static str],
    /// Of the benchmark.
    pub size: Size,
    run: fn(Arc<Target>, Size) -> Running,
}

impl Attack {
    pub async fn run(&self, target: &Target, size: Size) -> String {
        (self.run)(Arc::new(target.clone()), size).await
    }
}

const fn size(connections: usize, count: usize, seconds: u64) -> Size {
    Size { connections, count, time: Duration::from_secs(seconds) }
}

/// A line for each.
macro_rules! attack {
    ($name:literal, $with_tls:literal, with $arguments:expr, $size:expr, $run:path) => {
        Attack {
            name: $name,
            with_tls: $with_tls,
            arguments: &$arguments,
            size: $size,
            run: |target, size| Box::pin($run(target, size)),
        }
    };
    ($name:literal, $with_tls:literal, $size:expr, $run:path) => {
        Attack {
            name: $name,
            with_tls: $with_tls,
            arguments: &[],
            size: $size,
            run: |target, size| Box::pin($run(target, size)),
        }
    };
}

pub static ALL: [Attack; 28] = [
    attack!("bad certificates", true, size(32, 10_000, 20), handshakes::bad),
    attack!("slow TLS", true, size(4000, 1, 7), slow::tls),
    attack!("slow preface", false, size(4000, 1, 7), slow::preface),
    attack!("slow headers", false, size(4000, 1, 7), slow::headers),
    attack!("slow messages", false, size(400, 10, 7), slow::messages),
    attack!("large messages without an end", false, size(40, 16, 7), streams::large_messages),
    attack!("half-open streams", false, size(100, 1000, 10), streams::half_open),
    attack!("streams without a credential", false, size(100, 1000, 7), streams::health),
    attack!("unread answers", false, size(40, 1000, 7), streams::unread),
    attack!("CONTINUATION flood", false, size(8, 0, 5), floods::continuation),
    attack!("large header lists", false, size(8, 0, 5), floods::large_headers),
    attack!("HPACK bomb", false, size(8, 0, 5), floods::hpack_bomb),
    attack!("rapid reset", false, size(8, 0, 5), floods::rapid_reset),
    attack!("PING flood", false, size(8, 0, 5), floods::ping),
    attack!("SETTINGS flood", false, size(8, 0, 5), floods::settings),
    attack!("empty DATA frames", false, size(8, 0, 5), floods::empty_data),
    attack!("window updates of zero", false, size(8, 0, 5), floods::zero_window_updates),
    attack!("connections and nothing", false, size(8, 0, 5), floods::connections),
    attack!("wrong tokens", false, size(8, 100, 5), streams::wrong_tokens),
    attack!("small assignments", false, size(16, 10_000, 8), tenant::small_assignments),
    attack!("large writes at once", false, size(250, 2000, 8), tenant::large_writes),
    attack!("pages of history", false, size(200, 2000, 8), tenant::history_pages),
    attack!("request ids", false, size(16, 1000, 8), tenant::request_ids),
    attack!("large responses unread", false, size(40, 15, 8), tenant::unread),
    attack!("watches of a namespace", false, size(8, 50_000, 25), tenant::namespace_watches),
    attack!("many layers and tags", false, size(16, 40_000, 20), tenant::large_lists),
    attack!("abandoned validations", false, size(40, 400, 10), tenant::abandoned_validates),
    attack!("compaction", false, with ["--retain-revisions", "1000"], size(64, 100_000, 10), tenant::compaction),
];
