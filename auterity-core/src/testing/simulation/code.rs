//! The durable function of simulations: it does what a script says.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::join;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::generate::NAMESPACE;
use super::process::Worker;
use crate::engine::{DurableContext, DurableFunction, EventFilter, Spawn, StepRetry};
use crate::interpreter::{Problem, ProblemKind};

pub(super) const NAME: &str = "code";

#[derive(Debug, Serialize, Deserialize)]
struct Input {
    n: u64,
    script: Vec<Value>,
}

/// Writes the definition that stands for the function.
pub(super) fn definition() -> String {
    let nothing = |_: DurableContext, input: Value| async move { Ok(input) };
    DurableFunction::new((NAMESPACE, NAME, "1.0.0"), nothing).definition()
}

pub(super) fn function(worker: Arc<Worker>) -> DurableFunction {
    let call = move |context: DurableContext, input: Input| {
        let worker = Arc::clone(&worker);
        async move { follow(context, worker, input).await }
    };
    DurableFunction::new((NAMESPACE, NAME, "1.0.0"), call)
}

type Followed = Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send>>;

fn follow(context: DurableContext, worker: Arc<Worker>, input: Input) -> Followed {
    Box::pin(async move {
        let Input { mut n, script } = input;
        let mut acts = script.into_iter();
        while let Some(act) = acts.next() {
            if act["again"] == json!(true) {
                let script = acts.collect();
                return context.continue_as_new(Input { n, script }).await;
            }
            n = perform(&context, &worker, n, act).await? % 1_000_000;
        }
        Ok(json!({ "n": n }))
    })
}

async fn perform(
    context: &DurableContext,
    worker: &Arc<Worker>,
    n: u64,
    act: Value,
) -> Result<u64, Problem> {
    if let Some(millis) = act["sleep"].as_i64() {
        context.sleep(SignedDuration::from_millis(millis)).await;
        return Ok(n + 1);
    }
    if let Some(kind) = act["event"].as_str() {
        let subject = context.execution().to_string();
        let filter = EventFilter::of_type(kind).with("subject", subject);
        let event = context.wait_for(filter).await;
        return Ok(n + event["data"]["of"].as_str().map_or(0, str::len) as u64);
    }
    if let Some(name) = act["child"].as_str() {
        let spawn = Spawn::new(NAMESPACE, name, json!({ "n": act["n"] }));
        let output = context.spawn(spawn.with_version("1.0.0")).await;
        // A child may fault; that is an end like any other.
        return Ok(n + output.map_or(3, |output| output["n"].as_u64().unwrap_or(5)));
    }
    if act["left"].is_array() {
        let side = |side: &str| {
            let script = act[side].as_array().cloned().unwrap_or_default();
            follow(context.clone(), Arc::clone(worker), Input { n, script })
        };
        let (left, right) = join(side("left"), side("right")).await;
        return Ok(2 * number(&left?)? + number(&right?)?);
    }
    let work = work(context, worker, n, &act);
    if let Some(millis) = act["late"].as_i64() {
        let time = SignedDuration::from_millis(millis);
        return context.within(time, work).await.unwrap_or(Ok(n));
    }
    work.await
}

async fn work(
    context: &DurableContext,
    worker: &Arc<Worker>,
    n: u64,
    act: &Value,
) -> Result<u64, Problem> {
    let arguments = json!({ "salt": act["work"], "n": n, "fails": act["fails"] });
    let tries = act["tries"]
        .as_u64()
        .and_then(|tries| u32::try_from(tries).ok());
    let worker = Arc::clone(worker);
    let step = context.step_with("work", move |call| {
        let (worker, arguments) = (Arc::clone(&worker), arguments.clone());
        async move { worker.work(&call.scope, &call.key, &arguments).await }
    });
    let retry = StepRetry::times(tries.unwrap_or(1)).with_delay(SignedDuration::from_millis(700));
    let step = step.with_retry(retry);
    match step.await {
        Ok(value) => number(&value),
        Err(problem) if act["fails"] == json!(true) => Ok(n + u64::from(problem.status)),
        Err(problem) => Err(problem),
    }
}

fn number(value: &Value) -> Result<u64, Problem> {
    value["n"].as_u64().ok_or_else(|| {
        let detail = format!("the script gave {value}");
        Problem::new(ProblemKind::Runtime, detail)
    })
}
