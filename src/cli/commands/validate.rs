//! `confwatch validate`: validates a change, the stored documents, or a directory. Knows the client, the directory form, and with
//! `--offline` how to work without a server.

mod offline;

use std::path::{Path, PathBuf};

use clap::Args;

use super::apply::{namespace_of, read_tree};
use crate::cli::Session;
use crate::cli::files::source::{LayerId, Source, Sources};
use crate::cli::files::tree_changes::{TreeChanges, changes_of, check_size};
use crate::cli::input::args::Target;
use crate::cli::input::change::{ChangeArgs, format_of, name_of, read_text};
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::refusal::{finding_lines, refused};
use crate::cli::output::streams::{Output, counted};
use crate::cli::output::views::ValidationView;
use crate::client::ClientError;
use crate::model::Scope;
use crate::proto::v1;

/// Validate a change, a directory or the stored documents, without storing anything; exit code 4 on errors
#[derive(Args, Debug)]
#[command(after_help = "\
Without a change, what is stored now is checked: of a namespace, or of one config. Of a change it is also told which documents would \
change, and how many watch them now. Warnings and suggestions are no reason to refuse, unless the settings say `strict`.

With --offline no server is asked: the directory is checked as if nothing else were stored.

Examples:
  confwatch validate -f payments/ --offline
  confwatch validate payments/checkout -s /production limits.max=30
  confwatch validate payments --pointer /limits -o json
  confwatch validate --schema checkout.schema.json production.json --offline")]
pub struct ValidateArgs {
    /// The config that would change, or the config or namespace that is checked as it is; with --schema, a document
    #[arg(value_name = "NAMESPACE[/CONFIG]", required_unless_present = "directory")]
    subject: Option<String>,
    /// The scope that would change, such as /production/checkout
    #[arg(short, long)]
    scope: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
    /// Check this directory, as `confwatch apply` would load it
    #[arg(short = 'f', long, value_name = "DIR", conflicts_with_all = ["subject", "scope", "schema"])]
    directory: Option<PathBuf>,
    /// With --directory: the namespace; without it, the name of the directory. With --schema: whose schemas it refers to
    #[arg(long)]
    namespace: Option<String>,
    /// Report only findings at or below this JSON pointer (RFC 6901), such as /limits
    #[arg(long, value_name = "POINTER", default_value = "", hide_default_value = true)]
    pointer: String,
    /// Check a document (a file, or - for standard input) against this JSON Schema
    #[arg(long, value_name = "FILE", conflicts_with = "scope")]
    schema: Option<PathBuf>,
    /// Validate without a server
    #[arg(long)]
    offline: bool,
}

/// What is asked.
struct Question {
    request: v1::ValidateRequest,
    /// What the findings can be shown in.
    sources: Sources,
    /// What is said of it if nothing is wrong.
    subject: ValidatedInput,
}

enum ValidatedInput {
    /// So many layers would change.
    Changes(usize),
    Stored,
    Document,
}

pub async fn run(args: ValidateArgs, session: &Session) -> Outcome {
    let Question { request, sources, subject } = question(&args, session).await?;
    let server = (!args.offline).then_some(session);
    let answer = match server {
        Some(session) => session.client.api().validate(request).await.map(tonic::Response::into_inner),
        None => offline::validate(request).await?,
    };
    let response = match answer {
        Ok(response) => response,
        Err(status) => return Err(refused(ClientError::from(status), &sources, server).await),
    };
    let report = response.report.clone().unwrap_or_default();
    let excerpts = match session.output.is_table() {
        true => sources.excerpts(&report.findings, server).await,
        false => vec![],
    };
    session.output.answer(&ValidationView::from(&response), |output| {
        for line in finding_lines(&report, &excerpts) {
            output.line(&line)?;
        }
        // Nobody watches what is on no server.
        if server.is_some() {
            show_affected(&response.affected, response.affected_omitted, output)?;
        }
        output.line(&summary(&subject, &report, &response))
    })?;
    Ok(if report.valid { Exit::Done } else { Exit::Refused })
}

async fn question(args: &ValidateArgs, session: &Session) -> Result<Question, Failure> {
    let has_change = !args.change.is_empty();
    let mut question = match (&args.directory, &args.schema, &args.subject) {
        (Some(_), ..) | (None, Some(_), _) if has_change => {
            return Err(Failure::usage("either a change, or --directory, or --schema"));
        }
        (Some(directory), ..) => of_directory(directory, args, session).await,
        (None, Some(schema), Some(document)) => of_document(schema, Path::new(document), args),
        (None, None, Some(_)) if args.offline => {
            Err(Failure::usage("--offline is for --directory and --schema: what is stored, a server knows"))
        }
        (None, None, Some(subject)) if has_change => of_change(subject, args),
        (None, None, Some(subject)) => of_stored(subject, args),
        (None, _, None) => Err(Failure::usage("give NAMESPACE, NAMESPACE/CONFIG, --directory or --schema")),
    }?;
    question.request.pointer.clone_from(&args.pointer);
    Ok(question)
}

