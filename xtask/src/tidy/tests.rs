use std::sync::LazyLock;

use super::*;
use crate::cargo::{Dependency, Edge, EdgeKind, Node, Package, Resolve, Target};

/// This workspace, read once.
static OURS: LazyLock<Workspace> = LazyLock::new(|| Workspace::read(&crate::root().unwrap()).unwrap());

fn holds(check: fn(&Workspace) -> Vec<Problem>) {
    let problems = check(&OURS);
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "\n{}", text.join("\n"));
}

#[test]
fn crates_import_only_what_the_architecture_lets_them() {
    holds(dependencies::check);
}

#[test]
fn one_place_knows_the_storage_layout_and_one_the_sql() {
    holds(rust::knowledge);
}

#[test]
fn the_index_shows_no_types_of_its_sql_library() {
    holds(rust::public_sql);
}

#[test]
fn files_are_short() {
    holds(rust::length);
}

#[test]
fn nothing_is_imported_by_a_glob() {
    holds(rust::globs);
}

#[test]
fn no_lint_is_switched_off_for_good() {
    holds(rust::allowed_lints);
}

#[test]
fn each_crate_describes_itself_and_has_one_integration_test() {
    holds(crates::manifests);
}

#[test]
fn every_dependency_of_the_workspace_is_used() {
    holds(crates::unused);
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    holds(prose::machine_paths);
}

#[test]
fn every_path_that_a_document_names_exists() {
    holds(prose::links);
}

#[test]
fn the_changelog_speaks_of_this_version() {
    holds(prose::changelog);
}

#[test]
fn every_check_is_in_the_list_that_tidy_prints() {
    // one test above for each; a check that is added needs both
    assert_eq!(CHECKS.len(), 11);
}

/// A workspace of these files and packages: (name, what it uses).
fn workspace(files: &[(&str, &str)], packages: &[(&str, &[&str])]) -> Workspace {
    let package = |(name, uses): &(&str, &[&str])| Package {
        id: (*name).to_owned(),
        name: (*name).to_owned(),
        version: "1.2.3".to_owned(),
        description: Some("Says what it is.".to_owned()),
        license: None,
        repository: None,
        dependencies: uses
            .iter()
            .map(|name| Dependency {
                name: (*name).to_owned(),
                kind: None,
            })
            .collect(),
        targets: Vec::new(),
    };
    let edge = |name: &&str| Edge {
        pkg: (*name).to_owned(),
        dep_kinds: vec![EdgeKind { kind: None }],
    };
    let node = |(name, uses): &(&str, &[&str])| Node {
        id: (*name).to_owned(),
        deps: uses.iter().map(edge).collect(),
    };
    Workspace {
        tree: Tree::of(files),
        metadata: Metadata {
            packages: packages.iter().map(package).collect(),
            workspace_members: packages
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .filter(|name| name.starts_with("wharf"))
                .collect(),
            resolve: Resolve {
                nodes: packages.iter().map(node).collect(),
            },
            target_directory: std::path::PathBuf::new(),
        },
    }
}

fn messages(problems: &[Problem]) -> String {
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    text.join("\n")
}

const LAW: &str = "\
<!-- dependencies: begin -->
| crate | may import | never reaches | never names |
|---|---|---|---|
| `oci` | | `tokio` | |
| `storage` | `oci` | | `axum` |
<!-- dependencies: end -->
";

#[test]
fn an_import_against_the_law_is_found() {
    let law = [("ARCHITECTURE.md", LAW)];
    let good = workspace(
        &law,
        &[
            ("wharf-oci", &[]),
            ("wharf-storage", &["wharf-oci", "tokio"]),
            ("tokio", &[]),
        ],
    );
    assert_eq!(messages(&dependencies::check(&good)), "");

    let upwards = workspace(&law, &[("wharf-oci", &["wharf-storage"]), ("wharf-storage", &[])]);
    assert!(messages(&dependencies::check(&upwards)).contains("oci must not import storage"));

    let named = workspace(&law, &[("wharf-oci", &[]), ("wharf-storage", &["axum"]), ("axum", &[])]);
    assert!(messages(&dependencies::check(&named)).contains("storage must not name axum"));

    let hidden = workspace(
        &law,
        &[
            ("wharf-oci", &["mio"]),
            ("mio", &["tokio"]),
            ("tokio", &[]),
            ("wharf-storage", &[]),
        ],
    );
    assert!(messages(&dependencies::check(&hidden)).contains("oci must not depend on tokio, not even through others"));

    let stranger = workspace(&law, &[("wharf-oci", &[]), ("wharf-storage", &[]), ("wharf-new", &[])]);
    assert!(messages(&dependencies::check(&stranger)).contains("crate new is missing"));

    let lawless = workspace(&[], &[("wharf-oci", &[])]);
    assert_eq!(dependencies::check(&lawless).len(), 1);
}

