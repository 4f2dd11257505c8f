//! Arguments that commands share: targets, points in time, formats, what a write may carry. Knows the wire; never a
//! connection.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::moment::{Moment, parse_duration};
use crate::cli::output::exit::Failure;
use crate::model::text::Format;
use crate::proto::v1;

/// As long as the server takes.
const TIME_TO_LIVE_MAX: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// A config, and maybe a scope, as one word: `payments/checkout` or `payments/checkout@/production`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub namespace: String,
    pub config: String,
    /// `None`: no scope was named. Reads take it for the global one.
    pub scope: Option<String>,
}

/// The target of a command.
#[derive(Args, Clone, Debug)]
pub struct TargetArgs {
    /// The config; a scope may follow as in payments/checkout@/production
    #[arg(value_name = "NAMESPACE/CONFIG")]
    target: Target,
    /// The scope, such as /production/checkout
    #[arg(short, long)]
    scope: Option<String>,
}

/// As of when to read. None of them: now.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub struct PointArgs {
    /// As of this version of the config
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// As of the version that this tag names
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// As of this revision of the store
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// As of this time: RFC 3339, or a time ago such as 15m or 2h
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    time: Option<Moment>,
}

/// A point in the history of a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    Version(u64),
    Tag(String),
    Revision(u64),
    Time(Moment),
}

/// What every write may carry.
#[derive(Args, Clone, Debug)]
pub struct WriteArgs {
    /// Give a reason for the history
    #[arg(short = 'm', long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Make the write idempotent: a repetition with the same id within 24 hours returns the first outcome
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
    /// Print the outcome without writing anything
    #[arg(long)]
    pub dry_run: bool,
    /// Add an annotation to the history, such as ticket=OPS-7; may be repeated
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = parse_annotation)]
    annotations: Vec<(String, String)>,
}

/// How documents are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum DocumentFormat {
    Json,
    Yaml,
    Toml,
}

/// What to merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ViewName {
    /// All layers: what a service sees
    #[default]
    Effective,
    /// Without overrides
    Base,
    /// The base layer of this scope alone
    Layer,
    /// The override of this scope alone
    Override,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let (name, scope) = match text.split_once('@') {
            Some((name, scope)) => (name, Some(scope.to_owned())),
            None => (text, None),
        };
        if scope.as_ref().is_some_and(|scope| !scope.starts_with('/')) {
            return Err("a scope starts with \"/\", as in payments/checkout@/production".into());
        }
        match name.split_once('/') {
            Some((namespace, config))
                if !namespace.is_empty() && !config.is_empty() && !config.contains('/') =>
            {
                Ok(Target { namespace: namespace.into(), config: config.into(), scope })
            }
            Some(_) | None => Err("expected NAMESPACE/CONFIG, as in payments/checkout".into()),
        }
    }
}

impl Target {
    /// The scope to read: the global one if none was named.
    pub fn read_scope(&self) -> String {
        self.scope.clone().unwrap_or_else(|| "/".into())
    }

    /// With the scope of `--scope`, which may repeat the one in the word but not contradict it.
    pub fn at_scope(&self, scope: Option<&str>) -> Result<Target, Failure> {
        match (&self.scope, scope) {
            (Some(within), Some(beside)) if within != beside => {
                Err(Failure::usage(format!("two scopes: @{within} and --scope {beside}")))
            }
            (Some(_), Some(_) | None) | (None, None) => Ok(self.clone()),
            (None, Some(beside)) => Ok(Target { scope: Some(beside.into()), ..self.clone() }),
        }
    }

    /// A read of this target.
    pub fn get_request(&self) -> v1::GetRequest {
        v1::GetRequest {
            namespace: self.namespace.clone(),
            config: self.config.clone(),
            scope: self.read_scope(),
            ..Default::default()
        }
    }
}

impl TargetArgs {
    pub fn target(&self) -> Result<Target, Failure> {
        self.target.at_scope(self.scope.as_deref())
    }
}

