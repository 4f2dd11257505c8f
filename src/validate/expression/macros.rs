//! Macros that `cel` does not have: `cel.bind`, and loops with two variables, over indices and elements or keys and values. They become
//! the loops that there are, so that they are paid for like those.

use cel::Env;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators};
use cel::parser::{Macro, MacroExprHelper, ParseError};

use super::collections::ENTRIES;

const RESULT: &str = "@result";
const ENTRY: &str = "@entry";

pub fn declare(environment: &mut Env) {
    let mut add =
        |added: Macro| environment.add_macro(added).expect("calls that the library does not expand");
    add(Macro::receiver("bind", 3, |helper, target, arguments| {
        let is_ours =
            matches!(target.as_ref().map(|target| &target.expr), Some(Expr::Ident(name)) if name == "cel");
        if !is_ours {
            return Ok(None);
        }
        target.take();
        let [name, value, body] = taken(arguments);
        let name = identifier(helper, name)?;
        Ok(Some(bind(helper, &name, value, body)))
    }));
    add(each("all", |helper, [condition]| {
        let stop = ident(helper, RESULT);
        let go_on = call(helper, operators::NOT_STRICTLY_FALSE, vec![stop]);
        let before = ident(helper, RESULT);
        let step = call(helper, operators::LOGICAL_AND, vec![before, condition]);
        Loop { start: truth(helper, true), go_on, step, result: ident(helper, RESULT) }
    }));
    add(each("exists", |helper, [condition]| {
        let found = ident(helper, RESULT);
        let not_found = call(helper, operators::LOGICAL_NOT, vec![found]);
        let go_on = call(helper, operators::NOT_STRICTLY_FALSE, vec![not_found]);
        let before = ident(helper, RESULT);
        let step = call(helper, operators::LOGICAL_OR, vec![before, condition]);
        Loop { start: truth(helper, false), go_on, step, result: ident(helper, RESULT) }
    }));
    for name in ["existsOne", "exists_one"] {
        add(each(name, |helper, [condition]| {
            let (before, one) = (ident(helper, RESULT), number(helper, 1));
            let more = call(helper, operators::ADD, vec![before, one]);
            let same = ident(helper, RESULT);
            let step = call(helper, operators::CONDITIONAL, vec![condition, more, same]);
            let (count, one) = (ident(helper, RESULT), number(helper, 1));
            let result = call(helper, operators::EQUALS, vec![count, one]);
            Loop { start: number(helper, 0), go_on: truth(helper, true), step, result }
        }));
    }
    add(each("transformList", |helper, [element]| {
        let step = appended(helper, element);
        Loop { start: list(helper, vec![]), go_on: truth(helper, true), step, result: ident(helper, RESULT) }
    }));
    add(each("transformList", |helper, [condition, element]| {
        let more = appended(helper, element);
        let same = ident(helper, RESULT);
        let step = call(helper, operators::CONDITIONAL, vec![condition, more, same]);
        Loop { start: list(helper, vec![]), go_on: truth(helper, true), step, result: ident(helper, RESULT) }
    }));
}

/// The parts of a loop, in which [`RESULT`] is what came out so far.
struct Loop {
    start: IdedExpr,
    go_on: IdedExpr,
    step: IdedExpr,
    result: IdedExpr,
}

/// `x.name(first, second, …)`: a loop over the entries of `x`.
fn each<const N: usize>(
    name: &'static str,
    make: impl Fn(&mut MacroExprHelper<'_>, [IdedExpr; N]) -> Loop + Send + Sync + 'static,
) -> Macro {
    Macro::receiver(name, N + 2, move |helper, target, arguments| {
        let Some(target) = target.take() else { return Ok(None) };
        let mut rest = arguments.split_off(2);
        let [first, second] = taken(arguments);
        let (first, second) = (identifier(helper, first)?, identifier(helper, second)?);
        let parts = taken::<N>(&mut rest).map(|part| {
            let value = element(helper, 1);
            let part = bind(helper, &second, value, part);
            let key = element(helper, 0);
            bind(helper, &first, key, part)
        });
        let Loop { start, go_on, step, result } = make(helper, parts);
        let iter_range = call(helper, ENTRIES, vec![target]);
        Ok(Some(helper.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
            iter_range,
            iter_var: ENTRY.to_owned(),
            iter_var2: None,
            accu_var: RESULT.to_owned(),
            accu_init: start,
            loop_cond: go_on,
            loop_step: step,
            result,
        })))))
    })
}

/// As many arguments as the macro is declared for.
fn taken<const N: usize>(arguments: &mut Vec<IdedExpr>) -> [IdedExpr; N] {
    <[IdedExpr; N]>::try_from(std::mem::take(arguments))
        .unwrap_or_else(|_| unreachable!("the macro is for so many"))
}

fn identifier(helper: &mut MacroExprHelper<'_>, node: IdedExpr) -> Result<String, ParseError> {
    match node.expr {
        Expr::Ident(name) => Ok(name),
        _ => Err(helper.new_error(node.id, "a name of a variable is expected here")),
    }
}

/// A loop without turns, whose result names its accumulator.
fn bind(helper: &mut MacroExprHelper<'_>, name: &str, value: IdedExpr, body: IdedExpr) -> IdedExpr {
    let iter_range = list(helper, vec![]);
    let loop_cond = truth(helper, false);
    let loop_step = ident(helper, name);
    helper.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range,
        iter_var: "@unused".to_owned(),
        iter_var2: None,
        accu_var: name.to_owned(),
        accu_init: value,
        loop_cond,
        loop_step,
        result: body,
    })))
}

fn appended(helper: &mut MacroExprHelper<'_>, element: IdedExpr) -> IdedExpr {
    let (before, more) = (ident(helper, RESULT), list(helper, vec![element]));
    call(helper, operators::ADD, vec![before, more])
}

fn element(helper: &mut MacroExprHelper<'_>, at: i64) -> IdedExpr {
    let (entry, at) = (ident(helper, ENTRY), number(helper, at));
    call(helper, operators::INDEX, vec![entry, at])
}

fn ident(helper: &mut MacroExprHelper<'_>, name: &str) -> IdedExpr {
    helper.next_expr(Expr::Ident(name.to_owned()))
}

fn call(helper: &mut MacroExprHelper<'_>, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    helper.next_expr(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
}

fn truth(helper: &mut MacroExprHelper<'_>, value: bool) -> IdedExpr {
    helper.next_expr(Expr::Literal(LiteralValue::Boolean(value.into())))
}

fn number(helper: &mut MacroExprHelper<'_>, value: i64) -> IdedExpr {
    helper.next_expr(Expr::Literal(LiteralValue::Int(value.into())))
}

fn list(helper: &mut MacroExprHelper<'_>, elements: Vec<IdedExpr>) -> IdedExpr {
    helper.next_expr(Expr::List(ListExpr::new(elements)))
}
