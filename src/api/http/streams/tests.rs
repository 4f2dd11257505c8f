use std::future::poll_fn;

use futures_util::stream::{self, StreamExt};

use super::*;
use crate::api::call_errors::connection_too_old;
use crate::api::rpc::{Signature, signature};

const CHANGES: Rpc = signature::ConfigServiceStreamChanges::RPC;

fn progress(token: &str) -> Result<Encoded, ApiError> {
    let event = Some(v1::stream_changes_response::Event::Progress(v1::Progress {}));
    let message =
        v1::StreamChangesResponse { revision: 7, event, resume_token: token.into(), ..Default::default() };
    Ok(Encoded::of(&message))
}

fn streamed(messages: Vec<Result<Encoded, ApiError>>, framing: Framing, ends: bool) -> Streamed {
    let messages = stream::iter(messages);
    let reply = match ends {
        true => Reply::Messages(Box::pin(messages)),
        false => Reply::Messages(Box::pin(messages.chain(stream::pending()))),
    };
    Streamed::new(Arc::default(), CHANGES, reply, framing, None)
}

async fn next(streamed: &mut Streamed) -> Option<Result<String, ApiError>> {
    let next = poll_fn(|context| streamed.poll_next(context)).await?;
    Some(next.map(|piece| String::from_utf8(piece.into_frame().to_vec()).expect("UTF-8")))
}

fn told(streamed: &Streamed, error: &ApiError) -> String {
    String::from_utf8(streamed.last_words(error).into_frame().to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn a_message_is_an_event_with_its_name_and_where_to_go_on() {
    let mut events = streamed(vec![progress("1.a.7"), progress("")], Framing::Events, true);
    let first = next(&mut events).await.expect("one").expect("one");
    let (retry, rest) = first.split_once('\n').expect("lines");
    assert!(retry.starts_with("retry: "), "{first}");
    let json = r#"{"revision":7,"more":false,"progress":{},"resume_token":"1.a.7"}"#;
    assert_eq!(rest, format!("event: progress\nid: 1.a.7\ndata: {json}\n\n"));
    let second = next(&mut events).await.expect("one").expect("one");
    assert!(second.starts_with("event: progress\ndata: {"), "no id without a token: {second}");
    assert!(next(&mut events).await.is_none(), "it ends");
}

#[tokio::test]
async fn a_message_is_a_line_of_json() {
    let mut lines = streamed(vec![progress("1.a.7")], Framing::Lines, true);
    let line = next(&mut lines).await.expect("one").expect("one");
    assert_eq!(line, "{\"revision\":7,\"more\":false,\"progress\":{},\"resume_token\":\"1.a.7\"}\n");
    assert!(next(&mut lines).await.is_none(), "it ends");
}

#[tokio::test]
async fn a_stream_of_events_that_says_nothing_has_comments() {
    let mut events = streamed(vec![progress("1.a.7")], Framing::Events, false);
    let due_in = |events: &Streamed| {
        let comment = events.comment.as_ref().expect("events have comments");
        comment.deadline().saturating_duration_since(Instant::now())
    };
    let is_put_off = |events: &Streamed| due_in(events) > COMMENT_INTERVAL / 2;
    // As if nothing had been said for the whole interval.
    let make_due = |events: &mut Streamed| {
        events.comment.as_mut().expect("events have comments").as_mut().reset(Instant::now());
    };
    make_due(&mut events);
    next(&mut events).await.expect("one").expect("one");
    assert!(is_put_off(&events), "a message puts the next comment off");
    for _ in 0..2 {
        make_due(&mut events);
        assert_eq!(next(&mut events).await.expect("a comment").expect("a comment"), ":\n\n");
        assert!(is_put_off(&events));
    }
    assert!(streamed(vec![], Framing::Lines, false).comment.is_none(), "lines have no comments");
}

#[tokio::test]
async fn the_last_words_are_a_problem_and_when_to_come_back() {
    let events = streamed(vec![], Framing::Events, true);
    let drain = told(&events, &connection_too_old(Duration::from_millis(1500)));
    assert!(drain.starts_with("event: drain\nretry: 1500\ndata: {"), "{drain}");
    assert!(drain.contains(r#""reason":"DRAINING""#) && drain.ends_with("}\n\n"), "{drain}");
    let error = told(&events, &ApiError::from(crate::api::call_errors::Unreadable::Malformed));
    assert!(error.starts_with("event: error\ndata: {"), "{error}");
    let lines = streamed(vec![], Framing::Lines, true);
    let last = told(&lines, &connection_too_old(Duration::from_millis(1500)));
    let last: serde_json::Value = serde_json::from_str(&last).expect("JSON");
    assert_eq!(last["error"]["status"], 503);
}

#[test]
fn streams_that_are_sent_the_same_bytes_share_their_json() {
    let frames = JsonFrames::default();
    let shared = Encoded::of_frame(progress("1.a.7").expect("one").into_frame());
    let first = frames.of(CHANGES, shared.clone()).expect("JSON");
    let again = frames.of(CHANGES, shared).expect("JSON");
    assert!(Arc::ptr_eq(&first, &again) && first.is_shared);
    let own = frames.of(CHANGES, progress("1.a.7").expect("one")).expect("JSON");
    assert!(!own.is_shared);
}

#[test]
fn the_client_chooses_the_framing() {
    let accept = |value: &'static str| {
        let headers = HeaderMap::from_iter([(http::header::ACCEPT, HeaderValue::from_static(value))]);
        Framing::of(&headers, Framing::Events).map_err(|error| error.reason)
    };
    assert_eq!(accept("text/event-stream"), Ok(Framing::Events));
    assert_eq!(accept("application/x-ndjson"), Ok(Framing::Lines));
    assert_eq!(accept("*/*"), Ok(Framing::Events));
    assert_eq!(accept("application/json"), Err("NOT_ACCEPTABLE"));
    assert_eq!(Framing::of(&HeaderMap::new(), Framing::Lines).expect("any"), Framing::Lines);
}
