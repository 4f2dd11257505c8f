//! What one config must satisfy: its schema, the rules for it and for its namespace, and the lints. Put together from the configs that
//! govern it; knows none of those that it governs.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::advice::NEEDS_REVEAL;
use super::lint::{LayerInput, LintInput, check_document, check_layer, is_production, is_unchanged};
use super::registry::malformed;
use super::schema::{MayQuote, Withheld};
use super::{Found, FoundList, Permission, Registry, RuleInput, RuleSet, Schema, Settings, Severity};
use crate::model::{ConfigName, Governs, LayerKind, Pointer, Scope};

/// What a config must satisfy.
#[derive(Clone, Debug, Default)]
pub struct Contract {
    schema: Option<Arc<Schema>>,
    accept_existing: bool,
    rules: Vec<Arc<RuleSet>>,
    settings: Settings,
    /// Where in documents to look.
    within: Option<Arc<Pointer>>,
}

/// Something in a config that governs others, because of which it cannot be told what they must satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub governing: ConfigName,
    pub found: Found,
}

/// A document to be checked.
pub struct CheckedDocument<'a> {
    pub scope: &'a Scope,
    pub document: &'a Value,
    /// The effective document of the scope before the change. `None`: there was none.
    pub old: Option<&'a Value>,
    /// What must not be told of, and the documents without it. `None`: there is nothing of the kind.
    pub hidden: Option<&'a Hidden>,
    /// Places at which the documents have a mask, since the caller may not see the secret there.
    pub masked: &'a BTreeSet<String>,
    /// Whether a finding may quote the schema of this other config.
    pub may_quote: &'a MayQuote<'a>,
}

/// In the place of a default that is a secret.
const HIDDEN: &str = "***";

const DEPRECATED: &str = "DEPRECATED";

/// Codes of violations that a place above a secret can have because of it.
const MAY_DEPEND_ON_PARTS: [&str; 9] = [
    "SCHEMA_ANY_OF",
    "SCHEMA_ONE_OF",
    "SCHEMA_NOT",
    "SCHEMA_CONST",
    "SCHEMA_ENUM",
    "SCHEMA_CONTAINS",
    "SCHEMA_UNIQUE_ITEMS",
    "SCHEMA_ADDITIONAL_ITEM",
    "SCHEMA_VIOLATION",
];

/// Values that no finding may show.
pub struct Hidden {
    /// Their places, in either document.
    pub places: BTreeSet<String>,
    /// The document, and the one before, with something else there.
    pub document: Value,
    pub old: Option<Value>,
}

/// The steps that it takes to check documents: the same ones always take the same.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    enough: u64,
    taken: u64,
}

/// Steps of a schema in the time of one of an expression.
pub(super) const STEPS_PER_RULE_STEP: u64 = 8;

impl Steps {
    /// Of a document that is told to take no more than `enough`, it is not counted exactly how many it takes.
    pub fn beyond(enough: u64) -> Steps {
        Steps { enough, taken: 0 }
    }

    fn uncounted() -> Steps {
        Steps::beyond(u64::MAX)
    }

    pub fn taken(&self) -> u64 {
        self.taken
    }

    fn add(&mut self, steps: u64) {
        self.taken = self.taken.saturating_add(steps);
    }
}

/// Stored documents that govern, by name.
pub(super) type Documents<'a> = &'a dyn Fn(&ConfigName) -> Option<Value>;

/// The rules for all configs of a namespace: compiled once for all of their contracts.
#[derive(Debug, Default)]
pub struct NamespaceRules(OnceLock<Option<Compiled>>);

/// Rules, or what is wrong with them.
type Compiled = Result<Arc<RuleSet>, Vec<Found>>;

impl NamespaceRules {
    fn get(&self, documents: Documents<'_>) -> &Option<Compiled> {
        self.0.get_or_init(|| compile_rules(&Governs::Rules(None), documents))
    }
}

