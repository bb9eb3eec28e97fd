//! Snapshot and tail give the same as the whole journal, at every prefix.

use std::sync::Arc;

use auterity_core::clock::SeededEntropy;
use auterity_core::definition::{CompileOptions, Program, compile};
use auterity_core::expression::Budget;
use auterity_core::interpreter::{
    self, Effect, EffectResult, Event, Machine, Order, Problem, ProblemKind, Rebuilt, Request,
    State, Stretch, request, transition,
};
use auterity_core::{Actor, ExecutionId, InboxId};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixture::definition;

const LOOPS: &str = "use:
  extensions:
  - around:
      extend: all
      when: $task.name | test(\"^(a|c|e|pause|first)$\")
      before: [ { rest: { wait: { milliseconds: 10 } } } ]
      after: [ { tell: { call: echo, with: { told: '${ $task.name }' } } } ]
do:
- each:
    for: { each: n, in: .list }
    do:
    - call: { call: echo, with: { list: '${ .list }', sum: '${ (.sum // 0) + $n }' } }
- pause: { wait: { seconds: 5 } }
- both:
    fork:
      branches:
      - left: { do: [ { a: { call: echo, with: { side: left } } }, { b: { wait: { seconds: 1 } } } ] }
      - right:
          try: [ { c: { call: echo, with: { side: right } } } ]
          catch: { retry: { delay: { seconds: 2 }, limit: { attempt: { count: 3 } } }, do: [ { d: { set: { side: lost } } } ] }
- undo:
    try: [ { f: { call: echo, with: { list: [1] } } }, { g: { wait: { seconds: 3 } } } ]
    catch: { errors: { with: { type: 'urn:auterity:error:cancelled' } }, do: [ { h: { call: echo, with: { undone: true } } } ] }
- hear:
    listen: { to: { any: [ { with: { type: t } } ], until: length == 2 } }
    foreach: { item: it, do: [ { e: { call: echo, with: { got: '${ $it }' } } } ] }
- first: { fork: { compete: true, branches: [ { x: { wait: { days: 1 } } }, { y: { call: echo, with: { won: y } } } ] } }
";

/// Tasks from which the execution goes on again.
const RETRIED: [&str; 6] = [
    "/do/0/each",
    "/do/0/each/do/0/call",
    "/do/2/both",
    "/do/2/both/fork/branches/0/left/do/0/a",
    "/do/3/undo/try/1/g",
    "/do/4/hear",
];

fn program(rest: &str) -> Program {
    let options = CompileOptions::default();
    compile(&definition("replay", rest), &options).expect("it compiles")
}

pub(crate) fn order() -> Order {
    let about = ExecutionId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::new(2));
    Order {
        id: InboxId::derived(about, "order"),
        by: Actor::Host,
        reason: Some("to see".to_owned()),
    }
}

struct Driver<'a> {
    machine: Machine<'a>,
    state: State,
    now: Timestamp,
    /// The event, when it came, and the state after it.
    history: Vec<(Event, Timestamp, State)>,
    listening: Option<u64>,
}

