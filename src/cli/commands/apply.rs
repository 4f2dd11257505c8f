//! `confwatch apply`: a directory as one commit. Knows the client and the directory form.

mod overwritten;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;

use super::list::{Listed, configs_of};
use crate::cli::Session;
use crate::cli::files::source::Sources;
use crate::cli::files::tree;
use crate::cli::files::tree::{Tree, TreeError};
use crate::cli::files::tree_changes::{TreeChanges, changes_of, check_size, deletions};
use crate::cli::input::args::WriteArgs;
use crate::cli::input::confirm::{ConfirmArgs, Question};
use crate::cli::input::reach::{ReachArgs, history_cuts};
use crate::cli::input::state_backup::{StateBackupArgs, show_state_backups};
use crate::cli::input::wait::WaitArgs;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::layers::applied_lines;
use crate::cli::output::refusal::{found, refused, show_findings_in};
use crate::cli::output::streams::{Output, counted};
use crate::cli::output::views::ApplyView;
use crate::model::similar::{similar, similar_scope};
use crate::proto::v1;
use overwritten::changes_since_last_apply;

/// Make a namespace equal to a directory, as one commit, and print what changed
#[derive(Args, Debug)]
#[command(after_help = "\
The directory holds one directory for each config: CONFIG/global.yaml is the layer of /, CONFIG/production.yaml that of \
/production, CONFIG/production/checkout.yaml that of /production/checkout. The extension (json, yaml, yml, toml) is \
the format. `confwatch export` writes this form. Overrides have no place in it and are not changed.

Beside the layers lies what governs them: CONFIG/_schema.json, CONFIG/_rules.yaml and CONFIG/_settings.yaml for a config, \
_rules.yaml and _settings.yaml for all of the namespace. Links that lead out of the directory are refused. All of it is one commit; --prune deletes layers without a file.

What was changed by other means since the last apply, and would be overwritten, is named with its author and asked for; without a terminal it \
is refused (exit code 5) unless --yes is given. So is an apply that reaches more than --ask-above. New configs and scopes are listed.

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
    confirm: ConfirmArgs,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    state_backup: StateBackupArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub async fn run(args: ApplyArgs, session: &Session) -> Outcome {
    let namespace = namespace_of(&args.directory, args.namespace.as_deref())?;
    let tree = read_tree(&args.directory, &session.output)?;
    let TreeChanges { mut changes, sources } = changes_of(&tree, &namespace, Some(session)).await?;
    if args.prune {
        changes.extend(deletions(&tree, &namespace, session).await?);
    }
    check_size(&changes)?;
    let plan = plan(&changes, &namespace, &tree, &sources, &args, session).await?;
    plan.notes.iter().for_each(|note| session.output.note(note));
    let question = Question {
        reasons: &plan.reasons,
        text: "apply it all the same?",
        refusal: "nothing was applied: someone should look at it first",
    };
    if args.write.dry_run {
        plan.reasons.iter().for_each(|reason| session.output.warning(reason));
    } else if !plan.reasons.is_empty() && !args.confirm.confirm(&question, &session.output)? {
        return Err(Failure::new(Exit::Failed, "nothing was applied"));
    }
    if args.write.has_no_request_id() {
        // What was shown is what is overwritten, or nothing.
        plan.expect_versions(&mut changes);
    }
    let options = args.state_backup.options(args.write.options());
    let mut applied = session.client.apply(changes.clone(), options.clone()).await;
    if let Err(error) = &applied
        && error.reason() == "MATCH_REQUIRED"
        && args.write.has_no_request_id()
    {
        // Layers that were not listed are new, or the caller may not read them: then the server refuses the write again.
        changes.iter_mut().for_each(|change| _ = change.expected_version.get_or_insert(0));
        applied = session.client.apply(changes, options).await;
    }
    let response = match applied {
        Ok(response) => response,
        Err(error) => return Err(refused(error, &sources, Some(session)).await),
    };
    show_findings_in(&sources, found(response.report.as_ref(), plan.report.as_ref()), session).await;
    session.output.answer(&ApplyView::from(&response), |output| {
        output.text(&applied_lines(&response.results))?;
        show_state_backups(&response.state_backups, output)?;
        output.line(&summary(&response, args.write.dry_run))
    })?;
    let revision = (response.changed && !args.write.dry_run).then_some(response.store_revision);
    args.wait.wait(revision, session).await
}