impl Contract {
    /// Puts together what governs a config.
    pub fn build(
        governed: &ConfigName,
        documents: Documents<'_>,
        of_namespace: &NamespaceRules,
    ) -> Result<Contract, Vec<Broken>> {
        let mut broken = vec![];
        let (schema, accept_existing) = match build_schema(governed, documents, &mut broken) {
            Some((schema, accept_existing)) => (Some(Arc::new(schema)), accept_existing),
            None => (None, false),
        };
        let of_all = of_namespace.get(documents).clone();
        let own = Governs::Rules(Some(governed.clone()));
        let compiled = [(Governs::Rules(None), of_all), (own.clone(), compile_rules(&own, documents))];
        let rules = compiled.into_iter().filter_map(|(governs, compiled)| {
            usable_rules(&governs, compiled?, schema.as_deref(), &mut broken)
        });
        let rules = rules.collect();
        let of_config = Governs::Settings(Some(governed.clone())).name();
        let of_namespace = Governs::Settings(None).name();
        let settings = Settings::parse(documents(&of_namespace).as_ref(), documents(&of_config).as_ref());
        let settings = settings.unwrap_or_else(|wrong| {
            broken.extend(wrong.into_iter().map(|(is_of_config, found)| {
                let governing = if is_of_config { &of_config } else { &of_namespace };
                Broken { governing: governing.clone(), found }
            }));
            Settings::default()
        });
        if broken.is_empty() {
            Ok(Contract { schema, accept_existing, rules, settings, within: None })
        } else {
            Err(broken)
        }
    }

    pub fn schema(&self) -> Option<&Arc<Schema>> {
        self.schema.as_ref()
    }

    #[cfg(test)]
    pub fn shares_rules_with(&self, other: &Contract) -> bool {
        self.rules.iter().zip(&other.rules).all(|(one, other)| Arc::ptr_eq(one, other))
            && !self.rules.is_empty()
    }

    /// The steps that it took to compile what is in it for this config alone.
    pub fn compile_steps(&self) -> u64 {
        self.schema.as_ref().map_or(0, |schema| schema.compile_steps())
    }

    /// What it takes in memory, roughly and at most.
    pub fn size(&self) -> usize {
        let of_schema = self.schema.as_ref().map_or(0, |schema| schema.patterns_size());
        of_schema + self.rules.iter().map(|rules| rules.patterns_size()).sum::<usize>()
    }

    /// The same, of which only what it finds at a place of documents or below it is told.
    pub fn within(&self, place: Option<Arc<Pointer>>) -> Contract {
        Contract { within: place, ..self.clone() }
    }

    /// The finding about a layer at this scope, if the namespace does not allow the scope. `may_quote`: the caller may read the settings.
    pub fn check_scope(&self, scope: &Scope, is_new: bool, may_quote: bool) -> FoundList {
        let mut found = self.list();
        if !self.settings.scopes.allow(scope) {
            let refusal = self.settings.scopes.refusal(scope, is_new, may_quote);
            found.add(refusal.severity, || refusal);
        }
        self.be_strict(found)
    }

    /// Whether it is little work to check a document.
    pub fn is_light(&self) -> bool {
        self.schema.is_none() && self.rules.is_empty()
    }

    /// Whether it matters what a document was before the change.
    pub fn reads_old(&self) -> bool {
        self.accept_existing || self.rules.iter().any(|rules| rules.names_old())
    }

    /// Checks a document against schema and rules: as it is, and as clients get it who ask for the defaults of the schema.
    pub fn check(&self, subject: &CheckedDocument<'_>) -> FoundList {
        self.check_counting(subject, &mut Steps::uncounted())
    }

