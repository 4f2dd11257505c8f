//! Compares what a stream was sent of a target with what the target is now, as a viewer sees both. Knows no page, and waits for nothing.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::auth::Visibility;
use crate::model::{ConfigId, ConfigName, Digest, Namespace, Revision, Scope};

use super::delivered::{Delivered, DeliveredTo};
use super::hub::Hub;
use super::message::Known;
use super::shared_target::SharedTarget;
use super::subscriber::Subscriber;
use crate::engine::read::resolve::{Target, View};
use crate::engine::secrets::secret_places::Secrets;
use crate::engine::state::State;

/// The insight of a viewer into the streams of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Insight {
    /// The streams, the documents that they were sent, and the statements of their clients about themselves.
    Streams,
    /// Their actors and addresses, too.
    Callers,
}

/// A target of a stream, and the document that the stream was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribedTarget {
    pub namespace: Namespace,
    /// `None`: all configs of the namespace.
    pub config: Option<ConfigName>,
    pub scope: Scope,
    pub view: View,
    pub holds: Holds,
    /// The current document, as the viewer sees it. `Nothing` for a target of many configs.
    pub current: Holds,
    /// The revision of the state from which the current document was made. Zero for a target of many configs.
    pub current_at: Revision,
    pub is_behind: bool,
}

/// The document of a target that the client was last sent, or held when the stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The client was sent nothing yet.
    Nothing,
    /// The absence of a document.
    Absent,
    /// A document, as the viewer sees it.
    Document(Digest),
    /// A document with secrets that the viewer may not see, and that is not the current one.
    Withheld,
    /// Documents of so many configs, of a target that follows all of them.
    Configs(usize),
}

impl From<Known> for Holds {
    fn from(known: Known) -> Holds {
        match known {
            Known::Nothing => Holds::Nothing,
            Known::Absent => Holds::Absent,
            Known::Document(digest) => Holds::Document(digest),
        }
    }
}

/// The configs that a target follows.
pub(super) struct Place {
    pub namespace: Namespace,
    pub scope: Scope,
    pub view: View,
    pub insight: Insight,
    pub follows: Follows,
}

/// One config, with the current state of the target, which is looked up once for all of its streams.
pub(super) enum Follows {
    One(Arc<SharedTarget>, OnceCell<Now>),
    /// A config of a followed namespace. Its documents depend on the viewer.
    OneOfAll(ConfigName, OnceCell<[Now; 2]>),
    All,
}

/// The current state of a target.
#[derive(Clone, Copy)]
pub(super) struct Now {
    known: Known,
    revision: Revision,
}

impl Follows {
    pub fn one(shared_target: Arc<SharedTarget>) -> Follows {
        Follows::One(shared_target, OnceCell::new())
    }

    /// All configs of a namespace, or one of them.
    pub fn of_all(config: Option<ConfigName>) -> Follows {
        config.map_or(Follows::All, |config| Follows::OneOfAll(config, OnceCell::new()))
    }
}

impl Place {
    /// Looks up the current state of the target again.
    pub fn look_again(&mut self) {
        match &mut self.follows {
            Follows::One(_, now) => drop(now.take()),
            Follows::OneOfAll(_, now) => drop(now.take()),
            Follows::All => {}
        }
    }
}

/// A viewer of streams and of the documents that they were sent.
pub(super) struct Comparison<'a> {
    pub hub: &'a Hub,
    pub viewer: &'a Visibility,
    /// The state with which streams are compared: no newer than that of the hub.
    pub state: Arc<State>,
}

