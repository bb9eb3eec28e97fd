//! Raising, catching, retrying, timing out.

use auterity_core::interpreter::{End, TaskState};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::drive::{Setting, faults, gives};

const RAISE: &str =
    "raise: { error: { type: 'https://e.example/x', status: 418, title: T, detail: D } }";

fn caught(catch: &str) -> String {
    format!("do: [ {{ t: {{ try: [ {{ bad: {{ {RAISE} }} }} ], catch: {catch} }} }} ]")
}

#[test]
fn filters_compare_each_property_and_conditions_see_the_error() {
    let note = "do: [ { n: { set: { caught: true } } } ]";
    let good = [
        format!("{{ {note} }}"),
        format!("{{ errors: {{}}, {note} }}"),
        format!(
            "{{ errors: {{ with: {{ type: 'https://e.example/x', status: 418, title: T, details: D, instance: /do/0/t/try/0/bad }} }}, {note} }}"
        ),
        format!("{{ when: $error.status == 418, exceptWhen: $error.status == 500, {note} }}"),
        format!("{{ as: e, when: '${{ $e.title == \"T\" }}', {note} }}"),
    ];
    for catch in &good {
        gives(&caught(catch), json!({}), &json!({"caught": true}));
    }
    let bad = [
        format!("{{ errors: {{ with: {{ status: 500 }} }}, {note} }}"),
        format!("{{ errors: {{ with: {{ type: 'https://e.example/y' }} }}, {note} }}"),
        format!("{{ errors: {{ with: {{ instance: /do/0/t }} }}, {note} }}"),
        format!("{{ when: $error.status == 500, {note} }}"),
        format!("{{ exceptWhen: $error.status == 418, {note} }}"),
        "{ retry: { limit: { attempt: { count: 1 } } } }".to_owned(),
    ];
    for catch in &bad {
        faults(
            &caught(catch),
            json!({}),
            &json!({"status": 418, "title": "T", "instance": "/do/0/t/try/0/bad"}),
        );
    }
}

#[test]
fn catch_that_fails_itself_passes_its_own_error_on() {
    faults(
        &caught(
            "{ do: [ { u: { raise: { error: { type: 'https://e.example/u', status: 400 } } } } ] }",
        ),
        json!({}),
        &json!({"status": 400, "instance": "/do/0/t/catch/do/0/u"}),
    );
    faults(
        &caught("{ when: '.a.b' }"),
        json!({"a": 1}),
        &json!({"status": 400, "type": "https://serverlessworkflow.io/dsl/errors/types/expression", "instance": "/do/0/t"}),
    );
}

#[test]
fn raised_error_takes_what_its_expressions_give() {
    faults(
        "use: { errors: { e: { type: 'https://e.example/x', status: 409, title: '${ .title }', detail: '${ .detail }' } } }
do: [ { r: { raise: { error: e } } } ]",
        json!({"title": 7, "detail": {"code": 1}}),
        &json!({"status": 409, "title": "7", "detail": "{\"code\":1}", "instance": "/do/0/r"}),
    );
    faults(
        "do: [ { r: { raise: { error: { type: '${ .type }', status: 500 } } } } ]",
        json!({}),
        &json!({"type": "https://serverlessworkflow.io/dsl/errors/types/configuration", "instance": "/do/0/r"}),
    );
}

