//! `confwatch backup schedule`: lists, sets and removes schedules of backups, which are a config of the server. Knows the client only.

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::Session;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::client::ClientError;
use crate::proto::v1;

/// The namespace and the name of the config.
const CONFIG: (&str, &str) = ("confwatch", "backups");

#[derive(Args, Debug)]
pub struct ScheduleArgs {
    /// The name of the schedule; without it, all are listed
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// When to make a backup: minute, hour, day of the month, month and day of the week, in UTC
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "remove")]
    cron: Option<String>,
    /// How much of history; incremental: the commits since the newest backup
    #[arg(long, value_enum, default_value_t = KindName::Full)]
    kind: KindName,
    /// Keep so many of the newest backups of the schedule
    #[arg(long, value_name = "N")]
    keep: Option<u64>,
    /// Keep backups of the schedule for so many days
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u64>,
    /// Keep the newest backups of the schedule that have so many bytes together
    #[arg(long, value_name = "BYTES")]
    keep_bytes: Option<u64>,
    /// Remove the schedule; its backups stay
    #[arg(long)]
    remove: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindName {
    Full,
    State,
    Incremental,
}

#[derive(Debug, Serialize)]
struct SchedulesView {
    schedules: Map<String, Value>,
}

pub async fn run(args: ScheduleArgs, session: &Session) -> Outcome {
    match (&args.name, &args.cron) {
        (None, _) => list(session).await,
        (Some(name), Some(cron)) => {
            let schedule = schedule(&args, cron);
            // A server that keeps no backups would never make one of the schedule: its refusal ends the command.
            session.client.backups().list_backups(v1::ListBackupsRequest::default()).await?;
            write(name, schedule, session).await?;
            session.output.line(&format!("schedule {name} is set"))?;
            Ok(Exit::Done)
        }
        (Some(name), None) if args.remove => {
            write(name, Value::Null, session).await?;
            session.output.line(&format!("schedule {name} is removed"))?;
            Ok(Exit::Done)
        }
        (Some(_), None) => Err(Failure::usage("name --cron to set the schedule, or --remove to remove it")),
    }
}

fn schedule(args: &ScheduleArgs, cron: &str) -> Value {
    let kind = match args.kind {
        KindName::Full => "full",
        KindName::State => "state",
        KindName::Incremental => "incremental",
    };
    // What is null is removed: limits of a schedule of before do not stay.
    json!({
        "cron": cron,
        "kind": kind,
        "keep_count": args.keep,
        "keep_days": args.keep_days,
        "keep_bytes": args.keep_bytes,
    })
}

async fn write(name: &str, schedule: Value, session: &Session) -> Result<(), ClientError> {
    let patch = json!({ "schedules": { name: schedule } });
    let content = v1::Text { content: patch.to_string(), format: v1::Format::Json.into() };
    let change = v1::Change {
        namespace: CONFIG.0.into(),
        config: CONFIG.1.into(),
        action: Some(v1::change::Action::MergePatch(content)),
        ..Default::default()
    };
    session.client.api().set(v1::SetRequest { change: Some(change), options: None }).await?;
    Ok(())
}

async fn list(session: &Session) -> Outcome {
    let document = session.client.get((CONFIG.0, CONFIG.1, "/")).await?;
    let document = document.and_then(|document| serde_json::from_str::<Value>(&document.content).ok());
    let schedules = document.and_then(|document| document.get("schedules")?.as_object().cloned());
    let view = SchedulesView { schedules: schedules.unwrap_or_default() };
    session.output.answer(&view, |output| {
        let text = |value: &Value, name: &str| match value.get(name) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let rows = view.schedules.iter().map(|(name, schedule)| {
            let of = |field: &str| text(schedule, field);
            [name.clone(), of("cron"), of("kind"), of("keep_count"), of("keep_days"), of("keep_bytes")]
        });
        output.table(["SCHEDULE", "CRON (UTC)", "KIND", "KEEP", "KEEP DAYS", "KEEP BYTES"], rows.collect())
    })?;
    Ok(Exit::Done)
}
