//! The rules of the house that the compiler does not know: which module may name which, what is banned, how files begin.

#[path = "support/imports.rs"]
mod imports;
#[path = "support/map.rs"]
mod map;
#[path = "support/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};

use source::{Named, Source, paths, sources};

/// Which module may name which, and where in it if not everywhere. `lib.rs` declares the modules and is no arrow.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli", "server"]),
    (
        "server",
        &[
            "api",
            "engine",
            "audit",
            "auth",
            "secret",
            "store",
            "supervise",
            "model",
            "proto",
            "bounded_file",
            "durable_file",
        ],
    ),
    ("api", &["engine", "audit", "auth", "store", "supervise", "validate", "model", "proto"]),
    (
        "engine",
        &["auth", "backup", "store", "supervise", "priority", "validate", "secret", "model", "fair_places"],
    ),
    ("backup", &["secret", "store", "model", "bounded_file", "durable_file", "fair_places"]),
    ("audit", &["supervise", "model", "append_log", "durable_file"]),
    ("auth", &["supervise", "model"]),
    ("secret", &["model", "bounded_file", "durable_file"]),
    ("validate", &["model"]),
    ("store", &["supervise", "model", "append_log", "durable_file"]),
    ("supervise", &[]),
    ("model", &[]),
    ("client", &["proto", "bounded_file"]),
    (
        "cli",
        &[
            "client",
            "server",
            "api",
            "audit",
            "auth",
            "backup",
            "engine",
            "secret",
            "store",
            "validate",
            "priority",
            "model",
            "proto",
            "bounded_file",
        ],
    ),
    ("append_log", &[]),
    ("bounded_file", &[]),
    ("durable_file", &[]),
    ("fair_places", &[]),
    ("priority", &[]),
    ("proto", &[]),
];

/// Crates, and the only places that may name them.
const CRATES: &[(&str, &[&str])] = &[
    ("tonic", &["src/api/", "src/server/", "src/client/", "src/cli/", "src/proto.rs"]),
    ("prost", &["src/api/", "src/server/", "src/client/", "src/cli/", "src/proto.rs"]),
    ("prost_reflect", &["src/api/http/"]),
    ("sled", &["src/store/sled"]),
    ("clap", &["src/cli/", "src/main.rs", "src/server/settings"]),
    ("jsonwebtoken", &["src/auth/jwt"]),
    ("reqwest", &["src/auth/fetch.rs"]),
    ("governor", &["src/api/guard/rates.rs"]),
    ("object", &["src/backup/bucket"]),
    ("opentelemetry", &["src/server/telemetry/traces.rs"]),
    ("prometheus", &["src/server/telemetry/metrics/"]),
    (
        "tokio",
        &[
            "src/audit/log_state.rs",
            "src/audit/recorder.rs",
            "src/auth/jwt/",
            "src/backup/bucket/tasks.rs",
            "src/backup/uploads.rs",
            "src/fair_places.rs",
            "src/api/",
            "src/cli/",
            "src/client/",
            "src/engine/",
            "src/server/",
            "src/supervise",
            "src/main.rs",
        ],
    ),
];

/// Files of the server that begin tasks or threads themselves, and who notices a panic of them. All others run by `src/supervise.rs`.
const UNSUPERVISED: &[(&str, &str)] = &[
    ("src/supervise.rs", "counts it, and restarts the task or ends the server"),
    ("src/server.rs", "the process ends at the second signal"),
    ("src/server/net/listen.rs", "the listener counts it for each connection"),
    ("src/server/telemetry/metrics/listen.rs", "a scrape has no answer"),
    ("src/api/task.rs", "the call that waits panics, and its connection counts it"),
    ("src/api/operations/backups.rs", "the stream of the backup panics, and its connection counts it"),
    ("src/engine/check/plan_check.rs", "the scope of the threads panics"),
    ("src/engine/history_holds.rs", "the scope of the threads panics"),
    ("src/validate/schema.rs", "the scope of the thread panics"),
    ("src/validate/expression/stack.rs", "the scope of the thread panics"),
    ("src/store/sled/index/load.rs", "the scope of the thread panics"),
    ("src/store/sled/database/syncer.rs", "the sync fails, and the store with it"),
    ("src/store/sled/index/pending.rs", "the scope of the thread panics"),
    ("src/store/sled/import.rs", "the import panics"),
    ("src/backup/bucket/tasks.rs", "the upload or download fails"),
    ("src/backup/in_order.rs", "whoever takes the result panics"),
];

