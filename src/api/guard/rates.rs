//! Limits the rates of calls of addresses and actors, and of refused credentials of addresses. Knows addresses, names and
//! a clock; never a request.
//!
//! Each has a bucket (GCRA, by governor). The buckets are kept in caches of a fixed size, so that their memory is bounded whoever calls:
//! one that is dropped starts anew, and it is those that call seldom whose bucket is dropped, which was full anyway.

use std::convert::Infallible;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use quick_cache::sync::Cache;

use crate::api::network::network;

/// The most addresses with a bucket, and the most actors.
const BUCKETS_MAX: usize = 32_768;

/// Signatures that are verified for an address that has had too many refusals: a tenth of a processor at the most.
const VERIFICATIONS: Rate = Rate {
    per_second: NonZeroU32::new(1000).expect("more than 0"),
    burst: NonZeroU32::new(1000).expect("more than 0"),
};

/// Logins of one actor: people log in seldom, and each login is written to the disk.
const LOGINS: Rate = Rate {
    per_second: NonZeroU32::new(1).expect("more than 0"),
    burst: NonZeroU32::new(60).expect("more than 0"),
};

/// The limit on answers to an actor that depend on the validity of documents that the actor may not read: at once, and then in each interval.
pub const HIDDEN_FINDINGS_AT_ONCE: u32 = 20;
const HIDDEN_FINDING_INTERVAL: Duration = Duration::from_secs(60);

/// A rate: a number per second, and a burst after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// The limits on rates. `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Calls from one address, whatever the actor; for IPv6 from one network of 64 bits.
    pub calls_per_address: Option<Rate>,
    /// Calls of one actor, from all addresses.
    pub calls_per_actor: Option<Rate>,
    /// Calls from one address with a credential that is refused.
    pub refusals_per_address: Option<Rate>,
    /// Documents with secrets that are shown to one actor.
    pub reveals_per_actor: Option<Rate>,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimit {
    CallsPerAddress,
    CallsPerActor,
    RefusalsPerAddress,
    RevealsPerActor,
    LoginsPerActor,
}

/// A limit on rates was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: at most {} a second are allowed, and {} at once", .limit.what(), .rate.per_second, .rate.burst)]
pub struct RateLimited {
    pub limit: RateLimit,
    pub rate: Rate,
    /// The wait until one call is allowed.
    pub wait: Duration,
}

/// Calls that were refused, by the limit that they reached.
#[derive(Debug, Default)]
pub struct RateCounts {
    pub calls_per_address: AtomicU64,
    pub calls_per_actor: AtomicU64,
    pub refusals_per_address: AtomicU64,
    pub reveals_per_actor: AtomicU64,
    pub logins_per_actor: AtomicU64,
}

/// The rates of all addresses and actors. Shared by all clones of the guard.
pub struct Rates<C: Clock = DefaultClock> {
    pub counts: RateCounts,
    limits: RateLimits,
    clock: C,
    start: C::Instant,
    addresses: Cache<IpAddr, Arc<Address<C>>>,
    actors: Cache<Arc<str>, Arc<Bucket<C>>>,
    logins: Cache<Arc<str>, Arc<Bucket<C>>>,
    /// By actor: when the budget for shown secrets is full again, in nanoseconds since the start.
    reveals: Cache<Arc<str>, Arc<AtomicU64>>,
    /// The same for answers that depend on documents that the actor may not read, by actor and namespace.
    hidden_findings: Cache<(Arc<str>, Box<str>), Arc<AtomicU64>>,
}

type Bucket<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The counts of an address.
#[derive(Debug)]
pub struct Address<C: Clock = DefaultClock> {
    calls: Option<Bucket<C>>,
    refusals: Option<Bucket<C>>,
    /// Signatures that are verified for the address while it has too many refusals.
    verifications: Bucket<C>,
    /// The end of the time with too many refusals, in nanoseconds since the start.
    refused_until: AtomicU64,
}

/// The counts of the last actor of a connection, so that calls of the same actor need no look-up.
#[derive(Debug)]
pub struct LastActor<C: Clock = DefaultClock>(ArcSwapOption<(Arc<str>, Arc<Bucket<C>>)>);

impl<C: Clock> Default for LastActor<C> {
    fn default() -> LastActor<C> {
        LastActor(ArcSwapOption::empty())
    }
}

impl RateLimits {
    /// No limits on rates.
    pub const UNLIMITED: RateLimits = RateLimits {
        calls_per_address: None,
        calls_per_actor: None,
        refusals_per_address: None,
        reveals_per_actor: None,
    };
}

