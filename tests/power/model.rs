//! What programs see on a disk, and what of it a power cut leaves. Knows no FUSE and no processes.
//!
//! What is written is seen at once, and survives once it was synced: content by a sync of the file, names by a sync of
//! the directory. Everything else is a list of operations, of which a cut keeps whatever `Survives` says.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};

use fastrand::Rng;
use libc::{EEXIST, EISDIR, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY};

pub type NodeId = u64;
/// An errno.
pub type Failure = i32;

pub const ROOT: NodeId = 1;
/// What a name takes of the disk.
const NAME_BYTES: usize = 4096;

/// A disk, all of it in memory.
#[derive(Clone)]
pub struct Model {
    names: Names,
    nodes: HashMap<NodeId, Node>,
    node_last: NodeId,
    /// What would not surely survive, in order.
    pending: Vec<(u64, Operation)>,
    operation_last: u64,
    /// Bytes that files may still grow by. `None`: there is no end of it.
    room: Option<usize>,
}

/// When names become durable.
#[derive(Clone, Copy, Debug)]
pub enum Names {
    /// With a sync of their directory: all that POSIX promises.
    Posix,
    /// With any sync, as in a file system with a journal for names.
    Journal,
}

/// What becomes of operations that were not synced.
#[derive(Clone, Debug)]
pub enum Survives {
    Nothing,
    /// As when only the process is killed.
    Everything,
    /// Those before a moment; one is torn.
    Earliest,
    /// Those after a moment: a disk may write in any order.
    Latest,
    /// Each fragment of a write, and each name, with this chance. Lengths of files may survive without the content.
    Fragments {
        chance: f64,
        bytes: usize,
        lengths: bool,
    },
}

#[derive(Clone)]
struct Node {
    seen: Content,
    durable: Content,
}

#[derive(Clone)]
pub enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<OsString, NodeId>),
}

#[derive(Clone)]
enum Operation {
    Write {
        file: NodeId,
        offset: usize,
        bytes: Vec<u8>,
    },
    Resize {
        file: NodeId,
        bytes: usize,
    },
    /// Changes of names that happen together: which name, in which directory, is which node from now on.
    Name(Vec<(NodeId, OsString, Option<NodeId>)>),
}

impl Names {
    pub fn random(rng: &mut Rng) -> Names {
        if rng.bool() { Names::Posix } else { Names::Journal }
    }
}

impl Survives {
    pub fn random(rng: &mut Rng) -> Survives {
        match rng.u8(..8) {
            0 => Survives::Nothing,
            1 => Survives::Everything,
            2 => Survives::Earliest,
            3 => Survives::Latest,
            _ => Survives::Fragments {
                chance: [0.1, 0.5, 0.9][rng.usize(..3)],
                bytes: [512, 4096][rng.usize(..2)],
                lengths: rng.bool(),
            },
        }
    }
}

impl Model {
    pub fn new(names: Names) -> Model {
        let root = Content::Directory(BTreeMap::new());
        let nodes = HashMap::from([(ROOT, Node { seen: root.clone(), durable: root })]);
        Model { names, nodes, node_last: ROOT, pending: Vec::new(), operation_last: 0, room: None }
    }

    /// Becomes what another disk is, in every part. Nodes that are made from here on have new numbers: the kernel may still know the old ones.
    pub fn become_as(&mut self, other: &Model) {
        let node_last = self.node_last.max(other.node_last);
        *self = Model { node_last, ..other.clone() };
    }

    pub fn content(&self, node: NodeId) -> Result<&Content, Failure> {
        self.nodes.get(&node).map(|node| &node.seen).ok_or(ENOENT)
    }

    pub fn find(&self, directory: NodeId, name: &OsStr) -> Result<NodeId, Failure> {
        self.directory(directory)?.get(name).copied().ok_or(ENOENT)
    }

    pub fn create(&mut self, directory: NodeId, name: &OsStr, content: Content) -> Result<NodeId, Failure> {
        if self.directory(directory)?.contains_key(name) {
            return Err(EEXIST);
        }
        self.take_room(NAME_BYTES)?;
        self.node_last += 1;
        let node = self.node_last;
        self.nodes.insert(node, Node { seen: content.clone(), durable: content });
        self.perform(Operation::Name(vec![(directory, name.into(), Some(node))]));
        Ok(node)
    }

