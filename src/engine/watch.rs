//! Watch streams: the targets that each stream follows, and the messages that each stream is sent.
//!
//! A commit goes to the thread of the hub, which makes each document that the commit can have changed once, and
//! wakes the streams of the changed documents. Where one commit can have changed very many documents of a namespace, the thread makes them later,
//! one by one between other commits, and namespaces take turns. A stream has no queue. A stream with a single target, as most have, reads the shared
//! document of the target, behind one pointer. A stream with several targets has marks of the changed targets, and reads all of them from one state of
//! the store, so that the changes of one commit arrive together. So a slow stream skips states, never the last one;
//! memory does not depend on how fast clients read; and the cost of a commit depends on its changes, not on the number of watched targets.

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
