//! The files and other texts of a write, and the places in them that findings are about. Knows layers by name; a server decides which layer
//! counts.
//!
//! A finding is about the effective document of a scope, to which many layers may have contributed. A place in a file is told only
//! if it is this file that says what was found: no other file of the write does it below, and no stored layer.

use std::collections::BTreeMap;
use std::ops::Range;

use super::locate::{Places, ValueSpans};
use crate::cli::Session;
use crate::cli::input::args::DocumentFormat;
use crate::cli::output::excerpt::{Excerpt, all_but};
use crate::cli::output::exit::Failure;
use crate::client::ClientError;
use crate::model::Scope;
use crate::model::limits::TEXT_BYTES_MAX;
use crate::model::pointer::Pointer;
use crate::model::text::{DocumentError, Format, parse};
use crate::proto::v1;
use crate::validate::lint::credential::names_credential;

/// So many findings are looked up: each may be a question to the server.
const LOOKUPS_MAX: usize = 50;
/// Findings of this kind are about the name of a member, not its value.
const ABOUT_NAMES: [&str; 5] =
    ["SCHEMA_ADDITIONAL_PROPERTY", "SCHEMA_PROPERTY_NAME", "SIMILAR_KEYS", "DEPRECATED", "CREDENTIAL"];
/// The field of a request that has a schema by itself.
const SCHEMA_FIELD: &str = "schema";

/// The layer that a text is, or is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerId {
    pub namespace: String,
    pub config: String,
    pub scope: Scope,
    pub kind: v1::LayerKind,
}

/// A text that was written by someone, and sent.
#[derive(Clone, Debug)]
pub struct Source {
    /// The field of the request that has it.
    pub field: String,
    /// What the one who typed the command calls it.
    pub name: String,
    pub format: DocumentFormat,
    pub text: String,
    /// `None`: it is none, but a patch of one, say.
    pub layer: Option<LayerId>,
    /// The place of the text within the layer; `""` is the whole of it.
    pub place: String,
}

/// The texts of one write.
#[derive(Clone, Debug, Default)]
pub struct Sources(pub Vec<Source>);

impl Sources {
    /// The same failure, with the fields that are at fault called by what was typed.
    pub fn naming(&self, error: &ClientError, failure: Failure) -> Failure {
        let is_at_fault =
            |source: &&Source| error.violations().iter().any(|violation| violation.field == source.field);
        let at_fault = self.0.iter().filter(is_at_fault);
        at_fault.fold(failure, |failure, source| failure.naming(&source.field, &source.name))
    }

    /// Where it is in one of these texts that it cannot be read at all.
    pub fn unreadable(&self, error: &ClientError) -> Option<Excerpt> {
        let field = &error.violations().first()?.field;
        self.0.iter().find(|source| source.field == *field)?.unreadable()
    }

    /// For each finding where it is in these texts. Of many only the first are looked up.
    pub async fn excerpts(
        &self,
        findings: &[v1::Finding],
        session: Option<&Session>,
    ) -> Vec<Option<Excerpt>> {
        let mut lookup = Lookup { sources: &self.0, places: BTreeMap::new(), session };
        let mut excerpts = Vec::with_capacity(findings.len());
        for (at, finding) in findings.iter().enumerate() {
            excerpts.push(if at < LOOKUPS_MAX { lookup.excerpt(finding).await } else { None });
        }
        excerpts
    }
}

impl Source {
    /// Why this cannot be read, and where.
    pub fn read_error(&self) -> Option<(DocumentError, Option<Excerpt>)> {
        let error = parse(&self.text, self.model_format(), TEXT_BYTES_MAX).err()?;
        let (line, column) = (error.line?, error.column?);
        let column = match self.model_format() {
            Format::Json => character_of_byte(&self.text, line, column),
            Format::Yaml | Format::Toml => Some(column),
        };
        // In a text that cannot be read it is not known what is a secret: the first name of the line is shown, and what is no value.
        let hides = !self.governs();
        let excerpt = column.and_then(|column| Excerpt::at(&self.name, &self.text, line, column, hides));
        Some((error, excerpt))
    }

    fn unreadable(&self) -> Option<Excerpt> {
        self.read_error()?.1
    }

    pub fn model_format(&self) -> Format {
        match self.format {
            DocumentFormat::Json => Format::Json,
            DocumentFormat::Yaml => Format::Yaml,
            DocumentFormat::Toml => Format::Toml,
        }
    }