    pub fn remove(&mut self, directory: NodeId, name: &OsStr) -> Result<(), Failure> {
        let node = self.find(directory, name)?;
        self.check_empty(node)?;
        self.perform(Operation::Name(vec![(directory, name.into(), None)]));
        self.return_room_of(node);
        Ok(())
    }

    pub fn rename(&mut self, from: (NodeId, &OsStr), to: (NodeId, &OsStr)) -> Result<(), Failure> {
        let node = self.find(from.0, from.1)?;
        self.directory(to.0)?;
        if let Ok(replaced) = self.find(to.0, to.1) {
            self.check_empty(replaced)?;
            self.return_room_of(replaced);
        }
        self.perform(Operation::Name(vec![(from.0, from.1.into(), None), (to.0, to.1.into(), Some(node))]));
        Ok(())
    }

    /// Writes as much as there is room for, and says how much that is.
    pub fn write(&mut self, file: NodeId, offset: usize, bytes: &[u8]) -> Result<usize, Failure> {
        let growth = (offset + bytes.len()).saturating_sub(self.file(file)?.len());
        let fitting = growth.min(self.room.unwrap_or(growth));
        let count = bytes.len().saturating_sub(growth - fitting);
        if count == 0 && !bytes.is_empty() {
            return Err(ENOSPC);
        }
        self.take_room(fitting)?;
        self.perform(Operation::Write { file, offset, bytes: bytes[..count].into() });
        Ok(count)
    }

    pub fn resize(&mut self, file: NodeId, bytes: usize) -> Result<(), Failure> {
        let before = self.file(file)?.len();
        self.take_room(bytes.saturating_sub(before))?;
        self.return_room(before.saturating_sub(bytes));
        self.perform(Operation::Resize { file, bytes });
        Ok(())
    }

    /// From now on files may grow by so many bytes, or, with `None`, as they like.
    pub fn set_room(&mut self, room: Option<usize>) {
        self.room = room;
    }

    /// The last operation until now. A sync that begins now is for those up to it.
    pub fn now(&self) -> u64 {
        self.operation_last
    }

    /// Makes durable what was done up to `until`: to the content of a file, or to the names in a directory.
    pub fn sync(&mut self, node: NodeId, until: u64) {
        let is_journal = matches!(self.names, Names::Journal);
        let synced = self.take_pending(until, |operation| match operation {
            Operation::Write { .. } | Operation::Resize { .. } => operation.is_content_of(node),
            Operation::Name(changes) => is_journal || changes.iter().any(|change| change.0 == node),
        });
        synced.iter().for_each(|operation| self.make_durable(operation));
    }

    /// As a kernel does whose disk has failed: the content that was to be synced is seen as before, no later sync tries it again, and
    /// what of it is on the disk nobody knows. Names can be tried again: file systems that lose those take no more changes at all.
    pub fn fail_sync(&mut self, node: NodeId, until: u64, survives: &Survives, rng: &mut Rng) {
        let given_up = self.take_pending(until, |operation| operation.is_content_of(node));
        self.keep(&given_up, survives, rng);
    }

    /// What is seen from now on is what a power cut left. Says how many operations were at stake.
    pub fn cut(&mut self, survives: &Survives, rng: &mut Rng) -> usize {
        let pending: Vec<_> =
            std::mem::take(&mut self.pending).into_iter().map(|pending| pending.1).collect();
        self.keep(&pending, survives, rng);
        for node in self.nodes.values_mut() {
            node.seen = node.durable.clone();
        }
        pending.len()
    }

    fn take_pending(&mut self, until: u64, is_taken: impl Fn(&Operation) -> bool) -> Vec<Operation> {
        let all = std::mem::take(&mut self.pending).into_iter();
        let (taken, pending) = all.partition(|(at, operation)| *at <= until && is_taken(operation));
        self.pending = pending;
        let taken: Vec<(u64, Operation)> = taken;
        taken.into_iter().map(|(_, operation)| operation).collect()
    }

