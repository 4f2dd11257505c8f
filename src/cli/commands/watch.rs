//! `confwatch watch`: each update as it arrives. Knows the client only.

mod delivery;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tonic::Code;

use crate::cli::Session;
use crate::cli::input::args::{DocumentFormat, Target, ViewName};
use crate::cli::input::similar_names::suggestion;
use crate::cli::input::stop::unless_stopped;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::lacking::note_lack_of_read;
use crate::cli::output::layers::{change_lines, value_changes};
use crate::cli::output::masks::Masks;
use crate::cli::output::streams::{HEADING, Output, PLACE};
use crate::cli::output::views::{TargetStateView, short_time};
use crate::client::ClientError;
use crate::client::watch::{Event, WatchOptions, WatchState, Watcher};
use crate::proto::v1;
use delivery::{Delivery, Undelivered, Update, render};

/// How long to wait for the first answer before saying why there is none.
const IMPATIENCE: Duration = Duration::from_secs(2);
/// How long to wait before trying again to write a file: at first, and at most.
const REST_MIN: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_secs(30);
/// How much of a digest tells two documents apart for a person.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

/// Print the current documents of targets, then each change as it arrives; ends on Ctrl-C
#[derive(Args, Debug)]
#[command(after_help = "\
With --exec, the command runs for the first document and for each change, one run at a time: what changes while it runs \
is delivered after it, and only the latest. It finds the document on its standard input, and in its environment \
CONFWATCH_NAMESPACE, CONFWATCH_CONFIG, CONFWATCH_SCOPE, CONFWATCH_VERSION, CONFWATCH_REVISION, CONFWATCH_DIGEST, and \
CONFWATCH_FILE with --file. What is printed has every secret masked, unless --reveal is given; the file and the command get \
the document as it is. A target without a document, as after its config was deleted, delivers nothing: the file keeps its content, and \
standard error says so. A file that cannot be written is tried again, a command that fails is not.

The file is replaced as a whole, and keeps its owner and its mode. A new file with secrets has mode 0600, and so has an existing one that \
everybody could read. A link stays, and the file that it names is written. Where a file cannot be replaced, as one that is mounted into \
a container, it is written in place.

If no server answers within --timeout at the start, watch ends with exit code 6, and if the server denies the watch for so long with 7; \
unless --cache is given. Later it reconnects for as long as it takes.

Examples:
  confwatch watch payments/checkout -s /production
  confwatch watch 'payments/*@/production' -o json
  confwatch watch payments/checkout@/production --file app.yaml --exec 'systemctl reload app'
  confwatch watch payments/checkout -s /production --count 1 --content")]
pub struct WatchArgs {
    /// The configs; * for every config of a namespace; a scope may follow as in payments/checkout@/production
    #[arg(value_name = "NAMESPACE/CONFIG", required = true)]
    targets: Vec<Target>,
    /// The scope of the targets that do not name one
    #[arg(short, long)]
    scope: Option<String>,
    /// Which layers to merge
    #[arg(long, value_enum, default_value_t)]
    view: ViewName,
    /// Fill in the defaults of the schema where a document has no value
    #[arg(long, conflicts_with = "view")]
    defaults: bool,
    /// Print the document of each update instead of its differences
    #[arg(long)]
    content: bool,
    /// How to write documents; without it, by the extension of --file, else indented JSON
    #[arg(long, value_enum)]
    format: Option<DocumentFormat>,
    /// Run this command (sh -c) with the document on its standard input
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// Write the document here, atomically, before the command runs
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// The permissions of --file, in octal, such as 0640; without it, those that the file has, and 0600 for secrets
    #[arg(long, value_name = "MODE", requires = "file", value_parser = parse_mode)]
    mode: Option<u32>,
    /// Deliver documents to --file and --exec also if their secrets are masked
    #[arg(long)]
    deliver_masked: bool,
    /// Exit after so many updates, including the first documents
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Cache the last known documents in this file, and start from it if no server answers
    #[arg(long, value_name = "PATH")]
    cache: Option<PathBuf>,
    /// Identify this client to operators [default: the actor]
    #[arg(long, value_name = "NAME")]
    client_id: Option<String>,
}

