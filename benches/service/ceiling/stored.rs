//! What the ceiling has: answers by the name of a config, and who is to be told of it. Knows no calls.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::log::{Log, Writer};
use super::message;
use crate::document::{BYTES, CONFIGS, config_name, content};

pub struct Stored {
    configs: HashMap<String, Entry>,
    pub writer: Writer,
}

pub struct Entry {
    number: usize,
    pub answer: Bytes,
    /// For streams with one target.
    pub newest: watch::Sender<Bytes>,
    /// For streams with several.
    streams: Mutex<Vec<mpsc::UnboundedSender<Bytes>>>,
}

impl Stored {
    pub fn new() -> Stored {
        let entry = |number: usize| {
            let (name, content) = (config_name(number), content(number, 0, BYTES));
            let entry = Entry {
                number,
                answer: message::get_response(name.clone(), content.clone()),
                newest: watch::Sender::new(message::update(number, name.clone(), content)),
                streams: Mutex::default(),
            };
            (name, entry)
        };
        let log = Log::create(Path::new("log")).expect("the directory is there");
        Stored { configs: (0..CONFIGS).map(entry).collect(), writer: Writer::start(log) }
    }

    pub fn entry(&self, config: &str) -> &Entry {
        self.configs.get(config).unwrap_or_else(|| panic!("{config} is not measured"))
    }

    /// The state of several, and then what changes.
    pub fn watch<'a>(
        &self,
        configs: impl Iterator<Item = &'a str>,
    ) -> (Bytes, mpsc::UnboundedReceiver<Bytes>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let document = |config: &'a str| {
            let entry = self.entry(config);
            entry.streams.lock().unwrap_or_else(PoisonError::into_inner).push(sender.clone());
            (entry.number, config.to_owned(), content(entry.number, 0, BYTES))
        };
        (message::snapshot(configs.map(document)), receiver)
    }
}

impl Entry {
    /// Tells everyone who watches.
    pub fn publish(&self, config: &str, content: &str) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|stream| !stream.is_closed());
        if streams.is_empty() && self.newest.receiver_count() == 0 {
            return;
        }
        let update = message::update(self.number, config.to_owned(), content.to_owned());
        for stream in &*streams {
            let _ = stream.send(update.clone());
        }
        self.newest.send_replace(update);
    }

    pub fn current(&self) -> Bytes {
        message::current(self.number)
    }
}
