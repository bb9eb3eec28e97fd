//! What is wrong is refused, with every mistake at its place.
//!
//! The definitions are in `tests/data/broken`, each with what is reported of it:
//! place, code and pointer, then the message, then the hint. After a change, write
//! the reports anew with `UPDATE_EXPECT=1` and read the difference.

use std::path::Path;

use auterity_core::definition::{CompileOptions, Mistake, compile};
use expect_test::expect_file;

use super::places::check_places;

const DEFINITION: &str = "#### definition\n";
const MISTAKES: &str = "#### mistakes\n";

/// Compiles each definition of a file, and compares the file with the reports.
fn check_file(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/broken")
        .join(name);
    let file = std::fs::read_to_string(&path).expect("a readable file");
    let mut actual = String::new();
    for case in file.split(DEFINITION).skip(1) {
        let (text, _) = case
            .split_once(MISTAKES)
            .expect("a definition and its mistakes");
        let mistakes = refused(text);
        check_places(text, None, &mistakes);
        let reports: Vec<String> = mistakes.iter().map(shown).collect();
        actual.push_str(&[DEFINITION, text, MISTAKES, &reports.concat()].concat());
    }
    expect_file![path].assert_eq(&actual);
}

/// Compiles a text that must be refused.
fn refused(text: &str) -> Vec<Mistake> {
    let is_registered = |name: &str| name == "sendMail";
    let options = CompileOptions {
        functions: Some(&is_registered),
        ..CompileOptions::default()
    };
    compile(text, &options).expect_err("a definition with mistakes")
}

fn shown(mistake: &Mistake) -> String {
    let Mistake {
        code,
        pointer,
        message,
        hint,
        start,
        end,
    } = mistake;
    let hint = hint.as_deref().unwrap_or("-");
    format!("{start} to {end} {code} at \"{pointer}\"\n    {message}\n    {hint}\n")
}

#[test]
fn texts_that_are_no_yaml() {
    check_file("texts_that_are_no_yaml.txt");
    assert_eq!(refused("document: \"\u{1}\"\n")[0].code, "bad_character");
    assert_eq!(refused("a: b\u{0}\nc: d\n")[0].code, "bad_character");
}

#[test]
fn values_that_yaml_has_and_definitions_do_not() {
    check_file("values_that_yaml_has_and_definitions_do_not.txt");
}

#[test]
fn documents_with_wrong_headers() {
    check_file("documents_with_wrong_headers.txt");
}

#[test]
fn tasks_of_the_wrong_form() {
    check_file("tasks_of_the_wrong_form.txt");
}

#[test]
fn jumps_and_names() {
    check_file("jumps_and_names.txt");
}

#[test]
fn expressions_that_are_wrong() {
    check_file("expressions_that_are_wrong.txt");
}

#[test]
fn references_to_nothing() {
    check_file("references_to_nothing.txt");
}

#[test]
fn calls_with_wrong_arguments() {
    check_file("calls_with_wrong_arguments.txt");
}

#[test]
fn events_errors_and_retries() {
    check_file("events_errors_and_retries.txt");
}

#[test]
fn schedules_schemas_and_what_is_not_supported() {
    check_file("schedules_schemas_and_what_is_not_supported.txt");
}