pub async fn run(args: WatchArgs, session: &Session) -> Outcome {
    unless_stopped(follow(args, session)).await
}

async fn follow(args: WatchArgs, session: &Session) -> Outcome {
    if args.file.is_some()
        && (args.targets.len() > 1 || args.targets.iter().any(|target| target.config == "*"))
    {
        return Err(Failure::usage("--file is for one target: which of them should it hold?"));
    }
    let targets = args.targets.iter().map(|target| watch_target(&args, target));
    let options = WatchOptions {
        targets: targets.collect::<Result<_, _>>()?,
        client_id: args.client_id.clone().unwrap_or_else(|| session.actor.clone()),
        cache: args.cache.clone(),
        ..Default::default()
    };
    let format = args.format.or_else(|| args.file.as_deref().and_then(DocumentFormat::of_path));
    let delivery = Delivery {
        exec: args.exec.clone(),
        file: args.file.clone(),
        format,
        mode: args.mode,
        delivers_masked: args.deliver_masked,
    };
    // What is delivered is delivered as it is. Where documents are only printed, secrets need not come here.
    let masks_secrets = !session.reveals && delivery.is_nothing();
    let mut watcher = session.client.masking_secrets(masks_secrets).watch(options);
    let masks = (!session.reveals).then(Masks::default);
    let mut screen = Screen { content: args.content, format, masks, shown: BTreeMap::new() };
    let mut was_lost = false;
    let mut runs = Runs::new(delivery);
    let mut left = args.count.unwrap_or(u64::MAX);
    let start = Instant::now() + session.timeout;
    let mut has_begun = args.cache.is_some();
    let impatience = tokio::time::sleep(IMPATIENCE);
    tokio::pin!(impatience);

    while left > 0 {
        let event = async {
            match has_begun {
                true => Ok(watcher.next().await),
                false => timeout_at(start, watcher.next()).await,
            }
        };
        let event = tokio::select! {
            event = event => event,
            Some(ended) = runs.running.join_next() => {
                runs.ended(ended, &session.output);
                continue;
            }
            () = &mut impatience, if !has_begun && !impatience.is_elapsed() => {
                if let Some(error) = watcher.error() {
                    session.output.warning(&format!("no server yet, trying on: {}", error.message()));
                }
                continue;
            }
        };
        let Ok(Some(event)) = event else { return Err(ending(&watcher)) };
        let (revision, changed) = match event {
            Event::Snapshot { revision, changed, reset } => {
                if !has_begun {
                    note_empty(&args.targets, &changed, session).await;
                }
                if reset {
                    session.output.warning("the server has another history than before");
                }
                (revision, changed)
            }
            Event::Update { revision, changed } => (revision, changed),
            Event::FromCache(changed) => {
                session.output.note("from the cache, before the server answered:");
                was_lost = true;
                (0, changed)
            }
            Event::Progress { .. } => continue,
            // Nothing was ever shown: most likely the command is wrong. A denial may be a policy that somebody is about to correct.
            Event::StateChanged(WatchState::Error)
                if !has_begun && watcher.error().is_some_and(|error| is_refusal(&error)) =>
            {
                match watcher.error().filter(|error| error.code() == Code::PermissionDenied) {
                    None => return Err(ending(&watcher)),
                    Some(error) => session.output.warning(&format!(
                        "the server refuses the watch, trying on until --timeout is over: {}",
                        error.message()
                    )),
                }
                continue;
            }
            Event::StateChanged(state) => {
                tell_state(state, was_lost, &watcher, &session.output);
                was_lost = state != WatchState::Ready;
                continue;
            }
        };
        has_begun = true;
        for state in changed {
            if left == 0 {
                break;
            }
            let printed = screen.masked(&state);
            session.output.item(&TargetStateView::new(revision, &printed), |output| {
                screen.show(revision, &printed, output)
            })?;
            runs.add(revision, state, &session.output);
            left -= 1;
        }
        runs.start_next();
    }
    // What was announced is also delivered, if it can be.
    runs.retries = false;
    while let Some(ended) = runs.running.join_next().await {
        runs.ended(ended, &session.output);
    }
    // The next watch may find no server and need what is in the cache.
    watcher.close().await;
    Ok(if runs.failed { Exit::Failed } else { Exit::Done })
}

