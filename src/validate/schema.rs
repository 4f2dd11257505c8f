//! JSON Schemas: compiled once, then checked against many documents. Knows no config but by name, no scope, and no storage.
//!
//! The `jsonschema` crate decides what is valid. This module adds what it leaves open: that checking ends, and in bounded time and
//! memory, for any schema that a client sends (`source`, `bounds`, `work`); what is told of a violation (`message`); and what a schema
//! says beside validity (`notes`, `defaults`, `permission`). The latter read an `outline` of it, where all references are followed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use jsonschema::{Retrieve, Uri, ValidationError, Validator};
use serde_json::{Value, json};

use crate::model::ConfigName;
use crate::validate::lint::credential::names_credential;
use crate::validate::{Found, FoundList, Severity};

use bounds::Bounds;
use message::Teller;
use notes::Notes;
use outline::{NodeId, Outline};
use work::Measure;

mod bounds;
mod codes;
mod defaults;
mod effect;
mod message;
mod notes;
mod outline;
mod pattern;
mod permission;
mod search;
mod source;
mod work;

pub use codes::CODES;
pub use defaults::DefaultsTooLarge;
pub use effect::without_effect;
pub use notes::Annotations;
pub use permission::Permission;
pub use source::SCHEMA_BYTES_MAX;

/// Subschemas applied to values, up to which violations are looked for in one go: each could be one, of some 300 bytes.
const VISITS_AT_ONCE_MAX: u64 = 200_000;

/// Steps to compile a subschema.
const STEPS_PER_NODE: u64 = 100;

/// A schema that documents can be checked against.
///
/// Drafts 4, 6, 7, 2019-09 and 2020-12, by `$schema`; without it, 2020-12. Formats are assertions. `$ref: "schema:NAME"` leads to the
/// schema of another config of the namespace, `"schema:NAME#/$defs/x"` to a part of it. Nothing is ever fetched.
pub struct Schema {
    /// The config whose schema it is.
    name: ConfigName,
    validator: Validator,
    outline: Outline,
    bounds: Bounds,
    notes: Notes,
    /// Of each subschema, whether one with a default can be reached.
    leads_to_default: Vec<bool>,
    /// This schema and those that it refers to, to compile parts of them.
    sources: Sources,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

/// What findings must not tell.
#[derive(Clone, Copy)]
pub struct Withheld<'a> {
    /// Places whose values no message shows, besides those that the schema marks as secret.
    pub values: &'a BTreeSet<String>,
    /// Whether a message may quote the schema of this other config, to which the schema refers. The schema itself may be quoted.
    pub may_quote: &'a MayQuote<'a>,
}

/// Tells whether the schema of a config may be quoted.
pub type MayQuote<'a> = dyn Fn(&ConfigName) -> bool + Sync + 'a;

/// Schemas by URI. What is not among them is not there.
#[derive(Clone)]
struct Sources(Arc<HashMap<String, Value>>);

/// Values of sources that may be read, in all, to compile parts of a schema on their own. Each part reads all of them at worst.
const VALUES_READ_MAX: usize = 1_000_000;

impl Schema {
    /// Compiles the schema of a config, given those of the other configs of its namespace. The errors have pointers into `source`.
    pub fn compile(
        name: &ConfigName,
        source: &Value,
        others: &BTreeMap<ConfigName, Value>,
    ) -> Result<Schema, Vec<Found>> {
        let sources = source::gather(name, source, others)?;
        let build = || Schema::build(name, source, &sources, others);
        // The compiler recurses deeper than its callers allow for.
        on_large_stack(64 << 20, build)
    }

    /// What is wrong with the form of a schema, and with what it refers to itself. What the others refer to need not be there.
    pub fn own_flaws(name: &ConfigName, source: &Value, others: &BTreeMap<ConfigName, Value>) -> Vec<Found> {
        let look = || {
            let sources = source::gather(name, source, others)?;
            check_itself(source)?;
            outline::build(name, &sources, others)
        };
        let mut found = on_large_stack(64 << 20, || look().err()).unwrap_or_default();
        // One without a place is in another schema.
        found.retain(|found| found.code != source::REFERENCE || !found.pointer.is_empty());
        found
    }

