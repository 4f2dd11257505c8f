//! The state machine over the journal: commits, current state, resolution, watching. Knows store, validate and model; never the network.
