//! `confwatch schema`: what the documents of a config must be like. Knows the client only.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::get::pretty;
use super::history;
use crate::cli::Session;
use crate::cli::files::source::{LayerId, Source, Sources};
use crate::cli::input::args::{DocumentFormat, Target, WriteArgs};
use crate::cli::input::change::{format_of, name_of, read_text};
use crate::cli::input::similar_names::doubt_of_new_layer;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::refusal::{refused, show_findings_in};
use crate::cli::output::streams::{PLACE, printable};
use crate::cli::output::views::{SchemaDeletedView, SchemaPutView, SchemaView, SchemasView, short_time};
use crate::client::ClientError;
use crate::model::{Scope, SystemConfig};
use crate::proto::v1;

/// The largest page there is.
const PAGE_SIZE: u32 = 1000;

/// Manage the schemas of configs
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch schema put payments/checkout -f checkout.schema.json --dry-run
  confwatch schema get payments/checkout --number 3
  confwatch schema history payments/checkout")]
pub struct SchemaArgs {
    #[command(subcommand)]
    command: SchemaCommand,
}

#[derive(Subcommand, Debug)]
enum SchemaCommand {
    /// Store a JSON Schema for a config, or a new version of it
    #[command(after_help = "\
Every document of the config is checked against the schema before it is stored: what would break is told, and nothing happens. \
With --accept-existing it is stored nevertheless, and what is wrong now is a warning until it is mended.

With --up the schema becomes a new version beside the one that is active, and `confwatch migrate` leads from one to the other: \
FILE holds a JSON array of steps (move, rename, set_default, remove, convert).

Examples:
  confwatch schema put payments/checkout -f checkout.schema.json --dry-run
  confwatch schema put payments/checkout -f checkout.schema.yaml --accept-existing -m 'first schema'
  confwatch schema put payments/checkout -f v2.json --up up.json --down down.json --expect 3")]
    Put(PutArgs),
    /// Print a schema
    #[command(after_help = "\
Examples:
  confwatch schema get payments/checkout
  confwatch schema get payments/checkout --number 3 --format yaml
  confwatch schema get payments/checkout -o json | jq .up")]
    Get(GetArgs),
    /// List the schemas of a namespace
    #[command(after_help = "\
Examples:
  confwatch schema list payments
  confwatch schema list payments -o json | jq -r '.schemas[].config'")]
    List {
        /// The namespace
        namespace: String,
    },
    /// Remove the schema of a config; its history stays
    #[command(after_help = "\
Examples:
  confwatch schema delete payments/checkout --dry-run
  confwatch schema delete payments/checkout -m 'it has rules instead'")]
    Delete(DeleteArgs),
    /// Show the versions of a schema: when, who and why
    #[command(after_help = "\
A schema is the config schema:CONFIG of its namespace, which every other command takes as well.

Examples:
  confwatch schema history payments/checkout
  confwatch diff payments/schema:checkout
  confwatch rollback payments/schema:checkout --to-version 3")]
    History {
        /// The config
        #[arg(value_name = "NAMESPACE/CONFIG")]
        target: Target,
        /// Print at most so many versions; 0: all
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: usize,
        /// Show the content, and the annotations
        #[arg(long)]
        content: bool,
    },
}

#[derive(Args, Debug)]
struct PutArgs {
    /// The config
    #[arg(value_name = "NAMESPACE/CONFIG")]
    target: Target,
    /// The schema; - is standard input
    #[arg(short = 'f', visible_short_alias = 'F', long)]
    file: PathBuf,
    /// Read the file or standard input in this format [default: by the extension, else JSON]
    #[arg(long, value_enum)]
    format: Option<DocumentFormat>,
    /// The steps that bring layers from the version before to this one, as JSON; it becomes active by `confwatch migrate up`
    #[arg(long, value_name = "FILE")]
    up: Option<PathBuf>,
    /// The steps back, as JSON
    #[arg(long, value_name = "FILE", requires = "up")]
    down: Option<PathBuf>,
    /// Store the schema even if documents violate it: existing violations are warnings
    #[arg(long)]
    accept_existing: bool,
    /// Write only if the newest version has this number; 0: only if there is no schema
    #[arg(long, value_name = "N")]
    expect: Option<u64>,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Args, Debug)]
