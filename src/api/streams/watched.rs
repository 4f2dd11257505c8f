//! What a watch stream shows and to whom: checked when it is opened, and again whenever what its caller may do changes. Knows no message.

use std::task::{Context, Poll, ready};

use tonic::Status;

use crate::api::audited::revealed;
use crate::api::context::CallContext;
use crate::api::guard::Standing;
use crate::audit::Recorder;
use crate::auth::{Access, Denied, Resource, Sight, Verb};
use crate::engine::watch::{Event, Subscription, TargetStatus, WatchSelector, WatchTarget};
use crate::model::Namespace;

/// The targets of one stream, and who may still read them.
pub struct Watched {
    standing: Standing,
    targets: Vec<Resource>,
    /// Of these the caller may be shown some configs only: the subscription leaves out the others.
    namespaces: Vec<Namespace>,
    /// What the caller may see by now, until the subscription goes by that.
    next_sight: Option<Sight>,
    /// Who is told of secrets that are shown, and of whom.
    recorder: Recorder,
    context: CallContext,
}

impl Watched {
    /// Refuses what the caller may not read. `None`: nobody is checked, now or later.
    pub fn open(
        context: &CallContext,
        standing: Standing,
        recorder: &Recorder,
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
        let (targets, next_sight) = (resources, None);
        let (recorder, context) = (recorder.clone(), context.clone());
        let watched = Watched { standing, targets, namespaces, next_sight, recorder, context };
        watched.check(watched.context.access())?;
        Ok(Some(Box::new(watched)))
    }

    /// Lets the subscription show what the caller may see by now, if that can be another than before. Ready once it does. Fails once they
    /// may no longer read what they asked for by name, or are not known any more. Wakes when that may have come about.
    pub fn poll_show(
        &mut self,
        subscription: &mut Subscription,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Status>> {
        while let Poll::Ready(changed) = self.standing.poll_changed(context) {
            let access = changed?;
            self.check(&access)?;
            self.next_sight = Some(access.sight());
        }
        if let Some(sight) = &self.next_sight {
            ready!(subscription.poll_see_as(sight, context));
            self.next_sight = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Tells of secrets that the client is about to be told.
    pub fn gives(&self, event: &Event) {
        let states = match event {
            Event::Changed { state, .. } => std::slice::from_ref(state),
            Event::Update { states, .. } | Event::Snapshot { states, .. } => states.as_slice(),
            Event::Progress { .. } => &[],
        };
        for state in states {
            if let TargetStatus::Present(document) = &state.status
                && document.reveals
            {
                let target = &document.target;
                revealed(&self.recorder, &self.context, &target.id, &target.scope);
            }
        }
    }

    fn check(&self, access: &Access) -> Result<(), Denied> {
        for resource in &self.targets {
            if !access.allows(Verb::Read, resource) {
                access.permit(Verb::Read, resource.clone())?;
            }
        }
        let sight = access.sight();
        for namespace in self.namespaces.iter().filter(|namespace| !sight.has_namespace(namespace)) {
            access.permit(Verb::Read, Resource::Namespace(namespace.clone()))?;
        }
        Ok(())
    }
}
