//! Records in the audit log which secrets were revealed, and what callers learned of documents that they may not read. Operations call this
//! module themselves, since such calls succeed and leave no error to record. Knows no transport and no files.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::context::CallContext;
use super::error::{AUDIT_LOG_UNAVAILABLE, HIDDEN_FINDINGS_LIMITED, SECRET_REVEALS_LIMITED};
use super::guard::rates::{HIDDEN_FINDINGS_AT_ONCE, Rates};
use super::operations::Operations;
use crate::audit::{Entry, Kind, Place, Recorder};
use crate::engine::{
    BackupFailure, BackupKind, BackupManifest, BackupSelection, Error, FinishedBackup, HIDDEN_FINDING,
    Intent, KeptBackup, Resolved, SecretUse, Viewer, Withheld,
};
use crate::model::{ConfigId, Digest, Namespace, Scope};
use crate::validate::Report;

/// Whose call it is: made when it must be known, which it seldom must.
pub(super) type By<'a> = &'a (dyn Fn() -> CallContext + Sync);

impl Operations {
    /// Who made this call, as one of whom the audit log hears when they are shown secrets. Where everybody is believed there is nothing to
    /// hear: who it was would not be known.
    pub(super) fn viewer(&self, context: &CallContext) -> Viewer {
        if !self.guard.is_on() {
            return Viewer::new(context.visibility());
        }
        let (visibility, reveals, context) = (context.visibility(), self.reveals(), context.clone());
        if context.rpc().is_stream() {
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
            return Viewer::with(visibility, Arc::new(tell));
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
        Viewer::with(visibility, Arc::new(tell))
    }

    /// What stands before secrets that are shown to callers.
    pub(super) fn reveals(&self) -> Reveals {
        Reveals { rates: self.guard.rates().clone(), recorder: self.recorder.clone() }
    }

    /// What records a backup that a caller makes.
    pub(super) fn backup_record(
        &self,
        context: &CallContext,
        kind: BackupKind,
        selection: &BackupSelection,
    ) -> BackupRecord {
        let (recorder, selection) = (self.recorder.clone(), selection.clone());
        BackupRecord { recorder, context: context.clone(), kind, selection }
    }

    /// Records what a caller has tried with a backup and was refused: a backup or an upload that is there and of which they may not know (the caller is
    /// told that there is none), a file that was not taken, a restore from a backup that was not made. What is tried again and again is summed up.
    pub(super) fn record_denied_backup(
        &self,
        context: &CallContext,
        selection: &BackupSelection,
        outcome: &'static str,
    ) {
        self.recorder.record(&by(context, (Kind::Denied, "backup", outcome), place_of(selection)));
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

    /// Before a call that may tell of documents that its caller may not read, whether they would be valid. Refused if the caller asked so too
    /// often in one of these namespaces. `governing`: the configs of which it proposes what governs others, sorted. Such a call counts here if
    /// they govern what the caller may not read, since also that all is valid answers a question that the caller chose.
    pub(super) fn check_hidden(
        &self,
        context: &CallContext,
        reached: &Reached,
        governing: &[ConfigId],
    ) -> Result<HiddenQueries, Error> {
        if !self.guard.is_on() {
            return Ok(HiddenQueries::default());
        }
        let counted = self.engine.governed_unseen(governing, &context.visibility());
        let named = governing.iter().map(|id| (&id.namespace, id.config.as_str()));
        let mut checked = BTreeSet::new();
        for (namespace, config) in reached.hidden_from(context).into_iter().chain(named) {
            if !checked.insert(namespace) {
                continue;
            }
            let (rates, actor) = (self.guard.rates(), context.access().caller().shared_actor());
            let left = match counted.contains(namespace) {
                true => rates.take_hidden_finding(actor, namespace.as_str()),
                false => rates.check_hidden_findings(actor, namespace.as_str()),
            };
            if let Err(wait) = left {
                let place = Place { namespace: namespace.as_str(), config, scope: "" };
                self.recorder.record(&by(context, (Kind::Denied, "read", HIDDEN_FINDINGS_LIMITED), place));
                let namespace = namespace.clone();
                return Err(Error::HiddenFindings { namespace, at_once: HIDDEN_FINDINGS_AT_ONCE, wait });
            }
        }
        Ok(HiddenQueries { counted })
    }

    /// Records and counts the HIDDEN_FINDING of a report: documents that the caller may not read would be invalid. The records name the place
    /// in the report and the places of the documents.
    pub(super) fn tell_of_hidden(&self, context: &CallContext, asked: &HiddenQueries, report: &Report) {
        if !self.guard.is_on() {
            return;
        }
        let told = report.findings.iter().filter(|finding| finding.code == HIDDEN_FINDING);
        let told = told.map(|finding| (&finding.place.id, &finding.place.scope)).take(1);
        let told: BTreeSet<_> = told.collect();
        if told.is_empty() {
            return;
        }
        let places: BTreeSet<(&ConfigId, &Scope)> =
            told.into_iter().chain(report.hidden.iter().map(|(id, scope)| (id, scope))).collect();
        let namespaces: BTreeSet<&Namespace> = places.iter().map(|(id, _)| &id.namespace).collect();
        let actor = context.access().caller().shared_actor();
        for namespace in namespaces.into_iter().filter(|namespace| !asked.counted.contains(*namespace)) {
            self.guard.rates().count_hidden_finding(actor, namespace.as_str());
        }
        for (id, scope) in places {
            self.recorder.record(&on_config(context, (Kind::Denied, "read", HIDDEN_FINDING), id, scope));
        }
    }
}

/// What a call asks of documents that its caller may not read.
#[derive(Default)]
pub(super) struct HiddenQueries {
    /// The namespaces in which it counts, whatever it is answered.
    counted: BTreeSet<Namespace>,
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

/// The records of one backup.
pub(super) struct BackupRecord {
    recorder: Recorder,
    context: CallContext,
    kind: BackupKind,
    selection: BackupSelection,
}

/// How a backup has ended.
pub(super) enum BackupOutcome<'a> {
    Made(&'a BackupManifest, FinishedBackup),
    Failed(&'a BackupFailure),
}

impl BackupRecord {
    /// Records that a backup is about to be made. If it fails, none must be.
    pub fn begun(&self) -> Result<(), Withheld> {
        let detail = format!("{} backup of {}", self.kind, self.selection);
        self.record("BEGUN", &detail).then_some(()).ok_or(Withheld::Unrecorded)
    }

    pub fn ended(&self, outcome: &BackupOutcome<'_>) {
        let is_recorded = match outcome {
            BackupOutcome::Made(manifest, finished) => {
                let (kind, selection, revision) = (self.kind, &self.selection, manifest.last_revision);
                let FinishedBackup { bytes, sha256 } = finished;
                let detail = format!(
                    "{kind} backup of {selection} up to revision {revision}: {bytes} bytes, {sha256}"
                );
                self.record("MADE", &detail)
            }
            BackupOutcome::Failed(failure) => {
                self.record("FAILED", &format!("{} backup of {}: {failure}", self.kind, self.selection))
            }
        };
        if !is_recorded {
            tracing::warn!("the audit log has no room for the end of a backup");
        }
    }

    /// As `ended`, for a backup that the server keeps.
    pub fn kept(&self, kept: &KeptBackup) {
        if let Some(sha256) = kept.sha256 {
            self.ended(&BackupOutcome::Made(&kept.manifest, FinishedBackup { bytes: kept.bytes, sha256 }));
        }
    }

    /// Records what a caller has done to a backup that the server keeps.
    pub fn changed(&self, outcome: &str, kept: &KeptBackup) {
        let detail = format!("{} backup of {}: {}", self.kind, self.selection, kept.id);
        if !self.record(outcome, &detail) {
            tracing::warn!("the audit log has no room for a change of a kept backup");
        }
    }

    /// Records that a caller has sent a backup.
    pub fn uploaded(&self, bytes: u64, sha256: &Digest) {
        let detail = format!("{} backup of {}: {bytes} bytes, {sha256}", self.kind, self.selection);
        if !self.record("UPLOADED", &detail) {
            tracing::warn!("the audit log has no room for a backup that was sent");
        }
    }

    fn record(&self, outcome: &str, detail: &str) -> bool {
        let what = (Kind::Backup, "backup", outcome);
        self.recorder.record_backup(&by(&self.context, what, place_of(&self.selection)), detail)
    }
}

fn place_of(selection: &BackupSelection) -> Place<'_> {
    match selection {
        BackupSelection::All => Place::default(),
        BackupSelection::Namespace(namespace) => Place { namespace: namespace.as_str(), ..Place::default() },
        BackupSelection::Config(id) => {
            Place { namespace: id.namespace.as_str(), config: id.config.as_str(), scope: "/" }
        }
    }
}

/// What a call may tell of: these configs, or all of a namespace.
pub(super) enum Reached {
    Configs(Vec<ConfigId>),
    Namespace(Namespace),
}

impl Reached {
    pub fn by(intent: &Intent) -> Reached {
        match intent {
            Intent::Restore(restoring) if restoring.config.is_none() => {
                Reached::Namespace(restoring.namespace.clone())
            }
            // No document changes.
            Intent::TagNamespace(_) => Reached::Configs(vec![]),
            intent => Reached::Configs(intent.ids()),
        }
    }

    /// As far as the caller may not read all of it.
    fn hidden_from(&self, context: &CallContext) -> Vec<(&Namespace, &str)> {
        let global = Scope::global();
        let visibility = context.visibility();
        match self {
            Reached::Configs(ids) => {
                // What governs configs reaches those that the caller may not read, too.
                let is_hidden = |id: &&ConfigId| {
                    !id.config.is_ordinary() || !visibility.has(&id.namespace, &id.config, &global)
                };
                ids.iter().filter(is_hidden).map(|id| (&id.namespace, id.config.as_str())).collect()
            }
            Reached::Namespace(namespace) => vec![(namespace, "")],
        }
    }
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
