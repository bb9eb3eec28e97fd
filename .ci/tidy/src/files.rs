//! What must hold of any file: size, where locks point, no path of one machine.

use crate::File;

const FILE_BYTES_MAX: usize = 256 * 1024;
const NPM_REGISTRY: &str = "https://registry.npmjs.org/";
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Written apart, so that this file does not find itself.
const MACHINE_PATHS: [&str; 4] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
];
const API_FOLDER: &str = "auterity-http/src/api/";
/// Beside the tests that call every endpoint; once it is there, no endpoint may be missing.
const COVERAGE_LIST: &str = "auterity-http/tests/it/endpoints.txt";

/// Finds files that are too large to read or to review.
pub(crate) fn sizes(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.bytes > FILE_BYTES_MAX && !file.is_lock())
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

/// Finds endpoint files that the coverage list does not name.
pub(crate) fn endpoint_coverage(files: &[File]) -> Vec<String> {
    let Some(list) = files.iter().find(|file| file.path == COVERAGE_LIST) else {
        return Vec::new();
    };
    let named: Vec<&str> = list
        .text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    files
        .iter()
        .filter_map(|file| {
            Some((
                file,
                file.path.strip_prefix(API_FOLDER)?.strip_suffix(".rs")?,
            ))
        })
        .filter(|(_, resource)| *resource != "mod" && !named.contains(resource))
        .map(|(file, resource)| {
            format!(
                "{}: add `{resource}` to {COVERAGE_LIST}, with a call of each endpoint",
                file.path
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{
        COVERAGE_LIST, FILE_BYTES_MAX, File, MACHINE_PATHS, endpoint_coverage, locks,
        machine_paths, sizes,
    };

    #[test]
    fn a_file_over_the_limit_fails_unless_it_is_a_lock() {
        let text = "x".repeat(FILE_BYTES_MAX + 1);
        assert_eq!(sizes(&[File::of("docs/picture.txt", &text)]).len(), 1);
        assert!(sizes(&[File::of("web/package-lock.json", &text)]).is_empty());
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
    fn an_endpoint_missing_from_the_list_fails() {
        let list = File::of(COVERAGE_LIST, "workflows\nmod\n");
        let api = |name: &str| File::of(&format!("auterity-http/src/api/{name}.rs"), "");
        assert!(
            endpoint_coverage(&[api("secrets")]).is_empty(),
            "no list yet"
        );
        let findings = endpoint_coverage(&[list, api("workflows"), api("secrets"), api("mod")]);
        assert_eq!(findings.len(), 1);
    }
}
