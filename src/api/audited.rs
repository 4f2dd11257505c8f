//! Word to the audit log. Of calls and streams that are shut out where their end leaves the server, so that no handler can forget it: what is
//! recorded is what the client is told. Of secrets that are shown where they are shown. Knows no handler, and nothing of files.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
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
use super::compression::marked;
use super::context::{self, CallContext};
use super::framed::is_stream;
use super::guard::rates::{HIDDEN_FINDINGS_AT_ONCE, Rates};
use super::peer::Peer;
use super::status::{AUDIT_LOG_UNAVAILABLE, HIDDEN_FINDINGS_LIMITED, SECRET_REVEALS_LIMITED, STATED_REASON};
use crate::audit::{Entry, Kind, Place, Recorder};
use crate::auth::Credential;
use crate::engine::{Error, HIDDEN_FINDING, Resolved, SecretUse, Viewer, Withheld};
use crate::model::{ConfigId, Namespace, Scope};
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
    // Here and not before: what the answer shows is known when it is there.
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
    marked(&context, response).map(|reply| match reply {
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
        let (sight, reveals, context) = (context.sight(), self.reveals(), context.clone());
        if is_stream(context.method()) {
            let is_refused = AtomicBool::new(false);
            let tell = move |done: SecretUse, id: &ConfigId, scope: &Scope, is_owed: bool| match done {
                SecretUse::Overwritten => {
                    overwritten(&reveals.recorder, &context, id, scope);
                    Ok(())
                }
                SecretUse::Revealed => {
                    let shown = reveals.take(&context, id, scope, is_owed);
                    // Each attempt of a stream that waits is one refusal.
                    let was_refused = is_refused.swap(shown.is_err(), Ordering::Relaxed);
                    if let Err(why) = shown
                        && !was_refused
                    {
                        reveals.refused(&context, why, id, scope);
                    }
                    shown
                }
            };
            return Viewer::with(sight, Arc::new(tell));
        }
        // One call shows the same secrets in several places of its answer, and is let through at the first of them or not at all.
        let told = Mutex::new(BTreeSet::new());
        let has_shown = AtomicBool::new(false);
        let tell = move |done: SecretUse, id: &ConfigId, scope: &Scope, _is_owed: bool| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let place = (done, id.clone(), scope.clone());
            if told.contains(&place) {
                return Ok(());
            }
            match done {
                SecretUse::Overwritten => overwritten(&reveals.recorder, &context, id, scope),
                SecretUse::Revealed => {
                    let shown = reveals.take(&context, id, scope, has_shown.load(Ordering::Relaxed));
                    shown.inspect_err(|why| reveals.refused(&context, *why, id, scope))?;
                    has_shown.store(true, Ordering::Relaxed);
                }
            }
            told.insert(place);
            Ok(())
        };
        Viewer::with(sight, Arc::new(tell))
    }

    /// What stands before secrets that are shown to callers.
    pub(super) fn reveals(&self) -> Reveals {
        Reveals { rates: self.guard.rates().clone(), recorder: self.recorder.clone() }
    }

    /// Records that a caller is given documents, as far as they have secrets as they are. `context` is made only then. If it fails, none of
    /// them must be given.
    pub(super) fn gives<'a>(
        &self,
        documents: impl IntoIterator<Item = &'a Resolved>,
        context: By<'_>,
    ) -> Result<(), Withheld> {
        if !self.guard.is_on() {
            return Ok(());
        }
        let mut revealing = documents.into_iter().filter(|document| document.reveals).peekable();
        if revealing.peek().is_none() {
            return Ok(());
        }
        let (reveals, context) = (self.reveals(), context());
        let places = revealing.map(|document| (&document.target.id, &document.target.scope));
        reveals.take_all(&context, places).map_err(|(withheld, id, scope)| {
            reveals.refused(&context, withheld, id, scope);
            withheld
        })
    }

    /// Before a call that may tell of documents that its caller may not read, whether they would be valid. Refused if they were told so too
    /// often by calls on one of these configs.
    pub(super) fn check_hidden(&self, context: &CallContext, reached: &Reached) -> Result<(), Error> {
        if !self.guard.is_on() {
            return Ok(());
        }
        for (namespace, config) in reached.hidden_from(context) {
            let (actor, resource) = (context.access().caller().shared_actor(), resource(namespace, config));
            if let Err(wait) = self.guard.rates().check_hidden_findings(actor, &resource) {
                let place = Place { namespace: namespace.as_str(), config, scope: "" };
                self.recorder.record(&by(context, (Kind::Denied, "read", HIDDEN_FINDINGS_LIMITED), place));
                return Err(Error::HiddenFindings { resource, at_once: HIDDEN_FINDINGS_AT_ONCE, wait });
            }
        }
        Ok(())
    }

    /// Records and counts that a caller was told of documents that they may not read, that they would be invalid.
    pub(super) fn tell_of_hidden(&self, context: &CallContext, reached: &Reached, report: &Report) {
        let hidden = report.findings.iter().find(|finding| finding.code == HIDDEN_FINDING);
        let Some(finding) = hidden.filter(|_| self.guard.is_on()) else { return };
        for (namespace, config) in reached.hidden_from(context) {
            let actor = context.access().caller().shared_actor();
            self.guard.rates().count_hidden_finding(actor, &resource(namespace, config));
        }
        let validate::Place { id, scope, .. } = &finding.place;
        self.recorder.record(&on_config(context, (Kind::Denied, "read", HIDDEN_FINDING), id, scope));
    }
}

