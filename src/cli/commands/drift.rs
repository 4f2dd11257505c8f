//! `confwatch drift`: what is not as it should be. Knows the client and the directory form.

mod directory;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use self::directory::{DirectoryDrift, LayerDrift, Side, compare};
use super::apply::{namespace_of, read_tree};
use super::diff::{difference_lines, differences, side};
use crate::cli::Session;
use crate::cli::input::args::{Point, duration, timestamp};
use crate::cli::input::moment::Moment;
use crate::cli::input::place::Place;
use crate::cli::input::similar_names::refuse_unknown_namespace;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::lacking::note_lack_of_read;
use crate::cli::output::layers::change_lines;
use crate::cli::output::streams::{PLACE, counted, printable};
use crate::cli::output::views::{AppliedChangeView, NamespaceDiffView, OverrideView, short_time};
use crate::proto::v1;

/// Show drift: overrides, differences from a tag, from a directory, or from another environment
#[derive(Args, Debug)]
#[command(after_help = "\
Without options, drift is every override, with what it changes of the document without overrides. --older-than counts only overrides without an end \
that are older; --baseline, --dir and --against compare instead, or in addition to --older-than. Exits with 3 if there is drift. Takes the \
permission read alone.

Examples:
  confwatch drift payments
  confwatch drift payments --older-than 30d
  confwatch drift payments@/production --baseline release-41
  confwatch drift payments --dir config/payments")]
pub struct DriftArgs {
    /// The namespace; or for overrides a config; with a scope, only layers at the scope and below it
    #[arg(value_name = "NAMESPACE[/CONFIG][@SCOPE]")]
    place: Place,
    /// Compare the namespace as it is now with this tag of it
    #[arg(long, value_name = "TAG")]
    baseline: Option<String>,
    /// Compare the namespace with this directory: what `confwatch apply --prune` would change
    #[arg(long = "dir", value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Compare each document of the namespace at the scope with that at this scope
    #[arg(long, value_name = "SCOPE")]
    against: Option<String>,
    /// Show only overrides without an end whose last change is older than this, such as 30d
    #[arg(long, value_name = "AGE", value_parser = duration)]
    older_than: Option<Duration>,
}

/// What drifted; what was not looked for is null.
#[derive(Default, Serialize)]
struct DriftView {
    overrides: Option<Vec<OverrideView>>,
    baseline: Option<NamespaceDiffView>,
    directory: Option<Vec<AppliedChangeView>>,
    against: Option<NamespaceDiffView>,
}

/// What was found, for people and for programs.
#[derive(Default)]
struct Drift {
    view: DriftView,
    lines: String,
    count: usize,
}

pub async fn run(args: DriftArgs, session: &Session) -> Outcome {
    let mut drift = Drift::default();
    let compares = args.baseline.is_some() || args.directory.is_some() || args.against.is_some();
    if compares && !args.place.config.is_empty() {
        return Err(Failure::usage("--baseline, --dir and --against are for a namespace")
            .with("`confwatch diff` compares one config"));
    }
    if !compares || args.older_than.is_some() {
        drift.add_overrides(&args, session).await?;
    }
    if let Some(tag) = &args.baseline {
        drift.add_baseline(&args.place, tag, session).await?;
    }
    if let Some(scope) = &args.against {
        drift.add_against(&args.place, scope, session).await?;
    }
    if let Some(directory) = &args.directory {
        drift.add_directory(&args.place, directory, session).await?;
    }
    if drift.count == 0 {
        refuse_unknown_namespace(&args.place.namespace, session).await?;
        note_lack_of_read(&args.place.namespace, &args.place.scope, session).await;
    }
    session.output.answer(&drift.view, |output| {
        output.text(&drift.lines)?;
        output.line(&match drift.count {
            0 => "no drift".to_owned(),
            count => counted(count, "place") + " with drift",
        })
    })?;
    // The exit code is 3, as for what is not found.
    Ok(if drift.count == 0 { Exit::Done } else { Exit::NotFound })
}