    /// The line of a place. Of a layer it shows the names and, unless a secret is there, the value that the finding is about: what else is in the
    /// line may be a secret that the finding says nothing of.
    fn excerpt(&self, place: ValueSpans, places: &Places<'_>, value: Shown) -> Option<Excerpt> {
        let is_about_name = value == Shown::Name;
        let (key, found) = (place.key, place.value);
        let span = if is_about_name { key.or(found.clone()) } else { found.clone().or(key) }?;
        if self.governs() {
            return Excerpt::of(&self.name, &self.text, &span, &[]);
        }
        let mut visible = places.names();
        if let (Shown::Value, Some(found)) = (value, found.filter(|found| self.is_scalar(found))) {
            let rest = self.text[found.end..].lines().next().unwrap_or_default();
            let comment = rest.trim_start().starts_with('#') && rest.starts_with(char::is_whitespace);
            let end = if comment { found.end + rest.len() } else { found.end };
            visible.push(found.start..end);
        }
        Excerpt::of(&self.name, &self.text, &span, &all_but(&self.text, &span, &visible))
    }

    /// Whether the text is a schema, rules or settings, in which no value is a secret.
    fn governs(&self) -> bool {
        self.layer.as_ref().is_some_and(|layer| layer.config.contains(':')) || self.field == SCHEMA_FIELD
    }

    fn is_scalar(&self, value: &Range<usize>) -> bool {
        self.text.get(value.clone()).is_some_and(|text| !text.starts_with(['{', '[']))
    }
}

/// What a finding is about, and what of it may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The value at the place, which is no secret.
    Value,
    /// The value at the place, which is or may be a secret.
    Nothing,
    /// The name of the member.
    Name,
}

impl Shown {
    fn of(finding: &v1::Finding) -> Shown {
        match finding {
            finding if ABOUT_NAMES.contains(&finding.code.as_str()) => Shown::Name,
            finding if finding.secret || speaks_of_credentials(&finding.pointer) => Shown::Nothing,
            _ => Shown::Value,
        }
    }
}

/// Whether a name on the way to a place says that there is a credential.
fn speaks_of_credentials(pointer: &str) -> bool {
    pointer.split('/').any(names_credential)
}

/// The parser of JSON counts the bytes of a line.
fn character_of_byte(text: &str, line: usize, column: usize) -> Option<usize> {
    let of_line = text.lines().nth(line.checked_sub(1)?)?;
    let at = column.checked_sub(1)?;
    Some(of_line.char_indices().take_while(|(start, _)| *start <= at).count().max(1))
}

/// Looking findings up in texts.
struct Lookup<'a> {
    sources: &'a [Source],
    /// Of those texts that were looked at.
    places: BTreeMap<usize, Option<Places<'a>>>,
    /// Where stored layers can be asked for. `None`: there are none.
    session: Option<&'a Session>,
}

impl<'a> Lookup<'a> {
    async fn excerpt(&mut self, finding: &v1::Finding) -> Option<Excerpt> {
        let (at, pointer) = self.origin(finding)?;
        let source = &self.sources[at];
        let Some(places) = self.places_of(at) else { return source.unreadable() };
        let excerpt = source.excerpt(places.find(&pointer)?, places, Shown::of(finding))?;
        self.is_decisive(source, finding).await.then_some(excerpt)
    }

    /// The text that says what was found, as far as these texts go, and the place in it.
    fn origin(&mut self, finding: &v1::Finding) -> Option<(usize, Pointer)> {
        let scope = Scope::parse(&finding.scope).ok()?;
        for at in self.lineage(finding, &scope) {
            let source = &self.sources[at];
            let pointer = Pointer::parse(finding.pointer.strip_prefix(&source.place)?).ok()?;
            let Some(places) = self.places_of(at) else { return Some((at, pointer)) };
            if places.has(&pointer) {
                return (!pointer.is_root()).then_some((at, pointer));
            }
            if !places.leaves_open(&pointer) {
                return None;
            }
        }
        None
    }

    /// Texts of layers that take part in the document, the one that wins first.
    fn lineage(&self, finding: &v1::Finding, scope: &Scope) -> Vec<usize> {
        let rank = |layer: &LayerId| (layer.kind == v1::LayerKind::Override, layer.scope.segments().count());
        let mut found: Vec<(usize, &LayerId, &Source)> = self
            .sources
            .iter()
            .enumerate()
            .filter_map(|(at, source)| Some((at, source.layer.as_ref()?, source)))
            .filter(|(_, layer, source)| {
                layer.namespace == finding.namespace
                    && layer.config == finding.config
                    && layer.scope.contains(scope)
                    && is_at_or_below(&finding.pointer, &source.place)
            })
            .collect();
        found.sort_by_key(|(_, layer, _)| std::cmp::Reverse(rank(layer)));
        found.into_iter().map(|(at, ..)| at).collect()
    }