struct GetArgs {
    /// The config
    #[arg(value_name = "NAMESPACE/CONFIG")]
    target: Target,
    /// This version; without it, the active one
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    number: u64,
    /// How to write it: json is its canonical form on one line; without this, indented JSON
    #[arg(long, value_enum)]
    format: Option<DocumentFormat>,
}

#[derive(Args, Debug)]
struct DeleteArgs {
    /// The config
    #[arg(value_name = "NAMESPACE/CONFIG")]
    target: Target,
    /// Delete only if the newest version has this number
    #[arg(long, value_name = "N")]
    expect: Option<u64>,
    #[command(flatten)]
    write: WriteArgs,
}

pub async fn run(args: SchemaArgs, session: &Session) -> Outcome {
    match args.command {
        SchemaCommand::Put(args) => put(args, session).await,
        SchemaCommand::Get(args) => get(args, session).await,
        SchemaCommand::List { namespace } => list(&namespace, session).await,
        SchemaCommand::Delete(args) => delete(args, session).await,
        SchemaCommand::History { target, limit, content } => {
            let target = whole(&target)?;
            let config = SystemConfig::Schema.name_of(&target.config);
            let schema = Target { config, ..target.clone() };
            history::show(&schema, limit, content, session).await
        }
    }
}

async fn put(args: PutArgs, session: &Session) -> Outcome {
    let target = whole(&args.target)?;
    let schema = read(&args.file, format_of(&args.file, args.format))?;
    let steps =
        |path: &Option<PathBuf>| path.as_deref().map(|path| read(path, DocumentFormat::Json)).transpose();
    let (up, down) = (steps(&args.up)?, steps(&args.down)?);
    // On the wire an empty text means that there are no steps.
    for (option, read) in [("--up", &up), ("--down", &down)] {
        if let Some(read) = read.as_ref().filter(|read| read.text.trim().is_empty()) {
            let why = format!("{option}: {} is empty, and holds no steps", read.name);
            return Err(Failure::refused(why).with("write [] for a migration without steps"));
        }
    }
    let request = v1::SchemaServicePutRequest {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        schema: Some(schema.format.text(schema.text.clone())),
        up: up.as_ref().map(|up| up.text.clone()).unwrap_or_default(),
        down: down.as_ref().map(|down| down.text.clone()).unwrap_or_default(),
        accept_existing: args.accept_existing,
        expected_number: args.expect,
        options: Some(args.write.options()),
    };
    let texts = [("schema", Some(schema)), ("up", up), ("down", down)];
    let texts = texts.into_iter().filter_map(|(field, read)| Some(source(target, field, read?)));
    let mut sources = Sources(texts.collect());
    let response = match session.client.schemas().put(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => {
            let error = ClientError::from(status);
            place_steps(&mut sources, error.report());
            return Err(refused(error, &sources, Some(session)).await);
        }
    };
    place_steps(&mut sources, response.report.as_ref());
    show_findings_in(&sources, response.report.as_ref(), session).await;
    let governs = v1::Change {
        namespace: target.namespace.clone(),
        config: SystemConfig::Schema.name_of(&target.config),
        ..Default::default()
    };
    if let Some(doubt) = doubt_of_new_layer(&governs, 0, session).await {
        session.output.warning(&doubt);
    }
    session.output.answer(&SchemaPutView::from(&response), |output| {
        output.line(&put_line(target, &response, args.write.dry_run))
    })?;
    Ok(Exit::Done)
}

/// A file as it was read.
struct Read {
    name: String,
    format: DocumentFormat,
    text: String,
}

fn read(path: &Path, format: DocumentFormat) -> Result<Read, Failure> {
    Ok(Read { name: name_of(path), format, text: read_text(path)? })
}

/// The server tells places of the schema as they are in what was put.
fn source(target: &Target, field: &str, read: Read) -> Source {
    Source {
        field: field.to_owned(),
        name: read.name,
        format: read.format,
        text: read.text,
        layer: Some(LayerId {
            namespace: target.namespace.clone(),
            config: SystemConfig::Schema.name_of(&target.config),
            scope: Scope::global(),
            kind: v1::LayerKind::Base,
        }),
        place: String::new(),
    }
}

