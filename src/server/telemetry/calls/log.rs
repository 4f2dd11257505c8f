//! Logs calls: all of them at debug; failed and slow ones at a rate that a person can read. Knows names, codes and times; no message.

use std::time::{Duration, Instant};

use http::HeaderValue;
use tonic::Code;
use tracing::Level;

use super::Method;
use crate::api::code_name::code_name;
use crate::api::failures::LineBudget;

/// An answer that takes longer is slow. Streams are not: they last.
const SLOW: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Log(LineBudget);

/// What a call ended with, for whoever reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogKind {
    Ended,
    /// The client has to do something about it.
    Refused,
    Slow,
    /// The server has.
    Failed,
}

impl Log {
    pub(super) fn tell(&self, method: &Method, code: Code, time: Duration, request_id: Option<&HeaderValue>) {
        let kind = kind(method.streams, code, time);
        let all = tracing::enabled!(target: "confwatch::calls", Level::DEBUG);
        if kind == LogKind::Ended && !all {
            return;
        }
        let left_out = match kind {
            LogKind::Ended => 0,
            LogKind::Refused | LogKind::Slow | LogKind::Failed => match self.0.take(Instant::now()) {
                Some(left_out) => left_out,
                None if all => 0,
                None => return,
            },
        };
        let named = request_id.and_then(|id| id.to_str().ok());
        let fresh = named.is_none().then(|| uuid::Uuid::now_v7().to_string());
        let request_id = named.or(fresh.as_deref());
        let (service, name, code, seconds) =
            (&method.service, &method.name, code_name(code as i32), time.as_secs_f64());
        macro_rules! tell {
            ($level:expr, $message:literal) => {
                tracing::event!(
                    target: "confwatch::calls", $level, request_id, service, method = name, code, seconds, left_out, $message
                )
            };
        }
        match kind {
            LogKind::Ended => tell!(Level::DEBUG, "a call has ended"),
            LogKind::Refused => tell!(Level::INFO, "a call was refused"),
            LogKind::Slow => tell!(Level::WARN, "a call was slow"),
            LogKind::Failed => tell!(Level::WARN, "a call has failed"),
        }
    }
}

fn kind(streams: bool, code: Code, time: Duration) -> LogKind {
    match code {
        // How a stream ends: its client leaves, or is told to come back.
        Code::Unavailable if streams => LogKind::Ended,
        Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss => LogKind::Failed,
        _ if !streams && time >= SLOW => LogKind::Slow,
        Code::Ok | Code::Cancelled => LogKind::Ended,
        Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => LogKind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_has_to_look_at_is_told_apart_from_what_a_client_did() {
        let (quick, slow) = (Duration::from_millis(1), Duration::from_secs(2));
        let check =
            |streams, code, time, expected| assert_eq!(kind(streams, code, time), expected, "{code:?}");
        check(false, Code::Ok, quick, LogKind::Ended);
        check(false, Code::Ok, slow, LogKind::Slow);
        check(true, Code::Ok, slow, LogKind::Ended);
        check(true, Code::Cancelled, slow, LogKind::Ended);
        check(true, Code::Unavailable, slow, LogKind::Ended);
        check(false, Code::Unavailable, quick, LogKind::Failed);
        check(false, Code::NotFound, quick, LogKind::Refused);
        check(true, Code::PermissionDenied, slow, LogKind::Refused);
        check(false, Code::Internal, slow, LogKind::Failed);
    }
}