impl PointArgs {
    pub fn point(&self) -> Option<Point> {
        let version = self.version.map(Point::Version);
        let tag = || self.tag.clone().map(Point::Tag);
        let revision = || self.revision.map(Point::Revision);
        version.or_else(tag).or_else(revision).or_else(|| self.time.map(Point::Time))
    }
}

/// A number is a version, another word a tag; `version:7`, `tag:7`, `revision:7` and `time:15m` say which.
impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Point, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is not a number"));
        match text.split_once(':') {
            Some(("version", rest)) => Ok(Point::Version(number(rest)?)),
            Some(("tag", rest)) => Ok(Point::Tag(rest.into())),
            Some(("revision", rest)) => Ok(Point::Revision(number(rest)?)),
            Some(("time", rest)) => Ok(Point::Time(Moment::parse(rest)?)),
            Some(_) => Err("expected a version, a tag, tag:NAME, revision:N or time:TIME".into()),
            None => Ok(text.parse().map_or_else(|_| Point::Tag(text.into()), Point::Version)),
        }
    }
}

impl Point {
    pub fn for_get(&self) -> Result<v1::get_request::At, Failure> {
        Ok(match self {
            Point::Version(version) => v1::get_request::At::Version(*version),
            Point::Tag(tag) => v1::get_request::At::Tag(tag.clone()),
            Point::Revision(revision) => v1::get_request::At::Revision(*revision),
            Point::Time(moment) => v1::get_request::At::Time(timestamp(*moment)?),
        })
    }

    pub fn for_explain(&self) -> Result<v1::explain_request::At, Failure> {
        Ok(match self {
            Point::Version(version) => v1::explain_request::At::Version(*version),
            Point::Tag(tag) => v1::explain_request::At::Tag(tag.clone()),
            Point::Revision(revision) => v1::explain_request::At::Revision(*revision),
            Point::Time(moment) => v1::explain_request::At::Time(timestamp(*moment)?),
        })
    }
}

impl WriteArgs {
    /// The write is not to be repeated as it is.
    pub fn has_no_request_id(&self) -> bool {
        self.request_id.is_empty()
    }

    /// Those of a dry run of the same write.
    pub fn dry_options(&self) -> v1::WriteOptions {
        v1::WriteOptions { validate_only: true, ..self.options() }
    }

    pub fn options(&self) -> v1::WriteOptions {
        v1::WriteOptions {
            reason: self.reason.clone(),
            request_id: self.request_id.clone(),
            validate_only: self.dry_run,
            annotations: self.annotations.iter().cloned().collect::<BTreeMap<_, _>>(),
            without_backup: false,
        }
    }
}

impl DocumentFormat {
    /// By the extension of a file name. `None`: not one of ours.
    pub fn of_path(path: &Path) -> Option<DocumentFormat> {
        match path.extension()?.to_str()? {
            "json" => Some(DocumentFormat::Json),
            "yaml" | "yml" => Some(DocumentFormat::Yaml),
            "toml" => Some(DocumentFormat::Toml),
            _ => None,
        }
    }

    pub fn extension(self) -> &'static str {
        match self {
            DocumentFormat::Json => "json",
            DocumentFormat::Yaml => "yaml",
            DocumentFormat::Toml => "toml",
        }
    }

    /// `None`: none was said.
    pub fn of_wire(format: v1::Format) -> Option<DocumentFormat> {
        match format {
            v1::Format::Unspecified => None,
            v1::Format::Json => Some(DocumentFormat::Json),
            v1::Format::Yaml => Some(DocumentFormat::Yaml),
            v1::Format::Toml => Some(DocumentFormat::Toml),
        }
    }

    pub fn to_model(self) -> Format {
        match self {
            DocumentFormat::Json => Format::Json,
            DocumentFormat::Yaml => Format::Yaml,
            DocumentFormat::Toml => Format::Toml,
        }
    }

    pub fn to_wire(self) -> v1::Format {
        match self {
            DocumentFormat::Json => v1::Format::Json,
            DocumentFormat::Yaml => v1::Format::Yaml,
            DocumentFormat::Toml => v1::Format::Toml,
        }
    }

    pub fn text(self, content: String) -> v1::Text {
        v1::Text { content, format: self.to_wire().into() }
    }
}

