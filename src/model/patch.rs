//! JSON Patch (RFC 6902) with bounds on what a patch may cost. Knows values only.

use json_patch::{PatchErrorKind, PatchOperation};
use serde_json::Value;

use super::canonical::{normalize, to_canonical};
use super::depth::{depth, too_deep};
use super::document_error::{DocumentError, DocumentErrorCode};
use super::limits::DEPTH_MAX;
use super::pointer::{Pointer, index};

/// Values that a patch handles as a whole: no pointer of the patch leads into one.
pub struct Opaque<'a> {
    /// Whether a value is opaque.
    pub is_opaque: fn(&Value) -> bool,
    /// Gives a value with everything opaque in it made readable, so that `test` can compare it. `None`: the caller may not read opaque
    /// values, so `test`, `copy` and `move` of one, or of a value that holds one, are refused.
    pub read: Option<&'a dyn Fn(&Value) -> Value>,
}

/// Applies all operations of a patch, or none. The result is in normal form if `target` is. `opaque`: `None` if `target` holds no opaque
/// value.
///
/// `bytes_max` bounds the canonical text of the result and, because a patch may copy a document into itself again and
/// again, the text of all that it copies; the work of moving values about is bounded in proportion.
pub fn apply_json_patch(
    target: &Value,
    patch: &Value,
    bytes_max: usize,
    opaque: Option<&Opaque<'_>>,
) -> Result<Value, DocumentError> {
    let operations = read_operations(patch)?;
    let mut document = target.clone();
    let mut budget = Budget { copied: bytes_max, moved: bytes_max.saturating_mul(MOVES_PER_BYTE) };
    for (at, operation) in operations.iter().enumerate() {
        budget.spend(&document, operation)?;
        if let Some(opaque) = opaque
            && opaque.compares(&document, at, operation, &mut budget)?
        {
            continue;
        }
        json_patch::patch_unsafe(&mut document, std::slice::from_ref(operation))
            .map_err(|error| does_not_apply(at, operation, &error.kind))?;
    }
    normalize(&mut document);
    let bytes = to_canonical(&document).len();
    if bytes > bytes_max {
        let message = format!("the patched document has {bytes} bytes, at most {bytes_max} are allowed");
        return Err(DocumentError::new(DocumentErrorCode::LayerTooLarge, &Pointer::root(), message));
    }
    Ok(document)
}

