//! One change to one layer, from what was typed: assignments, a file, standard input, or a patch. Knows the wire; never
//! a connection.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::args::{DocumentFormat, Target, time_to_live, wire_duration};
use super::assignment::{self, removal_patch, to_map};
use crate::bounded_file::{self, DOCUMENT_FILE_BYTES_MAX};
use crate::cli::Session;
use crate::cli::files::source::{LayerId, Source, Sources};
use crate::cli::output::exit::Failure;
use crate::cli::output::refusal;
use crate::client::ClientError;
use crate::model::Scope;
use crate::proto::v1::{self, change::Action};

/// What to do with the layer: exactly one way of saying it.
#[derive(Args, Clone, Debug)]
pub struct ChangeArgs {
    /// Values to set: PATH=VALUE, where VALUE is JSON or else a string, or PATH:=JSON; a single - replaces the layer by
    /// standard input
    #[arg(value_name = "PATH=VALUE", conflicts_with_all = ["file", "merge_patch", "json_patch", "unset"])]
    assignments: Vec<String>,
    /// Set a string value, also if it looks like a number: --string version=1.10; may be repeated
    #[arg(long = "string", value_name = "PATH=TEXT", conflicts_with_all = ["file", "merge_patch", "json_patch", "unset"])]
    strings: Vec<String>,
    /// Replace the layer by this document; - is standard input
    #[arg(short = 'F', long, conflicts_with_all = ["merge_patch", "json_patch", "unset"])]
    file: Option<PathBuf>,
    /// Apply this JSON merge patch (RFC 7396) to the layer; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json_patch", "unset"])]
    merge_patch: Option<PathBuf>,
    /// Apply this JSON patch (RFC 6902) to the layer; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "unset")]
    json_patch: Option<PathBuf>,
    /// Remove this member from the layer, so that it inherits again; may be repeated
    #[arg(long, value_name = "PATH")]
    unset: Vec<String>,
    /// Read the file or standard input in this format [default: by the extension, else JSON]
    #[arg(long, value_enum)]
    format: Option<DocumentFormat>,
    /// Change the override of the scope: it wins over every base layer
    #[arg(long = "override")]
    overrides: bool,
    /// End the override so long after the commit, such as 30m
    #[arg(long, value_parser = time_to_live, requires = "overrides")]
    ttl: Option<Duration>,
    /// Write only if the last change of the layer has this version; 0: only if the layer does not exist
    #[arg(long, value_name = "N")]
    expected_version: Option<u64>,
}

impl ChangeArgs {
    /// The change of the layer at `target`. Reads files and standard input.
    pub fn change(&self, target: &Target) -> Result<v1::Change, Failure> {
        Ok(v1::Change {
            namespace: target.namespace.clone(),
            config: target.config.clone(),
            scope: target.read_scope(),
            kind: kind(self.overrides).into(),
            ttl: self.ttl.map(wire_duration).transpose()?,
            expected_version: self.expected_version,
            action: Some(self.action()?),
            must_exist: false,
        })
    }

    /// The text that the change was read from, if it was; `field` is that of the change in the request.
    pub fn sources(&self, change: &v1::Change, field: &str) -> Sources {
        let (action, text, is_layer) = match &change.action {
            Some(Action::Replace(text)) => ("replace", text, true),
            Some(Action::MergePatch(text)) => ("merge_patch", text, true),
            Some(Action::JsonPatch(text)) => ("json_patch", text, false),
            Some(Action::Assign(_) | Action::Delete(())) | None => return Sources::default(),
        };
        let (Some(path), Some(format)) = (self.path(), DocumentFormat::of_wire(text.format())) else {
            return Sources::default();
        };
        let layer = Scope::parse(&change.scope).ok().filter(|_| is_layer).map(|scope| LayerId {
            namespace: change.namespace.clone(),
            config: change.config.clone(),
            scope,
            kind: change.kind(),
        });
        Sources(vec![Source {
            field: format!("{field}.{action}"),
            name: name_of(path),
            format,
            text: text.content.clone(),
            layer,
            place: String::new(),
        }])
    }

