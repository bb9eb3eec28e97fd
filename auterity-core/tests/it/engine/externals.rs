//! Functions of catalogs and schemas that are kept elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use auterity_core::engine::{DeployError, Ports, Secrets};
use auterity_core::functions::{Echo, Functions, Registration};
use auterity_core::store::{MemoryStore, Status};
use serde_json::json;

use super::fixture::definition;
use super::{Fixture, error, options, output};
use crate::double::{Double, Reply, open};

/// A catalog whose `log` function counts how often it was fetched.
fn catalog() -> (Double, Arc<AtomicU32>) {
    let fetched = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&fetched);
    let double = Double::start(move |received| match received.target.as_str() {
        "/c/functions/log/1.0.0/function.yaml" => {
            if received.headers.get("authorization").map(String::as_str) != Some("Bearer word") {
                return Reply::json(401, &json!({}));
            }
            let number = count.fetch_add(1, Ordering::SeqCst);
            Reply::of(200, "text/yaml", format!("
input: {{ schema: {{ document: {{ type: object, required: [ message ] }} }} }}
do:
- stamp: {{ set: {{ line: '${{ \"{number} \" + .message }}', name: '${{ $task.definition.set | length | tostring }}' }} }}
- twice: {{ call: double:1.0.0@global, with: {{ line: '${{ .line }}', name: '${{ .name }}' }} }}
"))
        }
        "/c/functions/double/1.0.0/function.yaml" => Reply::of(
            200,
            "text/yaml",
            "{ set: { line: '${ .line + .line }', name: '${ .name }' } }",
        ),
        "/c/functions/broken/1.0.0/function.yaml" => {
            Reply::of(200, "text/yaml", "do:\n- a: { set: { x: '${ .a b }' } }")
        }
        "/c/functions/circle/1.0.0/function.yaml" => {
            Reply::of(200, "text/yaml", "call: circle:1.0.0@global")
        }
        "/own.yaml" => Reply::of(200, "text/yaml", "{ set: { own: true } }"),
        "/schema.json" => Reply::json(200, &json!({"type": "object", "required": ["message"]})),
        _ => Reply::json(404, &json!({})),
    });
    (double, fetched)
}

async fn fixture() -> Fixture {
    let secrets = BTreeMap::from([("catalog".to_owned(), json!({"token": "word"}))]);
    let ports = Ports {
        functions: Functions::within(open())
            .register(Registration::new("ours", Echo).version(2, 0, 0)),
        secrets: Secrets::fixed(secrets),
        ..Ports::new(Arc::new(MemoryStore::new()))
    };
    Fixture::with(ports, options()).await
}

fn using(double: &Double) -> String {
    format!(
        "use:\n  secrets: [ catalog ]\n  authentications: {{ word: {{ bearer: {{ use: catalog }} }} }}\n  catalogs: {{ global: {{ endpoint: {{ uri: '{}', authentication: {{ use: word }} }} }} }}\n",
        double.url("/c/")
    )
}

#[tokio::test]
async fn function_of_a_catalog_is_fetched_once_and_stays_as_it_was() {
    let (double, fetched) = catalog();
    let fixture = fixture().await;
    let tasks = format!(
        "{}do:\n- a: {{ for: {{ each: n, in: '[1, 2]' }}, do: [ {{ b: {{ call: 'log:1.0.0@global', with: {{ message: '${{ \"m\\($n) \" }}' }} }} }} ] }}\n- own: {{ call: {}, with: {{}}, output: {{ as: '${{ $input + . }}' }} }}\n- ours: {{ call: 'ours:2.0.0@default', with: '${{ . }}' }}\n",
        using(&double),
        double.url("/own.yaml"),
    );
    let tasks = tasks.replace(
        "with: '${ . }'",
        "with: { line: '${ .line }', name: '${ .name }', own: '${ .own }' }",
    );
    for _ in 0..2 {
        let row = fixture.complete(&tasks, json!({})).await;
        assert_eq!(
            output(&row),
            json!({"line": "0 m2 0 m2 ", "name": "2", "own": true})
        );
    }
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    // The input is checked as the function says.
    let wrong = format!(
        "{}do: [ {{ a: {{ call: 'log:1.0.0@global', with: {{}} }} }} ]\n",
        using(&double)
    );
    fixture.deploy("wrong", &wrong).await;
    let row = fixture.end(fixture.start("wrong", json!({})).await).await;
    assert_eq!(row.status, Status::Faulted);
    assert!(
        error(&row)["type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("validation"))
    );
}

#[tokio::test]
async fn what_cannot_be_got_or_used_is_refused_at_deployment() {
    let (double, _) = catalog();
    let fixture = fixture().await;
    let table = [
        ("none:1.0.0@global", "404"),
        (
            "broken:1.0.0@global",
            "has a mistake: at \"/do/0/a/set/x\": bad expression",
        ),
        ("circle:1.0.0@global", "calls itself"),
        ("log:1.0.0@other", "there is no catalog \"other\""),
        ("log@global", "no function of a catalog"),
        ("ours:3.0.0@default", "there is no function"),
    ];
    for (name, words) in table {
        let tasks = format!("{}do: [ {{ a: {{ call: '{name}' }} }} ]\n", using(&double));
        let given = fixture
            .handle
            .deploy(&fixture.scope, &definition("refused", &tasks))
            .await;
        let said = match given {
            Err(DeployError::Invalid(mistakes)) => format!("{mistakes:?}").replace("\\\"", "\""),
            Err(error) => error.to_string(),
            Ok(_) => panic!("{name} was deployed"),
        };
        assert!(said.contains(words), "{name}: {said}");
    }
    // A check of the text alone fetches nothing.
    let tasks = format!(
        "{}do: [ {{ a: {{ call: 'none:1.0.0@global' }} }} ]\n",
        using(&double)
    );
    assert_eq!(fixture.handle.validate(&definition("fine", &tasks)), []);
}

#[tokio::test]
async fn schema_elsewhere_is_fetched_at_deployment() {
    let (double, _) = catalog();
    let fixture = fixture().await;
    let tasks = format!(
        "do: [ {{ a: {{ input: {{ schema: {{ resource: {{ endpoint: '{}' }} }} }}, set: '${{ . }}' }} }} ]\n",
        double.url("/schema.json")
    );
    let row = fixture.complete(&tasks, json!({"message": 1})).await;
    assert_eq!(output(&row), json!({"message": 1}));
    let row = fixture.end(fixture.start("subject", json!({})).await).await;
    assert_eq!(error(&row)["status"], 400);
    assert_eq!(double.received("/schema.json").len(), 1);
}