impl Drift {
    async fn add_overrides(&mut self, args: &DriftArgs, session: &Session) -> Result<(), Failure> {
        let changed_before = args.older_than.map(|age| timestamp(Moment::Ago(age))).transpose()?;
        let mut request = v1::ListOverridesRequest {
            namespace: args.place.namespace.clone(),
            config: args.place.config.clone(),
            scope: args.place.scope(),
            changed_before,
            only_endless: args.older_than.is_some(),
            ..Default::default()
        };
        let overrides = self.view.overrides.get_or_insert_default();
        loop {
            let page = session.client.api().list_overrides(request.clone()).await?.into_inner();
            for listed in &page.overrides {
                overrides.push(OverrideView::from(listed));
                self.lines.push_str(&override_lines(listed));
                self.count += 1;
            }
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn add_baseline(&mut self, place: &Place, tag: &str, session: &Session) -> Result<(), Failure> {
        let older = side(place, Some(&Point::Tag(tag.to_owned())))?;
        let view = self.add_differences(place, (older, side(place, None)?), session).await?;
        self.view.baseline = Some(view);
        Ok(())
    }

    async fn add_against(&mut self, place: &Place, scope: &str, session: &Session) -> Result<(), Failure> {
        if place.scope.is_empty() {
            return Err(Failure::usage(
                "--against compares two scopes: name one, as in payments@/production",
            ));
        }
        let other = Place { scope: scope.to_owned(), ..place.clone() };
        let view = self.add_differences(place, (side(&other, None)?, side(place, None)?), session).await?;
        self.view.against = Some(view);
        Ok(())
    }

    async fn add_differences(
        &mut self,
        place: &Place,
        (older, newer): (v1::NamespaceSide, v1::NamespaceSide),
        session: &Session,
    ) -> Result<NamespaceDiffView, Failure> {
        let found = differences(older, newer, false, session).await?;
        self.lines.push_str(&difference_lines(&place.namespace, &found.differences));
        self.count += found.differences.len();
        Ok(NamespaceDiffView::new(&found.differences, found.older_revision, found.newer_revision))
    }

    async fn add_directory(
        &mut self,
        place: &Place,
        directory: &std::path::Path,
        session: &Session,
    ) -> Result<(), Failure> {
        if !place.scope.is_empty() {
            return Err(Failure::usage("--dir compares all scopes of a namespace: leave out the scope"));
        }
        let namespace = namespace_of(directory, Some(&place.namespace))?;
        let tree = read_tree(directory, &session.output)?;
        let DirectoryDrift { layers, unknown_secrets } = compare(&tree, &namespace, session).await?;
        if unknown_secrets > 0 {
            let secrets = counted(unknown_secrets, "secret");
            session.output.warning(&format!(
                "{secrets} of the directory in clear text cannot be compared: that takes reveal-secret"
            ));
        }
        self.lines.extend(layers.iter().map(layer_lines));
        self.count += layers.len();
        self.view.directory =
            Some(layers.iter().map(|layer| AppliedChangeView::from(&layer.change)).collect());
        Ok(())
    }
}

/// The change that the directory would make to a layer.
fn layer_lines(LayerDrift { change, of }: &LayerDrift) -> String {
    let document = change.document.clone().unwrap_or_default();
    let what = match of {
        Side::Both => "differs from the directory",
        Side::Directory => "is in the directory only",
        Side::Store => "is not in the directory",
    };
    let v1::Document { namespace, config, scope, .. } = document;
    format!("{PLACE}{namespace}/{config} {scope}{PLACE:#} {what}\n{}", change_lines(&change.diff))
}

fn override_lines(listed: &v1::ListedOverride) -> String {
    let v1::ListedOverride {
        namespace, config, scope, changes, more, expire_time, time, actor, reason, ..
    } = listed;
    let end = match expire_time {
        Some(end) => format!("until {}", short_time(Some(end))),
        None => "without an end".to_owned(),
    };
    let mut by = vec![format!("since {}", short_time(time.as_ref()))];
    by.extend([actor, reason].into_iter().filter(|text| !text.is_empty()).map(|text| printable(text)));
    let mut lines =
        format!("{PLACE}{namespace}/{config}@{scope}{PLACE:#} override {end}, {}\n", by.join(", "));
    lines.push_str(&change_lines(changes));
    if changes.is_empty() {
        lines.push_str("  it changes nothing\n");
    }
    if *more {
        lines.push_str("  ... and more: `confwatch explain` has them all\n");
    }
    lines
}