/// No file is longer: above it, look for the second idea.
const LINES_MAX: usize = 600;

#[test]
fn imports_point_one_way() {
    report("imports that point the wrong way (see the arrows in ARCHITECTURE.md)", |source| {
        let from = module(&source.path);
        let mut found = Vec::new();
        for path in internal_paths(source) {
            let to = path.segments[0].as_str();
            if from == "lib" || from == to {
                continue;
            }
            let allowed = ARROWS.iter().find(|(name, _)| *name == from).map_or(&[][..], |(_, to)| to);
            if !allowed.contains(&to) {
                found.push((path.line, format!("{from} must not know {to}: `{}`", path.segments.join("::"))));
            } else if let Some(why) = narrower(&source.path, &path) {
                found.push((path.line, format!("{why}: `{}`", path.segments.join("::"))));
            }
        }
        found
    });
}

/// Arrows that hold for some files or names only.
fn narrower(file: &str, path: &Named) -> Option<&'static str> {
    let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    match (module(file), segments[0]) {
        // A test of the API needs a store to run on.
        ("api", "store") if segments.get(1) != Some(&"StoreError") && !file.ends_with("/tests.rs") => {
            Some("of the store, api knows the errors only (StoreError)")
        }
        ("cli", "server") if !file.starts_with("src/cli/commands/serve") => {
            Some("only cli/commands/serve.rs knows the server")
        }
        // A server that has nothing, without the network.
        ("cli", "api" | "engine" | "store") if file == "src/cli/commands/validate/offline.rs" => None,
        ("cli", "api" | "store" | "audit") if file == "src/cli/commands/audit/offline.rs" => None,
        ("cli", "api" | "engine") => Some("only cli/commands/validate/offline.rs does without a server"),
        // What is shown of a file must not show a credential.
        ("cli", "validate") if segments.get(1..3) != Some(&["lint", "credential"]) => {
            Some("of validate, cli knows what looks like a credential only")
        }
        ("cli", "auth") if !file.starts_with("src/cli/login") => {
            Some("only cli/login knows logins by an issuer")
        }
        ("cli", "audit") => Some("only cli/commands/audit/offline.rs knows the files of the audit log"),
        ("cli", "backup" | "secret" | "store") if file.starts_with("src/cli/commands/backup") => None,
        ("cli", "backup") if file == "src/cli/output/views/backup.rs" => None,
        ("cli", "backup" | "secret") => {
            Some("only cli/commands/backup knows backup files and the master key")
        }
        ("cli", "store") if !file.starts_with("src/cli/commands/fsck") => Some(
            "only cli/commands/fsck.rs, cli/commands/backup and cli/commands/audit/offline.rs open a store",
        ),
        _ => None,
    }
}

#[test]
fn crates_stay_where_they_belong() {
    report("crates named where they do not belong", |source| {
        let mut found = Vec::new();
        for path in paths(&source.tokens) {
            let name = path.segments[0].as_str();
            let family = name.split('_').next().unwrap_or(name);
            let of_name = CRATES.iter().find(|(known, _)| *known == name);
            let of_family = || CRATES.iter().find(|(known, _)| *known == family);
            let Some((family, places)) = of_name.or_else(of_family) else { continue };
            // A module of our own with the name of a crate, such as `store::sled`, when it was imported.
            let is_ours = |other: &Named| {
                let mut names = other.segments.iter().filter(|name| *name != "self");
                other.segments.len() > 1 && names.next_back() == path.segments.first()
            };
            if paths(&source.tokens).iter().any(is_ours) {
                continue;
            }
            if !places.iter().any(|place| is_within(&source.path, place)) {
                found.push((path.line, format!("{family} is known in {} only: `{name}`", places.join(", "))));
            }
        }
        found
    });
}