impl Rate {
    /// `None` if either is 0: there is no limit.
    fn new(per_second: u32, burst: u32) -> Option<Rate> {
        Some(Rate { per_second: NonZeroU32::new(per_second)?, burst: NonZeroU32::new(burst)? })
    }

    /// Reads `100` (the burst is the calls of a second), `100:5000`, or `0`: no limit.
    pub fn parse(text: &str) -> Result<Option<Rate>, String> {
        let (per_second, burst) = text.split_once(':').unwrap_or((text, text));
        let number = |text: &str| u32::from_str(text.trim());
        let expected = |_| format!("{text:?} is not a rate: 100 or 100:5000 expected, or 0 for no limit");
        let (per_second, burst) = (number(per_second).map_err(expected)?, number(burst).map_err(expected)?);
        if per_second > 0 && burst == 0 {
            return Err(format!("{text:?} allows no call at once: a burst of 1 or more is expected"));
        }
        Ok(Rate::new(per_second, burst))
    }

    fn bucket<C: Clock + Clone>(self, clock: &C) -> Bucket<C> {
        RateLimiter::direct_with_clock(
            Quota::per_second(self.per_second).allow_burst(self.burst),
            clock.clone(),
        )
    }
}

impl RateLimit {
    /// In metadata and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            RateLimit::CallsPerAddress => "calls_per_address",
            RateLimit::CallsPerActor => "calls_per_actor",
            RateLimit::RefusalsPerAddress => "refusals_per_address",
            RateLimit::RevealsPerActor => "reveals_per_actor",
            RateLimit::LoginsPerActor => "logins_per_actor",
        }
    }

    fn what(self) -> &'static str {
        match self {
            RateLimit::CallsPerAddress => "too many calls from this address",
            RateLimit::CallsPerActor => "too many calls of this actor",
            RateLimit::RefusalsPerAddress => {
                "the credential was refused or not looked at, after too many that were refused from this address"
            }
            RateLimit::RevealsPerActor => "too many documents with secrets were shown to this actor",
            RateLimit::LoginsPerActor => "too many logins of this actor",
        }
    }
}

