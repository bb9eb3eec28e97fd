//! What must hold of Rust sources: lengths, leftovers, seams and words.

use crate::File;

const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 70;
/// Written apart, so that this file does not find itself.
const LEFTOVERS: [&str; 4] = [
    concat!("FIX", "ME"),
    concat!("db", "g!("),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
];
/// A port earns its place with two real implementors (docs/ARCHITECTURE.md).
const PORTS: [&str; 10] = [
    "Store",
    "ConnectionSource",
    "Admission",
    "Clock",
    "Function",
    "Authenticator",
    "MemoryTier",
    "SecondTier",
    "Engine",
    "Provider",
];
const PORT_IMPLEMENTORS_MIN: usize = 2;
/// Words that mean something else here: an execution is no run, a task is no step.
const FORBIDDEN: [(&str, &str); 6] = [
    ("run", "execution"),
    ("runs", "execution"),
    ("instance", "execution"),
    ("job", "execution"),
    ("step", "task"),
    ("activity", "task"),
];
/// The standard's `run` tasks, `auterity run`, durable steps of code-first functions, and
/// logs of other systems, whose events have activities.
const WORD_EXEMPT: [&str; 9] = [
    "/definition/",
    "/interpreter/task/run",
    "/functions/process/",
    "/cli/run",
    "/durable_fn/",
    "/mining/",
    "/suggest/",
    "benches/",
    "/tests/",
];

/// Finds files and functions that are too long.
pub(crate) fn lengths(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            findings.push(format!(
                "{}: {lines} lines, at most {FILE_LINES_MAX}: make it a folder",
                file.path
            ));
        }
        // Tables of cases in tests may be long.
        if file.path.contains("/tests/") {
            continue;
        }
        for (line, name, length) in functions(&file.text) {
            if length > FUNCTION_LINES_MAX {
                findings.push(format!(
                    "{}:{line}: `{name}` has {length} lines, at most {FUNCTION_LINES_MAX}: branches in the parent, work in helpers",
                    file.path
                ));
            }
        }
    }
    findings
}

/// Line, name and lines of code of each function, found by the indentation of rustfmt.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let ends_here = |line: &&str| {
            **line == closing || line.trim_end().ends_with(';') && indent_of(line) == indent
        };
        let Some(end) = lines[index..].iter().position(ends_here) else {
            continue;
        };
        let body = &lines[index..index + end];
        let code = body
            .iter()
            .filter(|line| !line.trim().is_empty() && !line.trim().starts_with("//"))
            .count();
        found.push((index + 1, name, code.saturating_sub(1)));
    }
    found
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn function_name(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "fn")?;
    let is_modifier = |word: &str| {
        word.starts_with("pub")
            || word.ends_with(')')
            || matches!(word, "async" | "const" | "unsafe" | "extern" | "\"C\"")
    };
    if !words[..at].iter().copied().all(is_modifier) {
        return None;
    }
    let name: String = words
        .get(at + 1)?
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

