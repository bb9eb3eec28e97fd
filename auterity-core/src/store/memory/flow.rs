//! Flow control in memory: settings, gates, and who is where.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use crate::store::flow::Tokens;
use crate::store::{AHEAD_MAX, AtGate, FlowPut, FlowRow, Gate, Pace, Queued, Rule};
use crate::{ExecutionId, TenantId};

/// Executions that pass a gate in one go.
const PASS_MAX: i64 = 1_000;

/// Rounds of one look: an execution passes a gate per round.
const ROUNDS_MAX: usize = 16;

/// When to look again if more could pass than one look let through, in microseconds.
const AGAIN: i64 = 10_000;

/// Tenant, rule and value.
type Name = (TenantId, String, String);

/// Everything about flow control.
#[derive(Debug, Default)]
pub(super) struct Flow {
    settings: BTreeMap<(TenantId, String, String), FlowRow>,
    rules: BTreeMap<(TenantId, String), Rule>,
    gates: BTreeMap<Name, Counter>,
    places: HashMap<ExecutionId, Held>,
}

/// How much of a limit is in use.
#[derive(Debug, Default)]
struct Counter {
    waiting: BTreeSet<(Reverse<i32>, Timestamp, ExecutionId)>,
    passed: BTreeSet<ExecutionId>,
    next_at: Option<i64>,
    look_at: Option<i64>,
    waited: bool,
    /// Whether something happened since it was looked at.
    knocked: bool,
}

/// Where an execution is at its gates.
#[derive(Debug)]
struct Held {
    tenant: TenantId,
    priority: i32,
    since: Timestamp,
    gates: Vec<Gate>,
    /// How many it has passed.
    step: usize,
}

impl Held {
    fn name(&self, step: usize) -> Option<Name> {
        let gate = self.gates.get(step)?;
        Some((self.tenant, gate.rule.clone(), gate.value.clone()))
    }

    fn since(&self, step: usize) -> Timestamp {
        let gate = self.gates.get(step);
        gate.and_then(|gate| gate.since).unwrap_or(self.since)
    }

    fn not_before(&self) -> Option<i64> {
        let gate = self.gates.get(self.step)?;
        gate.not_before.map(Timestamp::as_microsecond)
    }

    fn key(&self, id: ExecutionId) -> (Reverse<i32>, Timestamp, ExecutionId) {
        (Reverse(self.priority), self.since(self.step), id)
    }
}

impl Flow {
    pub(super) fn put(&mut self, tenant: TenantId, put: FlowPut) -> Option<u64> {
        let (namespace, name) = put.workflow.unwrap_or_default();
        let key = (tenant, namespace, name);
        let present = self.settings.get(&key).map_or(0, |row| row.revision);
        if put.expected.is_some_and(|expected| expected != present) {
            return None;
        }
        let revision = present + 1;
        let row = FlowRow {
            revision,
            body: put.body,
            changed_at: put.at,
        };
        self.settings.insert(key, row);
        self.rules
            .retain(|(owner, name), _| *owner != tenant || !name.starts_with(&put.prefix));
        for rule in put.rules {
            self.rules.insert((tenant, rule.name.clone()), rule);
        }
        for ((owner, rule, _), gate) in &mut self.gates {
            gate.knocked |= *owner == tenant && rule.starts_with(&put.prefix);
        }
        Some(revision)
    }

    pub(super) fn fetch(
        &self,
        tenant: TenantId,
        workflow: Option<(&str, &str)>,
    ) -> Option<FlowRow> {
        let (namespace, name) = workflow.unwrap_or_default();
        let key = (tenant, namespace.to_owned(), name.to_owned());
        self.settings.get(&key).cloned()
    }

    pub(super) fn ask(
        &mut self,
        tenant: TenantId,
        (rule, value): (&str, &str),
        pace: Pace,
        now: Timestamp,
    ) -> Option<SignedDuration> {
        let name = (tenant, rule.to_owned(), value.to_owned());
        let gate = self.gates.entry(name).or_default();
        let now = now.as_microsecond();
        let tokens = pace.tokens(gate.next_at, false, now);
        if tokens.count <= 0 {
            return Some(SignedDuration::from_micros(tokens.look_at(0) - now));
        }
        gate.next_at = Some(tokens.next_at(1));
        gate.look_at = gate.next_at;
        None
    }

