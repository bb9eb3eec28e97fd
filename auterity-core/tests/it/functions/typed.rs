//! Typed functions and versions.

use async_trait::async_trait;
use auterity_core::functions::{Durability, Functions, Invocation, Registration, TypedFunction};
use auterity_core::interpreter::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::engine_with;
use crate::engine::{error, output};

/// Adds value added tax.
#[derive(Debug)]
struct Vat {
    rate: f64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Net {
    /// The amount without tax.
    amount: f64,
    #[schemars(length(min = 3, max = 3))]
    currency: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Gross {
    gross: f64,
    currency: Option<String>,
}

#[async_trait]
impl TypedFunction for Vat {
    type Input = Net;
    type Output = Gross;

    async fn call(&self, net: Net, _: Invocation) -> Result<Gross, Problem> {
        let gross = net.amount * (1.0 + self.rate);
        let currency = net.currency;
        Ok(Gross { gross, currency })
    }
}

fn vat(rate: f64) -> Registration {
    Registration::typed("vat", Vat { rate })
}

#[tokio::test]
async fn typed_function_gets_and_gives_types() {
    let fixture = engine_with(Functions::built_in().with_typed("vat", Vat { rate: 0.25 })).await;
    let task = "do:\n- tax: { call: vat, with: { amount: '${ .net }', currency: EUR } }\n";
    let row = fixture.complete(task, json!({"net": 100})).await;
    assert_eq!(output(&row), json!({"gross": 125.0, "currency": "EUR"}));
}

#[tokio::test]
async fn wrong_arguments_are_all_named_and_can_be_caught() {
    let fixture = engine_with(Functions::built_in().with_typed("vat", Vat { rate: 0.25 })).await;
    let task = "do:\n- tax: { call: vat, with: { amount: much, currency: euro, vat: 1 } }\n";
    let row = fixture.complete(task, json!({})).await;
    let error = error(&row);
    assert_eq!(error["status"], 400, "{error}");
    assert_eq!(error["instance"], "/do/0/tax");
    let detail = error["detail"].as_str().expect("a detail");
    for place in ["/amount: ", "/currency: ", "'vat'"] {
        assert!(detail.contains(place), "{place} is not in {detail}");
    }
}

#[tokio::test]
async fn highest_version_is_called_unless_one_is_named() {
    let functions = Functions::built_in()
        .register(vat(0.5).version(1, 10, 0))
        .register(vat(0.25).version(1, 9, 0));
    let fixture = engine_with(functions).await;
    for (called, gross) in [("vat", 15.0), ("vat:1.9.0", 12.5), ("'vat:1.10.0'", 15.0)] {
        let name = format!("v{}", called.len());
        let task = format!("do:\n- tax: {{ call: {called}, with: {{ amount: 10 }} }}\n");
        fixture.deploy(&name, &task).await;
        let row = fixture.end(fixture.start(&name, json!({})).await).await;
        assert_eq!(
            output(&row),
            json!({"gross": gross, "currency": null}),
            "{called}"
        );
    }
    let text = crate::engine::definition("old", "do:\n- tax: { call: 'vat:1.0.0' }\n");
    let mistakes = fixture.handle.validate(&text);
    assert!(
        mistakes
            .iter()
            .any(|mistake| mistake.to_string().contains("vat:1.0.0"))
    );
}

#[tokio::test]
async fn functions_are_described() {
    let functions = Functions::none().register(
        vat(0.25)
            .describe("Adds value added tax.")
            .durability(Durability::Pipelined),
    );
    let fixture = engine_with(functions).await;
    let [asks, found] = fixture.handle.functions().try_into().expect("two");
    assert_eq!("approval", asks.name, "the engine's own");
    assert_eq!(
        json!(["title"]),
        asks.signature.input.expect("one")["required"]
    );
    assert_eq!((&*found.name, &*found.version), ("vat", "1.0.0"));
    assert_eq!(found.durability, Durability::Pipelined);
    let input = found.signature.input.expect("it has one");
    assert_eq!(input["required"], json!(["amount"]));
    assert_eq!(
        input["properties"]["amount"]["description"],
        "The amount without tax."
    );
    let output = found.signature.output.expect("it has one");
    assert_eq!(output["properties"]["gross"]["type"], "number");
}
