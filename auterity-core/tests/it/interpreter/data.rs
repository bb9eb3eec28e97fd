//! What expressions see, and in which order data is checked and shaped.

use serde_json::json;

use super::drive::{Setting, faults, gives};

#[test]
fn data_is_shaped_in_the_order_of_the_standard() {
    let table = [
        // `if` sees the raw input; a skipped task passes it on, unshaped.
        (
            "do: [ { a: { if: .raw, input: { from: .shaped }, set: { x: '${ . }' } } } ]",
            json!({"raw": true, "shaped": {"raw": false}}),
            json!({"x": {"raw": false}}),
        ),
        (
            "do: [ { a: { if: .raw == null, input: { from: .shaped }, set: { x: 1 }, output: { as: '\"no\"' }, export: { as: '\"no\"' } } } ]\noutput: { as: '[., $context]' }",
            json!({"raw": 1}),
            json!([{"raw": 1}, null]),
        ),
        // The schema of input checks the raw one, that of output the shaped one.
        (
            "do: [ { a: { input: { schema: { document: { required: [raw] } }, from: .raw }, set: { x: '${ . }' }, output: { as: .x, schema: { document: { type: number } } } } } ]",
            json!({"raw": 4}),
            json!(4),
        ),
        // `export` sees the shaped output, as input and as variable; the next task sees the context.
        (
            "do:
- a: { set: { x: 1 }, output: { as: '{ y: .x }' }, export: { as: '{ dot: ., output: $output, input: $input, before: $context }' } }
- b: { set: { context: '${ $context }', data: '${ . }' } }",
            json!({"i": 0}),
            json!({"context": {"dot": {"y": 1}, "output": {"y": 1}, "input": {"i": 0}, "before": null}, "data": {"y": 1}}),
        ),
        // Objects in `from`, `as` and `export.as` are templates.
        (
            "input: { from: { a: '${ .x }' } }
output: { as: { last: '${ . }', kept: '${ $context.c }' } }
do: [ { s: { input: { from: { b: '${ .a + 1 }' } }, set: { n: '${ .b }' }, output: { as: { m: '${ .n }' } }, export: { as: { c: '${ .m }' } } } } ]",
            json!({"x": 1}),
            json!({"last": {"m": 2}, "kept": 2}),
        ),
        // A workflow whose data is no object.
        ("input: { from: .n }\ndo: [ { s: { set: '${ . * 2 }' } } ]", json!({"n": 4}), json!(8)),
    ];
    for (rest, input, expected) in table {
        gives(rest, input, &expected);
    }
}

#[test]
fn schema_violations_fault_before_anything_follows() {
    let types = "https://serverlessworkflow.io/dsl/errors/types/validation";
    let expected = |instance: &str| json!({"type": types, "status": 400, "instance": instance});
    faults(
        "input: { schema: { document: { required: [a] } } }\ndo: [ { s: { set: { x: 1 } } } ]",
        json!({}),
        &expected("/"),
    );
    faults(
        "do: [ { s: { input: { schema: { document: { required: [a] } }, from: '{a: 1}' }, set: { x: 1 } } } ]",
        json!({}),
        &expected("/do/0/s"),
    );
    faults(
        "do: [ { s: { set: { x: 1 }, export: { schema: { document: { required: [a] } }, as: '{b: 1}' } } } ]",
        json!({}),
        &expected("/do/0/s"),
    );
    faults(
        "output: { schema: { document: { required: [a] } } }\ndo: [ { s: { set: { x: 1 } } } ]",
        json!({}),
        &expected("/"),
    );
}

#[test]
fn descriptors_say_what_the_standard_lists() {
    gives(
        "do:
- first: { set: { z: 1 } }
- describe:
    input: { from: '{ shaped: .z }' }
    set: { task: '${ $task }', workflow: '${ $workflow | del(.definition.do) }', runtime: '${ $runtime | keys }', input: '${ $input }' }
    output: { as: '{ task: (.task | del(.definition)), workflow: .workflow, runtime: .runtime, input: .input, name: $task.name, raw: ($task.output | keys) }' }",
        json!({"i": 0}),
        &json!({
            "task": {
                "name": "describe",
                "reference": "/do/1/describe",
                "input": {"z": 1},
                "startedAt": {"iso8601": "1970-01-01T00:00:00Z", "epoch": {"seconds": 0, "milliseconds": 0}},
            },
            "workflow": {
                "id": Setting::new("do: [ { a: { set: { x: 1 } } } ]").start(json!({})).machine.execution.to_string(),
                "definition": {"document": {"dsl": "1.0.3", "namespace": "n", "name": "subject", "version": "1.0.0"}},
                "input": {"i": 0},
                "startedAt": {"iso8601": "1970-01-01T00:00:00Z", "epoch": {"seconds": 0, "milliseconds": 0}},
            },
            "runtime": ["metadata", "name", "version"],
            "input": {"shaped": 1},
            "name": "describe",
            "raw": ["input", "runtime", "task", "workflow"],
        }),
    );
}

#[test]
fn workflow_output_is_shaped_outside_of_every_task() {
    let output = "output: { as: '[., $input]' }\n";
    for tasks in [
        "do: [ { a: { set: { x: 1 } } } ]",
        "do: [ { a: { set: { x: 1 }, then: end } } ]",
        "do: [ { o: { input: { from: '\"inner\"' }, do: [ { a: { set: { x: 1 }, then: end } } ] } } ]",
        "do: [ { f: { input: { from: '\"inner\"' }, fork: { branches: [ { a: { set: { x: 1 }, then: end } } ] } } } ]",
    ] {
        gives(
            &format!("{output}{tasks}"),
            json!({"i": 0}),
            &json!([{"x": 1}, {"i": 0}]),
        );
    }
}

#[test]
fn loose_mode_takes_texts_for_expressions_where_they_are() {
    gives(
        "evaluate: { mode: loose }
do: [ { a: { set: { sum: .a + 1, path: .b.c, text: plain words, broken: '.a.b', list: ['.a', 7], strict: '${ .a }' } } } ]",
        json!({"a": 1, "b": {"c": true}}),
        &json!({"sum": 2, "path": true, "text": "plain words", "broken": ".a.b", "list": [1, 7], "strict": 1}),
    );
    gives(
        "do: [ { a: { set: { sum: .a + 1 } } } ]",
        json!({"a": 1}),
        &json!({"sum": ".a + 1"}),
    );
}

#[test]
fn variables_of_loops_and_catches_are_seen_inside_and_inner_ones_win() {
    gives(
        "do:
- outer:
    for: { each: n, in: .rows, at: i }
    do:
    - inner:
        for: { each: n, in: '$n', at: j }
        do:
        - keep: { set: { rows: '${ .rows }', seen: '${ (.seen // []) + [[$n, $i, $j]] }' } }
  output: {}
"
        .replace("  output: {}\n", "")
        .as_str(),
        json!({"rows": [[1, 2], [3]]}),
        &json!({"rows": [[1, 2], [3]], "seen": [[1, 0, 0], [2, 0, 1], [3, 1, 0]]}),
    );
    gives(
        "do:
- t:
    try: [ { f: { fork: { branches: [ { x: { raise: { error: { type: 'https://e.example/a', status: 400 } } } } ] } } } ]
    catch:
      as: outer
      do:
      - u:
          try: [ { y: { raise: { error: { type: 'https://e.example/b', status: 500 } } } } ]
          catch: { do: [ { both: { set: { outer: '${ $outer.status }', inner: '${ $error.status }' } } } ] }",
        json!({}),
        &json!({"outer": 400, "inner": 500}),
    );
}