impl Comparison<'_> {
    /// Who may see a stream sees that it is their own.
    pub fn shows_caller(&self, subscriber: &Subscriber, place: &Place) -> bool {
        place.insight == Insight::Callers
            || subscriber.identity.caller.actor() == self.viewer.caller().actor()
    }

    /// The document that a stream was sent of the target at a place of its request.
    pub fn target(&self, subscriber: &Subscriber, at: u32, place: &Place) -> SubscribedTarget {
        let (holds, current, is_behind) = self.compare(subscriber, at, place);
        SubscribedTarget {
            namespace: place.namespace.clone(),
            config: match &place.follows {
                Follows::One(shared_target, _) => Some(shared_target.target.id.config.clone()),
                Follows::OneOfAll(..) | Follows::All => None,
            },
            scope: place.scope.clone(),
            view: place.view,
            holds,
            current: current.known.into(),
            current_at: current.revision,
            is_behind,
        }
    }

    pub fn is_behind(&self, subscriber: &Subscriber, at: u32, place: &Place) -> bool {
        self.compare(subscriber, at, place).2
    }

    /// Compares the document that a client was sent of a target with the current one: whether the current one has yet to be sent.
    fn compare(&self, subscriber: &Subscriber, at: u32, place: &Place) -> (Holds, Now, bool) {
        match &place.follows {
            Follows::One(shared_target, now) => {
                let known = subscriber.known_of(at);
                let now = now.get_or_init(|| self.now(shared_target));
                let viewed = self.as_viewed(&shared_target.target, *now);
                self.as_held(&shared_target.target, (known, *now), viewed)
            }
            Follows::All => {
                let holds = Holds::Configs(subscriber.configs_at(at));
                (holds, Now { known: Known::Nothing, revision: Revision::ZERO }, subscriber.has_news())
            }
            Follows::OneOfAll(config, now) => {
                let target = |secrets| {
                    let id = ConfigId { namespace: place.namespace.clone(), config: config.clone() };
                    Target { id, scope: place.scope.clone(), view: place.view, secrets }
                };
                let look_up = |secrets| self.look_up(&target(secrets));
                let all = now.get_or_init(|| [Secrets::Hidden, Secrets::Revealed].map(look_up));
                let viewed = all[self.viewed(&target(Secrets::Hidden)) as usize];
                let (known, seen_as) = subscriber.known_at(at, config, place);
                let is_new = subscriber.revision() == Revision::ZERO && subscriber.is_telling();
                let known = if is_new { Known::Nothing } else { known };
                match seen_as {
                    // The client may not read the config: for the client, the config does not exist.
                    None => (known.into(), viewed, known != Known::Absent),
                    Some(secrets) => self.as_held(&target(secrets), (known, all[secrets as usize]), viewed),
                }
            }
        }
    }

    /// The document of a target that the client has, as the viewer sees it.
    fn as_held(&self, target: &Target, (known, now): (Known, Now), viewed: Now) -> (Holds, Now, bool) {
        let is_behind = known != now.known;
        let holds = match known {
            _ if !is_behind && viewed.revision == now.revision => viewed.known.into(),
            Known::Document(_) if target.secrets > self.viewed(target) => Holds::Withheld,
            known => known.into(),
        };
        (holds, viewed, is_behind)
    }

    /// Whether secrets are shown to the viewer there.
    fn viewed(&self, target: &Target) -> Secrets {
        Secrets::seen_by(self.viewer, &target.id, &target.scope)
    }

    fn now(&self, shared_target: &SharedTarget) -> Now {
        let told = shared_target.told();
        let known = told.digest(&self.hub.resolver).map_or(Known::Absent, Known::Document);
        Now { known, revision: told.revision }
    }

    /// The state of a target as the viewer sees it: of an earlier revision if the hub is about to move on to that of the target.
    fn as_viewed(&self, target: &Target, now: Now) -> Now {
        let secrets = self.viewed(target);
        if secrets == target.secrets {
            return now;
        }
        let document =
            self.hub.resolver.resolve_in(&self.state, &Arc::new(Target { secrets, ..target.clone() }));
        Now { known: Known::of(document.as_ref()), revision: now.revision.min(self.state.revision) }
    }

    fn look_up(&self, target: &Target) -> Now {
        let revision = self.state.config(&target.id).map_or(Revision::ZERO, |config| config.at.revision);
        let document = self.hub.resolver.resolve_in(&self.state, &Arc::new(target.clone()));
        Now { known: Known::of(document.as_ref()), revision }
    }
}

impl Subscriber {
    /// The knowledge of the client about the one config that its target at this place follows.
    fn known_of(&self, at: u32) -> Known {
        match &*self.delivered() {
            Delivered::One(known) => *known,
            Delivered::Several(all) => match all.get(at as usize) {
                Some(DeliveredTo::One(known)) => *known,
                Some(DeliveredTo::Many(_)) | None => Known::Nothing,
            },
        }
    }

    /// What the client knows of a config of the namespace that its target at this place follows, and how it sees secrets there. `None`: it is
    /// not shown the config.
    fn known_at(&self, at: u32, config: &ConfigName, place: &Place) -> (Known, Option<Secrets>) {
        match self.delivered().to(at) {
            Some(DeliveredTo::Many(held)) => {
                (held.known(config), held.seen(&place.namespace, config, &place.scope))
            }
            Some(DeliveredTo::One(_)) | None => (Known::Nothing, None),
        }
    }

    /// The number of configs that the client holds of the namespace that its target at this place follows.
    fn configs_at(&self, at: u32) -> usize {
        match self.delivered().to(at) {
            Some(DeliveredTo::Many(held)) => held.len(),
            Some(DeliveredTo::One(_)) | None => 0,
        }
    }
}