    fn build(
        name: &ConfigName,
        source: &Value,
        sources: &BTreeMap<ConfigName, &Value>,
        others: &BTreeMap<ConfigName, Value>,
    ) -> Result<Schema, Vec<Found>> {
        for (other, source) in sources {
            check_itself(source).map_err(|found| told_of(name, other, found))?;
        }
        let outline = outline::build(name, sources, others)?;
        let bounds = Bounds::of(&outline)?;
        let by_uri = sources.iter().map(|(name, source)| (source::uri_of(name), (*source).clone()));
        let sources = Sources(Arc::new(by_uri.collect()));
        let build_failed = |error: ValidationError| {
            let message = format!("cannot be compiled: {}", error.masked());
            vec![source::error("SCHEMA_INVALID", error.schema_path().as_str(), message, "")]
        };
        let uri = source::uri_of(name);
        let validator = options(&sources).with_base_uri(uri).build(source).map_err(build_failed)?;
        let mut notes = Notes::of(&outline);
        let conditions = notes.conditions(&outline);
        if conditions.len() > sources.parts_max() {
            let message =
                format!("has annotations below {} alternatives, too many for its size", conditions.len());
            let advice = "put x-deprecated, x-owner and x-restart-required outside of anyOf, oneOf and if";
            return Err(vec![source::error("SCHEMA_TOO_COMPLEX", "", message, advice)]);
        }
        for condition in conditions {
            let validator = sources.compile(&outline, condition).map_err(build_failed)?;
            notes.conditions.insert(condition, validator);
        }
        let leads_to_default = outline.leading(|node| node.default.is_some());
        if leads_to_default.contains(&true) {
            let own = source::uri_of(name);
            defaults::check(&outline, &leads_to_default, &bounds, &sources, &own)?;
        }
        Ok(Schema { name: name.clone(), validator, outline, bounds, notes, leads_to_default, sources })
    }

    /// The compiled size of its regular expressions, at most: by far the most of what a schema can take in memory.
    pub fn patterns_size(&self) -> usize {
        self.outline.patterns_size
    }

    /// The steps that it took to compile it, roughly.
    pub fn compile_steps(&self) -> u64 {
        let nodes = (self.outline.nodes.len() as u64).saturating_mul(STEPS_PER_NODE);
        nodes.saturating_add((self.outline.patterns_size >> 10) as u64 * pattern::STEPS_PER_KIB)
    }

    /// The other schemas of the namespace that a schema names.
    pub fn references(source: &Value) -> BTreeSet<ConfigName> {
        source::references(source)
    }

    /// Adds what violates the schema, and warnings for values that it calls deprecated.
    ///
    /// Takes bounded time, whatever the schema and the document: one that could take longer is refused with `SCHEMA_TOO_COSTLY`.
    pub fn check(&self, document: &Value, found: &mut FoundList) {
        self.check_without(&Withheld::NOTHING, document, found);
    }

    /// The same, with findings that tell nothing of what is withheld.
    pub fn check_without(&self, withheld: &Withheld<'_>, document: &Value, found: &mut FoundList) {
        match self.bounds.stack_bytes {
            None => self.check_here(withheld, document, found),
            Some(bytes) => on_large_stack(bytes, || self.check_here(withheld, document, found)),
        }
    }

    fn check_here(&self, withheld: &Withheld<'_>, document: &Value, found: &mut FoundList) {
        if self.is_too_costly(document) {
            found.add(Severity::Error, || too_costly(""));
            return;
        }
        if !self.validator.is_valid(document) {
            self.add_violations(withheld, document, found);
        }
        if self.notes.has_deprecated {
            let may_quote = |node: NodeId| self.may_quote(withheld, Some(node));
            for (pointer, annotations) in self.notes.each(&self.outline, document, &may_quote) {
                if let Some(advice) = annotations.deprecated {
                    found.add(Severity::Warning, || deprecated(pointer, advice));
                }
            }
        }
    }

    /// Whether it violates the schema. Quicker than `check`, and bounded as it is.
    pub fn is_valid(&self, document: &Value) -> bool {
        let is_valid = || !self.is_too_costly(document) && self.validator.is_valid(document);
        match self.bounds.stack_bytes {
            None => is_valid(),
            Some(bytes) => on_large_stack(bytes, is_valid),
        }
    }

    /// Whether a message may quote what a subschema says. `None`: it is not known which one.
    fn may_quote(&self, withheld: &Withheld<'_>, node: Option<NodeId>) -> bool {
        if self.sources.0.len() == 1 {
            return true;
        }
        let document = node.map(|node| &self.outline.node(node).place.document);
        let name = document.and_then(|document| source::name_of(document));
        name.is_some_and(|name| name == self.name || (withheld.may_quote)(&name))
    }