    /// What a refusal of this change means, told with what was typed instead of the fields of the request.
    pub async fn refused(&self, error: ClientError, sources: &Sources, session: &Session) -> Failure {
        let reason = error.reason().to_owned();
        let failure = refusal::refused(error, sources, Some(session)).await;
        let Some(path) = self.path() else {
            let failure =
                failure.naming("change.assign", "the assignment").naming("change.json_patch", "--unset");
            return match reason.as_str() {
                "PATCH_DOES_NOT_APPLY" => failure.with(
                    "--unset takes what this layer has: `confwatch explain` says where a value is from",
                ),
                _ => failure,
            };
        };
        let is_guess = self.format.is_none() && DocumentFormat::of_path(path).is_none();
        match reason.as_str() {
            "MALFORMED_DOCUMENT" if is_guess => {
                failure.with("--format says how it is written, if not as JSON")
            }
            _ => failure,
        }
    }

    /// The file that the change is read from; `-` is standard input.
    fn path(&self) -> Option<&Path> {
        let named = self.file.as_ref().or(self.merge_patch.as_ref()).or(self.json_patch.as_ref());
        match named {
            Some(path) => Some(path),
            None => (self.assignments == ["-"] && self.strings.is_empty()).then_some(Path::new("-")),
        }
    }

    /// How the file or standard input is written, if that was said.
    pub fn format(&self) -> Option<DocumentFormat> {
        self.format
    }

    /// Whether nothing says what to do.
    pub fn is_empty(&self) -> bool {
        self.assignments.is_empty()
            && self.strings.is_empty()
            && self.file.is_none()
            && self.merge_patch.is_none()
            && self.json_patch.is_none()
            && self.unset.is_empty()
    }

    fn action(&self) -> Result<Action, Failure> {
        if self.is_empty() {
            return Err(Failure::usage(
                "nothing to set: give PATH=VALUE, --file, a patch or - for standard input",
            ));
        }
        if let Some(path) = &self.file {
            return self.text(path).map(Action::Replace);
        }
        if let Some(path) = &self.merge_patch {
            return self.text(path).map(Action::MergePatch);
        }
        if let Some(path) = &self.json_patch {
            return self.text(path).map(Action::JsonPatch);
        }
        if !self.unset.is_empty() {
            return Ok(Action::JsonPatch(DocumentFormat::Json.text(removal_patch(&self.unset))));
        }
        if self.assignments == ["-"] && self.strings.is_empty() {
            return self.text(Path::new("-")).map(Action::Replace);
        }
        let strings = self.strings.iter().map(|text| assignment::parse_string(text));
        let assignments = self.assignments.iter().map(|text| assignment::parse(text)).chain(strings);
        let assignments = assignments.collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
        let values = to_map(&assignments).map_err(Failure::usage)?;
        Ok(Action::Assign(v1::Assignments { values }))
    }

    fn text(&self, path: &Path) -> Result<v1::Text, Failure> {
        Ok(format_of(path, self.format).text(read_text(path)?))
    }
}

pub fn kind(overrides: bool) -> v1::LayerKind {
    match overrides {
        true => v1::LayerKind::Override,
        false => v1::LayerKind::Base,
    }
}

/// How a file is written: as was said, else by its extension, else in JSON.
pub fn format_of(path: &Path, said: Option<DocumentFormat>) -> DocumentFormat {
    said.or_else(|| DocumentFormat::of_path(path)).unwrap_or(DocumentFormat::Json)
}

/// A file, or standard input for `-`.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let name = name_of(path);
    let read = match path == Path::new("-") {
        true => bounded_file::read_from(std::io::stdin().lock(), DOCUMENT_FILE_BYTES_MAX),
        false => bounded_file::read(path, DOCUMENT_FILE_BYTES_MAX),
    };
    let bytes = read.map_err(|error| Failure::io(&name, &error))?;
    String::from_utf8(bytes).map_err(|_| Failure::refused(format!("{name} is not UTF-8")))
}

pub fn name_of(path: &Path) -> String {
    match path == Path::new("-") {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}
