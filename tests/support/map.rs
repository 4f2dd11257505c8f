//! That ARCHITECTURE.md is true: its paths exist, its lists are complete, its glossary has the words of the sources. Knows the form of the page.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{Source, sources};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text below a heading of the page.
fn section(heading: &str) -> String {
    let page = read("ARCHITECTURE.md");
    let rest =
        page.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    rest.split("\n## ").next().expect("there is a first part").to_owned()
}

/// What is between backticks in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_of_word) && !text[at + word.len()..].starts_with(is_of_word))
}

/// The files and folders of the project that the page can name.
fn places() -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder is readable") {
            let entry = entry.expect("an entry is readable");
            let path = folder.join(entry.file_name());
            let name = path.to_string_lossy().replace('\\', "/");
            if !entry.path().is_dir() {
                places.insert(name);
            } else if !name.starts_with('.') && name != "target" && !name.ends_with("node_modules") {
                places.insert(format!("{name}/"));
                folders.push(path);
            }
        }
    }
    places
}

/// A short path such as `index/runs.rs` stands for the one that ends so, in the module that the line has named before.
#[test]
fn every_path_of_the_map_is_there() {
    let places = places();
    let mut wrong = vec![];
    for (number, line) in read("ARCHITECTURE.md").lines().enumerate() {
        let mut module = String::new();
        for path in quoted(line) {
            let is_whole =
                ["src/", "tests/", "docs/", "proto/", "examples/"].iter().any(|top| path.starts_with(top));
            if is_whole {
                module = path.split_inclusive('/').take(2).collect();
                let folder = format!("{path}/");
                if !places.contains(path) && !places.contains(&folder) {
                    wrong.push(format!("  {}: there is no {path}", number + 1));
                }
            } else if path.ends_with(".rs") && path.contains(char::is_alphanumeric) {
                let is_it = |place: &&String| **place == path || place.ends_with(&format!("/{path}"));
                let module = module.trim_end_matches(".rs");
                let found = places.iter().filter(is_it).filter(|place| place.starts_with(module)).count();
                let is_clear = found == 1 || places.contains(path) || !line.starts_with('|') && found > 0;
                if !is_clear {
                    wrong.push(format!(
                        "  {}: {path} is {found} files of `{module}`: write its path",
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md names what is not there:\n{}", wrong.join("\n"));
}

/// The numbered steps of a list, each with the first place that it names.
fn steps(heading: &str) -> Vec<String> {
    let list = section(heading);
    let steps = list.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    steps.map(|step| quoted(step).next().expect("each step names its place").to_owned()).collect()
}

#[test]
fn every_step_of_every_list_names_a_place_that_is_there() {
    let page = read("ARCHITECTURE.md");
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let lists: Vec<&&str> = headings.iter().filter(|heading| heading.starts_with("Where do I add")).collect();
    assert!(lists.len() >= 7, "lists are missing: {lists:?}");
    for list in lists {
        for place in steps(list) {
            assert!(root().join(&place).exists(), "{list}: there is no {place}");
        }
    }
}

/// The names of the fields of a struct whose type begins so.
fn fields(path: &str, structure: &str, of_type: &str) -> Vec<String> {
    let text = read(path);
    let start = text.find(structure).unwrap_or_else(|| panic!("{path} has no {structure}"));
    let body = text[start..].split("\n}").next().expect("there is a first part");
    let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    fields.filter(|(_, of)| of.starts_with(of_type)).map(|(name, _)| name.to_owned()).collect()
}

/// The names of the files in a folder, without those of tests.
fn modules(folder: &str) -> Vec<String> {
    let within = |source: &Source| Some(source.path.strip_prefix(folder)?.strip_suffix(".rs")?.to_owned());
    let names = sources("src").into_iter().filter_map(|source| within(&source));
    names.filter(|name| !name.contains('/') && name != "tests").collect()
}

fn assert_named(names: &[String], form: impl Fn(&str) -> String, path: &str) {
    let text = read(path);
    assert!(!names.is_empty(), "nothing to look for in {path}");
    for name in names {
        assert!(text.contains(&form(name)), "{path} does not name {}", form(name));
    }
}

/// That the page for operators has the setting is checked in tests/docs.rs.
#[test]
fn a_setting_is_added_in_the_place_that_the_map_lists() {
    let place = "src/server/settings/declared.rs";
    assert_eq!(steps("Where do I add a setting"), [place]);
    let declared = read(place);
    let declarations = declared.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(" => "));
    let names: Vec<&str> = declarations.filter_map(|(start, _)| Some(start.split_once(": ")?.0)).collect();
    assert!(names.len() > 30, "the settings are {names:?}");
    let composed = read("src/server/settings/decide.rs");
    let is_named =
        |name: &&str| ["given", "values"].iter().any(|of| has_word(&composed, &format!("{of}.{name}")));
    let named: Vec<&str> = names.into_iter().filter(is_named).collect();
    assert!(named.is_empty(), "a second place decides {named:?}");
}

#[test]
fn a_job_is_added_in_the_places_that_the_map_lists() {
    let places = ["src/engine/jobs/", "src/engine/jobs.rs", "src/engine.rs", "src/engine/tests/"];
    assert_eq!(steps("Where do I add a job"), places);
    let jobs = modules(places[0]);
    assert_named(&jobs, |job| format!("mod {job};"), places[1]);
    let jobs: Vec<_> = jobs.into_iter().filter(|job| job != "scheduler").collect();
    assert_named(&jobs, |job| format!("use jobs::{job}::"), places[2]);
}

#[test]
fn a_feed_consumer_is_added_in_the_places_that_the_map_lists() {
    let places = ["src/server/audit_trail/", "src/server/start.rs", "src/server/feed/tests.rs"];
    assert_eq!(steps("Where do I add a feed consumer"), places);
    let is_consumer = |source: &Source| read(&source.path).contains("\nimpl Consumer for ");
    let consumers: Vec<Source> = sources("src/server").into_iter().filter(is_consumer).collect();
    let consumers: Vec<_> = consumers.iter().filter(|source| source.path != places[2]).collect();
    assert!(consumers.len() >= 2, "the consumers of feeds are missing");
    let (start, tests) = (read(places[1]), read(places[2]));
    for consumer in consumers {
        let name = consumer.path.trim_end_matches(".rs").rsplit('/').next().expect("a path has a last part");
        assert!(start.contains(&format!("{name}::start(")), "{} does not start {}", places[1], consumer.path);
        let text = read(&consumer.path);
        let (_, rest) = text.split_once("\nimpl Consumer for ").expect("it was found by this");
        let of = rest.split_whitespace().next().expect("a name");
        assert!(has_word(&tests, &format!("type Consumer = {of}")), "{} has no subject of {of}", places[2]);
    }
}

#[test]
fn a_command_is_added_in_the_places_that_the_map_lists() {
    let places = ["src/cli/commands/", "src/cli/commands.rs", "src/cli.rs", "tests/cli/"];
    assert_eq!(steps("Where do I add a CLI command"), places);
    let commands = modules(places[0]);
    assert_named(&commands, |command| format!("mod {command};"), places[1]);
    assert_named(&commands, |command| format!("commands::{command}::run"), places[2]);
}

#[test]
fn an_index_is_added_in_the_places_that_the_map_lists() {
    let index = ["trees.rs", "keys.rs", "pending.rs", "compact.rs"]
        .map(|file| format!("src/store/sled/index/{file}"));
    let others = ["src/store/sled/verify/indexes.rs", "tests/store/"].map(str::to_owned);
    assert_eq!(steps("Where do I add an index"), [&index[..], &others[..]].concat());
    let trees = fields(&index[0], "pub struct Trees {", "sled::Tree");
    let trees: Vec<String> = trees.into_iter().filter(|tree| tree != "meta").collect();
    assert!(trees.len() > 3, "the trees are {trees:?}");
    for path in [&index[1], &index[2], &others[0]] {
        let text = read(path);
        for tree in &trees {
            assert!(has_word(&text, tree), "{path} does not name the tree {tree}");
        }
    }
}

#[test]
fn the_glossary_has_the_words_of_the_pages_and_the_names_of_the_sources() {
    let code: Vec<String> = ["src", "proto"]
        .iter()
        .flat_map(|top| places().into_iter().filter(move |place| place.starts_with(&format!("{top}/"))))
        .filter(|place| place.ends_with(".rs") || place.ends_with(".proto"))
        .map(|place| read(&place))
        .collect();
    let pages: String = places()
        .into_iter()
        .filter(|place| place == "README.md" || place.starts_with("docs/") && place.ends_with(".md"))
        .map(|place| read(&place).to_lowercase())
        .collect();
    let glossary = section("Glossary");
    let rows: Vec<Vec<&str>> = glossary
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| word") && !line.starts_with("| ---"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() > 30, "the glossary has {} words", rows.len());
    let words: BTreeSet<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(words.len(), rows.len(), "a word has one meaning");
    for row in rows {
        assert_eq!(row.len(), 3, "a word, a meaning, names: {row:?}");
        assert!(has_word(&pages, row[0]), "no page has the word {:?} of the glossary", row[0]);
        for name in quoted(row[2]) {
            assert!(code.iter().any(|text| has_word(text, name)), "the sources have no {name} ({})", row[0]);
        }
    }
}
