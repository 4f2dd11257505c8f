//! What makes a directory look like something else than a namespace. Knows files and names; never a server.

use std::collections::BTreeSet;

use super::{GLOBAL, LayerName, Tree};
use crate::model::ConfigName;

/// Files that hardly any environment is called like, and nearly every directory with sources has.
const OF_PROGRAMS: [&str; 15] = [
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "jsconfig.json",
    "composer.json",
    "bower.json",
    "deno.json",
    "Cargo.toml",
    "pyproject.toml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "Chart.yaml",
    "kustomization.yaml",
    "pnpm-lock.yaml",
    "mkdocs.yml",
];

/// Why the directory may be no namespace, one sentence each. A namespace may look so all the same: someone who knows should decide.
pub fn doubts(tree: &Tree) -> Vec<String> {
    [of_programs(tree), several_namespaces(tree)].into_iter().flatten().collect()
}

fn of_programs(tree: &Tree) -> Option<String> {
    let name_of = |path: &std::path::Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let path = tree
        .paths
        .values()
        .find(|path| name_of(path).is_some_and(|name| OF_PROGRAMS.contains(&name.as_str())))?;
    Some(format!("{} is the file of a program, and would become a layer", path.display()))
}

/// Directories of namespaces side by side look like configs, of which each has the layers of scopes only that are called like configs.
fn several_namespaces(tree: &Tree) -> Option<String> {
    let configs: BTreeSet<&ConfigName> = tree.layers.keys().map(|name| &name.config).collect();
    let depth = |name: &LayerName| name.scope.segments().count();
    let has_global_below =
        |name: &LayerName| depth(name) == 2 && name.scope.segments().last() == Some(GLOBAL);
    let looks_like_one = |config: &&&ConfigName| {
        let mut of_config = tree.layers.keys().filter(|name| name.config == ***config);
        of_config.clone().all(|name| depth(name) >= 2) && of_config.any(has_global_below)
    };
    let all: Vec<_> = configs.iter().filter(looks_like_one).map(ToString::to_string).collect();
    (!all.is_empty()).then(|| {
        format!(
            "{} looks like a namespace and would become a config: is this a directory of several namespaces? apply each of them",
            all.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn check(files: &[&str], expected: &[&str]) {
        let directory = tempfile::tempdir().expect("a directory");
        for path in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, "{}").expect("written");
        }
        let found = doubts(&read(directory.path()).expect("a tree"));
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (doubt, expected) in found.iter().zip(expected) {
            assert!(doubt.contains(expected), "{doubt}");
        }
    }

    #[test]
    fn what_is_no_namespace_is_told_by_its_files() {
        check(&["checkout/global.yaml", "checkout/production.yaml", "basket/staging/eu.json"], &[]);
        check(&["left-pad/package.json", "left-pad/lib/index.json"], &["package.json"]);
        check(
            &["payments/checkout/global.yaml", "shop/web/global.yaml", "shop/web/production.yaml"],
            &["payments, shop looks like"],
        );
        // An environment with a region that is called global.
        check(&["checkout/global.yaml", "checkout/eu/global.yaml"], &[]);
    }
}