#[test]
fn every_file_says_what_it_is() {
    report("files without a module doc: start with `//!`, what it is and what it does not know", |source| {
        let first = source.text.lines().next().unwrap_or_default();
        // Of the tests of a module, the name says it.
        if source.path.ends_with("/tests.rs") || first.starts_with("//! ") {
            vec![]
        } else {
            vec![(1, format!("starts with `{first}`"))]
        }
    });
}

/// A panic of a task that nobody waits for is not noticed, and what the task did is not done any more.
#[test]
fn tasks_and_threads_are_begun_where_somebody_notices_their_panics() {
    report(
        "tasks or threads beside the supervisor: run them by it, or say in UNSUPERVISED who notices their panic",
        |source| {
            if ["src/cli/", "src/client/"].iter().any(|place| source.path.starts_with(place))
                || source.path.contains("/tests")
            {
                return vec![];
            }
            let lines: Vec<&str> = source.text.lines().collect();
            let tests = lines
                .windows(2)
                .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
            let is_known = UNSUPERVISED.iter().any(|(path, _)| *path == source.path);
            let spawns = source.tokens.windows(2).filter(|pair| {
                let begins = matches!(pair[0].text.as_str(), "." | "::");
                begins
                    && matches!(pair[1].text.as_str(), "spawn" | "spawn_scoped" | "spawn_local")
                    && pair[1].line <= tests.unwrap_or(usize::MAX)
            });
            spawns.filter(|_| !is_known).map(|pair| (pair[1].line, pair[1].text.clone())).collect()
        },
    );
    let sources = sources("src");
    for (path, _) in UNSUPERVISED {
        let mut of_path = sources.iter().filter(|source| source.path == *path);
        let spawns = |source: &Source| source.tokens.iter().any(|token| token.text.starts_with("spawn"));
        assert!(of_path.any(spawns), "{path} begins nothing any more: take it out of UNSUPERVISED");
    }
}

#[test]
fn nothing_is_left_to_do() {
    report("macros that must not stay", |source| {
        source
            .tokens
            .windows(2)
            .filter(|pair| {
                pair[1].text == "!" && ["todo", "unimplemented", "dbg"].contains(&pair[0].text.as_str())
            })
            .map(|pair| (pair[0].line, format!("{}!", pair[0].text)))
            .collect()
    });
}

#[test]
fn no_file_is_too_long() {
    report("files with more than one idea", |source| {
        let lines = source.text.lines().count();
        if lines <= LINES_MAX { vec![] } else { vec![(lines, format!("{lines} lines, at most {LINES_MAX}"))] }
    });
}

/// Every module of the crate has its arrows written down, so that a new one makes someone think.
#[test]
fn every_module_has_its_arrows() {
    report("modules without an entry in ARROWS", |source| {
        let name = module(&source.path);
        let known = name == "lib" || ARROWS.iter().any(|(known, _)| *known == name);
        if known { vec![] } else { vec![(1, format!("which modules may {name} know?"))] }
    });
}

/// A file can be read after those that it imports. To break a cycle, give the shared type or function a file of its own, or pass a value.
#[test]
fn files_of_a_module_do_not_import_each_other_in_a_cycle() {
    let cycles = imports::cycles(&sources("src"));
    let lines: Vec<String> =
        cycles.iter().map(|cycle| format!("  {} -> {}", cycle.join(" -> "), cycle[0])).collect();
    assert!(lines.is_empty(), "files import each other in a cycle:\n{}", lines.join("\n"));
}

/// Modules whose files form no circle with their parents either: each file can be read after those that it imports.
const WITHOUT_CYCLES: &[&str] = &["api"];