impl Rates {
    pub fn new(limits: RateLimits) -> Rates {
        Rates::with_clock(limits, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn with_clock(limits: RateLimits, clock: C) -> Rates<C> {
        let start = clock.now();
        let (addresses, actors) = (Cache::new(BUCKETS_MAX), Cache::new(BUCKETS_MAX));
        let logins = Cache::new(BUCKETS_MAX);
        let (reveals, hidden_findings) = (Cache::new(BUCKETS_MAX), Cache::new(BUCKETS_MAX));
        let counts = RateCounts::default();
        Rates { counts, limits, clock, start, addresses, actors, logins, reveals, hidden_findings }
    }

    /// The counts of an address. `None`: calls of the address are not counted.
    pub(super) fn address(&self, address: IpAddr) -> Option<Arc<Address<C>>> {
        if self.limits.calls_per_address.is_none() && self.limits.refusals_per_address.is_none() {
            return None;
        }
        let new = || {
            let bucket = |rate: Option<Rate>| rate.map(|rate| rate.bucket(&self.clock));
            let calls = bucket(self.limits.calls_per_address);
            let refusals = bucket(self.limits.refusals_per_address);
            let verifications = VERIFICATIONS.bucket(&self.clock);
            let refused_until = AtomicU64::new(0);
            Ok::<_, Infallible>(Arc::new(Address { calls, refusals, verifications, refused_until }))
        };
        let Ok(address) = self.addresses.get_or_insert_with(&network(address), new);
        Some(address)
    }

    /// A call from an address.
    pub(super) fn call_from(&self, address: &Address<C>) -> Result<(), RateLimited> {
        self.take(
            address.calls.as_ref(),
            RateLimit::CallsPerAddress,
            self.limits.calls_per_address,
            &self.counts.calls_per_address,
        )
    }

    /// A call of an authenticated actor.
    pub(super) fn call_of(&self, actor: &Arc<str>, last: &LastActor<C>) -> Result<(), RateLimited> {
        let Some(rate) = self.limits.calls_per_actor else { return Ok(()) };
        let take = |bucket: &Bucket<C>| {
            self.take(Some(bucket), RateLimit::CallsPerActor, Some(rate), &self.counts.calls_per_actor)
        };
        if let Some((known, bucket)) = last.0.load().as_deref()
            && known == actor
        {
            return take(bucket);
        }
        let new = || Ok::<_, Infallible>(Arc::new(rate.bucket(&self.clock)));
        let Ok(bucket) = self.actors.get_or_insert_with(actor, new);
        last.0.store(Some(Arc::new((Arc::clone(actor), Arc::clone(&bucket)))));
        take(&bucket)
    }

    /// A login of an authenticated actor.
    pub(super) fn log_in(&self, actor: &Arc<str>) -> Result<(), RateLimited> {
        let new = || Ok::<_, Infallible>(Arc::new(LOGINS.bucket(&self.clock)));
        let Ok(bucket) = self.logins.get_or_insert_with(actor, new);
        self.take(Some(&bucket), RateLimit::LoginsPerActor, Some(LOGINS), &self.counts.logins_per_actor)
    }

    /// A call from an address with a credential that was refused.
    pub(super) fn refusal_from(&self, address: &Address<C>) -> Result<(), RateLimited> {
        let taken = self.take(
            address.refusals.as_ref(),
            RateLimit::RefusalsPerAddress,
            self.limits.refusals_per_address,
            &self.counts.refusals_per_address,
        );
        taken.inspect_err(|limited| {
            let wait = u64::try_from(limited.wait.as_nanos()).unwrap_or(u64::MAX);
            address.refused_until.store(self.nanos().saturating_add(wait), Relaxed);
        })
    }

    /// Whether an address has had so many refusals, and so many signatures verified since, that a new credential from it is refused unverified. Until then
    /// a valid credential is accepted, though other clients of the same address send invalid ones.
    pub(super) fn is_refused(&self, address: &Address<C>) -> bool {
        let until = address.refused_until.load(Relaxed);
        until != 0 && self.nanos() < until && address.verifications.check().is_err()
    }

    /// Counts a document with secrets that is to be shown to an actor. The limit is checked at the first document of a response; the rest is counted and never
    /// refused, or else a large response could never be sent.
    pub(in crate::api) fn reveal_to(&self, actor: &Arc<str>, is_owed: bool) -> Result<(), RateLimited> {
        let Some(rate) = self.limits.reveals_per_actor else { return Ok(()) };
        let Ok(paid) = self.reveals.get_or_insert_with(actor, || Ok::<_, Infallible>(Arc::default()));
        let (now, each) = (self.nanos(), 1_000_000_000 / u64::from(rate.per_second.get()));
        let ahead_max = each * u64::from(rate.burst.get() - 1);
        let taken = paid.fetch_update(Relaxed, Relaxed, |paid| {
            let begin = paid.max(now);
            (is_owed || begin - now <= ahead_max).then_some(begin.saturating_add(each))
        });
        let limited = |paid: u64| {
            self.counts.reveals_per_actor.fetch_add(1, Relaxed);
            let wait = Duration::from_nanos(paid.saturating_sub(now.saturating_add(ahead_max)));
            RateLimited { limit: RateLimit::RevealsPerActor, rate, wait }
        };
        taken.map(drop).map_err(limited)
    }

    /// Checks the limit before a call whose answer may depend on documents of a namespace that the actor may not read. The error has the wait. The call is
    /// refused before the answer is known, since a refusal that depends on the answer would show the answer.
    pub(in crate::api) fn check_hidden_findings(
        &self,
        actor: &Arc<str>,
        namespace: &str,
    ) -> Result<(), Duration> {
        let Some(paid) = self.hidden_findings.get(&(actor.clone(), namespace.into())) else { return Ok(()) };
        hidden_findings_left(paid.load(Relaxed), self.nanos())
    }

    /// The same, and counts the call whatever its answer: the actor chose the question.
    pub(in crate::api) fn take_hidden_finding(
        &self,
        actor: &Arc<str>,
        namespace: &str,
    ) -> Result<(), Duration> {
        let (paid, now) = (self.hidden_findings_of(actor, namespace), self.nanos());
        let taken = paid.fetch_update(Relaxed, Relaxed, |paid| {
            hidden_findings_left(paid, now).is_ok().then(|| with_hidden_finding(paid, now))
        });
        taken.map(drop).or_else(|paid| hidden_findings_left(paid, now))
    }

    /// Counts an answer that depended on such documents.
    pub(in crate::api) fn count_hidden_finding(&self, actor: &Arc<str>, namespace: &str) {
        let (paid, now) = (self.hidden_findings_of(actor, namespace), self.nanos());
        let _ = paid.fetch_update(Relaxed, Relaxed, |paid| Some(with_hidden_finding(paid, now)));
    }

    fn hidden_findings_of(&self, actor: &Arc<str>, namespace: &str) -> Arc<AtomicU64> {
        let new = || Ok::<_, Infallible>(Arc::default());
        let Ok(paid) = self.hidden_findings.get_or_insert_with(&(actor.clone(), namespace.into()), new);
        paid
    }

    fn nanos(&self) -> u64 {
        self.clock.now().duration_since(self.start).as_u64()
    }

    fn take(
        &self,
        bucket: Option<&Bucket<C>>,
        limit: RateLimit,
        rate: Option<Rate>,
        count: &AtomicU64,
    ) -> Result<(), RateLimited> {
        let (Some(bucket), Some(rate)) = (bucket, rate) else { return Ok(()) };
        bucket.check().map_err(|until| {
            count.fetch_add(1, Relaxed);
            RateLimited { limit, rate, wait: until.wait_time_from(self.clock.now()) }
        })
    }
}

/// The wait, if nothing is left of the budget.
fn hidden_findings_left(paid: u64, now: u64) -> Result<(), Duration> {
    let ahead_max = HIDDEN_FINDING_INTERVAL * (HIDDEN_FINDINGS_AT_ONCE - 1);
    let ahead = Duration::from_nanos(paid.saturating_sub(now));
    if ahead <= ahead_max { Ok(()) } else { Err(ahead - ahead_max) }
}

fn with_hidden_finding(paid: u64, now: u64) -> u64 {
    paid.max(now).saturating_add(HIDDEN_FINDING_INTERVAL.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rates(limits: RateLimits) -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Rates::with_clock(limits, clock.clone()), clock)
    }

    fn call(rates: &Rates<FakeRelativeClock>, address: &str) -> Result<(), RateLimited> {
        let address = rates.address(address.parse().expect("an address"));
        address.map_or(Ok(()), |address| rates.call_from(&address))
    }

    #[test]
    fn an_address_may_call_at_once_as_often_as_its_burst_and_then_at_its_rate() {
        let limits = RateLimits { calls_per_address: Rate::new(10, 3), ..RateLimits::UNLIMITED };
        let (rates, clock) = rates(limits);
        let here = "192.0.2.1";
        for _ in 0..3 {
            assert!(call(&rates, here).is_ok());
        }
        let limited = call(&rates, here).expect_err("it is too much");
        assert_eq!(limited.limit, RateLimit::CallsPerAddress);
        assert_eq!(limited.wait, Duration::from_millis(100));
        assert!(call(&rates, "192.0.2.2").is_ok(), "another address has a bucket of its own");
        clock.advance(limited.wait);
        assert!(call(&rates, here).is_ok());
        assert!(call(&rates, here).is_err());
        assert_eq!(rates.counts.calls_per_address.load(Relaxed), 2);
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_count_as_one() {
        let limits = RateLimits { calls_per_address: Rate::new(1, 1), ..RateLimits::UNLIMITED };
        let (rates, _) = rates(limits);
        assert!(call(&rates, "2001:db8::1").is_ok());
        assert!(call(&rates, "2001:db8::2").is_err());
        assert!(call(&rates, "2001:db8:0:1::1").is_ok());
        assert!(call(&rates, "::ffff:192.0.2.1").is_ok());
        assert!(call(&rates, "192.0.2.1").is_err());
    }

    #[test]
    fn actors_have_a_bucket_each() {
        let limits = RateLimits { calls_per_actor: Rate::new(1, 2), ..RateLimits::UNLIMITED };
        let (rates, clock) = rates(limits);
        let (one, other) = (LastActor::default(), LastActor::default());
        let call = |actor: &str, connection| rates.call_of(&Arc::from(actor), connection);
        assert!(call("user:alice", &one).is_ok() && call("user:alice", &other).is_ok());
        for connection in [&one, &other] {
            let limited = call("user:alice", connection).expect_err("too much");
            assert_eq!(limited.limit, RateLimit::CallsPerActor);
        }
        assert!(call("user:bob", &one).is_ok());
        clock.advance(Duration::from_secs(1));
        assert!(call("user:alice", &one).is_ok());
        assert!(call("user:alice", &other).is_err());
    }

    #[test]
    fn after_too_many_refusals_nothing_new_is_looked_at_for_a_while() {
        let limits = RateLimits { refusals_per_address: Rate::new(1, 2), ..RateLimits::UNLIMITED };
        let (rates, clock) = rates(limits);
        let here = rates.address("192.0.2.1".parse().expect("an address")).expect("it is counted");
        assert!(rates.refusal_from(&here).is_ok() && rates.refusal_from(&here).is_ok());
        assert!(!rates.is_refused(&here));
        let limited = rates.refusal_from(&here).expect_err("one too many");
        for _ in 0..VERIFICATIONS.burst.get() {
            assert!(!rates.is_refused(&here), "a good credential behind the same address is let in");
        }
        assert!(rates.is_refused(&here), "work for bad ones is bounded");
        clock.advance(limited.wait);
        assert!(!rates.is_refused(&here));
        assert!(rates.refusal_from(&here).is_ok());
    }

    #[test]
    fn an_answer_is_let_through_whole_and_what_it_owes_is_waited_for() {
        let limits = RateLimits { reveals_per_actor: Rate::new(10, 3), ..RateLimits::UNLIMITED };
        let (rates, clock) = rates(limits);
        let reveal = |actor: &str, is_owed| rates.reveal_to(&Arc::from(actor), is_owed);
        assert!(reveal("user:alice", false).is_ok());
        for _ in 0..7 {
            assert!(reveal("user:alice", true).is_ok(), "of the same answer");
        }
        let limited = reveal("user:alice", false).expect_err("too much");
        assert_eq!(limited.limit, RateLimit::RevealsPerActor);
        assert_eq!(limited.wait, Duration::from_millis(600));
        assert!(reveal("user:bob", false).is_ok(), "others have a budget of their own");
        clock.advance(limited.wait);
        assert!(reveal("user:alice", false).is_ok());
        assert!(reveal("user:alice", false).is_err());
        assert_eq!(rates.counts.reveals_per_actor.load(Relaxed), 2);
    }

    #[test]
    fn hidden_findings_are_few_for_each_namespace_and_then_one_a_minute() {
        let (rates, clock) = rates(RateLimits::UNLIMITED);
        let alice = Arc::from("user:alice");
        for _ in 0..HIDDEN_FINDINGS_AT_ONCE {
            assert_eq!(rates.check_hidden_findings(&alice, "shop"), Ok(()));
            rates.count_hidden_finding(&alice, "shop");
        }
        assert_eq!(rates.check_hidden_findings(&alice, "shop"), Err(Duration::from_secs(60)));
        assert_eq!(rates.check_hidden_findings(&alice, "park"), Ok(()));
        assert_eq!(rates.check_hidden_findings(&Arc::from("user:bob"), "shop"), Ok(()));
        clock.advance(Duration::from_secs(60));
        assert_eq!(rates.check_hidden_findings(&alice, "shop"), Ok(()));
        rates.count_hidden_finding(&alice, "shop");
        assert!(rates.check_hidden_findings(&alice, "shop").is_err());
    }

    #[test]
    fn without_limits_nothing_is_kept() {
        let (rates, _) = rates(RateLimits::UNLIMITED);
        for _ in 0..1000 {
            assert!(call(&rates, "192.0.2.1").is_ok());
            assert!(rates.call_of(&Arc::from("user:alice"), &LastActor::default()).is_ok());
            assert!(rates.reveal_to(&Arc::from("user:alice"), false).is_ok());
        }
        assert_eq!((rates.addresses.len(), rates.actors.len(), rates.reveals.len()), (0, 0, 0));
    }

    #[test]
    fn the_memory_of_buckets_is_bounded() {
        let limits = RateLimits { calls_per_address: Rate::new(1, 1), ..RateLimits::UNLIMITED };
        let (rates, _) = rates(limits);
        for n in 0..2 * u32::try_from(BUCKETS_MAX).expect("small") {
            assert!(rates.address(IpAddr::from(n.to_be_bytes())).is_some());
        }
        assert!(rates.addresses.len() <= BUCKETS_MAX);
    }

    #[test]
    fn rates_are_read_as_they_are_written() {
        assert_eq!(Rate::parse("100"), Ok(Rate::new(100, 100)));
        assert_eq!(Rate::parse("100:5000"), Ok(Rate::new(100, 5000)));
        assert_eq!(Rate::parse("0"), Ok(None));
        assert!(Rate::parse("10:0").is_err(), "nobody could ever call");
        for wrong in ["", "x", "-1", "1:", "1:2:3", "1.5", "99999999999"] {
            assert!(Rate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
