//! Findings about a change of the config `confwatch/retention`: the history that it would have forgotten, and namespaces that are not there. Knows the
//! state and limits; not when history is forgotten.

use super::Engine;
use super::check::workers::Cancelled;
use super::commit::outcome::Outcome;
use super::error::Error;
use super::jobs::retention::{Cut, cuts};
use super::state::system::document;
use super::state::{ConfigState, State};
use crate::model::similar::similar;
use crate::model::{Namespace, Pointer, Scope, SystemConfig, Timestamp};
use crate::store::Journal;
use crate::validate::{Finding, Found, NamespaceRetention, Severity};

/// The code of the finding that history would be forgotten.
const HISTORY_CUT: &str = "HISTORY_CUT";
const UNKNOWN_NAMESPACE: &str = "UNKNOWN_NAMESPACE";

/// Whether a write concerns the retention of namespaces.
pub(in crate::engine) fn is_of_retention(outcome: &Outcome) -> bool {
    let id = SystemConfig::Retention.id();
    outcome.configs.iter().any(|(_, after)| after.id == *id)
}

impl Engine {
    /// Adds what a change of the retention of namespaces leads to. Costs a walk through the history of the store; nothing for another write.
    pub(in crate::engine) async fn add_history_cuts(
        &self,
        outcome: &mut Outcome,
        actor: &str,
    ) -> Result<(), Error> {
        let id = SystemConfig::Retention.id();
        let Some((before, after)) = outcome.configs.iter().find(|(_, after)| after.id == *id) else {
            return Ok(());
        };
        let Some(after) =
            retention(Some(after)).filter(|after| Some(after) != retention(before.as_ref()).as_ref())
        else {
            return Ok(());
        };
        let before = retention(before.as_ref()).unwrap_or_default();
        let (store, state, now, grace) = (self.store.clone(), self.state(), self.now(), self.retention_grace);
        let found = self.work(actor, move |cancelled| {
            let mut found = unknown(&after, &state);
            found.extend(lost(&*store, &state, (&before, &after), now, cancelled)?);
            Ok(found)
        });
        for mut found in found.await? {
            if found.code == HISTORY_CUT && !grace.is_zero() {
                let until = now.plus(grace);
                found.suggestion = format!(
                    "history goes {until} at the earliest: write another document until then to keep it"
                );
            }
            outcome.report.add(Finding::at(id, &Scope::global(), found));
        }
        Ok(())
    }
}

/// The retention that a config has.
fn retention(config: Option<&std::sync::Arc<ConfigState>>) -> Option<NamespaceRetention> {
    NamespaceRetention::parse(&document(config?)?).ok()
}

fn warning(code: &'static str, namespace: &Namespace, is_named: bool, message: String) -> Found {
    let pointer = match is_named {
        true => Pointer::root().child("namespaces").child(namespace.as_str()),
        false => Pointer::root().child("default"),
    };
    let (severity, suggestion) = (Severity::Warning, String::new());
    Found { severity, code: code.into(), pointer: pointer.to_string(), message, suggestion }
}

/// The namespaces with limits that do not exist.
fn unknown(retention: &NamespaceRetention, state: &State) -> Vec<Found> {
    let is_known = |namespace: &Namespace| state.namespaces().any(|known| known == namespace);
    let unknown = retention.named().filter(|namespace| !is_known(namespace));
    let unknown = unknown.map(|namespace| {
        let message = format!("there is no namespace {namespace}");
        let meant = similar(namespace.as_str(), state.namespaces().map(Namespace::as_str));
        let suggestion = meant.map(|meant| format!("did you mean {meant}?")).unwrap_or_default();
        Found { suggestion, ..warning(UNKNOWN_NAMESPACE, namespace, true, message) }
    });
    unknown.collect()
}

/// The history that goes by the new limits and not by those before.
fn lost(
    journal: &dyn Journal,
    state: &State,
    (before, after): (&NamespaceRetention, &NamespaceRetention),
    now: Timestamp,
    cancelled: &Cancelled,
) -> Result<Vec<Found>, Error> {
    let [before_cuts, after_cuts] = cuts(journal, [before, after], state.namespaces(), now, cancelled)?;
    let is_more = |(namespace, cut): &(&Namespace, &Cut)| {
        before_cuts.get(*namespace).is_none_or(|before| before.oldest < cut.oldest)
    };
    let found = after_cuts.iter().filter(is_more).map(|(namespace, Cut { oldest, commits, bytes })| {
        let kept = match after.of(namespace).map_or(0, |limits| limits.versions_min) {
            0 => String::new(),
            versions => format!("; each config keeps its newest {versions} versions"),
        };
        let message = format!(
            "the history of namespace {namespace} before revision {oldest} would be compacted: {commits} commits, {bytes} bytes{kept}"
        );
        warning(HISTORY_CUT, namespace, after.named().any(|named| named == namespace), message)
    });
    Ok(found.collect())
}
