//! Validates without a server, by the same calls on an empty engine of this process. Knows how to open an engine over a store in memory; no
//! network.

use std::sync::Arc;

use tonic::Status;

use crate::api;
use crate::cli::output::exit::{Exit, Failure};
use crate::engine::{Engine, Options};
use crate::model::Epoch;
use crate::model::limits::Limits;
use crate::proto::v1;
use crate::store::memory::MemoryStore;

/// Nothing but the findings of a process ends with it, so that any epoch will do.
const EPOCH: Epoch = Epoch(1);

/// Answers Validate. All changes count as one commit, however many they are.
pub async fn validate(request: v1::ValidateRequest) -> Result<Result<v1::ValidateResponse, Status>, Failure> {
    let limits = Limits { changes_max: usize::MAX, commit_bytes_max: usize::MAX, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let opened = tokio::task::spawn_blocking(|| Engine::open(Arc::new(MemoryStore::new(EPOCH)), options));
    let cannot_open =
        |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("cannot start: {error}"));
    let engine = opened.await.map_err(|error| cannot_open(&error))?.map_err(|error| cannot_open(&error))?;
    let answer = api::validate(engine.clone(), request).await;
    engine.close().await;
    Ok(answer.map_err(Status::from))
}
