//! The document of a watched target as of a state, made once for all streams that follow the target. Knows no stream.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::message::{Known, SharedMessages};
use crate::engine::read::resolve::{Resolved, Resolver, Target, layers_of};
use crate::engine::state::{ConfigState, State};
use crate::model::{Digest, Revision, Version};
use crate::validate::Schema;

/// The document of a target as of a state, made for the first stream that needs it.
pub(super) struct SharedDocument {
    pub target: Arc<Target>,
    /// Of the state: it holds from there to the next that is told.
    pub revision: Revision,
    /// Of the config then.
    pub version: Version,
    made: OnceLock<Made>,
    /// The config from which the document is made, until it is made: a config with many layers is large.
    config: Mutex<Option<Arc<ConfigState>>>,
    /// The schema whose defaults are filled in.
    schema: Option<Arc<Schema>>,
    /// The messages of streams with this single target, once the first of them is sent.
    shared: OnceLock<Arc<SharedMessages>>,
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
    /// Kept as long as a stream uses the document. After that the document is made again from its layers.
    WhileUsed(Mutex<Weak<Resolved>>, Box<ConfigState>),
}

impl SharedDocument {
    pub fn new(target: Arc<Target>, state: &State) -> SharedDocument {
        let config = state.config(&target.id);
        SharedDocument {
            revision: state.revision,
            version: config.map_or(Version::ZERO, |config| config.at.version),
            made: OnceLock::new(),
            config: Mutex::new(config.cloned()),
            schema: target.schema_in(state),
            shared: OnceLock::new(),
            target,
        }
    }

    /// The document. Concurrent calls wait for the first one, which makes the document.
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
                let again = || resolver.resolve_shared(layers, &self.target, self.schema.clone());
                let document = document.or_else(again);
                *weak = document.as_ref().map(Arc::downgrade).unwrap_or_default();
                document
            }
        }
    }

    /// The messages of streams with this single target.
    pub fn shared(&self) -> Arc<SharedMessages> {
        self.shared.get_or_init(Arc::default).clone()
    }

    /// The digest of the document, which is not made again for it. `None`: there is no document.
    pub fn digest(&self, resolver: &Resolver) -> Option<Digest> {
        if self.made.get().is_none() {
            self.document(resolver);
        }
        self.made.get().and_then(|made| made.digest)
    }

    /// The knowledge of streams that were sent the document. Nothing: the document was not made yet.
    pub fn known(&self) -> Known {
        let made = self.made.get();
        made.map_or(Known::Nothing, |made| made.digest.map_or(Known::Absent, Known::Document))
    }

    fn make(&self, resolver: &Resolver) -> (Made, Option<Arc<Resolved>>) {
        let config = self.config.lock().expect("a document can be made of any config").take();
        let document = config
            .as_ref()
            .and_then(|config| resolver.resolve_shared(config, &self.target, self.schema.clone()));
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

    /// Whether the document equals an earlier one that was made.
    pub fn repeats(&self, before: &SharedDocument, resolver: &Resolver) -> bool {
        let Some(before) = before.made.get() else { return false };
        self.document(resolver);
        self.made.get().is_some_and(|made| made.digest == before.digest)
    }
}