#[test]
fn files_of_a_module_import_each_other_one_way() {
    let sources = sources("src");
    for module_name in WITHOUT_CYCLES {
        let files: BTreeMap<String, &Source> = sources
            .iter()
            .filter(|source| module(&source.path) == *module_name && !source.path.ends_with("/tests.rs"))
            .map(|source| (place(&source.path), source))
            .collect();
        let imports: BTreeMap<&str, BTreeSet<&str>> =
            files.iter().map(|(place, source)| (place.as_str(), imported(place, source, &files))).collect();
        // Files that import nothing of what is left are taken away, until nothing is left or all that is left is in or behind a circle.
        let mut left: BTreeSet<&str> = imports.keys().copied().collect();
        loop {
            let free: Vec<&str> =
                left.iter().copied().filter(|place| imports[place].is_disjoint(&left)).collect();
            if free.is_empty() {
                break;
            }
            free.iter().for_each(|place| _ = left.remove(place));
        }
        let circles: Vec<String> = left
            .iter()
            .map(|place| {
                format!("  {place} imports {:?}", imports[place].intersection(&left).collect::<Vec<_>>())
            })
            .collect();
        assert!(circles.is_empty(), "a circle of imports is among these files:\n{}", circles.join("\n"));
    }
}

/// `api::guard` of `src/api/guard.rs`, `engine` of `src/engine.rs`.
fn place(file: &str) -> String {
    let within = file.trim_start_matches("src/").trim_end_matches(".rs");
    within.strip_suffix("/mod").unwrap_or(within).replace('/', "::")
}

/// The other files of a module that a file names, each by the longest of its paths that is a file.
fn imported<'a>(place: &str, source: &Source, files: &'a BTreeMap<String, &Source>) -> BTreeSet<&'a str> {
    let parents: Vec<&str> = place.split("::").collect();
    // Tests at the end of a file may name what they like.
    let tests =
        source.text.lines().position(|line| line == "#[cfg(test)]").map_or(usize::MAX, |line| line + 1);
    let mut imported = BTreeSet::new();
    for path in paths(&source.tokens).iter().filter(|path| path.line < tests) {
        // A visibility, as in `pub(in crate::api)`.
        if path.segments.len() == 2 && path.segments[0] == "crate" {
            continue;
        }
        let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
        let rest = &path.segments[supers..];
        let mut full: Vec<&str> = match path.segments[0].as_str() {
            "crate" => vec![],
            "super" => parents[..parents.len().saturating_sub(supers)].to_vec(),
            // Of a child, which the file declares.
            _ => parents.clone(),
        };
        full.extend(rest.iter().map(String::as_str).filter(|segment| *segment != "crate"));
        while !full.is_empty() {
            if let Some((known, _)) = files.get_key_value(&full.join("::")) {
                if known != place {
                    imported.insert(known.as_str());
                }
                break;
            }
            full.pop();
        }
    }
    imported
}

/// The list of ARCHITECTURE.md is complete: the name of a service or the path of an RPC is written nowhere else.
#[test]
fn an_rpc_is_added_in_the_places_that_the_map_lists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("the map is there");
    let list = map.split("## Where do I add an RPC").nth(1).expect("the list is there");
    let list = list.split("\n## ").next().expect("there is a first part");
    let steps: Vec<&str> =
        list.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
    let places: Vec<&str> =
        steps.iter().map(|step| step.split('`').nth(1).expect("each step names its place")).collect();
    assert_eq!(places, ["proto/confwatch/v1/", "src/api/operations/", "src/api/services.rs", "tests/wire/"]);
    for place in places {
        assert!(root.join(place).exists(), "{place} is not there");
    }
    let in_process = "src/api.rs";
    report("files that name an RPC, beside src/api/services.rs", |source| {
        let is_elsewhere = source.path.starts_with("src/api") || source.path.starts_with("src/server");
        if !is_elsewhere || source.path == "src/api/services.rs" || source.path.ends_with("/tests.rs") {
            return vec![];
        }
        let text = source.text.split("#[cfg(test)]").next().expect("there is a first part");
        let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let names = |line: &str| {
            let variant = line.contains("Rpc::") && line.contains("Service") && source.path != in_process;
            variant || line.contains("confwatch.v1.") && line.contains("Service")
        };
        code.filter(|(_, line)| names(line)).map(|(at, line)| (at + 1, line.trim().to_owned())).collect()
    });
}

