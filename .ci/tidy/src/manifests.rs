//! What the manifests promise: the direction of dependencies, shared lints and versions.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::File;

const LIBRARIES: [&str; 5] = [
    "auterity-core",
    "auterity-cache",
    "auterity-tenancy",
    "auterity-ml",
    "auterity-http",
];
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];
const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Which of our crates a package may know, or nothing if the package has no layer.
fn allowed(package: &str, path: &str) -> Option<&'static [&'static str]> {
    match package {
        "auterity-core" | "auterity-cache" | "auterity-tidy" => Some(&[]),
        "auterity-tenancy" | "auterity-ml" => Some(&["auterity-core", "auterity-cache"]),
        "auterity-http" => Some(&[
            "auterity-core",
            "auterity-cache",
            "auterity-tenancy",
            "auterity-ml",
        ]),
        _ if path.starts_with("examples/") || path.starts_with("benches/") => Some(&LIBRARIES),
        _ => None,
    }
}

/// Finds dependencies that point upwards or sideways.
pub(crate) fn layers(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    let members: Vec<(&File, Table)> = members(files).collect();
    let ours: Vec<&str> = members.iter().map(|(_, manifest)| name(manifest)).collect();
    let renamed = renamed_by_root(files);
    for (file, manifest) in &members {
        let package = name(manifest);
        let Some(allowed) = allowed(package, &file.path) else {
            findings.push(format!(
                "{}: {package} has no layer: decide where it belongs and add it to `allowed` in .ci/tidy",
                file.path
            ));
            continue;
        };
        for (dependency, _) in dependencies(manifest) {
            let dependency = renamed.get(dependency).map_or(dependency, String::as_str);
            let is_ours = ours.contains(&dependency) || LIBRARIES.contains(&dependency);
            if is_ours && dependency != package && !allowed.contains(&dependency) {
                findings.push(format!(
                    "{}: {package} may not depend on {dependency}: dependencies point downwards only (docs/ARCHITECTURE.md)",
                    file.path
                ));
            }
        }
    }
    findings
}

/// Finds members that do not take their lints, package fields and versions from the root.
pub(crate) fn inheritance(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for (file, manifest) in members(files) {
        let lints = manifest.get("lints").and_then(Value::as_table);
        if !lints.is_some_and(inherits) {
            findings.push(format!("{}: add `[lints] workspace = true`", file.path));
        }
        let package = manifest.get("package").and_then(Value::as_table);
        for field in INHERITED {
            let value = package
                .and_then(|package| package.get(field))
                .and_then(Value::as_table);
            if !value.is_some_and(inherits) {
                findings.push(format!("{}: write `{field}.workspace = true`", file.path));
            }
        }
        for (dependency, value) in dependencies(&manifest) {
            let table = value.as_table();
            // Engines that ours is measured against are no dependency of anything else.
            let is_peer = file.path.starts_with("benches/")
                && table.is_some_and(|table| table.get("optional") == Some(&Value::Boolean(true)));
            if !is_peer && !table.is_some_and(inherits) {
                findings.push(format!(
                    "{}: {dependency} takes its version from the workspace: `{dependency}.workspace = true`",
                    file.path
                ));
            }
        }
    }
    findings
}

fn inherits(table: &Table) -> bool {
    table.get("workspace") == Some(&Value::Boolean(true))
}

/// Every manifest of a package; the root's, which has none, is left out.
fn members(files: &[File]) -> impl Iterator<Item = (&File, Table)> {
    files
        .iter()
        .filter(|file| file.name() == "Cargo.toml")
        .filter_map(|file| {
            let manifest: Table = file.text.parse().ok()?;
            manifest.contains_key("package").then_some((file, manifest))
        })
}

