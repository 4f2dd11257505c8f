use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::cli::files::tree::*;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }
    directory
}

fn names(tree: &Tree) -> Vec<String> {
    tree.layers.keys().map(|name| format!("{} {}", name.config, name.scope)).collect()
}

fn refusal(files: &[(&str, &str)]) -> String {
    read(directory(files).path()).expect_err("refused").to_string()
}

fn layer(config: &str, scope: &str) -> LayerName {
    LayerName {
        config: ConfigName::parse(config).expect("a name"),
        scope: Scope::parse(scope).expect("a scope"),
    }
}

fn file(text: &str) -> LayerFile {
    LayerFile { holds: Holds::Layer, format: DocumentFormat::Yaml, text: text.into(), has_secrets: false }
}

#[test]
fn files_are_layers_by_their_path_and_format_by_their_extension() {
    let directory = directory(&[
        ("checkout/global.yaml", "a: 1"),
        ("checkout/production.json", "{}"),
        ("checkout/production/eu.yml", "b: 2"),
        ("checkout/production/global.toml", ""),
        ("checkout/v1.2.toml", "c = 3"),
        ("basket/staging.yaml", ""),
    ]);
    let tree = read(directory.path()).expect("a tree");
    assert_eq!(
        names(&tree),
        [
            "basket /staging",
            "checkout /",
            "checkout /production",
            "checkout /production/eu",
            "checkout /production/global",
            "checkout /v1.2",
        ]
    );
    assert_eq!(tree.layers[&layer("checkout", "/v1.2")].format, DocumentFormat::Toml);
    assert_eq!(tree.layers[&layer("checkout", "/production/eu")].text, "b: 2");
    assert!(tree.warnings.is_empty(), "{:?}", tree.warnings);
}

#[test]
fn what_lies_beside_the_layers_is_ignored_and_what_is_unknown_is_named() {
    let directory = directory(&[
        ("README.md", ""),
        (".git/config", ""),
        ("checkout/.hidden.yaml", ""),
        ("checkout/README", ""),
        ("checkout/global.yaml", "{}"),
        ("checkout/global.yaml~", ""),
        ("notes.txt", ""),
    ]);
    let tree = read(directory.path()).expect("a tree");
    assert_eq!(names(&tree), ["checkout /"]);
    assert_eq!(tree.warnings.len(), 2, "{:?}", tree.warnings);
    assert!(tree.warnings[0].contains("global.yaml~"));
    assert!(tree.warnings[1].contains("notes.txt"));
}

#[test]
fn what_governs_lies_beside_what_it_governs() {
    let directory = directory(&[
        ("_rules.yaml", "rules: {}"),
        ("_settings.json", "{}"),
        ("checkout/_schema.json", "{}"),
        ("checkout/_rules.yml", "rules: {}"),
        ("checkout/_settings.toml", ""),
        ("checkout/global.yaml", "a: 1"),
        ("basket/_schema.versions.json", "{}"),
    ]);
    let tree = read(directory.path()).expect("a tree");
    let expected = [
        "checkout /",
        "namespace:rules /",
        "namespace:settings /",
        "rules:checkout /",
        "schema:basket /",
        "schema:checkout /",
        "settings:checkout /",
    ];
    assert_eq!(names(&tree), expected);
    assert_eq!(tree.layers[&layer("schema:checkout", "/")].holds, Holds::Schema);
    assert_eq!(tree.layers[&layer("schema:basket", "/")].holds, Holds::Layer);

    for (path, why) in [
        ("_schema.json", "_rules and _settings are those of the namespace"),
        ("checkout/_shema.json", "there are no others"),
        ("checkout/production/_rules.json", "in the directory of the config"),
        ("schema:checkout/global.json", "its schema is CONFIG/_schema.json"),
    ] {
        let message = refusal(&[(path, "{}")]);
        assert!(message.contains(why), "{path}: {message}");
    }
    let twice = refusal(&[("a/_schema.json", "{}"), ("a/_schema.versions.json", "{}")]);
    assert!(twice.contains("holds the same layer"), "{twice}");
}

