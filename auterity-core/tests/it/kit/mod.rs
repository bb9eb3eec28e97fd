//! The conformance kit of the Serverless Workflow DSL: its features, read, and a
//! local double of the two services that they call.
//!
//! The kit's folder is named by `AUTERITY_CONFORMANCE_DIR`; without it the tests
//! over the kit say so and pass.

pub(crate) mod double;
mod engine;
pub(crate) mod feature;
mod yaml;

use std::path::PathBuf;

use self::double::Double;
use self::feature::{Ended, Expectation, Outcome, Scenario};
use serde_json::json;

/// How many scenarios the kit has.
const SCENARIOS: usize = 21;

/// Gives the kit's scenarios, or says that there is no kit here.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub(crate) fn scenarios() -> Option<Vec<Scenario>> {
    let Some(folder) = std::env::var_os("AUTERITY_CONFORMANCE_DIR") else {
        eprintln!("SKIPPED: AUTERITY_CONFORMANCE_DIR does not name the conformance kit");
        return None;
    };
    Some(feature::read_all(&PathBuf::from(folder)))
}

#[test]
fn the_kit_is_read_whole() {
    let Some(scenarios) = scenarios() else { return };
    assert_eq!(scenarios.len(), SCENARIOS);
    for scenario in &scenarios {
        let place = format!("{}: {}", scenario.file, scenario.name);
        assert!(scenario.definition.starts_with("document:"), "{place}");
        assert!(!scenario.expectations.is_empty(), "{place}");
    }
    let named = |name: &str| scenarios.iter().find(|scenario| scenario.name == name);
    let flow = named("Explicit Sequence Flow").expect("is in the kit");
    assert_eq!(
        flow.expectations,
        [
            Expectation::CompletesWithOutput(json!({"colors": ["red", "green", "blue"]})),
            Expectation::RunsFirst("setRed".to_owned()),
            Expectation::RunsAfter("setGreen".to_owned(), "setRed".to_owned()),
            Expectation::RunsAfter("setBlue".to_owned(), "setGreen".to_owned()),
        ]
    );
    let pet = named("Output Filtering").expect("is in the kit");
    assert_eq!(pet.input, Some(json!({"petId": 1})));
    assert_eq!(
        pet.expectations,
        [Expectation::CompletesWithOutput(json!(1))]
    );
    let rewritten = Double::start().rewrite(&pet.definition);
    assert!(!rewritten.contains("swagger.io"), "{rewritten}");
}

#[test]
fn expectations_are_checked() {
    let outcome = Outcome {
        ended: Ended::Completed(json!({"a": {"b": [1, 2]}, "n": 1})),
        tasks: vec![
            ("one".to_owned(), "completed".to_owned()),
            ("two".to_owned(), "faulted".to_owned()),
        ],
    };
    let text = |text: &str| text.to_owned();
    let met = [
        Expectation::Completes,
        Expectation::CompletesWithOutput(json!({"n": 1.0, "a": {"b": [1, 2]}})),
        Expectation::OutputHasProperties(vec![text("a.b"), text("n")]),
        Expectation::OutputPropertyEquals(text("a.b"), json!([1, 2])),
        Expectation::OutputPropertyCount(text("a.b"), 2),
        Expectation::RunsFirst(text("one")),
        Expectation::RunsLast(text("two")),
        Expectation::RunsBefore(text("one"), text("two")),
        Expectation::RunsAfter(text("two"), text("one")),
        Expectation::TaskCompletes(text("one")),
        Expectation::TaskFaults(text("two")),
    ];
    for expectation in met {
        assert_eq!(expectation.check(&outcome), Ok(()));
    }
    let error = json!({"status": 400, "title": "no", "detail": "more"});
    let faulted = Outcome {
        ended: Ended::Faulted(error),
        tasks: Vec::new(),
    };
    let expected = Expectation::FaultsWithError(json!({"status": 400, "title": "no"}));
    assert_eq!(expected.check(&faulted), Ok(()));
    assert_eq!(Expectation::Faults.check(&faulted), Ok(()));
    let cancelled = Outcome {
        ended: Ended::Cancelled,
        tasks: Vec::new(),
    };
    assert_eq!(Expectation::Cancels.check(&cancelled), Ok(()));
    expected.check(&cancelled).expect_err("is not met");
    let unmet = [
        Expectation::Faults,
        Expectation::FaultsWithError(json!({})),
        Expectation::Cancels,
        Expectation::CompletesWithOutput(json!({"n": 1})),
        Expectation::OutputHasProperties(vec![text("a.c")]),
        Expectation::OutputPropertyEquals(text("a.b"), json!([1])),
        Expectation::OutputPropertyCount(text("a.b"), 1),
        Expectation::RunsFirst(text("two")),
        Expectation::RunsLast(text("one")),
        Expectation::RunsBefore(text("two"), text("one")),
        Expectation::RunsAfter(text("one"), text("two")),
        Expectation::RunsAfter(text("two"), text("none")),
        Expectation::TaskCancels(text("one")),
    ];
    for expectation in unmet {
        expectation.check(&outcome).expect_err("is not met");
    }
}