impl ViewName {
    pub fn to_wire(self) -> v1::View {
        match self {
            ViewName::Effective => v1::View::Effective,
            ViewName::Base => v1::View::Base,
            ViewName::Layer => v1::View::Layer,
            ViewName::Override => v1::View::OverrideLayer,
        }
    }
}

/// A duration as messages carry it.
pub fn wire_duration(duration: Duration) -> Result<prost_types::Duration, Failure> {
    duration.try_into().map_err(|_| Failure::usage(format!("the duration {duration:?} is too long")))
}

/// For clap: a duration such as `30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
}

/// How long something is good for, of which zero and more than ten years are a mistake.
pub fn time_to_live(text: &str) -> Result<Duration, String> {
    let ttl = parse_duration(text)?;
    match ttl.is_zero() || ttl > TIME_TO_LIVE_MAX {
        true => Err("expected more than 0s and at most 3650d".into()),
        false => Ok(ttl),
    }
}

pub fn timestamp(moment: Moment) -> Result<prost_types::Timestamp, Failure> {
    let at = moment.resolve(jiff::Timestamp::now()).map_err(Failure::usage)?;
    // Both count nanoseconds upwards from the second below; jiff signs them like the seconds.
    let nanos = at.subsec_nanosecond();
    let borrow = i64::from(nanos < 0);
    Ok(prost_types::Timestamp {
        seconds: at.as_second() - borrow,
        nanos: nanos + i32::try_from(borrow * 1_000_000_000).unwrap_or(0),
    })
}

fn parse_annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        Some(_) | None => Err("expected KEY=VALUE, as in ticket=OPS-7".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().expect("a target")
    }

    #[test]
    fn targets_are_one_word_with_or_without_a_scope() {
        assert_eq!(target("a/b").scope, None);
        // What governs a config is named by a colon.
        for config in ["schema:b", "rules:b", "settings:b", "namespace:rules", "namespace:settings"] {
            assert_eq!(target(&format!("a/{config}")).config, config);
            assert_eq!(target(&format!("a/{config}@/")).config, config);
        }
        assert_eq!(target("a/b@/").scope.as_deref(), Some("/"));
        // A segment may hold an @ itself.
        assert_eq!(target("a/b@/production/x@y").scope.as_deref(), Some("/production/x@y"));
        for text in ["a", "a/", "/b", "a/b/c", "a/b@production", "", "@/x"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_scope_named_twice_must_be_the_same() {
        assert_eq!(target("a/b").at_scope(Some("/x")).expect("one").scope.as_deref(), Some("/x"));
        assert_eq!(target("a/b@/x").at_scope(Some("/x")).expect("same").scope.as_deref(), Some("/x"));
        assert!(target("a/b@/x").at_scope(Some("/y")).is_err());
    }

    #[test]
    fn points_are_versions_or_tags_unless_they_say_what_they_are() {
        assert_eq!("7".parse(), Ok(Point::Version(7)));
        assert_eq!("stable".parse(), Ok(Point::Tag("stable".into())));
        assert_eq!("tag:7".parse(), Ok(Point::Tag("7".into())));
        assert_eq!("revision:7".parse(), Ok(Point::Revision(7)));
        assert!("revision:x".parse::<Point>().is_err());
        assert!("branch:x".parse::<Point>().is_err());
    }

    #[test]
    fn moments_before_1970_keep_their_nanoseconds() {
        let at = |text: &str| timestamp(Moment::At(text.parse().expect("a time"))).expect("fits");
        assert_eq!(
            (at("1970-01-01T00:00:01.5Z").seconds, at("1970-01-01T00:00:01.5Z").nanos),
            (1, 500_000_000)
        );
        assert_eq!(
            (at("1969-12-31T23:59:58.5Z").seconds, at("1969-12-31T23:59:58.5Z").nanos),
            (-2, 500_000_000)
        );
    }
}
