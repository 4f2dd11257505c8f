//! Commits that are to be taken back, and what each did to its layers. Knows commits; neither the store nor the current state.

use std::fmt;
use std::sync::Arc;

use crate::engine::check::workers::LargeCall;
use crate::engine::error::{Error, Limit};
use crate::engine::state::tags::tags_id;
use crate::model::{ConfigId, Content, Format, Layer, LayerChange, LayerKey, Revision, Scope, Timestamp};
use crate::store::Sealed;

/// Commits that one call takes back.
const COMMITS_MAX: usize = 100;
/// Content of the layers as several commits left them: checked as each commit is read, and before their history is.
const COMMITS_BYTES_MAX: usize = 32 << 20;
/// The same with the content that the layers had before. A call keeps all of it in memory until its plan is made.
const BYTES_MAX: usize = 64 << 20;

/// Commits that are to be taken back, the newest first.
#[derive(Clone, Default)]
pub struct Reverting {
    pub(super) commits: Vec<Arc<Sealed>>,
    pub(super) bytes: usize,
    /// The call that keeps them in memory.
    pub(super) large: Option<LargeCall>,
}

/// Only the revisions: content may be secret.
impl fmt::Debug for Reverting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.revisions()).finish()
    }
}

/// What one commit did to one layer.
#[derive(Clone)]
pub(in crate::engine) struct Step {
    pub revision: Revision,
    pub id: ConfigId,
    pub key: LayerKey,
    /// The layer before the commit. `None`: there was none.
    pub before: Option<LayerState>,
    /// The layer as the commit left it.
    pub after: Option<LayerState>,
}

/// A layer without its place in history.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::engine) struct LayerState {
    pub content: Content,
    pub expires: Option<Timestamp>,
    pub format: Option<Format>,
}

impl LayerState {
    pub fn of(layer: &Layer) -> LayerState {
        LayerState { content: layer.content.clone(), expires: layer.expires, format: layer.format }
    }

    pub fn left_by(change: &LayerChange) -> Option<LayerState> {
        let content = change.content.clone()?;
        Some(LayerState { content, expires: change.expires, format: change.format })
    }
}

impl Reverting {
    /// The revisions in the order in which they are taken back.
    pub fn order(mut revisions: Vec<Revision>) -> Result<Vec<Revision>, Error> {
        let invalid = |message: String| Err(Error::Invalid { field: "revisions".into(), message });
        let count = revisions.len();
        revisions.sort_unstable_by(|a, b| b.cmp(a));
        revisions.dedup();
        match (count, revisions.last()) {
            (0, _) | (_, None) => invalid("must not be empty".into()),
            (_, Some(&Revision::ZERO)) => invalid("revision 0 is no commit: the first one has 1".into()),
            _ if count > COMMITS_MAX => {
                invalid(format!("has {count} revisions, at most {COMMITS_MAX} are allowed"))
            }
            _ if revisions.len() < count => invalid("has a revision twice".into()),
            _ => Ok(revisions),
        }
    }

    /// None yet, for a call that keeps them in memory until its plan is made.
    pub fn within(large: LargeCall) -> Reverting {
        Reverting { large: Some(large), ..Reverting::default() }
    }

    /// One commit.
    pub fn of(sealed: Arc<Sealed>) -> Reverting {
        let layers = sealed.commit.changes.iter().flat_map(|change| &change.layers);
        let contents = layers.filter_map(|layer| layer.content.as_ref());
        let bytes = contents.map(|content| content.as_str().len()).sum();
        Reverting { commits: vec![sealed], bytes, large: None }
    }

    /// Adds commits that are older than those before them. Fails if all together are too large, or if one of them changed no layer.
    pub fn append(&mut self, older: Reverting) -> Result<(), Error> {
        if let Some(sealed) = older.commits.iter().find(|sealed| changes_no_layer(sealed)) {
            let message = format!(
                "revision {} changed no layer, only tags, which a revert leaves as they are: set them instead",
                sealed.commit.revision
            );
            return Err(Error::Invalid { field: "revisions".into(), message });
        }
        self.bytes += older.bytes;
        if !self.commits.is_empty() {
            check("bytes of the layers in the commits", self.bytes, COMMITS_BYTES_MAX)?;
        }
        self.commits.extend(older.commits);
        Ok(())
    }

    pub fn revisions(&self) -> impl Iterator<Item = Revision> {
        self.commits.iter().map(|sealed| sealed.commit.revision)
    }

    /// The configs that the commits changed. One can come several times.
    pub fn ids(&self) -> impl Iterator<Item = &ConfigId> {
        self.commits.iter().flat_map(|sealed| &sealed.commit.changes).map(|change| &change.id)
    }

    /// The configs and scopes that each commit changed; of a commit that only moved tags of a config, the global scope.
    pub fn places(&self) -> impl Iterator<Item = (Revision, ConfigId, Scope)> {
        let commits = self.commits.iter().map(|sealed| &sealed.commit);
        let changes =
            commits.flat_map(|commit| commit.changes.iter().map(move |change| (commit.revision, change)));
        changes.flat_map(|(revision, change)| {
            let scopes: Vec<Scope> = match change.layers.as_slice() {
                [] => vec![Scope::global()],
                layers => layers.iter().map(|layer| layer.key.scope.clone()).collect(),
            };
            scopes.into_iter().map(move |scope| (revision, change.id.clone(), scope))
        })
    }
}

/// Tags of a namespace are a layer, too, which follows the tags of its configs.
fn changes_no_layer(sealed: &Sealed) -> bool {
    sealed
        .commit
        .changes
        .iter()
        .all(|change| change.layers.is_empty() || change.id == tags_id(&change.id.namespace))
}

pub(super) fn check_bytes(bytes: usize) -> Result<(), Error> {
    check("bytes of the layers that the commits changed, before and after them", bytes, BYTES_MAX)
}

fn check(what: &'static str, found: usize, limit: usize) -> Result<(), Error> {
    match found > limit {
        true => {
            let what = what.into();
            Err(Error::LimitReached { limit_name: Limit::CommitBytes, what, found, limit })
        }
        false => Ok(()),
    }
}
