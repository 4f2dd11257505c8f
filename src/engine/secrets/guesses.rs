//! Limits the secrets that callers write without permission to read them. Each such write tests a guess: once it is stored, the fingerprint
//! shows whether the value equals the old one. So an answer that stores nothing must not reveal that, and stored guesses are counted,
//! limited and recorded. Knows plans and states; never the caller.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::auth::Visibility;
use crate::model::{ConfigChange, ConfigId, Content, Digest, LayerKey, Pointer, Scope, Timestamp, Version};
use crate::secret::{MASK, holds_sealed, mask, sealed_pointers};

use crate::engine::error::Error;
use crate::engine::state::{ConfigState, LayerEntry};

/// So many values a caller may write to the place of a secret at once, and then one in each interval.
const GUESSES_AT_ONCE: u32 = 20;
pub const GUESS_INTERVAL: Duration = Duration::from_secs(60);
/// Counts. A place has the one that its hash names: others may have the same, which counts for more than it was. None is forgotten to make room
/// for another: who could push a count out could guess on.
const COUNTS: usize = 1 << 20;

/// What a plan does to secrets that its caller may not see.
#[derive(Debug, Default)]
pub(in crate::engine) struct UnseenWrites {
    /// Where the caller writes a secret, by config and layer.
    pub proposed: BTreeMap<ConfigId, BTreeMap<LayerKey, Vec<Pointer>>>,
    guesses: Vec<Guess>,
    /// Layers that count as changed, whether or not their secrets are others.
    kept: BTreeSet<(ConfigId, LayerKey)>,
    /// Places of which the plan removes or replaces a secret, whoever does: its fingerprint stays in history.
    removed: BTreeSet<(ConfigId, Pointer)>,
    /// Where each config has secrets that the caller may not see, as far as it was looked up.
    stored: BTreeMap<ConfigId, BTreeSet<Pointer>>,
}

/// A value that is written to the place of a secret.
#[derive(Debug)]
struct Guess {
    id: ConfigId,
    scope: Scope,
    pointer: Pointer,
    /// As it is sealed: the same for the same value.
    sealed: String,
    /// The config has a secret at this place, at any scope where the caller may not reveal it: the fingerprints compare. Or the caller may not
    /// reveal their own layer either, and the config has a history, which may have the fingerprint of a secret that was there.
    is_comparable: bool,
    /// The layer had the value in clear text, and the write makes its place secret.
    is_kept: bool,
}

impl UnseenWrites {
    /// Notes values that a write makes secret in a layer, which is sealed now. `is_kept`: the layer had them in clear text, and the write makes
    /// their places secret.
    pub fn note_written(
        &mut self,
        visibility: &Visibility,
        base: Option<&ConfigState>,
        (id, key): (&ConfigId, &LayerKey),
        content: &Content,
        is_kept: bool,
        pointers: Vec<Pointer>,
    ) {
        if visibility.reveals(id, &Scope::global()) {
            return;
        }
        let stored = self.stored.entry(id.clone()).or_insert_with(|| unseen_secrets(visibility, base, id));
        let may_have_had =
            base.is_some_and(|base| base.at.version > Version::ZERO) && !visibility.reveals(id, &key.scope);
        let value = content.to_value();
        // A count, and a refusal by it, would tell of a layer that the caller may not read.
        let counted = !is_kept || visibility.has(&id.namespace, &id.config, &key.scope);
        for pointer in pointers.iter().filter(|_| counted) {
            self.guesses.push(Guess {
                id: id.clone(),
                scope: key.scope.clone(),
                pointer: pointer.clone(),
                sealed: pointer.find(&value).map(Value::to_string).unwrap_or_default(),
                is_comparable: may_have_had || stored.contains(pointer),
                is_kept,
            });
        }
        if !visibility.reveals(id, &key.scope) {
            self.proposed.entry(id.clone()).or_default().insert(key.clone(), pointers);
        }
    }

    /// Notes secrets that a change removes or replaces.
    pub fn note_removed(&mut self, base: &ConfigState, change: &ConfigChange) {
        for layer in &change.layers {
            let own = base.layer(&layer.key).map(|entry| &entry.layer.content);
            let Some(own) = own.filter(|own| holds_sealed(own.as_str())) else { continue };
            let after: BTreeSet<(Pointer, String)> =
                layer.content.iter().flat_map(|content| sealed_pointers(content.to_value())).collect();
            let gone = sealed_pointers(own.to_value()).into_iter().filter(|secret| !after.contains(secret));
            self.removed.extend(gone.map(|(pointer, _)| (change.id.clone(), pointer)));
        }
    }

