//! What each kind of task does.

use auterity_core::engine::tasks_of;
use auterity_core::store::Status;
use serde_json::{Value, json};

use super::{Fixture, error, output};

/// Executes `do` tasks and compares the output.
async fn gives(rest: &str, input: Value, expected: Value) {
    let fixture = Fixture::new().await;
    let row = fixture.complete(rest, input).await;
    assert_eq!(row.status, Status::Completed, "{row:?}");
    assert_eq!(output(&row), expected);
}

/// Executes `do` tasks and compares parts of the error.
async fn faults(rest: &str, input: Value, expected: Value) {
    let fixture = Fixture::new().await;
    let row = fixture.complete(rest, input).await;
    assert_eq!(row.status, Status::Faulted, "{row:?}");
    let error = error(&row);
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&error[name], value, "{name} of {error}");
    }
}

#[tokio::test]
async fn five_effects_pass_their_output_on() {
    gives(
        "do:
- a: { call: echo, with: { n: '${ .n + 1 }' } }
- b: { call: echo, with: { n: '${ .n + 1 }' } }
- c: { call: echo, with: { n: '${ .n + 1 }' } }
- d: { call: echo, with: { n: '${ .n + 1 }' } }
- e: { call: echo, with: { n: '${ .n + 1 }' } }
",
        json!({"n": 0}),
        json!({"n": 5}),
    )
    .await;
}

#[tokio::test]
async fn skipped_task_passes_its_input_on_and_ignores_its_jump() {
    gives(
        "do:
- a: { if: .go, set: { x: 1 }, then: end }
- b: { set: { y: '${ .go }' } }
",
        json!({"go": false}),
        json!({"y": false}),
    )
    .await;
}

#[tokio::test]
async fn loop_feeds_each_iteration_with_the_one_before_and_stops_at_its_condition() {
    gives(
        "do:
- l:
    for: { each: n, in: .list, at: i }
    while: .sum < 6
    do:
    - add: { set: { list: '${ .list }', sum: '${ (.sum // 0) + $n }', last: '${ $i }' } }
  output: {}
"
        .replace("  output: {}\n", "")
        .as_str(),
        json!({"list": [1, 2, 3, 4, 5], "sum": 0}),
        json!({"list": [1, 2, 3, 4, 5], "sum": 6, "last": 2}),
    )
    .await;
}

#[tokio::test]
async fn fork_gives_the_outputs_in_the_order_of_the_branches() {
    gives(
        "do:
- f:
    fork:
      branches:
      - slow: { do: [ { w: { wait: { milliseconds: 30 } } }, { s: { set: { a: 1 } } } ] }
      - fast: { call: echo, with: { b: 2 } }
",
        json!({}),
        json!([{"a": 1}, {"b": 2}]),
    )
    .await;
}

#[tokio::test]
async fn race_ends_with_the_first_and_cancels_the_rest() {
    gives(
        "do:
- f:
    fork:
      compete: true
      branches:
      - never: { wait: { days: 90 } }
      - quick: { call: echo, with: { won: true } }
",
        json!({}),
        json!({"won": true}),
    )
    .await;
}

#[tokio::test]
async fn failing_branch_fails_the_fork_and_is_caught_around_it() {
    gives(
        "do:
- t:
    try:
    - f:
        fork:
          branches:
          - bad: { raise: { error: { type: 'https://x.example/e', status: 418 } } }
          - good: { wait: { days: 1 } }
    catch:
      as: problem
      do:
      - note: { set: { status: '${ $problem.status }', at: '${ $problem.instance }' } }
",
        json!({}),
        json!({"status": 418, "at": "/do/0/t/try/0/f/fork/branches/0/bad"}),
    )
    .await;
}

#[tokio::test]
async fn retry_repeats_until_the_limit_and_then_the_error_passes() {
    let fixture = Fixture::new().await;
    let row = fixture
        .complete(
            "do:
- t:
    try:
    - bad: { raise: { error: { type: 'https://x.example/e', status: 503 } } }
    catch:
      errors: { with: { status: 503 } }
      retry:
        delay: { milliseconds: 1 }
        backoff: { exponential: {} }
        limit: { attempt: { count: 2 } }
",
            json!({}),
        )
        .await;
    assert_eq!(row.status, Status::Faulted);
    assert_eq!(error(&row)["status"], 503);
    let events = fixture.events(row.id).await;
    let tries = events
        .iter()
        .flat_map(|event| tasks_of(event).expect("they are readable"))
        .filter(|record| record.name == "bad")
        .count();
    assert_eq!(tries, 3, "one try and two retries");
}

