//! The registry of system configs: how a document of each is checked, how the server follows a change, and what is checked again because of
//! it. Names, namespaces and writers are in `model/system.rs`. Knows the forms of documents by their own modules; never a caller.
//!
//! A write of any kind is checked, also a rollback, a deletion and the end of an override: what is committed can be read.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::auth::{Policy, Problem, TokenSet};
use crate::model::quota::Quotas;
use crate::model::system::{Home, Writer};
use crate::model::{
    ConfigChange, ConfigId, ConfigName, Content, Governs, LayerKind, Scope, SystemConfig, Timestamp, Version,
};
use crate::validate::{
    BackupSchedules, Finding, Found, NamespaceQuotas, NamespaceRetention, Registry, Report, Severity,
    check_place,
};

use super::governance::{Governance, Governed};
use super::{ConfigState, State};

/// A system config.
pub(in crate::engine) struct Entry {
    /// Its content, in messages.
    pub holds: &'static str,
    pub check: Check,
    pub follow: Follow,
    pub recheck: Recheck,
}

/// How a new document is checked. A document is the base layer at `/`; `None`: the config is deleted.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Check {
    /// By itself. A rollback to any version that can be read is allowed.
    Document(fn(Option<&Value>) -> Vec<Found>),
    /// Against the stored document, which comes first. A rollback that undoes what is final is refused.
    Transition(fn(Option<&Value>, Option<&Value>, Timestamp) -> Vec<Found>),
    /// By compiling the contracts of all configs that the document governs. Notes are findings about written content beside that.
    Contracts { notes: fn(&Value) -> Vec<Found> },
    /// Not at all: the server has made the document.
    Trusted,
}

/// What keeps a document compiled, and when it is compiled again.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Follow {
    /// The state, with each commit that changes the config. Costs time under the lock of the queue.
    State(fn(&mut Compiled, Option<&ConfigState>)),
    /// The `Governance` of the namespace. Contracts are compiled at their first use, and dropped with any change of what governs there.
    Governance,
    /// A reader outside of the state, when the version of the config has changed: `State::versions`.
    Reader,
}

/// What the state keeps compiled of configs of the server.
#[derive(Clone, Default)]
pub(in crate::engine) struct Compiled {
    /// The quotas of each namespace by the settings of the server.
    quotas_set: Quotas,
    /// The same, overridden by the stored quotas.
    quotas: Arc<NamespaceQuotas>,
}

/// Which documents a change checks again.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Recheck {
    Nothing,
    Documents {
        /// Of these configs. The name is that of the one governed config; `None`: the namespace is governed.
        of: fn(&Governance, Option<&ConfigName>) -> Governed,
        /// Whether the namespace still allows the scopes of stored layers, if the namespace is governed.
        scopes: bool,
        /// Documents themselves change: their defaults, and which of their values are secrets.
        reshapes: bool,
    },
}

const POLICY: Entry = Entry {
    holds: "the policy",
    check: Check::Document(check_policy),
    follow: Follow::Reader,
    recheck: Recheck::Nothing,
};

const TOKENS: Entry = Entry {
    holds: "the API tokens",
    check: Check::Transition(check_tokens),
    follow: Follow::Reader,
    recheck: Recheck::Nothing,
};

const QUOTAS: Entry = Entry {
    holds: "the quotas",
    check: Check::Document(check_quotas),
    follow: Follow::State(follow_quotas),
    recheck: Recheck::Nothing,
};

const KEYS: Entry = Entry {
    holds: "the data keys",
    check: Check::Trusted,
    // The keyring, before a commit of keys is published.
    follow: Follow::Reader,
    recheck: Recheck::Nothing,
};

const ORIGIN: Entry = Entry {
    holds: "the backup that the store was restored from",
    check: Check::Trusted,
    follow: Follow::Reader,
    recheck: Recheck::Nothing,
};

const BACKUPS: Entry = Entry {
    holds: "the schedules of backups",
    check: Check::Document(check_backups),
    follow: Follow::Reader,
    recheck: Recheck::Nothing,
};

const RETENTION: Entry = Entry {
    holds: "the history that each namespace keeps",
    check: Check::Document(check_retention),
    follow: Follow::Reader,
    recheck: Recheck::Nothing,
};

const SCHEMA: Entry = Entry {
    holds: "a schema",
    check: Check::Contracts { notes: |schema| Registry::newest_without_effect(schema).unwrap_or_default() },
    follow: Follow::Governance,
    recheck: Recheck::Documents { of: those_referring, scopes: false, reshapes: true },
};

const RULES: Entry = Entry {
    holds: "rules",
    check: Check::Contracts { notes: |_| vec![] },
    follow: Follow::Governance,
    recheck: Recheck::Documents { of: that_or_all, scopes: false, reshapes: false },
};

