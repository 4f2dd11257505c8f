//! Where a walk through a document is, as a list on the stack. Knows no values.

use crate::model::pointer::Pointer;

/// A place in a document. Becomes a pointer only when something is found there.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    above: Option<&'a Path<'a>>,
    token: PathToken<'a>,
}

#[derive(Clone, Copy)]
enum PathToken<'a> {
    Root,
    Name(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    pub(super) const ROOT: Path<'static> = Path { above: None, token: PathToken::Root };

    pub(super) fn member(&'a self, name: &'a str) -> Path<'a> {
        Path { above: Some(self), token: PathToken::Name(name) }
    }

    pub(super) fn element(&'a self, at: usize) -> Path<'a> {
        Path { above: Some(self), token: PathToken::Index(at) }
    }

    /// The nearest name on the way up: an element goes by that of its list.
    pub(super) fn name(&self) -> &'a str {
        match (self.token, self.above) {
            (PathToken::Name(name), _) => name,
            (PathToken::Root, _) | (PathToken::Index(_), None) => "",
            (PathToken::Index(_), Some(above)) => above.name(),
        }
    }

    /// The place that this is a member or an element of.
    pub(super) fn above(&self) -> Option<&'a Path<'a>> {
        self.above
    }

    /// RFC 6901.
    pub(super) fn pointer(&self) -> String {
        let mut tokens = Vec::new();
        let mut at = Some(self);
        while let Some(path) = at {
            match path.token {
                PathToken::Root => {}
                PathToken::Name(name) => tokens.push(name.to_owned()),
                PathToken::Index(index) => tokens.push(index.to_string()),
            }
            at = path.above;
        }
        tokens.into_iter().rev().collect::<Pointer>().to_string()
    }
}