/// Places of steps are told as they are in what is stored: below `/versions/N`. The steps of other versions were checked before, so
/// that what is told of steps is of these.
fn place_steps(sources: &mut Sources, report: Option<&v1::ValidationReport>) {
    let findings = report.map(|report| report.findings.as_slice()).unwrap_or_default();
    for source in sources.0.iter_mut().filter(|source| source.field != "schema") {
        let place = findings.iter().find_map(|finding| {
            let (number, rest) = finding.pointer.strip_prefix("/versions/")?.split_once('/')?;
            (rest.split('/').next() == Some(&source.field))
                .then(|| format!("/versions/{number}/{}", source.field))
        });
        // None of them is about these.
        source.place = place.unwrap_or_else(|| format!("/versions/-/{}", source.field));
    }
}

fn put_line(target: &Target, response: &v1::SchemaServicePutResponse, is_dry_run: bool) -> String {
    let Target { namespace, config, .. } = target;
    let place = format!("{PLACE}{namespace}/{config}{PLACE:#}");
    let number = response.number;
    let activity = match response.active {
        true => String::new(),
        false => format!(", to become active by `confwatch migrate up {namespace}/{config}`"),
    };
    match (response.changed, is_dry_run) {
        (false, _) => format!("{place}: unchanged, version {number} of the schema{activity}"),
        (true, true) => {
            format!(
                "{place}: would become version {number} of the schema{activity} (dry run, nothing is stored)"
            )
        }
        (true, false) => {
            format!("{place}: version {number} of the schema, revision {}{activity}", response.store_revision)
        }
    }
}

async fn get(args: GetArgs, session: &Session) -> Outcome {
    let schema = fetch(whole(&args.target)?, args.number, args.format, session).await?;
    session.output.answer(&SchemaView::from(&schema), |output| match args.format {
        Some(_) => output.document(&schema.content),
        None => output.json_document(&pretty(&schema.content)?),
    })?;
    Ok(Exit::Done)
}

/// A version of a schema; of number 0 the active one.
pub async fn fetch(
    target: &Target,
    number: u64,
    format: Option<DocumentFormat>,
    session: &Session,
) -> Result<v1::Schema, Failure> {
    let request = v1::SchemaServiceGetRequest {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        number,
        format: format.unwrap_or(DocumentFormat::Json).to_wire().into(),
    };
    let response = session.client.schemas().get(request).await?.into_inner();
    Ok(response.schema.unwrap_or_default())
}

async fn list(namespace: &str, session: &Session) -> Outcome {
    let mut schemas = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            v1::SchemaServiceListRequest { namespace: namespace.into(), page_size: PAGE_SIZE, page_token };
        let page = session.client.schemas().list(request).await?.into_inner();
        schemas.extend(page.schemas);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let view = SchemasView { schemas: schemas.iter().map(Into::into).collect() };
    session.output.answer(&view, |output| {
        let rows = schemas.iter().map(row).collect();
        output.table(["CONFIG", "ACTIVE", "VERSIONS", "VIOLATIONS", "UPDATED"], rows)
    })?;
    Ok(Exit::Done)
}

fn row(schema: &v1::Schema) -> [String; 5] {
    let numbers = schema.numbers.iter().map(u64::to_string).collect::<Vec<_>>();
    [
        format!("{}/{}", printable(&schema.namespace), printable(&schema.config)),
        schema.active_number.to_string(),
        numbers.join(", "),
        if schema.accept_existing { "warned of while they last" } else { "refused" }.to_owned(),
        short_time(schema.update_time.as_ref()),
    ]
}

async fn delete(args: DeleteArgs, session: &Session) -> Outcome {
    let target = whole(&args.target)?;
    let request = v1::SchemaServiceDeleteRequest {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        expected_number: args.expect,
        options: Some(args.write.options()),
    };
    let response = session.client.schemas().delete(request).await?.into_inner();
    session.output.answer(&SchemaDeletedView::from(&response), |output| {
        let place = format!("{PLACE}{}/{}{PLACE:#}", target.namespace, target.config);
        output.line(&match (response.changed, args.write.dry_run) {
            (false, _) => format!("{place}: there is no schema to delete"),
            (true, true) => format!("{place}: the schema would be deleted (dry run, nothing is deleted)"),
            (true, false) => format!("{place}: the schema is deleted, revision {}", response.store_revision),
        })
    })?;
    Ok(Exit::Done)
}

/// A schema is for all scopes of a config.
pub fn whole(target: &Target) -> Result<&Target, Failure> {
    match target.scope {
        None => Ok(target),
        Some(_) => Err(Failure::usage("a schema is for all scopes of a config: leave out the scope")),
    }
}
