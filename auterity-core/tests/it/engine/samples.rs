//! Every definition of `examples/workflows` deploys, and ends as its page says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use auterity_core::engine::{DeployError, StartRequest};
use auterity_core::store::Status;
use serde_json::{Value, json};

use super::{Fixture, output};

/// Namespace, name, and the part of the output that tells that the right way was taken.
fn expected() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "sales",
            "lead-follow-up",
            json!({"points": 30, "outcome": "nurtured"}),
        ),
        (
            "finance",
            "invoice-approval",
            json!({"decision": "approved", "by": "Amira"}),
        ),
        (
            "finance",
            "subscription-renewal",
            json!({"status": "renewed", "charged": "second"}),
        ),
        (
            "operations",
            "order-fulfilment",
            json!({"status": "cancelled", "reason": "The carrier did not take the parcel"}),
        ),
        (
            "operations",
            "nightly-import",
            json!({"imported": 4, "set_aside": ["customer C-2", "order O-11"]}),
        ),
        ("operations", "webhook-intake", json!({"state": "released"})),
        ("operations", "webhook-sender", json!({"sent": 2})),
        (
            "support",
            "document-triage",
            json!({"desk": "support", "urgent": true}),
        ),
        (
            "support",
            "incident-response",
            json!({"handled_by": "second on call", "closed": true}),
        ),
        (
            "people",
            "employee-onboarding",
            json!({"to": "jonas.weber@example.com", "equipment": ["laptop", "second screen", "headset"]}),
        ),
        (
            "people",
            "travel-request",
            json!({"decision": "declined", "by": "nobody, in time"}),
        ),
        (
            "people",
            "equipment-request",
            json!({"items": ["laptop", "second screen", "headset"]}),
        ),
    ]
}

fn samples() -> BTreeMap<String, (String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/workflows");
    let mut samples = BTreeMap::new();
    for entry in fs::read_dir(&folder).expect("the samples are there") {
        let path = entry.expect("it is readable").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let name = path
                .file_stem()
                .expect("it has a name")
                .to_string_lossy()
                .into_owned();
            let text = fs::read_to_string(&path).expect("it is text");
            let input =
                fs::read(path.with_extension("input.json")).expect("its input lies beside it");
            samples.insert(
                name,
                (
                    text,
                    serde_json::from_slice(&input).expect("the input is JSON"),
                ),
            );
        }
    }
    samples
}

async fn deploy_all(fixture: &Fixture) -> BTreeMap<String, Value> {
    let mut inputs = BTreeMap::new();
    for (name, (text, input)) in samples() {
        match fixture.handle.deploy(&fixture.scope, &text).await {
            Ok(_) => {}
            Err(DeployError::Invalid(mistakes)) => panic!("{name}: {mistakes:#?}"),
            Err(error) => panic!("{name}: {error:?}"),
        }
        inputs.insert(name, input);
    }
    inputs
}

async fn start(
    fixture: &Fixture,
    namespace: &str,
    name: &str,
    input: Value,
) -> auterity_core::ExecutionId {
    let request = StartRequest {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        input,
        ..StartRequest::default()
    };
    fixture
        .handle
        .start(&fixture.scope, request)
        .await
        .expect("it starts")
        .id
}

#[tokio::test]
async fn every_sample_ends_as_it_should() {
    let fixture = Fixture::new().await;
    let inputs = deploy_all(&fixture).await;
    let expected = expected();
    assert_eq!(
        inputs.len(),
        expected.len() + 1,
        "a sample without an expectation"
    );
    let mut started = Vec::new();
    for (namespace, name, part) in &expected {
        let mut input = inputs[*name].clone();
        if *name == "travel-request" {
            // Nobody answers here.
            input["answer_within"] = json!("PT1S");
        }
        let id = start(&fixture, namespace, name, input).await;
        started.push((name, id, part));
    }
    // The person whom the invoice waits for.
    let invoice = started
        .iter()
        .find(|(name, ..)| **name == "invoice-approval")
        .expect("it was started")
        .1;
    fixture
        .until(invoice, |row| row.status == Status::Waiting)
        .await;
    let decision = start(
        &fixture,
        "finance",
        "invoice-decision",
        inputs["invoice-decision"].clone(),
    )
    .await;
    assert_eq!(fixture.end(decision).await.status, Status::Completed);
    for (name, id, part) in started {
        let row = fixture.end(id).await;
        assert_eq!(row.status, Status::Completed, "{name}: {row:?}");
        let output = output(&row);
        for (key, value) in part.as_object().expect("an object") {
            assert_eq!(&output[key], value, "{key} of {name}: {output}");
        }
    }
}
