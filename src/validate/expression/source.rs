//! Analyses an expression before it is evaluated: its size, the names in it, the fields it reads. Knows no values.

use std::collections::BTreeSet;

use cel::ParseErrors;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::functions::{Function, Style, find};
use super::{BRACKETS_MAX, Mistake, SOURCE_BYTES_MAX};

/// A field of a variable that an expression reads: `config.a.b`, `config["a"].b`, `has(config.a.b)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRead {
    /// The variable.
    pub variable: String,
    /// Names of members and indices of elements, at least one.
    pub path: Vec<String>,
    /// Where it is read. Counted from 1.
    pub line: usize,
    pub column: usize,
}

/// What is known of an expression without evaluating it.
#[derive(Debug, Default)]
pub struct Facts {
    pub reads: Vec<FieldRead>,
    /// The variables that it names.
    pub variables: BTreeSet<String>,
}

/// Types can be named, to compare `type(x)` with.
const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// What the parser can bear.
pub fn check_size(text: &str) -> Result<(), Mistake> {
    if text.len() > SOURCE_BYTES_MAX {
        let message =
            format!("the expression has {} bytes, at most {SOURCE_BYTES_MAX} are allowed", text.len());
        return Err(Mistake::at_start(message));
    }
    let mut open = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            // Those in strings count as well, which only makes the bound stricter.
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > BRACKETS_MAX {
            let (line, column) = line_and_column(text, at);
            let message = format!("more than {BRACKETS_MAX} brackets are open here");
            return Err(Mistake { line, column, message });
        }
    }
    Ok(())
}

/// What the parser says.
pub fn syntax(errors: &ParseErrors) -> Vec<Mistake> {
    let counted = |at: isize| usize::try_from(at).unwrap_or(1).max(1);
    let mistake = |error: &cel::ParseError| Mistake {
        line: counted(error.pos.0),
        column: counted(error.pos.1),
        // What could stand there instead are names of the grammar, of no use to a reader.
        message: error.msg.split(" expecting {").next().unwrap_or_default().to_owned(),
    };
    errors.errors.iter().take(MISTAKES_MAX).map(mistake).collect()
}

/// More would follow from the first ones.
const MISTAKES_MAX: usize = 10;

/// Where a node was written, both counted from 1.
pub fn place(source: &SourceInfo, id: u64) -> (usize, usize) {
    let (start, _) = source.offset_for(id).unwrap_or_default();
    line_and_column(&source.source, start as usize)
}

fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// How deep the parts of an expression nest.
pub fn depth(expression: &IdedExpr) -> usize {
    let mut deepest = 0;
    children(expression, &mut |child| deepest = deepest.max(depth(child)));
    1 + deepest
}

/// The parts of an expression.
pub fn children<'e>(expression: &'e IdedExpr, visit: &mut dyn FnMut(&'e IdedExpr)) {
    match &expression.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(visit),
        Expr::Comprehension(each) => {
            [&each.iter_range, &each.accu_init, &each.loop_cond, &each.loop_step, &each.result]
                .into_iter()
                .for_each(visit);
        }
        Expr::List(list) => list.elements.iter().for_each(visit),
        Expr::Map(map) => map.entries.iter().for_each(|entry| entry_parts(&entry.expr, visit)),
        Expr::Struct(message) => message.entries.iter().for_each(|entry| entry_parts(&entry.expr, visit)),
        Expr::Select(select) => visit(&select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry_parts<'e>(entry: &'e EntryExpr, visit: &mut dyn FnMut(&'e IdedExpr)) {
    match entry {
        EntryExpr::MapEntry(entry) => {
            visit(&entry.key);
            visit(&entry.value);
        }
        EntryExpr::StructField(field) => visit(&field.value),
    }
}

/// Finds out what an expression reads, and refuses names that nothing has.
pub fn examine(
    expression: &IdedExpr,
    source: &SourceInfo,
    variables: &[&str],
) -> Result<Facts, Vec<Mistake>> {
    let mut examination =
        Examination { source, variables, bound: Vec::new(), facts: Facts::default(), mistakes: Vec::new() };
    examination.visit(expression);
    match examination.mistakes.is_empty() {
        true => Ok(examination.facts),
        false => Err(examination.mistakes),
    }
}

struct Examination<'e> {
    source: &'e SourceInfo,
    variables: &'e [&'e str],
    /// By the loops around.
    bound: Vec<&'e str>,
    facts: Facts,
    mistakes: Vec<Mistake>,
}

