//! Random events on random programs: nothing panics, nothing is left over, and a
//! snapshot with the events after it gives what the whole journal gives.

use std::sync::Arc;

use auterity_core::interpreter::{
    EffectResult, Event, Limits, Problem, ProblemKind, State, TaskRecord, transition,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::drive::{Drive, Setting, event};

type Values = BoxedStrategy<Value>;

/// Makes an expression that mostly holds on the data of these programs.
fn expression() -> Values {
    let sources = [
        ".",
        ".a",
        "{ a: 1, list: [1, 2] }",
        "$context",
        "[., $input]",
        "1 + .a",
        ".a.b.c",
        "$task.reference",
        "$workflow.input.a",
        "null",
        "now",
        "[.[]?]",
    ];
    select(sources.to_vec())
        .prop_map(|source| json!(format!("${{ {source} }}")))
        .boxed()
}

fn condition() -> Values {
    let sources = [
        "true",
        "false",
        ".a",
        ".a == 1",
        "$context == null",
        "(.list | length) > 1",
        ".a.b",
    ];
    select(sources.to_vec()).prop_map(Value::from).boxed()
}

fn length() -> Values {
    let lengths = ["PT0S", "PT1S", "PT3S", "${ .a }"];
    select(lengths.to_vec()).prop_map(Value::from).boxed()
}

fn data() -> Values {
    prop_oneof![
        Just(json!({"a": 1})),
        Just(json!({"list": [1, 2, 3], "a": {"b": {"c": 1}}})),
        expression().prop_map(|value| json!({"a": value, "list": [1, 2]})),
    ]
    .boxed()
}

fn filter() -> Values {
    prop_oneof![
        Just(json!({"with": {"type": "a"}})),
        Just(json!({"with": {"type": "b", "data": "${ . > 3 }"}})),
        Just(json!({"with": {"type": "[ab]"}, "correlate": {"k": {"from": ".data"}}})),
        Just(json!({"with": {"data": "${ .x.y }"}})),
    ]
    .boxed()
}

fn strategy() -> Values {
    let filters = || prop::collection::vec(filter(), 1..3);
    let until = prop_oneof![
        Just(json!("length == 2")),
        Just(json!({"one": {"with": {"type": "b"}}})),
        Just(json!({"all": [{"with": {"type": "a"}}, {"with": {"type": "b"}}]})),
    ];
    prop_oneof![
        filter().prop_map(|filter| json!({"one": filter})),
        filters().prop_map(|filters| json!({"all": filters})),
        filters().prop_map(|filters| json!({"any": filters})),
        (filters(), until).prop_map(|(filters, until)| json!({"any": filters, "until": until})),
    ]
    .boxed()
}

fn retry() -> Values {
    prop_oneof![
        Just(json!({"limit": {"attempt": {"count": 1}}})),
        Just(json!({"delay": "PT1S", "backoff": {"exponential": {}}, "limit": {"attempt": {"count": 2, "duration": "PT2S"}, "duration": "PT20S"}})),
        condition().prop_map(|when| json!({"when": when, "delay": "PT1S", "jitter": {"from": "PT0S", "to": "PT1S"}, "limit": {"attempt": {"count": 2}}})),
    ]
    .boxed()
}

/// Makes the part of a task that says what it does.
fn kind(depth: u32) -> Values {
    let call = (select(vec!["echo", "fail", "f"]), data())
        .prop_map(|(function, with)| json!({"call": function, "with": with}));
    let leaf = prop_oneof![
        3 => data().prop_map(|data| json!({"set": data})),
        4 => call,
        2 => length().prop_map(|length| json!({"wait": length})),
        1 => Just(json!({"raise": {"error": {"type": "https://e.example/x", "status": 418}}})),
        1 => expression().prop_map(|data| json!({"emit": {"event": {"with": {"source": "https://e.example", "type": "a", "data": data}}}})),
        1 => any::<bool>().prop_map(|awaited| json!({"run": {"workflow": {"namespace": "n", "name": "x", "version": "latest"}, "await": awaited}})),
        1 => (condition(), select(vec!["exit", "end", "continue", "t0", "t1"]))
            .prop_map(|(when, then)| json!({"switch": [{"c": {"when": when, "then": then}}]})),
        2 => strategy().prop_map(|to| json!({"listen": {"to": to}})),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let inner = || tasks(depth - 1);
    let each = select(vec![
        "[1, 2, 3]",
        ".list",
        "$context.list",
        ".a",
        "[range(3)]",
        "$workflow.input.list",
    ]);
    let catch = (
        prop::option::of(condition()),
        prop::option::of(retry()),
        prop::option::of(inner()),
    )
        .prop_map(|(when, retry, tasks)| {
            let parts = [("when", when), ("retry", retry), ("do", tasks)];
            let parts = parts
                .into_iter()
                .filter_map(|(name, part)| Some((name.to_owned(), part?)));
            Value::Object(parts.collect())
        });
    prop_oneof![
        4 => leaf,
        1 => inner().prop_map(|tasks| json!({"do": tasks})),
        2 => (each, prop::option::of(condition()), inner()).prop_map(|(each, when, tasks)| match when {
            Some(when) => json!({"for": {"in": each}, "while": when, "do": tasks}),
            None => json!({"for": {"in": each}, "do": tasks}),
        }),
        2 => (any::<bool>(), inner()).prop_map(|(compete, branches)| json!({"fork": {"compete": compete, "branches": branches}})),
        2 => (inner(), catch).prop_map(|(tasks, catch)| json!({"try": tasks, "catch": catch})),
        1 => (strategy(), inner()).prop_map(|(to, tasks)| json!({"listen": {"to": to}, "foreach": {"do": tasks, "output": {"as": "[., $item, $index]"}}})),
    ]
    .boxed()
}

/// Makes a task; its `if` keeps whatever follows within reach.
fn task(depth: u32) -> Values {
    let shaping = (
        prop::option::weighted(0.2, expression()),
        prop::option::weighted(0.2, expression()),
        prop::option::weighted(0.2, expression()),
        prop::option::weighted(0.2, length()),
        prop::option::weighted(0.2, select(vec!["exit", "end", "t0"])),
    );
    (kind(depth), condition(), shaping)
        .prop_map(|(kind, condition, (from, output, export, timeout, then))| {
            let Value::Object(mut task) = kind else {
                unreachable!("a kind is an object")
            };
            let mut put = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    task.insert(name.to_owned(), value);
                }
            };
            put("if", Some(condition));
            put("input", from.map(|from| json!({"from": from})));
            put("output", output.map(|output| json!({"as": output})));
            put("export", export.map(|export| json!({"as": export})));
            put("timeout", timeout.map(|after| json!({"after": after})));
            put("then", then.map(Value::from));
            Value::Object(task)
        })
        .boxed()
}

