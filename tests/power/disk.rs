//! A directory on a disk whose power can be cut, which can be full, and which can fail: the model behind a FUSE mount. Knows no
//! processes.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use fuser::*;
use libc::EIO;
use tempfile::TempDir;

use super::model::{Content, Failure, Model, Names, NodeId, Survives};

/// The kernel keeps nothing: after a cut everything may be different.
const TTL: Duration = Duration::ZERO;
/// More than one, so that a slow sync does not keep others from writing.
const THREADS: usize = 4;

/// Mounted until it is dropped.
pub struct Disk {
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
    /// Removed after the session has ended.
    directory: TempDir,
}

struct Shared {
    state: Mutex<State>,
    power_changed: Condvar,
    sync_time: Duration,
}

struct State {
    model: Model,
    power: Power,
    faults: Faults,
    /// How often something was written, named or synced.
    changes: u64,
    /// The change at which the power fails.
    fails_at: Option<u64>,
}

/// How often a disk answers with an error what it is asked to do.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The chance of a write, or of a change of names.
    pub writes: f64,
    /// The chance of a sync.
    pub syncs: f64,
    pub rng: Rng,
}

#[derive(Clone, Copy, PartialEq)]
enum Power {
    On,
    /// Nothing is answered. Whoever waits can be killed meanwhile, and has then seen no error that a dead machine cannot report.
    Failing,
    /// Whoever still waits is gone already, and may know.
    Off,
}

impl Disk {
    /// `None`, and says so, where this cannot be tested.
    pub fn mount(names: Names, sync_time: Duration) -> Option<Disk> {
        if let Err(error) = File::options().read(true).write(true).open("/dev/fuse") {
            // Written past the test harness, which hides what tests that pass print.
            let _ = writeln!(io::stderr(), "skipped: power cuts need /dev/fuse: {error}");
            return None;
        }
        let state = Mutex::new(State {
            model: Model::new(names),
            power: Power::On,
            faults: Faults::none(),
            changes: 0,
            fails_at: None,
        });
        let shared = Arc::new(Shared { state, power_changed: Condvar::new(), sync_time });
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("power".into())];
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let session = spawn_mount(Mounted(shared.clone()), directory.path(), &config).expect("it is mounted");
        Some(Disk { shared, session: Some(session), directory })
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// From now on nothing is answered, and nothing becomes durable.
    pub fn fail(&self) {
        self.shared.turn(Power::Failing);
    }

    /// The same at the `count`th change from now.
    pub fn fail_after(&self, count: u64) {
        let mut state = self.shared.state();
        state.fails_at = Some(state.changes + count);
    }

    /// How often something was written, named or synced so far.
    pub fn changes(&self) -> u64 {
        self.shared.state().changes
    }

    /// Waits until the power is no longer on. Blocks.
    pub fn failure(&self) -> impl FnOnce() + Send + 'static {
        let shared = self.shared.clone();
        move || {
            let is_on = |state: &mut State| state.power == Power::On;
            drop(shared.power_changed.wait_while(shared.state(), is_on).expect("the model does not panic"));
        }
    }

    /// What is on the disk, for `put_back`.
    pub fn copy(&self) -> Model {
        self.shared.state().model.clone()
    }

    /// Makes the disk what it was when it was copied. Nobody may use it meanwhile.
    pub fn put_back(&self, copy: &Model) {
        self.shared.state().model.become_as(copy);
    }

    /// From now on files may grow by so many bytes, a name being some as well, or, with `None`, as they like.
    pub fn set_room(&self, bytes: Option<usize>) {
        self.shared.state().model.set_room(bytes);
    }

    pub fn set_faults(&self, faults: Faults) {
        self.shared.state().faults = faults;
    }

    /// What was not synced is gone, as far as `survives` says. Who used the disk must have been sent SIGKILL.
    pub fn cut(&self, survives: &Survives, rng: &mut Rng) -> usize {
        let at_stake = self.shared.state().model.cut(survives, rng);
        self.shared.turn(Power::Off);
        at_stake
    }

    /// Who used the disk before must be gone.
    pub fn turn_on(&self) {
        self.shared.turn(Power::On);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.turn(Power::Off);
        let Some(session) = self.session.take() else { return };
        // When a test fails, a server that was killed may still have it open. Who is not root is refused this; for them
        // the session does the same.
        let path = CString::new(self.directory.path().as_os_str().as_bytes()).expect("a path has no NUL");
        // SAFETY: it reads a string that lives longer than the call.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        // An error says that it is gone already.
        let _ = session.umount_and_join();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the model does not panic")
    }

    fn turn(&self, power: Power) {
        let mut state = self.state();
        state.power = power;
        state.fails_at = None;
        self.power_changed.notify_all();
    }

    /// Waits while the power fails.
    fn powered(&self) -> Result<MutexGuard<'_, State>, Errno> {
        let failing = |state: &mut State| state.power == Power::Failing;
        let waited = self.power_changed.wait_while(self.state(), failing);
        let state = waited.expect("the model does not panic");
        match state.power {
            Power::Off => Err(Errno::from_i32(EIO)),
            Power::On | Power::Failing => Ok(state),
        }
    }

    /// The same before something becomes different.
    fn powered_for_change(&self) -> Result<MutexGuard<'_, State>, Errno> {
        let mut state = self.powered()?;
        state.changes += 1;
        if state.fails_at == Some(state.changes) {
            drop(state);
            self.turn(Power::Failing);
            return self.powered();
        }
        Ok(state)
    }

    fn read<T>(&self, run: impl FnOnce(&Model) -> Result<T, Failure>) -> Result<T, Errno> {
        run(&self.powered()?.model).map_err(Errno::from_i32)
    }

    fn change<T>(&self, run: impl FnOnce(&mut Model) -> Result<T, Failure>) -> Result<T, Errno> {
        let state = &mut *self.powered_for_change()?;
        if state.faults.rng.f64() < state.faults.writes {
            return Err(Errno::from_i32(EIO));
        }
        run(&mut state.model).map_err(Errno::from_i32)
    }

    /// What is written while it takes its time is not part of it.
    fn sync(&self, node: NodeId) -> Result<(), Errno> {
        let until = self.powered_for_change()?.model.now();
        thread::sleep(self.sync_time);
        let State { model, faults, .. } = &mut *self.powered()?;
        if faults.rng.f64() < faults.syncs {
            let survives = Survives::random(&mut faults.rng);
            model.fail_sync(node, until, &survives, &mut faults.rng);
            return Err(Errno::from_i32(EIO));
        }
        model.sync(node, until);
        Ok(())
    }
}