    pub(super) fn list(&self, name: &Name, limit: u32) -> Vec<AtGate> {
        let Some(gate) = self.gates.get(name) else {
            return Vec::new();
        };
        let waiting = gate.waiting.iter().map(|(_, since, id)| AtGate {
            execution: *id,
            passed: false,
            since: *since,
        });
        let passed = gate.passed.iter().filter_map(|id| {
            let held = self.places.get(id)?;
            let step = (0..held.step).find(|step| held.name(*step).as_ref() == Some(name))?;
            Some(AtGate {
                execution: *id,
                passed: true,
                since: held.since(step),
            })
        });
        let mut found: Vec<AtGate> = waiting.chain(passed).collect();
        found.sort_by_key(|at| at.execution);
        found.truncate(limit as usize);
        found
    }

    pub(super) fn length(&self, tenant: TenantId, prefix: &str) -> usize {
        let gates = self.gates.iter();
        gates
            .filter(|((owner, rule, _), _)| *owner == tenant && rule.starts_with(prefix))
            .map(|(_, gate)| gate.waiting.len())
            .sum()
    }

    /// Counts all that wait.
    pub(super) fn held(&self) -> usize {
        self.gates.values().map(|gate| gate.waiting.len()).sum()
    }

    pub(super) fn place(&self, id: ExecutionId) -> Option<Queued> {
        let held = self.places.get(&id)?;
        let name = held.name(held.step)?;
        let gate = self.gates.get(&name)?;
        let key = held.key(id);
        let rule = self.rules.get(&(held.tenant, name.1.clone()));
        let paced = rule.is_some_and(|rule| rule.pace.is_some());
        let look_at = gate.look_at.filter(|_| paced);
        let not_before = held.not_before().max(look_at);
        let ahead = gate.waiting.range(..key).take(AHEAD_MAX as usize).count();
        Some(Queued {
            rule: Some(name.1),
            value: name.2,
            ahead: u32::try_from(ahead).unwrap_or(AHEAD_MAX),
            concurrency: rule.and_then(|rule| rule.concurrency),
            in_use: u32::try_from(gate.passed.len()).unwrap_or(u32::MAX),
            not_before: not_before.and_then(|at| Timestamp::from_microsecond(at).ok()),
        })
    }

    /// Puts an execution before its first gate.
    pub(super) fn join(
        &mut self,
        (tenant, id): (TenantId, ExecutionId),
        gates: &[Gate],
        priority: i32,
        since: Timestamp,
    ) {
        let held = Held {
            tenant,
            priority,
            since,
            gates: gates.to_vec(),
            step: 0,
        };
        self.arrive(&held, id);
        self.places.insert(id, held);
    }

    fn arrive(&mut self, held: &Held, id: ExecutionId) {
        if let Some(name) = held.name(held.step) {
            let gate = self.gates.entry(name).or_default();
            gate.waiting.insert(held.key(id));
            gate.knocked = true;
        }
    }

    /// Takes an execution away from the gate that it waits at.
    pub(super) fn withdraw(&mut self, id: ExecutionId) {
        if let Some(held) = self.places.get(&id)
            && let Some(gate) = held
                .name(held.step)
                .and_then(|name| self.gates.get_mut(&name))
        {
            gate.waiting.remove(&held.key(id));
            gate.knocked = true;
        }
    }

    /// Brings an execution back to the gate from which it was taken away.
    pub(super) fn return_to_gate(&mut self, id: ExecutionId) {
        if let Some(held) = self.places.remove(&id) {
            self.arrive(&held, id);
            self.places.insert(id, held);
        }
    }

    /// Gives up all places of an execution that has ended.
    pub(super) fn leave(&mut self, id: ExecutionId) {
        self.withdraw(id);
        let Some(held) = self.places.remove(&id) else {
            return;
        };
        for step in 0..held.step {
            if let Some(gate) = held.name(step).and_then(|name| self.gates.get_mut(&name)) {
                gate.passed.remove(&id);
                gate.knocked = true;
            }
        }
    }

