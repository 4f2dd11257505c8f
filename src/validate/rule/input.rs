//! What rules are checked against. Knows no rule.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::Scope;

use super::super::expression::Variables;
use super::DOCUMENT_STEPS_MAX;

static NONE: BTreeSet<String> = BTreeSet::new();

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
    /// Places of the documents with a mask instead of a secret.
    masked: &'v BTreeSet<String>,
    /// What messages are made of instead.
    told_of: Option<(&'v Value, Option<&'v Value>)>,
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
        let (variables, old_is_set, masked, told_of) = (None, false, &NONE, None);
        RuleInput { config, old, scope, levels, variables, old_is_set, steps, masked, told_of }
    }

    /// The documents have a mask at these places, instead of a secret that the caller may not see.
    pub fn with_masks(self, masked: &'v BTreeSet<String>) -> RuleInput<'v> {
        RuleInput { masked, ..self }
    }

    pub(super) fn masked(&self) -> &'v BTreeSet<String> {
        self.masked
    }

    /// Has messages made of other documents than those that are checked: without what must not be told.
    pub fn tell_of(&mut self, config: &'v Value, old: Option<&'v Value>) {
        self.told_of = Some((config, old));
    }

    /// The variables for messages, and the steps that are left.
    pub(super) fn with_told<T>(
        &mut self,
        with_old: bool,
        tell: impl FnOnce(&Variables<'v>, &mut u64) -> T,
    ) -> T {
        match self.told_of {
            None => {
                let (variables, steps) = self.prepared(with_old);
                tell(variables, steps)
            }
            Some((config, old)) => {
                let variables = self.variables_of(config, Some(old));
                tell(&variables, &mut self.steps)
            }
        }
    }

    fn variables_of(&self, config: &'v Value, old: Option<Option<&'v Value>>) -> Variables<'v> {
        let mut variables = Variables::new();
        variables.set("config", config);
        variables.set_text("scope", self.scope.as_str());
        let segments = self.scope.segments().chain(std::iter::repeat(""));
        variables.set_texts("levels", self.levels.iter().map(String::as_str).zip(segments));
        if let Some(old) = old {
            variables.set("old", old.unwrap_or(&Value::Null));
        }
        variables
    }

    /// The steps that rules have taken.
    pub fn steps_taken(&self) -> u64 {
        DOCUMENT_STEPS_MAX - self.steps
    }

    pub(super) fn scope(&self) -> &Scope {
        self.scope
    }

    /// The variables, and the steps that are left.
    pub(super) fn prepared(&mut self, with_old: bool) -> (&Variables<'v>, &mut u64) {
        if self.variables.is_none() {
            self.variables = Some(self.variables_of(self.config, None));
        }
        let variables = self.variables.as_mut().expect("they were made above");
        if with_old && !self.old_is_set {
            variables.set("old", self.old.unwrap_or(&Value::Null));
            self.old_is_set = true;
        }
        (variables, &mut self.steps)
    }
}
