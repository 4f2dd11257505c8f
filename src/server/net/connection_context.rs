//! The settings, limits and counters that all connections share. Knows no protocol.

use std::sync::Arc;

use super::busy_turns::BusyTurns;
use super::connections::Connections;
use super::request_bodies::Requests;
use super::tls::Tls;
use crate::api::in_progress::RequestsInProgress;
use crate::api::unread::UnreadResponses;
use crate::server::router::Front;
use crate::server::settings::Settings;
use crate::server::telemetry::calls::Calls;
use crate::supervise::Supervisor;

/// What every connection is served with.
pub(in crate::server) struct ConnectionContext {
    pub front: Front,
    pub settings: Arc<Settings>,
    pub connections: Arc<Connections>,
    pub calls: Arc<Calls>,
    pub requests: Arc<Requests>,
    pub supervisor: Supervisor,
    pub unread: Arc<UnreadResponses>,
    pub in_progress: Arc<RequestsInProgress>,
    pub busy_turns: BusyTurns,
    /// `None`: plain text.
    pub tls: Option<Arc<Tls>>,
}