impl Faults {
    pub fn none() -> Faults {
        Faults { writes: 0.0, syncs: 0.0, rng: Rng::with_seed(0) }
    }
}

/// What the kernel asks.
struct Mounted(Arc<Shared>);

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.0.read(|model| {
            let node = model.find(parent.0, name)?;
            Ok(attributes(node, model.content(node)?))
        });
        reply_entry(reply, found);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply_attributes(reply, self.0.read(|model| Ok(attributes(node.0, model.content(node.0)?))));
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = self.0.change(|model| {
            if let Some(size) = size {
                model.resize(node.0, size as usize)?;
            }
            Ok(attributes(node.0, model.content(node.0)?))
        });
        reply_attributes(reply, set);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let content = Content::Directory(Default::default());
        let attributes = attributes(0, &content);
        let made = self.0.change(|model| model.create(parent.0, name, content));
        reply_entry(reply, made.map(|node| FileAttr { ino: INodeNo(node), ..attributes }));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.0.change(|model| model.create(parent.0, name, Content::File(vec![]))) {
            Ok(node) => {
                let attributes = attributes(node, &Content::File(vec![]));
                reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.0.change(|model| model.remove(parent.0, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.0.change(|model| model.remove(parent.0, name)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.0.change(|model| model.rename((parent.0, name), (new_parent.0, new_name)));
        reply_empty(reply, renamed);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.0.read(|model| match model.content(node.0)? {
            Content::File(bytes) => {
                let start = bytes.len().min(offset as usize);
                let end = bytes.len().min(start + size as usize);
                Ok(bytes[start..end].to_vec())
            }
            Content::Directory(_) => Err(libc::EISDIR),
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.change(|model| model.write(node.0, offset as usize, bytes)) {
            Ok(count) => reply.written(count as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply_empty(reply, self.0.sync(node.0));
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply_empty(reply, self.0.sync(node.0));
    }

    /// In the order of the nodes, so that a name that goes meanwhile does not hide another one.
    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, after: u64, mut reply: ReplyDirectory) {
        let listed = self.0.read(|model| {
            let Content::Directory(entries) = model.content(node.0)? else { return Err(libc::ENOTDIR) };
            let mut later = Vec::new();
            for (name, node) in entries.iter().filter(|(_, node)| **node > after) {
                later.push((*node, attributes(*node, model.content(*node)?).kind, name.clone()));
            }
            later.sort_by_key(|(node, ..)| *node);
            Ok(later)
        });
        match listed {
            Ok(entries) => {
                for (node, kind, name) in entries {
                    if reply.add(INodeNo(node), node, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }
}

fn attributes(node: NodeId, content: &Content) -> FileAttr {
    let (kind, perm, nlink, size) = match content {
        Content::File(bytes) => (FileType::RegularFile, 0o600, 1, bytes.len() as u64),
        Content::Directory(_) => (FileType::Directory, 0o700, 2, 0),
    };
    let time = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(node),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm,
        nlink,
        // SAFETY: these calls only read, and cannot fail.
        uid: unsafe { libc::geteuid() },
        gid: unsafe { libc::getegid() },
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn reply_entry(reply: ReplyEntry, attributes: Result<FileAttr, Errno>) {
    match attributes {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn reply_attributes(reply: ReplyAttr, attributes: Result<FileAttr, Errno>) {
    match attributes {
        Ok(attributes) => reply.attr(&TTL, &attributes),
        Err(error) => reply.error(error),
    }
}

fn reply_empty(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}
