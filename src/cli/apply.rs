//! `confwatch apply`: a directory as one commit. Knows the client and the directory form.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Session;
use super::args::WriteArgs;
use super::exit::{Exit, Failure, Outcome};
use super::layers::applied_lines;
use super::output::{Output, counted};
use super::refusal::{refused, show_findings_in};
use super::tree::{self, Tree, TreeError};
use super::tree_changes::{TreeChanges, changes_of, check_size, deletions};
use super::views::ApplyView;
use crate::proto::v1;

/// Make a namespace equal to a directory, as one commit, and print what changed
#[derive(Args, Debug)]
#[command(after_help = "\
The directory holds one directory for each config: CONFIG/global.yaml is the layer of /, CONFIG/production.yaml that of \
/production, CONFIG/production/checkout.yaml that of /production/checkout. The extension (json, yaml, yml, toml) says \
the format. `confwatch export` writes this form. Overrides have no place in it and are never touched.

Beside the layers lies what governs them: CONFIG/_schema.json, CONFIG/_rules.yaml and CONFIG/_settings.yaml for a config, \
_rules.yaml and _settings.yaml for all of the namespace. All of it becomes one commit, and with --prune what is not there goes.

Examples:
  confwatch apply -f payments/ --dry-run
  confwatch apply -f payments/ --prune --reason 'release 2026-11'
  confwatch apply -f config/live --namespace payments --annotation pipeline=4711")]
pub struct ApplyArgs {
    /// The directory of the namespace
    #[arg(short = 'f', long, value_name = "DIR")]
    directory: PathBuf,
    /// The namespace; without it, the name of the directory
    #[arg(long)]
    namespace: Option<String>,
    /// Delete base layers, and so configs, that the directory does not have
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    write: WriteArgs,
}

pub async fn run(args: ApplyArgs, session: &Session) -> Outcome {
    let namespace = namespace_of(&args.directory, args.namespace.as_deref())?;
    let tree = read_tree(&args.directory, &session.output)?;
    let TreeChanges { mut changes, sources } = changes_of(&tree, &namespace, Some(session)).await?;
    if args.prune {
        changes.extend(deletions(&tree, &namespace, session).await?);
    }
    check_size(&changes)?;
    let response = match session.client.apply(changes, args.write.options()).await {
        Ok(response) => response,
        Err(error) => return Err(refused(error, &sources, Some(session)).await),
    };
    show_findings_in(&sources, response.report.as_ref(), session).await;
    session.output.answer(&ApplyView::from(&response), |output| {
        output.text(&applied_lines(&response.results))?;
        output.line(&summary(&response, args.write.dry_run))
    })?;
    Ok(Exit::Done)
}

/// The namespace that was named, else the name of the directory.
pub fn namespace_of(directory: &Path, named: Option<&str>) -> Result<String, Failure> {
    if let Some(namespace) = named {
        return Ok(namespace.to_owned());
    }
    // Of a link its own name, not that of its target. `.` and `..` have none.
    let whole = match directory.file_name() {
        Some(_) => directory.to_owned(),
        None => directory.canonicalize().map_err(|error| Failure::io(directory.display(), &error))?,
    };
    let name = whole.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned)
        .ok_or_else(|| Failure::usage(format!("{} has no name: use --namespace", directory.display())))
}

/// The layers of a directory, at least one.
pub fn read_tree(directory: &Path, output: &Output) -> Result<Tree, Failure> {
    let tree = tree::read(directory).map_err(tree_failure)?;
    tree.warnings.iter().for_each(|warning| output.warning(warning));
    if tree.layers.is_empty() {
        // Also with --prune: an empty directory is more often a mistake than the wish to delete a namespace.
        return Err(Failure::refused(format!("{} holds no layers", directory.display()))
            .with("expected CONFIG/global.yaml, CONFIG/production.yaml and so on"));
    }
    Ok(tree)
}

pub fn tree_failure(error: TreeError) -> Failure {
    match error {
        TreeError::Misplaced { .. } => Failure::refused(error.to_string()),
        TreeError::NotEmpty { .. } => Failure::new(Exit::Conflict, error.to_string())
            .with("--force replaces the layers in it, and leaves other files alone"),
        TreeError::Io { .. } => Failure::new(Exit::Failed, error.to_string()),
    }
}

fn summary(response: &v1::ApplyResponse, is_dry_run: bool) -> String {
    let changed = response.results.iter().filter(|result| result.changed).count();
    let total = counted(response.results.len(), "layer");
    match (response.changed, is_dry_run) {
        (false, _) => format!("nothing to change in {total}"),
        (true, true) => format!("{changed} of {total} would change (dry run, nothing is stored)"),
        (true, false) => format!("{changed} of {total} changed, revision {}", response.store_revision),
    }
}
