//! What writes answer. Knows the wire only.

use serde::Serialize;

use super::{DocumentView, LayerChangeView, LayerRefView, ReportView, ValueChangeView, list};
use crate::proto::v1;

#[derive(Debug, Serialize)]
pub struct SetView {
    pub document: Option<DocumentView>,
    pub changed: bool,
    pub report: Option<ReportView>,
    pub store_revision: u64,
    pub reach: Option<ReachView>,
}

#[derive(Debug, Serialize)]
pub struct ApplyView {
    pub results: Vec<AppliedChangeView>,
    pub changed: bool,
    pub report: Option<ReportView>,
    pub store_revision: u64,
    pub reach: Option<ReachView>,
    pub state_backups: Vec<String>,
}

/// What `validate` answers: of changes; of what is stored there are no changes, and nobody is affected.
#[derive(Debug, Serialize)]
pub struct ValidationView {
    pub report: Option<ReportView>,
    pub changed: bool,
    pub results: Vec<AppliedChangeView>,
    pub affected: Vec<AffectedTargetView>,
    pub affected_omitted: u64,
    pub store_revision: u64,
}

#[derive(Debug, Serialize)]
pub struct AffectedTargetView {
    pub namespace: String,
    pub config: String,
    pub scope: String,
    pub watchers: u32,
}

#[derive(Debug, Serialize)]
pub struct AppliedChangeView {
    pub document: Option<DocumentView>,
    pub changed: bool,
    pub diff: Vec<ValueChangeView>,
}

#[derive(Debug, Serialize)]
pub struct DeleteView {
    pub changed: bool,
    pub version: u64,
    pub deleted: Vec<LayerRefView>,
    pub deleted_omitted: u64,
    pub store_revision: u64,
    pub reach: Option<ReachView>,
}

#[derive(Debug, Serialize)]
pub struct RollbackView {
    pub version: u64,
    pub restored_version: u64,
    pub changed: bool,
    pub layers: Vec<LayerChangeView>,
    pub layers_omitted: u64,
    pub report: Option<ReportView>,
    pub store_revision: u64,
    pub reach: Option<ReachView>,
}

#[derive(Debug, Serialize)]
pub struct RevertView {
    pub results: Vec<AppliedChangeView>,
    pub results_omitted: u64,
    pub changed: bool,
    pub report: Option<ReportView>,
    pub affected: Vec<AffectedTargetView>,
    pub affected_omitted: u64,
    pub store_revision: u64,
    pub reach: Option<ReachView>,
}

#[derive(Debug, Serialize)]
pub struct RestoreView {
    pub results: Vec<AppliedChangeView>,
    pub results_omitted: u64,
    pub changed: bool,
    pub report: Option<ReportView>,
    pub store_revision: u64,
    pub restored_revision: u64,
    pub base_revision: u64,
    pub affected: Vec<AffectedTargetView>,
    pub affected_omitted: u64,
    pub reach: Option<ReachView>,
    pub state_backups: Vec<String>,
}

/// How far a write reaches; of dry runs only.
#[derive(Debug, Serialize)]
pub struct ReachView {
    pub configs: u64,
    pub scopes: u64,
    pub watchers: u64,
    pub unknown: bool,
}

/// What `tag set` and `tag delete` answer. `version` is 0 after a delete and for tags of namespaces, which have a `revision`.
#[derive(Debug, Serialize)]
pub struct TagView {
    pub version: u64,
    pub previous_version: u64,
    pub revision: u64,
    pub previous_revision: u64,
    pub changed: bool,
    pub store_revision: u64,
}

impl From<&v1::SetResponse> for SetView {
    fn from(response: &v1::SetResponse) -> SetView {
        SetView {
            document: response.document.as_ref().map(Into::into),
            changed: response.changed,
            report: response.report.as_ref().map(Into::into),
            store_revision: response.store_revision,
            reach: response.reach.as_ref().map(Into::into),
        }
    }
}

