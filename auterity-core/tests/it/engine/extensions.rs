//! Extensions: tasks around tasks of a kind.

use auterity_core::store::Status;
use serde_json::json;

use super::{Fixture, error, output};

/// Notes what happens in the exported context, which the workflow gives in the end.
const NOTES: &str = "output: { as: '${ { notes: $context, output: . } }' }
use:
  extensions:
  - outer:
      extend: all
      before:
      - note: { set: { lost: true }, export: { as: '${ ($context // []) + [\"outer before \" + $task.name] }' } }
      after:
      - note: { set: { lost: true }, export: { as: '${ $context + [\"outer after \" + $task.reference] }' } }
  - inner:
      extend: set
      when: $task.set.apply
      before:
      - note: { set: '${ . }', export: { as: '${ $context + [\"inner before \" + ($input.n | tostring)] }' } }
      after:
      - note: { set: '${ . }', export: { as: '${ $context + [\"inner after \" + ($input.n | tostring)] }' } }
";

#[tokio::test]
async fn tasks_before_and_after_change_nothing_of_what_flows() {
    let fixture = Fixture::new().await;
    let tasks = "do:
- first: { set: { n: 1, apply: true } }
- second: { set: { n: 2, apply: false } }
- passed: { if: 'false', set: { n: 9 } }
- third: { call: echo, with: { n: 3, was: '${ .n }' } }
";
    let row = fixture
        .complete(&format!("{NOTES}{tasks}"), json!({"n": 0}))
        .await;
    assert_eq!(
        output(&row),
        json!({
            "notes": [
                "outer before first", "inner before 0", "inner after 1", "outer after /do/0/first",
                "outer before second", "outer after /do/1/second",
                "outer before third", "outer after /do/3/third",
            ],
            "output": {"n": 3, "was": 2},
        })
    );
}

#[tokio::test]
async fn exit_before_a_task_puts_its_output_in_the_place_of_the_task() {
    let fixture = Fixture::new().await;
    let row = fixture
        .complete(
            "use:
  extensions:
  - mock:
      extend: call
      when: >-
        $task.call == \"http\" and ($task.with.endpoint | startswith(\"https://mocked.example\"))
      before:
      - intercept: { set: { statusCode: 200, content: { foo: bar } }, then: exit }
do:
- mocked: { call: http, with: { method: get, endpoint: https://mocked.example/x }, output: { as: .content } }
- real: { call: echo, with: { got: '${ . }' } }
",
            json!({}),
        )
        .await;
    assert_eq!(output(&row), json!({"got": {"foo": "bar"}}));
}

#[tokio::test]
async fn failure_of_an_extension_is_a_failure_of_its_task() {
    let extension = |place: &str| {
        format!(
            "use: {{ extensions: [ {{ guard: {{ extend: wait, {place}: [ {{ no: {{ raise: {{ error: {{ type: https://e.com/no, status: 409 }} }} }} }} ] }} }} ] }}\n"
        )
    };
    for place in ["before", "after"] {
        let tasks = "do: [ { a: { wait: { milliseconds: 1 } } } ]\n";
        let fixture = Fixture::new().await;
        let row = fixture
            .complete(&format!("{}{tasks}", extension(place)), json!({}))
            .await;
        assert_eq!(row.status, Status::Faulted);
        assert_eq!(
            error(&row)["instance"],
            format!("/use/extensions/0/guard/{place}/0/no")
        );
        let tasks = "do: [ { a: { try: [ { b: { wait: { milliseconds: 1 } } } ], catch: { do: [ { c: { set: { caught: '${ $error.status }' } } } ] } } } ]\n";
        let fixture = Fixture::new().await;
        let row = fixture
            .complete(&format!("{}{tasks}", extension(place)), json!({}))
            .await;
        assert_eq!(output(&row), json!({"caught": 409}));
    }
}

#[tokio::test]
async fn extension_of_tasks_with_tasks_inside_waits_and_is_recovered() {
    let fixture = Fixture::new().await;
    let row = fixture
        .complete(
            "output: { as: '${ { notes: $context, output: . } }' }
use:
  extensions:
  - slow:
      extend: composite
      before: [ { rest: { wait: { milliseconds: 50 } } } ]
      after: [ { call: { call: echo, with: { x: 1 }, export: { as: '${ ($context // []) + [$task.name] }' } } } ]
do:
- outer: { do: [ { inner: { fork: { branches: [ { a: { set: { a: 1 } } }, { b: { do: [ { c: { set: { b: 2 } } } ] } } ] } } } ] }
",
            json!({}),
        )
        .await;
    assert_eq!(
        output(&row),
        json!({"notes": ["b", "inner", "outer"], "output": [{"a": 1}, {"b": 2}]})
    );
}
