//! Converts messages of clients to values, and checks everything in them once. Knows the wire and the model.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use super::expected::expected;
use crate::auth::Visibility;
use crate::engine::watch::{ResumeToken, WatchClient, WatchOptions, WatchSelector, WatchTarget};
use crate::engine::{
    Action, At, BackupSource, Change, ChangesOptions, Error, Intent, Origin, RestorePoint, Restoring,
    RollbackTo, Secrets, TagNamespace, TagTarget, Target, Text, View, Viewer, Write,
};
use crate::model::pointer::Pointer;
use crate::model::text::Format;
use crate::model::{
    Author, ConfigId, ConfigName, Digest, Epoch, LayerKey, LayerKind, Namespace, Request, Revision, Scope,
    Source, TagName, Timestamp, Version,
};
use crate::proto::v1;

const REASON_BYTES_MAX: usize = 1024;
const REQUEST_ID_BYTES_MAX: usize = 128;
const ANNOTATIONS_MAX: usize = 32;
const ANNOTATION_BYTES_MAX: usize = 1024;
const CLIENT_ID_BYTES_MAX: usize = 256;
const PROGRESS_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);
const PROGRESS_INTERVAL_MAX: Duration = Duration::from_secs(60 * 60);
const TTL_MAX: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
const PAGE_SIZE_DEFAULT: usize = 100;
const CONTEXT_LINES_DEFAULT: u32 = 3;
const CONTEXT_LINES_MAX: u32 = 100;

/// Fields are named by what can be written, as their names are seldom needed: `format_args!` costs nothing.
pub fn invalid(field: impl Display, message: impl Into<String>) -> Error {
    Error::Invalid { field: field.to_string(), message: message.into() }
}

pub fn namespace(field: impl Display, text: &str) -> Result<Namespace, Error> {
    Namespace::parse(text).map_err(|error| invalid(field, format!("{text:?} {error}")))
}

pub fn config_name(field: impl Display, text: &str) -> Result<ConfigName, Error> {
    ConfigName::parse(text).map_err(|error| invalid(field, format!("{text:?} {error}")))
}

/// `prefix` goes before the names of the fields: `""`, or a path that ends with a dot.
pub fn config_id(prefix: &str, namespace_text: &str, config: &str) -> Result<ConfigId, Error> {
    Ok(ConfigId {
        namespace: namespace(format_args!("{prefix}namespace"), namespace_text)?,
        config: config_name(format_args!("{prefix}config"), config)?,
    })
}

/// A config that others govern, not one that governs.
pub fn governed(prefix: &str, namespace_text: &str, config: &str) -> Result<ConfigId, Error> {
    let id = config_id(prefix, namespace_text, config)?;
    match id.config.is_ordinary() {
        true => Ok(id),
        false => Err(invalid(format_args!("{prefix}config"), format!("{config:?} governs other configs"))),
    }
}

pub fn scope(prefix: &str, text: &str) -> Result<Scope, Error> {
    Scope::parse(text).map_err(|error| invalid(format_args!("{prefix}scope"), format!("{text:?} {error}")))
}

pub fn tag(field: impl Display, text: &str) -> Result<TagName, Error> {
    TagName::parse(text).map_err(|error| invalid(field, format!("{text:?} {error}")))
}

pub fn pointer(field: impl Display, text: &str) -> Result<Pointer, Error> {
    Pointer::parse(text).map_err(|error| invalid(field, format!("{text:?}: {error}")))
}

pub fn format(field: impl Display, number: i32) -> Result<Format, Error> {
    match v1::Format::try_from(number) {
        Ok(v1::Format::Unspecified | v1::Format::Json) => Ok(Format::Json),
        Ok(v1::Format::Yaml) => Ok(Format::Yaml),
        Ok(v1::Format::Toml) => Ok(Format::Toml),
        Err(_) => Err(invalid(field, format!("there is no format {number}"))),
    }
}

pub fn view(field: impl Display, number: i32) -> Result<View, Error> {
    match v1::View::try_from(number) {
        Ok(v1::View::Unspecified | v1::View::Effective) => Ok(View::Effective),
        Ok(v1::View::Base) => Ok(View::Base),
        Ok(v1::View::Layer) => Ok(View::Layer(LayerKind::Base)),
        Ok(v1::View::OverrideLayer) => Ok(View::Layer(LayerKind::Override)),
        Err(_) => Err(invalid(field, format!("there is no view {number}"))),
    }
}

