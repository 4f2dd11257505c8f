//! The client of a watch stream: its name, labels, address and actor, in little memory. Knows no target.
//!
//! There may be very many streams. The labels of a fleet are mostly the same (its version, its zone), so equal labels are kept once.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::auth::Caller;
use crate::model::Timestamp;

/// The statements of a client about itself when it opens a stream, and its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchClient {
    /// A name for operators, such as that of a pod. Empty: none.
    pub client_id: String,
    pub labels: BTreeMap<String, String>,
    pub address: Option<IpAddr>,
    /// The library that the client states. Empty: none.
    pub library: String,
}

impl WatchClient {
    /// The bytes of its labels. Other clients may share them.
    pub fn label_bytes(&self) -> usize {
        self.labels.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// The client and its actor, as the hub keeps them.
pub(super) struct Identity {
    /// Shared by the streams of a credential.
    pub caller: Arc<Caller>,
    client_id: Box<str>,
    labels: Labels,
    address: Option<IpAddr>,
    pub since: Timestamp,
}

/// The library and the labels in one piece: the library, and of each label its name and its value, each text after its length. `None`: there
/// are none.
#[derive(Clone, Default)]
struct Labels(Option<Arc<[u8]>>);

/// The labels of all streams, each combination once, and some labels of ended streams: fewer than twice as many, beside a few.
#[derive(Default)]
pub(super) struct LabelSets {
    sets: HashSet<Arc<[u8]>>,
    /// The number at which labels without a stream are removed.
    sweep_at: usize,
}

const SWEPT_FROM: usize = 16;

impl LabelSets {
    fn keep(&mut self, library: &str, labels: &BTreeMap<String, String>) -> Labels {
        if labels.is_empty() && library.is_empty() {
            return Labels(None);
        }
        let packed = pack(library, labels);
        if let Some(kept) = self.sets.get(&packed[..]) {
            return Labels(Some(kept.clone()));
        }
        if self.sets.len() >= self.sweep_at {
            // Streams clone the value in the set only, so that a value without clones gets none until the function returns.
            self.sets.retain(|labels| Arc::strong_count(labels) > 1);
            self.sweep_at = (2 * self.sets.len()).max(SWEPT_FROM);
        }
        let kept: Arc<[u8]> = packed.into();
        self.sets.insert(kept.clone());
        Labels(Some(kept))
    }
}

#[cfg(test)]
impl LabelSets {
    pub fn len(&self) -> usize {
        self.sets.len()
    }
}

impl Identity {
    pub fn new(client: WatchClient, caller: Arc<Caller>, since: Timestamp, sets: &mut LabelSets) -> Identity {
        let WatchClient { client_id, labels, address, library } = client;
        let labels = sets.keep(&library, &labels);
        Identity { caller, client_id: client_id.into(), labels, address, since }
    }

    pub fn client(&self) -> WatchClient {
        let (library, labels) = self.labels.0.as_deref().map(unpack).unwrap_or_default();
        let (client_id, address) = (self.client_id.to_string(), self.address);
        WatchClient { client_id, labels, address, library }
    }

    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whether the client has all of these labels.
    pub fn has_labels(&self, wanted: &BTreeMap<String, String>) -> bool {
        let (_, labels) = self.labels.0.as_deref().map(unpack).unwrap_or_default();
        wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
    }

    /// Memory beside the value itself that no other stream shares.
    #[cfg(test)]
    pub fn heap_bytes(&self) -> usize {
        self.client_id.len()
    }
}

fn pack(library: &str, labels: &BTreeMap<String, String>) -> Vec<u8> {
    let mut packed = vec![];
    let texts = labels.iter().flat_map(|(name, value)| [name.as_str(), value]);
    for text in std::iter::once(library).chain(texts) {
        packed.extend(u32::try_from(text.len()).expect("a label is short").to_le_bytes());
        packed.extend(text.as_bytes());
    }
    packed
}

fn unpack(mut packed: &[u8]) -> (String, BTreeMap<String, String>) {
    let mut text = || {
        let (length, rest) = packed.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        packed = rest;
        Some(String::from_utf8(text.to_vec()).expect("it was packed from a text"))
    };
    let library = text().unwrap_or_default();
    let mut labels = BTreeMap::new();
    while let (Some(name), Some(value)) = (text(), text()) {
        labels.insert(name, value);
    }
    (library, labels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity(labels: BTreeMap<String, String>, sets: &mut LabelSets) -> Identity {
        let client =
            WatchClient { client_id: "pod".to_owned(), labels, address: None, library: "tonic".into() };
        Identity::new(client, Caller::unverified("test").expect("a name"), Timestamp(1), sets)
    }

    proptest! {
        #[test]
        fn labels_are_given_back_as_they_were(labels in prop::collection::btree_map(".{0,9}", ".{0,9}", 0..9)) {
            let mut sets = LabelSets::default();
            let identity = identity(labels.clone(), &mut sets);
            prop_assert!(identity.has_labels(&labels));
            let client = identity.client();
            prop_assert_eq!((client.library.as_str(), client.labels), ("tonic", labels));
        }
    }

    #[test]
    fn equal_labels_are_kept_once_and_those_of_no_stream_are_forgotten() {
        let mut sets = LabelSets::default();
        let labels = |version: usize| BTreeMap::from([("version".to_owned(), version.to_string())]);
        let fleet: Vec<_> = (0..1000).map(|at| identity(labels(at % 3), &mut sets)).collect();
        assert_eq!(sets.len(), 3);
        for version in 3..1000 {
            identity(labels(version), &mut sets);
            assert!(sets.len() <= SWEPT_FROM);
        }
        assert_eq!(fleet.last().expect("many").client().labels, labels(0));
    }
}
