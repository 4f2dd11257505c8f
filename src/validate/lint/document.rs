//! The pass over an effective document. Knows which check looks at which kind of value; what each looks for is in files of their own.

use serde_json::{Map, Value};

use super::advice::Advice;
use super::path::Path;
use super::words::{Words, is_one_of, words};
use super::{Check, FoundList, LintInput, LintSettings, Severity, credential, host, number, siblings};
use crate::validate::Found;

/// Longer lists are told of.
const ELEMENTS_MAX: usize = 1000;

/// Looks for all lints that are on.
pub fn check_document(input: &LintInput, found: &mut FoundList) {
    let LintInput { document, is_production, change, secret, settings } = *input;
    Pass { secret, settings, is_production, found }.value(document, change, &Path::ROOT, &Words::of(""));
}

/// Whether an environment is one that users see, by its name.
pub fn is_production(environment: &str) -> bool {
    let first = words(environment).next().unwrap_or_default();
    ["production", "prod"].iter().any(|name| first.eq_ignore_ascii_case(name))
        || environment.eq_ignore_ascii_case("live")
}

struct Pass<'a> {
    secret: &'a dyn Fn(&str) -> bool,
    settings: &'a LintSettings,
    is_production: bool,
    found: &'a mut FoundList,
}

impl Pass<'_> {
    /// Recurses as deep as documents may be nested.
    fn value(&mut self, value: &Value, change: Option<&Value>, path: &Path, name: &Words) {
        match value {
            Value::Null => {}
            Value::Bool(is_on) => self.switch(*is_on, path, name),
            Value::Number(value) => self.number(value.as_f64().unwrap_or(0.0), path, name),
            Value::String(text) => self.text(text, path, name),
            Value::Array(items) => {
                if items.len() > ELEMENTS_MAX {
                    self.add(Check::LongList, path, || Advice {
                        message: format!(
                            "has {} elements, each of which is sent with every change",
                            items.len()
                        ),
                        suggestion: "keep it in a config of its own, or split it".to_owned(),
                    });
                }
                for (at, item) in items.iter().enumerate() {
                    self.value(item, None, &path.element(at), name);
                }
            }
            Value::Object(members) => {
                self.siblings(members, change.and_then(Value::as_object), path);
                let mut look = |name, member, change| {
                    self.value(member, change, &path.member(name), &Words::of(name));
                };
                match change {
                    Some(Value::Object(changes)) => {
                        let changed = changes.iter().filter_map(|(name, change)| {
                            members.get(name).map(|member| (name, member, change))
                        });
                        changed.for_each(|(name, member, change)| look(name, member, Some(change)));
                    }
                    _ => members.iter().for_each(|(name, member)| look(name, member, None)),
                }
            }
        }
    }

    fn switch(&mut self, is_on: bool, path: &Path, name: &Words) {
        if is_on && self.is_production && switches_debugging(name) {
            self.add_debugging(path);
        }
    }

    fn number(&mut self, value: f64, path: &Path, name: &Words) {
        if number::is_port(name) && !number::is_port_number(value) {
            self.add(Check::PortRange, path, || port(&value.to_string()));
        }
        if number::is_mode(name) && number::is_octal_as_decimal(value) {
            self.add(Check::OctalMode, path, || Advice {
                message: format!("{value} is a decimal number, and 0o{value} is a mode of files"),
                suggestion: format!("write the text \"0{value}\", or 0o{value} in YAML"),
            });
        }
        if let Some(wrong) = number::wrong_time(name, value) {
            self.add(Check::Timeout, path, || wrong.told(value));
        }
        if value == 1.0 && self.is_production && switches_debugging(name) {
            self.add_debugging(path);
        }
    }

    fn text(&mut self, text: &str, path: &Path, name: &Words) {
        if (credential::name_credential(name) && credential::may_be_credential(name, text))
            || credential::is_credential_named(name, text)
        {
            self.credential(path);
        }
        if number::is_port(name) && number::is_wrong_port_text(text) {
            self.add(Check::PortRange, path, || port(text));
        }
        if host::is_host(name)
            && let Some(why) = host::wrong_host(text)
        {
            self.add(Check::HostSyntax, path, || Advice {
                message: format!("is no host that can be resolved: {why}"),
                suggestion: "write a name such as db.example.com, or an address".to_owned(),
            });
        }
        if is_truth(text) && says_truth(name) && !switches_debugging(name) {
            self.add(Check::TextForBoolean, path, || Advice {
                message: "is a text, where the name says that it is true or false".to_owned(),
                suggestion: "write true or false, without quotes".to_owned(),
            });
        }
        if text.starts_with('-') && number::is_negative_duration(name, text) {
            self.add(Check::Timeout, path, || number::WrongTime::Negative.told(0.0));
        }
        if self.is_production {
            self.text_in_production(text, path, name);
        }
    }

    fn text_in_production(&mut self, text: &str, path: &Path, name: &Words) {
        if host::is_plain_http(name, text) {
            self.add(Check::PlainHttpInProduction, path, || Advice {
                message: "is sent and received in plain text, for anyone on the way to read and change"
                    .to_owned(),
                suggestion: "write https://".to_owned(),
            });
        }
        let is_level = is_one_of(&["debug", "trace"], text);
        let is_on = is_one_of(&["true", "on", "yes", "1"], text);
        if (is_level && is_log_level(path, name)) || (is_on && switches_debugging(name)) {
            self.add_debugging(path);
        }
    }

    fn siblings(&mut self, members: &Map<String, Value>, changes: Option<&Map<String, Value>>, path: &Path) {
        let is_due = |check| {
            changes.is_none_or(|changes| siblings::are_looked_at_again(changes, members, Check::code(check)))
        };
        if is_due(Check::SimilarKeys) && self.settings.of(Check::SimilarKeys).is_some() {
            siblings::each_similar(members, &mut |name, other| {
                self.add(Check::SimilarKeys, &path.member(name), || Advice {
                    message: format!("{name:?} and {other:?} differ in case or separators only"),
                    suggestion: "keep the one that is read, and remove the other".to_owned(),
                });
            });
        }
        if !is_due(Check::MinAboveMax) {
            return;
        }
        siblings::each_crossed(members, &mut |min, max| {
            self.add(Check::MinAboveMax, &path.member(min), || Advice {
                message: format!("{min:?} is {}, above {max:?}, which is {}", members[min], members[max]),
                suggestion: format!("raise {max:?}, or lower {min:?}"),
            });
        });
    }

    /// Only here is the place of a text needed while nothing is certain.
    fn credential(&mut self, path: &Path) {
        if self.settings.of(Check::Credential).is_some() && !(self.secret)(&path.pointer()) {
            self.add(Check::Credential, path, || Advice {
                message: "looks like a credential, which everyone who can read the config sees".to_owned(),
                suggestion: "mark it with x-secret in the schema, or write a reference to where it is kept"
                    .to_owned(),
            });
        }
    }

    fn add_debugging(&mut self, path: &Path) {
        self.add(Check::DebugInProduction, path, || Advice {
            message: "debugging is on in production".to_owned(),
            suggestion: "switch it off, or set it in an override that ends by itself".to_owned(),
        });
    }

    fn add(&mut self, check: Check, path: &Path, advise: impl FnOnce() -> Advice) {
        add(self.settings, self.found, check, path, advise);
    }
}

