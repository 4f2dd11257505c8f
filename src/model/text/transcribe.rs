//! From JSON to canonical text in one go, with no value in between: what most layers are written with. Knows what is right
//! only, so that there is one place that says what is wrong: a text that it does not take is read by `json`, which tells.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::model::canonical::{compare_names, write_float, write_integer, write_string};
use crate::model::limits::DEPTH_MAX;

/// The canonical text of a JSON object. `None` if `text` is not one that can be stored.
pub fn transcribe_object(text: &str, bytes_max: usize) -> Option<String> {
    let mut writer = Writer { text: String::with_capacity(text.len()), members: vec![] };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Node { writer: &mut writer, depth: 0 }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    (writer.text.starts_with('{') && writer.text.len() <= bytes_max).then_some(writer.text)
}

/// Canonical text as far as it is written.
struct Writer<'de> {
    text: String,
    /// The members so far of all objects that are not closed yet, outermost first.
    members: Vec<Member<'de>>,
}

struct Member<'de> {
    name: Cow<'de, str>,
    /// Where it starts in the text. It ends, with a comma, where the next one starts.
    start: usize,
}

impl Writer<'_> {
    /// Ends a list or an object of which every item was written with a comma behind it.
    fn close(&mut self, is_empty: bool, end: char) {
        if !is_empty {
            self.text.pop();
        }
        self.text.push(end);
    }

    /// Puts the members from `first` on in order. Fails if two have one name.
    fn sort_members<E: Error>(&mut self, first: usize) -> Result<(), E> {
        let members = &mut self.members[first..];
        if members.is_sorted_by(|a, b| compare_names(&a.name, &b.name).is_lt()) {
            return Ok(());
        }
        let starts = members.iter().skip(1).map(|member| member.start).chain([self.text.len()]);
        let ends: Vec<usize> = starts.collect();
        let mut spans: Vec<(&Member, usize)> = members.iter().zip(ends).collect();
        spans.sort_by(|(a, _), (b, _)| compare_names(&a.name, &b.name));
        if spans.windows(2).any(|pair| pair[0].0.name == pair[1].0.name) {
            return Err(E::custom("the key occurs more than once"));
        }
        let sorted: String = spans.iter().map(|(member, end)| &self.text[member.start..*end]).collect();
        let start = members[0].start;
        self.text.truncate(start);
        self.text.push_str(&sorted);
        Ok(())
    }
}

/// A value at a depth.
struct Node<'w, 'de> {
    writer: &'w mut Writer<'de>,
    depth: usize,
}

impl<'w, 'de> Node<'w, 'de> {
    fn below<E: Error>(self) -> Result<(&'w mut Writer<'de>, usize), E> {
        match self.depth {
            DEPTH_MAX => Err(E::custom("nested too deep")),
            depth => Ok((self.writer, depth + 1)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.writer.text.push_str("null");
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.writer.text.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        write_integer(value, &mut self.writer.text);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        write_integer(value, &mut self.writer.text);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if !value.is_finite() {
            return Err(E::custom("not a number"));
        }
        write_float(value, &mut self.writer.text);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        write_string(value, &mut self.writer.text);
        Ok(())
    }

    /// A part of the JSON text itself, so there is nothing in it to escape.
    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<(), E> {
        let text = &mut self.writer.text;
        text.push('"');
        text.push_str(value);
        text.push('"');
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let (writer, depth) = self.below()?;
        writer.text.push('[');
        let mut is_empty = true;
        while sequence.next_element_seed(Node { writer: &mut *writer, depth })?.is_some() {
            writer.text.push(',');
            is_empty = false;
        }
        writer.close(is_empty, ']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (writer, depth) = self.below()?;
        writer.text.push('{');
        let first = writer.members.len();
        while let Some(name) = map.next_key_seed(Name)? {
            let start = writer.text.len();
            write_string(&name, &mut writer.text);
            writer.text.push(':');
            writer.members.push(Member { name, start });
            map.next_value_seed(Node { writer: &mut *writer, depth })?;
            writer.text.push(',');
        }
        writer.sort_members(first)?;
        writer.close(writer.members.len() == first, '}');
        writer.members.truncate(first);
        Ok(())
    }
}

/// The name of a member, borrowed from the text where it can be.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
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
            transcribe_object(text, BYTES_MAX),
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
