//! Reads from a backup, and from the backups that it follows, what configs were as of one revision. Knows what backups hold; not why the configs
//! are wanted, nor what they are now.
//!
//! Each file is verified to its end, and what was read of a file counts only then. Memory grows with the layers that are wanted, up to limits,
//! and not with the files.

use std::collections::BTreeMap;
use std::io::Read;

use super::error::BackupError;
use super::manifest::{Kind, Manifest, Selection};
use super::record::StoredConfig;
use super::restore::check_chain;
use super::verify::{Content as Part, Verified, undecodable, visit};
use crate::model::text::{Format, parse_content};
use crate::model::{Commit, ConfigId, Content, Layer, LayerKey, LayerKind, Revision, Version};
use crate::store::codec::ProvedCommit;
use crate::store::{ConfigRecord, VersionRef};

/// What to read.
pub struct Wanted<'a> {
    /// The backup must have all of this.
    pub selection: Selection,
    pub config: &'a dyn Fn(&ConfigId) -> bool,
    pub layer: &'a dyn Fn(&LayerKey) -> bool,
    /// The state after the commit of this revision. `None`: after the last commit of the backup.
    pub at: Option<Revision>,
    /// A content that the caller has in memory already, equal to the content of the layer: it takes no room.
    pub shared: &'a dyn Fn(&ConfigId, &LayerKey, &Content) -> Option<Content>,
    /// The most configs and layers, and the most bytes of contents that are not shared, that are held at once.
    pub items_max: usize,
    pub bytes_max: usize,
}

/// Configs as they were.
#[derive(Debug)]
pub struct Extracted {
    pub revision: Revision,
    /// With the wanted layers alone, and without tags. A config that was deleted then has no layers.
    pub configs: BTreeMap<ConfigId, ConfigRecord>,
}

/// Reads the wanted configs from the last of these backups, each of which follows the one before. `open` opens the file of a backup by its position.
/// Returns what was verified of each file as well. Refuses files with larger parts than `part_bytes_max`.
pub fn extract<R: Read>(
    manifests: &[&Manifest],
    open: &dyn Fn(usize) -> Result<R, BackupError>,
    part_bytes_max: u64,
    wanted: &Wanted<'_>,
) -> Result<(Extracted, Vec<Verified>), BackupError> {
    let (first, last) = check_kinds(manifests)?;
    let selection = first.selection()?;
    if !selection.covers(&wanted.selection) {
        let what = format!("the backup has {selection} alone, and not all of {}", wanted.selection);
        return Err(BackupError::Mismatch(what));
    }
    let at = check_revision(wanted, first, last)?;
    let begin = match at.0 < first.last_revision {
        true => Begin::History,
        false => Begin::State(Revision(first.last_revision)),
    };
    let mut reading = Reading { wanted, at, begin, configs: BTreeMap::new(), items: 0, bytes: 0 };
    let mut verified = Vec::with_capacity(manifests.len());
    for (position, manifest) in manifests.iter().enumerate() {
        let file = visit(open(position)?, part_bytes_max, &mut |part| reading.part(part))?;
        // What was decided above, and by others before, was decided by this manifest.
        let is_expected = Manifest { parts: Vec::new(), ..file.manifest.clone() }
            == Manifest { parts: Vec::new(), ..(*manifest).clone() };
        if !is_expected {
            return Err(BackupError::damaged("its manifest has changed since the backup was listed"));
        }
        verified.push(file);
    }
    Ok((reading.end()?, verified))
}

/// The first and the last of the manifests, unless no state can be read from their files.
fn check_kinds<'a>(manifests: &[&'a Manifest]) -> Result<(&'a Manifest, &'a Manifest), BackupError> {
    match manifests {
        [] => Err(BackupError::Mismatch("name a backup".to_owned())),
        [one] if one.kind == Kind::Incremental => Err(BackupError::Mismatch(
            "the backup is incremental, and the backup that it follows is not there: name a full backup, or one of the state"
                .to_owned(),
        )),
        [one] => Ok((one, one)),
        [first, .., last] => {
            check_chain(manifests)?;
            Ok((first, last))
        }
    }
}

/// The revision to read, unless the backups do not have its state.
fn check_revision(wanted: &Wanted<'_>, first: &Manifest, last: &Manifest) -> Result<Revision, BackupError> {
    let newest = Revision(last.last_revision);
    // Of a namespace of which the first commits lack changes, what was before cannot be told.
    let forgotten = first.forgotten.iter().filter(|(namespace, _)| wanted.selection.has_of(namespace));
    let complete = forgotten.map(|(_, oldest)| *oldest).max().unwrap_or_default();
    let oldest = match first.kind {
        Kind::State => newest,
        Kind::Full | Kind::Incremental => Revision(first.first_revision).max(complete).min(newest),
    };
    match wanted.at {
        None => Ok(newest),
        Some(asked) if oldest <= asked && asked <= newest => Ok(asked),
        Some(asked) => Err(BackupError::Revision { asked, oldest, newest }),
    }
}

/// From which parts of the first file the state is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// The commits, and the versions from before them.
    History,
    /// The state at the end of the file, as of this revision. The commits of later files follow.
    State(Revision),
}

/// A config that is being read.
struct Config {
    at: VersionRef,
    layers: BTreeMap<LayerKey, Held>,
}

struct Held {
    layer: Layer,
    is_shared: bool,
}

struct Reading<'a> {
    wanted: &'a Wanted<'a>,
    at: Revision,
    begin: Begin,
    configs: BTreeMap<ConfigId, Config>,
    /// The number of configs and layers.
    items: usize,
    /// Of contents that are not shared.
    bytes: usize,
}

