//! Members of one object that do not go together: names that are nearly the same, minima above maxima. Knows one object.

use serde_json::{Map, Value};

use super::Check;
use super::words::{is_one_of, words};

/// Names of an object that are compared without allocating.
const NAMES_ON_STACK: usize = 64;

/// More changed names are not compared to each other one.
const NAMES_COMPARED_MAX: usize = 8;

/// Whether a change of members may have made siblings what a lint of this code tells of, or no longer that.
pub(super) fn are_looked_at_again(
    changes: &Map<String, Value>,
    members: &Map<String, Value>,
    code: &str,
) -> bool {
    if code == Check::SimilarKeys.code() {
        may_be_similar(changes, members)
    } else {
        code == Check::MinAboveMax.code() && changes.keys().any(|name| is_bound(name))
    }
}

/// Whether one of the changed names could differ from another in case or separators only.
fn may_be_similar(changes: &Map<String, Value>, members: &Map<String, Value>) -> bool {
    fn letters(name: &str) -> impl Iterator<Item = u8> {
        // From the end: that is where names of one object differ most.
        let bytes = name.bytes().rev().filter(|byte| !matches!(byte, b'_' | b'-' | b'.'));
        bytes.map(|byte| byte.to_ascii_lowercase())
    }
    let is_like = |name: &str, other: &str| letters(name).eq(letters(other)) && name != other;
    changes.len() > NAMES_COMPARED_MAX
        || changes.keys().any(|name| members.keys().any(|other| is_like(name, other)))
}

/// Calls for each name that differs from one before it in case or separators only, with that one.
pub(super) fn each_similar<'v>(members: &'v Map<String, Value>, call: &mut dyn FnMut(&'v str, &'v str)) {
    if members.len() < 2 {
        return;
    }
    let mut few = [0_u64; NAMES_ON_STACK];
    let mut many = Vec::new();
    let sums: &mut [u64] = if members.len() <= NAMES_ON_STACK {
        &mut few[..members.len()]
    } else {
        many.resize(members.len(), 0);
        &mut many
    };
    for (sum, name) in sums.iter_mut().zip(members.keys()) {
        *sum = sum_of(name);
    }
    sums.sort_unstable();
    let is_repeated = sums.windows(2).any(|pair| pair[0] == pair[1]);
    if !is_repeated {
        return;
    }
    // Found something: now it may take its time.
    let mut first: std::collections::HashMap<u64, &str> = std::collections::HashMap::new();
    for name in members.keys().filter(|name| is_plain_name(name)) {
        match first.entry(sum_of(name)) {
            std::collections::hash_map::Entry::Occupied(other) => call(name, other.get()),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(name);
            }
        }
    }
}

/// The same for names that differ in case or separators only. Of names that are data, such as paths, each has its own.
fn sum_of(name: &str) -> u64 {
    // FNV-1a.
    let (mut sum, mut exact) = (0xcbf2_9ce4_8422_2325_u64, 0x6c62_272e_07bb_0142_u64);
    let add = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let (mut letters, mut others, mut last) = (0, 0, b' ');
    let mut rest = name.bytes().peekable();
    while let Some(byte) = rest.next() {
        exact = add(exact, byte);
        match byte {
            // Between digits, it separates numbers: 1.0 is not 10.
            b'_' | b'-' | b'.' if !(last.is_ascii_digit() && rest.peek().is_some_and(u8::is_ascii_digit)) => {
            }
            _ => sum = add(sum, byte.to_ascii_lowercase()),
        }
        letters += u32::from(byte.is_ascii_alphabetic());
        others += u32::from(!byte.is_ascii_alphanumeric() && !matches!(byte, b'_' | b'-' | b'.'));
        last = byte;
    }
    if others == 0 && letters >= 2 { sum } else { exact }
}

/// Written as the name of a setting: letters, digits and separators, at least two letters.
fn is_plain_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && name.bytes().filter(u8::is_ascii_alphabetic).nth(1).is_some()
}

/// Calls for each name of a minimum with that of its maximum, where it is above it. A maximum of 0 or less stands for no limit.
pub(super) fn each_crossed<'v>(members: &'v Map<String, Value>, call: &mut dyn FnMut(&'v str, &'v str)) {
    for (name, value) in members {
        let Some(least) = value.as_f64() else { continue };
        if least <= 0.0 || !words(name).any(is_least) {
            continue;
        }
        for (other, most) in members {
            let Some(most) = most.as_f64() else { continue };
            if most > 0.0 && most < least && are_pair(name, other) {
                call(name, other);
            }
        }
    }
}

/// Whether a name is that of a minimum or a maximum.
fn is_bound(name: &str) -> bool {
    words(name).any(|word| is_least(word) || is_most(word))
}

/// The same words but for one, which is that of a minimum in the first and that of a maximum in the second.
fn are_pair(least: &str, most: &str) -> bool {
    let (mut a, mut b) = (words(least), words(most));
    let mut pairs = 0;
    loop {
        match (a.next(), b.next()) {
            (None, None) => return pairs == 1,
            (Some(a), Some(b)) if is_least(a) && is_most(b) => pairs += 1,
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

fn is_least(word: &str) -> bool {
    is_one_of(&["min", "minimum", "initial", "core"], word)
}

fn is_most(word: &str) -> bool {
    is_one_of(&["max", "maximum"], word)
}
