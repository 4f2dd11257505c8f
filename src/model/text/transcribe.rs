//! From JSON to canonical text in one go, with no value in between: what most layers are written with. Knows what is right
//! only, so that there is one place that says what is wrong: a text that it does not take is read by `json`, which tells.
//!
//! Making a value of the text and text of the value was most of the processor time of a small Set. Here what is canonical already is
//! only looked at, and copied as it is; what is rare, escapes and numbers that are no integers, is left to serde_json.

use std::borrow::Cow;

use serde_json::Number;

use super::json::{is_integer_beyond_64_bits, number_length};
use crate::model::canonical::{compare_names, write_number, write_string};
use crate::model::limits::DEPTH_MAX;

/// The canonical text of a JSON object. `None` if `text` is not one that can be stored.
pub fn transcribe_object(text: &str, bytes_max: usize) -> Option<Cow<'_, str>> {
    let mut reader =
        Transcriber { text, at: 0, copied: 0, written: String::new(), members: Vec::with_capacity(32) };
    reader.skip_space();
    reader.object(1)?;
    reader.skip_space();
    if reader.at < text.len() {
        return None;
    }
    let canonical = match reader.copied {
        0 => Cow::Borrowed(text),
        _ => {
            reader.copy();
            Cow::Owned(reader.written)
        }
    };
    (canonical.len() <= bytes_max).then_some(canonical)
}

struct Transcriber<'t> {
    text: &'t str,
    /// What is before is read.
    at: usize,
    /// What is before is written; from here to `at` the text is canonical as it is.
    copied: usize,
    written: String,
    /// The members so far of all objects that are not closed yet, outermost first.
    members: Vec<Member<'t>>,
}

/// A member, and where it is in what is written.
struct Member<'t> {
    name: Cow<'t, str>,
    start: usize,
    end: usize,
}

impl<'t> Transcriber<'t> {
    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes past `byte`, if it is next.
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    #[inline]
    fn skip_space(&mut self) {
        let is_space = |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        if self.next().is_some_and(is_space) {
            self.copy();
            while self.next().is_some_and(is_space) {
                self.at += 1;
            }
            self.copied = self.at;
        }
    }

    /// Writes what is canonical as it is.
    fn copy(&mut self) {
        self.written.push_str(&self.text[self.copied..self.at]);
        self.copied = self.at;
    }

    /// Where the next byte will be in what is written.
    fn place(&self) -> usize {
        self.written.len() + self.at - self.copied
    }

    /// A value, at a depth at which an object or array would be.
    fn value(&mut self, depth: usize) -> Option<()> {
        match self.next()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.take(b'{').filter(|()| depth <= DEPTH_MAX)?;
        self.skip_space();
        if self.take(b'}').is_some() {
            return Some(());
        }
        let first = self.members.len();
        loop {
            self.skip_space();
            let start = self.place();
            let name = self.string()?;
            self.skip_space();
            self.take(b':')?;
            self.skip_space();
            self.value(depth + 1)?;
            self.members.push(Member { name, start, end: self.place() });
            self.skip_space();
            if self.take(b',').is_none() {
                break;
            }
        }
        self.sort_members(first)?;
        self.members.truncate(first);
        self.take(b'}')
    }

    /// Puts the members from `first` on in order. `None` if two have one name.
    fn sort_members(&mut self, first: usize) -> Option<()> {
        if self.members[first..].is_sorted_by(|a, b| compare_names(&a.name, &b.name).is_lt()) {
            return Some(());
        }
        self.copy();
        let members = &mut self.members[first..];
        let start = members[0].start;
        members.sort_by(|a, b| compare_names(&a.name, &b.name));
        if members.windows(2).any(|pair| pair[0].name == pair[1].name) {
            return None;
        }
        let sorted: Vec<&str> =
            members.iter().map(|member| &self.written[member.start..member.end]).collect();
        let sorted = sorted.join(",");
        self.written.truncate(start);
        self.written.push_str(&sorted);
        Some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.take(b'[').filter(|()| depth <= DEPTH_MAX)?;
        self.skip_space();
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            self.skip_space();
            self.value(depth + 1)?;
            self.skip_space();
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
    }

    /// A string, and what it says.
    fn string(&mut self) -> Option<Cow<'t, str>> {
        let text = self.text;
        let start = self.at;
        self.take(b'"')?;
        let mut is_escaped = false;
        loop {
            let rest = &text.as_bytes()[self.at.min(text.len())..];
            let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '))?;
            self.at += length + 1;
            match rest[length] {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    // Whatever it is that is escaped, it does not end the string.
                    self.at += 1;
                }
                _ => return None,
            }
        }
        if !is_escaped {
            return Some(Cow::Borrowed(&text[start + 1..self.at - 1]));
        }
        let string: String = serde_json::from_str(&text[start..self.at]).ok()?;
        self.rewrite(start, |written| write_string(&string, written));
        Some(Cow::Owned(string))
    }

    fn number(&mut self) -> Option<()> {
        let text = self.text;
        let start = self.at;
        self.at += number_length(&text.as_bytes()[start..]);
        let number = &text[start..self.at];
        if is_small_integer(number) {
            return Some(());
        }
        if is_integer_beyond_64_bits(number) {
            return None;
        }
        let number: Number = serde_json::from_str(number).ok()?;
        self.rewrite(start, |written| write_number(&number, written));
        Some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    /// Writes something else for what was read since `start`.
    fn rewrite(&mut self, start: usize, write: impl FnOnce(&mut String)) {
        self.written.push_str(&self.text[self.copied..start]);
        write(&mut self.written);
        self.copied = self.at;
    }
}

