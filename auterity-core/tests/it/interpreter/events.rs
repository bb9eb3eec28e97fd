//! Listening and emitting.

use auterity_core::interpreter::End;
use serde_json::{Value, json};

use super::drive::{Setting, event, faults};

/// Publishes events to a listening program; gives its output, or none while it waits.
fn hears(listen: &str, input: Value, events: &[Value]) -> Option<Value> {
    let setting = Setting::new(&format!("do:\n- l:\n    listen: {listen}\n"));
    let mut drive = setting.start(input);
    for event in events {
        drive.publish(event);
    }
    match drive.state.end() {
        None => None,
        Some(End::Completed(output)) => Some(Value::clone(output)),
        Some(other) => panic!("{listen}\n{other:?}"),
    }
}

#[test]
fn filters_pass_what_they_ask_for() {
    let one = |with: &str| format!("{{ to: {{ one: {{ with: {with} }} }} }}");
    let subject = json!({
        "specversion": "1.0", "id": "1", "source": "https://shop.example/orders?x=1", "type": "com.example.paid",
        "subject": "order-7", "datacontenttype": "application/json", "data": {"amount": 12}, "tenant": "a",
    });
    let passes = [
        "{ type: com.example.paid }",
        "{ subject: order-7, tenant: a }",
        "{ data: { amount: 12 } }",
        "{ data: '${ .amount > 10 }' }",
        "{ type: '${ startswith(\"com.\") }' }",
        "{ subject: '${ $input.wanted }' }",
        "{ source: 'https://shop.example/orders?x=1' }",
        // Patterns match the whole attribute.
        "{ type: 'com\\.example\\.(paid|refunded)' }",
        "{ type: 'com.example.*' }",
        "{ subject: '^order-[0-9]+$' }",
    ];
    for with in passes {
        let heard = hears(
            &one(with),
            json!({"wanted": "order-7"}),
            std::slice::from_ref(&subject),
        );
        assert_eq!(heard, Some(json!([{"amount": 12}])), "{with}");
    }
    let stops = [
        "{ type: com.example.refunded }",
        "{ type: com.example }",
        "{ type: 'example.*' }",
        "{ subject: 'order-[a-z]+' }",
        "{ data: '${ .amount > 20 }' }",
        "{ missing: x }",
        // Fails on this event's data, which is not the execution's fault.
        "{ data: '${ .amount.deep.er > 1 }' }",
        "{ data: '${ .amount.deep > 1 }', type: com.example.refunded }",
    ];
    for with in stops {
        assert_eq!(
            hears(&one(with), json!({}), std::slice::from_ref(&subject)),
            None,
            "{with}"
        );
    }
}

#[test]
fn events_are_read_as_asked() {
    let whole = event("t", "1", &json!({"a": 1}));
    let listen =
        |read: &str| format!("{{ to: {{ one: {{ with: {{ type: t }} }} }}, read: {read} }}");
    let heard =
        |read: &str, event: &Value| hears(&listen(read), json!({}), std::slice::from_ref(event));
    assert_eq!(heard("data", &whole), Some(json!([{"a": 1}])));
    assert_eq!(heard("raw", &whole), Some(json!([{"a": 1}])));
    assert_eq!(heard("envelope", &whole), Some(json!([whole])));
    let binary = json!({"specversion": "1.0", "id": "1", "source": "https://t.example", "type": "t", "data_base64": "AAEC"});
    assert_eq!(heard("data", &binary), Some(json!(["AAEC"])));
    assert_eq!(heard("raw", &binary), Some(json!(["AAEC"])));
}

#[test]
fn strategies_end_when_they_have_what_they_wait_for() {
    let (a, b, c) = (
        event("a", "1", &json!(1)),
        event("b", "2", &json!(2)),
        event("c", "3", &json!(3)),
    );
    let any = "{ to: { any: [ { with: { type: a } }, { with: { type: b } } ] } }";
    assert_eq!(
        hears(any, json!({}), &[c.clone(), b.clone(), a.clone()]),
        Some(json!([2]))
    );
    let all = "{ to: { all: [ { with: { type: a } }, { with: { type: b } } ] } }";
    assert_eq!(hears(all, json!({}), &[a.clone(), a.clone()]), None);
    assert_eq!(
        hears(all, json!({}), &[b.clone(), c.clone(), a.clone()]),
        Some(json!([2, 1]))
    );
    let every = "{ to: { any: [], until: length == 2 } }";
    assert_eq!(
        hears(every, json!({}), &[a.clone(), b.clone()]),
        Some(json!([1, 2]))
    );
    // What ends the listening is no part of what was heard.
    let until = "{ to: { any: [ { with: { type: a } } ], until: { all: [ { with: { type: b } }, { with: { type: c } } ] } } }";
    assert_eq!(
        hears(until, json!({}), &[a.clone(), b.clone(), a.clone()]),
        None
    );
    assert_eq!(
        hears(until, json!({}), &[a.clone(), c, a, b]),
        Some(json!([1, 1]))
    );
}