impl Held {
    fn bytes(&self) -> usize {
        if self.is_shared { 0 } else { self.layer.content.as_str().len() }
    }
}

impl Reading<'_> {
    fn part(&mut self, part: Part<'_>) -> Result<(), BackupError> {
        match (part, self.begin) {
            (Part::History(config), Begin::History) if config.revision() <= self.at => self.replace(config),
            (Part::State(config), Begin::State(_)) => self.replace(config),
            (Part::Commits(batch), begin) => {
                let is_needed = |revision: Revision| match begin {
                    Begin::History => revision <= self.at,
                    Begin::State(state) => state < revision && revision <= self.at,
                };
                let needed = batch.commits.into_iter().filter(|commit| is_needed(commit.revision()));
                let needed: Vec<ProvedCommit<'_>> = needed.collect();
                needed.into_iter().try_for_each(|proved| {
                    let sealed = proved.into_sealed().map_err(undecodable)?;
                    self.commit(sealed.commit)
                })
            }
            (Part::History(_) | Part::State(_), Begin::History | Begin::State(_)) => Ok(()),
        }
    }

    /// Takes a config as a whole. A later version replaces an earlier one.
    fn replace(&mut self, config: StoredConfig<'_>) -> Result<(), BackupError> {
        if !(self.wanted.config)(&config.id) {
            return Ok(());
        }
        let config = config.into_record()?;
        let mut now = self.take(&config.id, config.at);
        now.at = config.at;
        for (_, held) in std::mem::take(&mut now.layers) {
            self.release(&held);
        }
        for (key, layer) in config.layers {
            if (self.wanted.layer)(&key) {
                let held = self.hold(&config.id, &key, layer)?;
                if let Some(twice) = now.layers.insert(key, held) {
                    self.release(&twice);
                }
            }
        }
        self.configs.insert(config.id, now);
        self.check_limits()
    }

    fn commit(&mut self, commit: Commit) -> Result<(), BackupError> {
        for change in commit.changes {
            // A change without layers changes tags.
            if change.layers.is_empty() || !(self.wanted.config)(&change.id) {
                continue;
            }
            let at = VersionRef { version: change.version, revision: commit.revision, time: commit.time };
            let mut config = self.take(&change.id, VersionRef { version: Version::ZERO, ..at });
            if config.at.version < change.version {
                config.at = at;
                for layer in change.layers.into_iter().filter(|layer| (self.wanted.layer)(&layer.key)) {
                    if let Some(before) = config.layers.remove(&layer.key) {
                        self.release(&before);
                    }
                    if let Some(content) = layer.content {
                        let (expires, format) = (layer.expires, layer.format);
                        let after = Layer { content, version: change.version, expires, format };
                        let held = self.hold(&change.id, &layer.key, after)?;
                        config.layers.insert(layer.key, held);
                    }
                }
            }
            self.configs.insert(change.id, config);
            self.check_limits()?;
        }
        Ok(())
    }

    /// The config as it was read so far, which is to be put back.
    fn take(&mut self, id: &ConfigId, unborn: VersionRef) -> Config {
        self.configs.remove(id).unwrap_or_else(|| {
            self.items += 1;
            Config { at: unborn, layers: BTreeMap::new() }
        })
    }

    fn hold(&mut self, id: &ConfigId, key: &LayerKey, layer: Layer) -> Result<Held, BackupError> {
        if key.kind == LayerKind::Base && layer.expires.is_some() {
            return Err(BackupError::damaged(format!("the base layer of {id} at {} has an end", key.scope)));
        }
        let held = match (self.wanted.shared)(id, key, &layer.content) {
            Some(content) => Held { layer: Layer { content, ..layer }, is_shared: true },
            None => Held { layer, is_shared: false },
        };
        self.items += 1;
        self.bytes += held.bytes();
        Ok(held)
    }

    fn release(&mut self, held: &Held) {
        self.items -= 1;
        self.bytes -= held.bytes();
    }

    fn check_limits(&self) -> Result<(), BackupError> {
        for (what, found, limit) in [
            ("configs and layers that are read from a backup", self.items, self.wanted.items_max),
            ("bytes of layers that are read from a backup", self.bytes, self.wanted.bytes_max),
        ] {
            if found > limit {
                return Err(BackupError::TooLarge { what, found, limit });
            }
        }
        Ok(())
    }

    fn end(self) -> Result<Extracted, BackupError> {
        let record = |(id, config): (ConfigId, Config)| {
            let layers = config.layers.into_iter().map(|(key, held)| {
                let layer = checked(&id, &key, held)?;
                Ok((key, layer))
            });
            let layers = layers.collect::<Result<_, BackupError>>()?;
            Ok((id.clone(), ConfigRecord { id, at: config.at, layers, tags: BTreeMap::new() }))
        };
        let configs = self.configs.into_iter().map(record).collect::<Result<_, BackupError>>()?;
        Ok(Extracted { revision: self.at, configs })
    }
}

/// The layer with a content that may be stored. Sums prove that a file is as it was written, not that a server wrote it.
fn checked(id: &ConfigId, key: &LayerKey, held: Held) -> Result<Layer, BackupError> {
    if held.is_shared {
        return Ok(held.layer);
    }
    let text = held.layer.content.as_str();
    let content = parse_content(text, Format::Json, text.len()).map_err(|error| {
        BackupError::damaged(format!("the layer of {id} at {} cannot be read: {}", key.scope, error.message))
    })?;
    Ok(Layer { content, ..held.layer })
}