    /// Has a layer count as changed, for a caller who may not even read it.
    pub fn keep(&mut self, id: &ConfigId, key: &LayerKey) {
        self.kept.insert((id.clone(), key.clone()));
    }

    /// Whether a layer counts as changed, whatever its secrets are.
    pub fn is_change(&self, id: &ConfigId, key: &LayerKey) -> bool {
        self.proposed.get(id).is_some_and(|layers| layers.contains_key(key))
            || (!self.kept.is_empty() && self.kept.contains(&(id.clone(), key.clone())))
    }

    /// Forgets what does not matter to a write that is only validated, or to one that is stored.
    pub fn settle(&mut self, validate_only: bool) {
        match validate_only {
            true => (self.guesses, self.removed) = Default::default(),
            // Once it is stored, its fingerprint is shown to everybody who may read it.
            false => {
                self.proposed.clear();
                self.compare_many();
            }
        }
    }

    /// Counts the values at one place of a new config, if they are many: a secret that is written there later would compare with each.
    fn compare_many(&mut self) {
        let mut values_at: BTreeMap<(&ConfigId, &Pointer), BTreeSet<&str>> = BTreeMap::new();
        for guess in &self.guesses {
            values_at.entry((&guess.id, &guess.pointer)).or_default().insert(&guess.sealed);
        }
        let are_many =
            |guess: &Guess| values_at[&(&guess.id, &guess.pointer)].len() > GUESSES_AT_ONCE as usize;
        let many: Vec<bool> = self.guesses.iter().map(are_many).collect();
        for (guess, is_one_of_many) in self.guesses.iter_mut().zip(many) {
            guess.is_comparable |= is_one_of_many;
        }
    }

    /// A config after the plan, with nothing in it that depends on a value which the caller has written to a secret.
    pub fn without_proposed(&self, after: &Arc<ConfigState>) -> Arc<ConfigState> {
        let Some(layers) = self.proposed.get(&after.id) else { return Arc::clone(after) };
        after.with_contents(|entry: &LayerEntry| {
            let mut value = entry.layer.content.to_value();
            mask(&mut value, layers.get(&entry.key)?, &MASK.into());
            Some(Content::of(&value))
        })
    }
}

/// Where a config has secrets that a caller may not see.
fn unseen_secrets(visibility: &Visibility, base: Option<&ConfigState>, id: &ConfigId) -> BTreeSet<Pointer> {
    let is_unseen = |entry: &&Arc<LayerEntry>| {
        holds_sealed(entry.layer.content.as_str()) && !visibility.reveals(id, &entry.key.scope)
    };
    let unseen = base.into_iter().flat_map(ConfigState::layers).filter(is_unseen);
    let secrets = unseen.flat_map(|entry| sealed_pointers(entry.layer.content.to_value()));
    secrets.map(|(pointer, _)| pointer).collect()
}

/// How often each caller has written to the place of a secret that they may not see.
pub(in crate::engine) struct Guesses {
    counts: Mutex<Counts>,
    /// So that nobody knows which places share a count.
    salt: u64,
}

struct Counts {
    /// Until when the count of a caller at a place is used up, so to speak (GCRA): each value moves it on by an interval. 0: none was written.
    /// Memory that was never written to is not taken.
    used_until: Vec<i64>,
    /// Places that had a secret, which somebody removed or replaced since the start: a bit for each.
    emptied: Vec<u64>,
}

/// The places that somebody guesses at, each with how many values.
type Counted<'a> = BTreeMap<usize, (&'a Guess, BTreeSet<&'a str>)>;

impl Default for Guesses {
    fn default() -> Guesses {
        let counts = Counts { used_until: vec![0; COUNTS], emptied: vec![0; COUNTS / 64] };
        Guesses { counts: Mutex::new(counts), salt: uuid::Uuid::new_v4().as_u64_pair().0 }
    }
}

