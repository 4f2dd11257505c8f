//! Finds the places of values in JSON that was read already, so that it is well formed. Knows no value.

use super::{Inner, Member, Node};

/// `None` for what is no JSON after all.
pub fn read(text: &str) -> Option<Node> {
    let mut reader = JsonReader { text: text.as_bytes(), at: 0 };
    reader.skip_space();
    reader.value(text)
}

struct JsonReader<'t> {
    text: &'t [u8],
    at: usize,
}

impl JsonReader<'_> {
    fn value(&mut self, text: &str) -> Option<Node> {
        let start = self.at;
        let inner = match self.peek()? {
            b'{' => Inner::Members(self.members(text)?),
            b'[' => Inner::Items(self.items(text)?),
            b'"' => {
                self.string()?;
                Inner::Scalar
            }
            _ => {
                while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                    self.at += 1;
                }
                Inner::Scalar
            }
        };
        let span = start..self.at;
        (!span.is_empty()).then(|| Node { spans: vec![span], inner })
    }

    fn members(&mut self, text: &str) -> Option<Vec<Member>> {
        let mut members = Vec::new();
        self.at += 1;
        self.skip_space();
        while self.peek()? != b'}' {
            let start = self.at;
            self.string()?;
            let span = start..self.at;
            let name = serde_json::from_str(text.get(span.clone())?).ok()?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            let node = self.value(text)?;
            members.push(Member { name, spans: vec![span], node });
            self.separator()?;
        }
        self.at += 1;
        Some(members)
    }

    fn items(&mut self, text: &str) -> Option<Vec<Node>> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_space();
        while self.peek()? != b']' {
            items.push(self.value(text)?);
            self.separator()?;
        }
        self.at += 1;
        Some(items)
    }

    /// Behind a member or an element: a comma, or what closes it all, which stays.
    fn separator(&mut self) -> Option<()> {
        self.skip_space();
        if self.peek()? == b',' {
            self.at += 1;
            self.skip_space();
        }
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}