/// An integer that is written as canonical text has it, and certainly within i64.
fn is_small_integer(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number).as_bytes();
    match digits {
        [b'0'] => number == "0",
        [b'1'..=b'9', rest @ ..] => rest.len() < 18 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::json;
    use super::*;
    use crate::model::arbitrary;
    use crate::model::canonical::{normalize, to_canonical};

    const BYTES_MAX: usize = 1000;

    /// It takes what the careful reader takes, and makes the same of it.
    fn check(text: &str) {
        let careful = json::parse(text, BYTES_MAX).ok().filter(Value::is_object).map(|mut value| {
            normalize(&mut value);
            to_canonical(&value)
        });
        assert_eq!(
            transcribe_object(text, BYTES_MAX).map(Cow::into_owned),
            careful.filter(|text| text.len() <= BYTES_MAX),
            "{text}"
        );
    }

    #[test]
    fn it_agrees_with_the_careful_reader() {
        for text in [
            "{}",
            " { \"b\" : 1 , \"a\" : [ ] , \"c\":[1,2.50,-0,1e2,1E400] }",
            r#"{"b":{"z":1,"y":[{"d":1,"c":2}]},"a":"\u0041\n\u001f\"\\\/é\ud83d\ude00"}"#,
            "{\"\u{fb33}\":1,\"😀\":2,\"€\":3,\"a\":0,\"\u{ffff}\":7,\"\u{10ffff}\":8,\"\":9}",
            r#"{"a":1,"b":2,"a":3}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":1,"\u0061":2,"a":[,]}"#,
            r#"{"a":18446744073709551615,"b":18446744073709551616,"c":-9223372036854775809}"#,
            r#"{"a":18446744073709551615,"b":[-9223372036854775808,4.37409462998106112e18,1e20,-1E+020]}"#,
            r#"{"a":"\"18446744073709551616\\","b":-9223372036854775809}"#,
            r#"{"a":"\"18446744073709551616\\","b":9223372036854775809}"#,
            r#"{"a":[0,-1,-0,0.0,-10,01,1.5e3]}"#,
            r#"{"a":[0,-1,-0,0.0,-10,0.1,1.5e3,123456789012345678,-1234567890123456789]}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":-}"#,
            r#"{"a":tru}"#,
            r#"{"a":true,"b":false,"c":null}"#,
            r#"{"a":"\\","b":"\""}"#,
            r#"{"a":"x\"#,
            r#"{"a":1,}"#,
            r#"{,}"#,
            "{\"a\":1\u{a0}}",
            "\u{feff}{}",
            "[1]",
            "1",
            "\"{\"",
            "null",
            "",
            "{\"a\":1}x",
            "{\"a\":1} ",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\ud800\"}",
            &format!("{{\"a\":{}1{}}}", "[".repeat(DEPTH_MAX - 1), "]".repeat(DEPTH_MAX - 1)),
            &format!("{{\"a\":{}1{}}}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)),
            &format!("{{\"a\":\"{}\"}}", "x".repeat(BYTES_MAX - 8)),
            &format!("{{\"a\":\"{}\"}}", "x".repeat(BYTES_MAX - 7)),
            &format!("{{\"a\":[{}0]}}", "1e20,".repeat(BYTES_MAX / 10)),
        ] {
            check(text);
        }
    }

    proptest! {
        #[test]
        fn it_agrees_on_any_document_however_it_is_written(value in arbitrary::object(), pretty in any::<bool>()) {
            // In the order of UTF-8, which is not always the canonical one.
            let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
            check(&write(&value).expect("JSON"));
        }

        #[test]
        fn it_agrees_on_members_in_any_order(members in prop::collection::vec((".{0,3}", 0..9), 0..6)) {
            let name = |name: &String| Value::from(name.as_str()).to_string();
            let members: Vec<_> = members.iter().map(|(n, value)| format!("{}:{value}", name(n))).collect();
            check(&format!("{{{}}}", members.join(",")));
        }

        #[test]
        fn it_agrees_on_what_is_broken(value in arbitrary::object(), at in any::<prop::sample::Index>(), with in ".{0,2}") {
            let text = value.to_string();
            let at = at.index(text.len());
            let Some((head, tail)) = text.split_at_checked(at) else { return Ok(()) };
            check(&format!("{head}{with}{tail}"));
            check(&format!("{head}{}", tail.chars().skip(1).collect::<String>()));
        }
    }
}
