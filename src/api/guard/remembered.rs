//! Remembers the last caller of a connection and the token: nearly always the next caller has the same token, which then needs no look-up. Knows that a
//! token was valid; never why.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use crate::auth::Caller;
use crate::model::Timestamp;

/// The longest time without a look-up: a look-up notes that the token is in use.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);

/// The last caller of one connection.
#[derive(Debug, Default)]
pub struct Remembered(ArcSwapOption<RememberedCaller>);

struct RememberedCaller {
    authorization: HeaderValue,
    caller: Arc<Caller>,
    /// The number of the ruling under which the token was valid. Under another ruling the token may be invalid.
    ruling: u64,
    at: Timestamp,
}

impl Remembered {
    /// The last caller, if the call has the same token and nothing has changed since.
    pub(super) fn caller(
        &self,
        authorization: &HeaderValue,
        ruling: u64,
        now: Timestamp,
    ) -> Option<Arc<Caller>> {
        let known = self.0.load();
        let known = known.as_ref()?;
        let holds = known.ruling == ruling
            && known.authorization == *authorization
            && (known.at..known.at.plus(REMEMBERED_FOR)).contains(&now)
            && !known.caller.is_expired(now);
        holds.then(|| known.caller.clone())
    }

    pub(super) fn remember(
        &self,
        authorization: &HeaderValue,
        caller: &Arc<Caller>,
        ruling: u64,
        now: Timestamp,
    ) {
        let (authorization, caller) = (authorization.clone(), caller.clone());
        self.0.store(Some(Arc::new(RememberedCaller { authorization, caller, ruling, at: now })));
    }
}

/// Debug output without the token.
impl std::fmt::Debug for RememberedCaller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RememberedCaller").field("caller", &self.caller).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_showed_the_same_a_moment_ago_is_known_until_something_changes() {
        let alice = Caller::unverified("alice").expect("a name");
        let (shown, other) = (HeaderValue::from_static("Bearer a"), HeaderValue::from_static("Bearer b"));
        let remembered = Remembered::default();
        let at = |micros: i64| Timestamp(1_000_000_000 + micros);
        assert!(remembered.caller(&shown, 1, at(0)).is_none());
        remembered.remember(&shown, &alice, 1, at(0));
        assert_eq!(remembered.caller(&shown, 1, at(999_999)).expect("known").actor(), "alice");
        for (shown, ruling, now) in
            [(&other, 1, at(1)), (&shown, 2, at(1)), (&shown, 1, at(1_000_000)), (&shown, 1, at(-1))]
        {
            assert!(remembered.caller(shown, ruling, now).is_none(), "{ruling} {now:?}");
        }
        assert!(!format!("{remembered:?}").contains("Bearer"));
    }
}
