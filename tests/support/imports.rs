//! Which files of a module import which, and the cycles among them. Knows how Rust resolves paths; nothing of this project.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::source::{Source, Token, paths};

/// The module path of a file: `["engine", "watch"]` of `src/engine/watch.rs`.
type Module = Vec<String>;

/// A path that a file names, from the root of the crate on.
struct Reference {
    path: Vec<String>,
    /// The name that a re-export gives to the item, `*` for all items. `None`: the path is not re-exported.
    exported: Option<String>,
}

struct File {
    references: Vec<Reference>,
    /// The names of the items that the file declares.
    declared: BTreeSet<String>,
}

/// The shortest cycles among the files of each top-level module, each as the files on the way: the last imports the first.
///
/// An import is a path in a `use` or in code, followed through re-exports to the file that declares the item. A file may name the files
/// above it (its parent module) and below it (its children). Tests may name any file.
pub fn cycles(sources: &[Source]) -> Vec<Vec<String>> {
    let files: BTreeMap<Module, File> = sources
        .iter()
        .filter(|source| !source.path.split('/').any(|part| part == "tests" || part == "tests.rs"))
        .map(|source| (module_of(&source.path), read(source)))
        .collect();
    let imports: BTreeMap<&Module, BTreeSet<&Module>> = files
        .iter()
        .map(|(from, file)| {
            let named = file.references.iter().filter_map(|reference| declaring(&reference.path, &files, 0));
            let is_import = |to: &&Module| {
                to.first() == from.first() && !to.starts_with(from) && !from.starts_with(to.as_slice())
            };
            (from, named.filter(is_import).collect())
        })
        .collect();
    let mut cycles: BTreeMap<Vec<&Module>, Vec<&Module>> = BTreeMap::new();
    for file in imports.keys() {
        if let Some(cycle) = shortest_cycle(file, &imports) {
            let mut key = cycle.clone();
            key.sort();
            cycles.entry(key).or_insert(cycle);
        }
    }
    cycles.into_values().map(|cycle| cycle.into_iter().map(|file| file.join("::")).collect()).collect()
}

fn module_of(file: &str) -> Module {
    let within = file.trim_start_matches("src/").trim_end_matches(".rs");
    within.strip_suffix("/mod").unwrap_or(within).split('/').map(str::to_owned).collect()
}

