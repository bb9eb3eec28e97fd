//! What is right compiles, and survives being written and read again.

use std::path::Path;

use auterity_core::definition::{CompileOptions, Limits, compile, diagnose, parse};

use super::samples::all;

#[test]
fn good_definitions_compile() {
    for sample in all() {
        if let Err(mistakes) = compile(&sample.text, &CompileOptions::default()) {
            panic!("{}", diagnose(&sample.name, &mistakes));
        }
    }
}

#[test]
fn good_definitions_survive_writing_and_reading() {
    let limits = Limits::default();
    for sample in all() {
        let definition = match parse(&sample.text, &limits) {
            Ok(definition) => definition,
            Err(mistakes) => panic!("{}", diagnose(&sample.name, &mistakes)),
        };
        let yaml = definition.to_yaml();
        assert_eq!(
            parse(&yaml, &limits).as_ref(),
            Ok(&definition),
            "{}\n{yaml}",
            sample.name
        );
        let json = definition.to_json();
        assert_eq!(
            parse(&json, &limits).as_ref(),
            Ok(&definition),
            "{}\n{json}",
            sample.name
        );
    }
}

#[test]
fn what_people_write_with_each_construct_compiles() {
    const HEADER: &str = "document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/patterns.txt");
    let file = std::fs::read_to_string(&path).expect("a readable file");
    let mut wrong = Vec::new();
    for case in file.split("#### ").skip(1) {
        let (heading, text) = case.split_once('\n').expect("a heading");
        let text = format!("{HEADER}{text}");
        match (
            parse(&text, &Limits::default()),
            compile(&text, &CompileOptions::default()),
        ) {
            (Ok(definition), Ok(_)) => {
                let again = parse(&definition.to_yaml(), &Limits::default());
                assert_eq!(again, Ok(definition), "{heading}");
            }
            (Err(mistakes), _) | (_, Err(mistakes)) => wrong.push(diagnose(heading, &mistakes)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}
