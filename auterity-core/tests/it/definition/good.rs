//! What is right compiles, and survives being written and read again.

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
