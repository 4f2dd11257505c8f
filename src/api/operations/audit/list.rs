//! Lists pages of the audit trail, newest first: commits and records, each read back from the end of the page before. Knows no caller.

use std::collections::VecDeque;

use prost::Message;

use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::error::{ApiError, audit_log_unreadable};
use crate::api::operations::{Operations, page};
use crate::api::task::blocking;
use crate::audit::{Backward, Kind, Step};
use crate::engine::{Engine, Error};
use crate::model::{Revision, Timestamp};
use crate::proto::v1::{AuditEntry, AuditServiceListRequest, AuditServiceListResponse};

use super::entry;
use super::filter::Filter;
use super::visibility::AuditVisibility;

/// What is looked at for one page, so that a filter that hardly anything passes does not take for ever.
const COMMITS_LOOKED_AT_MAX: u64 = 20_000;
const RECORDS_BYTES_MAX: u64 = 64 << 20;
/// Commits that are read back together.
const COMMITS_STEP: u64 = 256;
const RECORDS_STEP: usize = 256;
/// Entries of one page, beside the one that exceeds it.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// What was read back from one source, newest first, and how far.
#[derive(Default)]
struct SourcePage {
    entries: VecDeque<(Timestamp, u64, AuditEntry)>,
    /// Everything from here on was looked at.
    from: u64,
    is_end: bool,
    /// No more is looked at for this page.
    is_enough: bool,
}

impl Operations {
    pub async fn list_audit_trail(
        &self,
        context: &CallContext,
        mut request: AuditServiceListRequest,
    ) -> Result<AuditServiceListResponse, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let binding = page::binding(context.rpc(), &request);
        let place = page::cursor(&binding, self.engine.epoch(), &page_token)?
            .map(|cursor| place(&cursor))
            .transpose()?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let filter = Filter::read(request.filter.unwrap_or_default())?;
        let visibility = AuditVisibility::open(context, &filter)?;
        // What this client was told before is in the list.
        let recorder = self.recorder.clone();
        blocking(move || recorder.flush()).await?;

        let (revision, sequence) = match place {
            Some(place) => place,
            None => (self.newest_revision(&filter).await?.next().0, u64::MAX),
        };
        let mut commits = Commits::new(&self.engine, revision, &filter)?;
        let dir = self.recorder.dir().filter(|_| filter.wants_records());
        let mut records = Records::new(dir.map(ToOwned::to_owned), sequence, &filter).await?;
        let (mut entries, mut bytes) = (vec![], 0);
        while entries.len() < size && bytes <= PAGE_BYTES_MAX {
            commits.fill(&self.engine, &filter, &visibility).await?;
            // The commits that are listed tell of changes of access themselves.
            let told_from = if filter.wants_changes() { commits.oldest } else { u64::MAX };
            records.fill(&filter, &visibility, told_from).await?;
            let (change, record) = (&mut commits.read, &mut records.read);
            if change.is_stuck() || record.is_stuck() {
                break;
            }
            // As the stream has it the other way round, a change comes after a record of the same time.
            let taken = match (change.entries.front(), record.entries.front()) {
                (None, None) => break,
                (Some((changed, ..)), Some((recorded, ..))) if recorded < changed => change,
                (Some(_), None) => change,
                (_, Some(_)) => record,
            };
            let (_, _, entry) = taken.entries.pop_front().expect("it is in front");
            bytes += entry.encoded_len();
            entries.push(entry);
        }
        let is_over = commits.read.is_over() && records.read.is_over();
        let next = format!("{}:{}", commits.read.before(), records.read.before());
        let next_page_token =
            if is_over { String::new() } else { page::token(&binding, self.engine.epoch(), &next) };
        Ok(AuditServiceListResponse { entries, next_page_token })
    }

    /// The newest that a filter may let through.
    async fn newest_revision(&self, filter: &Filter) -> Result<Revision, Error> {
        let newest = self.engine.state().revision;
        match filter.to {
            Some(to) => Ok(self.engine.revision_at(to).await?.unwrap_or(Revision::ZERO)),
            None => Ok(newest),
        }
    }
}

impl SourcePage {
    fn is_over(&self) -> bool {
        self.entries.is_empty() && self.is_end
    }

    /// Whether nobody knows what comes next of it, and will not for this page.
    fn is_stuck(&self) -> bool {
        self.entries.is_empty() && !self.is_end && self.is_enough
    }

    /// The next page has what is before this.
    fn before(&self) -> u64 {
        self.entries.front().map_or(self.from, |(_, number, _)| number + 1)
    }
}

