//! What an expression can name, converted from JSON once for all expressions that are evaluated with it. Knows no expression.

use cel::Context;
use cel::common::types::CelString;
use serde_json::Value;

use super::{functions, value};

/// Variables by name. Strings are borrowed from the JSON values.
pub struct Variables<'v>(Context<'v, 'v>);

impl<'v> Variables<'v> {
    pub fn new() -> Variables<'v> {
        Variables(Context::with_env(functions::environment().clone()))
    }

    pub fn set(&mut self, name: &str, json: &'v Value) {
        self.0.add_variable_as_val(name, value::from_json(json));
    }

    pub fn set_text(&mut self, name: &str, text: &'v str) {
        self.0.add_variable_as_val(name, Box::new(CelString::from(text)));
    }

    pub fn set_texts(&mut self, name: &str, members: impl Iterator<Item = (&'v str, &'v str)>) {
        self.0.add_variable_as_val(name, Box::new(value::map_of_texts(members)));
    }

    pub(super) fn context(&self) -> &Context<'v, 'v> {
        &self.0
    }
}

impl Default for Variables<'_> {
    fn default() -> Self {
        Variables::new()
    }
}
