//! `confwatch apply`: a directory as one commit. Knows the client and the directory form.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Session;
use super::args::WriteArgs;
use super::exit::{Exit, Failure, Outcome};
use super::layers::applied_lines;
use super::list::configs_of;
use super::output::{Output, counted};
use super::refusal::show_findings;
use super::tree::{self, Tree, TreeError};
use super::views::ApplyView;
use crate::model::{ConfigName, Scope};
use crate::proto::v1::{self, change::Action};

/// The most changes of one Apply call.
const CHANGES_MAX: usize = 1000;
/// The largest message that servers take.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// What a change takes in a message besides its names and its text: tags, lengths, numbers.
const CHANGE_OVERHEAD_BYTES: usize = 32;

/// Make a namespace equal to a directory, as one commit, and print what changed
#[derive(Args, Debug)]
#[command(after_help = "\
The directory holds one directory for each config: CONFIG/global.yaml is the layer of /, CONFIG/production.yaml that of \
/production, CONFIG/production/checkout.yaml that of /production/checkout. The extension (json, yaml, yml, toml) says \
the format. `confwatch export` writes this form. Overrides have no place in it and are never touched.

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
    let mut changes = changes_of(&tree, &namespace);
    if args.prune {
        changes.extend(deletions(&tree, &namespace, session).await?);
    }
    check_size(&changes)?;
    let response = session.client.apply(changes, args.write.options()).await;
    let response = response.map_err(|error| naming_files(error.into(), &tree))?;
    show_findings(&session.output, response.report.as_ref());
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
    // `.` and `..` have no name of their own.
    let whole = directory.canonicalize().map_err(|error| Failure::io(directory.display(), &error))?;
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

/// Each layer as a change that replaces it.
pub fn changes_of(tree: &Tree, namespace: &str) -> Vec<v1::Change> {
    let changes = tree.layers.iter().map(|(name, file)| v1::Change {
        action: Some(Action::Replace(file.format.text(file.text.clone()))),
        ..change(namespace, name.config.as_str(), name.scope.as_str())
    });
    changes.collect()
}

/// Which file it is: a server knows changes by their number.
fn naming_files(failure: Failure, tree: &Tree) -> Failure {
    tree.paths.values().enumerate().fold(failure, |failure, (index, path)| {
        failure.naming(&format!("changes[{index}].replace"), &path.display().to_string())
    })
}

/// What the server would refuse with less to say about it.
pub fn check_size(changes: &[v1::Change]) -> Result<(), Failure> {
    if changes.len() > CHANGES_MAX {
        let message = format!("{} layers change, at most {CHANGES_MAX} can in one commit", changes.len());
        return Err(Failure::refused(message).with("apply parts of the directory one after the other"));
    }
    let bytes: usize = changes.iter().map(size).sum();
    if bytes > MESSAGE_BYTES_MAX {
        let message = format!("the layers have {bytes} bytes, at most {MESSAGE_BYTES_MAX} fit one commit");
        return Err(Failure::refused(message).with("apply parts of the directory one after the other"));
    }
    Ok(())
}

fn size(change: &v1::Change) -> usize {
    let text = match &change.action {
        Some(Action::Replace(text) | Action::MergePatch(text) | Action::JsonPatch(text)) => {
            text.content.len()
        }
        Some(Action::Assign(_) | Action::Delete(())) | None => 0,
    };
    text + change.namespace.len() + change.config.len() + change.scope.len() + CHANGE_OVERHEAD_BYTES
}

/// The base layers of the namespace that the directory does not have.
async fn deletions(tree: &Tree, namespace: &str, session: &Session) -> Result<Vec<v1::Change>, Failure> {
    let mut deletions = Vec::new();
    for info in configs_of(namespace, false, session).await?.configs {
        for layer in info.layers.iter().filter(|layer| layer.kind() == v1::LayerKind::Base) {
            // A name that this program cannot read is none that the directory has; but better to leave it alone.
            let (Ok(config), Ok(scope)) = (ConfigName::parse(&info.config), Scope::parse(&layer.scope))
            else {
                continue;
            };
            if !tree.layers.contains_key(&tree::LayerName { config, scope }) {
                deletions.push(v1::Change {
                    action: Some(Action::Delete(())),
                    ..change(namespace, &info.config, &layer.scope)
                });
            }
        }
    }
    Ok(deletions)
}

fn change(namespace: &str, config: &str, scope: &str) -> v1::Change {
    v1::Change {
        namespace: namespace.into(),
        config: config.into(),
        scope: scope.into(),
        kind: v1::LayerKind::Base.into(),
        ..Default::default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::DocumentFormat;

    fn replace(bytes: usize) -> v1::Change {
        let text = DocumentFormat::Json.text("x".repeat(bytes));
        v1::Change { action: Some(Action::Replace(text)), ..change("payments", "checkout", "/") }
    }

    #[test]
    fn what_does_not_fit_one_commit_is_refused_before_it_is_sent() {
        assert!(check_size(&[replace(1 << 20), replace(1 << 20)]).is_ok());
        let failure = check_size(&[replace(2 << 20), replace(2 << 20)]).expect_err("too large");
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.message.contains("4194304"), "{failure}");
        let failure = check_size(&vec![replace(1); 1001]).expect_err("too many");
        assert!(failure.message.contains("1001 layers"), "{failure}");
    }
}