    fn places_of(&mut self, at: usize) -> Option<&Places<'a>> {
        let source = &self.sources[at];
        self.places.entry(at).or_insert_with(|| Places::of(&source.text, source.model_format())).as_ref()
    }

    /// Whether no stored layer says the same with more weight than this text.
    async fn is_decisive(&self, source: &Source, finding: &v1::Finding) -> bool {
        let (Some(session), Some(own)) = (self.session, &source.layer) else { return true };
        if own.config.is_empty() || own.config.contains(':') {
            // A document of its own, or one that governs, which is one layer.
            return true;
        }
        let request = v1::ExplainRequest {
            namespace: finding.namespace.clone(),
            config: finding.config.clone(),
            scope: finding.scope.clone(),
            pointer: finding.pointer.clone(),
            ..Default::default()
        };
        let explained = match session.client.api().explain(request).await {
            Ok(explained) => explained.into_inner(),
            Err(status) => return ClientError::from(status).reason() == "CONFIG_NOT_FOUND",
        };
        let mut layers = explained.values.iter().filter_map(|value| value.layer.as_ref());
        layers.all(|stored| self.is_outweighed(stored, own))
    }

    /// Whether what a stored layer says does not count beside `own`: it is below it, or it is replaced by this write.
    fn is_outweighed(&self, stored: &v1::LayerRef, own: &LayerId) -> bool {
        let Ok(scope) = Scope::parse(&stored.scope) else { return false };
        let is_replaced = self.sources.iter().filter_map(|source| source.layer.as_ref()).any(|layer| {
            (&layer.namespace, &layer.config) == (&own.namespace, &own.config)
                && (&layer.scope, layer.kind) == (&scope, stored.kind())
        });
        let is_below = match (stored.kind(), own.kind) {
            (v1::LayerKind::Override, v1::LayerKind::Base | v1::LayerKind::Unspecified) => false,
            (v1::LayerKind::Base | v1::LayerKind::Unspecified, v1::LayerKind::Override) => true,
            _ => scope.contains(&own.scope),
        };
        is_replaced || is_below
    }
}

