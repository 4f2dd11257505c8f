//! Places for long work, of which there are few. Knows no other module, and nothing of the work.
//!
//! One rule holds for all of them. An actor has at most half of the places, or one, and so have all actors together who work for one tenant: nobody
//! has all of them by many credentials. Calls that wait get places in turns: the next place goes to another actor. A holder that depends on its client
//! moves bytes while it goes on; while others wait, one that moves too few in the time that there is gives its place to them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// A holder that moves fewer bytes than this in its time moves nothing.
pub const MOVED_BYTES_MIN: u64 = 256 << 10;
/// Calls wait for so much longer than a holder may be idle: its work takes a moment to end.
const ENDING: Duration = Duration::from_millis(2500);
/// While calls wait, holders are looked at so often at least.
const LOOKED_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Places of one kind.
pub struct FairPlaces {
    max: usize,
    /// Of one actor, and of one tenant.
    share_max: usize,
    /// While others wait: in this time, a holder moves `MOVED_BYTES_MIN` or gives its place to them.
    idle_max: Duration,
    places: Mutex<Places>,
}

/// For whom a place is.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    pub actor: &'a str,
    /// The tenant for whom the actor works, if that is one alone.
    pub tenant: Option<&'a str>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The actor has as many, or waits for them.
    OfActor,
    /// Others have all of them, or the tenant has as many as it may.
    OfAll,
}

/// A place that is taken until this is dropped.
pub struct Place {
    all: Arc<FairPlaces>,
    id: u64,
}

#[derive(Default)]
struct Places {
    taken: HashMap<u64, Taken>,
    /// How many places each has.
    held: HashMap<Share, usize>,
    /// The actors who wait, the next one first.
    turns: VecDeque<Arc<str>>,
    /// Never empty for an actor.
    waiting: HashMap<Arc<str>, VecDeque<Waiting>>,
    id_next: u64,
}

struct Waiting {
    id: u64,
    shares: Shares,
    grant: oneshot::Sender<Place>,
}

struct Taken {
    shares: Shares,
    moved_bytes: u64,
    /// When it had last moved enough.
    moved: Instant,
    /// Ends the work for a client that does not keep up. `None` for work without a client, and after it was called.
    give_up: Option<Box<dyn FnOnce() + Send>>,
    is_given_up: bool,
}

/// What a place counts for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Share {
    Actor(Arc<str>),
    Tenant(Arc<str>),
}

#[derive(Clone)]
struct Shares {
    actor: Arc<str>,
    tenant: Option<Arc<str>>,
}

/// A call that waits. Dropped, it waits no more.
struct Waiter<'a> {
    all: &'a Arc<FairPlaces>,
    actor: Arc<str>,
    id: u64,
    granted: oneshot::Receiver<Place>,
}

enum Begun<'a> {
    Taken(Place),
    Waits(Waiter<'a>),
}

impl<'a> Of<'a> {
    pub fn actor(actor: &'a str) -> Of<'a> {
        Of { actor, tenant: None }
    }
}

impl Shares {
    fn of(of: Of<'_>) -> Shares {
        Shares { actor: of.actor.into(), tenant: of.tenant.map(Arc::from) }
    }

    fn each(&self) -> impl Iterator<Item = Share> + '_ {
        let tenant = self.tenant.iter().map(|tenant| Share::Tenant(tenant.clone()));
        std::iter::once(Share::Actor(self.actor.clone())).chain(tenant)
    }
}

impl FairPlaces {
    /// So many places, of which holders keep theirs as long as they like.
    pub fn new(max: usize) -> Arc<FairPlaces> {
        FairPlaces::yielding(max, Duration::MAX)
    }

    /// So many places, whose holders give way after this time without progress, if they can.
    pub fn yielding(max: usize, idle_max: Duration) -> Arc<FairPlaces> {
        let share_max = (max / 2).max(1);
        Arc::new(FairPlaces { max, share_max, idle_max, places: Mutex::default() })
    }

    /// The places that there are.
    pub fn max(&self) -> usize {
        self.max
    }

    /// The places that one actor may have.
    pub fn share_max(&self) -> usize {
        self.share_max
    }

    /// A place, if there is one now.
    pub fn try_take(self: &Arc<FairPlaces>, of: Of<'_>) -> Result<Place, Full> {
        let shares = Shares::of(of);
        let mut places = self.lock();
        match places.has_room(&shares, self) {
            true => Ok(self.place(&mut places, shares)),
            false => Err(places.why_full(&shares, self)),
        }
    }