struct Commits {
    read: SourcePage,
    oldest: u64,
    left: u64,
}

impl Commits {
    fn new(engine: &Engine, before: u64, filter: &Filter) -> Result<Commits, Error> {
        let is_end = !filter.wants_changes();
        let read = SourcePage { from: before, is_end, ..SourcePage::default() };
        Ok(Commits { read, oldest: engine.oldest()?.0.max(1), left: COMMITS_LOOKED_AT_MAX })
    }

    async fn fill(
        &mut self,
        engine: &Engine,
        filter: &Filter,
        visibility: &AuditVisibility,
    ) -> Result<(), Error> {
        let read = &mut self.read;
        while read.entries.is_empty() && !read.is_end && !read.is_enough {
            let to = read.from;
            let from = to.saturating_sub(COMMITS_STEP).max(self.oldest);
            if from >= to {
                read.is_end = true;
                break;
            }
            let mut next = from;
            while next < to {
                let page = match engine.commits(Revision(next)).await {
                    // Compacted meanwhile: what is left is looked at.
                    Err(Error::Compacted { oldest, .. }) if oldest.0 > next => {
                        (self.oldest, next) = (oldest.0, oldest.0);
                        continue;
                    }
                    page => page?,
                };
                let Some(last) = page.last() else { break };
                let end = last.commit.revision.0 + 1;
                for sealed in page.iter().filter(|sealed| sealed.commit.revision.0 < to) {
                    let (time, revision) = (sealed.commit.time, sealed.commit.revision.0);
                    if filter.from.is_some_and(|from| time < from) {
                        // Whatever is before it is earlier.
                        read.is_end = true;
                        continue;
                    }
                    let entry = entry::of_commit(sealed, filter, visibility);
                    entry.into_iter().for_each(|entry| read.entries.push_front((time, revision, entry)));
                }
                next = end;
            }
            read.from = from;
            self.left = self.left.saturating_sub(to - from);
            read.is_enough = self.left == 0;
        }
        Ok(())
    }
}

struct Records {
    read: SourcePage,
    /// `None` while it is read, and where nothing is recorded.
    log: Option<Backward>,
}

impl Records {
    async fn new(dir: Option<std::path::PathBuf>, before: u64, filter: &Filter) -> Result<Records, ApiError> {
        let (from, until) = (filter.from, filter.to);
        let open =
            move || dir.map(|dir| Backward::new(&dir, before, from, until, RECORDS_BYTES_MAX)).transpose();
        let log = blocking(open).await?;
        let log = log.map_err(|error| audit_log_unreadable(&error))?;
        Ok(Records { read: SourcePage { from: before, is_end: log.is_none(), ..SourcePage::default() }, log })
    }

    /// Leaves out changes of access that commits from `told_from` on have made.
    async fn fill(
        &mut self,
        filter: &Filter,
        visibility: &AuditVisibility,
        told_from: u64,
    ) -> Result<(), ApiError> {
        let read = &mut self.read;
        while read.entries.is_empty() && !read.is_end && !read.is_enough {
            let Some(mut log) = self.log.take() else { break };
            let steps = move || {
                let mut steps = vec![];
                while steps.len() < RECORDS_STEP {
                    let step = log.step()?;
                    let is_last = !matches!(step, Step::Record(_));
                    steps.push(step);
                    if is_last {
                        break;
                    }
                }
                Ok::<_, std::io::Error>((log, steps))
            };
            let steps = blocking(steps).await?;
            let (log, steps) = steps.map_err(|error| audit_log_unreadable(&error))?;
            self.log = Some(log);
            for step in steps {
                match step {
                    Step::Enough => read.is_enough = true,
                    Step::End => read.is_end = true,
                    Step::Record(record) => {
                        let (time, sequence) = (record.event.time, record.sequence);
                        read.from = sequence;
                        if record.event.kind == Kind::AccessChanged && record.event.revision >= told_from {
                            continue;
                        }
                        let entry = entry::of_record(*record, filter, visibility);
                        read.entries.extend(entry.map(|entry| (time, sequence, entry)));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Before which revision and which sequence a page begins.
fn place(cursor: &str) -> Result<(u64, u64), Error> {
    let read = || {
        let (revision, sequence) = cursor.split_once(':')?;
        Some((revision.parse().ok()?, sequence.parse().ok()?))
    };
    read().ok_or_else(|| request::invalid("page_token", "is damaged"))
}
