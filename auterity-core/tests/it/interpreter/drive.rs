//! Drives a program without an engine: effects are performed at once, time passes
//! when nothing else can happen.

use std::sync::Arc;

use auterity_core::ExecutionId;
use auterity_core::clock::SeededEntropy;
use auterity_core::definition::{CompileOptions, Program, compile, diagnose};
use auterity_core::expression::Budget;
use auterity_core::interpreter::{
    Effect, EffectResult, End, Event, Filter, Limits, Machine, Problem, ProblemKind, Request,
    State, TaskRecord, TaskState, request, transition,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Rounds after which a program is taken to go on for ever.
const ROUNDS_MAX: usize = 10_000;

pub(super) fn program(rest: &str) -> Program {
    let text =
        format!("document: {{ dsl: 1.0.3, namespace: n, name: subject, version: 1.0.0 }}\n{rest}");
    compile(&text, &CompileOptions::default())
        .unwrap_or_else(|mistakes| panic!("{text}\n{}", diagnose("definition", &mistakes)))
}

/// What stays the same for all drives of a test.
pub(super) struct Setting {
    pub(super) program: Program,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) secrets: Arc<Value>,
}

impl Setting {
    pub(super) fn new(rest: &str) -> Self {
        Self {
            program: program(rest),
            limits: Limits::default(),
            budget: Budget::default(),
            secrets: Arc::new(json!({})),
        }
    }

    pub(super) fn start(&self, input: Value) -> Drive<'_> {
        let now = Timestamp::UNIX_EPOCH;
        let mut drive = Drive {
            machine: Machine {
                program: &self.program,
                execution: ExecutionId::generate(now, &SeededEntropy::new(1)),
                limits: &self.limits,
                budget: &self.budget,
            },
            secrets: &self.secrets,
            state: State::new(now),
            now,
            started: now,
            records: Vec::new(),
            listening: Vec::new(),
            emitted: Vec::new(),
            called: Vec::new(),
        };
        drive.apply(Event::Started {
            input: Arc::new(input),
            nesting: 0,
        });
        drive
    }
}

/// An execution under way.
pub(super) struct Drive<'a> {
    pub(super) machine: Machine<'a>,
    secrets: &'a Arc<Value>,
    pub(super) state: State,
    pub(super) now: Timestamp,
    started: Timestamp,
    pub(super) records: Vec<TaskRecord>,
    pub(super) listening: Vec<(u64, Vec<Filter>)>,
    pub(super) emitted: Vec<Value>,
    pub(super) called: Vec<(String, Value)>,
}

impl Drive<'_> {
    pub(super) fn apply(&mut self, event: Event) {
        let done = transition(&self.machine, &mut self.state, &event, self.now);
        self.records.extend(done.records);
        for effect in done.effects {
            match effect {
                Effect::Listen { effect, filters } => self.listening.push((effect, filters)),
                Effect::Unlisten { effect } => self.listening.retain(|(known, _)| *known != effect),
                Effect::Perform { .. }
                | Effect::Abandon { .. }
                | Effect::Ask { .. }
                | Effect::Escalate { .. }
                | Effect::Hold { .. }
                | Effect::Withdraw { .. }
                | Effect::Continue => {}
            }
        }
    }

    /// Performs effects until the execution waits for time or events, or has ended.
    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let next = self.state.pending().find(|effect| !self.is_stuck(*effect));
            if self.state.is_ready() {
                self.apply(Event::Continued);
            } else if let Some(effect) = next {
                let result = self.perform(effect);
                self.apply(Event::EffectEnded { effect, result });
            } else {
                return;
            }
        }
        panic!("it goes on for ever");
    }

    fn request(&self, effect: u64) -> Result<Request, Problem> {
        request(&self.machine, &self.state, effect, self.secrets)
    }

    /// A call of `never` stays open.
    fn is_stuck(&self, effect: u64) -> bool {
        matches!(self.request(effect), Ok(Request::Call { function, .. }) if function == "never")
    }

    pub(super) fn perform(&mut self, effect: u64) -> EffectResult {
        let value = match self.request(effect) {
            Err(problem) => return EffectResult::Problem(problem),
            Ok(Request::Known { result }) => return result,
            Ok(Request::Call {
                function,
                arguments,
                ..
            }) => {
                self.called.push((function.clone(), arguments.clone()));
                if function == "fail" {
                    let status = arguments["status"].as_u64().unwrap_or(500);
                    let problem = Problem::new(ProblemKind::Communication, "it failed")
                        .with_status(u16::try_from(status).expect("a status"));
                    return EffectResult::Problem(problem);
                }
                arguments
            }
            Ok(Request::Deadline { otherwise }) => match otherwise {
                Ok(value) => value,
                Err(problem) => return EffectResult::Problem(problem),
            },
            Ok(Request::Emit { event }) => {
                self.emitted.push(event.clone());
                event
            }
            Ok(Request::Child { awaited, input, .. }) if awaited => input,
            Ok(Request::Child { .. }) => json!({"id": "exe_child"}),
            Ok(Request::Step { task, .. }) => panic!("{task} is of a durable function"),
        };
        EffectResult::Value(Arc::new(value))
    }

    /// Brings an event to whoever listens.
    pub(super) fn publish(&mut self, event: &Value) {
        let effects: Vec<u64> = self.listening.iter().map(|(effect, _)| *effect).collect();
        for effect in effects {
            self.apply(Event::CloudEventReceived {
                effect,
                event: Arc::new(event.clone()),
            });
            self.settle();
        }
    }

    /// Lets time pass until the end.
    pub(super) fn finish(&mut self) -> End {
        for _ in 0..ROUNDS_MAX {
            self.settle();
            if let Some(end) = self.state.end() {
                return end.clone();
            }
            let due = self.state.next_due().expect("it waits for something");
            self.now = self.now.max(due);
            self.apply(Event::TimerFired);
        }
        panic!("it goes on for ever");
    }

    /// The time since the start.
    pub(super) fn elapsed(&self) -> jiff::SignedDuration {
        self.now.duration_since(self.started)
    }

    /// How often a task reached a state.
    pub(super) fn count(&self, name: &str, state: TaskState) -> usize {
        let is_meant = |record: &&TaskRecord| record.name == name && record.state == state;
        self.records.iter().filter(is_meant).count()
    }
}

pub(super) fn event(kind: &str, id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "https://test.example", "type": kind, "data": data})
}

/// Drives a program to its end and compares the output.
pub(super) fn gives(rest: &str, input: Value, expected: &Value) {
    match Setting::new(rest).start(input).finish() {
        End::Completed(output) => assert_eq!(*output, *expected, "{rest}"),
        other => panic!("{rest}\n{other:?}"),
    }
}

/// Drives a program to its end and compares parts of the error.
pub(super) fn faults(rest: &str, input: Value, expected: &Value) {
    let problem = match Setting::new(rest).start(input).finish() {
        End::Faulted(problem) => problem.to_value(),
        other => panic!("{rest}\n{other:?}"),
    };
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&problem[name], value, "{name} of {problem} in {rest}");
    }
}
