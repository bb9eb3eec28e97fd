//! Every kind of task survives a crash at every commit. A new kind joins the list.

use auterity_core::store::Status;
use auterity_core::testing::durability::Case;
use auterity_core::testing::{Double, Workbench};
use serde_json::{Value, json};

use crate::engine::definition;

const KINDS: &[(&str, &str)] = &[
    ("call", "do:\n- a: { call: work, with: { n: 1 } }\n- b: { call: work, with: { n: 2 } }\n"),
    ("set and switch", "do:
- a: { set: { n: 1 } }
- s: { switch: [ { one: { when: '.n == 1', then: b } } ] }
- c: { call: work }
- b: { call: work, with: { n: 3 } }
"),
    ("wait", "do:\n- a: { call: work }\n- w: { wait: { hours: 2 } }\n- b: { call: work }\n"),
    ("for", "do:\n- f: { for: { each: x, in: '${ [1, 2, 3] }' }, do: [ { a: { call: work, with: { x: '${ $x }' } } } ] }\n"),
    ("fork", "do:
- f:
    fork:
      branches:
      - l: { do: [ { a: { call: work } }, { w: { wait: { seconds: 9 } } } ] }
      - r: { call: work }
"),
    ("try", "do:
- t:
    try: [ { a: { call: work } }, { r: { raise: { error: { type: 'https://example.com/x', status: 500 } } } } ]
    catch: { retry: { delay: { minutes: 1 }, limit: { attempt: { count: 2 } } }, do: [ { c: { call: work } } ] }
"),
    ("emit", "do:\n- e: { emit: { event: { with: { type: x, source: 'https://example.com' } } } }\n- a: { call: work }\n"),
    ("listen", "do:\n- l: { listen: { to: { one: { with: { type: paid } } } } }\n- a: { call: work }\n"),
    ("approval", "do:
- p: { call: approval, with: { title: Go?, deadline: PT2H, deadline_outcome: rejected, escalation: { after: PT1H, to: { roles: [admin] } } } }
- a: { call: work }
"),
    ("time-out", "do:
- t:
    try: [ { w: { wait: { days: 1 }, timeout: { after: { seconds: 30 } } } } ]
    catch: { do: [ { a: { call: work } } ] }
"),
];

fn case(rest: &str) -> Case {
    let event: Value =
        json!({ "specversion": "1.0", "id": "1", "source": "test", "type": "paid", "data": 1 });
    Case::new(definition("subject", rest), json!({}), || {
        Workbench::new().with_double("work", &Double::giving(json!({ "ok": true })))
    })
    .with_event(event)
}

#[test]
fn every_kind_of_task_survives_a_crash_at_every_commit() {
    for (kind, rest) in KINDS {
        let rounds = case(rest).crash_after_each_commit();
        assert!(3 <= rounds, "{kind} commits something");
    }
}

#[test]
fn every_kind_of_task_may_be_done_twice() {
    for (kind, rest) in KINDS {
        let rounds = case(rest).each_task_twice();
        assert!(1 <= rounds, "{kind} calls something");
    }
}

#[test]
fn every_kind_of_task_survives_storms() {
    for (_, rest) in KINDS {
        case(rest).survive(0..3);
    }
}

#[test]
fn every_call_may_fail() {
    for (kind, rest) in KINDS {
        for history in case(rest).fail_each_task() {
            let coped = *kind == "try";
            let faulted = history.row().status == Status::Faulted;
            assert!(faulted || coped, "{kind}: {history}");
        }
    }
}
