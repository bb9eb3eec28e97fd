//! What a long loop costs: each task the same, and one copy of its list.

use auterity_core::expression::Budget;
use auterity_core::interpreter::{Event, Limits, State};
use serde_json::{Value, json};

use super::drive::Setting;

const ITEMS: usize = 100_000;

fn input() -> Value {
    let items: Value = (0..ITEMS)
        .map(|n| json!({"id": n, "name": "an item of a long list"}))
        .collect();
    json!({"items": items, "factor": 2})
}

/// A budget that is used up by looking at the whole list.
fn small() -> Budget {
    Budget {
        operations_max: 1_000,
        memory_bytes_max: 64 * 1024,
        output_bytes_max: 4 * 1024,
        ..Budget::default()
    }
}

#[test]
fn no_task_of_a_loop_looks_at_the_whole_list() {
    let bodies = [
        "call: echo, with: { id: '${ $item.id }' }",
        "call: echo, with: { id: '${ $item.id * 2 }' }",
        "call: echo, with: { id: '${ $workflow.input.factor }' }",
        "call: echo, with: { id: '${ { n: $workflow.id, name: \"\\($item.name) \\($index)\" } }' }",
        "if: $item.id + 1 > 0, call: echo, with: { id: '${ $task.reference + \"!\" }' }",
        "call: echo, with: { factor: '${ .factor * 2 }' }",
        "input: { from: '{ factor: .factor, id: $item.id }' }, call: echo, with: { factor: '${ $input.factor + .id }' }",
        "set: { id: '${ [$item.id, (.factor | tostring)] }', factor: '${ .factor }' }",
        "try: [ { c: { call: echo, with: { id: '${ $item.id }' } } } ], catch: { when: $error.status == 1 }",
    ];
    let input = input();
    for (body, collection) in bodies.iter().zip(
        [".items", "$workflow.input.items", "$input.items"]
            .iter()
            .cycle(),
    ) {
        let rest = format!(
            "do: [ {{ l: {{ for: {{ in: {collection} }}, do: [ {{ c: {{ {body} }} }} ] }} }} ]"
        );
        let mut setting = Setting::new(&rest);
        setting.budget = small();
        setting.limits = Limits {
            activations_per_event_max: 5,
            ..Limits::default()
        };
        let mut drive = setting.start(input.clone());
        for _ in 0..20 {
            assert!(
                drive.state.end().is_none(),
                "{rest}\n{:?}",
                drive.state.end()
            );
            let pending = drive.state.pending().next();
            match pending {
                Some(effect) => {
                    let result = drive.perform(effect);
                    drive.apply(Event::EffectEnded { effect, result });
                }
                None => drive.apply(Event::Continued),
            }
        }
    }
}

#[test]
fn costly_tasks_leave_others_their_turn() {
    let setting = Setting::new(
        "do: [ { l: { for: { in: '${ [range(200)] }' }, do: [ { c: { set: { n: '${ [range(10000)] | length }' } } } ] } } ]",
    );
    let mut drive = setting.start(json!({}));
    let mut stretches = 1;
    while drive.state.end().is_none() {
        drive.apply(Event::Continued);
        stretches += 1;
    }
    // Each task costs some ten thousands of the 500,000 operations of a stretch.
    assert!((5..60).contains(&stretches), "{stretches}");
}

#[test]
fn snapshot_of_a_loop_has_its_list_once() {
    let input = input();
    let size = input.to_string().len();
    let setting = Setting::new(
        "do: [ { o: { do: [ { l: { for: { in: .items }, do: [ { f: { fork: { branches: [ { a: { call: never } }, { b: { wait: P1D } } ] } } } ] } } ] } } ]",
    );
    let drive = setting.start(input);
    let text = drive.state.to_snapshot().expect("it is written");
    assert!(
        text.len() < size + 10_000,
        "{} bytes for an input of {size}",
        text.len()
    );
    let state = State::from_snapshot(&text).expect("it is read");
    assert_eq!(state, drive.state);
    assert_eq!(state.to_snapshot().expect("it is written again"), text);
}