#[test]
fn correlations_link_events_to_data_and_to_each_other() {
    let ordered = |kind: &str, id: &str, order: i32| event(kind, id, &json!({"order": order}));
    let expected = "{ to: { one: { with: { type: a }, correlate: { order: { from: .data.order, expect: '${ .order }' } } } } }";
    assert_eq!(
        hears(expected, json!({"order": 7}), &[ordered("a", "1", 8)]),
        None
    );
    assert_eq!(
        hears(
            expected,
            json!({"order": 7}),
            &[ordered("a", "1", 8), ordered("a", "2", 7)]
        ),
        Some(json!([{"order": 7}]))
    );
    // Without an expectation, the first event's value is expected of the rest.
    let first = "{ to: { all: [ { with: { type: a }, correlate: { order: { from: .data.order } } }, { with: { type: b }, correlate: { order: { from: .data.order } } } ] } }";
    let heard = [
        ordered("a", "1", 1),
        ordered("b", "2", 2),
        ordered("b", "3", 1),
    ];
    assert_eq!(
        hears(first, json!({}), &heard),
        Some(json!([{"order": 1}, {"order": 1}]))
    );
    // An event from which nothing can be read does not correlate.
    let broken = event("a", "1", &json!("text"));
    assert_eq!(hears(expected, json!({"order": 7}), &[broken]), None);
}

#[test]
fn iterator_takes_events_one_by_one_and_shapes_what_it_gives() {
    let setting = Setting::new(
        "do:
- l:
    input: { from: '{ factor: .factor }' }
    listen: { to: { any: [ { with: { type: t, data: '${ . * $input.factor > 10 }' } } ], until: { one: { with: { type: stop } } } } }
    foreach:
      item: reading
      at: place
      do:
      - pause: { wait: PT1M }
      - keep: { input: { from: '{ factor: 0, value: . }' }, set: { value: '${ $reading * 10 }', place: '${ $place }' } }
      output: { as: '[.value, .place]' }
      export: { as: '($context // []) + [.]' }
output: { as: '{ heard: ., exported: $context }' }",
    );
    let mut drive = setting.start(json!({"factor": 5}));
    // The second and third come while the first is being worked on.
    for (place, value) in [3, 4, 1, 5].iter().enumerate() {
        drive.publish(&event("t", &place.to_string(), &json!(value)));
    }
    drive.publish(&event("stop", "9", &json!(null)));
    drive.publish(&event("t", "10", &json!(100)));
    let end = drive.finish();
    let all = json!([[30, 0], [40, 1], [50, 2]]);
    assert!(
        matches!(&end, End::Completed(output) if **output == json!({"heard": all, "exported": all})),
        "{end:?}"
    );
}

#[test]
fn emitted_events_have_what_the_standard_asks_for() {
    let setting = Setting::new(
        "do:
- a: { emit: { event: { with: { source: 'https://t.example', type: t, data: { n: '${ .n }' }, extra: x } } } }
- b: { emit: { event: { with: { id: own, source: '${ .source }', type: t, time: 2026-01-31T12:00:00Z, datacontenttype: text/plain, data: words } } } }",
    );
    let mut drive = setting.start(json!({"n": 1}));
    drive.finish();
    let first = &drive.emitted[0];
    assert_eq!(first["specversion"], "1.0");
    assert_eq!(first["time"], "1970-01-01T00:00:00Z");
    assert_eq!(first["data"], json!({"n": 1}));
    assert_eq!(first["datacontenttype"], "application/json");
    assert_eq!(first["extra"], "x");
    let second = &drive.emitted[1];
    assert_eq!(second["id"], "own");
    assert_eq!(second["source"], first["source"]);
    assert_eq!(second["time"], "2026-01-31T12:00:00Z");
    assert_eq!(second["datacontenttype"], "text/plain");
    assert_ne!(first["id"], second["id"]);
}

#[test]
fn event_that_would_break_the_rules_is_not_emitted() {
    let emit = |with: &str| format!("do: [ {{ e: {{ emit: {{ event: {{ with: {with} }} }} }} }} ]");
    for with in [
        "{ source: 'https://t.example', type: '${ .missing }' }",
        "{ source: '${ .missing }', type: t }",
        "{ source: '${ 7 }', type: t }",
        "{ source: 'https://t.example', type: t, id: '${ \"\" }' }",
        "{ source: 'https://t.example', type: t, time: '${ \"yesterday\" }' }",
        "{ source: 'https://t.example', type: t, subject: '${ {} }' }",
    ] {
        faults(
            &emit(with),
            json!({}),
            &json!({"type": "https://serverlessworkflow.io/dsl/errors/types/expression", "status": 400, "instance": "/do/0/e"}),
        );
    }
}

#[test]
fn listening_keeps_no_more_than_one_value_may_have() {
    let rest = "do:
- l:
    listen: { to: { any: [ { with: { type: t } } ], until: { one: { with: { type: stop } } } } }
    foreach: { do: [ { w: { wait: PT1S } }, { s: { set: { kept: '${ $item }' } } } ] }";
    let drive_with = |events: usize, stop: bool| {
        let mut setting = Setting::new(rest);
        setting.limits.payload_bytes_max = 1_000;
        let mut drive = setting.start(json!({}));
        for n in 0..events {
            drive.publish(&event("t", &n.to_string(), &json!("x".repeat(200))));
        }
        if stop {
            drive.publish(&event("stop", "s", &json!(null)));
        }
        drive.finish()
    };
    assert!(
        matches!(drive_with(4, true), End::Completed(output) if output.as_array().is_some_and(|all| all.len() == 4))
    );
    match drive_with(6, false) {
        End::Faulted(problem) => assert!(
            problem
                .detail
                .is_some_and(|detail| detail.contains("payload_bytes_max"))
        ),
        other => panic!("{other:?}"),
    }
}
