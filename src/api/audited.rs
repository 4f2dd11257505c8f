//! Word to the audit log. Of calls and streams that are shut out where their end leaves the server, so that no handler can forget it: what is
//! recorded is what the client is told. Of secrets that are shown where they are shown. Knows no handler, and nothing of files.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http::header::HeaderMap;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic_types::StatusExt;

use super::Api;
use super::answer::{Answer, Reply};
use super::codec::Encoded;
use super::context::{self, CallContext};
use super::framed::is_stream;
use super::peer::Peer;
use super::status::STATED_REASON;
use crate::audit::{Entry, Kind, Place, Recorder};
use crate::auth::Credential;
use crate::engine::{HIDDEN_FINDING, Resolved, SecretUse, Viewer};
use crate::model::{ConfigId, Scope};
use crate::validate::{self, Report};

/// The codes that shut out, as they are written.
const PERMISSION_DENIED: &[u8] = b"7";
const UNAUTHENTICATED: &[u8] = b"16";

/// A stream whose end is told to the audit log, if that shuts its caller out.
pub struct Audited {
    reply: Reply,
    context: CallContext,
    recorder: Recorder,
    /// It lasts as long as its client wants.
    is_stream: bool,
}

/// A call that its handler answers: told of if its caller is shut out, now or by the end of its stream.
pub(super) fn audited(recorder: &Recorder, context: CallContext, is_stream: bool, answer: Answer) -> Answer {
    let recorder = recorder.clone();
    match answer {
        Answer::Now(response) => Answer::Now(watched(recorder, context, is_stream, response)),
        Answer::Later(answer) => {
            Answer::later(async move { watched(recorder, context, is_stream, answer.await) })
        }
    }
}

fn watched(
    recorder: Recorder,
    context: CallContext,
    is_stream: bool,
    response: Response<Reply>,
) -> Response<Reply> {
    ended(&recorder, &context, response.headers());
    response.map(|reply| match reply {
        Reply::Message(_) | Reply::Ended => reply,
        Reply::Generated(_) if !is_stream => reply,
        Reply::Watch(_) | Reply::Changes(_) | Reply::Generated(_) | Reply::Audited(_) => {
            Reply::Audited(Box::new(Audited { reply, context, recorder, is_stream }))
        }
    })
}

/// Tells of a call of somebody who is known, if these headers or trailers end it by shutting them out.
pub(super) fn ended(recorder: &Recorder, context: &CallContext, end: &HeaderMap) {
    let Some((kind, outcome)) = shut_out(end) else { return };
    let caller = context.access().caller();
    outcome.tell(recorder, |told| Entry {
        kind,
        actor: caller.actor(),
        credential: caller.credential(),
        address: context.address(),
        method: context.method(),
        request_id: context.request_id(),
        ..told
    });
}

/// Tells of a call that was not let in. `shown` is the credential it was made with, if that once was good.
pub(super) fn refused<B>(
    recorder: &Recorder,
    request: &Request<B>,
    shown: impl FnOnce() -> Option<Credential>,
    end: &HeaderMap,
) {
    let Some((kind, outcome)) = shut_out(end) else { return };
    let was_good = matches!(outcome.reason.as_str(), "CREDENTIAL_EXPIRED" | "CREDENTIAL_REVOKED");
    let credential = was_good.then(shown).flatten().map(|shown| shown.to_string()).unwrap_or_default();
    let peer = request.extensions().get::<Arc<Peer>>();
    outcome.tell(recorder, |told| Entry {
        kind,
        credential: &credential,
        address: peer.map(|peer| peer.address.ip()),
        method: request.uri().path(),
        request_id: context::text(context::request_id(request.headers())),
        ..told
    });
}

/// Whose call it is: made when it must be known, which it seldom must.
pub(super) type By<'a> = &'a (dyn Fn() -> CallContext + Sync);

impl Api {
    /// Who made this call, as one of whom the audit log hears when they are shown secrets. Where everybody is believed there is nothing to
    /// hear: who it was would not be known.
    pub(super) fn viewer(&self, context: &CallContext) -> Viewer {
        if !self.guard.is_on() {
            return Viewer::new(context.sight());
        }
        let (sight, recorder, context) = (context.sight(), self.recorder.clone(), context.clone());
        if is_stream(context.method()) {
            let tell = move |done: SecretUse, id: &ConfigId, scope: &Scope| {
                used(&recorder, &context, done, id, scope)
            };
            return Viewer::with(sight, Arc::new(tell));
        }
        // One call shows the same secrets in several places of its answer.
        let told = Mutex::new(BTreeSet::new());
        let tell = move |done: SecretUse, id: &ConfigId, scope: &Scope| {
            let is_new =
                told.lock().unwrap_or_else(PoisonError::into_inner).insert((done, id.clone(), scope.clone()));
            if is_new {
                used(&recorder, &context, done, id, scope);
            }
        };
        Viewer::with(sight, Arc::new(tell))
    }

