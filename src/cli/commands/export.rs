//! `confwatch export`: a namespace as a directory. Knows the client and the directory form.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::Value;

use super::apply::tree_failure;
use super::get::pretty;
use super::list::{Listed, Listing, configs_of};
use crate::cli::Session;
use crate::cli::files::tree;
use crate::cli::files::tree::{Existing, Holds, LayerFile, LayerName, Written};
use crate::cli::files::tree_changes::is_of_directories;
use crate::cli::input::args::DocumentFormat;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::lacking::{lack_of_read, note_lack_of_read};
use crate::cli::output::streams::{PLACE, counted};
use crate::client::ClientError;
use crate::model::text::{Format, render, render_pretty_json};
use crate::model::{ConfigName, Governs, Scope};
use crate::proto::v1;

/// How often to list again when commits come in between the pages.
const ATTEMPTS_MAX: usize = 10;
/// Layers to fetch at once.
const CONCURRENCY: usize = 8;
/// So many overrides are named that are left out.
const NAMED_MAX: usize = 10;
/// The member whose value is a secret, alone in its object.
const SECRET_MARK: &str = "$secret";

/// Write a namespace as a directory that `confwatch apply` takes
#[derive(Args, Debug)]
#[command(after_help = "\
All layers are read at one revision. Members are sorted, so that the same configuration always gives the same files, and \
applying what was exported changes nothing. Overrides are temporary and have no place in a directory: they are not exported, and standard \
error names them. With --reveal a secret is written as {\"$secret\": VALUE}, so that it is a secret wherever it is applied. TOML has no null: a layer that \
removes an inherited value is written as YAML instead. Schemas, rules and settings are exported as well: CONFIG/_schema.json and so on.

Examples:
  confwatch export payments
  confwatch export payments -d payments/
  confwatch export payments -d payments/ --force --format toml && git -C payments diff")]
pub struct ExportArgs {
    /// The namespace
    namespace: String,
    /// Write the files below this directory, which must be new or empty; without it they are printed
    #[arg(short, long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Write the documents in this format [default: the format of the last replacement of each, else YAML]
    #[arg(long, value_enum)]
    format: Option<DocumentFormat>,
    /// Write into a directory that has content: layers that differ are replaced or deleted; other files, and files of equal content, stay
    #[arg(long, requires = "directory")]
    force: bool,
}

/// What `--output json` and `yaml` show: the files, by their path.
#[derive(Debug, Serialize)]
struct ExportView {
    namespace: String,
    revision: u64,
    files: BTreeMap<String, String>,
    /// The overrides that are not exported: config and scope.
    overrides: Vec<String>,
}

/// What is exported, as of a revision.
struct Exported {
    revision: u64,
    layers: BTreeMap<LayerName, LayerFile>,
    /// Config and scope of each override, which is left out.
    overrides: Vec<String>,
}

pub async fn run(args: ExportArgs, session: &Session) -> Outcome {
    let Exported { revision, layers, overrides } = exported(&args, session).await?;
    // A part of a namespace looks like the whole: files of layers that are only hidden must not be taken for stale.
    match (lack_of_read(&args.namespace, "", session).await, args.force) {
        (Some(why), true) => {
            let why = format!("{why}; --force would delete the files of layers that are left out");
            return Err(Failure::new(Exit::NotAllowed, why));
        }
        (Some(why), false) => session.output.warning(&why),
        (None, _) => {}
    }
    if let Some(left_out) = left_out(&overrides) {
        session.output.warning(&left_out);
    }
    let mut files = BTreeMap::new();
    for (name, file) in &layers {
        let path = tree::path_of(name, file.holds, file.format).map_err(tree_failure)?;
        files.insert(path.display().to_string(), file.text.clone());
    }
    let existing = match (args.force, args.format) {
        (false, _) => Existing::Refused,
        (true, None) => Existing::Replaced,
        (true, Some(_)) => Existing::ReplacedByFormat,
    };
    let written = match &args.directory {
        Some(directory) => tree::write(directory, &layers, existing).map_err(tree_failure)?,
        None => Written::default(),
    };
    let view = ExportView { namespace: args.namespace, revision, files, overrides };
    session.output.answer(&view, |output| match &args.directory {
        Some(directory) => output.line(&format!(
            "{} in {}, revision {revision}{}",
            counted(layers.len(), "file"),
            directory.display(),
            summary(written)
        )),
        None => {
            for (path, text) in &view.files {
                output.line(&format!("{PLACE}# {path}{PLACE:#}"))?;
                output.document(text)?;
            }
            Ok(())
        }
    })?;
    Ok(Exit::Done)
}

/// What was done to a directory that had content.
fn summary(written: Written) -> String {
    let Written { written, kept, deleted } = written;
    match (kept, deleted) {
        (0, 0) => String::new(),
        _ => format!(" ({written} written, {kept} unchanged, {deleted} deleted)"),
    }
}

/// Which overrides are not in the files. `None`: there are none.
fn left_out(overrides: &[String]) -> Option<String> {
    let mut named = overrides.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if overrides.len() > NAMED_MAX {
        named.push_str(&format!(" and {} more", overrides.len() - NAMED_MAX));
    }
    let verb = if overrides.len() == 1 { "is" } else { "are" };
    (!overrides.is_empty())
        .then(|| format!("{} {verb} not exported: {named}", counted(overrides.len(), "override")))
}

/// The base layers of the namespace, all as of one revision.
async fn exported(args: &ExportArgs, session: &Session) -> Result<Exported, Failure> {
    let (configs, revision) = configs_at_one_revision(&args.namespace, session).await?;
    if configs.is_empty() {
        note_lack_of_read(&args.namespace, "", session).await;
        return Err(Failure::new(Exit::NotFound, format!("there is no config in {}", args.namespace)));
    }
    let (mut names, mut overrides) = (Vec::new(), Vec::new());
    for info in configs {
        for layer in &info.layers {
            if layer.kind() != v1::LayerKind::Base {
                overrides.push(format!("{} {}", info.config, layer.scope));
                continue;
            }
            let written = DocumentFormat::of_wire(layer.format());
            let format = args.format.or(written).unwrap_or(DocumentFormat::Yaml);
            let name = layer_name(&info.config, &layer.scope)?;
            if is_of_directories(&name.config) {
                names.push((name, format));
            }
        }
    }
    let layers = stream::iter(names)
        .map(|(name, format)| async move {
            let file = fetch(&args.namespace, &name, revision, format, session).await?;
            Ok::<_, Failure>((name, file))
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    Ok(Exported { revision, layers, overrides })
}

async fn configs_at_one_revision(
    namespace: &str,
    session: &Session,
) -> Result<(Vec<v1::ConfigInfo>, u64), Failure> {
    for _ in 0..ATTEMPTS_MAX {
        let listed = Listed { deleted: false, governing: true };
        if let Listing { configs, revision: Some(revision) } = configs_of(namespace, listed, session).await? {
            return Ok((configs, revision));
        }
    }
    Err(Failure::new(Exit::Unavailable, "commits come in too fast to list the namespace at one revision"))
}

fn layer_name(config: &str, scope: &str) -> Result<LayerName, Failure> {
    let unreadable = |why: String| Failure::new(Exit::Failed, format!("the server named {why}"));
    Ok(LayerName {
        config: ConfigName::parse(config)
            .map_err(|error| unreadable(format!("config {config:?}, which {error}")))?,
        scope: Scope::parse(scope).map_err(|error| unreadable(format!("scope {scope:?}, which {error}")))?,
    })
}

async fn fetch(
    namespace: &str,
    name: &LayerName,
    revision: u64,
    format: DocumentFormat,
    session: &Session,
) -> Result<LayerFile, Failure> {
    let request = v1::GetRequest {
        namespace: namespace.into(),
        config: name.config.to_string(),
        scope: name.scope.to_string(),
        at: Some(v1::get_request::At::Revision(revision)),
        view: v1::View::Layer.into(),
        ..Default::default()
    };
    if matches!(name.config.governs(), Some(Governs::Schema(_))) {
        let content = content(request.clone(), session).await?.content;
        let stored = serde_json::from_str(&content).map_err(|error| {
            Failure::new(Exit::Failed, format!("the server sent what is not JSON: {error}"))
        })?;
        if let Some(schema) = tree::is_plain(&stored) {
            return Ok(schema_file(schema, format));
        }
    }
    if session.reveals {
        let document = content(request.clone(), session).await?;
        if !document.revealed_pointers.is_empty() {
            return marked_file(name, &document, format, session);
        }
    }
    let in_format =
        |format: DocumentFormat| v1::GetRequest { format: format.to_wire().into(), ..request.clone() };
    let (format, document) = match content(in_format(format), session).await {
        Ok(content) => (format, content),
        Err(error) if error.reason() == "FORMAT_CANNOT_EXPRESS" => {
            session.output.warning(&format!(
                "{} {} is written as YAML: {}",
                name.config,
                name.scope,
                error.message()
            ));
            (DocumentFormat::Yaml, content(in_format(DocumentFormat::Yaml), session).await?)
        }
        Err(error) => return Err(error.into()),
    };
    let text = match format {
        DocumentFormat::Json => pretty(&document.content)?,
        DocumentFormat::Yaml | DocumentFormat::Toml => document.content,
    };
    Ok(LayerFile { holds: Holds::Layer, format, text, has_secrets: false })
}

/// A layer with its secrets in clear text, each marked as one.
fn marked_file(
    name: &LayerName,
    document: &v1::Document,
    format: DocumentFormat,
    session: &Session,
) -> Result<LayerFile, Failure> {
    let mut value: Value = serde_json::from_str(&document.content)
        .map_err(|error| Failure::new(Exit::Failed, format!("the server sent what is not JSON: {error}")))?;
    for pointer in &document.revealed_pointers {
        if pointer.is_empty() {
            let why = format!("{} {} has more secrets than the server lists", name.config, name.scope);
            return Err(Failure::new(Exit::Refused, why)
                .with("export without --reveal, which leaves the secrets masked"));
        }
        if let Some(secret) = value.pointer_mut(pointer) {
            let mark = serde_json::Map::from_iter([(SECRET_MARK.to_owned(), secret.take())]);
            *secret = Value::Object(mark);
        }
    }
    let (format, text) = match rendered(&value, format) {
        Ok(text) => (format, text),
        Err(why) => {
            session.output.warning(&format!("{} {} is written as YAML: {why}", name.config, name.scope));
            let text = rendered(&value, DocumentFormat::Yaml);
            (DocumentFormat::Yaml, text.map_err(|why| Failure::new(Exit::Failed, why))?)
        }
    };
    Ok(LayerFile { holds: Holds::Layer, format, text, has_secrets: true })
}

fn rendered(value: &Value, format: DocumentFormat) -> Result<String, String> {
    let format = match format {
        DocumentFormat::Json => return Ok(render_pretty_json(value)),
        DocumentFormat::Yaml => Format::Yaml,
        DocumentFormat::Toml => Format::Toml,
    };
    render(value, format).map_err(|error| error.to_string())
}

async fn content(request: v1::GetRequest, session: &Session) -> Result<v1::Document, ClientError> {
    let response = session.client.api().get(request).await?.into_inner();
    Ok(response.document.unwrap_or_default())
}

/// A schema by itself; in JSON where the format has no way to say it.
fn schema_file(schema: &Value, format: DocumentFormat) -> LayerFile {
    let rendered = match format {
        DocumentFormat::Json => None,
        DocumentFormat::Yaml => render(schema, Format::Yaml).ok(),
        DocumentFormat::Toml => render(schema, Format::Toml).ok(),
    };
    let (format, text) = match rendered {
        Some(text) => (format, text),
        None => (DocumentFormat::Json, render_pretty_json(schema)),
    };
    LayerFile { holds: Holds::Schema, format, text, has_secrets: false }
}
