//! `confwatch set`: changes one layer. Knows the client only.

use clap::Args;

use crate::cli::Session;
use crate::cli::input::args::{TargetArgs, WriteArgs};
use crate::cli::input::change::ChangeArgs;
use crate::cli::input::confirm::ConfirmArgs;
use crate::cli::input::reach::ReachArgs;
use crate::cli::input::similar_names::{doubt_of_new_layer, may_ask, watchers_at};
use crate::cli::input::wait::WaitArgs;
use crate::cli::output::exit::Outcome;
use crate::cli::output::layers::{change_lines, layer_name};
use crate::cli::output::refusal::{found, show_findings_in};
use crate::cli::output::streams::{PLACE, counted, printable};
use crate::cli::output::views::SetView;
use crate::proto::v1;

/// How many changes `set` prints, and how many characters of a value.
const CHANGES_MAX: usize = 20;
const VALUE_MAX: usize = 120;

/// Change one layer: set values, replace the layer, or apply a patch
#[derive(Args, Debug)]
#[command(after_help = "\
VALUE is taken as JSON if it is JSON, else as a string: port=80 is a number, name=eu a string, name= the empty string, \
and name=null removes what the scope inherits. --string version=1.10 is a string, whatever it looks like; version=1.10 is refused, because \
the number would be written as 1.1. PATH:=JSON refuses what is not JSON.

PATH is dotted (\\. is a dot within a name, \\= a =, \\: a : before the =), or a JSON pointer when it starts with /.

Examples:
  confwatch set payments/checkout -s /production limits.max=30 mode=strict
  confwatch set payments/checkout -s /production --file production.yaml --reason 'new limits'
  echo '{\"max\": 30}' | confwatch set payments/checkout - --dry-run
  confwatch set payments/checkout -s /production --override --ttl 30m limits.max=5")]
pub struct SetArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub async fn run(args: SetArgs, session: &Session) -> Outcome {
    let change = args.change.change(&args.target.target()?)?;
    let (kind, sources) = (change.kind(), args.change.sources(&change, "change"));
    // For people: programs ask for what they want to know.
    let mut preview = match session.output.is_table() {
        true => preview(&change, session).await,
        false => Preview::default(),
    };
    if !args.write.dry_run && args.reach.asks(args.confirm, &change.namespace, &change.config) {
        // What is wrong with the change is said by the write.
        if let Ok(tried) = session.client.set(change.clone(), args.write.dry_options()).await {
            args.reach.confirm(
                args.confirm,
                (tried.reach.as_ref(), tried.report.as_ref()),
                &session.output,
            )?;
            preview.report = tried.report;
        }
    }
    let response = match session.client.set(change, args.write.options()).await {
        Ok(response) => response,
        Err(error) => return Err(args.change.refused(error, &sources, session).await),
    };
    show_findings_in(&sources, found(response.report.as_ref(), preview.report.as_ref()), session).await;
    session.output.answer(&SetView::from(&response), |output| {
        output.line(&set_line(&response, kind, args.write.dry_run))?;
        output.text(&preview.lines)
    })?;
    let revision = (response.changed && !args.write.dry_run).then_some(response.store_revision);
    args.wait.wait(revision, session).await
}

/// What a change does, as the server sees it before.
#[derive(Default)]
struct Preview {
    lines: String,
    report: Option<v1::ValidationReport>,
}

/// What would change and whom it would reach. Empty if that cannot be asked: the change itself will say why.
async fn preview(change: &v1::Change, session: &Session) -> Preview {
    if !may_ask(change, session).await {
        return Preview::default();
    }
    let request = v1::ValidateRequest { changes: vec![change.clone()], ..Default::default() };
    let Ok(response) = session.client.api().validate(request).await else { return Preview::default() };
    let response = response.into_inner();
    let report = response.report.clone();
    let Some(result) = response.results.first().filter(|result| result.changed) else {
        return Preview { report, ..Preview::default() };
    };
    let is_added = |change: &v1::ValueChange| change.r#type() == v1::ChangeType::Added;
    if result.diff.iter().all(is_added) {
        let watchers = watchers_at(&response, &change.scope);
        if let Some(doubt) = doubt_of_new_layer(change, watchers, session).await {
            session.output.warning(&doubt);
        }
    }
    let mut lines = change_lines(&shortened(&result.diff));
    if result.diff.len() > CHANGES_MAX {
        lines.push_str(&format!("  and {} more\n", counted(result.diff.len() - CHANGES_MAX, "change")));
    }
    // What governs a config reaches nobody by itself.
    if !change.config.contains(':') {
        lines.push_str(&reach_line(&response.affected, response.affected_omitted));
    }
    Preview { lines, report }
}

/// The first changes, with long values cut.
fn shortened(changes: &[v1::ValueChange]) -> Vec<v1::ValueChange> {
    let cut = |text: &str| match text.char_indices().nth(VALUE_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    };
    let shortened = changes.iter().take(CHANGES_MAX).map(|change| v1::ValueChange {
        old_value: cut(&change.old_value),
        new_value: cut(&change.new_value),
        ..change.clone()
    });
    shortened.collect()
}

/// `  reaches /production (2 watchers), /production/eu (0 watchers)`.
fn reach_line(affected: &[v1::AffectedTarget], omitted: u64) -> String {
    const NAMED_MAX: usize = 5;
    if affected.is_empty() {
        return "  reaches nobody: no document changes\n".to_owned();
    }
    let named = affected.iter().take(NAMED_MAX).map(|target| {
        format!(
            "{PLACE}{}{PLACE:#} ({})",
            printable(&target.scope),
            counted(target.watchers as usize, "watcher")
        )
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = affected.len().saturating_sub(NAMED_MAX) + usize::try_from(omitted).unwrap_or(usize::MAX);
    match more {
        0 => format!("  reaches {named}\n"),
        more => {
            let watchers: u64 = affected.iter().map(|target| u64::from(target.watchers)).sum();
            format!("  reaches {named} and {}, {watchers} watchers in all\n", counted(more, "scope"))
        }
    }
}

/// `payments/checkout /production: version 4, revision 12`.
pub fn set_line(response: &v1::SetResponse, kind: v1::LayerKind, is_dry_run: bool) -> String {
    let document = response.document.clone().unwrap_or_default();
    let layer = document.layers.first();
    let name = layer_name(&document.scope, kind, layer.and_then(|layer| layer.expire_time.as_ref()));
    let place = format!("{PLACE}{}/{} {name}{PLACE:#}", document.namespace, document.config);
    let version = document.version;
    match (response.changed, is_dry_run) {
        (false, _) => format!("{place}: unchanged, version {version}"),
        (true, false) => format!("{place}: version {version}, revision {}", response.store_revision),
        (true, true) => format!("{place}: would become version {version} (dry run, nothing is stored)"),
    }
}