/// Says which namespaces, watched by `*`, have nothing to show, and why, if that is so; and what was probably meant by a target without a document.
async fn note_empty(targets: &[Target], states: &[v1::TargetState], session: &Session) {
    for target in targets.iter().filter(|target| target.config != "*") {
        let is_it = |(namespace, config, _): Key| namespace == target.namespace && config == target.config;
        let mut of_target = states.iter().filter(|state| is_it(key(state)));
        if of_target.any(|state| state.document.is_none())
            && let Some(suggestion) = suggestion(target, session).await
        {
            let name = format!("{}/{}", target.namespace, target.config);
            session.output.note(&format!("{name} has no document yet: {suggestion}"));
        }
    }
    let shown: BTreeSet<String> = states.iter().map(|state| key(state).0).collect();
    let namespaces: BTreeSet<&String> =
        targets.iter().filter(|target| target.config == "*").map(|target| &target.namespace).collect();
    for namespace in namespaces.into_iter().filter(|namespace| !shown.contains(*namespace)) {
        session.output.note(&format!("there is nothing to show in {namespace} yet; waiting for changes"));
        note_lack_of_read(namespace, "", session).await;
    }
}

fn watch_target(args: &WatchArgs, target: &Target) -> Result<v1::WatchTarget, Failure> {
    let scope = target.scope.as_ref().or(args.scope.as_ref());
    Ok(v1::WatchTarget {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        scope: scope.cloned().unwrap_or_else(|| "/".into()),
        view: args.view.to_wire().into(),
        format: v1::Format::Json.into(),
        apply_defaults: args.defaults,
        ..Default::default()
    })
}

/// Why there is nothing to wait for.
fn ending(watcher: &Watcher) -> Failure {
    match watcher.error() {
        Some(error) => error.into(),
        None => Failure::new(Exit::Unavailable, "the server did not answer in time"),
    }
}

fn tell_state(state: WatchState, was_lost: bool, watcher: &Watcher, output: &Output) {
    let error = watcher.error();
    let why = error.as_ref().map_or("no answer", ClientError::message);
    match state {
        WatchState::Ready if was_lost => output.note("connected again, and up to date"),
        WatchState::Ready => {}
        WatchState::Stale if error.as_ref().is_some_and(|error| error.code() == Code::Unauthenticated) => {
            output.warning(&format!("the server refuses the credential, trying again: {why}"));
        }
        WatchState::Stale => output.warning(&format!("the connection was lost, reconnecting: {why}")),
        // The watch has ended, and the end of the command says why.
        WatchState::Error if error.as_ref().is_some_and(|error| error.code() == Code::InvalidArgument) => {}
        WatchState::Error if error.as_ref().is_some_and(is_refusal) => {
            output.warning(&format!(
                "the server refuses the watch; the last documents stay, asking again: {why}"
            ));
        }
        WatchState::Error => output.warning(&format!("still without a server: {why}")),
    }
}

/// The server answered, and does not serve the watch.
fn is_refusal(error: &ClientError) -> bool {
    error.is_from_server() && !error.is_retryable()
}

/// Which document: namespace, config, scope.
type Key = (String, String, String);

fn key(state: &v1::TargetState) -> Key {
    let target = state.target.clone().unwrap_or_default();
    (target.namespace, target.config, target.scope)
}

/// For clap: permissions in octal.
fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| format!("{text:?} are no permissions in octal, such as 0640"))
}

/// What people see.
struct Screen {
    content: bool,
    /// `None`: secrets are shown.
    masks: Option<Masks>,
    format: Option<DocumentFormat>,
    /// What was shown last, to say what is different.
    shown: BTreeMap<Key, Value>,
}

