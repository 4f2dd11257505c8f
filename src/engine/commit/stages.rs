//! The times of the stages of a write, for a traced call. Knows no traces; a write of a call that is not traced checks once whether it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

tokio::task_local! {
    static WANTED: Arc<Stages>;
}

/// The stages of a call that have ended.
#[derive(Debug, Default)]
pub struct Stages(Mutex<Vec<Stage>>);

#[derive(Clone, Copy, Debug)]
pub struct Stage {
    pub name: &'static str,
    pub from: SystemTime,
    pub until: SystemTime,
}

/// A running stage. Dropping the value ends the stage.
pub(in crate::engine) struct Running(Option<(Arc<Stages>, &'static str, SystemTime)>);

impl Stages {
    pub fn take(&self) -> Vec<Stage> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a call, and records its stages.
    pub async fn of<F: Future>(self: Arc<Stages>, call: F) -> F::Output {
        WANTED.scope(self, call).await
    }
}

pub(in crate::engine) fn begin(name: &'static str) -> Running {
    let wanted = WANTED.try_with(Arc::clone).ok();
    Running(wanted.map(|stages| (stages, name, SystemTime::now())))
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((stages, name, from)) = self.0.take() {
            let stage = Stage { name, from, until: SystemTime::now() };
            stages.0.lock().unwrap_or_else(PoisonError::into_inner).push(stage);
        }
    }
}
