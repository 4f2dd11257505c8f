//! Puts many documents into a server, in large commits. Knows no measurement.

use std::ops::Range;

use confwatch::proto::v1::ApplyRequest;
use prost::Message;
use tokio::task::JoinSet;

use super::document::{BYTES, CONFIGS, config_name, content};
use super::etcd::{RequestOp, TXN, TxnRequest};
use super::process::Process;
use super::remote::Remote;
use super::server::Server;
use super::wire::{Wire, change, put};

/// What Apply takes at most, and somewhat less than a transaction of etcd does.
const CHANGES: usize = 1000;
const PUTS: usize = 100;
const UNDER_WAY: usize = 4;

/// So many layers, numbered.
#[derive(Clone, Copy)]
pub struct Layers {
    pub count: usize,
    /// Of each config, each at another scope: one is at "/".
    pub scopes: usize,
    pub bytes: usize,
}

/// What most workloads begin with. The ceiling has it from the start.
pub async fn fill(process: &Process) {
    if process.server != Server::Ceiling {
        let layers = Layers { count: CONFIGS, scopes: 1, bytes: BYTES };
        layers.load(process).await;
    }
}

impl Layers {
    pub async fn load(self, process: &Process) {
        let wire = process.server.wire();
        let (path, batch) = match wire {
            Wire::Confwatch => ("/confwatch.v1.ConfigService/Apply", CHANGES),
            Wire::Etcd => (TXN, PUTS),
        };
        let remote = Remote::connect(process.address, process.token()).await.expect("the server listens");
        let mut calls = JoinSet::new();
        for first in (0..self.count).step_by(batch) {
            if calls.len() >= UNDER_WAY {
                calls.join_next().await.expect("there are some").expect("a batch is taken");
            }
            let message = self.message(wire, first..(first + batch).min(self.count));
            let remote = remote.clone();
            calls.spawn(async move { remote.call(path, message).await.expect("a batch is taken") });
        }
        calls.join_all().await;
    }

    fn message(self, wire: Wire, numbers: Range<usize>) -> Vec<u8> {
        match wire {
            Wire::Confwatch => {
                let changes = numbers.map(|number| {
                    let (config, scope) = self.place(number);
                    change(config_name(config), &scope, content(number, 0, self.bytes))
                });
                ApplyRequest { changes: changes.collect(), options: None }.encode_to_vec()
            }
            Wire::Etcd => {
                let puts = numbers.map(|number| {
                    let (config, scope) = self.place(number);
                    let name = config_name(config) + scope.trim_end_matches('/');
                    RequestOp { put: Some(put(&name, content(number, 0, self.bytes))) }
                });
                TxnRequest { success: puts.collect() }.encode_to_vec()
            }
        }
    }

    fn place(self, number: usize) -> (usize, String) {
        let scope = match number % self.scopes {
            0 => "/".to_owned(),
            scope => format!("/scope-{scope:02}"),
        };
        (number / self.scopes, scope)
    }
}