pub fn layer_kind(field: impl Display, number: i32) -> Result<LayerKind, Error> {
    match v1::LayerKind::try_from(number) {
        Ok(v1::LayerKind::Unspecified | v1::LayerKind::Base) => Ok(LayerKind::Base),
        Ok(v1::LayerKind::Override) => Ok(LayerKind::Override),
        Err(_) => Err(invalid(field, format!("there is no kind of layer {number}"))),
    }
}

/// `""`: none.
pub fn digest(field: impl Display, text: &str) -> Result<Option<Digest>, Error> {
    match text {
        "" => Ok(None),
        text => {
            let wrong = || invalid(field, "is not \"sha256:\" and 64 hex digits");
            Digest::parse(text).map(Some).ok_or_else(wrong)
        }
    }
}

pub fn timestamp(field: impl Display, time: &prost_types::Timestamp) -> Result<Timestamp, Error> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err(invalid(field, format!("nanos {} are not within 0 to 999999999", time.nanos)));
    }
    let micros =
        time.seconds.checked_mul(1_000_000).map(|micros| micros.saturating_add(i64::from(time.nanos) / 1000));
    micros.map(Timestamp).ok_or_else(|| invalid(field, "is out of range"))
}

/// By hand: the conversion of prost overflows for the least number of seconds.
pub fn duration(field: impl Display, duration: &prost_types::Duration) -> Result<Duration, Error> {
    match (u64::try_from(duration.seconds), u32::try_from(duration.nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        (Ok(_), Ok(nanos)) => Err(invalid(field, format!("nanos {nanos} are not within 0 to 999999999"))),
        (Err(_), _) | (_, Err(_)) => Err(invalid(field, "must not be negative")),
    }
}

/// A read of one document, which shows no secrets unless its caller may see them: that is not for the request to say.
pub struct DocumentRead {
    pub target: Target,
    pub at: At,
    pub format: Format,
    pub pointer: Pointer,
    pub if_none_match: Option<Digest>,
    pub min_revision: Revision,
}

pub fn read(prefix: &str, request: v1::GetRequest) -> Result<DocumentRead, Error> {
    use v1::get_request::At as Wire;
    let at = match request.at {
        None => At::Latest,
        Some(Wire::Version(version)) => At::Version(Version(version)),
        Some(Wire::Tag(text)) => At::Tag(tag(format_args!("{prefix}tag"), &text)?),
        Some(Wire::Revision(revision)) => At::Revision(Revision(revision)),
        Some(Wire::Time(time)) => At::Time(timestamp(format_args!("{prefix}time"), &time)?),
    };
    if request.apply_defaults && at != At::Latest {
        return Err(invalid(format_args!("{prefix}apply_defaults"), "is for the current version only"));
    }
    Ok(DocumentRead {
        target: Target {
            id: config_id(prefix, &request.namespace, &request.config)?,
            scope: scope(prefix, &request.scope)?,
            view: filled(prefix, view(format_args!("{prefix}view"), request.view)?, request.apply_defaults)?,
            secrets: Secrets::Hidden,
        },
        at,
        format: format(format_args!("{prefix}format"), request.format)?,
        pointer: pointer(format_args!("{prefix}pointer"), &request.pointer)?,
        if_none_match: digest(format_args!("{prefix}if_none_match"), &request.if_none_match)?,
        min_revision: Revision(request.min_revision),
    })
}

/// The view with defaults, if they are asked for.
pub fn filled(prefix: &str, view: View, apply_defaults: bool) -> Result<View, Error> {
    match (apply_defaults, view) {
        (false, view) => Ok(view),
        (true, View::Effective) => Ok(View::Filled),
        (true, _) => Err(invalid(format_args!("{prefix}apply_defaults"), "is for VIEW_EFFECTIVE only")),
    }
}

/// The same, for Explain.
pub fn explain(request: v1::ExplainRequest) -> Result<DocumentRead, Error> {
    use v1::explain_request::At as From;
    use v1::get_request::At as To;
    let at = request.at.map(|at| match at {
        From::Version(version) => To::Version(version),
        From::Tag(tag) => To::Tag(tag),
        From::Revision(revision) => To::Revision(revision),
        From::Time(time) => To::Time(time),
    });
    let v1::ExplainRequest { namespace, config, scope, pointer, .. } = request;
    read("", v1::GetRequest { namespace, config, scope, at, pointer, ..Default::default() })
}

/// The two sides of a diff, and the lines of context. What `newer` leaves open is as in `older`.
pub fn diff(request: v1::DiffRequest) -> Result<(DocumentRead, DocumentRead, Format, usize), Error> {
    let from = request.older.ok_or_else(|| invalid("older", "must be set"))?;
    let mut to = request.newer.ok_or_else(|| invalid("newer", "must be set"))?;
    for (to, from) in
        [(&mut to.namespace, &from.namespace), (&mut to.config, &from.config), (&mut to.scope, &from.scope)]
    {
        if to.is_empty() {
            to.clone_from(from);
        }
    }
    if to.view == v1::View::Unspecified as i32 {
        to.view = from.view;
    }
    let lines = request.context_lines.unwrap_or(CONTEXT_LINES_DEFAULT);
    if lines > CONTEXT_LINES_MAX {
        return Err(invalid("context_lines", format!("at most {CONTEXT_LINES_MAX} are allowed")));
    }
    Ok((read("older.", from)?, read("newer.", to)?, format("format", request.format)?, lines as usize))
}

pub fn change(field: &str, change: v1::Change) -> Result<Change, Error> {
    use v1::change::Action as Wire;
    let prefix = format!("{field}.");
    let text = |of: &str, text: v1::Text| {
        let format = format(format_args!("{prefix}{of}.format"), text.format)?;
        Ok::<_, Error>(Text { content: text.content, format })
    };
    let action = match change.action {
        None => {
            return Err(invalid(format_args!("{prefix}action"), "must be set: what to do with the layer"));
        }
        Some(Wire::Replace(replace)) => Action::Replace(text("replace", replace)?),
        Some(Wire::MergePatch(patch)) => Action::MergePatch(text("merge_patch", patch)?),
        Some(Wire::JsonPatch(patch)) => Action::JsonPatch(text("json_patch", patch)?),
        Some(Wire::Assign(assign)) if assign.values.is_empty() => {
            return Err(invalid(format_args!("{prefix}assign.values"), "must not be empty"));
        }
        Some(Wire::Assign(assign)) => Action::Assign(assign.values),
        Some(Wire::Delete(())) => Action::Delete,
    };
    let kind = layer_kind(format_args!("{prefix}kind"), change.kind)?;
    Ok(Change {
        id: config_id(&prefix, &change.namespace, &change.config)?,
        key: LayerKey { kind, scope: scope(&prefix, &change.scope)? },
        ttl: change.ttl.map(|ttl| time_to_live(format_args!("{prefix}ttl"), &ttl)).transpose()?,
        action,
        expected: expected(change.expected_version, change.must_exist)
            .map_err(|why| invalid(format_args!("{prefix}must_exist"), why))?,
        field: field.into(),
    })
}

fn time_to_live(field: impl Display, ttl: &prost_types::Duration) -> Result<Duration, Error> {
    match duration(&field, ttl)? {
        ttl if ttl.is_zero() || ttl > TTL_MAX => {
            Err(invalid(field, "must be more than 0 and at most 3650 days"))
        }
        ttl => Ok(ttl),
    }
}

pub fn changes(changes: Vec<v1::Change>) -> Result<Vec<Change>, Error> {
    let changes = changes.into_iter().enumerate();
    changes.map(|(at, wire)| change(&format!("changes[{at}]"), wire)).collect()
}

/// A write, with what every write carries.
pub fn write(
    author: Author,
    viewer: Viewer,
    source: Source,
    options: v1::WriteOptions,
    request: Option<Request>,
    intent: Intent,
) -> Result<Write, Error> {
    bounded_text("options.reason", &options.reason, REASON_BYTES_MAX)?;
    bounded_text("options.request_id", &options.request_id, REQUEST_ID_BYTES_MAX)?;
    bounded_map("options.annotations", &options.annotations, ANNOTATION_BYTES_MAX)?;
    Ok(Write {
        origin: Origin { author, source, reason: options.reason, request, annotations: options.annotations },
        intent,
        validate_only: options.validate_only,
        without_backup: options.without_backup,
        viewer,
    })
}

/// Why, for the history.
pub fn reason(field: impl Display, text: &str) -> Result<(), Error> {
    bounded_text(field, text, REASON_BYTES_MAX)
}

pub fn bounded_text(field: impl Display, text: &str, bytes_max: usize) -> Result<(), Error> {
    match text.len() {
        bytes if bytes > bytes_max => {
            Err(invalid(field, format!("has {bytes} bytes, at most {bytes_max} are allowed")))
        }
        _ => Ok(()),
    }
}

pub fn bounded_map(
    field: impl Display,
    map: &BTreeMap<String, String>,
    bytes_max: usize,
) -> Result<(), Error> {
    if map.len() > ANNOTATIONS_MAX {
        let found = map.len();
        return Err(invalid(field, format!("has {found} entries, at most {ANNOTATIONS_MAX} are allowed")));
    }
    map.iter().try_for_each(|(name, value)| {
        let bytes = name.len() + value.len();
        match bytes > bytes_max {
            true => Err(invalid(
                &field,
                format!("entry {name:.20?} has {bytes} bytes, at most {bytes_max} are allowed"),
            )),
            false => Ok(()),
        }
    })
}

pub fn delete(request: &v1::DeleteRequest) -> Result<Intent, Error> {
    let kind = layer_kind("kind", request.kind)?;
    let scope = request.scope.as_ref().map(|text| scope("", text)).transpose()?;
    let key = scope.map(|scope| LayerKey { kind, scope });
    if key.is_none() && request.kind != v1::LayerKind::Unspecified as i32 {
        return Err(invalid("kind", "needs a scope: without one all layers are deleted"));
    }
    Ok(Intent::Delete {
        id: config_id("", &request.namespace, &request.config)?,
        key,
        expected: expected(request.expected_version, request.must_exist)
            .map_err(|why| invalid("must_exist", why))?,
    })
}

pub fn rollback(request: &v1::RollbackRequest) -> Result<Intent, Error> {
    use v1::rollback_request::To;
    let to = match &request.to {
        None => RollbackTo::Previous,
        Some(To::Version(version)) => RollbackTo::Version(Version(*version)),
        Some(To::Tag(text)) => RollbackTo::Tag(tag("tag", text)?),
    };
    Ok(Intent::Rollback {
        id: config_id("", &request.namespace, &request.config)?,
        to,
        scope: request.scope.as_ref().map(|text| scope("", text)).transpose()?,
        expected: request.expected_version.map(Version),
    })
}

/// `source`: the backup that the request names.
pub fn restore(request: &v1::RestoreRequest, source: Option<BackupSource>) -> Result<Restoring, Error> {
    use v1::restore_request::To;
    let namespace = namespace("namespace", &request.namespace)?;
    let config = match request.config.as_str() {
        "" if namespace.is_reserved() => {
            return Err(invalid("config", format!("must be set: {namespace} has system configs alone")));
        }
        "" => None,
        text => Some(config_name("config", text)?),
    };
    let to = match (&request.to, source) {
        (None, None) => return Err(invalid("to", "must be set: a revision, a time or a tag")),
        (Some(To::Revision(revision)), None) => RestorePoint::Revision(Revision(*revision)),
        (Some(To::Time(time)), None) => RestorePoint::Time(timestamp("time", time)?),
        (Some(To::Tag(text)), None) => RestorePoint::Tag(tag("tag", text)?),
        (None, Some(source)) => RestorePoint::Backup(Box::new(source)),
        (Some(To::Revision(0)), Some(_)) => return Err(invalid("revision", "must be 1 or more")),
        (Some(To::Revision(revision)), Some(source)) => {
            RestorePoint::Backup(Box::new(source.at(Revision(*revision))))
        }
        (Some(To::Time(_) | To::Tag(_)), Some(_)) => {
            return Err(invalid("to", "must be a revision, or unset, where backup_id or upload_id is set"));
        }
    };
    let scope = request.scope.as_ref().map(|text| scope("", text)).transpose()?;
    let scope = scope.unwrap_or_else(Scope::global);
    Ok(Restoring { namespace, config, scope, to, expected: request.expected_revision.map(Revision) })
}

pub fn set_tag(request: &v1::SetTagRequest) -> Result<Intent, Error> {
    let of_config = [request.version, request.expected_version.unwrap_or(0)];
    if request.config.is_empty() {
        if of_config != [0, 0] {
            return Err(invalid("config", "must be set with version and expected_version"));
        }
        let to = match request.revision {
            0 => TagTarget::Newest,
            revision => TagTarget::Revision(Revision(revision)),
        };
        return tag_namespace(&request.namespace, &request.tag, to, request.expected_revision);
    }
    if request.revision != 0 || request.expected_revision.is_some() {
        return Err(invalid("revision", "is for tags of a namespace: set version and expected_version"));
    }
    Ok(Intent::Tag {
        id: config_id("", &request.namespace, &request.config)?,
        tag: tag("tag", &request.tag)?,
        to: Some(Version(request.version)),
        expected: request.expected_version.map(Version),
    })
}

/// A tag of a namespace.
fn tag_namespace(of: &str, name: &str, to: TagTarget, expected: Option<u64>) -> Result<Intent, Error> {
    let namespace = namespace("namespace", of)?;
    if namespace.is_reserved() {
        return Err(invalid("config", format!("must be set: {namespace} has system configs alone")));
    }
    let (tag, expected) = (tag("tag", name)?, expected.map(Revision));
    Ok(Intent::TagNamespace(TagNamespace { namespace, tag, to, expected }))
}

pub fn delete_tag(request: &v1::DeleteTagRequest) -> Result<Intent, Error> {
    if request.config.is_empty() {
        return tag_namespace(&request.namespace, &request.tag, TagTarget::Deleted, None);
    }
    Ok(Intent::Tag {
        id: config_id("", &request.namespace, &request.config)?,
        tag: tag("tag", &request.tag)?,
        to: None,
        expected: None,
    })
}

/// 0: the default.
pub fn page_size(size: u32, max: usize) -> Result<usize, Error> {
    match size as usize {
        0 => Ok(PAGE_SIZE_DEFAULT.min(max)),
        size if size > max => Err(invalid("page_size", format!("is {size}, at most {max} are allowed"))),
        size => Ok(size),
    }
}

/// What a client says of itself, or is looked for by.
pub fn client_texts(client_id: &str, labels: &BTreeMap<String, String>) -> Result<(), Error> {
    bounded_text("client_id", client_id, CLIENT_ID_BYTES_MAX)?;
    bounded_map("labels", labels, CLIENT_ID_BYTES_MAX)
}

pub fn watch(
    visibility: Visibility,
    (address, library): (Option<IpAddr>, String),
    request: v1::WatchRequest,
    targets_max: usize,
) -> Result<WatchOptions, Error> {
    client_texts(&request.client_id, &request.labels)?;
    let count = request.targets.len();
    if count == 0 || count > targets_max {
        return Err(invalid("targets", format!("has {count} targets, 1 to {targets_max} are allowed")));
    }
    let targets = request.targets.into_iter().enumerate();
    let targets = targets.map(|(at, target)| watch_target(&format!("targets[{at}]."), target));
    let targets: Vec<WatchTarget> = targets.collect::<Result<_, _>>()?;
    let mut seen = std::collections::HashSet::new();
    for (at, target) in targets.iter().enumerate() {
        let (namespace, config) = match &target.selector {
            WatchSelector::Config(id, _) => (&id.namespace, Some(&id.config)),
            WatchSelector::Namespace(namespace, _) => (namespace, None),
        };
        if !seen.insert((namespace, config, &target.scope, target.view, target.format as u8)) {
            return Err(invalid(format!("targets[{at}]"), "is there twice"));
        }
    }
    let client = WatchClient { client_id: request.client_id, labels: request.labels, address, library };
    Ok(WatchOptions {
        targets,
        client,
        resume_token: (!request.resume_token.is_empty()).then_some(request.resume_token),
        progress_interval: progress_interval(request.progress_interval)?,
        visibility,
    })
}

fn watch_target(prefix: &str, target: v1::WatchTarget) -> Result<WatchTarget, Error> {
    let if_none_match = digest(format_args!("{prefix}if_none_match"), &target.if_none_match)?;
    let selector = match target.config.as_str() {
        "*" => {
            if if_none_match.is_some() {
                return Err(invalid(
                    format_args!("{prefix}if_none_match"),
                    "is not for config \"*\": use held",
                ));
            }
            let held = target.held.iter().map(|(name, text)| {
                let field = format!("{prefix}held");
                let digest = digest(&field, text)?.ok_or_else(|| invalid(&field, "has an empty digest"))?;
                Ok((config_name(&field, name)?, digest))
            });
            let held = held.collect::<Result<_, Error>>()?;
            WatchSelector::Namespace(namespace(format_args!("{prefix}namespace"), &target.namespace)?, held)
        }
        _ if !target.held.is_empty() => {
            return Err(invalid(format_args!("{prefix}held"), "is for config \"*\" only: use if_none_match"));
        }
        config => WatchSelector::Config(config_id(prefix, &target.namespace, config)?, if_none_match),
    };
    Ok(WatchTarget {
        selector,
        scope: scope(prefix, &target.scope)?,
        view: filled(prefix, view(format_args!("{prefix}view"), target.view)?, target.apply_defaults)?,
        format: format(format_args!("{prefix}format"), target.format)?,
    })
}

pub fn progress_interval(interval: Option<prost_types::Duration>) -> Result<Duration, Error> {
    let field = "progress_interval";
    let interval = interval.map_or(Ok(PROGRESS_INTERVAL_DEFAULT), |interval| duration(field, &interval))?;
    match (PROGRESS_INTERVAL_MIN..=PROGRESS_INTERVAL_MAX).contains(&interval) {
        true => Ok(interval),
        false => Err(invalid(field, "must be 100 ms to 1 h")),
    }
}

/// A token that a stream gave.
pub fn resume_token(field: &str, text: &str) -> Result<ResumeToken, Error> {
    ResumeToken::parse(text).ok_or_else(|| invalid(field, "is not one that a stream gave"))
}

/// A namespace, or a config of it. `None`: everything.
pub fn change_filter(of: &str, config: &str) -> Result<Option<(Namespace, Option<ConfigName>)>, Error> {
    Ok(match (of, config) {
        ("", "") => None,
        ("", _) => return Err(invalid("namespace", "must be set with config")),
        (text, "") => Some((namespace("namespace", text)?, None)),
        (text, config) => Some((namespace("namespace", text)?, Some(config_name("config", config)?))),
    })
}

/// Kinds of writes.
pub fn sources(codes: &[i32]) -> Result<Vec<Source>, Error> {
    let source = |code: &i32| match v1::CommitSource::try_from(*code) {
        Ok(v1::CommitSource::Set) => Ok(Source::Set),
        Ok(v1::CommitSource::Apply) => Ok(Source::Apply),
        Ok(v1::CommitSource::Delete) => Ok(Source::Delete),
        Ok(v1::CommitSource::Rollback) => Ok(Source::Rollback),
        Ok(v1::CommitSource::Expiry) => Ok(Source::Expiry),
        Ok(v1::CommitSource::Tag) => Ok(Source::Tag),
        Ok(v1::CommitSource::Schema) => Ok(Source::Schema),
        Ok(v1::CommitSource::Migration) => Ok(Source::Migration),
        Ok(v1::CommitSource::Revert) => Ok(Source::Revert),
        Ok(v1::CommitSource::Restore) => Ok(Source::Restore),
        Ok(v1::CommitSource::Unspecified) | Err(_) => {
            Err(invalid("sources", format!("{code} is no kind of write")))
        }
    };
    codes.iter().map(source).collect()
}

pub fn stream_changes(
    viewer: Viewer,
    epoch: Epoch,
    request: &v1::StreamChangesRequest,
) -> Result<ChangesOptions, Error> {
    let filter = change_filter(&request.namespace, &request.config)?;
    let from = match request.resume_token.as_str() {
        "" => (request.from_revision != 0).then_some(Revision(request.from_revision)),
        _ if request.from_revision != 0 => {
            return Err(invalid("resume_token", "cannot be set together with from_revision"));
        }
        token => Some(resume_token("resume_token", token)?.revision_in(epoch)?.next()),
    };
    Ok(ChangesOptions {
        from,
        filter,
        progress_interval: progress_interval(request.progress_interval)?,
        viewer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Access;

    #[test]
    fn a_watch_keeps_what_its_client_says_of_itself() {
        let request = v1::WatchRequest {
            targets: vec![v1::WatchTarget {
                namespace: "shop".into(),
                config: "checkout".into(),
                ..Default::default()
            }],
            client_id: "pod-1".into(),
            labels: BTreeMap::from([("zone".into(), "a".into())]),
            ..Default::default()
        };
        let visibility = Access::unrestricted("test").expect("a name").visibility();
        let address = Some([192, 0, 2, 1].into());
        let (client_id, labels) = (request.client_id.clone(), request.labels.clone());
        let expected = WatchClient { client_id, labels, address, library: "tonic".into() };
        let options = watch(visibility, (address, "tonic".into()), request, 1).expect("it is a good request");
        assert_eq!(options.client, expected);
    }
}