#[test]
fn an_environment_named_global_has_names_of_its_own() {
    let path = |scope| {
        let path = path_of(&layer("checkout", scope), Holds::Layer, DocumentFormat::Yaml).expect("a path");
        path.display().to_string()
    };
    assert_eq!(path("/global"), "checkout/@global.yaml");
    assert_eq!(path("/global/eu"), "checkout/@global/eu.yaml");
    assert_eq!(path("/global/global"), "checkout/@global/global.yaml");
    assert_eq!(path("/eu/global"), "checkout/eu/global.yaml");
    let tree = directory(&[
        ("checkout/global.yaml", "{}"),
        ("checkout/@global.yaml", "{}"),
        ("checkout/@global/eu.yaml", "{}"),
    ]);
    let expected = ["checkout /", "checkout /global", "checkout /global/eu"];
    assert_eq!(names(&read(tree.path()).expect("a tree")), expected);
    assert!(refusal(&[("checkout/global/eu.yaml", "{}")]).contains("are @global.yaml and @global/"));
    assert!(refusal(&[("checkout/eu/@global.yaml", "{}")]).contains("the scope /eu/@global"));
    assert!(refusal(&[("checkout/@eu.yaml", "{}")]).contains("the scope /@eu"));
}

#[test]
fn two_files_of_one_layer_are_refused() {
    let message = refusal(&[("checkout/production.json", "{}"), ("checkout/production.yaml", "{}")]);
    assert!(message.contains("production.json holds the same layer, /production of checkout"), "{message}");
}

#[test]
fn what_cannot_be_a_layer_is_refused_by_its_path() {
    let message = refusal(&[("checkout.yaml", "{}")]);
    assert!(message.contains("the global layer of checkout is checkout/global.yaml"), "{message}");
    assert!(refusal(&[("Checkout/global.yaml", "{}")]).contains("Checkout: the name of a config has 'C'"));
    assert!(refusal(&[("checkout/a b.yaml", "{}")]).contains("a b.yaml: the scope /a b segment"));
    assert!(refusal(&[("checkout/a/b/c/d/e/f/g/h/i.yaml", "{}")]).contains("9 segments"));
}

#[test]
fn a_directory_with_content_is_overwritten_only_by_force_and_keeps_what_is_no_layer() {
    let directory = directory(&[
        ("README.md", "mine"),
        ("old/global.yaml", "{}"),
        ("checkout/global.json", "{}"),
        ("checkout/production/eu.yaml", "{}"),
    ]);
    let layers = BTreeMap::from([(layer("checkout", "/"), file("a: 1\n"))]);
    assert!(matches!(write(directory.path(), &layers, Existing::Refused), Err(TreeError::NotEmpty { .. })));
    write(directory.path(), &layers, Existing::Replaced).expect("written");

    assert_eq!(read(directory.path()).expect("a tree").layers, layers);
    assert_eq!(fs::read_to_string(directory.path().join("README.md")).expect("kept"), "mine");
    assert!(!directory.path().join("old").exists());
    assert!(!directory.path().join("checkout/production").exists());
}

#[test]
fn an_empty_directory_is_filled_and_a_missing_one_made() {
    let parent = TempDir::new().expect("a directory");
    let layers = BTreeMap::from([(layer("checkout", "/a/b"), file("a: 1\n"))]);
    fs::create_dir(parent.path().join("empty")).expect("made");
    for path in ["empty", "new", "deep/er"] {
        write(&parent.path().join(path), &layers, Existing::Refused).expect("written");
        let found = fs::read_to_string(parent.path().join(path).join("checkout/a/b.yaml"));
        assert_eq!(found.expect("there"), "a: 1\n", "{path}");
    }
    let left: Vec<_> = entries(parent.path()).expect("readable");
    assert_eq!(left.len(), 3, "no staging directory is left: {left:?}");
}

#[test]
fn a_file_of_equal_content_keeps_its_comments_its_name_and_its_format() {
    let files = [
        ("checkout/global.yml", "# mine\na: 1\nb: 2 # and why\n"),
        ("checkout/staging.toml", "# mine\na = 1\n"),
        ("checkout/production.yml", "# old\na: 7\n"),
    ];
    let directory = directory(&files);
    let layers = BTreeMap::from([
        (layer("checkout", "/"), file("a: 1\nb: 2\n")),
        (layer("checkout", "/staging"), file("a: 1\n")),
        (layer("checkout", "/production"), file("a: 8\n")),
    ]);
    let written = write(directory.path(), &layers, Existing::Replaced).expect("written");
    assert_eq!(written, Written { written: 1, kept: 2, deleted: 0 });
    let text = |path: &str| fs::read_to_string(directory.path().join(path)).expect("there");
    assert_eq!(text("checkout/global.yml"), files[0].1);
    assert_eq!(text("checkout/staging.toml"), files[1].1);
    assert_eq!(text("checkout/production.yml"), "a: 8\n");
    // Unless it was to be of another format.
    let written = write(directory.path(), &layers, Existing::ReplacedByFormat).expect("written");
    assert_eq!(written, Written { written: 1, kept: 2, deleted: 1 });
    assert_eq!(text("checkout/staging.yaml"), "a: 1\n");
}

