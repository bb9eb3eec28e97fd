//! Where control goes.

use auterity_core::interpreter::{End, TaskState};
use serde_json::json;

use super::drive::{Setting, faults, gives};

#[test]
fn directives_act_on_the_list_they_stand_in() {
    let table = [
        // `exit` leaves only the list; what encloses it goes on.
        (
            "do:
- outer: { do: [ { a: { set: { n: 1 } } }, { x: { switch: [ { leave: { when: .n == 1, then: exit } } ] } }, { b: { set: { n: 2 } } } ] }
- after: { set: { n: '${ .n + 10 }' } }",
            json!({}),
            json!({"n": 11}),
        ),
        // In a loop it ends the iteration, and the next one begins.
        (
            "do:
- l:
    for: { in: '[1, 2, 3]' }
    do:
    - skip: { switch: [ { odd: { when: '$item == 2', then: exit } } ] }
    - add: { set: { sum: '${ (.sum // 0) + $item }' } }",
            json!({}),
            json!({"sum": 4}),
        ),
        // `end` leaves everything at once, from any depth.
        (
            "do:
- l:
    for: { in: '[1, 2, 3]' }
    do:
    - t:
        try:
        - f: { fork: { branches: [ { x: { do: [ { y: { set: { at: '${ $item }' }, then: end } } ] } }, { z: { wait: P1D } } ] } }
        catch: {}
- never: { set: { at: never } }",
            json!({}),
            json!({"at": 1}),
        ),
        // In a function of the definition `exit` ends the function.
        (
            "use: { functions: { f: { do: [ { a: { set: { n: 5 } } }, { x: { switch: [ { leave: { when: .n == 5, then: exit } } ] } }, { b: { set: { n: 6 } } } ] } } }
do:
- call: { call: f }
- after: { set: { n: '${ .n + 1 }' } }",
            json!({}),
            json!({"n": 6}),
        ),
        // A jump back makes a loop.
        (
            "do:
- add: { set: { n: '${ .n + 1 }' } }
- again: { switch: [ { more: { when: .n < 5, then: add } }, { done: { then: end } } ] }",
            json!({"n": 0}),
            json!({"n": 5}),
        ),
        // A case's directive counts, not the task's own; without a case the task's own.
        (
            "do:
- s: { switch: [ { a: { when: .go, then: continue } } ], then: end }
- b: { set: { at: b } }",
            json!({"go": true}),
            json!({"at": "b"}),
        ),
        (
            "do:
- s: { switch: [ { a: { when: .go, then: continue } } ], then: end }
- b: { set: { at: b } }",
            json!({"go": false}),
            json!({"go": false}),
        ),
        // The default counts last, wherever it stands.
        (
            "do:
- s: { switch: [ { d: { then: other } }, { a: { when: .go, then: end } } ] }
- other: { set: { at: other } }",
            json!({"go": true}),
            json!({"go": true}),
        ),
    ];
    for (rest, input, expected) in table {
        gives(rest, input, &expected);
    }
}

#[test]
fn race_of_failures_ends_with_the_last_and_a_race_with_a_winner_cancels_the_rest() {
    faults(
        "do:
- f:
    fork:
      compete: true
      branches:
      - a: { call: fail, with: { status: 501 } }
      - b: { do: [ { w: { wait: PT1S } }, { x: { call: fail, with: { status: 502 } } } ] }",
        json!({}),
        &json!({"status": 502, "instance": "/do/0/f/fork/branches/1/b/do/1/x"}),
    );
    let setting = Setting::new(
        "do:
- outer:
    fork:
      compete: true
      branches:
      - inner: { fork: { branches: [ { p: { call: never } }, { q: { wait: P1D } }, { r: { listen: { to: { one: { with: { type: t } } } } } } ] } }
      - lost: { call: fail }
      - won: { do: [ { w: { wait: PT1S } }, { s: { set: { winner: true } } } ] }",
    );
    let mut drive = setting.start(json!({}));
    let end = drive.finish();
    assert!(
        matches!(&end, End::Completed(output) if **output == json!({"winner": true})),
        "{end:?}"
    );
    for name in ["inner", "p", "q", "r"] {
        assert_eq!(drive.count(name, TaskState::Cancelled), 1, "{name}");
    }
    assert!(drive.listening.is_empty(), "nobody listens after the end");
    assert_eq!(drive.state.pending().count(), 0);
}

#[test]
fn failed_branch_takes_the_others_with_it() {
    let setting = Setting::new(
        "do:
- t:
    try:
    - f: { fork: { branches: [ { a: { call: never } }, { b: { fork: { branches: [ { c: { wait: P1D } } ] } } }, { d: { do: [ { w: { wait: PT1S } }, { x: { call: fail, with: { status: 409 } } } ] } } ] } }
    catch:
      do: [ { note: { set: { status: '${ $error.status }' } } } ]",
    );
    let mut drive = setting.start(json!({}));
    drive.finish();
    for name in ["a", "b", "c"] {
        assert_eq!(drive.count(name, TaskState::Cancelled), 1, "{name}");
    }
    for name in ["x", "d", "f"] {
        assert_eq!(drive.count(name, TaskState::Faulted), 1, "{name}");
    }
}

#[test]
fn child_that_is_not_awaited_leaves_the_data_as_it_was() {
    let child = |awaited: bool| {
        format!(
            "do:
- c:
    input: {{ from: '{{ a: .a, b: 2 }}' }}
    run: {{ workflow: {{ namespace: n, name: other, version: latest, input: {{ x: '${{ .a }}' }} }}, await: {awaited} }}"
        )
    };
    gives(&child(true), json!({"a": 1}), &json!({"x": 1}));
    gives(&child(false), json!({"a": 1}), &json!({"a": 1, "b": 2}));
}

#[test]
fn outputs_of_branches_are_together_no_larger_than_one_value() {
    let rest = "do:
- t:
    try: [ { f: { fork: { branches: [ { a: { call: echo, with: { x: '${ .text }' } } }, { b: { call: echo, with: { x: '${ .text }' } } } ] } } } ]
    catch: { do: [ { n: { set: { detail: '${ $error.detail }', at: '${ $error.instance }' } } } ] }";
    let mut setting = Setting::new(rest);
    setting.limits.payload_bytes_max = 1_000;
    let output = |length: usize| match setting.start(json!({"text": "x".repeat(length)})).finish() {
        End::Completed(output) => output,
        other => panic!("{other:?}"),
    };
    assert_eq!(output(400).as_array().map(Vec::len), Some(2));
    let refused = output(600);
    assert_eq!(refused["at"], "/do/0/t/try/0/f");
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("payload_bytes_max")),
        "{refused}"
    );
}