    /// Tells that a caller is given a document, if that has secrets as they are. `context` is made only then.
    pub(super) fn gives(&self, document: &Resolved, context: By<'_>) {
        if document.reveals && self.guard.is_on() {
            revealed(&self.recorder, &context(), &document.target.id, &document.target.scope);
        }
    }

    /// Tells that a caller was told of documents that they may not read, whether they would be valid.
    pub(super) fn tell_of_hidden(&self, context: &CallContext, report: &Report) {
        let hidden = report.findings.iter().find(|finding| finding.code == HIDDEN_FINDING);
        let Some(finding) = hidden.filter(|_| self.guard.is_on()) else { return };
        let validate::Place { id, scope, .. } = &finding.place;
        let caller = context.access().caller();
        self.recorder.record(&Entry {
            kind: Kind::Denied,
            actor: caller.actor(),
            credential: caller.credential(),
            address: context.address(),
            method: context.method(),
            verb: "read",
            place: Place {
                namespace: id.namespace.as_str(),
                config: id.config.as_str(),
                scope: scope.as_str(),
            },
            outcome: HIDDEN_FINDING,
            request_id: context.request_id(),
            reason: "",
        });
    }
}

/// Tells that secrets of a document were shown as they are. To be called where they are, and only then.
pub(super) fn revealed(recorder: &Recorder, context: &CallContext, id: &ConfigId, scope: &Scope) {
    used(recorder, context, SecretUse::Revealed, id, scope);
}

/// Tells what a caller did with secrets of a document.
fn used(recorder: &Recorder, context: &CallContext, done: SecretUse, id: &ConfigId, scope: &Scope) {
    let (kind, verb, outcome) = match done {
        SecretUse::Revealed => (Kind::Revealed, "reveal-secret", "REVEALED"),
        SecretUse::Overwritten => (Kind::Overwritten, "write", "OVERWRITTEN"),
    };
    let caller = context.access().caller();
    recorder.record(&Entry {
        kind,
        actor: caller.actor(),
        credential: caller.credential(),
        address: context.address(),
        method: context.method(),
        verb,
        place: Place { namespace: id.namespace.as_str(), config: id.config.as_str(), scope: scope.as_str() },
        outcome,
        request_id: context.request_id(),
        reason: "",
    });
}

/// What a client that is shut out is told.
struct Outcome {
    reason: String,
    metadata: std::collections::HashMap<String, String>,
}

impl Outcome {
    fn tell<'a>(&'a self, recorder: &Recorder, entry: impl FnOnce(Entry<'a>) -> Entry<'a>) {
        let of = |name: &str| self.metadata.get(name).map_or("", String::as_str);
        recorder.record(&entry(Entry {
            kind: Kind::Refused,
            actor: "",
            credential: &"",
            address: None,
            method: "",
            verb: of("verb"),
            place: Place { namespace: of("namespace"), config: of("config"), scope: of("scope") },
            outcome: &self.reason,
            request_id: "",
            reason: of(STATED_REASON),
        }));
    }
}

fn shut_out(end: &HeaderMap) -> Option<(Kind, Outcome)> {
    let kind = match end.get(Status::GRPC_STATUS)?.as_bytes() {
        PERMISSION_DENIED => Kind::Denied,
        UNAUTHENTICATED => Kind::Refused,
        _ => return None,
    };
    let info = Status::from_header_map(end).and_then(|status| status.get_details_error_info());
    let (reason, metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
    Some((kind, Outcome { reason, metadata }))
}

impl Audited {
    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }

    pub(super) fn is_within_parts(&self) -> bool {
        self.reply.is_within_parts()
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.reply.is_end_stream()
    }

    pub(super) fn waits(&mut self) {
        self.reply.waits();
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Encoded>, Status>>> {
        let frame = ready!(Pin::new(&mut self.reply).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            ended(&self.recorder, &self.context, trailers);
        }
        Poll::Ready(frame)
    }
}
