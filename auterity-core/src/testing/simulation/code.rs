//! The durable function of simulations: it does what a script says.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::join;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::generate::{NAMESPACE, WORK};
use super::process::Work;
use crate::engine::{DurableContext, DurableFunction, EventFilter, Spawn, StepRetry};
use crate::interpreter::{Problem, ProblemKind};

/// The name of the durable function.
pub(super) const NAME: &str = "code";

/// What an execution begins with: a number, and what is done to it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Input {
    n: u64,
    script: Vec<Value>,
}

/// Writes the definition that stands for the function.
pub(super) fn definition() -> String {
    let nothing = |_: DurableContext, _: Input| async move { Ok(Value::Null) };
    DurableFunction::new((NAMESPACE, NAME, "1.0.0"), nothing).definition()
}

/// Makes the function of a process whose steps do this work.
pub(super) fn function(work: Arc<Work>) -> DurableFunction {
    let call =
        move |context: DurableContext, input: Input| follow(context, Arc::clone(&work), input);
    DurableFunction::new((NAMESPACE, NAME, "1.0.0"), call)
}

type Followed = Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send>>;

fn follow(context: DurableContext, work: Arc<Work>, input: Input) -> Followed {
    Box::pin(async move {
        let Input { mut n, script } = input;
        let mut acts = script.into_iter();
        while let Some(act) = acts.next() {
            if act["again"] == json!(true) {
                let script = acts.collect();
                return context.continue_as_new(Input { n, script }).await;
            }
            n = perform(&context, &work, n, act).await? % 1_000_000;
        }
        Ok(json!({ "n": n }))
    })
}

async fn perform(
    context: &DurableContext,
    work: &Arc<Work>,
    n: u64,
    act: Value,
) -> Result<u64, Problem> {
    if let Some(millis) = act["sleep"].as_i64() {
        context.sleep(SignedDuration::from_millis(millis)).await?;
        return Ok(n + 1);
    }
    if let Some(kind) = act["event"].as_str() {
        let subject = context.execution().to_string();
        let filter = EventFilter::of_type(kind).with("subject", subject);
        let event = context.wait_for(filter).await?;
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
            follow(context.clone(), Arc::clone(work), Input { n, script })
        };
        let (left, right) = join(side("left"), side("right")).await;
        return Ok(2 * number(&left?)? + number(&right?)?);
    }
    let done = done(context, work, n, &act);
    if let Some(millis) = act["late"].as_i64() {
        let time = SignedDuration::from_millis(millis);
        return context.within(time, done).await?.unwrap_or(Ok(n));
    }
    done.await
}

async fn done(
    context: &DurableContext,
    work: &Arc<Work>,
    n: u64,
    act: &Value,
) -> Result<u64, Problem> {
    let arguments = json!({ "salt": act["work"], "n": n, "fails": act["fails"] });
    if act["call"] == json!(true) {
        let called: Result<Value, Problem> = context.call(WORK, arguments).await;
        return settled(act, n, called);
    }
    let tries = act["tries"]
        .as_u64()
        .and_then(|tries| u32::try_from(tries).ok());
    let work = Arc::clone(work);
    let step = context.step_with("work", move |call| {
        let (work, arguments) = (Arc::clone(&work), arguments.clone());
        async move { work.done(&call.scope, &call.key, &arguments).await }
    });
    let retry = StepRetry::times(tries.unwrap_or(1)).with_delay(SignedDuration::from_millis(700));
    settled(act, n, step.with_retry(retry).await)
}

fn settled(act: &Value, n: u64, result: Result<Value, Problem>) -> Result<u64, Problem> {
    match result {
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
