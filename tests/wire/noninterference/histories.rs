//! Random histories of one place: a caller writes guesses in clear text, values are removed, an administrator makes the place secret, by a mark or by
//! the schema, and what was removed is restored. Knows which of these steps are no guesses; no server.

use confwatch::proto::v1::*;
use prost::Message;

use crate::support::json;

pub const SCOPES: &[&str] = &["/", "/staging", "/staging/a"];
/// The schema that makes the place secret, as a client puts it and as it is stored.
const MARK: &str = r#"{"properties": {"token": {"x-secret": true}}}"#;
const STORED_MARK: &str =
    r#"{"active":1,"versions":[{"number":1,"schema":{"properties":{"token":{"x-secret":true}}}}]}"#;

/// One step of a history.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The caller writes a guess in clear text.
    Guess(&'static str, &'static str),
    /// The caller removes the value.
    Remove(&'static str),
    /// The caller deletes the layer.
    Delete(&'static str),
    /// The caller takes back the commit before, which removed a secret.
    Revert,
    /// The same by a rollback.
    Rollback,
    /// The administrator writes a secret: which of those that differ between the servers.
    Secret(&'static str, usize),
    /// The administrator makes the place secret by the schema.
    Mark,
    /// The administrator deletes the schema.
    Unmark,
}

/// What a layer has at the place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Plain,
    Secret,
}

/// A history without a stored guess: no step writes a value in clear text to the place of a secret, or makes one secret.
pub fn draw(
    random: &mut fastrand::Rng,
    guesses: &[&'static str],
    secrets: usize,
    length: usize,
) -> Vec<Step> {
    let mut layers = [Value::None; SCOPES.len()];
    let (mut is_marked, mut removed) = (false, None);
    let mut steps = vec![];
    while steps.len() < length {
        let at = random.usize(..SCOPES.len());
        let scope = SCOPES[at];
        // Each scope lies below all before it.
        let is_secret = is_marked || layers[..=at].contains(&Value::Secret);
        let was = layers[at];
        let (step, value) = match random.u32(..12) {
            0..=4 if !is_secret => (Step::Guess(scope, guesses[random.usize(..guesses.len())]), Value::Plain),
            5 | 6 if was != Value::None => (Step::Remove(scope), Value::None),
            7 if was != Value::None => (Step::Delete(scope), Value::None),
            8 | 9 => (Step::Secret(scope, random.usize(..secrets)), Value::Secret),
            10 if !is_marked && !layers.contains(&Value::Plain) => (Step::Mark, was),
            11 if is_marked => (Step::Unmark, was),
            _ => match removed.take() {
                Some(at) => {
                    layers[at] = Value::Secret;
                    steps.push(if random.bool() { Step::Revert } else { Step::Rollback });
                    continue;
                }
                None => continue,
            },
        };
        removed = (was == Value::Secret && value == Value::None).then_some(at);
        layers[at] = value;
        is_marked = matches!(step, Step::Mark) || (is_marked && !matches!(step, Step::Unmark));
        steps.push(step);
    }
    steps
}

fn write(config: &str, scope: &str, content: &str) -> Change {
    let action = Some(change::Action::Replace(json(content)));
    Change {
        namespace: "test".into(),
        config: config.into(),
        scope: scope.into(),
        action,
        ..Default::default()
    }
}

/// What the caller sends for a step at this revision of the store. `None`: it is a step of the administrator.
pub fn request(step: Step, config: &str, number: usize, revision: u64) -> Option<(&'static str, Vec<u8>)> {
    let set = |change: Change| {
        ("ConfigService/Set", SetRequest { change: Some(change), options: None }.encode_to_vec())
    };
    match step {
        Step::Guess(scope, guess) => {
            Some(set(write(config, scope, &format!(r#"{{"token":"{guess}","number":{number}}}"#))))
        }
        Step::Remove(scope) => Some(set(write(config, scope, &format!(r#"{{"number":{number}}}"#)))),
        Step::Delete(scope) => {
            let (namespace, config, scope) = ("test".into(), config.into(), Some(scope.into()));
            let request = DeleteRequest { namespace, config, scope, ..Default::default() };
            Some(("ConfigService/Delete", request.encode_to_vec()))
        }
        Step::Revert => {
            let request = RevertRequest { revisions: vec![revision], options: None };
            Some(("ConfigService/Revert", request.encode_to_vec()))
        }
        Step::Rollback => {
            let (namespace, config) = ("test".into(), config.into());
            let request = RollbackRequest { namespace, config, ..Default::default() };
            Some(("ConfigService/Rollback", request.encode_to_vec()))
        }
        Step::Secret(..) | Step::Mark | Step::Unmark => None,
    }
}

/// The schema of a step of the administrator.
pub fn mark(config: &str, options: Option<WriteOptions>) -> SchemaServicePutRequest {
    SchemaServicePutRequest {
        namespace: "test".into(),
        config: config.into(),
        schema: Some(json(MARK)),
        accept_existing: true,
        options,
        ..Default::default()
    }
}

/// Requests after a history that commit nothing: reads of all that was, and writes of every kind that are only validated.
pub fn probes(
    config: &str,
    revisions: std::ops::RangeInclusive<u64>,
    versions: u64,
) -> Vec<(&'static str, Vec<u8>)> {
    let options = || Some(WriteOptions { validate_only: true, ..Default::default() });
    let (namespace, config) = (|| "test".to_owned(), || config.to_owned());
    let mut probes = vec![];
    for revision in revisions.clone() {
        for revisions in [vec![revision], vec![revision + 1, revision]] {
            let request = RevertRequest { revisions, options: options() };
            probes.push(("ConfigService/Revert", request.encode_to_vec()));
        }
        for scope in SCOPES {
            let (namespace, config, scope) = (namespace(), config(), Some((*scope).to_owned()));
            let to = Some(restore_request::To::Revision(revision));
            let request =
                RestoreRequest { namespace, config, scope, to, options: options(), ..Default::default() };
            probes.push(("ConfigService/Restore", request.encode_to_vec()));
        }
        let request = GetCommitRequest { revision, include_content: true };
        probes.push(("ConfigService/GetCommit", request.encode_to_vec()));
    }
    for version in 1..=versions {
        let to = Some(rollback_request::To::Version(version));
        for scope in [None].into_iter().chain(SCOPES.iter().map(|scope| Some((*scope).to_owned()))) {
            let (namespace, config) = (namespace(), config());
            let request = RollbackRequest {
                namespace,
                config,
                to: to.clone(),
                scope,
                options: options(),
                ..Default::default()
            };
            probes.push(("ConfigService/Rollback", request.encode_to_vec()));
        }
        for scope in SCOPES {
            let (namespace, config, scope) = (namespace(), config(), (*scope).to_owned());
            let at = Some(get_request::At::Version(version));
            let request = GetRequest { namespace, config, scope, at, ..Default::default() };
            probes.push(("ConfigService/Get", request.encode_to_vec()));
        }
    }
    for scope in SCOPES {
        let (namespace, config) = (namespace(), config());
        let request = BlameRequest {
            namespace,
            config: config.clone(),
            scope: (*scope).to_owned(),
            pointer: "/token".into(),
        };
        probes.push(("ConfigService/Blame", request.encode_to_vec()));
        // A layer that stays as it is, beside a schema that makes its value secret.
        let nothing =
            Change { action: Some(change::Action::MergePatch(json("{}"))), ..write(&config, scope, "") };
        let changes = vec![nothing, write(&format!("schema:{config}"), "/", STORED_MARK)];
        let request = ApplyRequest { changes: changes.clone(), options: options() };
        probes.push(("ConfigService/Apply", request.encode_to_vec()));
        let request = ValidateRequest { changes, ..Default::default() };
        probes.push(("ConfigService/Validate", request.encode_to_vec()));
        let other = Change {
            action: Some(change::Action::MergePatch(json(r#"{"other":1}"#))),
            ..write(&config, scope, "")
        };
        let request = SetRequest { change: Some(other), options: options() };
        probes.push(("ConfigService/Set", request.encode_to_vec()));
    }
    probes.push(("SchemaService/Put", mark(&config(), options()).encode_to_vec()));
    let request =
        MigrateRequest { namespace: namespace(), config: config(), to_number: 0, options: options() };
    probes.push(("SchemaService/Migrate", request.encode_to_vec()));
    probes
}