const SETTINGS: Entry = Entry {
    holds: "settings",
    check: Check::Contracts { notes: |_| vec![] },
    follow: Follow::Governance,
    recheck: Recheck::Documents { of: that_or_all, scopes: true, reshapes: false },
};

const TAGS: Entry = Entry {
    holds: "the tags of the namespace",
    check: Check::Trusted,
    follow: Follow::Governance,
    recheck: Recheck::Nothing,
};

/// The entry of a kind.
pub(in crate::engine) fn entry(config: SystemConfig) -> &'static Entry {
    match config {
        SystemConfig::Policy => &POLICY,
        SystemConfig::Tokens => &TOKENS,
        SystemConfig::Quotas => &QUOTAS,
        SystemConfig::Keys => &KEYS,
        SystemConfig::Origin => &ORIGIN,
        SystemConfig::Backups => &BACKUPS,
        SystemConfig::Retention => &RETENTION,
        SystemConfig::Schema => &SCHEMA,
        SystemConfig::Rules => &RULES,
        SystemConfig::Settings => &SETTINGS,
        SystemConfig::Tags => &TAGS,
    }
}

const ACCESS: &str = "ACCESS";
const ADMINISTRATOR: &str =
    "keep a binding of somebody to the role \"admin\" on namespace \"*\", config \"*\", scope \"/\"";

/// Refuses a policy that cannot be read, or that nobody could change any more.
fn check_policy(document: Option<&Value>) -> Vec<Found> {
    let nobody = |message: &str| Problem {
        pointer: "/bindings".to_owned(),
        message: message.to_owned(),
        suggestion: ADMINISTRATOR.to_owned(),
    };
    let problems = match document.map(Policy::parse) {
        None => vec![nobody("there would be no policy any more")],
        Some(Ok(policy)) if policy.has_administrator() => vec![],
        Some(Ok(_)) => vec![nobody("no binding lets anybody change the policy any more")],
        Some(Err(problems)) => problems,
    };
    problems.into_iter().map(access_found).collect()
}

/// Refuses tokens that cannot be read, and tokens among which a revoked one would be good again.
fn check_tokens(before: Option<&Value>, after: Option<&Value>, now: Timestamp) -> Vec<Found> {
    let problems = match after.map_or_else(|| Ok(TokenSet::default()), TokenSet::parse) {
        Ok(tokens) => {
            // Stored tokens can be read: they were checked when they were written.
            let stored = before.map(TokenSet::parse).and_then(Result::ok).unwrap_or_default();
            tokens.problems_after(&stored, now)
        }
        Err(problems) => problems,
    };
    problems.into_iter().map(access_found).collect()
}

fn access_found(problem: Problem) -> Found {
    let Problem { pointer, message, suggestion } = problem;
    Found { severity: Severity::Error, code: ACCESS.into(), pointer, message, suggestion }
}

fn check_quotas(document: Option<&Value>) -> Vec<Found> {
    let read = document.map(|document| NamespaceQuotas::parse(document, Quotas::default()));
    read.and_then(Result::err).unwrap_or_default()
}

fn check_backups(document: Option<&Value>) -> Vec<Found> {
    document.map(BackupSchedules::parse).and_then(Result::err).unwrap_or_default()
}

fn check_retention(document: Option<&Value>) -> Vec<Found> {
    document.map(NamespaceRetention::parse).and_then(Result::err).unwrap_or_default()
}

fn follow_quotas(compiled: &mut Compiled, config: Option<&ConfigState>) {
    let quotas = match config.and_then(document) {
        Some(document) => NamespaceQuotas::parse(&document, compiled.quotas_set),
        None => Ok(NamespaceQuotas::of_all(compiled.quotas_set)),
    };
    match quotas {
        Ok(quotas) => compiled.quotas = Arc::new(quotas),
        // None is committed that cannot be read: this is of another version of the server.
        Err(wrong) => tracing::error!(?wrong, "the quotas cannot be read: the quotas before stay in force"),
    }
}

fn those_referring(governance: &Governance, governed: Option<&ConfigName>) -> Governed {
    governed.map_or(Governed::All, |name| Governed::These(governance.referring_to(name)))
}

fn that_or_all(_: &Governance, governed: Option<&ConfigName>) -> Governed {
    governed.map_or(Governed::All, |name| Governed::These(BTreeSet::from([name.clone()])))
}

/// Checks the document of a changed system config. What is checked with contracts is not looked at: see `check_form`.
pub(in crate::engine) fn check(
    change: &ConfigChange,
    before: Option<&ConfigState>,
    after: &ConfigState,
    now: Timestamp,
    report: &mut Report,
) {
    let Some(system) = change.id.system() else { return };
    let found = match entry(system).check {
        Check::Document(check) => check(document(after).as_ref()),
        Check::Transition(check) => check(before.and_then(document).as_ref(), document(after).as_ref(), now),
        Check::Contracts { .. } | Check::Trusted => return,
    };
    check_places(change, report);
    found.into_iter().for_each(|found| report.add(Finding::at(&change.id, &Scope::global(), found)));
}

