//! Puts the calls into an expression that pay for its steps. Knows what operations of `cel` cost; not what they are used for.
//!
//! Free are operations that take the same time whatever their operands are. All others pay before they run:
//! - a loop, for all its turns, and for the copy that each element gets for its turn;
//! - operands that are compared, added, or given to a function; also of operations on numbers, because `cel` copies operands of a
//!   wrong type into its error;
//! - what is put into a list or a map, because it is copied. So memory is paid for as well.
//!
//! Operands that cannot be large pay nothing: literals, numbers and truths, since the source is small.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::CelInt;

use super::functions::{
    Cost, INDEX, MATCHES, MATCHES_KNOWN, RANGE, UNLESS_SPENT, WEIGH, WEIGH_QUADRATIC, WEIGH_RESULT, WITHIN,
    find,
};
use super::pattern::MeteredRegex;
use super::source::namespaced;
use super::{Mistake, numbers};

/// An expression with the calls that pay for it.
pub struct Metered {
    pub root: IdedExpr,
    /// Of everything outside of loops.
    pub steps: u64,
    /// Of calls of `matches` with a literal.
    pub patterns: Vec<MeteredRegex>,
}

/// Refuses patterns that do not compile.
pub fn metered(
    expression: &IdedExpr,
    place: &dyn Fn(u64) -> (usize, usize),
) -> Result<Metered, Vec<Mistake>> {
    let mut rewriting = Rewriting { place, loops: 0, steps: 0, patterns: Vec::new(), mistakes: Vec::new() };
    let root = rewriting.expression(expression);
    match rewriting.mistakes.is_empty() {
        true => Ok(Metered { root, steps: rewriting.steps, patterns: rewriting.patterns }),
        false => Err(rewriting.mistakes),
    }
}

struct Rewriting<'e> {
    place: &'e dyn Fn(u64) -> (usize, usize),
    /// How many loops are around: a name is looked up in each of their scopes.
    loops: u64,
    /// Of what is being rewritten: of the body of a loop, or of all that is outside of loops.
    steps: u64,
    patterns: Vec<MeteredRegex>,
    mistakes: Vec<Mistake>,
}