#[test]
fn a_pipe_in_the_place_of_a_layer_is_written_to_and_not_read() {
    let directory = directory(&[("checkout/production.yaml", "a: 1\n")]);
    let pipe = directory.path().join("checkout/global.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("it runs").success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).expect("what is written")
    });
    let layers = BTreeMap::from([
        (layer("checkout", "/"), file("a: 1\nb: 2\n")),
        (layer("checkout", "/production"), file("a: 1\n")),
    ]);
    let written = write(directory.path(), &layers, Existing::Replaced).expect("written");
    assert_eq!(written, Written { written: 1, kept: 1, deleted: 0 });
    assert_eq!(reader.join().expect("it ends"), "a: 1\nb: 2\n");
    assert!(!fs::metadata(&pipe).expect("it stays").is_file());
}

#[test]
fn nothing_outside_of_the_directory_is_read_written_or_deleted() {
    use std::os::unix::fs::symlink;
    let outside = directory(&[("global.yaml", "secret: 1\n"), ("eu.yaml", "a: 1\n")]);
    let layers = BTreeMap::from([(layer("checkout", "/"), file("a: 1\n"))]);
    for (link, target) in [
        ("checkout/production", outside.path().to_owned()),
        ("basket", outside.path().to_owned()),
        ("checkout/production.yaml", outside.path().join("global.yaml")),
        ("_rules.yaml", outside.path().join("global.yaml")),
    ] {
        let tree = directory(&[("checkout/global.yaml", "a: 2\n")]);
        symlink(&target, tree.path().join(link)).expect("made");
        for error in [
            read(tree.path()).expect_err("read"),
            write(tree.path(), &layers, Existing::Replaced).expect_err("written"),
        ] {
            assert!(error.to_string().contains("leads out of the directory"), "{link}: {error}");
        }
        assert_eq!(fs::read_to_string(tree.path().join("checkout/global.yaml")).expect("there"), "a: 2\n");
        assert_eq!(entries(outside.path()).expect("readable").len(), 2, "{link}");
    }
    // A link to what lies in the same directory is as good as a file, but nothing is deleted through one to a directory.
    let tree = directory(&[("checkout/global.yaml", "a: 2\n"), ("checkout/eu/west.yaml", "a: 1\n")]);
    symlink("eu", tree.path().join("checkout/us")).expect("made");
    assert_eq!(read(tree.path()).expect("a tree").layers.len(), 3);
    let refused = write(tree.path(), &layers, Existing::Replaced).expect_err("a link is in the way");
    assert!(refused.to_string().contains("link to a directory"), "{refused}");
    assert_eq!(read(tree.path()).expect("a tree").layers.len(), 3);
}

fn any_layer() -> impl Strategy<Value = (LayerName, LayerFile)> {
    let config = "[a-z0-9]([a-z0-9._-]{0,6}[a-z0-9])?";
    let segment =
        prop_oneof![4 => "[A-Za-z0-9]([A-Za-z0-9._@-]{0,6}[A-Za-z0-9])?", 1 => Just(GLOBAL.to_owned())];
    let scope = prop::collection::vec(segment, 0..=8).prop_map(|segments| format!("/{}", segments.join("/")));
    let format = prop::sample::select(vec![DocumentFormat::Json, DocumentFormat::Yaml, DocumentFormat::Toml]);
    let of_config = (config, scope).prop_map(|(config, scope)| (layer(&config, &scope), Holds::Layer));
    let governing = prop::sample::select(vec![
        ("schema:a", Holds::Schema),
        ("schema:b", Holds::Layer),
        ("rules:a", Holds::Layer),
        ("namespace:rules", Holds::Layer),
        ("namespace:settings", Holds::Layer),
    ]);
    let governing = governing.prop_map(|(config, holds)| (layer(config, "/"), holds));
    (prop_oneof![4 => of_config, 1 => governing], format, "\\PC{0,20}").prop_map(
        |((name, holds), format, text)| (name, LayerFile { holds, format, text, has_secrets: false }),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(layers in prop::collection::vec(any_layer(), 0..12)) {
        let layers: BTreeMap<LayerName, LayerFile> = layers.into_iter().collect();
        let parent = TempDir::new().expect("a directory");
        let path = parent.path().join("namespace");
        write(&path, &layers, Existing::Refused).expect("written");
        let tree = read(&path).expect("a tree");
        prop_assert_eq!(&tree.layers, &layers);
        prop_assert!(tree.warnings.is_empty());
        // Over what is there already it changes nothing.
        let again = write(&path, &layers, Existing::ReplacedByFormat).expect("written again");
        prop_assert_eq!(again, Written { kept: layers.len(), ..Written::default() });
        prop_assert_eq!(&read(&path).expect("a tree").layers, &layers);
    }
}
