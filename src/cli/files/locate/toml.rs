//! Locates values in TOML by the spans of its parser. Knows no value.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Inner, Member, Node};

pub fn read(text: &str) -> Option<Node> {
    let table = DeTable::parse(text).ok()?;
    Some(Node { spans: vec![], inner: members(table.get_ref()) })
}

fn members(table: &DeTable<'_>) -> Inner {
    let mut members: Vec<Member> = table
        .iter()
        .map(|(name, value)| Member {
            name: name.get_ref().to_string(),
            spans: vec![name.span()],
            node: node(value),
        })
        .collect();
    members.sort_by_key(|member| member.spans[0].start);
    Inner::Members(members)
}

fn node(value: &Spanned<DeValue<'_>>) -> Node {
    let inner = match value.get_ref() {
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => Inner::Scalar,
        DeValue::Array(items) => Inner::Items(items.iter().map(node).collect()),
        DeValue::Table(table) => members(table),
    };
    Node { spans: vec![value.span()], inner }
}
