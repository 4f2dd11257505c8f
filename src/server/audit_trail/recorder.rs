//! Starts the audit log of a server. Knows settings and the engine; no records.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;

use crate::audit::{self, Recorder};
use crate::engine::{self, Engine};
use crate::model::Namespace;
use crate::server::access::first_admin;
use crate::server::settings::{AuthMode, Settings};

/// Starts the recorder of a server that listens at `address`.
pub fn start(
    settings: &Settings,
    address: SocketAddr,
    engine: &Arc<Engine>,
    clock: engine::Clock,
) -> anyhow::Result<Recorder> {
    let mode = match first_admin::mode(settings, address)? {
        AuthMode::On => "callers are checked",
        AuthMode::Off => "callers are believed (--auth off)",
    };
    let (version, revision) = (env!("CARGO_PKG_VERSION"), engine.state().revision);
    // A weak reference: the engine has a strong one to the recorder, and neither would ever be dropped.
    let of_namespaces = Arc::downgrade(engine);
    let namespace_exists = move |name: &str| {
        let (Ok(namespace), Some(engine)) = (Namespace::parse(name), of_namespaces.upgrade()) else {
            return false;
        };
        engine.state().configs_of(&namespace).next().is_some()
    };
    Recorder::start(audit::Options {
        dir: audit::directory(&settings.data_dir),
        retention: settings.audit_retention,
        clock,
        namespace_exists: Arc::new(namespace_exists),
        started: format!("confwatch {version} at revision {revision}, {mode}"),
        supervisor: engine.supervisor().clone(),
    })
    .context("cannot start the thread of the audit log")
}
