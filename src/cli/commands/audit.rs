//! `confwatch audit`: who did what, who was kept from it, and the proof that nothing of it was changed. Knows the client; `offline` opens what a
//! stopped server has left.

pub(super) mod offline;
mod verify;

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use tokio::time::timeout;

use super::changes::{DENIED_RETRY_AFTER, RETRY_AFTER, may_go_on};
use crate::cli::Session;
use crate::cli::input::args::timestamp;
use crate::cli::input::moment::Moment;
use crate::cli::input::stop::unless_stopped;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::layers::{change_summary, commit_source};
use crate::cli::output::streams::{Output, printable, quoted};
use crate::cli::output::views::{AuditEntryView, AuditView, short_time};
use verify::VerifyArgs;

use crate::client::ClientError;
use crate::proto::v1;
use crate::proto::v1::audit_service_stream_response::Event;

/// The largest page there is.
const PAGE_SIZE_MAX: usize = 1000;

/// Show and verify the audit trail: changes, denied calls, and reveals of secrets
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch audit list --kind denied,refused --since 1h
  confwatch audit follow payments
  confwatch audit verify")]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand, Debug)]
enum AuditCommand {
    /// List entries, newest first
    #[command(after_help = "\
A count above 1 sums up what happened again within a minute.

Examples:
  confwatch audit list --since 1h
  confwatch audit list payments/checkout --kind change
  confwatch audit list --kind denied,refused --by 'token:ci-*' -n 0
  confwatch audit list --kind revealed -o json | jq '.entries[] | .actor'")]
    List(ListArgs),
    /// Follow entries, one line each; ends on Ctrl-C
    #[command(after_help = "\
Each entry is printed once, also after a lost connection.

Examples:
  confwatch audit follow
  confwatch audit follow --kind denied,refused
  confwatch audit follow payments --since 1h -o json")]
    Follow(FollowArgs),
    /// Verify that no commit and no record was altered; exit code 1 and the first broken link otherwise
    #[command(after_help = "\
That newest entries were cut off, or everything was written anew, shows in the two hashes alone: keep them elsewhere, and compare.

Examples:
  confwatch audit verify
  confwatch audit verify -o json | jq .records.hash
  confwatch audit verify --data-dir /var/lib/confwatch")]
    Verify(VerifyArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Not later than this: RFC 3339, or a time ago such as 15m or 2h
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    until: Option<Moment>,
    /// Print at most so many entries; 0: all
    #[arg(short = 'n', long, default_value_t = 50)]
    limit: usize,
}

#[derive(Args, Debug)]
struct FollowArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Exit after so many entries
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Which entries. Texts match as a whole, or with * at their end what begins so.
#[derive(Args, Debug)]
struct FilterArgs {
    /// Show only entries of this namespace or config
    #[arg(value_name = "NAMESPACE[/CONFIG]", default_value = "", hide_default_value = true)]
    target: String,
    /// Show only these kinds of entries
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<KindName>,
    /// Show only entries of this actor, such as user:alice
    #[arg(long = "by", value_name = "ACTOR", default_value = "", hide_default_value = true)]
    by: String,
    /// Show only entries with this credential, such as token:8k2m4n6p8q0r
    #[arg(long, value_name = "CREDENTIAL", default_value = "", hide_default_value = true)]
    credential: String,
    /// Show only entries from this address
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    address: String,
    /// Show only entries with this verb, such as write
    #[arg(long, value_name = "VERB", default_value = "", hide_default_value = true)]
    verb: String,
    /// Show only entries with this outcome, such as CREDENTIAL_EXPIRED
    #[arg(long, value_name = "OUTCOME", default_value = "", hide_default_value = true)]
    outcome: String,
    /// Not earlier than this: RFC 3339, or a time ago such as 15m or 2h
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    since: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindName {
    Change,
    Denied,
    Refused,
    Revealed,
    Overwritten,
    AccessChanged,
    Backup,
    Session,
    Started,
    Stopped,
    Lost,
    Repaired,
    Removed,
}

impl AuditArgs {
    /// Where the data are that are to be proved without a server. `None`: there is one to ask.
    pub fn offline(&self) -> Option<&Path> {
        match &self.command {
            AuditCommand::Verify(args) => args.data_dir.as_deref(),
            AuditCommand::List(_) | AuditCommand::Follow(_) => None,
        }
    }
}

/// Proves what is in the directory that `offline` gives.
pub fn run_offline(args: &AuditArgs, output: &Output) -> Outcome {
    let data_dir = args.offline().ok_or_else(|| Failure::usage("--data-dir is missing"))?;
    let (proof, torn_ends) = offline::verify(data_dir)?;
    verify::show(&proof, &torn_ends, output)
}

pub async fn run(args: AuditArgs, session: &Session) -> Outcome {
    match args.command {
        AuditCommand::List(args) => list(args, session).await,
        AuditCommand::Verify(_) => verify::run(session).await,
        AuditCommand::Follow(args) => unless_stopped(follow(args, session)).await,
    }
}

async fn list(args: ListArgs, session: &Session) -> Outcome {
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut filter = args.filter.filter()?;
    filter.from_time = args.filter.since.map(timestamp).transpose()?;
    filter.to_time = args.until.map(timestamp).transpose()?;
    let (mut entries, mut page_token) = (vec![], String::new());
    // A page token belongs to a request that is otherwise the same, so that the size stays: the last page may be too long.
    let page_size = limit.min(PAGE_SIZE_MAX) as u32;
    loop {
        let filter = Some(filter.clone());
        let request = v1::AuditServiceListRequest { filter, page_size, page_token };
        let page = session.client.audit().list(request).await?.into_inner();
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() || entries.len() >= limit {
            break;
        }
    }
    if entries.len() > limit || !page_token.is_empty() {
        session
            .output
            .note(&format!("the newest {limit} entries are shown, and there are more: --limit 0 shows all"));
    }
    entries.truncate(limit);
    let view = AuditView { entries: entries.iter().map(AuditEntryView::from).collect() };
    session.output.answer(&view, |output| {
        let rows = entries.iter().map(row).collect();
        let header = ["TIME", "KIND", "ACTOR", "ADDRESS", "VERB", "RESOURCE", "OUTCOME", "COUNT", "DETAIL"];
        output.table(header, rows)
    })?;
    Ok(Exit::Done)
}

async fn follow(args: FollowArgs, session: &Session) -> Outcome {
    let mut request = v1::AuditServiceStreamRequest {
        filter: Some(args.filter.filter()?),
        from_time: args.filter.since.map(timestamp).transpose()?,
        ..Default::default()
    };
    let mut left = args.count.unwrap_or(u64::MAX);
    // The first call says whether there is a point in trying at all.
    let mut stream = match timeout(session.timeout, session.client.audit().stream(request.clone())).await {
        Ok(stream) => stream?.into_inner(),
        Err(_) => return Err(Failure::new(Exit::Unavailable, "no answer within the timeout")),
    };
    loop {
        while left > 0 {
            let message = match stream.message().await.map_err(ClientError::from) {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) if may_go_on(&error) => {
                    session.output.warning(&format!("the stream was interrupted: {}", error.message()));
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            request.from_time = None;
            request.resume_token = message.resume_token;
            if let Some(Event::Gap(gap)) = &message.event {
                session.output.warning(&gap_text(gap));
            }
            if let Some(Event::Entry(entry)) = message.event {
                let view = AuditEntryView::from(&entry);
                session.output.item(&view, |output| output.line(row(&entry).join("  ").trim_end()))?;
                left -= 1;
            }
        }
        if left == 0 {
            return Ok(Exit::Done);
        }
        let mut pause = RETRY_AFTER;
        stream = loop {
            tokio::time::sleep(pause).await;
            let opened = session.client.audit().stream(request.clone()).await;
            match opened.map_err(ClientError::from) {
                Ok(stream) => break stream.into_inner(),
                Err(error) if error.is_denied() => pause = DENIED_RETRY_AFTER,
                Err(error) if may_go_on(&error) => pause = RETRY_AFTER,
                Err(error) => return Err(error.into()),
            }
        };
    }
}

/// What cannot be shown any more.
fn gap_text(gap: &v1::AuditGap) -> String {
    let v1::AuditGap { from_revision, to_revision, from_sequence, to_sequence } = gap;
    let missing = match from_revision {
        0 => format!("records {from_sequence} to {to_sequence}"),
        _ => format!("changes of revisions {from_revision} to {to_revision}"),
    };
    format!("{missing} were removed before they could be shown, as the server is set")
}

impl FilterArgs {
    fn filter(&self) -> Result<v1::AuditFilter, Failure> {
        let (namespace, config) = self.target.split_once('/').unwrap_or((&self.target, ""));
        if self.target.contains('/') && (namespace.is_empty() || config.is_empty()) {
            let target = &self.target;
            let message =
                format!("{target:?}: expected NAMESPACE or NAMESPACE/CONFIG, as in payments/checkout");
            return Err(Failure::usage(message));
        }
        Ok(v1::AuditFilter {
            kinds: self.kinds.iter().map(|kind| kind.message().into()).collect(),
            actor: self.by.clone(),
            credential: self.credential.clone(),
            address: self.address.clone(),
            verb: self.verb.clone(),
            namespace: namespace.into(),
            config: config.into(),
            outcome: self.outcome.clone(),
            from_time: None,
            to_time: None,
        })
    }
}

impl KindName {
    fn message(self) -> v1::AuditKind {
        match self {
            KindName::Change => v1::AuditKind::Change,
            KindName::Denied => v1::AuditKind::Denied,
            KindName::Refused => v1::AuditKind::Refused,
            KindName::Revealed => v1::AuditKind::Revealed,
            KindName::Overwritten => v1::AuditKind::Overwritten,
            KindName::AccessChanged => v1::AuditKind::AccessChanged,
            KindName::Backup => v1::AuditKind::Backup,
            KindName::Session => v1::AuditKind::Session,
            KindName::Started => v1::AuditKind::Started,
            KindName::Stopped => v1::AuditKind::Stopped,
            KindName::Lost => v1::AuditKind::Lost,
            KindName::Repaired => v1::AuditKind::Repaired,
            KindName::Removed => v1::AuditKind::Removed,
        }
    }
}

/// The word for a kind, as it is typed.
pub fn kind_name(kind: v1::AuditKind) -> &'static str {
    match kind {
        v1::AuditKind::Unspecified => "-",
        v1::AuditKind::Change => "change",
        v1::AuditKind::Denied => "denied",
        v1::AuditKind::Refused => "refused",
        v1::AuditKind::Revealed => "revealed",
        v1::AuditKind::Overwritten => "overwritten",
        v1::AuditKind::AccessChanged => "access-changed",
        v1::AuditKind::Backup => "backup",
        v1::AuditKind::Session => "session",
        v1::AuditKind::Started => "started",
        v1::AuditKind::Stopped => "stopped",
        v1::AuditKind::Lost => "lost",
        v1::AuditKind::Repaired => "repaired",
        v1::AuditKind::Removed => "removed",
    }
}

fn row(entry: &v1::AuditEntry) -> [String; 9] {
    let named = |text: &str| if text.is_empty() { "-".to_owned() } else { printable(text) };
    [
        short_time(entry.time.as_ref()),
        kind_name(entry.kind()).to_owned(),
        named(&entry.actor),
        named(&entry.address),
        named(&entry.verb),
        resource(entry),
        named(&entry.outcome),
        entry.count.to_string(),
        detail(entry),
    ]
}

/// `payments/checkout@/production`, as it is typed elsewhere.
fn resource(entry: &v1::AuditEntry) -> String {
    let scope = match entry.scope.as_str() {
        "" | "/" => String::new(),
        scope => format!("@{scope}"),
    };
    match (entry.namespace.as_str(), entry.config.as_str()) {
        ("", _) if entry.changes.len() > 1 => format!("{} configs", entry.changes.len()),
        ("", _) => "-".to_owned(),
        (namespace, "") => printable(namespace),
        (namespace, config) => printable(&format!("{namespace}/{config}{scope}")),
    }
}

fn detail(entry: &v1::AuditEntry) -> String {
    if entry.kind() != v1::AuditKind::Change {
        let method = entry.rpc_method.strip_prefix("/confwatch.v1.").unwrap_or(&entry.rpc_method);
        let (first, last) = (&entry.first_resource, &entry.last_resource);
        let resources = match (first.as_str(), last.as_str()) {
            ("", _) => String::new(),
            (first, last) if first == last => format!("on {first}"),
            (first, last) => format!("from {first} to {last}"),
        };
        let parts =
            [method, resources.as_str(), entry.detail.as_str()].into_iter().filter(|part| !part.is_empty());
        return parts.map(printable).collect::<Vec<_>>().join(" ");
    }
    let commit = v1::Commit { source: entry.source, ..Default::default() };
    let changes = entry.changes.iter().map(|change| match entry.changes.len() {
        1 => change_summary(change),
        _ => format!("{}/{} {}", change.namespace, change.config, change_summary(change)),
    });
    let reason = match entry.reason.as_str() {
        "" => String::new(),
        reason => format!("  {}", quoted(reason)),
    };
    let (source, changes) = (commit_source(&commit), changes.collect::<Vec<_>>().join("; "));
    format!("revision {} {source} {changes}{reason}", entry.revision)
}