    fn add_violations(&self, withheld: &Withheld<'_>, document: &Value, found: &mut FoundList) {
        let mut secrets = self.secret_pointers(document);
        secrets.extend(withheld.values.iter().cloned());
        let is_secret = |pointer: &str| is_secret(&secrets, pointer);
        let names = |error: &ValidationError| self.names(error);
        let may_quote = |error: &ValidationError| self.may_quote(withheld, self.node_of(error));
        let before = found.kept().len();
        let teller = Teller { is_secret: &is_secret, names: &names, may_quote: &may_quote, code: None };
        if self.visits(outline::ROOT, document) <= VISITS_AT_ONCE_MAX {
            self.validator.iter_errors(document).for_each(|error| teller.tell(&error, found));
        } else {
            search::Search::new(self, &teller, found).run(document);
        }
        if found.kept().len() == before {
            found.add(Severity::Error, || violation(""));
        }
    }

    /// The places that hold secrets, by the keywords `x-secret` and `secret`. All below such a place is secret as well.
    pub fn secret_pointers(&self, document: &Value) -> BTreeSet<String> {
        self.notes.secrets(&self.outline, document)
    }

    /// Whether there are such places in any document.
    pub fn marks_secrets(&self) -> bool {
        self.notes.lead_to_secret()
    }

    /// What the schema says of the values of a document beside validity, by pointer.
    pub fn annotations(&self, document: &Value) -> BTreeMap<String, Annotations> {
        self.notes.each(&self.outline, document, &|_| true).into_iter().collect()
    }

    /// Puts the `default` of each property that a schema names where an object of the document lacks it: through `$ref` and `allOf`, below
    /// properties and elements that exist, and below defaults that were put. Never through `anyOf`, `oneOf`, `if` and
    /// `dependentSchemas`: what applies there would depend on what is put. After an error, the document is partly filled.
    pub fn fill_defaults(&self, document: &mut Value) -> Result<(), DefaultsTooLarge> {
        defaults::fill(&self.outline, &self.leads_to_default, document)
    }

    /// The document with its defaults filled in, if that changes it. The error is a finding.
    pub fn with_defaults(&self, document: &Value) -> Result<Option<Value>, Found> {
        if !self.leads_to_default[outline::ROOT] {
            return Ok(None);
        }
        let mut filled = document.clone();
        match self.fill_defaults(&mut filled) {
            Ok(()) => Ok((filled != *document).then_some(filled)),
            Err(error) => {
                Err(source::error("SCHEMA_DEFAULT", "", error.to_string(), "use fewer nested defaults"))
            }
        }
    }

    /// Whether a valid document can have the field at a path of names.
    pub fn permits_field(&self, path: &[&str]) -> Permission {
        permission::of(&self.outline, path)
    }

    /// The steps that it takes to check a document, at most; exact only where they could be more than `enough`.
    pub fn steps(&self, document: &Value, enough: u64) -> u64 {
        let measure = (Measure::Steps, enough);
        work::count(&self.outline, &self.bounds, outline::ROOT, document, measure)
    }

    fn is_too_costly(&self, document: &Value) -> bool {
        let measure = (Measure::Steps, work::STEPS_MAX);
        work::count(&self.outline, &self.bounds, outline::ROOT, document, measure) > work::STEPS_MAX
    }

    fn visits(&self, node: NodeId, document: &Value) -> u64 {
        let measure = (Measure::Visits, VISITS_AT_ONCE_MAX);
        work::count(&self.outline, &self.bounds, node, document, measure)
    }

    /// The subschema that is violated, and the keyword of it.
    fn place_of(&self, error: &ValidationError) -> Option<(NodeId, String)> {
        let location = error.absolute_keyword_location()?;
        let (base, fragment) = location.as_str().split_once('#').unwrap_or((location.as_str(), ""));
        let pointer = percent_encoding::percent_decode_str(fragment).decode_utf8_lossy();
        let (pointer, keyword) = pointer.rsplit_once('/').unwrap_or(("", ""));
        Some((self.outline.find(base, pointer)?, keyword.to_owned()))
    }

    fn node_of(&self, error: &ValidationError) -> Option<NodeId> {
        self.place_of(error).map(|(node, _)| node)
    }