fn tasks(depth: u32) -> Values {
    prop::collection::vec(task(depth), 1..4)
        .prop_map(|tasks| {
            let last = tasks.len() - 1;
            let named = tasks.into_iter().enumerate().map(|(place, mut task)| {
                // A jump needs its target; in a list of one there is only the first.
                redirect(&mut task, last);
                Value::Object(Map::from_iter([(format!("t{place}"), task)]))
            });
            Value::Array(named.collect())
        })
        .boxed()
}

/// Keeps the jumps of a task within a list that ends with the given place.
fn redirect(task: &mut Value, last: usize) {
    let is_missing = |then: &Value| then == "t1" && last < 1;
    if let Some(then) = task.get_mut("then").filter(|then| is_missing(then)) {
        *then = json!("t0");
    }
    if let Some(then) = task
        .pointer_mut("/switch/0/c/then")
        .filter(|then| is_missing(then))
    {
        *then = json!("t0");
    }
}

/// Branches of a fork cannot jump to each other.
fn settle_branches(value: &mut Value) {
    let branches = value
        .pointer_mut("/fork/branches")
        .and_then(Value::as_array_mut);
    for branch in branches.into_iter().flatten() {
        let tasks = branch.as_object_mut().into_iter().flat_map(Map::values_mut);
        for task in tasks {
            for place in ["/then", "/switch/0/c/then"] {
                let then = task.pointer_mut(place);
                let is_jump =
                    |then: &&mut Value| then.as_str().is_some_and(|then| then.starts_with('t'));
                if let Some(then) = then.filter(is_jump) {
                    *then = json!("exit");
                }
            }
        }
    }
    match value {
        Value::Object(entries) => entries.values_mut().for_each(settle_branches),
        Value::Array(items) => items.iter_mut().for_each(settle_branches),
        _ => {}
    }
}

fn definition() -> BoxedStrategy<String> {
    (tasks(3), prop::option::weighted(0.1, length()))
        .prop_map(|(mut tasks, timeout)| {
            settle_branches(&mut tasks);
            let functions = json!({"functions": {"f": {"set": {"called": "${ . }"}}}});
            let timeout = timeout.map(|after| format!("timeout: {}\n", json!({"after": after})));
            format!(
                "use: {functions}\ndo: {tasks}\n{}",
                timeout.unwrap_or_default()
            )
        })
        .boxed()
}