    /// Lets through whatever may pass; gives what is behind its last gate, and when to
    /// look again without being told.
    pub(super) fn look(&mut self, now: Timestamp) -> (Vec<ExecutionId>, Option<Timestamp>) {
        let now_at = now.as_microsecond();
        let mut through = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let gates = self.gates.iter();
            let open = |gate: &Counter| {
                gate.knocked || gate.look_at.is_some_and(|look_at| look_at <= now_at)
            };
            let names: Vec<Name> = gates
                .filter(|(_, gate)| open(gate))
                .map(|(name, _)| name.clone())
                .collect();
            if names.is_empty() {
                let look_at = self.gates.values().filter_map(|gate| gate.look_at).min();
                return (
                    through,
                    look_at.and_then(|at| Timestamp::from_microsecond(at).ok()),
                );
            }
            for name in names {
                self.pass(&name, now_at, &mut through);
            }
        }
        (through, Some(now))
    }

    fn pass(&mut self, name: &Name, now: i64, through: &mut Vec<ExecutionId>) {
        let rule = self.rules.get(&(name.0, name.1.clone())).cloned();
        let concurrency = rule
            .as_ref()
            .and_then(|rule| rule.concurrency)
            .map(i64::from);
        let pace = rule.and_then(|rule| rule.pace);
        let Some(gate) = self.gates.get_mut(name) else {
            return;
        };
        gate.knocked = false;
        let in_use = i64::try_from(gate.passed.len()).unwrap_or(i64::MAX);
        let tokens = pace.map(|pace| pace.tokens(gate.next_at, gate.waited, now));
        let room = concurrency.map_or(PASS_MAX, |most| (most - in_use).max(0));
        let most = PASS_MAX
            .min(room)
            .min(tokens.map_or(PASS_MAX, |tokens| tokens.count));
        let may = |places: &HashMap<ExecutionId, Held>, id: &ExecutionId| {
            let held = places.get(id);
            held.is_some_and(|held| held.not_before().is_none_or(|at| at <= now))
        };
        let first: Vec<_> = gate
            .waiting
            .iter()
            .filter(|(_, _, id)| may(&self.places, id))
            .take(usize::try_from(most).unwrap_or(0))
            .copied()
            .collect();
        for key in &first {
            gate.waiting.remove(key);
            gate.passed.insert(key.2);
        }
        let passed = i64::try_from(first.len()).unwrap_or(i64::MAX);
        if let Some(tokens) = tokens
            && 0 < passed
        {
            gate.next_at = Some(tokens.next_at(passed));
        }
        gate.waited = gate.waiting.iter().any(|(_, _, id)| may(&self.places, id));
        let later = gate.waiting.iter().filter_map(|(_, _, id)| {
            let at = self.places.get(id)?.not_before()?;
            (now < at).then_some(at)
        });
        gate.look_at = later.min();
        if gate.waited
            && let Some(at) = next_look(tokens, concurrency, in_use, passed, now)
        {
            gate.look_at = Some(gate.look_at.map_or(at, |look| look.min(at)));
        }
        if gate.passed.is_empty() && gate.look_at.is_none() {
            gate.look_at = gate.next_at.filter(|next| now < *next);
        }
        if gate.passed.is_empty() && gate.look_at.is_none() && gate.waiting.is_empty() {
            self.gates.remove(name);
        }
        for (_, _, id) in first {
            self.go_on(id, through);
        }
    }

    /// Moves an execution to its next gate, or behind the last.
    fn go_on(&mut self, id: ExecutionId, through: &mut Vec<ExecutionId>) {
        let Some(mut held) = self.places.remove(&id) else {
            return;
        };
        held.step += 1;
        if held.step < held.gates.len() {
            self.arrive(&held, id);
        } else {
            through.push(id);
        }
        self.places.insert(id, held);
    }
}

/// Gives when time alone lets the next one through.
fn next_look(
    tokens: Option<Tokens>,
    concurrency: Option<i64>,
    in_use: i64,
    passed: i64,
    now: i64,
) -> Option<i64> {
    match tokens {
        Some(tokens) if tokens.count <= passed => Some(tokens.look_at(passed)),
        _ if concurrency.is_none_or(|most| in_use + passed < most) => Some(now + AGAIN),
        _ => None,
    }
}