/// The times at which tries begin, in milliseconds, and how it ends.
fn tries(retry: &str) -> (Vec<i64>, Value) {
    let setting = Setting::new(&format!(
        "do: [ {{ t: {{ try: [ {{ bad: {{ call: fail, with: {{ status: 503 }} }} }} ], catch: {{ retry: {retry} }} }} }} ]"
    ));
    let mut drive = setting.start(json!({}));
    let end = drive.finish();
    let begun = drive
        .records
        .iter()
        .filter(|record| record.name == "bad" && record.state == TaskState::Faulted);
    let times = begun
        .map(|record| record.started_at.as_millisecond())
        .collect();
    match end {
        End::Faulted(problem) => (times, problem.to_value()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn delays_grow_as_the_policy_says() {
    let table = [
        (
            "{ delay: PT1S, limit: { attempt: { count: 3 } } }",
            vec![0, 1_000, 2_000, 3_000],
        ),
        (
            "{ delay: PT1S, backoff: { constant: {} }, limit: { attempt: { count: 2 } } }",
            vec![0, 1_000, 2_000],
        ),
        (
            "{ delay: PT1S, backoff: { linear: {} }, limit: { attempt: { count: 3 } } }",
            vec![0, 1_000, 3_000, 6_000],
        ),
        (
            "{ delay: PT1S, backoff: { linear: { increment: PT0.5S } }, limit: { attempt: { count: 3 } } }",
            vec![0, 1_000, 2_500, 4_500],
        ),
        (
            "{ delay: PT1S, backoff: { exponential: {} }, limit: { attempt: { count: 3 } } }",
            vec![0, 1_000, 3_000, 7_000],
        ),
        (
            "{ delay: PT1S, backoff: { exponential: { factor: 10, maxDelay: PT20S } }, limit: { attempt: { count: 3 } } }",
            vec![0, 1_000, 11_000, 31_000],
        ),
        // The whole limit counts from the first try.
        (
            "{ delay: PT10S, limit: { duration: PT25S } }",
            vec![0, 10_000, 20_000],
        ),
        ("{ delay: PT1S, limit: { attempt: { count: 0 } } }", vec![0]),
        ("{ delay: PT1S, when: $error.status == 500 }", vec![0]),
        ("{ delay: PT1S, exceptWhen: $error.status == 503 }", vec![0]),
        (
            "{ delay: '${ \"PT2S\" }', limit: { attempt: { count: 1 } } }",
            vec![0, 2_000],
        ),
    ];
    for (retry, expected) in table {
        let (times, error) = tries(retry);
        assert_eq!(times, expected, "{retry}");
        assert_eq!(error["status"], 503, "{retry}");
    }
}

#[test]
fn jitter_stays_in_its_range_and_differs_between_tries() {
    let (times, _) = tries(
        "{ delay: PT1S, jitter: { from: PT1S, to: PT3S }, limit: { attempt: { count: 20 } } }",
    );
    let waits: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits.len(), 20);
    assert!(
        waits.iter().all(|wait| (2_000..=4_000).contains(wait)),
        "{waits:?}"
    );
    let mut distinct = waits.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(15 < distinct.len(), "{waits:?}");
}

#[test]
fn each_try_has_its_own_time_and_the_next_one_follows() {
    let setting = Setting::new(
        "do:
- t:
    try: [ { slow: { call: never } } ]
    catch:
      retry: { delay: PT1S, limit: { attempt: { count: 2, duration: PT10S } } }
      do: [ { note: { set: { status: '${ $error.status }', at: '${ $error.instance }' } } }, { rest: { wait: PT1M } } ]",
    );
    let mut drive = setting.start(json!({}));
    let end = drive.finish();
    assert!(
        matches!(&end, End::Completed(output) if **output == json!({"status": 408, "at": "/do/0/t"})),
        "{end:?}"
    );
    assert_eq!(drive.count("slow", TaskState::Cancelled), 3);
    assert_eq!(drive.elapsed(), SignedDuration::from_secs(92));
}

#[test]
fn timeouts_end_what_is_inside_and_count_from_the_task_s_beginning() {
    let setting = Setting::new(
        "use: { timeouts: { short: { after: { seconds: 5 } } } }
do:
- t:
    try:
    - o:
        timeout: short
        fork:
          branches:
          - a: { do: [ { w: { wait: PT3S } }, { x: { call: never } } ] }
          - b: { listen: { to: { one: { with: { type: t } } } } }
    catch: { errors: { with: { status: 408 } }, do: [ { n: { set: { at: '${ $error.instance }' } } } ] }",
    );
    let mut drive = setting.start(json!({}));
    let end = drive.finish();
    assert!(
        matches!(&end, End::Completed(output) if **output == json!({"at": "/do/0/t/try/0/o"})),
        "{end:?}"
    );
    assert_eq!(drive.elapsed(), SignedDuration::from_secs(5));
    assert_eq!(drive.count("x", TaskState::Cancelled), 1);
    assert_eq!(drive.count("b", TaskState::Cancelled), 1);
    assert!(drive.listening.is_empty());
    // The task's own catch is for what is inside of it.
    faults(
        "do: [ { t: { timeout: { after: PT1S }, try: [ { w: { wait: PT2S } } ], catch: { do: [ { n: { set: { x: 1 } } } ] } } } ]",
        json!({}),
        &json!({"status": 408, "instance": "/do/0/t"}),
    );
    faults(
        "timeout: { after: '${ .limit }' }\ndo: [ { w: { wait: { days: 1 } } } ]",
        json!({"limit": {"seconds": 3}}),
        &json!({"status": 408, "instance": "/"}),
    );
}

#[test]
fn waits_take_every_form_of_a_duration() {
    let table = [
        ("PT1S", 1_000_i64),
        ("P1DT1H", 90_000_000),
        ("PT0.25S", 250),
        ("P1W", 604_800_000),
        ("P1M", 31 * 86_400_000),
        (
            "{ days: 1, hours: 1, minutes: 1, seconds: 1, milliseconds: 1 }",
            90_061_001,
        ),
        ("'${ .text }'", 2_000),
        ("'${ .object }'", 3_000),
        ("PT0S", 0),
    ];
    for (length, expected) in table {
        let setting = Setting::new(&format!("do: [ {{ w: {{ wait: {length} }} }} ]"));
        let input = json!({"text": "PT2S", "object": {"seconds": 3}});
        let mut drive = setting.start(input.clone());
        let end = drive.finish();
        assert!(
            matches!(&end, End::Completed(output) if **output == input),
            "{end:?}"
        );
        assert_eq!(
            i128::from(expected),
            drive.elapsed().as_millis(),
            "{length}"
        );
    }
    faults(
        "do: [ { w: { wait: '${ .x }' } } ]",
        json!({"x": -1}),
        &json!({"status": 400, "type": "https://serverlessworkflow.io/dsl/errors/types/expression"}),
    );
    faults(
        "do: [ { w: { wait: P9000Y } } ]",
        json!({}),
        &json!({"status": 400, "instance": "/do/0/w"}),
    );
}