    /// The same, and counts the steps that it takes.
    pub fn check_counting(&self, subject: &CheckedDocument<'_>, steps: &mut Steps) -> FoundList {
        let mut found = self.check_as_it_is(subject, steps);
        let filled = match self.filled(subject.document) {
            Ok(None) => return found,
            Ok(Some(filled)) => filled,
            Err(wrong) => {
                found.add(Severity::Error, || wrong);
                return found;
            }
        };
        let fill = |document: &Value| self.filled(document).ok().flatten();
        let old = subject.old.and_then(fill);
        let filled_or_same = |document: &Value| fill(document).unwrap_or_else(|| document.clone());
        let hidden = subject.hidden.map(|hidden| Hidden {
            places: hidden.places.clone(),
            document: filled_or_same(&hidden.document),
            old: hidden.old.as_ref().map(filled_or_same),
        });
        let hidden = self.with_secret_defaults_hidden(hidden, &filled, old.as_ref().or(subject.old));
        let with_defaults = CheckedDocument {
            scope: subject.scope,
            document: &filled,
            old: old.as_ref().or(subject.old),
            hidden: hidden.as_ref(),
            masked: subject.masked,
            may_quote: subject.may_quote,
        };
        let known: BTreeSet<_> =
            found.kept().iter().map(|found| (found.pointer.clone(), found.code.clone())).collect();
        for new in self.check_as_it_is(&with_defaults, steps).into_kept() {
            if !known.contains(&(new.pointer.clone(), new.code.clone())) {
                found.add(new.severity, || Found {
                    message: format!("with the defaults of the schema: {}", new.message),
                    ..new
                });
            }
        }
        found
    }

    /// What must not be told of a document with defaults: also the defaults of secrets.
    fn with_secret_defaults_hidden(
        &self,
        hidden: Option<Hidden>,
        filled: &Value,
        old: Option<&Value>,
    ) -> Option<Hidden> {
        let Some(schema) = self.schema.as_ref().filter(|schema| schema.marks_secrets()) else {
            return hidden;
        };
        let mut places = schema.secret_pointers(filled);
        places.extend(old.into_iter().flat_map(|old| schema.secret_pointers(old)));
        if places.is_empty() {
            return hidden;
        }
        let mut hidden = hidden.unwrap_or_else(|| Hidden {
            places: BTreeSet::new(),
            document: filled.clone(),
            old: old.cloned(),
        });
        for document in [Some(&mut hidden.document), hidden.old.as_mut()].into_iter().flatten() {
            for place in &places {
                if let Some(value) = document.pointer_mut(place) {
                    *value = Value::from(HIDDEN);
                }
            }
        }
        hidden.places.extend(places);
        Some(hidden)
    }

    /// The document with defaults, if there are any that it lacks.
    fn filled(&self, document: &Value) -> Result<Option<Value>, Found> {
        self.schema.as_ref().map_or(Ok(None), |schema| schema.with_defaults(document))
    }

    fn check_as_it_is(&self, subject: &CheckedDocument<'_>, steps: &mut Steps) -> FoundList {
        let mut found = self.list();
        self.check_schema(subject, steps, &mut found);
        if !self.rules.is_empty() {
            let mut input =
                RuleInput::new(subject.document, subject.old, subject.scope, &self.settings.levels);
            input = input.with_masks(subject.masked);
            if let Some(hidden) = subject.hidden {
                input.tell_of(&hidden.document, hidden.old.as_ref());
            }
            self.rules.iter().for_each(|rules| rules.check(&mut input, &mut found));
            steps.add(input.steps_taken().saturating_mul(STEPS_PER_RULE_STEP));
        }
        self.be_strict(found)
    }

    /// Looks at a document that clients receive for what is valid and yet most likely a mistake.
    pub fn lint(&self, scope: &Scope, document: &Value) -> FoundList {
        self.lint_where(scope, document, None)
    }