async fn of_directory(directory: &Path, args: &ValidateArgs, session: &Session) -> Result<Question, Failure> {
    let namespace = namespace_of(directory, args.namespace.as_deref())?;
    let tree = read_tree(directory, &session.output)?;
    let server = (!args.offline).then_some(session);
    let TreeChanges { changes, sources } = changes_of(&tree, &namespace, server).await?;
    if server.is_some() {
        check_size(&changes)?;
    }
    let subject = ValidatedInput::Changes(changes.len());
    Ok(Question { request: v1::ValidateRequest { changes, ..Default::default() }, sources, subject })
}

fn of_change(subject: &str, args: &ValidateArgs) -> Result<Question, Failure> {
    let target: Target = subject.parse().map_err(Failure::usage)?;
    let change = args.change.change(&target.at_scope(args.scope.as_deref())?)?;
    let sources = args.change.sources(&change, "changes[0]");
    let request = v1::ValidateRequest { changes: vec![change], ..Default::default() };
    Ok(Question { request, sources, subject: ValidatedInput::Changes(1) })
}

fn of_stored(subject: &str, args: &ValidateArgs) -> Result<Question, Failure> {
    if args.scope.is_some() || subject.contains('@') {
        return Err(Failure::usage("a scope needs a change: what is stored is checked at all scopes"));
    }
    let (namespace, config) = subject.split_once('/').unwrap_or((subject, ""));
    let request = v1::ValidateRequest {
        namespace: namespace.to_owned(),
        config: config.to_owned(),
        ..Default::default()
    };
    Ok(Question { request, sources: Sources::default(), subject: ValidatedInput::Stored })
}

fn of_document(schema: &Path, document: &Path, args: &ValidateArgs) -> Result<Question, Failure> {
    let read = |field: &str, path: &Path, said| -> Result<Source, Failure> {
        Ok(Source {
            field: field.to_owned(),
            name: name_of(path),
            format: format_of(path, said),
            text: read_text(path)?,
            layer: None,
            place: String::new(),
        })
    };
    let mut document = read("document", document, args.change.format())?;
    // Findings of a document name no config: it is none.
    document.layer = Some(LayerId {
        namespace: String::new(),
        config: String::new(),
        scope: Scope::global(),
        kind: v1::LayerKind::Base,
    });
    let schema = read("schema", schema, None)?;
    let request = v1::ValidateRequest {
        namespace: args.namespace.clone().unwrap_or_default(),
        schema: Some(schema.format.text(schema.text.clone())),
        document: Some(document.format.text(document.text.clone())),
        ..Default::default()
    };
    Ok(Question { request, sources: Sources(vec![schema, document]), subject: ValidatedInput::Document })
}

/// The blast radius.
/// The targets whose documents a change would change.
pub fn show_affected(
    affected: &[v1::AffectedTarget],
    affected_omitted: u64,
    output: &Output,
) -> Result<(), Failure> {
    if affected.is_empty() {
        return Ok(());
    }
    let rows = affected.iter().map(|target| {
        let config = format!("{}/{}", target.namespace, target.config);
        [config, target.scope.clone(), target.watchers.to_string()]
    });
    output.table(["WOULD CHANGE", "SCOPE", "WATCHERS"], rows.collect())?;
    match affected_omitted {
        0 => Ok(()),
        more => output.line(&format!("and {more} more")),
    }
}

fn summary(
    subject: &ValidatedInput,
    report: &v1::ValidationReport,
    response: &v1::ValidateResponse,
) -> String {
    let outcome = match (subject, response.changed) {
        _ if !report.valid => return "invalid".to_owned(),
        (ValidatedInput::Stored, _) => "valid: what is stored".to_owned(),
        (ValidatedInput::Document, _) => "valid".to_owned(),
        (ValidatedInput::Changes(count), true) => {
            format!("valid: {}, and something would change", counted(*count, "layer"))
        }
        (ValidatedInput::Changes(count), false) => {
            format!("valid: {}, and nothing would change", counted(*count, "layer"))
        }
    };
    match report.findings.len() {
        0 => outcome,
        count => format!("{outcome} ({})", counted(count, "finding")),
    }
}