impl Driver<'_> {
    fn apply(&mut self, event: Event) {
        let done = transition(&self.machine, &mut self.state, &event, self.now);
        for effect in done.effects {
            match effect {
                Effect::Listen { effect, .. } => self.listening = Some(effect),
                Effect::Unlisten { .. } => self.listening = None,
                _ => {}
            }
        }
        self.history.push((event, self.now, self.state.clone()));
    }

    /// Makes something happen that the execution waits for.
    fn step(&mut self, choice: u32) {
        self.now += SignedDuration::from_millis(i64::from(choice % 700));
        let pending: Vec<u64> = self.state.pending().collect();
        if self.state.is_ready() {
            self.apply(Event::Continued);
        } else if let Some(effect) = pending.get(choice as usize % pending.len().max(1)) {
            let result = if choice.is_multiple_of(5) {
                EffectResult::Problem(Problem::new(ProblemKind::Communication, "gone"))
            } else {
                self.perform(*effect)
            };
            self.apply(Event::EffectEnded {
                effect: *effect,
                result,
            });
        } else if let Some(effect) = self.listening {
            let event = json!({"specversion": "1.0", "id": choice.to_string(), "type": "t", "data": choice});
            self.apply(Event::CloudEventReceived {
                effect,
                event: Arc::new(event),
            });
        } else if let Some(due) = self.state.next_due() {
            self.now = self.now.max(due);
            self.apply(Event::TimerFired);
        }
    }

    /// Puts the execution back to a task, if it has run, as a retry does.
    fn put_back(&mut self, task: &str) {
        let events: Vec<(Event, Timestamp)> = self
            .history
            .iter()
            .map(|(event, at, _)| (event.clone(), *at))
            .collect();
        let from = events
            .iter()
            .rposition(|(event, _)| event.rebuilt().is_some());
        let stretch = Stretch {
            machine: self.machine,
            events: &events[from.unwrap_or(0)..],
        };
        if let Ok(Some(back)) = stretch.put_back(task, None, self.now) {
            let program = self.machine.program.hash();
            self.listening = None;
            self.apply(Event::Retried {
                order: order(),
                from: Some(back.task),
                rebuilt: Box::new(Rebuilt {
                    before: program,
                    program,
                    state: back.state,
                }),
            });
        }
    }

    fn perform(&self, effect: u64) -> EffectResult {
        let secrets = Arc::new(json!({}));
        match request(&self.machine, &self.state, effect, &secrets) {
            Ok(Request::Call { arguments, .. }) => EffectResult::Value(Arc::new(arguments)),
            Ok(Request::Known { result }) => result,
            Ok(_) => EffectResult::Value(Arc::new(Value::Null)),
            Err(problem) => EffectResult::Problem(problem),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_snapshot_with_its_tail_gives_the_final_state(
        choices in prop::collection::vec(any::<u32>(), 1..60),
        cancelled in prop::option::of(0_usize..60),
        suspended in prop::option::of(0_usize..60),
        resumed in 0_usize..60,
        skipped in prop::option::of(0_usize..60),
        retried in prop::collection::vec((0_usize..60, 0_usize..RETRIED.len()), 0..4),
    ) {
        let program = program(LOOPS);
        let limits = interpreter::Limits { activations_per_event_max: 3, ..Default::default() };
        let budget = Budget::default();
        let start = Timestamp::UNIX_EPOCH;
        let machine = Machine {
            program: &program,
            execution: ExecutionId::generate(start, &SeededEntropy::new(1)),
            limits: &limits,
            budget: &budget,
        };
        let mut driver =
            Driver { machine, state: State::new(start), now: start, history: Vec::new(), listening: None };
        driver.apply(Event::Started { input: Arc::new(json!({"list": [1, 2, 3]})), nesting: 0 });
        for (place, choice) in choices.iter().enumerate() {
            if suspended == Some(place) {
                driver.apply(Event::SuspendRequested { order: order() });
            }
            if resumed == place {
                driver.apply(Event::ResumeRequested { order: order() });
            }
            if skipped == Some(place)
                && let Some(task) = driver.state.current_tasks(&program).first()
            {
                let output = Arc::new(json!({"list": [4]}));
                driver.apply(Event::TaskSkipped { order: order(), task: task.clone(), output });
            }
            for (_, task) in retried.iter().filter(|(when, _)| *when == place) {
                driver.put_back(RETRIED[*task]);
            }
            if cancelled == Some(place) {
                driver.apply(Event::CancelRequested { order: order() });
            }
            if driver.state.end().is_none() {
                driver.step(*choice);
            }
        }
        for (place, (_, _, snapshot)) in driver.history.iter().enumerate() {
            let text = serde_json::to_string(snapshot).expect("a state is JSON");
            let mut state: State = serde_json::from_str(&text).expect("it reads back");
            prop_assert_eq!(&state, snapshot);
            for (event, at, _) in &driver.history[place + 1..] {
                transition(&driver.machine, &mut state, event, *at);
            }
            prop_assert_eq!(&state, &driver.state);
        }
    }
}