impl Screen {
    /// The state as it may be printed.
    fn masked(&mut self, state: &v1::TargetState) -> v1::TargetState {
        let document = state.document.as_ref().map(|document| match &mut self.masks {
            Some(masks) => masks.masked(document),
            None => document.clone(),
        });
        v1::TargetState { document, ..state.clone() }
    }

    fn show(&mut self, revision: u64, state: &v1::TargetState, output: &Output) -> Result<(), Failure> {
        let key = key(state);
        let place = format!("{PLACE}{}/{} {}{PLACE:#}", key.0, key.1, key.2);
        let Some(document) = &state.document else {
            self.shown.remove(&key);
            return output.line(&format!("{:20}  r{revision}  {place}  {HEADING}absent{HEADING:#}", "-"));
        };
        let time = short_time(document.update_time.as_ref());
        let digest: String = match document.digest.as_str() {
            "" => "with secrets".to_owned(),
            digest => digest.chars().take(DIGEST_SHOWN).collect(),
        };
        output.line(&format!("{time}  r{revision}  {place}  v{}  {digest}", document.version))?;
        let value = serde_json::from_str(&document.content).unwrap_or(Value::Null);
        if self.content {
            return match render(&document.content, self.format) {
                Ok(text) => output.document(&text),
                Err(why) => {
                    output.warning(&why);
                    Ok(())
                }
            };
        }
        if let Some(before) = self.shown.insert(key, value.clone()) {
            output.text(&change_lines(&value_changes(&before, &value)))?;
        }
        Ok(())
    }
}

/// Deliveries, one at a time. What changes meanwhile waits, and only the latest of each target.
struct Runs {
    delivery: Delivery,
    pending: BTreeMap<Key, Update>,
    /// One at most: a delivery, or a rest before the next, which has no outcome.
    running: JoinSet<Option<Delivered>>,
    /// How the last one ended.
    failed: bool,
    /// Try again what could not be written.
    retries: bool,
    /// How long to wait before that.
    rest: Duration,
}

/// What came of a delivery.
struct Delivered {
    key: Key,
    update: Update,
    outcome: Result<(), Undelivered>,
}

impl Runs {
    fn new(delivery: Delivery) -> Runs {
        let (pending, running) = (BTreeMap::new(), JoinSet::new());
        Runs { delivery, pending, running, failed: false, retries: true, rest: REST_MIN }
    }

    fn add(&mut self, revision: u64, state: v1::TargetState, output: &Output) {
        if self.delivery.is_nothing() {
            return;
        }
        let key = key(&state);
        match state.document {
            Some(document) => self.pending.insert(key, Update { revision, document }),
            // It is gone: what waits to be delivered is no longer so.
            None => {
                output.warning(&self.delivery.of_absent(&key));
                self.pending.remove(&key)
            }
        };
    }

    fn start_next(&mut self) {
        if !self.running.is_empty() {
            return;
        }
        if let Some((key, update)) = self.pending.pop_first() {
            let delivery = self.delivery.clone();
            self.running.spawn(async move {
                let outcome = delivery.run(&update).await;
                Some(Delivered { key, update, outcome })
            });
        }
    }

    fn ended(&mut self, ended: Result<Option<Delivered>, tokio::task::JoinError>, output: &Output) {
        match ended {
            Ok(None) => {}
            Ok(Some(Delivered { outcome: Ok(()), .. })) => {
                self.failed = false;
                self.rest = REST_MIN;
            }
            Ok(Some(Delivered { outcome: Err(Undelivered::Command(why)), .. })) => {
                self.has_failed(&why, output);
            }
            Ok(Some(Delivered { key, update, outcome: Err(Undelivered::File(why)) })) => {
                self.has_failed(&why, output);
                if self.retries {
                    // Unless a later one waits already.
                    self.pending.entry(key).or_insert(update);
                    let rest = self.rest;
                    self.rest = (rest * 2).min(REST_MAX);
                    self.running.spawn(async move {
                        tokio::time::sleep(rest).await;
                        None
                    });
                }
            }
            Err(error) => self.has_failed(&error.to_string(), output),
        }
        self.start_next();
    }

    fn has_failed(&mut self, why: &str, output: &Output) {
        self.failed = true;
        output.warning(why);
    }
}
