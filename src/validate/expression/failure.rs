//! Why an evaluation gave nothing, in words that never contain a value of the document, which may be secret. Knows no rule.

use std::io;

use cel::ExecutionError;
use cel::common::value::Val;

use super::FieldRead;

/// What went wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Reads as the end of a sentence.
    pub message: String,
    pub suggestion: String,
}

impl Failure {
    fn new(message: impl Into<String>, suggestion: impl Into<String>) -> Failure {
        Failure { message: message.into(), suggestion: suggestion.into() }
    }

    pub(super) fn too_expensive() -> Failure {
        Failure::new(
            "it is too expensive for this document",
            "loop over less: loops within loops multiply, and lists that are built are copied",
        )
    }

    pub(super) fn no_thread(error: &io::Error) -> Failure {
        Failure::new(format!("there is no thread to evaluate it on: {error}"), "try again later")
    }

    pub(super) fn interpreter() -> Failure {
        Failure::new("the interpreter does not bear it", "write the expression in another way")
    }

    pub(super) fn result(value: &dyn Val, expected: &str) -> Failure {
        Failure::new(format!("its result is of type {}, expected is {expected}", type_of(value)), "")
    }

    pub(super) fn not_finite() -> Failure {
        Failure::new("it gives a number that is not finite, which JSON does not have", "")
    }

    pub(super) fn key_of_map() -> Failure {
        Failure::new("it gives a map with a key that is not a string, which JSON does not have", "")
    }

    /// Only names and types are taken from the error.
    pub(super) fn of(error: &ExecutionError, reads: &[FieldRead]) -> Failure {
        let check_type =
            "convert a value first, as in `int(x)`, or ask for its type, as in `type(x) == int && …`";
        match error {
            ExecutionError::NoSuchKey(key) => missing(key, reads),
            ExecutionError::NoSuchOverload(overload) => {
                let types: Vec<&str> = overload.argument_types().iter().map(String::as_str).collect();
                let function = readable(overload.function());
                Failure::new(format!("`{function}` cannot be applied to {}", types.join(" and ")), check_type)
            }
            ExecutionError::UnsupportedBinaryOperator(operator, left, right) => Failure::new(
                format!(
                    "`{}` cannot be applied to {} and {}",
                    readable(operator),
                    left.type_of(),
                    right.type_of()
                ),
                check_type,
            ),
            ExecutionError::ValuesNotComparable(left, right) => Failure::new(
                format!("{} and {} cannot be compared", left.type_of(), right.type_of()),
                check_type,
            ),
            ExecutionError::UnsupportedKeyType(_)
            | ExecutionError::UnsupportedIndex(_, _)
            | ExecutionError::UnexpectedType { .. }
            | ExecutionError::UnsupportedTargetType { .. } => {
                Failure::new("a value has another type than the operation on it expects", check_type)
            }
            ExecutionError::IndexOutOfBounds(_) => {
                Failure::new("an index is not in its list", "ask for the size first: `size(x) > 0 && …`")
            }
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                Failure::new("it divides by zero", "ask first: `x != 0 && …`")
            }
            ExecutionError::Overflow(_, _, _) => {
                Failure::new("a number becomes larger than its type can hold", "calculate with `double(x)`")
            }
            ExecutionError::FunctionError { function, .. } => Failure::new(
                format!("`{}` does not take its argument", readable(function)),
                "check the argument first, for example with `matches`",
            ),
            ExecutionError::UndeclaredReference(name) => {
                Failure::new(format!("there is no `{}`", readable(name)), "")
            }
            ExecutionError::InvalidArgumentCount { expected, actual } => {
                Failure::new(format!("a function takes {expected} arguments, {actual} are given"), "")
            }
            ExecutionError::DuplicateKey(_) => Failure::new("a map has the same key twice", ""),
            _ => Failure::new("it cannot be evaluated", ""),
        }
    }
}

/// Names the key if the source names it; others may be values of the document.
fn missing(key: &str, reads: &[FieldRead]) -> Failure {
    let position = |read: &FieldRead| read.path.iter().position(|token| token == key);
    match reads.iter().find_map(|read| Some((read, position(read)?))) {
        Some((read, at)) => {
            let path = format!("{}.{}", read.variable, read.path[..=at].join("."));
            Failure::new(format!("there is no `{path}`"), format!("guard it: `has({path}) && …`"))
        }
        None => Failure::new(
            "a field or a key that it reads is not there",
            "guard it: `has(x.field) && …`, or `key in x && …`",
        ),
    }
}

/// `_+_` is `+`, and `@weigh` is not to be seen.
fn readable(function: &str) -> &str {
    match function {
        "_[_]" => "[]",
        "_._" => ".",
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        other => other.trim_matches(['_', '@']),
    }
}

fn type_of(value: &dyn Val) -> &str {
    value.get_type().name()
}
