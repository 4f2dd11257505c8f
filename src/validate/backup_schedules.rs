//! When the server makes backups by itself, and which of them it keeps, as an administrator writes it. Knows the form; not how a backup is made.
//!
//! ```json
//! {"schedules": {"nightly": {"cron": "0 3 * * *", "kind": "full", "keep_count": 14, "keep_days": 30, "keep_bytes": 10000000000}}}
//! ```
//!
//! `cron` has minute, hour, day of the month, month and day of the week, in UTC. `kind` is `full` (the default), `state`, or `incremental`: to the
//! newest full or incremental backup of the store, and full where there is none. A limit that is not there does not count.

use std::collections::BTreeMap;
use std::fmt;

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions, parse_crontab_with};
use serde_json::Value;

use super::Found;
use super::namespace_limits::{Member, members};
use super::registry::{check_fields, malformed};
use crate::model::Timestamp;

const SCHEDULES_MAX: usize = 20;
/// The longest name of a schedule.
const NAME_BYTES_MAX: usize = 63;

/// The schedules of backups.
#[derive(Clone, Debug, Default)]
pub struct BackupSchedules(pub BTreeMap<String, BackupSchedule>);

/// When to make a backup of the store, and which backups of the schedule stay.
#[derive(Clone)]
pub struct BackupSchedule {
    cron: Crontab,
    pub kind: ScheduledKind,
    pub keep_count: Option<u64>,
    pub keep_days: Option<u64>,
    pub keep_bytes: Option<u64>,
}

/// How much of history a scheduled backup has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduledKind {
    Full,
    State,
    /// Full where there is no backup before.
    Incremental,
}

impl BackupSchedules {
    /// Reads a document.
    pub fn parse(document: &Value) -> Result<BackupSchedules, Vec<Found>> {
        let mut wrong = vec![];
        check_fields(document, "", &["schedules"], &mut wrong);
        let mut read = BTreeMap::new();
        for Member { name, value: schedule, place } in
            members(document, "schedules", SCHEDULES_MAX, &mut wrong)
        {
            let is_name = !name.is_empty()
                && name.len() <= NAME_BYTES_MAX
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            if !is_name {
                let message = format!("the name must have 1 to {NAME_BYTES_MAX} of a-z, 0-9 and \"-\"");
                wrong.push(malformed(&place, &message));
            }
            read.extend(
                BackupSchedule::parse(schedule, &place, &mut wrong)
                    .map(|schedule| (name.to_owned(), schedule)),
            );
        }
        if wrong.is_empty() { Ok(BackupSchedules(read)) } else { Err(wrong) }
    }
}

impl BackupSchedule {
    fn parse(schedule: &Value, place: &str, wrong: &mut Vec<Found>) -> Option<BackupSchedule> {
        check_fields(schedule, place, &["cron", "kind", "keep_count", "keep_days", "keep_bytes"], wrong);
        let kind = match schedule.get("kind").map(Value::as_str) {
            None | Some(Some("full")) => ScheduledKind::Full,
            Some(Some("state")) => ScheduledKind::State,
            Some(Some("incremental")) => ScheduledKind::Incremental,
            Some(_) => {
                wrong.push(malformed(&format!("{place}/kind"), "must be full, state or incremental"));
                ScheduledKind::Full
            }
        };
        let mut limit = |name: &str| {
            let value = schedule.get(name)?;
            let limit = value.as_u64().filter(|limit| *limit > 0);
            if limit.is_none() {
                wrong.push(malformed(&format!("{place}/{name}"), "must be a whole number of at least 1"));
            }
            limit
        };
        let (keep_count, keep_days, keep_bytes) =
            (limit("keep_count"), limit("keep_days"), limit("keep_bytes"));
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let cron = schedule.get("cron").and_then(Value::as_str).unwrap_or_default();
        match parse_crontab_with(cron, options) {
            Ok(cron) => Some(BackupSchedule { cron, kind, keep_count, keep_days, keep_bytes }),
            Err(error) => {
                let message = format!("must be five fields such as \"0 3 * * *\", in UTC: {error}");
                wrong.push(malformed(&format!("{place}/cron"), &message));
                None
            }
        }
    }

    /// When the schedule is due next after a time. `None`: never.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let time = MakeTimestamp::from_microsecond(time.0).ok()?;
        Some(Timestamp(self.cron.find_next(time).ok()?.timestamp().as_microsecond()))
    }
}

impl fmt::Debug for BackupSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupSchedule").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schedule_is_due_at_the_next_time_of_its_expression() {
        let document =
            json!({"schedules": {"nightly": {"cron": "30 3 * * *", "kind": "incremental", "keep_count": 7}}});
        let schedules = BackupSchedules::parse(&document).expect("good");
        let nightly = &schedules.0["nightly"];
        assert_eq!(
            (nightly.kind, nightly.keep_count, nightly.keep_days),
            (ScheduledKind::Incremental, Some(7), None)
        );
        let day = 24 * 60 * 60 * 1_000_000;
        let due = (3 * 60 + 30) * 60 * 1_000_000;
        assert_eq!(nightly.next_after(Timestamp(0)), Some(Timestamp(due)));
        assert_eq!(nightly.next_after(Timestamp(due)), Some(Timestamp(due + day)));
        assert_eq!(nightly.next_after(Timestamp(due - 1)), Some(Timestamp(due)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |schedule: Value, pointer: &str| {
            let found = BackupSchedules::parse(&json!({"schedules": {"a": schedule}})).expect_err("wrong");
            assert_eq!(found.iter().map(|found| found.pointer.as_str()).collect::<Vec<_>>(), [pointer]);
        };
        check(json!({"cron": "every day"}), "/schedules/a/cron");
        check(json!({}), "/schedules/a/cron");
        check(json!({"cron": "0 3 * * *", "kind": "half"}), "/schedules/a/kind");
        check(json!({"cron": "0 3 * * *", "keep_count": 0}), "/schedules/a/keep_count");
        check(json!({"cron": "0 3 * * *", "keep": 3}), "/schedules/a/keep");
        assert!(BackupSchedules::parse(&json!({"schedules": {"A b": {"cron": "0 3 * * *"}}})).is_err());
        assert!(BackupSchedules::parse(&json!({})).expect("none").0.is_empty());
    }
}
