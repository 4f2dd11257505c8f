//! The rules of the house that the compiler does not know: which module may name which, what is banned, how files begin.

#[path = "support/source.rs"]
mod source;

use source::{Named, Source, paths, sources};

/// Which module may name which, and where in it if not everywhere. `lib.rs` declares the modules and is no arrow.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli", "server"]),
    ("server", &["api", "engine", "audit", "auth", "secret", "store", "supervise", "model", "proto"]),
    ("api", &["engine", "audit", "auth", "store", "supervise", "validate", "model", "proto"]),
    ("engine", &["auth", "store", "supervise", "validate", "secret", "model"]),
    ("audit", &["supervise", "model"]),
    ("auth", &["supervise", "model"]),
    ("secret", &["model"]),
    ("validate", &["model"]),
    ("store", &["supervise", "model"]),
    ("supervise", &[]),
    ("model", &[]),
    ("client", &["proto"]),
    ("cli", &["client", "server", "api", "audit", "engine", "store", "validate", "model", "proto"]),
    ("proto", &[]),
];

/// Crates, and the only places that may name them.
const CRATES: &[(&str, &[&str])] = &[
    ("tonic", &["src/api/", "src/server/", "src/client/", "src/cli/", "src/proto.rs"]),
    ("prost", &["src/api/", "src/server/", "src/client/", "src/cli/", "src/proto.rs"]),
    ("sled", &["src/store/sled"]),
    ("clap", &["src/cli/", "src/main.rs", "src/server/settings"]),
    ("jsonwebtoken", &["src/auth/jwt"]),
    ("reqwest", &["src/auth/jwt/source.rs"]),
    ("governor", &["src/api/guard/rates.rs"]),
    ("opentelemetry", &["src/server/traces.rs"]),
    ("prometheus", &["src/server/metrics/"]),
    (
        "tokio",
        &[
            "src/audit/recorder.rs",
            "src/auth/jwt/",
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
        ("cli", "server") if !file.starts_with("src/cli/serve") => Some("only cli/serve.rs knows the server"),
        // A server that has nothing, without the network.
        ("cli", "api" | "engine" | "store") if file == "src/cli/validate/offline.rs" => None,
        ("cli", "api" | "engine") => Some("only cli/validate/offline.rs does without a server"),
        // What is shown of a file must not show a credential.
        ("cli", "validate") if segments.get(1..3) != Some(&["lint", "credential"]) => {
            Some("of validate, cli knows what looks like a credential only")
        }
        ("cli", "store" | "audit") if file == "src/cli/audit/offline.rs" => None,
        ("cli", "audit") => Some("only cli/audit/offline.rs knows the files of the audit log"),
        ("cli", "store") if !file.starts_with("src/cli/fsck") => {
            Some("only cli/fsck.rs and cli/audit/offline.rs open a store")
        }
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
            let Some((family, places)) = CRATES.iter().find(|(known, _)| *known == family) else { continue };
            // A module of our own with the name of a crate, such as `store::sled`, when it was imported.
            let is_ours = |other: &Named| {
                let mut names = other.segments.iter().filter(|name| *name != "self");
                other.segments.len() > 1 && names.next_back() == path.segments.first()
            };
            if paths(&source.tokens).iter().any(is_ours) {
                continue;
            }
            if !places.iter().any(|place| source.path.starts_with(place)) {
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

/// `src/api/status.rs` and `src/api/mod.rs` belong to `api`, `src/main.rs` to `main`.
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
