//! Good definitions from everywhere: the standard's kit, the examples, our own.

use std::path::{Path, PathBuf};

/// A definition's text and where it comes from.
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) text: String,
}

/// Gives the definitions of the standard's kit; none where it is not at hand.
pub(super) fn kit() -> Vec<Sample> {
    let scenarios = crate::kit::scenarios().unwrap_or_default();
    let sample = |scenario: crate::kit::feature::Scenario| Sample {
        name: format!("{}: {}", scenario.file, scenario.name),
        text: scenario.definition,
    };
    scenarios.into_iter().map(sample).collect()
}

/// Gives our own definitions, which have every construct that can be executed.
pub(super) fn own() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/definitions");
    let mut samples = read(files(&folder, "yaml"));
    samples.extend(read(files(&folder, "json")));
    assert!(!samples.is_empty(), "there are definitions of our own");
    samples
}

/// Gives the definitions of the examples.
pub(super) fn examples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/workflows");
    read(files(&folder, "yaml"))
}

/// Gives all of them.
pub(super) fn all() -> Vec<Sample> {
    let mut samples = kit();
    samples.extend(own());
    samples.extend(examples());
    samples
}

fn read(paths: Vec<PathBuf>) -> Vec<Sample> {
    let sample = |path: PathBuf| Sample {
        text: std::fs::read_to_string(&path).expect("a readable file"),
        name: path.display().to_string(),
    };
    paths.into_iter().map(sample).collect()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}