/// Reads the paths that a file names, those of its tests excluded.
fn read(source: &Source) -> File {
    let tokens = &source.tokens;
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut file = File { references: vec![], declared: BTreeSet::new() };
    let own = module_of(&source.path);
    // The modules within the file, with the depth of their braces.
    let mut within: Vec<(String, usize)> = vec![];
    let (mut at, mut depth) = (0, 0);
    while at < tokens.len() {
        let mut here = own.clone();
        here.extend(within.iter().map(|(name, _)| name.clone()));
        let is_test = within.iter().any(|(name, _)| name == "tests");
        match text(at) {
            "mod" if text(at + 2) == "{" => within.push((text(at + 1).to_owned(), depth)),
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                within.pop_if(|(_, outer)| *outer == depth);
            }
            // Of a bound, `use<'a>` names lifetimes.
            "use" if !is_test && text(at + 1) != "<" => {
                let end = (at..tokens.len()).find(|at| text(*at) == ";").unwrap_or(tokens.len());
                let is_exported = at > 0 && matches!(text(at - 1), "pub" | ")") && within.is_empty();
                let names = aliases(&tokens[at..end]);
                for named in paths(&tokens[at + 1..end]) {
                    let Some(mut path) = absolute(&named.segments, &here) else { continue };
                    path.retain(|segment| segment != "self");
                    let last = path.last().cloned().unwrap_or_default();
                    let exported = is_exported.then(|| names.get(&last).cloned().unwrap_or(last.clone()));
                    path.retain(|segment| segment != "*");
                    file.references.push(Reference { path, exported });
                }
                at = end;
            }
            "struct" | "enum" | "fn" | "trait" | "type" | "const" | "static" if within.is_empty() => {
                file.declared.insert(text(at + 1).to_owned());
            }
            _ if !is_test && text(at + 1) == "::" && (at == 0 || text(at - 1) != "::") => {
                let end = (at..tokens.len()).take_while(|at| is_of_path(text(*at))).last().unwrap_or(at) + 1;
                for named in paths(&tokens[at..end]) {
                    // A visibility, as in `pub(in crate::api)`, imports nothing.
                    let is_visibility = at > 1 && text(at - 1) == "in";
                    if let Some(path) = absolute(&named.segments, &here).filter(|_| !is_visibility) {
                        file.references.push(Reference { path, exported: None });
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    file
}

fn is_of_path(token: &str) -> bool {
    token == "::" || token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The names that a `use` gives to items, by their own names: `as`.
fn aliases(tokens: &[Token]) -> BTreeMap<String, String> {
    let renamed = tokens.windows(3).filter(|tokens| tokens[1].text == "as");
    renamed.map(|tokens| (tokens[0].text.clone(), tokens[2].text.clone())).collect()
}

/// A path from the root of the crate on. A path that begins with neither `crate`, `self` nor `super` is taken for one of a child.
fn absolute(segments: &[String], here: &[String]) -> Option<Vec<String>> {
    let supers = segments.iter().take_while(|segment| *segment == "super").count();
    let (start, rest) = match segments.first()?.as_str() {
        "crate" => (&[][..], &segments[1..]),
        "self" => (here, &segments[1..]),
        "super" => (&here[..here.len().checked_sub(supers)?], &segments[supers..]),
        _ => (here, segments),
    };
    Some(start.iter().chain(rest).cloned().collect())
}

/// The file that declares the item at a path, through re-exports.
fn declaring<'a>(path: &[String], files: &'a BTreeMap<Module, File>, depth: usize) -> Option<&'a Module> {
    let known = (1..=path.len()).rev().find_map(|length| files.get_key_value(&path[..length]));
    let (module, file) = known?;
    let Some(item) = path.get(module.len()) else { return Some(module) };
    // Re-exports of re-exports end somewhere; a name that is re-exported as itself does not.
    if depth < 8 && !file.declared.contains(item) {
        for reference in &file.references {
            let target = match reference.exported.as_deref() {
                Some("*") => declaring(&reference.path, files, depth + 1)
                    .filter(|target| *target != module && files[*target].declared.contains(item)),
                Some(name) if name == item => declaring(&reference.path, files, depth + 1),
                Some(_) | None => None,
            };
            if target.is_some() {
                return target;
            }
        }
    }
    Some(module)
}

/// The shortest way from a file back to itself.
fn shortest_cycle<'a>(
    start: &'a Module,
    imports: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
) -> Option<Vec<&'a Module>> {
    let mut before: BTreeMap<&Module, &'a Module> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for next in &imports[file] {
            if *next == start {
                let mut way = vec![file];
                while way[0] != start {
                    way.insert(0, before[way[0]]);
                }
                return Some(way);
            }
            if !before.contains_key(next) {
                before.insert(next, file);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
fn cycles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let source = |(path, text): &(&str, &str)| Source::new(path, text);
    cycles(&files.iter().map(source).collect::<Vec<_>>())
}

#[test]
fn cycles_are_found_through_the_parent_that_exports_an_item() {
    let parent = "mod b; mod c; mod d;\npub use b::{B, Other as Name}; pub use d::*;";
    let b = ("src/a/b.rs", "use super::c::C;\npub struct B; pub struct Other;");
    let c =
        |text| [("src/a.rs", parent), b, ("src/a/c.rs", text), ("src/a/d.rs", "use super::c::C; struct D;")];
    for text in [
        "use super::B;",
        "use crate::a::Name;",
        "fn f() { super::B::new() }",
        "mod inner { fn f() -> super::super::b::B {} }",
    ] {
        assert_eq!(cycles_of(&c(text)), [["a::b", "a::c"]], "{text}");
    }
    assert_eq!(cycles_of(&c("use super::D;")), [["a::c", "a::d"]]);
}

#[test]
fn families_tests_and_visibilities_make_no_cycle() {
    let files = [
        ("src/a.rs", "mod b; mod c; use b::B; pub struct A;"),
        ("src/a/b.rs", "use super::A; use super::c::C; pub struct B;"),
        ("src/a/c.rs", "pub(in crate::a::b) struct C;\n#[cfg(test)] mod tests { use crate::a::b::B; }"),
        ("src/a/c/tests.rs", "use crate::a::b::B;"),
    ];
    assert!(cycles_of(&files).is_empty());
}
