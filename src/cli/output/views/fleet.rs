//! Clients that watch. Knows the wire only.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{list, time};
use crate::proto::v1;

#[derive(Debug, Serialize)]
pub struct FleetView {
    pub clients: Vec<FleetClientView>,
    pub store_revision: u64,
}

#[derive(Debug, Serialize)]
pub struct FleetClientView {
    pub watch_id: String,
    pub client_id: String,
    pub labels: BTreeMap<String, String>,
    pub library: String,
    pub actor: String,
    pub credential: String,
    pub address: String,
    pub open_time: Option<String>,
    pub revision: u64,
    pub blocked_seconds: Option<f64>,
    pub behind: bool,
    pub targets: Vec<FleetTargetView>,
    pub targets_omitted: u32,
}

#[derive(Debug, Serialize)]
pub struct FleetTargetView {
    pub namespace: String,
    pub config: String,
    pub scope: String,
    pub view: &'static str,
    pub apply_defaults: bool,
    pub delivery: &'static str,
    pub digest: String,
    pub current_digest: String,
    pub current_revision: u64,
    pub documents: u32,
}

impl From<&v1::FleetClient> for FleetClientView {
    fn from(client: &v1::FleetClient) -> FleetClientView {
        FleetClientView {
            watch_id: client.watch_id.clone(),
            client_id: client.client_id.clone(),
            labels: client.labels.clone(),
            library: client.library.clone(),
            actor: client.actor.clone(),
            credential: client.credential.clone(),
            address: client.address.clone(),
            open_time: time(client.open_time.as_ref()),
            revision: client.revision,
            blocked_seconds: client.blocked_duration.as_ref().map(seconds),
            behind: client.behind,
            targets: list(&client.targets),
            targets_omitted: client.targets_omitted,
        }
    }
}

impl From<&v1::FleetTarget> for FleetTargetView {
    fn from(target: &v1::FleetTarget) -> FleetTargetView {
        FleetTargetView {
            namespace: target.namespace.clone(),
            config: target.config.clone(),
            scope: target.scope.clone(),
            view: target.view().as_str_name(),
            apply_defaults: target.apply_defaults,
            delivery: target.delivery().as_str_name(),
            digest: target.digest.clone(),
            current_digest: target.current_digest.clone(),
            current_revision: target.current_revision,
            documents: target.documents,
        }
    }
}

/// To the millisecond.
pub fn seconds(duration: &prost_types::Duration) -> f64 {
    duration.seconds as f64 + f64::from(duration.nanos / 1_000_000) / 1000.0
}