    /// Waits for a place, however long that takes, in the turn of the actor.
    pub async fn take(self: &Arc<FairPlaces>, of: Of<'_>) -> Place {
        match self.begin(of) {
            Begun::Taken(place) => place,
            Begun::Waits(mut waiter) => (&mut waiter.granted).await.expect("who waits stays in the queue"),
        }
    }

    /// Waits for a place in the turn of the actor, long enough for idle holders to give way, which they do meanwhile. Refused at once if the actor
    /// has or awaits as many as one may have.
    pub async fn take_in_time(self: &Arc<FairPlaces>, of: Of<'_>) -> Result<Place, Full> {
        let deadline = Instant::now() + self.idle_max.min(LOOKED_AFTER_MAX) + ENDING;
        {
            let places = self.lock();
            let waiting = places.waiting.get(of.actor).map_or(0, VecDeque::len);
            if places.held_by(&Share::Actor(of.actor.into())) + waiting >= self.share_max {
                return Err(Full::OfActor);
            }
        }
        let mut waiter = match self.begin(of) {
            Begun::Taken(place) => return Ok(place),
            Begun::Waits(waiter) => waiter,
        };
        loop {
            let now = Instant::now();
            let next = self.give_up_idle(now).min(deadline);
            tokio::select! {
                biased;
                place = &mut waiter.granted => return Ok(place.expect("who waits stays in the queue")),
                () = sleep_until(next) => {}
            }
            if now >= deadline {
                return Err(Full::OfAll);
            }
        }
    }