/// What stands before secrets that are shown: the budget of the actor, and a record of each document in the audit log. Does not keep the
/// store open.
#[derive(Clone)]
pub(super) struct Reveals {
    rates: Arc<Rates>,
    recorder: Recorder,
}

impl Reveals {
    /// Records that secrets of these documents are shown in one message. If it fails, none of them must be.
    pub fn take_all<'a>(
        &self,
        context: &CallContext,
        places: impl Iterator<Item = (&'a ConfigId, &'a Scope)>,
    ) -> Result<(), (Withheld, &'a ConfigId, &'a Scope)> {
        for (at, (id, scope)) in places.enumerate() {
            self.take(context, id, scope, at > 0).map_err(|withheld| (withheld, id, scope))?;
        }
        Ok(())
    }

    /// `is_owed`: others are shown in the same message already.
    fn take(
        &self,
        context: &CallContext,
        id: &ConfigId,
        scope: &Scope,
        is_owed: bool,
    ) -> Result<(), Withheld> {
        let actor = context.access().caller().shared_actor();
        self.rates.reveal_to(actor, is_owed).map_err(|limited| Withheld::Limited {
            per_second: limited.rate.per_second.get(),
            burst: limited.rate.burst.get(),
            wait: limited.wait,
        })?;
        let entry = on_config(context, (Kind::Revealed, "reveal-secret", "REVEALED"), id, scope);
        context.note_secrets();
        self.recorder.record_reveal(&entry).then_some(()).ok_or(Withheld::Unrecorded)
    }

    /// Records that secrets were not shown, which says that somebody reads very many.
    pub fn refused(&self, context: &CallContext, why: Withheld, id: &ConfigId, scope: &Scope) {
        let outcome = match why {
            Withheld::Limited { .. } => SECRET_REVEALS_LIMITED,
            Withheld::Unrecorded => AUDIT_LOG_UNAVAILABLE,
        };
        let kind = (Kind::Denied, "reveal-secret", outcome);
        self.recorder.record(&on_config(context, kind, id, scope));
    }
}

/// Records that a caller has put a value over a secret that they may not see.
fn overwritten(recorder: &Recorder, context: &CallContext, id: &ConfigId, scope: &Scope) {
    recorder.record(&on_config(context, (Kind::Overwritten, "write", "OVERWRITTEN"), id, scope));
}

/// What a call may tell of: these configs, or all of a namespace.
pub(super) enum Reached {
    Configs(Vec<ConfigId>),
    Namespace(Namespace),
}

impl Reached {
    /// As far as the caller may not read all of it.
    fn hidden_from(&self, context: &CallContext) -> Vec<(&Namespace, &str)> {
        let global = Scope::global();
        let sight = context.sight();
        match self {
            Reached::Configs(ids) => {
                // What governs configs reaches those that the caller may not read, too.
                let is_hidden = |id: &&ConfigId| {
                    !id.config.is_ordinary() || !sight.has(&id.namespace, &id.config, &global)
                };
                ids.iter().filter(is_hidden).map(|id| (&id.namespace, id.config.as_str())).collect()
            }
            Reached::Namespace(namespace) => vec![(namespace, "")],
        }
    }
}

fn resource(namespace: &Namespace, config: &str) -> String {
    if config.is_empty() { namespace.to_string() } else { format!("{namespace}/{config}") }
}

/// What a caller did with a config: the kind, the verb and the outcome.
fn on_config<'a>(
    context: &'a CallContext,
    what: (Kind, &'a str, &'a str),
    id: &'a ConfigId,
    scope: &'a Scope,
) -> Entry<'a> {
    let place = Place { namespace: id.namespace.as_str(), config: id.config.as_str(), scope: scope.as_str() };
    by(context, what, place)
}

fn by<'a>(
    context: &'a CallContext,
    (kind, verb, outcome): (Kind, &'a str, &'a str),
    place: Place<'a>,
) -> Entry<'a> {
    let caller = context.access().caller();
    Entry {
        kind,
        actor: caller.actor(),
        credential: caller.credential(),
        address: context.address(),
        method: context.method(),
        verb,
        place,
        outcome,
        request_id: context.request_id(),
        reason: "",
    }
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