impl<'e> Examination<'e> {
    fn visit(&mut self, expression: &'e IdedExpr) {
        if let Some((root, path)) = field_path(expression) {
            self.visit_name(root);
            if let Expr::Ident(name) = &root.expr
                && self.is_variable(name)
                && !path.is_empty()
            {
                let (line, column) = place(self.source, root.id);
                let read = FieldRead { variable: name.clone(), path, line, column };
                if !self.facts.reads.contains(&read) {
                    self.facts.reads.push(read);
                }
            }
            return;
        }
        match &expression.expr {
            Expr::Call(call) => {
                let operands = call.args.len();
                match (&call.target, is_operator(&call.func_name) || call.func_name == operators::IN) {
                    (_, true) => {}
                    (None, false) => self.visit_call(expression, &call.func_name, Style::Global, operands),
                    (Some(target), false) => match namespaced(target, &call.func_name) {
                        Some(name) => {
                            self.visit_call(expression, &name, Style::Global, operands);
                            call.args.iter().for_each(|argument| self.visit(argument));
                            return;
                        }
                        None => self.visit_call(expression, &call.func_name, Style::Member, operands),
                    },
                }
                children(expression, &mut |child| self.visit(child));
            }
            Expr::Comprehension(each) => {
                self.visit(&each.iter_range);
                self.visit(&each.accu_init);
                self.bound.push(&each.accu_var);
                self.visit(&each.result);
                self.bound.push(&each.iter_var);
                self.visit(&each.loop_cond);
                self.visit(&each.loop_step);
                self.bound.truncate(self.bound.len() - 2);
            }
            Expr::Struct(_) => self.mistake(expression, "there are no message types".to_owned()),
            Expr::Unspecified => self.mistake(expression, "something is missing here".to_owned()),
            Expr::Ident(_) | Expr::List(_) | Expr::Literal(_) | Expr::Map(_) | Expr::Select(_) => {
                children(expression, &mut |child| self.visit(child));
            }
        }
    }

    fn visit_name(&mut self, root: &'e IdedExpr) {
        let Expr::Ident(name) = &root.expr else { return };
        let name = name.as_str();
        if self.is_variable(name) {
            self.facts.variables.insert(name.to_owned());
        } else if !self.bound.contains(&name) && !TYPES.contains(&name) {
            let known = self.variables.join(", ");
            self.mistake(root, format!("there is no variable `{name}`, only {known}"));
        }
    }

    fn is_variable(&self, name: &str) -> bool {
        self.variables.contains(&name) && !self.bound.contains(&name)
    }

    fn visit_call(&mut self, call: &IdedExpr, name: &str, style: Style, arguments: usize) {
        let Some(function) = find(name) else {
            return self.mistake(call, format!("there is no function `{name}`"));
        };
        if let Some(message) = misuse(function, style, arguments) {
            self.mistake(call, message);
        }
    }

    fn mistake(&mut self, at: &IdedExpr, message: String) {
        if self.mistakes.len() < MISTAKES_MAX {
            let (line, column) = place(self.source, at.id);
            self.mistakes.push(Mistake { line, column, message });
        }
    }
}

fn misuse(function: &Function, style: Style, arguments: usize) -> Option<String> {
    let name = function.name;
    match (function.style, style) {
        (Style::Global, Style::Member) => return Some(format!("`{name}` is called as `{name}(x)`")),
        (Style::Member, Style::Global) => return Some(format!("`{name}` is called as `x.{name}()`")),
        (Style::Both, _)
        | (_, Style::Both)
        | (Style::Global, Style::Global)
        | (Style::Member, Style::Member) => {}
    }
    let (at_least, at_most) = match function.style {
        // The value it is called on is an argument, or is not.
        Style::Both if style == Style::Global => (function.arguments.1, function.arguments.1),
        Style::Both => (function.arguments.0, function.arguments.0),
        Style::Global | Style::Member => function.arguments,
    };
    if (at_least..=at_most).contains(&arguments) {
        return None;
    }
    let expected =
        if at_least == at_most { at_least.to_string() } else { format!("{at_least} to {at_most}") };
    Some(format!("`{name}` takes {expected} arguments here, {arguments} are given"))
}

/// The root of a chain of fields, and their names: `None` if it is not one.
fn field_path(expression: &IdedExpr) -> Option<(&IdedExpr, Vec<String>)> {
    match &expression.expr {
        Expr::Ident(_) => Some((expression, Vec::new())),
        Expr::Select(select) => {
            let (root, mut path) = field_path(&select.operand)?;
            path.push(select.field.clone());
            Some((root, path))
        }
        Expr::Call(call) => {
            let is_step = [operators::INDEX, operators::OPT_INDEX, operators::OPT_SELECT]
                .contains(&call.func_name.as_str());
            let [operand, step] = call.args.as_slice() else { return None };
            let Expr::Literal(literal) = &step.expr else { return None };
            let token = match literal {
                LiteralValue::String(name) => name.inner().to_owned(),
                LiteralValue::Int(index) => index.inner().to_string(),
                LiteralValue::UInt(index) => index.inner().to_string(),
                LiteralValue::Boolean(_)
                | LiteralValue::Bytes(_)
                | LiteralValue::Double(_)
                | LiteralValue::Null => return None,
            };
            let (root, mut path) = field_path(operand).filter(|_| is_step)?;
            path.push(token);
            Some((root, path))
        }
        Expr::Comprehension(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_)
        | Expr::Unspecified => None,
    }
}

/// The whole name of a function that is written like a call on a value: `math.abs(x)`.
pub fn namespaced(target: &IdedExpr, name: &str) -> Option<String> {
    let Expr::Ident(namespace) = &target.expr else { return None };
    let name = format!("{namespace}.{name}");
    find(&name).map(|_| name)
}

/// Operators are calls as well, of functions that cannot be called by name.
pub fn is_operator(name: &str) -> bool {
    OPERATORS.contains(&name)
}

const OPERATORS: [&str; 20] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::OPT_INDEX,
    operators::OPT_SELECT,
    operators::NOT_STRICTLY_FALSE,
];