/// What an apply would do, and whether someone should look at it before.
#[derive(Default)]
struct Plan {
    /// Worth knowing.
    notes: Vec<String>,
    /// Why someone should decide.
    reasons: Vec<String>,
    /// The versions of the layers that there are, by config and scope.
    versions: BTreeMap<(String, String), u64>,
    report: Option<v1::ValidationReport>,
}

async fn plan(
    changes: &[v1::Change],
    namespace: &str,
    tree: &Tree,
    sources: &Sources,
    args: &ApplyArgs,
    session: &Session,
) -> Result<Plan, Failure> {
    let options = v1::WriteOptions { validate_only: true, request_id: String::new(), ..args.write.options() };
    let planned = match session.client.apply(changes.to_vec(), options).await {
        Ok(planned) => planned,
        Err(error) => return Err(refused(error, sources, Some(session)).await),
    };
    let listed = Listed { deleted: false, governing: true };
    let known = configs_of(namespace, listed, session).await?.configs;
    let report = planned.report.clone();
    let mut plan = Plan { reasons: tree::doubts(tree), report, ..Plan::default() };
    plan.reasons.extend(args.reach.reasons(planned.reach.as_ref()));
    plan.reasons.extend(history_cuts(planned.report.as_ref()));
    for change in changes {
        let info = known.iter().find(|info| info.config == change.config);
        if let Some(layer) = info.and_then(|info| base_layer(info, &change.scope)) {
            plan.versions.insert((change.config.clone(), change.scope.clone()), layer.version);
        }
    }
    let mut overwritten: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut configs, mut scopes) = (BTreeSet::new(), BTreeSet::new());
    for document in planned.results.iter().filter(|result| result.changed).flat_map(|result| &result.document)
    {
        let v1::Document { config, scope, .. } = document;
        let has_scope = |info: &v1::ConfigInfo| base_layer(info, scope).is_some();
        let info = known.iter().find(|info| info.config == *config);
        match info.map(|info| base_layer(info, scope)) {
            None => {
                configs.insert(config.as_str());
            }
            Some(Some(_)) => {
                overwritten.entry(config.clone()).or_default().insert(scope.clone());
            }
            Some(None) => {}
        }
        if !known.iter().any(has_scope) {
            scopes.insert(scope.as_str());
        }
    }
    if known.is_empty() {
        plan.notes.push(format!("{namespace} is a new namespace"));
    }
    let known_configs = || known.iter().map(|info| info.config.as_str());
    let known_scopes = || known.iter().flat_map(|info| &info.layers).map(|layer| layer.scope.as_str());
    plan.notes.extend(new_ones("config", &configs, |config| similar(config, known_configs())));
    plan.notes.extend(new_ones("scope", &scopes, |scope| similar_scope(scope, known_scopes())));
    plan.reasons.extend(changes_since_last_apply(namespace, &overwritten, session).await?);
    Ok(plan)
}

fn base_layer<'a>(info: &'a v1::ConfigInfo, scope: &str) -> Option<&'a v1::LayerRef> {
    info.layers.iter().find(|layer| layer.kind() == v1::LayerKind::Base && layer.scope == scope)
}

/// `new scopes: /prd (like /production), /test`.
fn new_ones<'a>(
    noun: &str,
    names: &BTreeSet<&'a str>,
    similar: impl Fn(&'a str) -> Option<&'a str>,
) -> Option<String> {
    const NAMED_MAX: usize = 30;
    let named = names.iter().take(NAMED_MAX).map(|name| match similar(name) {
        Some(other) => format!("{name} (like {other})"),
        None => (*name).to_owned(),
    });
    let mut line = named.collect::<Vec<_>>().join(", ");
    if names.len() > NAMED_MAX {
        line.push_str(&format!(" and {} more", names.len() - NAMED_MAX));
    }
    let plural = if names.len() == 1 { "" } else { "s" };
    (!names.is_empty()).then(|| format!("new {noun}{plural}: {line}"))
}

impl Plan {
    fn expect_versions(&self, changes: &mut [v1::Change]) {
        for change in changes.iter_mut().filter(|change| change.expected_version.is_none()) {
            let name = (change.config.clone(), change.scope.clone());
            change.expected_version = self.versions.get(&name).copied();
        }
    }
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