/// The list of ARCHITECTURE.md is complete: the name of a system config is written in the model alone, and the places know the registry.
#[test]
fn a_system_config_is_added_in_the_places_that_the_map_lists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let map = read("ARCHITECTURE.md");
    let list = map.split("## Where do I add a system config").nth(1).expect("the list is there");
    let list = list.split("\n## ").next().expect("there is a first part");
    let steps = list.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let places: Vec<&str> =
        steps.map(|step| step.split('`').nth(1).expect("each step names its place")).collect();
    let registry = "src/model/system.rs";
    assert_eq!(places, [registry, "src/engine/state/system.rs", "src/engine/tests/system.rs"]);
    places.iter().for_each(|place| assert!(read(place).contains("SystemConfig::Quotas"), "{place}"));

    let text = read(registry);
    let literals_after = |before: &str| -> Vec<String> {
        text.split(before).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    };
    let (names, prefixes) = (literals_after("Home::Server(\""), literals_after("prefix: \""));
    assert!(
        names.contains(&"policy".to_owned()) && prefixes.contains(&"schema".to_owned()),
        "{names:?} {prefixes:?}"
    );
    let named = names.iter().flat_map(|name| [format!("parse(\"{name}\")"), format!("&str = \"{name}\"")]);
    let reserved = ["parse(\"confwatch\")".to_owned(), "\"namespace:".to_owned()];
    let prefixed = prefixes.iter().map(|prefix| format!("\"{prefix}:"));
    let written: Vec<String> = named.chain(reserved).chain(prefixed).collect();
    report("files that write the name of a system config, beside src/model/system.rs", |source| {
        // `schema:` is a scheme of URIs, too.
        let is_scheme =
            |line: &str| source.path == "src/validate/schema/source.rs" && line.contains("const SCHEME");
        if source.path == registry || source.path.contains("/tests/") || source.path.ends_with("/tests.rs") {
            return vec![];
        }
        let text = source.text.split("#[cfg(test)]").next().expect("there is a first part");
        let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let writes = |line: &str| written.iter().any(|name| line.contains(name)) && !is_scheme(line);
        code.filter(|(_, line)| writes(line)).map(|(at, line)| (at + 1, line.trim().to_owned())).collect()
    });
}

/// Whether a file lies in a place: a folder with its module's own file beside it (`src/api/`), or the beginning of a path.
fn is_within(file: &str, place: &str) -> bool {
    file.starts_with(place) || place.strip_suffix('/') == file.strip_suffix(".rs")
}

/// Looks at every file under `src` and fails with one line for each thing found.
fn report(what: &str, look: impl Fn(&Source) -> Vec<(usize, String)>) {
    let mut lines = Vec::new();
    for source in sources("src") {
        for (line, message) in look(&source) {
            lines.push(format!("  {}:{line}: {message}", source.path));
        }
    }
    assert!(lines.is_empty(), "{what}:\n{}", lines.join("\n"));
}

/// `src/api/error.rs` and `src/api.rs` belong to `api`, `src/main.rs` to `main`.
fn module(file: &str) -> &str {
    let within = file.trim_start_matches("src/").trim_end_matches(".rs");
    within.split('/').next().unwrap_or(within)
}

/// Paths into the modules of this crate, without what leads to its root: `crate::`, `confwatch::`, or enough `super::`.
fn internal_paths(source: &Source) -> Vec<Named> {
    let within = source.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let depth = within.split('/').count();
    let mut internal = Vec::new();
    for mut path in paths(&source.tokens) {
        let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
        let to_root = match path.segments[0].as_str() {
            "crate" | "confwatch" => 1,
            _ if supers >= depth => supers,
            _ => continue,
        };
        path.segments.drain(..to_root);
        let known = |name: &String| ARROWS.iter().any(|(known, _)| known == name);
        if path.segments.first().is_some_and(known) {
            internal.push(path);
        }
    }
    internal
}