    /// The names of properties that the schema knows where a violation is.
    fn names(&self, error: &ValidationError) -> Vec<String> {
        let Some((node, keyword)) = self.place_of(error).filter(|(_, keyword)| !keyword.is_empty()) else {
            return Vec::new();
        };
        let nodes =
            if keyword == "additionalProperties" { vec![node] } else { self.outline.perhaps(&[node]) };
        let names: BTreeSet<&String> =
            nodes.into_iter().flat_map(|id| self.outline.node(id).properties.keys()).take(1000).collect();
        names.into_iter().cloned().collect()
    }
}

impl Withheld<'static> {
    pub const NOTHING: Withheld<'static> = Withheld { values: &BTreeSet::new(), may_quote: &|_| true };
}

impl Sources {
    /// How many parts may be compiled on their own.
    fn parts_max(&self) -> usize {
        VALUES_READ_MAX / self.0.values().map(source::count).sum::<usize>().max(1)
    }

    /// The validator of a part.
    fn compile(&self, outline: &Outline, node: NodeId) -> Result<Validator, ValidationError<'static>> {
        options(self).build(&json!({ "$ref": outline.node(node).place.uri() }))
    }
}

impl Retrieve for Sources {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        self.0.get(uri.as_str()).cloned().ok_or_else(|| "nothing is fetched".into())
    }
}

fn options(sources: &Sources) -> jsonschema::ValidationOptions<'static> {
    // Schemas may refer to the meta-schemas of all drafts.
    let options = jsonschema::options().with_registry(&referencing::SPECIFICATIONS);
    let options = options.with_retriever(sources.clone()).should_validate_formats(true);
    pattern::with_linear_engine(options)
}

/// Checks a schema against the meta-schema of its draft.
fn check_itself(source: &Value) -> Result<(), Vec<Found>> {
    if let Some(draft) = source.get("$schema")
        && draft
            .as_str()
            .is_none_or(|uri| jsonschema::Draft::from_schema_uri(uri) == jsonschema::Draft::Unknown)
    {
        let message = format!("{draft} is no draft that is known: 4, 6, 7, 2019-09 and 2020-12 are");
        let advice = "write \"https://json-schema.org/draft/2020-12/schema\"";
        return Err(vec![source::error("SCHEMA_DRAFT", "/$schema", message, advice)]);
    }
    let code = "SCHEMA_INVALID";
    let meta = jsonschema::meta::validator_for(source)
        .map_err(|failure| vec![source::error(code, "", failure.masked().to_string(), "")])?;
    let mut found = FoundList::default();
    let teller =
        Teller { is_secret: &|_| false, names: &|_| Vec::new(), may_quote: &|_| true, code: Some(code) };
    meta.iter_errors(source).for_each(|error| teller.tell(&error, &mut found));
    match found.into_kept() {
        found if found.is_empty() => Ok(()),
        found => Err(found),
    }
}

/// Of another schema, the places are told in words: the pointers are those into the one that is put.
fn told_of(name: &ConfigName, other: &ConfigName, mut found: Vec<Found>) -> Vec<Found> {
    if name != other {
        for found in &mut found {
            found.message = format!("in {}#{}: {}", source::uri_of(other), found.pointer, found.message);
            found.pointer.clear();
        }
    }
    found
}

/// The place is in one that is marked as secret, or has a name on the way that looks like that of a credential.
fn is_secret(secrets: &BTreeSet<String>, pointer: &str) -> bool {
    let is_within = |secret: &String| {
        pointer.strip_prefix(secret.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    secrets.iter().any(is_within) || pointer.split('/').any(names_credential)
}

/// Nothing better is known to say.
fn violation(pointer: &str) -> Found {
    let message =
        "does not match the schema, in a way that could only be told for a smaller document".to_owned();
    source::error("SCHEMA_VIOLATION", pointer, message, "")
}

fn too_costly(pointer: &str) -> Found {
    let message = format!("checking this document could take more than {} steps", work::STEPS_MAX);
    let advice = "use fewer nested anyOf, oneOf and allOf that apply to the same value, and maxLength in place of counted repetitions";
    source::error("SCHEMA_TOO_COSTLY", pointer, message, advice)
}

fn deprecated(pointer: String, advice: String) -> Found {
    let message =
        if advice.is_empty() { "is deprecated".to_owned() } else { format!("is deprecated: {advice}") };
    Found {
        severity: Severity::Warning,
        code: "DEPRECATED".into(),
        pointer,
        message,
        suggestion: String::new(),
    }
}

/// Runs what recurses deep on a thread of its own.
fn on_large_stack<T: Send>(bytes: usize, run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("schema".into()).stack_size(bytes).spawn_scoped(scope, run);
        match thread.expect("the system has a thread to spare").join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests;
