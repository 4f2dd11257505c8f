//! The same requests in the two languages that are spoken: that of confwatch, which the ceiling speaks too, and etcd's. Knows no
//! sockets.

use confwatch::proto::v1::change::Action;
use confwatch::proto::v1::get_request::At;
use confwatch::proto::v1::*;
use prost::Message;

use super::document::{self, config_name, digits_of_config, digits_of_counter};
use super::etcd;

pub const NAMESPACE: &str = "bench";
/// Digits that are looked for in an encoded request, and stand nowhere else in it.
const SAMPLE_CONFIG: usize = 917_364;
const SAMPLE_COUNTER: u64 = 8_273_645_519;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire {
    Confwatch,
    Etcd,
}

impl Wire {
    pub fn get_path(self) -> &'static str {
        match self {
            Wire::Confwatch => "/confwatch.v1.ConfigService/Get",
            Wire::Etcd => etcd::RANGE,
        }
    }

    pub fn set_path(self) -> &'static str {
        match self {
            Wire::Confwatch => "/confwatch.v1.ConfigService/Set",
            Wire::Etcd => etcd::PUT,
        }
    }

    pub fn watch_path(self) -> &'static str {
        match self {
            Wire::Confwatch => "/confwatch.v1.ConfigService/Watch",
            Wire::Etcd => etcd::WATCH,
        }
    }

    pub fn get(self, config: usize) -> Vec<u8> {
        match self {
            Wire::Confwatch => {
                GetRequest { namespace: NAMESPACE.into(), config: config_name(config), ..Default::default() }
                    .encode_to_vec()
            }
            Wire::Etcd => {
                etcd::RangeRequest { key: key(&config_name(config)).into(), revision: 0 }.encode_to_vec()
            }
        }
    }

    /// As it was: at a version of the config, or a revision of etcd.
    pub fn get_old(self, config: usize, at: u64) -> Vec<u8> {
        match self {
            Wire::Confwatch => GetRequest {
                namespace: NAMESPACE.into(),
                config: config_name(config),
                at: Some(At::Version(at)),
                ..Default::default()
            }
            .encode_to_vec(),
            Wire::Etcd => {
                let revision = i64::try_from(at).expect("revisions are small");
                etcd::RangeRequest { key: key(&config_name(config)).into(), revision }.encode_to_vec()
            }
        }
    }

    fn set(self, config: usize, counter: u64, bytes: usize) -> Vec<u8> {
        let content = document::content(config, counter, bytes);
        match self {
            Wire::Confwatch => {
                SetRequest { change: Some(change(config_name(config), "/", content)), options: None }
                    .encode_to_vec()
            }
            Wire::Etcd => put(&config_name(config), content).encode_to_vec(),
        }
    }

    /// The messages that open a stream which watches these: one for all, or one for each.
    pub fn watch(self, configs: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
        match self {
            Wire::Confwatch => vec![watch_request(configs.map(|config| target(config, "")).collect(), "")],
            Wire::Etcd => configs.map(|config| watch_create(config, 0)).collect(),
        }
    }

    /// What goes on a stream that was opened may be more requests.
    pub fn watch_takes_more(self) -> bool {
        self == Wire::Etcd
    }
}

/// For one who holds a document, and all that happened before.
pub fn watch_again(config: usize, digest: &str, resume_token: &str) -> Vec<u8> {
    watch_request(vec![target(config, digest)], resume_token)
}

fn watch_request(targets: Vec<WatchTarget>, resume_token: &str) -> Vec<u8> {
    let hour = prost_types::Duration { seconds: 3600, nanos: 0 };
    WatchRequest {
        targets,
        resume_token: resume_token.into(),
        progress_interval: Some(hour),
        ..Default::default()
    }
    .encode_to_vec()
}

pub fn target(config: usize, digest: &str) -> WatchTarget {
    WatchTarget {
        namespace: NAMESPACE.into(),
        config: config_name(config),
        scope: "/".into(),
        if_none_match: digest.into(),
        ..Default::default()
    }
}

pub fn watch_create(config: usize, start_revision: i64) -> Vec<u8> {
    let create = etcd::WatchCreateRequest { key: key(&config_name(config)).into(), start_revision };
    etcd::WatchRequest { create: Some(create) }.encode_to_vec()
}

pub fn change(config: String, scope: &str, content: String) -> Change {
    Change {
        namespace: NAMESPACE.into(),
        config,
        scope: scope.into(),
        action: Some(Action::Replace(Text { content, format: Format::Json.into() })),
        ..Default::default()
    }
}

pub fn put(config: &str, content: String) -> etcd::PutRequest {
    etcd::PutRequest { key: key(config).into(), value: content.into() }
}

fn key(config: &str) -> String {
    format!("{NAMESPACE}/{config}")
}

/// Sets that differ in digits only: encoded once, and copied. Otherwise the load would spend more on its documents than on
/// its calls.
#[derive(Clone)]
pub struct Sets {
    encoded: Vec<u8>,
    config_at: Vec<usize>,
    counter_at: Vec<usize>,
}

impl Sets {
    pub fn new(wire: Wire, bytes: usize) -> Sets {
        let encoded = wire.set(SAMPLE_CONFIG, SAMPLE_COUNTER, bytes);
        let config_at = places(&encoded, &digits_of_config(SAMPLE_CONFIG));
        let counter_at = places(&encoded, &digits_of_counter(SAMPLE_COUNTER));
        assert_eq!((config_at.len(), counter_at.len()), (2, 1), "a name, and the mark in the document");
        Sets { encoded, config_at, counter_at }
    }

    pub fn set(&self, config: usize, counter: u64) -> Vec<u8> {
        let mut request = self.encoded.clone();
        let (config, counter) = (digits_of_config(config), digits_of_counter(counter));
        for (places, digits) in [(&self.config_at, config), (&self.counter_at, counter)] {
            for at in places {
                request[*at..at + digits.len()].copy_from_slice(digits.as_bytes());
            }
        }
        request
    }
}

fn places(bytes: &[u8], digits: &str) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(digits.as_bytes())).collect()
}
