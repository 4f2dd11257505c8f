//! From values to messages.

use bytes::Bytes;
use prost::Message;

use crate::engine::{ConfigState, LayerEntry, LayerOutcome, Resolved, RevertConflict, Target, View};
use crate::engine::{Sealed, VersionRef};
use crate::model::diff::{ChangeType, ValueChange};
use crate::model::explain::Origin as ValueOrigin;
use crate::model::text::Format;
use crate::model::{
    Commit, ConfigChange, ConfigId, Content, Digest, LayerChange, LayerKind, Pointer, Scope, Source,
    Timestamp, Version,
};
use crate::proto::v1;
use crate::validate::{Report, Severity};

use super::bounded::{cut_findings, cut_pointer, fitting_items};

pub fn time_message(time: Timestamp) -> prost_types::Timestamp {
    let nanos = (time.0.rem_euclid(1_000_000) * 1000) as i32;
    prost_types::Timestamp { seconds: time.0.div_euclid(1_000_000), nanos }
}

pub fn format_message(format: Format) -> v1::Format {
    match format {
        Format::Json => v1::Format::Json,
        Format::Yaml => v1::Format::Yaml,
        Format::Toml => v1::Format::Toml,
    }
}

pub fn view_message(view: View) -> v1::View {
    match view {
        View::Effective | View::Filled => v1::View::Effective,
        View::Base => v1::View::Base,
        View::Layer(LayerKind::Base) => v1::View::Layer,
        View::Layer(LayerKind::Override) => v1::View::OverrideLayer,
    }
}

pub fn kind_message(kind: LayerKind) -> v1::LayerKind {
    match kind {
        LayerKind::Base => v1::LayerKind::Base,
        LayerKind::Override => v1::LayerKind::Override,
    }
}

pub fn layer_message(entry: &LayerEntry) -> v1::LayerRef {
    v1::LayerRef {
        scope: entry.key.scope.as_str().to_owned(),
        kind: kind_message(entry.key.kind).into(),
        version: entry.layer.version.0,
        expire_time: entry.layer.expires.map(time_message),
        digest: entry.layer.digest().to_text(),
        format: entry.layer.format.map_or(v1::Format::Unspecified, format_message).into(),
    }
}

/// A layer that was merged into the document of a scope. The caller may not be one who may read the layers above: a digest would let what
/// they have besides be guessed.
fn merged_layer_message(entry: &LayerEntry, scope: &Scope) -> v1::LayerRef {
    let message = layer_message(entry);
    match entry.key.scope == *scope {
        true => message,
        false => v1::LayerRef { digest: String::new(), ..message },
    }
}

/// A document without content.
fn document_head(
    id: &ConfigId,
    scope: &Scope,
    view: View,
    at: VersionRef,
    digest: Option<Digest>,
    format: Format,
) -> v1::Document {
    v1::Document {
        namespace: id.namespace.as_str().to_owned(),
        config: id.config.as_str().to_owned(),
        scope: scope.as_str().to_owned(),
        view: view_message(view).into(),
        version: at.version.0,
        revision: at.revision.0,
        digest: digest.map(|digest| digest.to_text()).unwrap_or_default(),
        content: String::new(),
        format: format_message(format).into(),
        // Version 0 is that of a config that was never written, as after deleting a layer of it.
        update_time: (at.version > Version::ZERO).then(|| time_message(at.time)),
        layers: vec![],
        hidden_pointers: vec![],
        revealed_pointers: vec![],
    }
}

fn pointer_texts(pointers: &[Pointer]) -> Vec<String> {
    pointers.iter().map(ToString::to_string).collect()
}

/// A resolved document; `content` is the text to send, if any.
pub fn document_message(resolved: &Resolved, format: Format, content: &str) -> v1::Document {
    let Target { id, scope, view, secrets: _ } = &*resolved.target;
    let head = document_head(id, scope, *view, resolved.at, Some(resolved.digest), format);
    let layers = resolved.layers.iter().map(|entry| merged_layer_message(entry, scope)).collect();
    v1::Document {
        content: content.into(),
        layers,
        hidden_pointers: pointer_texts(resolved.secrets.hidden()),
        revealed_pointers: pointer_texts(resolved.secrets.revealed()),
        ..head
    }
}

/// The bytes of a document in the format that a watcher gets, made once.
pub fn document_bytes(resolved: &Resolved, format: Format) -> Bytes {
    let format = resolved.deliverable(format);
    resolved.encoded(format, || {
        let text = resolved.text(format).expect("a deliverable format expresses the document");
        document_message(resolved, format, &text).encode_to_vec().into()
    })
}