/// Adds what a lint found, if it is on.
pub(super) fn add(
    settings: &LintSettings,
    found: &mut FoundList,
    check: Check,
    path: &Path,
    advise: impl FnOnce() -> Advice,
) {
    let Some(severity) = settings.of(check) else { return };
    found.add(severity, || {
        let Advice { message, suggestion } = advise();
        Found { severity, code: check.code().into(), pointer: path.pointer(), message, suggestion }
    });
}

fn port(found: &str) -> Advice {
    Advice { message: format!("a port from 0 to 65535 expected, {found} found"), suggestion: String::new() }
}

/// `debug`, `enable_debug`, `debug_mode`, and not `debug_port`.
fn switches_debugging(name: &Words) -> bool {
    is_one_of(&["debug", "debugging", "enabled", "mode", "on", "enable"], name.last())
        && name.has(&["debug", "debugging"])
}

/// What people and YAML 1.1 write for true and false.
fn is_truth(text: &str) -> bool {
    is_one_of(&["yes", "no", "on", "off", "true", "false", "y", "n"], text)
}

/// `enabled`, `tls_disabled`, `is_open`, `useCache`.
fn says_truth(name: &Words) -> bool {
    is_one_of(&["enabled", "disabled", "enable", "disable", "allowed"], name.last())
        || (name.all().len() > 1
            && name
                .all()
                .first()
                .is_some_and(|first| is_one_of(&["is", "has", "use", "allow", "enable", "disable"], first)))
}

/// `log_level`, or `level` in something that is about logs.
fn is_log_level(path: &Path, name: &Words) -> bool {
    const LOGS: [&str; 5] = ["log", "logs", "logging", "logger", "loggers"];
    let above = path.above().map(Path::name).unwrap_or_default();
    name.last().eq_ignore_ascii_case("loglevel")
        || (name.last().eq_ignore_ascii_case("level") && (name.has(&LOGS) || Words::of(above).has(&LOGS)))
}

/// That no severity of a lint is that of an error by default is part of the contract: they never block.
const _: () = {
    let mut at = 0;
    while at < super::ALL.len() {
        assert!(!matches!(super::ALL[at].severity, Severity::Error));
        at += 1;
    }
};