impl Rewriting<'_> {
    fn expression(&mut self, node: &IdedExpr) -> IdedExpr {
        self.steps += 1;
        let expr = match &node.expr {
            Expr::Literal(_) | Expr::Unspecified | Expr::Struct(_) => node.expr.clone(),
            Expr::Ident(_) => {
                self.steps += self.loops;
                node.expr.clone()
            }
            Expr::Select(select) => {
                self.steps += self.loops;
                let mut select = select.clone();
                *select.operand = self.expression(&select.operand);
                Expr::Select(select)
            }
            Expr::List(list) => {
                let mut list = list.clone();
                list.elements.iter_mut().for_each(|element| *element = self.weighed(element));
                Expr::List(list)
            }
            Expr::Map(map) => {
                let mut map = map.clone();
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        entry.key = self.weighed(&entry.key);
                        entry.value = self.weighed(&entry.value);
                    }
                }
                Expr::Map(map)
            }
            Expr::Comprehension(each) => Expr::Comprehension(Box::new(self.comprehension(each))),
            Expr::Call(call) => return self.call(node, call),
        };
        IdedExpr { id: node.id, expr }
    }

    fn comprehension(&mut self, each: &ComprehensionExpr) -> ComprehensionExpr {
        let iter_range = self.expression(&each.iter_range);
        let accu_init = self.weighed(&each.accu_init);
        let outside = std::mem::take(&mut self.steps);
        self.loops += 1;
        let loop_cond = self.expression(&each.loop_cond);
        let loop_step = self.expression(&each.loop_step);
        let body = std::mem::replace(&mut self.steps, outside);
        let result = self.expression(&each.result);
        self.loops -= 1;
        let body = Expr::Literal(LiteralValue::Int(CelInt::from(i64::try_from(body).unwrap_or(i64::MAX))));
        let iter_range = self.pay(RANGE, vec![iter_range, unplaced(body)]);
        ComprehensionExpr { iter_range, accu_init, loop_cond, loop_step, result, ..each.clone() }
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> IdedExpr {
        let arguments = call.args.as_slice();
        let args = match (call.func_name.as_str(), arguments) {
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                // A comparison for equality ends where the smaller one does.
                match is_small(left) || is_small(right) {
                    true => vec![self.expression(left), self.expression(right)],
                    false => vec![self.weighed(left), self.expression(right)],
                }
            }
            // The accumulator of `map` and `filter`, which `cel` extends in place when it sees this very shape.
            (operators::ADD, [left, right]) if is_accumulator(left) => {
                vec![self.expression(left), self.expression(right)]
            }
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO
                | operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                [left, right],
            ) => {
                let args = vec![self.weighed(left), self.weighed(right)];
                // Arithmetic that takes numbers of different types.
                let func_name = numbers::replacing(&call.func_name).unwrap_or(&call.func_name).to_owned();
                return IdedExpr {
                    id: node.id,
                    expr: Expr::Call(CallExpr { func_name, target: None, args }),
                };
            }
            (operators::IN, [left, right]) => {
                let arguments = vec![self.expression(left), self.expression(right)];
                return self.pay(WITHIN, arguments);
            }
            (operators::INDEX, [container, index]) => {
                vec![self.expression(container), self.index(index)]
            }
            (operators::OPT_INDEX | operators::OPT_SELECT, [container, index]) => {
                // The optional has a copy of what is there, which is not known before.
                let container = self.expression(container);
                // What is no place in it is none, where without the `?` it is an error.
                let args = vec![self.pay(UNLESS_SPENT, vec![container]), self.weighed(index)];
                let func_name = call.func_name.clone();
                let found = Expr::Call(CallExpr { func_name, target: None, args });
                return self.pay(WEIGH_RESULT, vec![IdedExpr { id: node.id, expr: found }]);
            }
            (
                operators::CONDITIONAL
                | operators::LOGICAL_AND
                | operators::LOGICAL_OR
                | operators::LOGICAL_NOT
                | operators::NEGATE
                | operators::NOT_STRICTLY_FALSE,
                operands,
            ) => operands.iter().map(|operand| self.expression(operand)).collect(),
            (name, _) => return self.function(node, name, call),
        };
        let func_name = call.func_name.clone();
        IdedExpr { id: node.id, expr: Expr::Call(CallExpr { func_name, target: None, args }) }
    }

    fn function(&mut self, node: &IdedExpr, name: &str, call: &CallExpr) -> IdedExpr {
        self.steps += 1;
        let namespaced = call.target.as_deref().and_then(|target| namespaced(target, name));
        // The value that a function is called on is its first argument, unless it is a part of the name.
        let target = call.target.as_deref().filter(|_| namespaced.is_none());
        let cost = find(namespaced.as_deref().unwrap_or(name)).map_or(Cost::Linear, |function| function.cost);
        match cost {
            Cost::Own(own) => {
                let operands = target.into_iter().chain(&call.args);
                let arguments = operands.map(|operand| self.expression(operand)).collect();
                self.pay(own, arguments)
            }
            Cost::Pattern => self.matches(node, target.into_iter().chain(&call.args).collect()),
            Cost::Scalar | Cost::Linear | Cost::Quadratic => {
                let mut call = call.clone();
                call.args.iter_mut().for_each(|argument| *argument = self.weighed(argument));
                if let Some(target) = target {
                    let target = match cost {
                        Cost::Quadratic => {
                            let list = self.expression(target);
                            self.pay(WEIGH_QUADRATIC, vec![list])
                        }
                        Cost::Scalar | Cost::Linear | Cost::Own(_) | Cost::Pattern => self.weighed(target),
                    };
                    call.target = Some(Box::new(target));
                }
                IdedExpr { id: node.id, expr: Expr::Call(call) }
            }
        }
    }

    fn matches(&mut self, node: &IdedExpr, operands: Vec<&IdedExpr>) -> IdedExpr {
        let arguments: Vec<_> = operands.iter().map(|operand| self.expression(operand)).collect();
        let Some(IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), id }) = operands.get(1) else {
            return self.pay(MATCHES, arguments);
        };
        match MeteredRegex::new(text.inner()) {
            Ok(pattern) => self.patterns.push(pattern),
            Err(message) => {
                let (line, column) = (self.place)(*id);
                self.mistakes.push(Mistake { line, column, message: format!("the pattern {message}") });
                return node.clone();
            }
        }
        let number = CelInt::from(self.patterns.len() as i64 - 1);
        let number = unplaced(Expr::Literal(LiteralValue::Int(number)));
        self.pay(MATCHES_KNOWN, arguments.into_iter().take(1).chain([number]).collect())
    }

    fn index(&mut self, index: &IdedExpr) -> IdedExpr {
        let rewritten = self.expression(index);
        match &index.expr {
            Expr::Literal(LiteralValue::String(_) | LiteralValue::Int(_)) => rewritten,
            _ => self.pay(INDEX, vec![rewritten]),
        }
    }

    fn weighed(&mut self, node: &IdedExpr) -> IdedExpr {
        let rewritten = self.expression(node);
        match is_small(node) {
            true => rewritten,
            false => self.pay(WEIGH, vec![rewritten]),
        }
    }

    fn pay(&mut self, function: &str, args: Vec<IdedExpr>) -> IdedExpr {
        self.steps += 2;
        unplaced(Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args }))
    }
}

fn unplaced(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}

/// Names with an `@` are of `cel` itself.
fn is_accumulator(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Ident(name) if name.starts_with('@'))
}

/// Whether a value cannot be larger than the source, whatever the document is.
fn is_small(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(_) => true,
        // `has`.
        Expr::Select(select) => select.test,
        // `all`, `exists` and `exists_one` start with a literal; `map` and `filter` with a list.
        Expr::Comprehension(each) => {
            matches!(each.accu_init.expr, Expr::Literal(_)) && is_accumulator(&each.result)
        }
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::CONDITIONAL, [_, yes, no]) => is_small(yes) && is_small(no),
            (operators::ADD, [left, right]) => is_small(left) && is_small(right),
            (operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT, _) => false,
            (name, _) if super::source::is_operator(name) || name == operators::IN => true,
            (name, _) => {
                let namespaced = call.target.as_deref().and_then(|target| namespaced(target, name));
                let function = find(namespaced.as_deref().unwrap_or(name));
                function.is_some_and(|function| matches!(function.cost, Cost::Scalar | Cost::Pattern))
            }
        },
        Expr::Ident(_) | Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => false,
    }
}