pub fn target_message(target: &Target, format: Format) -> v1::WatchTarget {
    v1::WatchTarget {
        namespace: target.id.namespace.to_string(),
        config: target.id.config.to_string(),
        scope: target.scope.to_string(),
        view: view_message(target.view).into(),
        format: format_message(format).into(),
        if_none_match: String::new(),
        held: Default::default(),
        apply_defaults: target.view == View::Filled,
    }
}

/// The layer that a change left behind.
pub fn layer_outcome_message(outcome: &LayerOutcome, with_content: bool) -> v1::Document {
    let view = View::Layer(outcome.key.kind);
    let head =
        |digest| document_head(&outcome.id, &outcome.key.scope, view, outcome.at, digest, Format::Json);
    let Some(layer) = &outcome.after else { return head(None) };
    let entry = LayerEntry { key: outcome.key.clone(), layer: layer.clone() };
    let content = if with_content { layer.content.as_str() } else { "" };
    v1::Document {
        content: content.into(),
        layers: vec![layer_message(&entry)],
        hidden_pointers: pointer_texts(outcome.secrets.hidden()),
        revealed_pointers: pointer_texts(outcome.secrets.revealed()),
        ..head(Some(layer.digest()))
    }
}

pub fn diff_message(changes: Vec<ValueChange>) -> Vec<v1::ValueChange> {
    let json = |value: Option<serde_json::Value>| value.map(|value| Content::of(&value).as_str().to_owned());
    let changes = changes.into_iter().map(|change| v1::ValueChange {
        pointer: change.pointer.to_string(),
        r#type: match change.change_type() {
            ChangeType::Added => v1::ChangeType::Added,
            ChangeType::Removed => v1::ChangeType::Removed,
            ChangeType::Changed => v1::ChangeType::Changed,
        }
        .into(),
        old_value: json(change.old).unwrap_or_default(),
        new_value: json(change.new).unwrap_or_default(),
    });
    changes.collect()
}

pub fn severity_message(severity: Severity) -> v1::Severity {
    match severity {
        Severity::Error => v1::Severity::Error,
        Severity::Warning => v1::Severity::Warning,
        Severity::Suggestion => v1::Severity::Suggestion,
    }
}

/// Findings that an answer tells, which has other things in it as well.
pub const FINDINGS_BYTES_MAX: usize = 1 << 20;

pub fn report_message(report: &Report) -> v1::ValidationReport {
    let findings = report.findings.iter().map(|finding| v1::Finding {
        severity: severity_message(finding.severity).into(),
        code: finding.code.to_string(),
        namespace: finding.place.id.namespace.to_string(),
        config: finding.place.id.config.to_string(),
        scope: finding.place.scope.to_string(),
        pointer: finding.place.pointer.clone(),
        message: finding.message.clone(),
        suggestion: finding.suggestion.clone(),
        secret: finding.is_secret,
    });
    let (findings, cut) = cut_findings(findings.collect(), FINDINGS_BYTES_MAX);
    v1::ValidationReport { valid: report.is_valid(), findings, omitted: report.omitted as u64 + cut }
}

/// The longest pointer of a conflict.
const CONFLICT_POINTER_BYTES_MAX: usize = 512;

/// As many conflicts as fit. `omitted`: how many there are besides these.
pub fn conflicts_message(
    conflicts: &[RevertConflict],
    omitted: usize,
    bytes_max: usize,
) -> v1::RevertConflicts {
    let messages = conflicts.iter().map(|conflict| {
        let mut pointer = conflict.pointer.to_string();
        cut_pointer(&mut pointer, CONFLICT_POINTER_BYTES_MAX);
        v1::RevertConflict {
            revision: conflict.revision.0,
            namespace: conflict.id.namespace.to_string(),
            config: conflict.id.config.to_string(),
            scope: conflict.key.scope.to_string(),
            kind: kind_message(conflict.key.kind).into(),
            pointer,
            current_value: conflict.current.clone().unwrap_or_default(),
            restored_value: conflict.restored.clone().unwrap_or_default(),
            expiry: conflict.is_expiry,
        }
    });
    let (conflicts, cut) = fitting_items(messages, bytes_max);
    v1::RevertConflicts { conflicts, omitted: omitted as u64 + cut }
}

/// A config without its layers and tags.
pub fn config_head(config: &ConfigState) -> v1::ConfigInfo {
    v1::ConfigInfo {
        namespace: config.id.namespace.to_string(),
        config: config.id.config.to_string(),
        version: config.at.version.0,
        revision: config.at.revision.0,
        update_time: Some(time_message(config.at.time)),
        layers: vec![],
        tags: Default::default(),
        layer_count: 0,
        tag_count: 0,
    }
}