fn name(manifest: &Table) -> &str {
    manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// The dependencies of all tables, those for one platform included.
fn dependencies(manifest: &Table) -> Vec<(&str, &Value)> {
    let platforms = manifest.get("target").and_then(Value::as_table).into_iter();
    let tables = platforms
        .flat_map(Table::values)
        .filter_map(Value::as_table)
        .chain([manifest]);
    tables
        .flat_map(|table| DEPENDENCY_TABLES.iter().filter_map(|kind| table.get(*kind)))
        .filter_map(Value::as_table)
        .flatten()
        .map(|(name, value)| (package_of(name, value), value))
        .collect()
}

/// The real names of dependencies that the root's manifest gives another one.
fn renamed_by_root(files: &[File]) -> BTreeMap<String, String> {
    let root = files.iter().find(|file| file.path == "Cargo.toml");
    let manifest: Table = root
        .and_then(|file| file.text.parse().ok())
        .unwrap_or_default();
    let shared = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(Value::as_table);
    shared
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), package_of(name, value).to_owned()))
        .collect()
}

/// A renamed dependency is known by its real name.
fn package_of<'a>(name: &'a str, value: &'a Value) -> &'a str {
    value.get("package").and_then(Value::as_str).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::{File, inheritance, layers};

    const GOOD: &str = "version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
        license.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n";

    fn manifest(path: &str, name: &str, rest: &str) -> File {
        File::of(path, &format!("[package]\nname = \"{name}\"\n{GOOD}{rest}"))
    }

    #[test]
    fn a_dependency_downwards_passes() {
        let http = manifest(
            "auterity-http/Cargo.toml",
            "auterity-http",
            "[dependencies]\nauterity-tenancy.workspace = true\n",
        );
        assert!(layers(&[http]).is_empty());
    }

    #[test]
    fn core_may_not_know_tenancy() {
        let tables = [
            "dependencies",
            "dev-dependencies",
            "build-dependencies",
            "target.'cfg(unix)'.dependencies",
        ];
        for table in tables {
            let rest = format!("[{table}]\nauterity-tenancy.workspace = true\n");
            let core = manifest("auterity-core/Cargo.toml", "auterity-core", &rest);
            assert_eq!(layers(&[core]).len(), 1, "{table}");
        }
    }

    #[test]
    fn renaming_a_dependency_does_not_hide_it() {
        let rest = "[dependencies]\nt = { package = \"auterity-tenancy\", workspace = true }\n";
        let core = manifest("auterity-core/Cargo.toml", "auterity-core", rest);
        assert_eq!(layers(&[core]).len(), 1);
    }

    #[test]
    fn renaming_a_dependency_in_the_root_does_not_hide_it() {
        let root = File::of(
            "Cargo.toml",
            "[workspace.dependencies]\nt = { package = \"auterity-tenancy\", path = \"x\" }\n",
        );
        let rest = "[dependencies]\nt.workspace = true\n";
        let core = manifest("auterity-core/Cargo.toml", "auterity-core", rest);
        assert_eq!(layers(&[root, core]).len(), 1);
    }

    #[test]
    fn a_package_without_a_layer_fails() {
        assert_eq!(
            layers(&[manifest("common/Cargo.toml", "auterity-common", "")]).len(),
            1
        );
    }

    #[test]
    fn lints_fields_and_versions_come_from_the_workspace() {
        let good = manifest(
            "auterity-core/Cargo.toml",
            "auterity-core",
            "[dependencies]\nserde.workspace = true\n",
        );
        assert!(inheritance(&[good]).is_empty());
        let bare = File::of(
            "auterity-core/Cargo.toml",
            "[package]\nname = \"auterity-core\"\n",
        );
        assert_eq!(inheritance(&[bare]).len(), 6);
        for own in [
            "serde = \"1\"",
            "serde = { version = \"1\" }",
            "serde = { git = \"https://example.com\" }",
        ] {
            let file = manifest(
                "auterity-core/Cargo.toml",
                "auterity-core",
                &format!("[dependencies]\n{own}\n"),
            );
            assert_eq!(inheritance(&[file]).len(), 1, "{own}");
        }
    }
}
