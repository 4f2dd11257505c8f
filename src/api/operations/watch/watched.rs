//! What a watch stream shows and to whom: checked when it is opened, and again whenever what its caller may do changes. Knows no message.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;

use crate::api::context::CallContext;
use crate::api::disclosures::Reveals;
use crate::api::error::ApiError;
use crate::api::guard::Standing;
use crate::auth::{Access, Denied, Resource, Verb, Visibility};
use crate::engine::watch::{Event, Subscription, TargetStatus, WatchSelector, WatchTarget};
use crate::engine::{Error, Resolved, Withheld};
use crate::model::Namespace;

/// The targets of one stream, and who may still read them.
pub struct Watched {
    standing: Standing,
    targets: Vec<Resource>,
    /// Of these the caller may be shown some configs only: the subscription leaves out the others.
    namespaces: Vec<Namespace>,
    /// What the caller may see by now, until the subscription goes by that.
    next_visibility: Option<Visibility>,
    /// What stands before secrets that are shown, and to whom.
    reveals: Reveals,
    context: CallContext,
    held: Option<Box<WithheldEvent>>,
}

/// An event with secrets that cannot be shown now. Nothing after it is told before.
struct WithheldEvent {
    event: Event,
    why: Withheld,
    until: Pin<Box<Sleep>>,
}

impl Watched {
    /// Refuses what the caller may not read. `None`: nobody is checked, now or later.
    pub fn open(
        context: &CallContext,
        standing: Standing,
        reveals: Reveals,
        targets: &[WatchTarget],
    ) -> Result<Option<Box<Watched>>, Denied> {
        if !standing.is_checked() {
            return Ok(None);
        }
        let (mut resources, mut namespaces) = (vec![], vec![]);
        for target in targets {
            match &target.selector {
                WatchSelector::Config(id, _) => {
                    resources.push(Resource::Config { id: id.clone(), scope: target.scope.clone() });
                }
                WatchSelector::Namespace(namespace, _) => namespaces.push(namespace.clone()),
            }
        }
        let (targets, next_visibility) = (resources, None);
        let context = context.clone();
        let watched =
            Watched { standing, targets, namespaces, next_visibility, reveals, context, held: None };
        watched.check(watched.context.access())?;
        Ok(Some(Box::new(watched)))
    }

    /// The next event that the client may be told now.
    pub fn poll_event(
        &mut self,
        subscription: &mut Subscription,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, ApiError>>> {
        ready!(self.poll_show(subscription, context))?;
        let mut is_first = false;
        let event = match self.held.take() {
            // The stream is about to end, and its client takes up where it was.
            Some(_) if subscription.poll_draining(context) => None,
            Some(mut held) => match held.until.poll_unpin(context) {
                Poll::Ready(()) => Some(held.event),
                Poll::Pending => {
                    self.held = Some(held);
                    return Poll::Pending;
                }
            },
            None => None,
        };
        let event = match event {
            Some(event) => event,
            None => {
                is_first = true;
                match ready!(Pin::new(&mut *subscription).poll_next(context)) {
                    Some(event) => event?,
                    None => return Poll::Ready(None),
                }
            }
        };
        let places = revealing(&event).map(|document| (&document.target.id, &document.target.scope));
        let why = match self.reveals.take_all(&self.context, places) {
            Ok(()) => return Poll::Ready(Some(Ok(event))),
            Err((why, id, scope)) => {
                if is_first {
                    self.reveals.refused(&self.context, why, id, scope);
                }
                why
            }
        };
        let mut until = Box::pin(sleep(why.retry_in()));
        if until.poll_unpin(context).is_ready() {
            context.waker().wake_by_ref();
        }
        self.held = Some(Box::new(WithheldEvent { event, why, until }));
        Poll::Pending
    }

    /// Lets the subscription show what the caller may see by now, if that can be another than before. Ready once it does. Fails once they
    /// may no longer read what they asked for by name, or are not known any more. Wakes when that may have come about.
    fn poll_show(
        &mut self,
        subscription: &mut Subscription,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ApiError>> {
        while let Poll::Ready(changed) = self.standing.poll_changed(context) {
            let access = changed?;
            self.check(&access)?;
            self.next_visibility = Some(access.visibility());
        }
        if let (Some(held), Some(visibility)) = (&self.held, &self.next_visibility) {
            // The subscription has told it: the client, which was not, comes again with what it holds.
            let may_see =
                |document: &Resolved| visibility.reveals(&document.target.id, &document.target.scope);
            return Poll::Ready(match revealing(&held.event).all(may_see) {
                true => Ok(()),
                false => Err(Error::from(held.why).into()),
            });
        }
        if let Some(visibility) = &self.next_visibility {
            ready!(subscription.poll_see_as(visibility, context));
            self.next_visibility = None;
        }
        Poll::Ready(Ok(()))
    }

    fn check(&self, access: &Access) -> Result<(), Denied> {
        for resource in &self.targets {
            if !access.allows(Verb::Read, resource) {
                access.permit(Verb::Read, resource.clone())?;
            }
        }
        let visibility = access.visibility();
        for namespace in self.namespaces.iter().filter(|namespace| !visibility.has_namespace(namespace)) {
            access.permit(Verb::Read, Resource::Namespace(namespace.clone()))?;
        }
        Ok(())
    }
}

/// The documents of an event that have secrets as they are.
fn revealing(event: &Event) -> impl Iterator<Item = &Resolved> {
    let states = match event {
        Event::Changed { state, .. } => std::slice::from_ref(state),
        Event::Update { states, .. } | Event::Snapshot { states, .. } => states.as_slice(),
        Event::Progress { .. } => &[],
    };
    states.iter().filter_map(|state| match &state.status {
        TargetStatus::Present(document) if document.reveals => Some(&**document),
        TargetStatus::Present(_) | TargetStatus::Current(_) | TargetStatus::Absent(_) => None,
    })
}
