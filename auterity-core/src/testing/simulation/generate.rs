//! Definitions at random: every kind of task, always with an end.

use serde_json::{Map, Value, json};

use super::code;
use crate::testing::random::Random;

/// Tasks of one definition, roughly.
const TASKS_MAX: u32 = 14;
const DEPTH_MAX: u32 = 3;

/// Where the generated definitions live.
pub(super) const NAMESPACE: &str = "simulation";
/// The function that they call.
pub(super) const WORK: &str = "work";
/// The same, but its calls may run ahead of the journal.
pub(super) const AHEAD: &str = "ahead";

/// A generated definition and what it needs to end.
#[derive(Debug, Clone)]
pub(super) struct Generated {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) input: Value,
    /// The types of the events that it waits for.
    pub(super) events: Vec<String>,
    /// Whether every execution of it must give the same output.
    pub(super) comparable: bool,
}

/// Makes a definition whose child executions are of the given workflows.
pub(super) fn generate(random: &mut Random, name: String, children: &[String]) -> Generated {
    let mut generator = Generator {
        random,
        children,
        tasks: 0,
        events: Vec::new(),
        comparable: true,
    };
    let tasks = generator.list(0, Place::default());
    let Generator {
        events, comparable, ..
    } = generator;
    let definition = json!({
        "document": { "dsl": "1.0.3", "namespace": NAMESPACE, "name": name, "version": "1.0.0" },
        "do": tasks,
    });
    Generated {
        text: definition.to_string(),
        input: json!({ "n": random.below(100) }),
        name,
        events,
        comparable,
    }
}

/// Makes an input of the durable function: a script.
pub(super) fn generate_code(random: &mut Random, children: &[String]) -> Generated {
    let mut generator = Generator {
        random,
        children,
        tasks: 0,
        events: Vec::new(),
        comparable: true,
    };
    let script = generator.script(0);
    let Generator {
        events, comparable, ..
    } = generator;
    Generated {
        name: code::NAME.to_owned(),
        text: code::definition(),
        input: json!({ "n": random.below(100), "script": script }),
        events,
        comparable,
    }
}

/// What surrounds a list of tasks.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// It may be gone through several times.
    repeated: bool,
}

struct Generator<'a> {
    random: &'a mut Random,
    children: &'a [String],
    tasks: u32,
    events: Vec<String>,
    comparable: bool,
}