/// Finds what was left for later.
pub(crate) fn leftovers(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    let is_source = |file: &&File| {
        file.is_rust()
            || [".ts", ".svelte", ".mjs", ".css"]
                .iter()
                .any(|end| file.path.ends_with(end))
    };
    for file in files.iter().filter(is_source) {
        for (index, line) in file.text.lines().enumerate() {
            for word in LEFTOVERS.iter().filter(|word| line.contains(**word)) {
                findings.push(format!(
                    "{}:{}: `{word}` is left over: finish it",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    findings
}

/// Finds database connections outside the modules that may hold one.
pub(crate) fn connections(files: &[File]) -> Vec<String> {
    let name = concat!("Database", "Connection");
    let is_product = |file: &&File| {
        file.is_rust() && file.path.contains("/src/") && !file.path.starts_with(".ci/")
    };
    let may_hold = |path: &str| {
        path.contains("/store/") || path.contains("/connection/") || path.starts_with("benches/")
    };
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(is_product)
        .filter(|file| !may_hold(&file.path))
    {
        for (index, line) in file
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.contains(name))
        {
            if !line.trim_start().starts_with("//") {
                findings.push(format!(
                    "{}:{}: `{name}` belongs in a store or connection module: ask one of those",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    findings
}

/// Finds ports that have fewer than two implementors.
pub(crate) fn ports(files: &[File]) -> Vec<String> {
    let sources: Vec<&File> = files
        .iter()
        .filter(|file| file.is_rust() && !file.path.starts_with(".ci/"))
        .collect();
    let mut findings = Vec::new();
    for port in PORTS {
        let declares = |file: &&&File| {
            file.text
                .lines()
                .any(|line| starts_with_name(line.trim_start(), "pub trait ", port))
        };
        let Some(home) = sources.iter().find(declares) else {
            continue;
        };
        let implementors = sources
            .iter()
            .flat_map(|file| file.text.lines())
            .filter(|line| implements(line, port))
            .count();
        if implementors < PORT_IMPLEMENTORS_MIN {
            findings.push(format!(
                "{}: the port `{port}` has {implementors} implementors, at least {PORT_IMPLEMENTORS_MIN}: without a second one it is no seam",
                home.path
            ));
        }
    }
    findings
}

fn starts_with_name(line: &str, start: &str, name: &str) -> bool {
    line.strip_prefix(start)
        .and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn implements(line: &str, port: &str) -> bool {
    let line = line.trim_start();
    let Some((head, _)) = line.split_once(" for ") else {
        return false;
    };
    if !line.starts_with("impl") {
        return false;
    }
    let last = head.rsplit([' ', ':']).next().unwrap_or_default();
    last.split('<').next() == Some(port)
}

/// Finds public names that call things by another word than this project does.
pub(crate) fn words(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    let is_subject =
        |file: &&File| file.is_rust() && !WORD_EXEMPT.iter().any(|part| file.path.contains(part));
    for file in files.iter().filter(is_subject) {
        for (index, line) in file.text.lines().enumerate() {
            let Some((kind, name)) = public_name(line) else {
                continue;
            };
            let parts = split(name);
            // A function may well run something; a thing may not be called a run.
            let is_verb = kind == "fn" && parts.first().is_some_and(|part| part == "run");
            for (word, instead) in FORBIDDEN {
                if parts.iter().any(|part| part == word) && !(is_verb && word == "run") {
                    findings.push(format!(
                        "{}:{}: `{name}`: say {instead}, not {word}",
                        file.path,
                        index + 1
                    ));
                }
            }
        }
    }
    findings
}

/// Kind and name of the public item that a line declares.
fn public_name(line: &str) -> Option<(&str, &str)> {
    let mut words = line
        .trim_start()
        .strip_prefix("pub ")?
        .split_whitespace()
        .peekable();
    while words
        .peek()
        .is_some_and(|word| matches!(*word, "async" | "unsafe"))
    {
        words.next();
    }
    let mut kind = words.next()?;
    let mut rest = words.next()?;
    if kind == "const" && rest == "fn" {
        kind = "fn";
        rest = words.next()?;
    }
    let is_item = matches!(
        kind,
        "struct" | "enum" | "trait" | "type" | "fn" | "const" | "static" | "mod"
    );
    let name = rest
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()?;
    (is_item && !name.is_empty()).then_some((kind, name))
}

/// The words of a name in either case, in small letters.
fn split(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut before_is_small = false;
    for c in name.chars() {
        if c == '_' {
            before_is_small = false;
            parts.push(String::new());
            continue;
        }
        if parts.is_empty() || (c.is_uppercase() && before_is_small) {
            parts.push(String::new());
        }
        before_is_small = c.is_lowercase() || c.is_numeric();
        if let Some(last) = parts.last_mut() {
            last.extend(c.to_lowercase());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{File, LEFTOVERS, connections, leftovers, lengths, ports, words};

    fn function(lines: usize) -> String {
        format!(
            "impl X {{\n    pub(crate) async fn long(&self) {{\n{}    }}\n}}\n",
            "        work();\n".repeat(lines)
        )
    }

    #[test]
    fn a_file_of_701_lines_fails() {
        assert!(lengths(&[File::of("a.rs", &"// x\n".repeat(700))]).is_empty());
        assert_eq!(lengths(&[File::of("a.rs", &"// x\n".repeat(701))]).len(), 1);
    }

    #[test]
    fn a_function_of_71_lines_fails() {
        assert!(lengths(&[File::of("a.rs", &function(70))]).is_empty());
        assert_eq!(lengths(&[File::of("a.rs", &function(71))]).len(), 1);
    }

    #[test]
    fn comments_do_not_make_a_function_long() {
        let text = function(70).replacen("work();", "// why\n        work();", 5);
        assert!(lengths(&[File::of("a.rs", &text)]).is_empty());
    }

    #[test]
    fn leftovers_fail() {
        for word in LEFTOVERS {
            assert_eq!(
                leftovers(&[File::of("a.rs", &format!("{word} x"))]).len(),
                1,
                "{word}"
            );
        }
        assert!(leftovers(&[File::of("a.rs", "// nothing")]).is_empty());
    }

    #[test]
    fn a_connection_outside_its_modules_fails() {
        let text = format!("use sea_orm::{};\n", concat!("Database", "Connection"));
        assert_eq!(
            connections(&[File::of("auterity-http/src/api/members.rs", &text)]).len(),
            1
        );
        assert!(connections(&[File::of("auterity-core/src/store/sea/mod.rs", &text)]).is_empty());
    }

    #[test]
    fn a_port_with_one_implementor_fails() {
        let port = "pub trait Clock: Send {\n}\nimpl Clock for SystemClock {\n";
        assert_eq!(ports(&[File::of("a.rs", port)]).len(), 1);
        let second = "impl<T> crate::clock::Clock for ManualClock<T> {\n";
        assert!(ports(&[File::of("a.rs", port), File::of("b.rs", second)]).is_empty());
        let other = "impl AlarmClock for Tower {\n";
        assert_eq!(
            ports(&[File::of("a.rs", port), File::of("b.rs", other)]).len(),
            1
        );
    }

    #[test]
    fn foreign_words_in_public_names_fail() {
        for line in [
            "pub struct RunRecord;",
            "pub enum WorkflowStep {",
            "    pub fn step_name(&self) {",
            "pub const fn last_run() {",
            "pub trait Activity {",
            "pub mod instance;",
        ] {
            assert_eq!(
                words(&[File::of("auterity-core/src/engine/x.rs", line)]).len(),
                1,
                "{line}"
            );
        }
        for line in [
            "pub async fn run(self) {",
            "pub struct Runtime;",
            "pub(crate) struct Step;",
            "pub struct Truncated;",
        ] {
            assert!(
                words(&[File::of("auterity-core/src/engine/x.rs", line)]).is_empty(),
                "{line}"
            );
        }
        assert!(
            words(&[File::of(
                "auterity-core/src/definition/task.rs",
                "pub struct RunTask;"
            )])
            .is_empty()
        );
    }
}
