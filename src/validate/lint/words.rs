//! The words of a name: `maxIdleTime_ms` has four. Knows ASCII naming styles; allocates nothing.

/// Splits at what is no letter or digit, and where capitals begin.
pub(super) fn words(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let start = rest.find(|c: char| c.is_alphanumeric())?;
        let text = &rest[start..];
        let bytes = text.as_bytes();
        let mut end = 1;
        while end < bytes.len() && (bytes[end].is_ascii_alphanumeric() || !bytes[end].is_ascii()) {
            let (before, here) = (bytes[end - 1], bytes[end]);
            let after = bytes.get(end + 1).copied().unwrap_or(b' ');
            let is_capital = here.is_ascii_uppercase()
                && (!before.is_ascii_uppercase()
                    || (after.is_ascii_lowercase() && before.is_ascii_uppercase()));
            if is_capital {
                break;
            }
            end += 1;
        }
        while !text.is_char_boundary(end) {
            end += 1;
        }
        let (word, after) = text.split_at(end);
        rest = after;
        Some(word)
    })
}

/// The last words of a name, found once for all that ask for them.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    list: [&'a str; WORDS_MAX],
    count: usize,
}

/// Of longer names, the first words are left out.
const WORDS_MAX: usize = 8;

impl<'a> Words<'a> {
    pub(super) fn of(name: &'a str) -> Words<'a> {
        let mut words = Words { list: [""; WORDS_MAX], count: 0 };
        for word in self::words(name) {
            if words.count == WORDS_MAX {
                words.list.copy_within(1.., 0);
                words.count -= 1;
            }
            words.list[words.count] = word;
            words.count += 1;
        }
        words
    }

    pub(super) fn all(&self) -> &[&'a str] {
        &self.list[..self.count]
    }

    pub(super) fn last(&self) -> &'a str {
        self.before_last(0)
    }

    /// The word so many before the last one; empty if there is none.
    pub(super) fn before_last(&self, count: usize) -> &'a str {
        self.count.checked_sub(count + 1).map_or("", |at| self.list[at])
    }

    /// One of the words is one of these.
    pub(super) fn has(&self, known: &[&str]) -> bool {
        self.all().iter().any(|word| is_one_of(known, word))
    }
}

/// Whatever the case.
pub(super) fn is_one_of(known: &[&str], word: &str) -> bool {
    known.iter().any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_every_style_fall_into_words() {
        let check =
            |name: &str, expected: &[&str]| assert_eq!(words(name).collect::<Vec<_>>(), expected, "{name}");
        check("max_idle_time_ms", &["max", "idle", "time", "ms"]);
        check("maxIdleTimeMs", &["max", "Idle", "Time", "Ms"]);
        check("DB_PASSWORD", &["DB", "PASSWORD"]);
        check("HTTPServer", &["HTTP", "Server"]);
        check("time-out.x", &["time", "out", "x"]);
        check("port2", &["port2"]);
        check("__", &[]);
        check("größe_ms", &["größe", "ms"]);
    }

    proptest! {
        #[test]
        fn any_name_has_words_that_are_in_it(name in any::<String>()) {
            for word in words(&name) {
                prop_assert!(!word.is_empty() && name.contains(word));
            }
        }
    }
}