    /// Makes durable what survives of operations that were not synced.
    fn keep(&mut self, operations: &[Operation], survives: &Survives, rng: &mut Rng) {
        let moment = rng.usize(..=operations.len());
        for (at, operation) in operations.iter().enumerate() {
            match survives {
                Survives::Nothing => {}
                Survives::Everything => self.make_durable(operation),
                Survives::Earliest if at < moment => self.make_durable(operation),
                Survives::Earliest if at == moment => self.tear(operation, 0.5, 512, false, rng),
                Survives::Earliest => {}
                Survives::Latest if at >= moment => self.make_durable(operation),
                Survives::Latest => {}
                Survives::Fragments { chance, bytes, lengths } => {
                    self.tear(operation, *chance, *bytes, *lengths, rng);
                }
            }
        }
    }

    fn tear(&mut self, operation: &Operation, chance: f64, size: usize, lengths: bool, rng: &mut Rng) {
        let Operation::Write { file, offset, bytes } = operation else {
            if rng.f64() < chance {
                self.make_durable(operation);
            }
            return;
        };
        let end = offset + bytes.len();
        let mut start = *offset;
        while start < end {
            // Disks write whole sectors, so that fragments lie where sectors do.
            let next = ((start / size + 1) * size).min(end);
            if rng.f64() < chance {
                let bytes = bytes[start - offset..next - offset].to_vec();
                self.make_durable(&Operation::Write { file: *file, offset: start, bytes });
            }
            start = next;
        }
        let Content::File(durable) = &self.nodes[file].durable else { return };
        if lengths && durable.len() < end {
            self.make_durable(&Operation::Resize { file: *file, bytes: end });
        }
    }

    fn perform(&mut self, operation: Operation) {
        operation.apply(&mut self.nodes, |node| &mut node.seen);
        self.operation_last += 1;
        self.pending.push((self.operation_last, operation));
    }

    fn make_durable(&mut self, operation: &Operation) {
        operation.apply(&mut self.nodes, |node| &mut node.durable);
    }

    fn take_room(&mut self, bytes: usize) -> Result<(), Failure> {
        if let Some(room) = &mut self.room {
            *room = room.checked_sub(bytes).ok_or(ENOSPC)?;
        }
        Ok(())
    }

    fn return_room(&mut self, bytes: usize) {
        if let Some(room) = &mut self.room {
            *room += bytes;
        }
    }

    /// Of a file that nobody has open any more, as far as that can be told here.
    fn return_room_of(&mut self, node: NodeId) {
        let bytes = self.file(node).map_or(0, Vec::len);
        self.return_room(NAME_BYTES + bytes);
    }

    fn directory(&self, node: NodeId) -> Result<&BTreeMap<OsString, NodeId>, Failure> {
        match self.content(node)? {
            Content::Directory(entries) => Ok(entries),
            Content::File(_) => Err(ENOTDIR),
        }
    }

    fn file(&self, node: NodeId) -> Result<&Vec<u8>, Failure> {
        match self.content(node)? {
            Content::File(bytes) => Ok(bytes),
            Content::Directory(_) => Err(EISDIR),
        }
    }

    fn check_empty(&self, node: NodeId) -> Result<(), Failure> {
        match self.content(node)? {
            Content::Directory(entries) if !entries.is_empty() => Err(ENOTEMPTY),
            Content::Directory(_) | Content::File(_) => Ok(()),
        }
    }
}

impl Operation {
    fn is_content_of(&self, node: NodeId) -> bool {
        match self {
            Operation::Write { file, .. } | Operation::Resize { file, .. } => *file == node,
            Operation::Name(_) => false,
        }
    }

    /// To what is seen, or to what is durable.
    fn apply(&self, nodes: &mut HashMap<NodeId, Node>, which: fn(&mut Node) -> &mut Content) {
        match self {
            Operation::Write { file, offset, bytes } => {
                let Content::File(held) = which(node(nodes, *file)) else { return };
                let end = offset + bytes.len();
                if held.len() < end {
                    held.resize(end, 0);
                }
                held[*offset..end].copy_from_slice(bytes);
            }
            Operation::Resize { file, bytes } => {
                let Content::File(held) = which(node(nodes, *file)) else { return };
                held.resize(*bytes, 0);
            }
            Operation::Name(changes) => {
                for (directory, name, target) in changes {
                    let Content::Directory(entries) = which(node(nodes, *directory)) else { continue };
                    match target {
                        Some(node) => entries.insert(name.clone(), *node),
                        None => entries.remove(name),
                    };
                }
            }
        }
    }
}

fn node(nodes: &mut HashMap<NodeId, Node>, node: NodeId) -> &mut Node {
    nodes.get_mut(&node).expect("nodes are never removed")
}
