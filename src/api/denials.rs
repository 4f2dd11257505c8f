//! Records denied calls in the audit log, from the error that ends them. Knows no operation, no transport, and nothing of files.

use std::sync::Arc;

use http::{Extensions, HeaderMap};

use super::context::{self, CallContext};
use super::error::{ApiError, Code, STATED_REASON};
use super::guard::peer::Peer;
use crate::audit::{Entry, Kind, Place, Recorder};
use crate::auth::Credential;

/// Records the end of a call of a known caller if it is a denial.
pub(super) fn ended(recorder: &Recorder, context: &CallContext, error: &ApiError) {
    let Some(kind) = kind(error) else { return };
    debug_assert!(
        kind != Kind::Denied || context.rpc().verbs().iter().any(|verb| verb.as_str() == error.value("verb")),
        "the table of services lacks a permission of {}: {}",
        context.method(),
        error.message
    );
    let caller = context.access().caller();
    recorder.record(&Entry {
        actor: caller.actor(),
        credential: caller.credential(),
        address: context.address(),
        method: context.method(),
        request_id: context.request_id(),
        ..entry(kind, error)
    });
}

/// Records a call that was not let in. `method` is the path of what was called, `shown` the credential it was made with, if that once was good.
pub(super) fn refused(
    recorder: &Recorder,
    method: &str,
    headers: &HeaderMap,
    extensions: &Extensions,
    shown: impl FnOnce() -> Option<Credential>,
    error: &ApiError,
) {
    let Some(kind) = kind(error) else { return };
    let was_good = matches!(error.reason, "CREDENTIAL_EXPIRED" | "CREDENTIAL_REVOKED");
    let credential = was_good.then(shown).flatten().map(|shown| shown.to_string()).unwrap_or_default();
    let peer = extensions.get::<Arc<Peer>>();
    recorder.record(&Entry {
        credential: &credential,
        address: peer.map(|peer| peer.address.ip()),
        method,
        request_id: context::text(context::request_id(headers)),
        ..entry(kind, error)
    });
}

/// As what an error is recorded. `None`: it is no denial.
fn kind(error: &ApiError) -> Option<Kind> {
    match error.code {
        Code::PermissionDenied => Some(Kind::Denied),
        Code::Unauthenticated => Some(Kind::Refused),
        Code::Cancelled
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable => None,
    }
}

/// The record of a denial, without its call.
fn entry<'a>(kind: Kind, error: &'a ApiError) -> Entry<'a> {
    Entry {
        kind,
        actor: "",
        credential: &"",
        address: None,
        method: "",
        verb: error.value("verb"),
        place: Place {
            namespace: error.value("namespace"),
            config: error.value("config"),
            scope: error.value("scope"),
        },
        outcome: error.reason,
        request_id: "",
        reason: error.value(STATED_REASON),
    }
}
