//! A configuration tree on disk, read without the help of the command line: what a test compares answers with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use confwatch::model::merge;
use confwatch::model::text::{self, Format};
use serde_json::Value;

/// Layers by config and scope.
#[derive(Debug, PartialEq)]
pub struct Tree(BTreeMap<(String, String), Value>);

impl Tree {
    /// Reads `CONFIG/global.yaml`, `CONFIG/production/checkout.json` and so on; what governs these, in files that begin with `_`, is not
    /// part of it.
    pub fn read(directory: &Path) -> Tree {
        let mut tree = Tree(BTreeMap::new());
        for config in directories(directory) {
            let name = name(&config);
            tree.collect(&name, "", &config);
        }
        tree
    }

    fn collect(&mut self, config: &str, above: &str, directory: &Path) {
        for path in entries(directory) {
            if path.is_dir() {
                self.collect(config, &format!("{above}/{}", name(&path)), &path);
                continue;
            }
            if name(&path).starts_with('_') {
                continue;
            }
            let stem = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            let scope =
                if above.is_empty() && stem == "global" { "/".into() } else { format!("{above}/{stem}") };
            let text = fs::read_to_string(&path).expect("a layer is readable");
            let value = text::parse_object(&text, format(&path), 1 << 20)
                .unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
            let replaced = self.0.insert((config.to_owned(), scope), value);
            assert!(replaced.is_none(), "{} is there twice", path.display());
        }
    }

    pub fn configs(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.keys().map(|(config, _)| config.as_str()).collect();
        names.dedup();
        names
    }

    /// The layers from `/` down to the scope, merged. `None`: none of them exists.
    pub fn effective(&self, config: &str, scope: &str) -> Option<Value> {
        let ends = scope.char_indices().filter(|(at, c)| *at > 0 && *c == '/').map(|(at, _)| at);
        let above = ends.chain([scope.len()]).map(|end| &scope[..end]);
        let scopes = ["/"].into_iter().chain(above.filter(|scope| *scope != "/"));
        let layers: Vec<&Value> =
            scopes.filter_map(|scope| self.0.get(&(config.to_owned(), scope.to_owned()))).collect();
        (!layers.is_empty()).then(|| merge::fold(layers))
    }

    /// How many layers hold a `null`, and how deep scopes go.
    pub fn shape(&self) -> (usize, usize) {
        let nulls = self.0.values().filter(|value| has_null(value)).count();
        let depth = self.0.keys().map(|(_, scope)| scope.split('/').filter(|part| !part.is_empty()).count());
        (nulls, depth.max().unwrap_or(0))
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}

fn format(path: &Path) -> Format {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Format::Json,
        Some("yaml") => Format::Yaml,
        Some("toml") => Format::Toml,
        other => panic!("{}: {other:?} is not the extension of a layer", path.display()),
    }
}

fn directories(directory: &Path) -> Vec<std::path::PathBuf> {
    entries(directory).into_iter().filter(|path| path.is_dir()).collect()
}

fn entries(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory of the tree is readable");
    let mut paths: Vec<_> =
        entries.map(|entry| entry.expect("a directory entry is readable").path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().expect("an entry has a name").to_string_lossy().into_owned()
}