/// Makes something happen, which may be nothing that the execution waits for.
fn step(drive: &mut Drive<'_>, choice: u32) -> Event {
    let pending: Vec<u64> = drive.state.pending().collect();
    let listening: Vec<u64> = drive.listening.iter().map(|(effect, _)| *effect).collect();
    let pick = |from: &[u64]| from.get(choice as usize / 16 % from.len().max(1)).copied();
    let heard = |effect| Event::CloudEventReceived {
        effect,
        event: Arc::new(event(
            if choice.is_multiple_of(2) { "a" } else { "b" },
            &choice.to_string(),
            &json!(choice % 7),
        )),
    };
    let stale = u64::from(choice / 16 % 40);
    match choice % 16 {
        0 => Event::TimerFired,
        1 => Event::Continued,
        2 => heard(stale),
        3 => Event::EffectEnded {
            effect: stale,
            result: EffectResult::Value(Arc::new(json!(1))),
        },
        4 => Event::Started {
            input: Arc::new(json!({"again": true})),
            nesting: 0,
        },
        _ if drive.state.is_ready() => Event::Continued,
        5..=8 if !listening.is_empty() => heard(pick(&listening).expect("there is one")),
        9 | 10 if !pending.is_empty() => Event::EffectEnded {
            effect: pick(&pending).expect("there is one"),
            result: EffectResult::Problem(Problem::new(ProblemKind::Communication, "gone")),
        },
        _ => match (pick(&pending), drive.state.next_due()) {
            (Some(effect), _) => Event::EffectEnded {
                effect,
                result: drive.perform(effect),
            },
            (None, Some(due)) => {
                drive.now = drive.now.max(due);
                Event::TimerFired
            }
            (None, None) => pick(&listening).map_or(Event::Continued, heard),
        },
    }
}

/// Everything that must hold after every event.
fn check(drive: &Drive<'_>, event: &Event, definition: &str) -> Result<(), TestCaseError> {
    let state = &drive.state;
    if *event == Event::TimerFired {
        let (mut state, mut rounds) = (state.clone(), 0);
        while !state.is_ready() && state.next_due().is_some_and(|due| due <= drive.now) {
            prop_assert!(
                rounds < 1_000,
                "it is due for ever: {definition}\n{state:#?}"
            );
            transition(&drive.machine, &mut state, event, drive.now);
            rounds += 1;
        }
    }
    let pending = state.pending().count();
    let open = drive
        .listening
        .iter()
        .filter(|(effect, _)| state.listens(*effect))
        .count();
    if state.end().is_some() {
        prop_assert_eq!(pending, 0, "{}", definition);
        prop_assert!(
            drive.listening.is_empty(),
            "{definition}\n{:?}",
            drive.listening
        );
        prop_assert!(!state.is_ready() && state.next_due().is_none());
        return Ok(());
    }
    let waits = state.is_ready() || 0 < pending || 0 < open || state.next_due().is_some();
    prop_assert!(
        waits,
        "nothing can happen any more: {definition}\n{state:#?}"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_snapshot_with_its_tail_gives_the_final_state(
        definition in definition(),
        choices in prop::collection::vec(any::<u32>(), 1..80),
        cancelled in prop::option::weighted(0.1, 0_usize..40),
    ) {
        let mut setting = Setting::new(&definition);
        setting.limits = Limits { activations_max: 300, activations_per_event_max: 5, ..Limits::default() };
        let mut drive = setting.start(json!({"list": [1, 2], "a": 1}));
        let mut history: Vec<(Event, Timestamp, State, Vec<TaskRecord>)> = Vec::new();
        for (place, choice) in choices.iter().enumerate() {
            drive.now += SignedDuration::from_millis(i64::from(choice % 500));
            let event = match cancelled {
                Some(when) if when == place => Event::CancelRequested { order: crate::engine::order() },
                _ => step(&mut drive, *choice),
            };
            drive.records.clear();
            drive.apply(event.clone());
            check(&drive, &event, &definition)?;
            history.push((event, drive.now, drive.state.clone(), drive.records.clone()));
        }
        for (place, (_, _, snapshot, _)) in history.iter().enumerate().step_by(7) {
            let text = snapshot.to_snapshot().expect("it is written");
            let mut state = State::from_snapshot(&text).expect("it is read");
            prop_assert_eq!(&state, snapshot);
            for (event, at, _, records) in &history[place + 1..] {
                let again = transition(&drive.machine, &mut state, event, *at);
                prop_assert_eq!(&again.records, records);
            }
            prop_assert_eq!(&state, &drive.state);
        }
    }
}