/// Checks the form of a changed config that governs others.
pub(in crate::engine) fn check_form(change: &ConfigChange, report: &mut Report) {
    let Some(Check::Contracts { notes }) = change.id.config.kind().map(|system| entry(system).check) else {
        return;
    };
    check_places(change, report);
    let written = change.layers.iter().filter_map(|layer| layer.content.as_ref());
    for found in written.flat_map(|content| notes(&Content::to_value(content))) {
        report.add(Finding::at(&change.id, &Scope::global(), found));
    }
}

/// Refuses a layer that is not the base layer at `/`.
fn check_places(change: &ConfigChange, report: &mut Report) {
    for layer in change.layers.iter().filter(|layer| layer.content.is_some()) {
        let is_override = layer.key.kind == LayerKind::Override;
        if let Some(found) = check_place(&layer.key.scope, is_override) {
            report.add(Finding::at(&change.id, &layer.key.scope, found));
        }
    }
}

/// The configs whose documents are checked again when a config changes that governs them.
pub(in crate::engine) fn governed_by(governance: &Governance, governs: &Governs) -> Governed {
    match entry(governs.kind()).recheck {
        Recheck::Documents { of, .. } => of(governance, governs.governed()),
        Recheck::Nothing => Governed::These(BTreeSet::new()),
    }
}

/// Whether the scopes of all stored layers of the namespace are checked again when the config changes.
pub(in crate::engine) fn rechecks_scopes(config: &ConfigName) -> bool {
    let recheck = config.kind().map(|system| entry(system).recheck);
    matches!(recheck, Some(Recheck::Documents { scopes: true, .. })) && config.governed().is_none()
}

/// Whether a change of the config changes documents of others: their defaults, and which of their values are secrets.
pub(in crate::engine) fn reshapes(config: &ConfigName) -> bool {
    let recheck = config.kind().map(|system| entry(system).recheck);
    matches!(recheck, Some(Recheck::Documents { reshapes: true, .. }))
}

/// Why a caller cannot write a config. `None`: a caller with the permission can.
pub(in crate::engine) fn unwritable(id: &ConfigId) -> Option<String> {
    let system = id.system()?;
    let writer = match system.writer() {
        Writer::Server => "the server alone writes",
        Writer::Tagger => "SetTag and DeleteTag alone write",
        Writer::Caller | Writer::SchemaOwner | Writer::Administrator => return None,
    };
    Some(format!("{id} holds {}, which {writer}", entry(system).holds))
}

/// The document of a system config: the base layer at `/`, as it is, since a schema may hold nulls. `None`: there is none.
pub(in crate::engine) fn document(config: &ConfigState) -> Option<Value> {
    Some(config.layer_at(LayerKind::Base, "/")?.layer.content.to_value())
}

impl State {
    /// The document of a config of the server. `None`: there is none.
    pub fn system_document(&self, config: SystemConfig) -> Option<Value> {
        self.config(config.id()).map(Arc::as_ref).and_then(document)
    }

    /// The versions of configs of the server. A reader that keeps their documents compiled compiles them again when these change.
    pub fn versions<const COUNT: usize>(&self, configs: [SystemConfig; COUNT]) -> [Version; COUNT] {
        configs.map(|system| self.config(system.id()).map_or(Version::ZERO, |config| config.at.version))
    }

    /// What every namespace may have.
    pub fn quotas(&self) -> &Arc<NamespaceQuotas> {
        &self.compiled.quotas
    }

    /// The same state, where the settings of the server allow each namespace these quotas.
    pub(in crate::engine) fn with_quotas(mut self, settings: Quotas) -> State {
        let quotas = Arc::new(NamespaceQuotas::of_all(settings));
        self.compiled = Compiled { quotas_set: settings, quotas };
        self.follow_all_systems();
        self
    }

    /// Follows what the state keeps compiled of a changed system config.
    pub(super) fn follow_system(&mut self, config: &ConfigState) {
        if let Some(Follow::State(follow)) = config.id.system().map(|system| entry(system).follow) {
            follow(&mut self.compiled, Some(config));
        }
    }

    /// Follows everything that the state keeps compiled.
    fn follow_all_systems(&mut self) {
        for system in SystemConfig::ALL {
            if let (Follow::State(follow), Home::Server(_)) = (entry(system).follow, system.home()) {
                let config = self.config(system.id()).cloned();
                follow(&mut self.compiled, config.as_deref());
            }
        }
    }
}
