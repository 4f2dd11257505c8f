//! Prints layers and differences. Knows the wire and styles; never a connection.

use serde_json::Value;

use super::streams::{ADDED, CHANGED, PLACE, REMOVED, printable};
use super::views::short_time;
use crate::model::diff::{ChangeType, diff};
use crate::proto::v1;

/// The entries of `AppliedChange.diff` beyond which there may be more.
const DIFF_ENTRIES_MAX: usize = 100;
/// The annotation of a commit that says which migration it is.
const MIGRATION: &str = "migration";
/// The annotation of a commit that takes others back: their revisions.
const REVERTS: &str = "reverts";
const RESTORES: &str = "restores";
/// The same, of the history that a backup is of: this store may have another commit with that number.
const RESTORES_REVISION_OF_BACKUP: &str = "restores_revision_of_backup";

/// `/production`, or `/production override until 2026-11-21 09:00:00Z`: a base layer is the usual case and needs no word.
pub fn layer_name(scope: &str, kind: v1::LayerKind, expire_time: Option<&prost_types::Timestamp>) -> String {
    match (kind, expire_time) {
        (v1::LayerKind::Base | v1::LayerKind::Unspecified, _) => scope.to_owned(),
        (v1::LayerKind::Override, None) => format!("{scope} override"),
        (v1::LayerKind::Override, Some(_)) => format!("{scope} override until {}", short_time(expire_time)),
    }
}

/// What a commit did to a config in one phrase: `/production, -/staging override, tag stable=4`.
pub fn change_summary(change: &v1::ConfigChange) -> String {
    let layers = change.layers.iter().map(|layer| {
        let name = layer_name(&layer.scope, layer.kind(), layer.expire_time.as_ref());
        match layer.action() {
            v1::LayerAction::Put | v1::LayerAction::Unspecified => name,
            v1::LayerAction::Delete => format!("-{name}"),
        }
    });
    let tags = change.tags.iter().map(|tag| match tag.version {
        0 => format!("-tag {}", tag.tag),
        version => format!("tag {}={version}", tag.tag),
    });
    let restored = (change.restored_version > 0).then(|| format!("restores {}", change.restored_version));
    let omitted = (change.layers_omitted > 0).then(|| format!("{} more layers", change.layers_omitted));
    layers.chain(omitted).chain(tags).chain(restored).collect::<Vec<_>>().join(", ")
}

/// Which kind of write; of a migration from where to where, as `migration schema:checkout 3 -> 5`, of a revert which
/// revisions it takes back, and of a restore which revision it restores.
pub fn commit_source(commit: &v1::Commit) -> String {
    let name = source_name(commit.source());
    let of_backup = commit.annotations.get(RESTORES_REVISION_OF_BACKUP);
    if let Some(revision) = of_backup.filter(|_| commit.source() == v1::CommitSource::Restore) {
        return format!("{name} {} of the backup's store", printable(revision));
    }
    let annotation = match commit.source() {
        v1::CommitSource::Migration => commit.annotations.get(MIGRATION),
        v1::CommitSource::Revert => commit.annotations.get(REVERTS),
        v1::CommitSource::Restore => commit.annotations.get(RESTORES),
        v1::CommitSource::Unspecified
        | v1::CommitSource::Set
        | v1::CommitSource::Apply
        | v1::CommitSource::Delete
        | v1::CommitSource::Rollback
        | v1::CommitSource::Expiry
        | v1::CommitSource::Tag
        | v1::CommitSource::Schema => None,
    };
    match annotation {
        Some(annotation) => format!("{name} {}", printable(annotation)),
        None => name.to_owned(),
    }
}

/// `set`, `apply` and so on.
fn source_name(source: v1::CommitSource) -> &'static str {
    match source {
        v1::CommitSource::Unspecified => "-",
        v1::CommitSource::Set => "set",
        v1::CommitSource::Apply => "apply",
        v1::CommitSource::Delete => "delete",
        v1::CommitSource::Rollback => "rollback",
        v1::CommitSource::Expiry => "expiry",
        v1::CommitSource::Tag => "tag",
        v1::CommitSource::Schema => "schema",
        v1::CommitSource::Migration => "migration",
        v1::CommitSource::Revert => "revert",
        v1::CommitSource::Restore => "restore",
    }
}

