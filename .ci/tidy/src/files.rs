//! What must hold of any file: size, where locks point, no path of one machine; and
//! that lists are complete.

use std::collections::BTreeSet;
use std::path::Path;

use crate::File;

const FILE_BYTES_MAX: usize = 256 * 1024;
/// Generated, and grows with the API.
const API_DOCUMENT: &str = "docs/reference/openapi.json";
const NPM_REGISTRY: &str = "https://registry.npmjs.org/";
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Written apart, so that this file does not find itself.
const MACHINE_PATHS: [&str; 4] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
];
const VARIABLES: &str = ".env.example";
/// Written apart, like the paths.
const PREFIX: &str = concat!("AUTER", "ITY_");

/// Finds files that are too large to read or to review.
pub(crate) fn sizes(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.bytes > FILE_BYTES_MAX)
        .filter(|file| !file.is_lock() && file.path != API_DOCUMENT)
        .map(|file| {
            format!(
                "{}: {} bytes, at most {FILE_BYTES_MAX}: shrink it or fetch it when needed",
                file.path, file.bytes
            )
        })
        .collect()
}

/// Finds lock files and settings that name another registry than the public ones.
pub(crate) fn locks(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            let line = line.trim();
            let is_foreign = match file.name() {
                "Cargo.lock" => line
                    .strip_prefix("source = ")
                    .is_some_and(|source| source.trim_matches('"') != CRATES_IO),
                "package-lock.json" => line
                    .strip_prefix("\"resolved\": \"")
                    .is_some_and(|url| url.contains("://") && !url.starts_with(NPM_REGISTRY)),
                ".npmrc" => line.contains("registry=") && !line.ends_with(NPM_REGISTRY),
                "config.toml" if file.path.contains(".cargo/") => {
                    line.starts_with("registry =") || line.contains("replace-with")
                }
                _ => false,
            };
            if is_foreign {
                findings.push(format!(
                    "{}:{}: names a registry that others may not reach: use the public one",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    findings
}

/// Finds paths that exist on one machine only.
pub(crate) fn machine_paths(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !file.is_lock()) {
        for (index, line) in file.text.lines().enumerate() {
            for path in MACHINE_PATHS
                .iter()
                .filter(|path| starts_a_path(line, path))
            {
                findings.push(format!(
                    "{}:{}: `{path}` is a path of one machine",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    findings
}

/// Whether the path begins there, instead of being the middle of a longer one.
fn starts_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|c| {
            !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.' | '/' | '}' | ')' | '*')
        })
    })
}

/// Finds paths of workflows that go up: the cache action saves nothing of those, and only
/// warns.
pub(crate) fn cache_paths(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    let workflows = |file: &&File| file.path.starts_with(".github/workflows/");
    for file in files.iter().filter(workflows) {
        for (index, line) in file.text.lines().enumerate() {
            if line.contains("/..") {
                findings.push(format!(
                    "{}:{}: a path that goes up is never cached: keep it inside the workspace",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    findings
}

/// Finds variables that the list of them does not have, and listed ones that nothing uses.
pub(crate) fn variables(files: &[File]) -> Vec<String> {
    let Some(list) = files.iter().find(|file| file.path == VARIABLES) else {
        return Vec::new();
    };
    let is_text = |file: &File| {
        Path::new(&file.path)
            .extension()
            .is_some_and(|it| it == "md")
    };
    let prose = |file: &File| file.path == VARIABLES || is_text(file);
    let listed: BTreeSet<&str> = names(&list.text).collect();
    let mut used = BTreeSet::new();
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !prose(file)) {
        for name in names(&file.text) {
            if used.insert(name) && !listed.contains(name) {
                findings.push(format!("{}: add {name} to {VARIABLES}", file.path));
            }
        }
    }
    let unused = listed.difference(&used);
    findings.extend(unused.map(|name| format!("{VARIABLES}: nothing uses {name}: remove it")));
    findings
}

/// Gives the names of variables in a text.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let is_part =
        |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    text.split(move |letter: char| !is_part(letter))
        .filter(|word| {
            word.len() > PREFIX.len() && word.starts_with(PREFIX) && !word.ends_with('_')
        })
}

#[cfg(test)]
mod tests {
    use super::{
        FILE_BYTES_MAX, File, MACHINE_PATHS, PREFIX, VARIABLES, cache_paths, locks, machine_paths,
        sizes, variables,
    };

    #[test]
    fn a_file_over_the_limit_fails_unless_a_tool_wrote_it() {
        let text = "x".repeat(FILE_BYTES_MAX + 1);
        assert_eq!(sizes(&[File::of("docs/picture.txt", &text)]).len(), 1);
        assert!(sizes(&[File::of("web/package-lock.json", &text)]).is_empty());
        assert!(sizes(&[File::of("docs/reference/openapi.json", &text)]).is_empty());
    }

    #[test]
    fn a_lock_on_another_registry_fails() {
        let good = [
            (
                "Cargo.lock",
                "source = \"registry+https://github.com/rust-lang/crates.io-index\"",
            ),
            (
                "web/package-lock.json",
                "\"resolved\": \"https://registry.npmjs.org/a/-/a-1.0.0.tgz\",",
            ),
            ("web/package-lock.json", "\"resolved\": \"packages/a\","),
        ];
        let bad = [
            ("Cargo.lock", "source = \"git+https://example.com/a\""),
            (
                "web/package-lock.json",
                "\"resolved\": \"https://npm.example.com/a/-/a-1.0.0.tgz\",",
            ),
            (".npmrc", "registry=https://npm.example.com/"),
        ];
        for (path, text) in good {
            assert!(locks(&[File::of(path, text)]).is_empty(), "{text}");
        }
        for (path, text) in bad {
            assert_eq!(locks(&[File::of(path, text)]).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_path_of_one_machine_fails() {
        for path in MACHINE_PATHS {
            assert_eq!(
                machine_paths(&[File::of("docs/a.md", &format!("open {path}x"))]).len(),
                1,
                "{path}"
            );
            assert!(
                machine_paths(&[File::of(
                    "docs/a.md",
                    &format!("https://example.com{path}x")
                )])
                .is_empty()
            );
        }
    }

    #[test]
    fn a_cached_path_that_goes_up_fails() {
        let workflow = |text: &str| File::of(".github/workflows/ci.yml", text);
        let inside = workflow("  DIR: ${{ github.workspace }}/target\n");
        assert!(cache_paths(&[inside]).is_empty());
        let above = workflow("  DIR: ${{ github.workspace }}/../target\n");
        assert_eq!(cache_paths(&[above]).len(), 1);
    }

    #[test]
    fn a_variable_in_one_place_only_fails() {
        let list = || File::of(VARIABLES, &format!("# about\n#{PREFIX}ONE=1\n"));
        let code = |name: &str| File::of("src/a.rs", &format!("env = \"{PREFIX}{name}\""));
        assert!(variables(&[list(), code("ONE")]).is_empty());
        assert_eq!(variables(&[list(), code("ONE"), code("TWO")]).len(), 1);
        assert_eq!(variables(&[list()]).len(), 1);
    }
}
