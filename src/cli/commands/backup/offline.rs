//! `confwatch backup create --data-dir`: makes a backup of a data directory that no server has open. Knows the store; never a server.

use std::path::Path;

use super::failure;
use crate::backup::{Configs, PendingFile, Plan, StateView, create};
use crate::cli::output::exit::{Exit, Failure};
use crate::cli::output::views::BackupView;
use crate::store::{ConfigRecord, History, Journal, SledOptions, SledStore};

/// Makes a backup of a data directory, and writes it to a file that is not there.
pub fn make(data_dir: &Path, file: &Path, plan: &Plan) -> Result<BackupView, Failure> {
    // Opening would make a store, and a backup of nothing.
    if !["db", "HEAD"].iter().any(|name| data_dir.join(name).exists()) {
        return Err(Failure::new(Exit::NotFound, format!("{} holds no store", data_dir.display())));
    }
    let store = SledStore::open(data_dir, SledOptions::default())
        .map_err(|error| failure(&error.into()).with("stop the server first, or leave --data-dir out"))?;
    let mut configs: Vec<ConfigRecord> = vec![];
    store
        .load(&mut |mut config| {
            config.layers.sort_by(|a, b| a.0.cmp(&b.0));
            configs.push(config);
        })
        .map_err(|error| failure(&error.into()))?;
    let each: Configs<'_> = &|visit| configs.iter().cloned().try_for_each(&mut *visit);
    let state =
        StateView { revision: store.head().revision, configs: each, config_count: configs.len() as u64 };
    let pending = PendingFile::create(file).map_err(|error| Failure::io(file.display(), &error))?;
    let made = create(&store, &state, plan, pending, &mut |_| true);
    let (manifest, finished, pending) = made.map_err(|error| failure(&error))?;
    pending.commit().map_err(|error| Failure::io(file.display(), &error))?;
    Ok(BackupView::of(&manifest, finished.bytes, finished.sha256.to_string()))
}