/// The differences of two values, in the form in which a server has them.
pub fn value_changes(before: &Value, after: &Value) -> Vec<v1::ValueChange> {
    let text = |value: &Option<Value>| value.as_ref().map(Value::to_string).unwrap_or_default();
    let changes = diff(before, after);
    let changes = changes.iter().map(|change| v1::ValueChange {
        pointer: change.pointer.to_string(),
        r#type: match change.change_type() {
            ChangeType::Added => v1::ChangeType::Added,
            ChangeType::Removed => v1::ChangeType::Removed,
            ChangeType::Changed => v1::ChangeType::Changed,
        }
        .into(),
        old_value: text(&change.old),
        new_value: text(&change.new),
    });
    changes.collect()
}

/// One line for each difference, coloured.
pub fn change_lines(changes: &[v1::ValueChange]) -> String {
    let mut lines = String::new();
    for change in changes {
        let pointer = match change.pointer.as_str() {
            "" => "(all)".to_owned(),
            pointer => printable(pointer),
        };
        let (old, new) = (printable(&change.old_value), printable(&change.new_value));
        lines.push_str(&match change.r#type() {
            v1::ChangeType::Added => format!("  {ADDED}+ {pointer}: {new}{ADDED:#}\n"),
            v1::ChangeType::Removed => format!("  {REMOVED}- {pointer}: {old}{REMOVED:#}\n"),
            v1::ChangeType::Changed | v1::ChangeType::Unspecified => {
                format!("  {CHANGED}~ {pointer}: {old} -> {new}{CHANGED:#}\n")
            }
        });
    }
    lines
}

/// The layers that changed, each with what is different in it. Empty if none did.
pub fn applied_lines(results: &[v1::AppliedChange]) -> String {
    let mut lines = String::new();
    for result in results.iter().filter(|result| result.changed) {
        let document = result.document.clone().unwrap_or_default();
        let kind = match document.view() {
            v1::View::OverrideLayer => v1::LayerKind::Override,
            v1::View::Layer | v1::View::Effective | v1::View::Base | v1::View::Unspecified => {
                v1::LayerKind::Base
            }
        };
        let what = match document.digest.as_str() {
            "" => "deleted".to_owned(),
            _ => format!("version {}", document.version),
        };
        lines.push_str(&format!(
            "{PLACE}{}/{} {}{PLACE:#}: {what}\n",
            document.namespace,
            document.config,
            layer_name(&document.scope, kind, None)
        ));
        lines.push_str(&change_lines(&result.diff));
        if result.diff.len() >= DIFF_ENTRIES_MAX {
            lines.push_str("  ... and perhaps more: `confwatch diff` has them all\n");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_commit_did_is_one_phrase() {
        let layer = |scope: &str, kind: v1::LayerKind, action: v1::LayerAction| v1::LayerChange {
            scope: scope.into(),
            kind: kind.into(),
            action: action.into(),
            ..Default::default()
        };
        let change = v1::ConfigChange {
            layers: vec![
                layer("/production", v1::LayerKind::Base, v1::LayerAction::Put),
                layer("/staging", v1::LayerKind::Override, v1::LayerAction::Delete),
            ],
            tags: vec![v1::TagChange { tag: "stable".into(), version: 4 }],
            restored_version: 2,
            ..Default::default()
        };
        assert_eq!(change_summary(&change), "/production, -/staging override, tag stable=4, restores 2");
    }

    #[test]
    fn differences_are_one_line_each() {
        let change = |r#type: v1::ChangeType, pointer: &str, old: &str, new: &str| v1::ValueChange {
            pointer: pointer.into(),
            r#type: r#type.into(),
            old_value: old.into(),
            new_value: new.into(),
        };
        let lines = change_lines(&[
            change(v1::ChangeType::Added, "/a", "", "1"),
            change(v1::ChangeType::Removed, "/b", "2", ""),
            change(v1::ChangeType::Changed, "", "3", "4"),
        ]);
        let plain = anstream::adapter::strip_str(&lines).to_string();
        assert_eq!(plain, "  + /a: 1\n  - /b: 2\n  ~ (all): 3 -> 4\n");
    }
}