#[test]
fn a_second_place_that_knows_the_layout_or_sql_is_found() {
    let files = [
        (
            "crates/registry/src/a.rs",
            "let path = \"docker/registry/v2\";\n// \"docker/registry/v2\"\n",
        ),
        ("crates/registry/src/b.rs", "let path = format!(\"{name}/_layers\");\n"),
        ("crates/registry/src/c.rs", "let sql = \"SELECT 1\";\n"),
        ("crates/registry/src/d.rs", "let follow_layers = \"wharf_uploads\";\n"),
        ("crates/registry/src/d/tests.rs", "let path = \"_uploads\";\n"),
        (
            "crates/storage/src/paths.rs",
            "const REGISTRY: &str = \"docker/registry/v2\";\n",
        ),
        ("crates/metadata/src/tags.rs", "let sql = \"SELECT 1\";\n"),
    ];
    let found = rust::knowledge(&workspace(&files, &[]));
    let places: Vec<(&str, usize)> = found
        .iter()
        .map(|problem| (problem.path.as_str(), problem.line))
        .collect();
    assert_eq!(
        places,
        [
            ("crates/registry/src/a.rs", 1),
            ("crates/registry/src/b.rs", 1),
            ("crates/registry/src/c.rs", 1)
        ]
    );
}

#[test]
fn a_public_sql_type_is_found() {
    let text = "use rusqlite::{Connection, Row as R};\npub fn a(row: &Connection) {}\npub(crate) fn b(row: &R) {}\n";
    let found = rust::public_sql(&workspace(&[("crates/metadata/src/a.rs", text)], &[]));
    assert_eq!(found.iter().map(|problem| problem.line).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_long_file_is_found_without_its_tests() {
    let long = "x\n".repeat(600);
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{long}}}\n", "x\n".repeat(599));
    let files = [
        ("crates/a/src/long.rs", long.as_str()),
        ("crates/a/src/tested.rs", &tested),
        ("crates/a/src/tests.rs", &long),
    ];
    let found = rust::length(&workspace(&files, &[]));
    assert_eq!(
        messages(&found),
        "crates/a/src/long.rs: 600 lines: divide what is 600 lines or longer"
    );
}

#[test]
fn globs_and_allowed_lints_are_found() {
    let glob = ["use std::io::", "*;\n"].concat();
    let files = [
        ("crates/a/src/glob.rs", glob.as_str()),
        ("crates/a/src/tests.rs", "use super::*;\nuse proptest::prelude::*;\n"),
        (
            "crates/a/src/lint.rs",
            "    #[allow(dead_code)]\n#[expect(dead_code, reason = \"\")]\n",
        ),
    ];
    let workspace = workspace(&files, &[]);
    assert_eq!(
        messages(&rust::globs(&workspace)),
        "crates/a/src/glob.rs:1: name what is imported"
    );
    assert!(messages(&rust::allowed_lints(&workspace)).starts_with("crates/a/src/lint.rs:1: use #[expect"));
}

#[test]
fn a_crate_without_what_every_crate_has_is_found() {
    let manifest = "[package]\npublish.workspace = true\n[lints]\nworkspace = true\n";
    let mut ours = workspace(
        &[("crates/a/Cargo.toml", manifest), ("crates/b/Cargo.toml", "")],
        &[("wharf-a", &[]), ("wharf-b", &[])],
    );
    let target = |name: &str| Target {
        kind: vec!["test".to_owned()],
        name: name.to_owned(),
    };
    ours.metadata.packages[0].targets = vec![target("it")];
    ours.metadata.packages[1].targets = vec![target("it"), target("more")];
    ours.metadata.packages[1].description = Some("Two. Sentences.".to_owned());
    let found = messages(&crates::manifests(&ours));
    assert!(!found.contains("crates/a"), "{found}");
    for rule in [
        "one sentence",
        "lints of the workspace",
        "package registry",
        "not files of their own: more",
    ] {
        assert!(found.contains(rule), "{rule}\n{found}");
    }
}

#[test]
fn an_unused_dependency_is_found() {
    let manifest = "[workspace]\nresolver = \"3\"\n[workspace.dependencies]\n# comment\nbytes = \"1\"\nhttp = { version = \"1\" }\n";
    let found = crates::unused(&workspace(&[("Cargo.toml", manifest)], &[("wharf-a", &["http"])]));
    assert_eq!(messages(&found), "Cargo.toml:5: no crate uses bytes: remove it");
}

#[test]
fn places_on_a_machine_are_found() {
    let home = ["see /ho", "me/me/x\n"].concat();
    let files = [
        ("a.md", home.as_str()),
        ("b.md", "https://example.com/work/x and $X/root/y\n"),
    ];
    let found = prose::machine_paths(&workspace(&files, &[]));
    assert_eq!(found.len(), 1, "{}", messages(&found));
    assert_eq!(found[0].path, "a.md");
}

#[test]
fn dead_links_and_paths_are_found() {
    let page = "[a](../README.md#x) [b](gone.md) [c](https://example.com/x) `crates/a/src/lib.rs:3` `crates/a/gone.rs`\n\
                `crates/*/x` `docker push` `v2/x`\n```\n[d](gone.md)\n```\n";
    let files = [("docs/page.md", page), ("README.md", ""), ("crates/a/src/lib.rs", "")];
    let found = prose::links(&workspace(&files, &[]));
    assert_eq!(
        messages(&found),
        "docs/page.md:1: docs/gone.md does not exist\ndocs/page.md:1: crates/a/gone.rs does not exist"
    );
}

#[test]
fn a_changelog_without_this_version_is_found() {
    let check = |text: &str| prose::changelog(&workspace(&[("CHANGELOG.md", text)], &[("wharf-a", &[])])).len();
    assert_eq!(check("# Changelog\n\n## Unreleased\n"), 0);
    assert_eq!(check("# Changelog\n\n## 1.2.3 - 2026-01-01\n"), 0);
    assert_eq!(check("# Changelog\n\n## [1.2.2]\n"), 1);
    assert_eq!(check(""), 1);
}