#[tokio::test]
async fn uncaught_error_names_its_task() {
    faults(
        "do:
- outer:
    do:
    - inner: { raise: { error: { type: 'https://x.example/e', status: 400, title: Bad } } }
",
        json!({}),
        json!({"type": "https://x.example/e", "status": 400, "title": "Bad",
               "instance": "/do/0/outer/do/0/inner"}),
    )
    .await;
}

#[tokio::test]
async fn task_timeout_is_an_error_that_an_outer_try_catches() {
    gives(
        "do:
- t:
    try:
    - slow:
        wait: { days: 1 }
        timeout: { after: { milliseconds: 10 } }
    catch:
      errors: { with: { type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout' } }
      do:
      - note: { set: { late: true } }
",
        json!({}),
        json!({"late": true}),
    )
    .await;
}

#[tokio::test]
async fn workflow_timeout_faults_the_execution() {
    faults(
        "timeout: { after: { milliseconds: 10 } }
do:
- slow: { wait: { days: 1 } }
",
        json!({}),
        json!({"status": 408}),
    )
    .await;
}

#[tokio::test]
async fn unknown_kind_of_call_faults_at_once_and_says_why() {
    faults(
        "do:
- sh: { run: { shell: { command: 'echo hello' } } }
",
        json!({}),
        json!({"status": 501, "instance": "/do/0/sh"}),
    )
    .await;
}

#[tokio::test]
async fn failing_expression_is_the_standards_expression_error() {
    faults(
        "do:
- s: { set: { x: '${ .a.b.c }' } }
",
        json!({"a": 1}),
        json!({"type": "https://serverlessworkflow.io/dsl/errors/types/expression", "status": 400}),
    )
    .await;
}

#[tokio::test]
async fn loop_without_effects_ends_at_its_budget() {
    faults(
        "do:
- again: { set: { x: 1 } }
- back: { set: { x: 2 }, then: again }
",
        json!({}),
        json!({"type": "https://serverlessworkflow.io/dsl/errors/types/runtime"}),
    )
    .await;
}

#[tokio::test]
async fn data_flows_through_input_output_export_and_context() {
    gives(
        "input: { from: '${ .order }' }
output: { as: '${ { result: ., from: $context.id } }' }
do:
- keep:
    input: { from: '${ { id } }' }
    set: { id: '${ .id }', task: '${ $task.name }', workflow: '${ $workflow.definition.document.name }' }
    export: { as: '${ { id: $input.id } }' }
    output: { as: '${ [.task, .workflow, $input.id] }' }
",
        json!({"order": {"id": 7, "rest": true}}),
        json!({"result": ["keep", "subject", 7], "from": 7}),
    )
    .await;
}

#[tokio::test]
async fn task_schema_violation_is_a_validation_error() {
    faults(
        "do:
- s:
    set: { n: text }
    output: { schema: { document: { type: object, properties: { n: { type: number } } } } }
",
        json!({}),
        json!({"type": "https://serverlessworkflow.io/dsl/errors/types/validation",
               "instance": "/do/0/s"}),
    )
    .await;
}

#[tokio::test]
async fn function_of_the_definition_gets_its_arguments_as_input() {
    gives(
        "use:
  functions:
    greet:
      set: { text: '${ \"Hello \" + .name }' }
do:
- g: { call: greet, with: { name: '${ .who }' } }
",
        json!({"who": "Ada"}),
        json!({"text": "Hello Ada"}),
    )
    .await;
}

#[tokio::test]
async fn end_inside_a_nested_list_ends_the_workflow_and_exit_only_the_list() {
    gives(
        "do:
- outer:
    do:
    - leave: { switch: [ { go: { when: .go, then: exit } }, { stay: { then: continue } } ] }
    - never: { set: { at: never } }
- stop: { switch: [ { go: { when: .go, then: end } }, { stay: { then: continue } } ] }
- neither: { set: { at: neither } }
",
        json!({"go": true}),
        json!({"go": true}),
    )
    .await;
}
