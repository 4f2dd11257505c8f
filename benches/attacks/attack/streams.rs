//! Calls by the thousand that nobody finishes, nobody reads, or nobody may make.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::connect::{Shouting, connect};
use super::http2::*;
use super::{Size, Target};

/// Heads whose messages never come, from somebody with a good token.
pub async fn half_open(target: Arc<Target>, size: Size) -> String {
    let head = head(GET, Some(&target.token));
    let opened = hold(target, size, beginning(), move |id| frame(HEADERS, END_HEADERS, id, &head)).await;
    format!("{opened} streams over {} connections", size.connections)
}

/// Streams of health, which asks nobody who they are.
pub async fn health(target: Arc<Target>, size: Size) -> String {
    let head = head(HEALTH_WATCH, None);
    let call = move |id| {
        [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, END_STREAM, id, &message(&[]))].concat()
    };
    let opened = hold(target, size, beginning(), call).await;
    format!("{opened} streams over {} connections", size.connections)
}

/// Good calls whose answers the client has no room for.
pub async fn unread(target: Arc<Target>, size: Size) -> String {
    let head = head(GET, Some(&target.token));
    let call = move |id| {
        [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, END_STREAM, id, &get_request())].concat()
    };
    let opened = hold(target, size, beginning_without_window(), call).await;
    format!("{opened} calls over {} connections", size.connections)
}

/// The first of four megabytes of each message, and never the last.
pub async fn large_messages(target: Arc<Target>, size: Size) -> String {
    let head = head(GET, Some(&target.token));
    let end = Instant::now() + size.time;
    let sent = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..size.connections {
        let (target, head, sent) = (target.clone(), head.clone(), sent.clone());
        workers.spawn(async move {
            let Some(mut connection) = Shouting::settle(target.address, number, &beginning()).await else {
                return;
            };
            let length = (4_u32 << 20) - 100;
            let first = [&[0], &length.to_be_bytes()[..]].concat();
            for at in 0..size.count as u32 {
                let id = 2 * at + 1;
                let head = [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, 0, id, &first)].concat();
                connection.say(&head, end).await;
            }
            let piece = vec![0; 16_000];
            // All but the last of the pieces, beyond the windows that were given: who keeps to them waits.
            for _ in 0..60 {
                for at in 0..size.count as u32 {
                    if !connection.say(&frame(DATA, 0, 2 * at + 1, &piece), end).await {
                        return;
                    }
                    sent.fetch_add(piece.len(), Ordering::Relaxed);
                }
            }
            sleep_until(end).await;
        });
    }
    workers.join_all().await;
    let messages = size.connections * size.count;
    format!("{} MiB of {messages} messages", sent.load(Ordering::Relaxed) >> 20)
}

/// Opens streams, and holds them open.
pub async fn hold(
    target: Arc<Target>,
    size: Size,
    first: Vec<u8>,
    call: impl Fn(u32) -> Vec<u8> + Clone + Send + 'static,
) -> usize {
    let end = Instant::now() + size.time;
    let opened = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..size.connections {
        let (target, first, call, opened) = (target.clone(), first.clone(), call.clone(), opened.clone());
        workers.spawn(async move {
            let Some(mut connection) = Shouting::settle(target.address, number, &first).await else { return };
            for ids in (0..size.count as u32).collect::<Vec<_>>().chunks(50) {
                let calls: Vec<u8> = ids.iter().flat_map(|at| call(2 * at + 1)).collect();
                if !connection.say(&calls, end).await {
                    return;
                }
                opened.fetch_add(ids.len(), Ordering::Relaxed);
            }
            sleep_until(end).await;
        });
    }
    workers.join_all().await;
    opened.load(Ordering::Relaxed)
}

/// As fast as they are refused, so many at once on each connection.
pub async fn wrong_tokens(target: Arc<Target>, size: Size) -> String {
    let end = Instant::now() + size.time;
    let tried = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..size.connections {
        let (target, tried) = (target.clone(), tried.clone());
        workers.spawn(async move {
            let Some(mut socket) = connect(target.address, number).await else { return };
            let (mut id, mut buffer, mut answers) = (1, vec![0; 64 << 10], Answers::default());
            if socket.write_all(&beginning()).await.is_err() {
                return;
            }
            while Instant::now() < end {
                let mut calls = vec![];
                for _ in 0..size.count {
                    // The form is right, and what is wrong with it costs a look.
                    let mut token = target.token.clone().into_bytes();
                    let last = token.len() - 20;
                    token[last] = if token[last] == b'0' { b'1' } else { b'0' };
                    let token = String::from_utf8(token).expect("ASCII");
                    calls.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &head(GET, Some(&token))));
                    id += 2;
                }
                if socket.write_all(&calls).await.is_err() {
                    return;
                }
                tried.fetch_add(size.count, Ordering::Relaxed);
                let mut answered = 0;
                while answered < size.count {
                    let left = end.saturating_duration_since(Instant::now());
                    match timeout(left, socket.read(&mut buffer)).await {
                        Ok(Ok(count @ 1..)) => answered += answers.heads(&buffer[..count]),
                        Ok(Ok(0) | Err(_)) | Err(_) => return,
                    }
                }
            }
        });
    }
    workers.join_all().await;
    format!("{} calls", tried.load(Ordering::Relaxed))
}