impl Guesses {
    /// Counts what a plan writes for a caller, or refuses it. Gives where it may have told the caller whether a guess was right.
    pub fn take(
        &self,
        actor: &str,
        writes: &UnseenWrites,
        now: Timestamp,
    ) -> Result<BTreeSet<(ConfigId, Scope)>, Error> {
        if writes.guesses.is_empty() && writes.removed.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut counts = self.counts.lock().expect("nothing panics under this lock");
        let mut counted: Counted<'_> = BTreeMap::new();
        let mut overwritten = BTreeSet::new();
        for guess in &writes.guesses {
            let place = self.place_of(actor, &guess.id, &guess.pointer);
            let was_emptied = || counts.was_emptied(self.place_of("", &guess.id, &guess.pointer));
            if !guess.is_comparable && counts.used_until[place] == 0 && !was_emptied() {
                continue;
            }
            overwritten.insert((guess.id.clone(), guess.scope.clone()));
            match counted.entry(place) {
                btree_map::Entry::Occupied(entry) => {
                    let values = &mut entry.into_mut().1;
                    // A schema may mark the place in any number of layers: that uses up the count, and is never refused for good.
                    if !guess.is_kept || values.len() < GUESSES_AT_ONCE as usize {
                        values.insert(&guess.sealed);
                    }
                }
                btree_map::Entry::Vacant(entry) => {
                    _ = entry.insert((guess, BTreeSet::from([guess.sealed.as_str()])))
                }
            }
        }
        let mut ends = vec![];
        for (place, (guess, values)) in counted {
            let begun = Timestamp(counts.used_until[place]).max(now);
            let end = begun.plus(GUESS_INTERVAL * values.len() as u32);
            let over = now.plus(GUESS_INTERVAL * GUESSES_AT_ONCE).until(end);
            if over > Duration::ZERO {
                let (id, pointer) = (guess.id.clone(), guess.pointer.clone());
                let wait = (values.len() <= GUESSES_AT_ONCE as usize).then_some(over);
                return Err(Error::SecretGuesses {
                    id,
                    scope: guess.scope.clone(),
                    pointer,
                    at_once: GUESSES_AT_ONCE,
                    wait,
                });
            }
            ends.push((place, end));
        }
        ends.into_iter().for_each(|(place, end)| counts.used_until[place] = end.0);
        for (id, pointer) in &writes.removed {
            counts.note_emptied(self.place_of("", id, pointer));
        }
        Ok(overwritten)
    }

    /// Which count a place has, with the caller who writes there, or with nobody. Fingerprints do not depend on the scope.
    fn place_of(&self, actor: &str, id: &ConfigId, pointer: &Pointer) -> usize {
        let digest = Digest::of(format!("{}\n{actor}\n{id}\n{pointer}", self.salt).as_bytes());
        let start = digest.0.first_chunk().expect("a digest has 32 bytes");
        u64::from_be_bytes(*start) as usize % COUNTS
    }
}

impl Counts {
    fn was_emptied(&self, place: usize) -> bool {
        self.emptied[place / 64] & 1 << (place % 64) != 0
    }

    fn note_emptied(&mut self, place: usize) {
        self.emptied[place / 64] |= 1 << (place % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConfigName, Namespace};

    fn guess(config: &str, pointer: String, value: usize) -> UnseenWrites {
        let id = ConfigId {
            namespace: Namespace::parse("shop").expect("a name"),
            config: ConfigName::parse(config).expect("a name"),
        };
        let pointer = Pointer::parse(&pointer).expect("a pointer");
        let sealed = value.to_string();
        let guess =
            Guess { id, scope: Scope::global(), pointer, sealed, is_comparable: true, is_kept: false };
        UnseenWrites { guesses: vec![guess], ..UnseenWrites::default() }
    }

    #[test]
    fn the_count_of_a_place_is_not_pushed_out_by_those_of_very_many_others() {
        let (guesses, now) = (Guesses::default(), Timestamp(1_790_000_000_000_000));
        let at_pin = |value: usize| guesses.take("user:a", &guess("c", "/pin".to_owned(), value), now);
        for value in 0..GUESSES_AT_ONCE as usize {
            at_pin(value).expect("few");
        }
        at_pin(99).expect_err("too many");
        for other in 0..50_000 {
            // A few may share a count with others, and be refused.
            let _ = guesses.take("user:a", &guess("mine", format!("/s{other}"), 1), now);
        }
        at_pin(100).expect_err("too many still");
        let later = now.plus(GUESS_INTERVAL);
        guesses.take("user:a", &guess("c", "/pin".to_owned(), 101), later).expect("one a minute");
    }
}