    /// The same, given what was found in the document above, which the layers of the scope change. Where both are in production or
    /// neither is, only what they change is looked at.
    pub fn lint_below(
        &self,
        above: (&Scope, &[Found]),
        layers: &[Value],
        subject: (&Scope, &Value),
    ) -> FoundList {
        let ((above, inherited), (scope, document)) = (above, subject);
        if self.is_production(above) != self.is_production(scope) {
            return self.lint(scope, document);
        }
        let is_unchanged = |found: &&Found| layers.iter().all(|layer| is_unchanged(found, layer, document));
        let mut all: Vec<Found> = inherited.iter().filter(is_unchanged).cloned().collect();
        for layer in layers {
            let new = self.lint_where(scope, document, Some(layer)).into_kept();
            let new: Vec<Found> = new.into_iter().filter(|found| !all.contains(found)).collect();
            all.extend(new);
        }
        let mut found = self.list();
        all.into_iter().for_each(|one| found.add(one.severity, || one));
        found
    }

    /// Whether users see the environment of a scope, by its name.
    fn is_production(&self, scope: &Scope) -> bool {
        let environment = self.settings.levels.iter().position(|level| level == "environment");
        environment.and_then(|at| scope.segments().nth(at)).is_some_and(is_production)
    }

    fn lint_where(&self, scope: &Scope, document: &Value, change: Option<&Value>) -> FoundList {
        let mut found = self.list();
        // Only asked for where something looks like a secret.
        let secrets = OnceCell::new();
        let is_secret = |pointer: &str| {
            let secrets = secrets.get_or_init(|| {
                self.schema.as_ref().map(|schema| schema.secret_pointers(document)).unwrap_or_default()
            });
            secrets.iter().any(|secret: &String| {
                pointer
                    .strip_prefix(secret.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let input = LintInput {
            document,
            is_production: self.is_production(scope),
            change,
            secret: &is_secret,
            settings: &self.settings.lints,
        };
        check_document(&input, &mut found);
        self.be_strict(found)
    }

    /// Looks at a layer beside what it inherits.
    pub fn lint_layer(&self, kind: LayerKind, layer: &Value, inherited: &Value) -> FoundList {
        let mut found = self.list();
        let inherited = Some(inherited);
        check_layer(&LayerInput { layer, kind, inherited, settings: &self.settings.lints }, &mut found);
        self.be_strict(found)
    }

    fn list(&self) -> FoundList {
        FoundList::within(self.within.clone())
    }

    fn check_schema(&self, subject: &CheckedDocument<'_>, steps: &mut Steps, found: &mut FoundList) {
        let Some(schema) = &self.schema else { return };
        let none = BTreeSet::new();
        let values = subject.hidden.map_or(&none, |hidden| &hidden.places);
        let withheld = Withheld { values, may_quote: subject.may_quote };
        let mut check = |document: &Value, mut list: FoundList| {
            steps.add(schema.steps(document, steps.enough));
            schema.check_without(&withheld, document, &mut list);
            if !subject.masked.is_empty() {
                list.filter_map(|found| as_seen(found, subject.masked));
            }
            list
        };
        if !self.accept_existing {
            let violations = check(subject.document, std::mem::take(found));
            *found = violations;
            return;
        }
        let violations = check(subject.document, self.list());
        let mut before = FoundList::default();
        if let Some(old) = subject.old.filter(|_| violations.has_errors()) {
            before = check(old, before);
        }
        let before: BTreeSet<_> = before.kept().iter().map(|found| (&found.pointer, &found.code)).collect();
        // Of more than can be told, it is not known whether they are all old.
        let may_be_old = violations.dropped(Severity::Error) == 0;
        for violation in violations.into_kept() {
            let is_old = may_be_old && before.contains(&(&violation.pointer, &violation.code));
            let severity =
                if is_old { Severity::Warning.max(violation.severity) } else { violation.severity };
            found.add(severity, || Found { severity, ..violation });
        }
    }

    fn be_strict(&self, found: FoundList) -> FoundList {
        match self.settings.strict {
            true => found.with_warnings_as_errors(),
            false => found,
        }
    }
}

/// A violation in a document that has a mask at these places: left out where it is about a mask, and without its details where it may
/// be due to one.
fn as_seen(found: Found, masked: &BTreeSet<String>) -> Option<Found> {
    let within = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // That a secret is there is known.
    if masked.iter().any(|place| within(place, &found.pointer)) && found.code != DEPRECATED {
        return None;
    }
    let secret = masked.iter().find(|place| within(&found.pointer, place));
    match secret.filter(|_| MAY_DEPEND_ON_PARTS.contains(&&*found.code)) {
        None => Some(found),
        Some(place) => Some(Found {
            message: format!(
                "whether this matches depends on the secret at {place}, which the caller may not see"
            ),
            suggestion: NEEDS_REVEAL.to_owned(),
            ..found
        }),
    }
}

/// The active schema of a config, and whether violations that exist are accepted.
fn build_schema(
    governed: &ConfigName,
    documents: Documents<'_>,
    broken: &mut Vec<Broken>,
) -> Option<(Schema, bool)> {
    let name = Governs::Schema(governed.clone()).name();
    let document = documents(&name)?;
    let mut tell = |found: Vec<Found>| {
        broken.extend(found.into_iter().map(|found| Broken { governing: name.clone(), found }));
    };
    let registry = match Registry::parse(&document) {
        Ok(registry) => registry,
        Err(found) => {
            tell(found);
            return None;
        }
    };
    let mut others = BTreeMap::new();
    let references = registry.versions.iter().flat_map(|version| Schema::references(&version.schema));
    gather(references, governed, documents, &mut others);
    let mut active = None;
    for (at, version) in registry.versions.iter().enumerate() {
        match Schema::compile(governed, &version.schema, &others) {
            Ok(schema) if version.number == registry.active => {
                active = Some((schema, registry.accept_existing))
            }
            Ok(_) => {}
            Err(found) => {
                tell(found.into_iter().map(|found| found.below(&format!("/versions/{at}/schema"))).collect())
            }
        }
    }
    active
}

/// A set of rules, if there is one.
fn compile_rules(governs: &Governs, documents: Documents<'_>) -> Option<Compiled> {
    Some(RuleSet::parse(&documents(&governs.name())?).map(Arc::new))
}

/// A set of rules that can be used. Those of one config must not read what its schema rules out.
fn usable_rules(
    governs: &Governs,
    rules: Compiled,
    schema: Option<&Schema>,
    broken: &mut Vec<Broken>,
) -> Option<Arc<RuleSet>> {
    let name = governs.name();
    let found = match (&rules, schema, governs) {
        (Err(found), ..) => found.clone(),
        (Ok(rules), Some(schema), Governs::Rules(Some(_))) => {
            rules.check_fields(&|path| schema.permits_field(path) == Permission::No)
        }
        (Ok(_), ..) => vec![],
    };
    broken.extend(found.into_iter().map(|found| Broken { governing: name.clone(), found }));
    rules.ok()
}

/// What is wrong with the layers of a config that governs: it has one, for all.
pub fn check_place(scope: &Scope, is_override: bool) -> Option<Found> {
    let message = match (scope.is_global(), is_override) {
        (true, false) => return None,
        (false, _) => "what governs a config stands at /",
        (true, true) => "what governs a config has no overrides",
    };
    Some(malformed("", message))
}

/// Adds the active schemas of these configs and all that they refer to.
pub(super) fn gather(
    names: impl IntoIterator<Item = ConfigName>,
    except: &ConfigName,
    documents: Documents<'_>,
    others: &mut BTreeMap<ConfigName, Value>,
) {
    let mut missing: Vec<ConfigName> = names.into_iter().collect();
    while let Some(next) = missing.pop() {
        if next == *except || others.contains_key(&next) {
            continue;
        }
        let stored = documents(&Governs::Schema(next.clone()).name());
        if let Some(other) = stored.and_then(|document| Registry::parse(&document).ok()) {
            let schema = other.active().schema.clone();
            missing.extend(Schema::references(&schema));
            others.insert(next, schema);
        }
    }
}
