//! What rules are checked against. Knows no rule.

use serde_json::Value;

use crate::model::Scope;

use super::super::expression::Variables;
use super::DOCUMENT_STEPS_MAX;

/// An effective document and what is around it. It is converted for CEL when the first rule asks, and once; the steps that it may
/// cost are shared by all rules.
pub struct RuleInput<'v> {
    config: &'v Value,
    old: Option<&'v Value>,
    scope: &'v Scope,
    levels: &'v [String],
    variables: Option<Variables<'v>>,
    old_is_set: bool,
    steps: u64,
}

impl<'v> RuleInput<'v> {
    /// `levels` are the names of the levels of the namespace, from the top.
    pub fn new(
        config: &'v Value,
        old: Option<&'v Value>,
        scope: &'v Scope,
        levels: &'v [String],
    ) -> RuleInput<'v> {
        let steps = DOCUMENT_STEPS_MAX;
        RuleInput { config, old, scope, levels, variables: None, old_is_set: false, steps }
    }

    pub(super) fn scope(&self) -> &Scope {
        self.scope
    }

    /// The variables, and the steps that are left.
    pub(super) fn prepared(&mut self, with_old: bool) -> (&Variables<'v>, &mut u64) {
        let variables = self.variables.get_or_insert_with(|| {
            let mut variables = Variables::new();
            variables.set("config", self.config);
            variables.set_text("scope", self.scope.as_str());
            let segments = self.scope.segments().chain(std::iter::repeat(""));
            variables.set_texts("levels", self.levels.iter().map(String::as_str).zip(segments));
            variables
        });
        if with_old && !self.old_is_set {
            variables.set("old", self.old.unwrap_or(&Value::Null));
            self.old_is_set = true;
        }
        (variables, &mut self.steps)
    }
}
