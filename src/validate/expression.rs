//! Expressions in CEL: compiled once, evaluated within a number of steps. Knows JSON values; not what an expression is for.
//!
//! `cel` has no limit on what an expression may cost, so the limits are here, each with its reason:
//! - [`SOURCE_BYTES_MAX`] and [`BRACKETS_MAX`], because its parser recurses;
//! - [`DEPTH_MAX`], because its evaluator recurses, with frames of tens of kilobytes in debug builds. Compiling, and evaluating
//!   what is deeper than `DEPTH_ON_CALLERS_STACK`, happens on a thread with room for it;
//! - steps, counted while an expression runs. Before it runs, each operation whose cost is that of its operands, and each loop, is
//!   wrapped in a call that pays for it (`metered.rs`). About 100 ns, and at most 64 bytes, are one step: the same expression on
//!   the same document always takes the same steps, whatever the machine is doing.

mod collections;
mod failure;
mod functions;
mod macros;
mod meter;
mod metered;
mod numbers;
mod overload;
mod pattern;
mod source;
mod stack;
#[cfg(test)]
mod tests;
mod value;
mod variables;

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::ast::IdedExpr;
use cel::common::types::{CelBool, CelString};
use cel::common::value::Val;
use serde_json::Value;

pub use failure::Failure;
pub use pattern::SIZE_MAX as PATTERN_SIZE_MAX;
pub use source::FieldRead;
pub use variables::Variables;

use pattern::MeteredRegex;

/// The longest source of an expression.
pub const SOURCE_BYTES_MAX: usize = 2048;
/// The deepest nesting of brackets of all kinds.
pub const BRACKETS_MAX: usize = 24;
/// The deepest that the parts of an expression nest, counting the calls that pay for its steps.
pub const DEPTH_MAX: usize = 160;
/// Deeper ones are evaluated on a stack of their own.
const DEPTH_ON_CALLERS_STACK: usize = 20;
/// What one evaluation may take, if its caller has as much left: about a tenth of a second.
pub const STEPS_MAX: u64 = 1_000_000;

/// An expression that compiles, and what can be said about it without evaluating it.
#[derive(Debug)]
pub struct Expression {
    root: IdedExpr,
    depth: usize,
    /// Of everything outside of loops.
    steps: u64,
    patterns: Arc<[MeteredRegex]>,
    reads: Vec<FieldRead>,
    variables: BTreeSet<String>,
}

/// Why a text is not an expression, and where in it. Both counted from 1, the column in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl Expression {
    /// Compiles a text that may name these variables.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Expression, Vec<Mistake>> {
        source::check_size(text).map_err(|mistake| vec![mistake])?;
        let compiled = stack::with_room(|| catch_unwind(|| compile(text, variables)));
        match compiled {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(_)) => Err(vec![Mistake::at_start("the expression cannot be compiled")]),
            Err(error) => Err(vec![Mistake::at_start(format!("no thread to compile it on: {error}"))]),
        }
    }

    /// The fields of a variable that it reads, in the order of the source; without those of elements of lists and maps.
    pub fn reads(&self) -> &[FieldRead] {
        &self.reads
    }

    /// The compiled size of its patterns, at most.
    pub fn patterns_size(&self) -> usize {
        self.patterns.iter().map(MeteredRegex::size).sum()
    }

    /// Whether it names this variable.
    pub fn names(&self, variable: &str) -> bool {
        self.variables.contains(variable)
    }

    /// Evaluates to true or false. Takes what it cost from `steps`.
    pub fn is_true(&self, variables: &Variables<'_>, steps: &mut u64) -> Result<bool, Failure> {
        self.evaluate(variables, steps, |value| match value.downcast_ref::<CelBool>() {
            Some(result) => Ok(*result.inner()),
            None => Err(Failure::result(value, "true or false")),
        })
    }

    /// Evaluates to a text.
    pub fn text(&self, variables: &Variables<'_>, steps: &mut u64) -> Result<String, Failure> {
        self.evaluate(variables, steps, |value| match value.downcast_ref::<CelString>() {
            Some(result) => Ok(result.inner().to_owned()),
            None => Err(Failure::result(value, "a string")),
        })
    }

    /// Evaluates to a JSON value, in normal form.
    pub fn json(&self, variables: &Variables<'_>, steps: &mut u64) -> Result<Value, Failure> {
        self.evaluate(variables, steps, value::to_json)
    }

    fn evaluate<T: Send>(
        &self,
        variables: &Variables<'_>,
        steps: &mut u64,
        take: impl Fn(&dyn Val) -> Result<T, Failure> + Sync,
    ) -> Result<T, Failure> {
        let run = || {
            let mut left = STEPS_MAX.min(*steps);
            let before = left;
            let evaluate = || {
                meter::charge(self.steps)?;
                cel::Value::resolve_val(&self.root, variables.context()).map(|value| take(value.as_ref()))
            };
            // What panics is the interpreter, on an input that it did not expect; it holds nothing that could be left half done.
            let result = meter::measured(&mut left, &self.patterns, || {
                catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or_else(|_| Ok(Err(Failure::interpreter())))
            });
            (result, before - left)
        };
        let (result, taken) = match self.depth > DEPTH_ON_CALLERS_STACK {
            false => run(),
            true => stack::with_room(run).map_err(|error| Failure::no_thread(&error))?,
        };
        *steps -= taken;
        match result {
            None => Err(Failure::too_expensive()),
            Some(Err(error)) => Err(Failure::of(&error, &self.reads)),
            Some(Ok(taken)) => taken,
        }
    }
}

fn compile(text: &str, variables: &[&str]) -> Result<Expression, Vec<Mistake>> {
    let program = functions::environment().compile(text).map_err(|errors| source::syntax(&errors))?;
    let facts = source::examine(program.expression(), program.source_info(), variables)?;
    let metered = metered::metered(program.expression(), &|id| source::place(program.source_info(), id))?;
    let depth = source::depth(&metered.root);
    if depth > DEPTH_MAX {
        return Err(vec![Mistake::at_start(format!(
            "the expression nests {depth} deep, at most {DEPTH_MAX} are allowed: split it into several"
        ))]);
    }
    Ok(Expression {
        root: metered.root,
        depth,
        steps: metered.steps,
        patterns: metered.patterns.into(),
        reads: facts.reads,
        variables: facts.variables,
    })
}

impl Mistake {
    fn at_start(message: impl Into<String>) -> Mistake {
        Mistake { line: 1, column: 1, message: message.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}
