//! Clients that take their time: a byte now and then, so that nobody can say that they are gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::connect::Shouting;
use super::http2::*;
use super::{Size, Target};

/// Between two bytes.
const PAUSE: Duration = Duration::from_millis(500);

/// The head of a ClientHello, and of what it announces a byte now and then.
pub async fn tls(target: Arc<Target>, size: Size) -> String {
    let first = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    drip(target, size, first.to_vec(), |_| vec![0x55]).await
}

pub async fn preface(target: Arc<Target>, size: Size) -> String {
    drip(target, size, vec![], |round| PREFACE[round % (PREFACE.len() - 1)..][..1].to_vec()).await
}

/// A head without an end.
pub async fn headers(target: Arc<Target>, size: Size) -> String {
    let head = head(GET, None);
    let first =
        [beginning(), frame(HEADERS, 0, 1, &head), vec![0, 0x10, 0, CONTINUATION, 0, 0, 0, 0, 1]].concat();
    drip(target, size, first, |_| vec![0]).await
}

/// Messages of which a byte comes now and then, from somebody with a good token.
pub async fn messages(target: Arc<Target>, size: Size) -> String {
    let head = head(GET, Some(&target.token));
    let mut first = beginning();
    let ids: Vec<u32> = (0..size.count as u32).map(|at| 2 * at + 1).collect();
    for id in &ids {
        first.extend(frame(HEADERS, END_HEADERS, *id, &head));
        first.extend(frame(DATA, 0, *id, &[0, 0, 1, 0, 0]));
    }
    let drop = move |_| ids.iter().flat_map(|id| frame(DATA, 0, *id, &[0x0a])).collect();
    drip(target, size, first, drop).await
}

/// Opens connections, says something first, and then a little now and then.
async fn drip(
    target: Arc<Target>,
    size: Size,
    first: Vec<u8>,
    drop: impl Fn(usize) -> Vec<u8> + Clone + Send + Sync + 'static,
) -> String {
    let end = Instant::now() + size.time;
    let first = Arc::new(first);
    let mut opening = tokio::task::JoinSet::new();
    for worker in 0..16 {
        let (target, first) = (target.clone(), first.clone());
        opening.spawn(async move {
            let mut opened = vec![];
            for number in (worker..size.connections).step_by(16).take_while(|_| Instant::now() < end) {
                opened.extend(Shouting::open(target.address, number, &first).await);
            }
            opened
        });
    }
    let mut opened: Vec<Shouting> = opening.join_all().await.into_iter().flatten().collect();
    let (count, mut round) = (opened.len(), 0);
    while Instant::now() < end && !opened.is_empty() {
        let next = Instant::now() + PAUSE;
        let bytes = drop(round);
        for connection in &mut opened {
            connection.say(&bytes, end).await;
        }
        opened.retain(Shouting::is_open);
        round += 1;
        sleep_until(next.min(end)).await;
    }
    format!("{count} connections, {} of them held to the end", opened.len())
}
