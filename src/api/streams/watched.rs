//! What a watch stream shows and to whom: checked when it is opened, and again whenever what its caller may do changes. Knows no message.

use std::task::{Context, Poll};

use tonic::Status;

use crate::api::guard::Standing;
use crate::auth::{Access, Denied, Resource, Sight, Verb};
use crate::engine::watch::{Event, TargetState, WatchSelector, WatchTarget};
use crate::model::Namespace;

/// The targets of one stream, and who may still read them.
pub struct Watched {
    standing: Standing,
    targets: Vec<Resource>,
    /// Of these the caller may be shown some configs only.
    namespaces: Vec<Namespace>,
    sight: Sight,
    /// Of a message in parts the client waits for the last, empty or not.
    is_in_parts: bool,
}

impl Watched {
    /// Refuses what the caller may not read. `None`: nobody is checked, now or later.
    pub fn open(
        access: &Access,
        standing: Standing,
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
        let (targets, sight) = (resources, access.sight());
        let watched = Watched { standing, targets, namespaces, sight, is_in_parts: false };
        watched.check(access)?;
        Ok(Some(Box::new(watched)))
    }

    /// Fails once the caller may no longer read it all, or is not known any more. Wakes when that may have come about.
    pub fn poll_check(&mut self, context: &mut Context<'_>) -> Result<(), Status> {
        while let Poll::Ready(changed) = self.standing.poll_changed(context) {
            let access = changed?;
            self.check(&access)?;
            self.sight = access.sight();
        }
        Ok(())
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

    /// The event without configs that the caller may not read. `None`: nothing is left to tell.
    pub fn seen(&mut self, mut event: Event) -> Option<Event> {
        if self.namespaces.is_empty() {
            return Some(event);
        }
        let sight = &self.sight;
        let is_seen = |state: &TargetState| {
            let target = state.target();
            sight.has(&target.id.namespace, &target.id.config, &target.scope)
        };
        let was_in_parts = self.is_in_parts;
        match &mut event {
            Event::Snapshot { states, .. } => states.retain(is_seen),
            Event::Update { states, more, .. } => {
                states.retain(is_seen);
                self.is_in_parts = *more;
                if states.is_empty() && !*more && !was_in_parts {
                    return None;
                }
            }
            Event::Changed { .. } | Event::Progress { .. } => {}
        }
        Some(event)
    }
}
