//! Watching: who follows which target, and what each is told.
//!
//! A commit goes to the hub's thread, which resolves the targets that it can have changed, once each, and wakes the
//! streams of those that did change. A stream holds no queue: only marks of what to look at. When it is polled it
//! takes one state of the store and resolves what is marked from it. So a slow stream skips states, never the last one; what one
//! commit changed is seen together; and memory does not depend on how fast anyone reads.

mod hub;
mod subscriber;
mod subscription;
mod table;
mod token;

pub(super) use hub::Hub;
pub use subscription::{
    Event, Held, Subscription, TargetState, TargetStatus, WatchOptions, WatchSelector, WatchTarget,
};
pub use token::ResumeToken;
