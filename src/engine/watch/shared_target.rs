//! A target that someone follows: what its streams are told, made once however many they are, and who they are. Knows nothing of
//! the table that it is found in.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Waker;

use arc_swap::{ArcSwap, Guard};

use crate::model::{Digest, Revision, Version};
use crate::validate::Schema;

use super::followers::Followers;
use super::message::SharedMessages;
use super::subscriber::SubscriberId;
use crate::engine::read::resolve::{Resolved, Resolver, Target, layers_of};
use crate::engine::state::{ConfigState, State};

/// Streams that are woken before others may come and go.
const WAKES_MAX: usize = 256;

/// What every stream of the target is told, and the streams.
pub(super) struct Cell {
    pub target: Arc<Target>,
    /// Replaced by the hub when a commit can have changed it. A stream looks at it without a lock.
    told: ArcSwap<Told>,
    /// The streams that follow nothing else. They come under the lock of the table, too.
    alone: Mutex<Followers>,
    /// Those that follow other targets as well.
    among: Mutex<Followers>,
}

/// The document of a target as of a state, made by the first who asks for it.
pub(super) struct Told {
    pub target: Arc<Target>,
    /// Of the state: it holds from there to the next that is told.
    pub revision: Revision,
    /// Of the config then.
    version: Version,
    made: OnceLock<Made>,
    /// What the document is made of, until it is: a config of many layers is large.
    config: Mutex<Option<Arc<ConfigState>>>,
    /// Whose defaults it is filled with.
    schema: Option<Arc<Schema>>,
    /// What streams of this target alone receive.
    pub shared: Arc<SharedMessages>,
}

/// A larger document is not kept for streams that may come: what they were told is kept by nobody, and the layers are there anyway.
const KEPT_BYTES_MAX: usize = 16 << 10;

/// A document that was made.
struct Made {
    /// `None`: there is no document.
    digest: Option<Digest>,
    document: Kept,
}

enum Kept {
    Always(Option<Arc<Resolved>>),
    /// As long as somebody uses it. Then it is made again, of the layers that it consists of.
    WhileUsed(Mutex<Weak<Resolved>>, Box<ConfigState>),
}

impl Told {
    pub fn new(target: Arc<Target>, state: &State) -> Told {
        let config = state.config(&target.id);
        Told {
            revision: state.revision,
            version: config.map_or(Version::ZERO, |config| config.at.version),
            made: OnceLock::new(),
            config: Mutex::new(config.cloned()),
            schema: target.schema_in(state),
            shared: Arc::default(),
            target,
        }
    }

    /// The document. Who asks for it while another makes it waits for that one: it would make the same.
    pub fn document(&self, resolver: &Resolver) -> Option<Arc<Resolved>> {
        let mut fresh = None;
        let made = self.made.get_or_init(|| {
            let (made, document) = self.make(resolver);
            fresh = document;
            made
        });
        match &made.document {
            _ if fresh.is_some() => fresh,
            Kept::Always(document) => document.clone(),
            Kept::WhileUsed(weak, layers) => {
                let mut weak = weak.lock().expect("a document can be made again");
                let document = weak.upgrade();
                let again = || resolver.resolve(layers, &self.target, self.schema.clone());
                let document = document.or_else(again);
                *weak = document.as_ref().map(Arc::downgrade).unwrap_or_default();
                document
            }
        }
    }

    fn make(&self, resolver: &Resolver) -> (Made, Option<Arc<Resolved>>) {
        let config = self.config.lock().expect("a document can be made of any config").take();
        let document =
            config.as_ref().and_then(|config| resolver.resolve(config, &self.target, self.schema.clone()));
        let digest = document.as_ref().map(|document| document.digest);
        let kept = match (config, &document) {
            (Some(config), Some(made)) if made.content.as_str().len() > KEPT_BYTES_MAX => {
                let layers = config.only(&layers_of(&config, &self.target.scope, self.target.view));
                Kept::WhileUsed(Mutex::new(Arc::downgrade(made)), Box::new(layers))
            }
            (_, document) => Kept::Always(document.clone()),
        };
        (Made { digest, document: kept }, document)
    }

    /// Whether it says the same as one before, of which that is known.
    fn repeats(&self, before: &Told, resolver: &Resolver) -> bool {
        let Some(before) = before.made.get() else { return false };
        self.document(resolver);
        self.made.get().is_some_and(|made| made.digest == before.digest)
    }
}

impl Cell {
    pub fn new(target: Target, state: &State) -> Cell {
        let target = Arc::new(target);
        let told = ArcSwap::from_pointee(Told::new(target.clone(), state));
        Cell { target, told, alone: Mutex::default(), among: Mutex::default() }
    }

    /// What streams are told now. To be held for a moment only.
    pub fn told(&self) -> Guard<Arc<Told>> {
        self.told.load()
    }

    /// Looks at a new state. Whether there is something to tell.
    pub fn advance(&self, state: &State, resolver: &Resolver) -> bool {
        let told = Told::new(self.target.clone(), state);
        let repeats = told.repeats(&self.told(), resolver);
        // Also if it repeats: who comes now is told the current version.
        self.told.store(Arc::new(told));
        !repeats
    }

    /// The same, but leaves it to the first stream to make the document.
    pub fn postpone(&self, state: &State) {
        self.told.store(Arc::new(Told::new(self.target.clone(), state)));
    }

    /// The document as of a state that is or was that of the hub.
    pub fn document_at(&self, state: &State, resolver: &Resolver) -> Option<Arc<Resolved>> {
        let told = self.told();
        match told.revision <= state.revision {
            true => told.document(resolver),
            // The hub is about to move on to the next one.
            false => resolver.resolve_in(state, &self.target),
        }
    }

    /// The same with the version that the config has in that state: elsewhere the config may have changed since the target did.
    pub fn current_document_at(&self, state: &State, resolver: &Resolver) -> Option<Arc<Resolved>> {
        let told = self.told();
        let version = state.config(&self.target.id).map_or(Version::ZERO, |config| config.at.version);
        if told.revision <= state.revision && told.version < version {
            let current = Arc::new(Told::new(self.target.clone(), state));
            let document = current.document(resolver);
            // Not if the hub has told something newer meanwhile.
            self.told.compare_and_swap(&*told, current);
            return document;
        }
        drop(told);
        self.document_at(state, resolver)
    }

    pub fn alone(&self) -> MutexGuard<'_, Followers> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn among(&self) -> MutexGuard<'_, Followers> {
        self.among.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the streams that follow nothing else. They may be very many: one that comes or goes does not wait for the last.
    pub fn wake_alone(&self, wakers: &mut Vec<Waker>) {
        let mut after = SubscriberId(0);
        loop {
            let alone = self.alone();
            let mut looked = 0;
            for subscriber in alone.after(after).take(WAKES_MAX) {
                after = subscriber.id;
                looked += 1;
                wakers.extend(subscriber.take_waker());
            }
            drop(alone);
            wakers.drain(..).for_each(Waker::wake);
            if looked < WAKES_MAX {
                return;
            }
        }
    }
}