    fn begin(self: &Arc<FairPlaces>, of: Of<'_>) -> Begun<'_> {
        let shares = Shares::of(of);
        let mut places = self.lock();
        if places.has_room(&shares, self) {
            return Begun::Taken(self.place(&mut places, shares));
        }
        let (grant, granted) = oneshot::channel();
        let (id, actor) = (places.id(), shares.actor.clone());
        if !places.waiting.contains_key(&actor) {
            places.turns.push_back(actor.clone());
        }
        places.waiting.entry(actor.clone()).or_default().push_back(Waiting { id, shares, grant });
        Begun::Waits(Waiter { all: self, actor, id, granted })
    }

    fn place(self: &Arc<FairPlaces>, places: &mut Places, shares: Shares) -> Place {
        let id = places.id();
        for share in shares.each() {
            *places.held.entry(share).or_default() += 1;
        }
        let (moved_bytes, moved, give_up, is_given_up) = (0, Instant::now(), None, false);
        places.taken.insert(id, Taken { shares, moved_bytes, moved, give_up, is_given_up });
        Place { all: self.clone(), id }
    }

    /// Gives free places to those who wait, who get them outside of the lock: a caller who has gone gives the place back.
    fn grant(self: &Arc<FairPlaces>, mut places: MutexGuard<'_, Places>) {
        let mut granted = vec![];
        while let Some(waiting) = places.next_turn(self) {
            granted.push((self.place(&mut places, waiting.shares), waiting.grant));
        }
        drop(places);
        for (place, grant) in granted {
            drop(grant.send(place));
        }
    }

    /// Ends the work of those who moved too little, the idlest first, as far as that makes room for calls that wait. When to look again.
    fn give_up_idle(&self, now: Instant) -> Instant {
        let mut ended = vec![];
        let mut places = self.lock();
        let Places { taken, held, waiting, .. } = &mut *places;
        let mut calls: Vec<&Shares> = waiting.values().flatten().map(|waiting| &waiting.shares).collect();
        let mut makes_room = |shares: &Shares| {
            let held = |share: &Share| held.get(share).copied().unwrap_or(0);
            let is_free = |share: Share| {
                let freed = usize::from(shares.each().any(|freed| freed == share));
                held(&share) - freed < self.share_max
            };
            let at = calls.iter().position(|call| call.each().all(is_free));
            at.map(|at| calls.swap_remove(at)).is_some()
        };
        for ending in taken.values().filter(|taken| taken.is_given_up) {
            makes_room(&ending.shares);
        }
        let mut next = now + self.idle_max.min(LOOKED_AFTER_MAX);
        let mut yielding: Vec<&mut Taken> =
            taken.values_mut().filter(|taken| taken.give_up.is_some()).collect();
        yielding.sort_by_key(|taken| taken.moved);
        for taken in yielding {
            match taken.moved.checked_add(self.idle_max) {
                Some(ends) if ends > now => next = next.min(ends),
                Some(_) if makes_room(&taken.shares) => {
                    taken.is_given_up = true;
                    ended.extend(taken.give_up.take());
                }
                Some(_) | None => {}
            }
        }
        drop(places);
        ended.into_iter().for_each(|give_up| give_up());
        next
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn id(&mut self) -> u64 {
        self.id_next += 1;
        self.id_next
    }

    fn held_by(&self, share: &Share) -> usize {
        self.held.get(share).copied().unwrap_or(0)
    }

    /// Those who wait while there is a free place may not have more.
    fn has_room(&self, shares: &Shares, all: &FairPlaces) -> bool {
        self.taken.len() < all.max && shares.each().all(|share| self.held_by(&share) < all.share_max)
    }

    fn why_full(&self, shares: &Shares, all: &FairPlaces) -> Full {
        match self.held_by(&Share::Actor(shares.actor.clone())) >= all.share_max {
            true => Full::OfActor,
            false => Full::OfAll,
        }
    }

    /// The call that gets the next place, if there is one for it. Its actor is the last one from then on.
    fn next_turn(&mut self, all: &FairPlaces) -> Option<Waiting> {
        let has_room = |actor: &Arc<str>| {
            let first = self.waiting.get(actor).and_then(VecDeque::front);
            first.is_some_and(|first| self.has_room(&first.shares, all))
        };
        let at = self.turns.iter().position(has_room)?;
        let actor = self.turns.remove(at)?;
        let calls = self.waiting.get_mut(&actor)?;
        let first = calls.pop_front();
        match calls.is_empty() {
            true => _ = self.waiting.remove(&actor),
            false => self.turns.push_back(actor),
        }
        first
    }
}

impl Place {
    /// Says how the work ends early: from now on the place is given to others if the work moves too little while they wait. `give_up` must not
    /// block.
    pub fn yields_by(&self, give_up: impl FnOnce() + Send + 'static) {
        if let Some(taken) = self.all.lock().taken.get_mut(&self.id) {
            (taken.moved, taken.moved_bytes) = (Instant::now(), 0);
            taken.give_up = Some(Box::new(give_up));
        }
    }

    /// The work has moved bytes from or to its client.
    pub fn moved(&self, bytes: u64) {
        if let Some(taken) = self.all.lock().taken.get_mut(&self.id) {
            taken.moved_bytes = taken.moved_bytes.saturating_add(bytes);
            if taken.moved_bytes >= MOVED_BYTES_MIN {
                (taken.moved, taken.moved_bytes) = (Instant::now(), 0);
            }
        }
    }

    /// The work may move nothing for this time.
    pub fn pause(&self, time: Duration) {
        if let Some(taken) = self.all.lock().taken.get_mut(&self.id) {
            (taken.moved, taken.moved_bytes) = (Instant::now() + time, 0);
        }
    }

    /// Whether the work is to end, as others wait.
    pub fn is_given_up(&self) -> bool {
        self.all.lock().taken.get(&self.id).is_some_and(|taken| taken.is_given_up)
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.all.lock();
        let Some(taken) = places.taken.remove(&self.id) else { return };
        for share in taken.shares.each() {
            if let Some(held) = places.held.get_mut(&share) {
                *held -= 1;
                if *held == 0 {
                    places.held.remove(&share);
                }
            }
        }
        self.all.grant(places);
        // What ends the work may hold what it is for: it is dropped outside of the lock.
        drop(taken);
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut places = self.all.lock();
        let Some(calls) = places.waiting.get_mut(&self.actor) else { return };
        calls.retain(|waiting| waiting.id != self.id);
        if calls.is_empty() {
            places.waiting.remove(&self.actor);
            places.turns.retain(|actor| *actor != self.actor);
        }
        // The next call of the actor may be of another tenant, for which there is room.
        self.all.grant(places);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    fn taking(places: &Arc<FairPlaces>, actor: &'static str) -> BoxFuture<'static, Place> {
        let places = places.clone();
        let mut taking = async move { places.take(Of::actor(actor)).await }.boxed();
        // It is in the queue from now on.
        match (&mut taking).now_or_never() {
            Some(place) => futures_util::future::ready(place).boxed(),
            None => taking,
        }
    }

    #[test]
    fn an_actor_and_a_tenant_have_half_of_the_places_and_one_place_is_for_anybody() {
        let places = FairPlaces::new(4);
        let take = |actor, tenant| places.try_take(Of { actor, tenant });
        let held = [take("a", None).expect("free"), take("a", None).expect("free")];
        assert_eq!(take("a", Some("t")).err(), Some(Full::OfActor));
        let rest = [take("b", Some("t")).expect("free"), take("c", Some("t")).expect("free")];
        assert_eq!(take("d", None).err(), Some(Full::OfAll));
        drop(held);
        assert_eq!(take("d", Some("t")).err(), Some(Full::OfAll), "the tenant has its half");
        drop(rest);
        let _place = take("d", Some("t")).expect("free");
        let one = FairPlaces::new(1);
        let _place = one.try_take(Of::actor("a")).expect("free");
        assert_eq!(one.try_take(Of::actor("b")).err(), Some(Full::OfAll));
    }

    #[test]
    fn who_waits_is_served_in_turns_however_many_calls_an_actor_makes() {
        let places = FairPlaces::new(2);
        let mut held = vec![places.try_take(Of::actor("x")).expect("free")];
        held.push(places.try_take(Of::actor("y")).expect("free"));
        let mut waiting: Vec<(&str, BoxFuture<'_, Place>)> = vec![];
        for actor in ["hog", "hog", "hog", "hog", "b", "c", "b"] {
            waiting.push((actor, taking(&places, actor)));
        }
        let mut order = vec![];
        while !waiting.is_empty() {
            held.remove(0);
            let at = waiting
                .iter_mut()
                .position(|(_, call)| call.now_or_never().map(|place| held.push(place)).is_some());
            // An actor who has a place waits although there is another one.
            order.extend(at.map(|at| waiting.remove(at).0));
        }
        assert_eq!(order, ["hog", "b", "c", "hog", "b", "hog", "hog"]);
    }

    #[test]
    fn who_waits_no_more_is_forgotten_and_leaves_the_place_to_the_next() {
        let places = FairPlaces::new(1);
        let held = places.try_take(Of::actor("x")).expect("free");
        let (gone, granted, next) = (taking(&places, "a"), taking(&places, "b"), taking(&places, "c"));
        drop(gone);
        drop(held);
        // Its place was given to it, and is taken by nobody.
        drop(granted);
        let place = next.now_or_never().expect("the place is free");
        drop(place);
        let left = places.lock();
        assert!(left.taken.is_empty() && left.held.is_empty());
        assert!(left.turns.is_empty() && left.waiting.is_empty());
    }

    #[test]
    fn a_holder_that_moves_too_little_gives_way_once_somebody_waits() {
        let places = FairPlaces::yielding(2, Duration::from_secs(10));
        let held: [Place; 2] = ["a", "b"].map(|actor| places.try_take(Of::actor(actor)).expect("free"));
        let (ended, ends) = std::sync::mpsc::channel();
        for (number, place) in held.iter().enumerate() {
            let ended = ended.clone();
            place.yields_by(move || ended.send(number).expect("the test looks"));
        }
        let begin = Instant::now();
        let look = |seconds| {
            places.give_up_idle(begin + Duration::from_secs(seconds));
            ends.try_iter().collect::<Vec<_>>()
        };
        assert_eq!(look(3600), [0; 0], "nobody waits");
        let refused = places.take_in_time(Of::actor("a")).now_or_never();
        assert_eq!(refused.and_then(Result::err), Some(Full::OfActor));
        let waiting = taking(&places, "c");
        assert_eq!(look(9), [0; 0], "nobody was idle for so long");
        held[0].pause(Duration::from_secs(5));
        assert_eq!(look(11), [1]);
        assert!(held[1].is_given_up() && !held[0].is_given_up());
        assert_eq!(look(3600), [0; 0], "one place is enough for one call");
        let [first, second] = held;
        drop(second);
        let _place = waiting.now_or_never().expect("the place is free");
        // Only enough bytes are a sign of life.
        let moved = || places.lock().taken[&first.id].moved;
        let before = moved();
        first.moved(MOVED_BYTES_MIN - 1);
        assert_eq!(moved(), before);
        first.moved(1);
        assert_ne!(moved(), before);
    }

    #[test]
    fn nobody_gives_way_to_a_call_that_would_get_no_place_by_it() {
        let places = FairPlaces::yielding(2, Duration::from_secs(10));
        let of = |actor, tenant| Of { actor, tenant: Some(tenant) };
        let held = [of("a", "t"), of("b", "u")].map(|of| places.try_take(of).expect("free"));
        let (ended, ends) = std::sync::mpsc::channel();
        held[1].yields_by(move || ended.send(()).expect("the test looks"));
        let waiting_of = places.clone();
        let mut waiting = async move { waiting_of.take(of("c", "t")).await }.boxed();
        assert!((&mut waiting).now_or_never().is_none());
        places.give_up_idle(Instant::now() + Duration::from_secs(3600));
        assert!(ends.try_recv().is_err(), "the tenant of the call has its half");
        let [first, _second] = held;
        drop(first);
        assert!(waiting.now_or_never().is_some());
    }
}