/// Whether a pointer leads to a place or below it.
fn is_at_or_below(pointer: &str, place: &str) -> bool {
    pointer.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, scope: &str, text: &str) -> Source {
        Source {
            field: format!("changes.{name}"),
            name: name.to_owned(),
            format: DocumentFormat::Yaml,
            text: text.to_owned(),
            layer: Some(LayerId {
                namespace: "payments".into(),
                config: "checkout".into(),
                scope: Scope::parse(scope).expect("a scope"),
                kind: v1::LayerKind::Base,
            }),
            place: String::new(),
        }
    }

    fn finding(scope: &str, pointer: &str) -> v1::Finding {
        v1::Finding {
            namespace: "payments".into(),
            config: "checkout".into(),
            scope: scope.into(),
            pointer: pointer.into(),
            ..Default::default()
        }
    }

    /// Name, line and column.
    async fn place(sources: &[Source], finding: v1::Finding) -> Option<(String, usize, usize)> {
        let found = Sources(sources.to_vec()).excerpts(&[finding], None).await.remove(0)?;
        Some((found.name, found.line, found.column))
    }

    #[tokio::test]
    async fn the_deepest_file_that_says_it_is_the_one_that_is_shown() {
        let sources = [
            source("global", "/", "limits:\n  max: x\n  min: y\n"),
            source("production", "/production", "limits: {max: z}\n"),
            source("staging", "/staging", "limits: null\n"),
        ];
        let at = |scope: &str, pointer: &str| {
            let finding = finding(scope, pointer);
            place(&sources, finding)
        };
        let some = |name: &str, line, column| Some((name.to_owned(), line, column));
        assert_eq!(at("/", "/limits/max").await, some("global", 2, 8));
        assert_eq!(at("/production/eu", "/limits/max").await, some("production", 1, 15));
        assert_eq!(at("/production/eu", "/limits/min").await, some("global", 3, 8));
        // There the object is removed: what is said of a value in it cannot be about the file above.
        assert_eq!(at("/staging", "/limits/max").await, None);
        assert_eq!(at("/", "/limits/none").await, None);
        assert_eq!(at("/", "").await, None);
    }

    #[tokio::test]
    async fn a_text_within_a_layer_is_shown_for_what_is_in_it() {
        let mut schema = source("_schema.yaml", "/", "properties:\n  port: {type: intger}\n");
        schema.place = "/versions/2/schema".into();
        let at = |pointer| place(std::slice::from_ref(&schema), finding("/", pointer));
        let expected = Some(("_schema.yaml".to_owned(), 2, 16));
        assert_eq!(at("/versions/2/schema/properties/port/type").await, expected);
        assert_eq!(at("/versions/1/schema/properties/port/type").await, None);
        assert_eq!(at("/versions/2/schemas").await, None);
    }

    #[tokio::test]
    async fn names_are_underlined_where_it_is_the_name_that_is_wrong() {
        let sources = [source("global", "/", "limits: {maxx: 1}\n")];
        let unknown =
            v1::Finding { code: "SCHEMA_ADDITIONAL_PROPERTY".into(), ..finding("/", "/limits/maxx") };
        assert_eq!(place(&sources, unknown).await, Some(("global".to_owned(), 1, 10)));
    }

    #[tokio::test]
    async fn of_a_line_only_the_value_is_shown_that_the_finding_is_about_unless_it_is_a_secret() {
        let text = "db: {password: hunter2, max_tokens: 40, port: x}\nuri: u\npin: 4711 # 4712\nname: n # why\nlist: [a, b]\n";
        let sources = Sources(vec![source("global", "/", text)]);
        let lines = async |finding: v1::Finding| {
            let excerpt = sources.excerpts(&[finding], None).await.remove(0).expect("a place");
            excerpt.lines(anstyle::Style::new()).join("\n")
        };
        let port = lines(finding("/", "/db/port")).await;
        assert!(port.contains("{password: ***, max_tokens: ***, port: x}"), "{port}");
        let whole = lines(finding("/", "/db")).await;
        assert!(whole.contains("{password: ***, max_tokens: ***, port: ***}"), "{whole}");
        assert!(lines(finding("/", "/list")).await.contains("list: [***, ***]"));
        let password = lines(finding("/", "/db/password")).await;
        assert!(password.contains("password: ***,"), "its name says what it is: {password}");
        let uri = v1::Finding { code: "CREDENTIAL".into(), ..finding("/", "/uri") };
        assert!(lines(uri).await.contains("uri: ***"));
        assert!(lines(finding("/", "/pin")).await.contains("pin: 4711 # 4712"));
        let pin = lines(v1::Finding { secret: true, ..finding("/", "/pin") }).await;
        assert!(!pin.contains("471") && pin.contains("pin: ***"), "{pin}");
        assert!(lines(finding("/", "/name")).await.contains("name: n # why"));
    }

    #[test]
    fn of_a_text_that_cannot_be_read_no_value_is_shown() {
        for (text, name) in [
            ("password: [hunter2\n\nport: ]x\n", ""),
            ("a: 1\npin: hunter2: x\n", "pin: ***"),
            ("a: {\n  hunter2 hunter3\n", ""),
            ("- hunter2\n hunter3: x\n", ""),
        ] {
            let (_, excerpt) = source("global", "/", text).read_error().expect("no YAML");
            let lines = excerpt.map(|excerpt| excerpt.lines(anstyle::Style::new()).join("\n"));
            let shown = lines.unwrap_or_default();
            assert!(!shown.contains("hunter2") && shown.contains(name), "{text}: {shown}");
        }
        let mut json = source("global", "/", r#"{"pin": "hunter2" "port": 1}"#);
        json.format = DocumentFormat::Json;
        let (_, excerpt) = json.read_error().expect("no JSON");
        let shown = excerpt.expect("a place").lines(anstyle::Style::new()).join("\n");
        assert!(shown.contains(r#"{"pin": "***" "***": ***}"#), "{shown}");
    }

    #[test]
    fn columns_of_json_are_characters() {
        let mut text = source("a.json", "/", "{\"ä\": 1,\n \"ö\" 2}");
        text.format = DocumentFormat::Json;
        let (_, excerpt) = text.read_error().expect("no JSON");
        let excerpt = excerpt.expect("a place");
        assert_eq!((excerpt.line, excerpt.column), (2, 6));
    }
}