impl From<&v1::ApplyResponse> for ApplyView {
    fn from(response: &v1::ApplyResponse) -> ApplyView {
        ApplyView {
            results: list(&response.results),
            changed: response.changed,
            report: response.report.as_ref().map(Into::into),
            store_revision: response.store_revision,
            reach: response.reach.as_ref().map(Into::into),
            state_backups: response.state_backups.clone(),
        }
    }
}

impl From<&v1::ValidateResponse> for ValidationView {
    fn from(response: &v1::ValidateResponse) -> ValidationView {
        ValidationView {
            report: response.report.as_ref().map(Into::into),
            changed: response.changed,
            results: list(&response.results),
            affected: list(&response.affected),
            affected_omitted: response.affected_omitted,
            store_revision: response.store_revision,
        }
    }
}

impl From<&v1::AffectedTarget> for AffectedTargetView {
    fn from(target: &v1::AffectedTarget) -> AffectedTargetView {
        AffectedTargetView {
            namespace: target.namespace.clone(),
            config: target.config.clone(),
            scope: target.scope.clone(),
            watchers: target.watchers,
        }
    }
}

impl From<&v1::AppliedChange> for AppliedChangeView {
    fn from(change: &v1::AppliedChange) -> AppliedChangeView {
        AppliedChangeView {
            document: change.document.as_ref().map(Into::into),
            changed: change.changed,
            diff: list(&change.diff),
        }
    }
}

impl From<&v1::DeleteResponse> for DeleteView {
    fn from(response: &v1::DeleteResponse) -> DeleteView {
        DeleteView {
            changed: response.changed,
            version: response.version,
            deleted: list(&response.deleted),
            deleted_omitted: response.deleted_omitted,
            store_revision: response.store_revision,
            reach: response.reach.as_ref().map(Into::into),
        }
    }
}

impl From<&v1::RollbackResponse> for RollbackView {
    fn from(response: &v1::RollbackResponse) -> RollbackView {
        RollbackView {
            version: response.version,
            restored_version: response.restored_version,
            changed: response.changed,
            layers: list(&response.layers),
            layers_omitted: response.layers_omitted,
            report: response.report.as_ref().map(Into::into),
            store_revision: response.store_revision,
            reach: response.reach.as_ref().map(Into::into),
        }
    }
}

impl From<&v1::RevertResponse> for RevertView {
    fn from(response: &v1::RevertResponse) -> RevertView {
        RevertView {
            results: list(&response.results),
            results_omitted: response.results_omitted,
            changed: response.changed,
            report: response.report.as_ref().map(Into::into),
            affected: list(&response.affected),
            affected_omitted: response.affected_omitted,
            store_revision: response.store_revision,
            reach: response.reach.as_ref().map(Into::into),
        }
    }
}

impl From<&v1::RestoreResponse> for RestoreView {
    fn from(response: &v1::RestoreResponse) -> RestoreView {
        RestoreView {
            results: list(&response.results),
            results_omitted: response.results_omitted,
            changed: response.changed,
            report: response.report.as_ref().map(Into::into),
            store_revision: response.store_revision,
            restored_revision: response.restored_revision,
            base_revision: response.base_revision,
            affected: list(&response.affected),
            affected_omitted: response.affected_omitted,
            reach: response.reach.as_ref().map(Into::into),
            state_backups: response.state_backups.clone(),
        }
    }
}

impl From<&v1::Reach> for ReachView {
    fn from(reach: &v1::Reach) -> ReachView {
        ReachView {
            configs: reach.configs,
            scopes: reach.scopes,
            watchers: reach.watchers,
            unknown: reach.unknown,
        }
    }
}

impl From<&v1::SetTagResponse> for TagView {
    fn from(response: &v1::SetTagResponse) -> TagView {
        TagView {
            version: response.version,
            previous_version: response.previous_version,
            revision: response.revision,
            previous_revision: response.previous_revision,
            changed: response.changed,
            store_revision: response.store_revision,
        }
    }
}

impl From<&v1::DeleteTagResponse> for TagView {
    fn from(response: &v1::DeleteTagResponse) -> TagView {
        TagView {
            version: 0,
            previous_version: response.previous_version,
            revision: 0,
            previous_revision: response.previous_revision,
            changed: response.changed,
            store_revision: response.store_revision,
        }
    }
}
