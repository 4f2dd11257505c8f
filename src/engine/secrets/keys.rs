//! Stores data keys by a commit like any other. Knows the pipeline; not the keys.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use crate::model::text::Format;
use crate::model::{Author, Content, LayerKey, Namespace, Source, Version};

use crate::engine::blocking::blocking;
use crate::engine::commit::expected::Expected;
use crate::engine::commit::pipeline::Pipeline;
use crate::engine::commit::read_change::{ReadAction, ReadChange};
use crate::engine::commit::read_intent::ReadIntent;
use crate::engine::commit::read_write::ReadWrite;
use crate::engine::commit::submitted::WriteAnswer;
use crate::engine::commit::write::Origin;
use crate::engine::error::Error;
use crate::engine::state::ConfigState;

impl Pipeline {
    /// Gives a namespace a data key, by which its secrets are sealed from then on: its first one, if no `further` one is wanted.
    pub fn add_data_key(
        self: Arc<Pipeline>,
        namespace: Namespace,
        further: bool,
        author: Author,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> {
        Box::pin(async move {
            loop {
                // What is queued may have brought one already.
                self.barrier().answered().await?;
                let base = self.published().config(self.key_store().id()).cloned();
                let (key_store, before, of) = (self.key_store().clone(), base.clone(), namespace.clone());
                let now = (self.clock())();
                let layers =
                    blocking(move || key_store.add_key(before.as_deref(), &of, now, further)).await??;
                let Some(layers) = layers else { return Ok(()) };
                let reason = format!("a data key for the secrets of {namespace}");
                match self.write_keys(base.as_deref(), layers, author.clone(), reason).await {
                    // Somebody else was faster.
                    Err(Error::VersionMismatch { .. }) => {}
                    written => return written,
                }
            }
        })
    }

    /// Writes layers of the config that holds the keys, if it still is what it was.
    pub async fn write_keys(
        self: &Arc<Pipeline>,
        base: Option<&ConfigState>,
        layers: BTreeMap<LayerKey, Content>,
        author: Author,
        reason: String,
    ) -> Result<(), Error> {
        let changes = layers.into_iter().map(|(key, content)| {
            let current = base.and_then(|config| config.layer(&key));
            ReadChange {
                id: self.key_store().id().clone(),
                ttl: None,
                action: ReadAction::Replace(content, Format::Json),
                expected: Some(Expected::Version(current.map_or(Version::ZERO, |entry| entry.layer.version))),
                field: String::new(),
                key,
            }
        });
        let (source, request, annotations) = (Source::Apply, None, BTreeMap::new());
        let origin = Origin { author, source, reason, request, annotations };
        let write = ReadWrite::of_server(origin, ReadIntent::Keys(changes.collect()), false);
        match self.submit(write).await?.answered().await? {
            WriteAnswer::Outcome(outcome) => outcome.map(|_| ()),
            WriteAnswer::Replay(_) => Ok(()),
        }
    }
}
