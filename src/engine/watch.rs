//! Watching: who follows which target, and what each is told.
//!
//! A commit goes to the hub's thread, which makes the documents of the targets that it can have changed, once each, and
//! wakes the streams of those that did change. Where one commit can have changed very many documents of a namespace, the thread makes them later,
//! one by one between other commits, and namespaces take turns. A stream holds no queue. One that follows a single target, as most do, looks at what that
//! target is told: a shared document, behind one pointer. One that follows several finds marks of what to look at, and takes one state of
//! the store for all of them, so that what one commit changed is seen together. So a slow stream skips states, never the last one;
//! memory does not depend on how fast anyone reads; and a change costs what it changes, not what is watched.

mod backlog;
mod client;
mod comparison;
mod convergence;
mod delivered;
mod followed;
mod followers;
mod hub;
mod listing;
mod message;
mod multi_target;
mod shared_document;
mod shared_target;
mod subscriber;
mod subscriber_id;
mod subscription;
mod table;
mod timers;
mod token;
mod waiting;
mod walk;
mod watchers;

pub use client::WatchClient;
pub use comparison::{Holds, Insight, SubscribedTarget};
pub use convergence::{ChangedLayers, Convergence, ConvergenceCounts, layers_at};
pub(super) use hub::Hub;
pub use listing::{Insights, SubscriberFilter, SubscriberInfo, SubscriberQuery};
pub use message::{Event, SharedMessages, TargetState, TargetStatus};
pub use subscription::{Held, Subscription, WatchOptions, WatchSelector, WatchTarget};
pub use token::ResumeToken;