impl Generator<'_> {
    fn list(&mut self, depth: u32, place: Place) -> Value {
        let length = self.random.between(1, if depth == 0 { 6 } else { 3 });
        let tasks = (0..length).map(|_| self.named(depth, place));
        Value::Array(tasks.collect())
    }

    fn named(&mut self, depth: u32, place: Place) -> Value {
        self.tasks += 1;
        let name = format!("t{}", self.tasks);
        let task = self.task(depth, place);
        named(&name, task)
    }

    fn task(&mut self, depth: u32, place: Place) -> Value {
        let leaf = DEPTH_MAX <= depth || TASKS_MAX <= self.tasks;
        match self.random.below(if leaf { 11 } else { 18 }) {
            0..=3 => self.work(false),
            4 => json!({ "set": { "n": "${ (.n? // 0) + 1 }", "by": self.random.below(9) } }),
            5 | 6 => {
                let longest = *self.random.pick(&[20, 1_500, 9_000]);
                json!({ "wait": { "milliseconds": self.random.between(1, longest) } })
            }
            7 => emit(self.random.below(3)),
            8 if !place.repeated => self.listen(),
            9 if !self.children.is_empty() => self.child(),
            8..=10 => self.work(false),
            11 => self.loops(depth),
            12 | 13 => self.fork(depth, place),
            14 | 15 => self.attempt(depth),
            16 => self.late(),
            _ => json!({ "do": self.switched(depth, place) }),
        }
    }

    fn work(&mut self, fails: bool) -> Value {
        let salt = self.random.below(1_000);
        let function = if self.random.chance(500) { AHEAD } else { WORK };
        json!({ "call": function, "with": { "salt": salt, "data": "${ . }", "fails": fails } })
    }

    fn listen(&mut self) -> Value {
        let kind = format!("event-{}", self.events.len() + 1);
        self.events.push(kind.clone());
        let whose = json!({ "from": ".subject", "expect": "${ $workflow.id }" });
        json!({ "listen": { "to": { "one": {
            "with": { "type": kind },
            "correlate": { "whose": whose },
        } } } })
    }

    fn child(&mut self) -> Value {
        let name = self.random.pick(self.children).clone();
        let input = json!({ "n": self.random.below(100) });
        let awaited = !self.random.chance(250);
        json!({ "run": {
            "workflow": { "namespace": NAMESPACE, "name": name, "version": "1.0.0", "input": input },
            "await": awaited,
        } })
    }

    fn loops(&mut self, depth: u32) -> Value {
        let items: Vec<u64> = (0..self.random.between(1, 4)).collect();
        json!({
            "for": { "each": "item", "in": format!("${{ {} }}", json!(items)) },
            "do": self.list(depth + 1, Place { repeated: true }),
        })
    }

    fn fork(&mut self, depth: u32, place: Place) -> Value {
        let compete = self.random.chance(300);
        self.comparable &= !compete;
        let length = self.random.between(2, 3);
        let branches: Vec<Value> = (0..length)
            .map(|_| {
                let list = self.list(depth + 1, place);
                self.tasks += 1;
                named(&format!("t{}", self.tasks), json!({ "do": list }))
            })
            .collect();
        json!({ "fork": { "branches": branches, "compete": compete } })
    }

    /// A `try` whose body fails every time, or at its end, or not at all.
    fn attempt(&mut self, depth: u32) -> Value {
        let mut body = self.list(depth + 1, Place { repeated: true });
        if let (Value::Array(tasks), true) = (&mut body, self.random.chance(700)) {
            self.tasks += 1;
            let failing = if self.random.chance(500) {
                self.work(true)
            } else {
                json!({ "raise": { "error": { "type": "https://example.com/odd", "status": 418 } } })
            };
            tasks.push(named(&format!("t{}", self.tasks), failing));
        }
        let retries = self.random.below(3);
        let delay = self.random.between(1, 3_000);
        let mut catch = json!({ "do": self.list(depth + 1, Place { repeated: true }) });
        if 0 < retries {
            catch["retry"] = json!({
                "delay": { "milliseconds": delay },
                "limit": { "attempt": { "count": retries } },
            });
        }
        json!({ "try": body, "catch": catch })
    }

    /// A time-out that fires for certain, or one that races with a call.
    fn late(&mut self) -> Value {
        let (task, after) = if self.random.chance(500) {
            (json!({ "wait": { "seconds": 20 } }), 700)
        } else {
            self.comparable = false;
            (self.work(false), self.random.between(1, 300))
        };
        let mut task = task;
        task["timeout"] = json!({ "after": { "milliseconds": after } });
        self.tasks += 1;
        let body = named(&format!("t{}", self.tasks), task);
        json!({ "try": [body], "catch": { "as": "problem" } })
    }

    /// A list of what the durable function does.
    fn script(&mut self, depth: u32) -> Value {
        let length = self.random.between(1, if depth == 0 { 7 } else { 3 });
        let acts = (0..length).map(|_| self.act(depth));
        Value::Array(acts.collect())
    }

    fn act(&mut self, depth: u32) -> Value {
        match self.random.below(if depth == 0 { 10 } else { 7 }) {
            0..=3 => json!({
                "work": self.random.below(1_000),
                "call": self.random.chance(300),
                "fails": self.random.chance(200),
                "tries": self.random.between(1, 3),
            }),
            4 => {
                let longest = *self.random.pick(&[20, 900, 7_000]);
                json!({ "sleep": self.random.between(1, longest) })
            }
            5 => {
                let kind = format!("event-{}", self.events.len() + 1);
                self.events.push(kind.clone());
                json!({ "event": kind })
            }
            6 if !self.children.is_empty() => {
                json!({ "child": self.random.pick(self.children), "n": self.random.below(100) })
            }
            7 => {
                self.comparable = false;
                json!({ "late": self.random.between(1, 400), "work": self.random.below(1_000) })
            }
            8 => json!({ "again": true }),
            9 => json!({ "left": self.script(depth + 1), "right": self.script(depth + 1) }),
            _ => json!({ "sleep": 1 }),
        }
    }

    fn switched(&mut self, depth: u32, place: Place) -> Value {
        let cases = json!([
            { "even": { "when": "${ (.n? // 0) % 2 == 0 }", "then": "exit" } },
            { "odd": { "then": "continue" } },
        ]);
        self.tasks += 1;
        let switch = named(&format!("t{}", self.tasks), json!({ "switch": cases }));
        let mut tasks = vec![switch];
        if let Value::Array(rest) = self.list(depth + 1, place) {
            tasks.extend(rest);
        }
        Value::Array(tasks)
    }
}

/// An event with an id and a time of its own, or each execution would give another one.
fn emit(number: u64) -> Value {
    json!({ "emit": { "event": { "with": {
        "id": "noise",
        "time": "2030-01-01T00:00:00Z",
        "source": "https://example.com/simulation",
        "type": format!("noise-{number}"),
        "data": "${ . }",
    } } } })
}

fn named(name: &str, task: Value) -> Value {
    let mut object = Map::new();
    object.insert(name.to_owned(), task);
    Value::Object(object)
}