/// What became of a layer, as history tells it.
pub fn layer_change_message(change: &LayerChange, with_content: bool) -> v1::LayerChange {
    v1::LayerChange {
        scope: change.key.scope.to_string(),
        kind: kind_message(change.key.kind).into(),
        action: match change.content {
            Some(_) => v1::LayerAction::Put,
            None => v1::LayerAction::Delete,
        }
        .into(),
        digest: change.content.as_ref().map(|content| content.digest().to_string()).unwrap_or_default(),
        content: match &change.content {
            Some(content) if with_content => content.as_str().into(),
            Some(_) | None => String::new(),
        },
        expire_time: change.expires.map(time_message),
    }
}

/// What became of a layer that a write touched, as history will tell it.
pub fn layer_change_of(outcome: &LayerOutcome) -> LayerChange {
    LayerChange {
        key: outcome.key.clone(),
        content: outcome.after.as_ref().map(|layer| layer.content.clone()),
        expires: outcome.after.as_ref().and_then(|layer| layer.expires),
        format: outcome.after.as_ref().and_then(|layer| layer.format),
    }
}

pub fn config_change_message(change: &ConfigChange, with_content: bool) -> v1::ConfigChange {
    let tags = change.tags.iter().map(|tag| v1::TagChange {
        tag: tag.tag.to_string(),
        version: tag.version.unwrap_or(Version::ZERO).0,
    });
    v1::ConfigChange {
        namespace: change.id.namespace.to_string(),
        config: change.id.config.to_string(),
        version: change.version.0,
        layers: change.layers.iter().map(|layer| layer_change_message(layer, with_content)).collect(),
        tags: tags.collect(),
        restored_version: change.restored.unwrap_or(Version::ZERO).0,
        layers_omitted: 0,
    }
}

/// A commit with these of its changes.
pub fn commit_message<'a>(
    sealed: &Sealed,
    changes: impl IntoIterator<Item = &'a ConfigChange>,
    with_content: bool,
) -> v1::Commit {
    let changes = changes.into_iter().map(|change| config_change_message(change, with_content));
    let Commit { revision, time, author, source, reason, request, annotations, forgotten, .. } =
        &sealed.commit;
    v1::Commit {
        revision: revision.0,
        time: Some(time_message(*time)),
        actor: author.actor.clone(),
        source: source_message(*source).into(),
        reason: reason.clone(),
        request_id: request.as_ref().map(|request| request.id.clone()).unwrap_or_default(),
        annotations: annotations.clone(),
        changes: changes.collect(),
        chain_hash: sealed.hash.to_string(),
        credential: author.credential.clone(),
        address: author.address.clone(),
        call_id: author.call_id.clone(),
        compacted_namespaces: forgotten.iter().map(|part| part.namespace.to_string()).collect(),
    }
}

pub fn source_message(source: Source) -> v1::CommitSource {
    match source {
        Source::Set => v1::CommitSource::Set,
        Source::Apply => v1::CommitSource::Apply,
        Source::Delete => v1::CommitSource::Delete,
        Source::Rollback => v1::CommitSource::Rollback,
        Source::Expiry => v1::CommitSource::Expiry,
        Source::Tag => v1::CommitSource::Tag,
        Source::Schema => v1::CommitSource::Schema,
        Source::Migration => v1::CommitSource::Migration,
        Source::Revert => v1::CommitSource::Revert,
        Source::Restore => v1::CommitSource::Restore,
    }
}

/// Where a value comes from; layers are given by their place in the resolved document.
pub fn origin_message(origin: ValueOrigin, resolved: &Resolved) -> v1::ValueOrigin {
    let layer = |at: usize| Some(merged_layer_message(&resolved.layers[at], &resolved.target.scope));
    let json = |value: &Option<serde_json::Value>| match value {
        Some(value) => Content::of(value).as_str().to_owned(),
        None => String::new(),
    };
    let shadowed = origin.shadowed.iter().map(|shadowed| v1::ShadowedValue {
        layer: layer(shadowed.layer),
        value: json(&shadowed.value),
        removed: shadowed.value.is_none(),
    });
    v1::ValueOrigin {
        pointer: origin.pointer.to_string(),
        value: json(&origin.value),
        layer: layer(origin.layer),
        removed: origin.value.is_none(),
        shadowed: shadowed.collect(),
    }
}