impl Opaque<'_> {
    /// Refuses an operation that leads into an opaque value, or that the caller may not do with one. Whether the operation was a `test`
    /// of an opaque value, which is done then.
    fn compares(
        &self,
        document: &Value,
        at: usize,
        operation: &PatchOperation,
        budget: &mut Budget,
    ) -> Result<bool, DocumentError> {
        let from = match operation {
            PatchOperation::Copy(copy) => Some(&*copy.from),
            PatchOperation::Move(r#move) => Some(&*r#move.from),
            PatchOperation::Add(_)
            | PatchOperation::Remove(_)
            | PatchOperation::Replace(_)
            | PatchOperation::Test(_) => None,
        };
        for pointer in [Some(operation.path()), from].into_iter().flatten() {
            if let Some(around) = self.around(document, pointer) {
                let why = format!("the value at {around} is secret, so nothing within it can be named");
                return Err(refused(at, operation, DocumentErrorCode::PatchDoesNotApply, &why));
            }
        }
        let test = match operation {
            PatchOperation::Test(test) => Some(&test.value),
            PatchOperation::Copy(_) | PatchOperation::Move(_) => None,
            PatchOperation::Add(_) | PatchOperation::Remove(_) | PatchOperation::Replace(_) => {
                return Ok(false);
            }
        };
        let Some(value) = document.pointer(from.unwrap_or_else(|| operation.path()).as_str()) else {
            return Ok(false);
        };
        let mut visited = 0;
        let holds = self.is_in(value, &mut visited);
        budget.move_values(visited, operation)?;
        match (holds, self.read, test) {
            (false, _, _) => Ok(false),
            (true, None, _) => {
                let why = "the value is secret or holds a secret, and takes the permission reveal-secret to test, copy or move: \
                           replace or remove the secret instead";
                Err(refused(at, operation, DocumentErrorCode::SecretNotRevealed, why))
            }
            (true, Some(_), None) => Ok(false),
            (true, Some(read), Some(expected)) => match read(value) == read(expected) {
                true => Ok(true),
                false => Err(does_not_apply(at, operation, &PatchErrorKind::TestFailed)),
            },
        }
    }

    /// The opaque value that a pointer leads into.
    fn around(&self, document: &Value, pointer: &json_patch::jsonptr::Pointer) -> Option<Pointer> {
        let (mut value, mut here) = (document, Pointer::root());
        for token in pointer.tokens() {
            if (self.is_opaque)(value) {
                return Some(here);
            }
            let token = token.decoded();
            value = match value {
                Value::Object(members) => members.get(&*token)?,
                Value::Array(items) => items.get(index(&token)?)?,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
            };
            here = here.child(&token);
        }
        None
    }

    /// Whether a value is opaque or holds an opaque value. Counts the values that it visits.
    fn is_in(&self, value: &Value, visited: &mut usize) -> bool {
        *visited += 1;
        (self.is_opaque)(value)
            || match value {
                Value::Object(members) => members.values().any(|member| self.is_in(member, visited)),
                Value::Array(items) => items.iter().any(|item| self.is_in(item, visited)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
            }
    }
}

/// How many values a patch may move for each byte that the document may have.
const MOVES_PER_BYTE: usize = 16;

fn read_operations(patch: &Value) -> Result<Vec<PatchOperation>, DocumentError> {
    let malformed = |pointer: &Pointer, message: String| {
        DocumentError::new(DocumentErrorCode::MalformedDocument, pointer, message)
    };
    let Value::Array(operations) = patch else {
        return Err(malformed(&Pointer::root(), "a JSON patch is an array of operations".to_owned()));
    };
    let read = |(at, operation): (usize, &Value)| {
        serde_json::from_value(operation.clone()).map_err(|error| {
            malformed(&Pointer::root().child(&at.to_string()), format!("not a JSON patch operation: {error}"))
        })
    };
    operations.iter().enumerate().map(read).collect()
}

/// What a patch may still do.
struct Budget {
    /// Bytes of canonical text.
    copied: usize,
    /// Values, counting those that an array shifts to make or close a gap.
    moved: usize,
}

impl Budget {
    /// Pays for an operation before it is applied, and refuses one that would nest too deep: no document on the way is
    /// larger or deeper than recursion can bear. Values that are not there cost nothing; applying will say so.
    fn spend(&mut self, document: &Value, operation: &PatchOperation) -> Result<(), DocumentError> {
        let path = operation.path();
        let find = |pointer: &str| document.pointer(pointer);
        let placed = match operation {
            PatchOperation::Add(add) => Some(&add.value),
            PatchOperation::Replace(replace) => Some(&replace.value),
            PatchOperation::Copy(copy) => find(copy.from.as_str()),
            PatchOperation::Move(r#move) => find(r#move.from.as_str()),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
        };
        if let Some(value) = placed
            && path.count() + depth(value) > DEPTH_MAX
        {
            return Err(too_deep(&pointer_of(path)));
        }
        let (mut copied, mut moved) = (0, shifted(document, path));
        match operation {
            PatchOperation::Copy(_) => copied = placed.map_or(0, |value| to_canonical(value).len()),
            PatchOperation::Move(r#move) => {
                moved +=
                    shifted(document, &r#move.from) + placed.map_or(0, |value| to_canonical(value).len());
            }
            PatchOperation::Add(_)
            | PatchOperation::Remove(_)
            | PatchOperation::Replace(_)
            | PatchOperation::Test(_) => {}
        }
        match (self.copied.checked_sub(copied), self.moved.checked_sub(moved)) {
            (Some(copied), Some(moved)) => {
                *self = Budget { copied, moved };
                Ok(())
            }
            (None, _) | (_, None) => Err(too_much(path)),
        }
    }

    /// Pays for values that are looked at.
    fn move_values(&mut self, count: usize, operation: &PatchOperation) -> Result<(), DocumentError> {
        self.moved = self.moved.checked_sub(count).ok_or_else(|| too_much(operation.path()))?;
        Ok(())
    }
}

fn too_much(path: &json_patch::jsonptr::Pointer) -> DocumentError {
    DocumentError::new(
        DocumentErrorCode::LayerTooLarge,
        &pointer_of(path),
        "the patch copies or moves more than a document may hold",
    )
}

/// How many elements an array may shift when one is put at `path` or taken from there.
fn shifted(document: &Value, path: &json_patch::jsonptr::Pointer) -> usize {
    path.parent()
        .and_then(|parent| document.pointer(parent.as_str()))
        .and_then(Value::as_array)
        .map_or(0, Vec::len)
}

fn pointer_of(path: &json_patch::jsonptr::Pointer) -> Pointer {
    path.tokens().map(|token| token.decoded().into_owned()).collect()
}

fn does_not_apply(at: usize, operation: &PatchOperation, kind: &PatchErrorKind) -> DocumentError {
    refused(at, operation, DocumentErrorCode::PatchDoesNotApply, &kind.to_string())
}

fn refused(at: usize, operation: &PatchOperation, code: DocumentErrorCode, why: &str) -> DocumentError {
    let name = match operation {
        PatchOperation::Add(_) => "add",
        PatchOperation::Remove(_) => "remove",
        PatchOperation::Replace(_) => "replace",
        PatchOperation::Move(_) => "move",
        PatchOperation::Copy(_) => "copy",
        PatchOperation::Test(_) => "test",
    };
    let pointer = pointer_of(operation.path());
    let message = format!("operation {at} of the patch, {name} {pointer}, does not apply: {why}");
    DocumentError::new(code, &pointer, message)
}

#[cfg(test)]
mod tests;
