//! Writing a definition and reading it again gives the same definition.

use auterity_core::definition::{CompileOptions, Limits, compile, diagnose, parse};
use proptest::prelude::ProptestConfig;
use proptest::{prop_assert_eq, proptest};
use serde_json::Value;

use super::generate::definition;
use super::places::check_places;

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn definitions_survive_writing_and_reading(value in definition()) {
        let limits = Limits::default();
        let text = format!("{value:#}");
        let read = |text: &str| parse(text, &limits)
            .map_err(|mistakes| format!("{}\n{text}", diagnose("text", &mistakes)));
        let definition = read(&text);
        let definition = match definition {
            Ok(definition) => definition,
            Err(message) => panic!("{message}"),
        };
        // Nothing is lost on the way into the model.
        prop_assert_eq!(&definition.to_value(), &value);
        prop_assert_eq!(read(&definition.to_yaml()), Ok(definition.clone()));
        prop_assert_eq!(read(&definition.to_json()), Ok(definition.clone()));
        let compact: Value = serde_json::from_str(&definition.to_json()).expect("valid JSON");
        prop_assert_eq!(read(&compact.to_string()), Ok(definition));
        // Compiling random references and expressions fails nearly always; in its place.
        if let Err(mistakes) = compile(&text, &CompileOptions::default()) {
            check_places(&text, Some(&value), &mistakes);
        }
    }
}
