//! Flow control: turns, gates, places.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::SignedDuration;

use super::{Life, at, completed, entry, execution, message, ok, scope, started, tenant};
use crate::ExecutionId;
use crate::store::{
    Control, Entry, FlowPut, Gate, InboxMessage, LaneLength, MessageKind, Next, Outcome, Pace,
    Rule, Status, Store, Survey,
};

/// A start of a tenant that waits for a worker.
fn queued(whose: u128, number: u128) -> Entry {
    let mut entry = started(number, Next::Queued);
    entry.tenant = tenant(whose);
    entry.events.clear();
    entry
}

fn gate(rule: &str, value: &str) -> Gate {
    Gate {
        rule: rule.to_owned(),
        value: value.to_owned(),
        not_before: None,
        since: None,
    }
}

/// A start of the first tenant that has to pass gates.
fn held(number: u128, gates: &[(&str, &str)]) -> Entry {
    let mut entry = queued(1, number);
    if let Some(start) = &mut entry.start {
        start.gates = gates
            .iter()
            .map(|(rule, value)| gate(rule, value))
            .collect();
    }
    entry
}

/// Ends an execution that has not begun when it was claimed.
fn ended(number: u128) -> Entry {
    entry(number, 1, completed())
}

async fn start(store: &Arc<dyn Store>, entries: &[Entry]) {
    let outcomes = ok(store.journal_append(None, entries).await);
    assert_eq!(vec![Outcome::Recorded; entries.len()], outcomes);
}

fn at_most(name: &str, most: u32) -> Rule {
    Rule {
        name: name.to_owned(),
        concurrency: Some(most),
        pace: None,
    }
}

async fn rules(store: &Arc<dyn Store>, rules: Vec<Rule>) {
    let put = FlowPut {
        workflow: Some(("suite".to_owned(), "order".to_owned())),
        expected: None,
        weight: 1,
        body: "{}".into(),
        prefix: "order/".to_owned(),
        rules,
        at: at(0),
    };
    assert!(ok(store.flow_put(scope(1), put).await).is_some());
}

async fn weigh(store: &Arc<dyn Store>, whose: usize, weight: u32) {
    let put = FlowPut {
        workflow: None,
        expected: None,
        weight,
        body: "{}".into(),
        prefix: "tenant/".to_owned(),
        rules: Vec::new(),
        at: at(0),
    };
    assert!(ok(store.flow_put(scope(whose), put).await).is_some());
}

/// Claims and counts whose executions those are: of the first and the second tenant.
async fn share(life: &Life, limit: u32) -> (usize, usize) {
    let claims = ok(life.beat(at(1_000_000), limit).await);
    let of = |whose| {
        claims
            .iter()
            .filter(|claim| claim.tenant == tenant(whose))
            .count()
    };
    (of(1), of(2))
}

pub(super) async fn tenants_take_turns(store: Arc<dyn Store>) {
    let crowd: Vec<_> = (0..500).map(|number| queued(1, number)).collect();
    start(&store, &crowd).await;
    let life = Life::begin(&store, 1).await;
    assert_eq!((100, 0), share(&life, 100).await);
    start(&store, &[queued(2, 1_000)]).await;
    assert_eq!(
        (1, 1),
        share(&life, 2).await,
        "the small one waits for one turn at most"
    );
    let some: Vec<_> = (2_000..2_100).map(|number| queued(2, number)).collect();
    start(&store, &some).await;
    assert_eq!((50, 50), share(&life, 100).await);
    assert_eq!((349, 50), share(&life, 1_000).await, "nothing is forgotten");
}

pub(super) async fn weights_share_out_the_turns(store: Arc<dyn Store>) {
    weigh(&store, 1, 10).await;
    weigh(&store, 2, 100).await;
    let life = Life::begin(&store, 1).await;
    let ones: Vec<_> = (0..200).map(|number| queued(1, number)).collect();
    start(&store, &ones).await;
    let twos: Vec<_> = (1_000..1_200).map(|number| queued(2, number)).collect();
    start(&store, &twos).await;
    assert_eq!((10, 100), share(&life, 110).await);
    weigh(&store, 1, 100).await;
    let (ones, twos) = share(&life, 100).await;
    assert!(
        ones.abs_diff(twos) <= 10,
        "a new weight counts at once: {ones} {twos}"
    );
}

pub(super) async fn coming_back_again_and_again_gains_nothing(store: Arc<dyn Store>) {
    let crowd: Vec<_> = (0..100).map(|number| queued(1, number)).collect();
    start(&store, &crowd).await;
    start(&store, &[queued(2, 1_000)]).await;
    let life = Life::begin(&store, 1).await;
    let mut small = 0;
    for round in 0..40 {
        let (_, two) = share(&life, 1).await;
        if two == 1 {
            small += 1;
            start(&store, &[queued(2, 1_001 + round)]).await;
        }
    }
    assert!((19..=21).contains(&small), "half of the turns: {small}");
}

pub(super) async fn priority_counts_within_a_tenant_only(store: Arc<dyn Store>) {
    let mut entries: Vec<_> = (0..20).map(|number| queued(1, number)).collect();
    for entry in &mut entries {
        if let Some(start) = &mut entry.start {
            start.priority = 1_000;
        }
    }
    entries.extend((100..120).map(|number| queued(2, number)));
    start(&store, &entries).await;
    let life = Life::begin(&store, 1).await;
    assert_eq!((5, 5), share(&life, 10).await);
}

pub(super) async fn concurrency_is_never_exceeded(store: Arc<dyn Store>) {
    rules(&store, vec![at_most("order/concurrency", 2)]).await;
    let entries: Vec<_> = (1..=5)
        .map(|one| held(one, &[("order/concurrency", "")]))
        .collect();
    start(&store, &entries).await;
    let life = Life::begin(&store, 1).await;
    assert_eq!(Status::Pending, life.status(1).await);
    assert_eq!(vec![execution(1), execution(2)], life.claim(10, 10).await);
    assert!(life.claim(11, 10).await.is_empty());
    assert_eq!(Status::Pending, life.status(3).await);
    // A parked execution keeps its place.
    life.record(&[entry(1, 1, super::parked(None))]).await;
    assert!(life.claim(12, 10).await.is_empty());
    life.record(&[ended(2)]).await;
    assert_eq!(vec![execution(3)], life.claim(13, 10).await);
    life.record(&[ended(3)]).await;
    assert_eq!(vec![execution(4)], life.claim(14, 10).await);
    let loaded = ok(store.execution_load(&[execution(4)]).await);
    assert!(loaded[0].gated);
    assert_eq!(Some("{\"a\":1}"), loaded[0].input.as_deref());
    life.record(&[ended(4)]).await;
    assert_eq!(
        vec![execution(5)],
        life.claim(15, 10).await,
        "nobody waits for ever"
    );
}

pub(super) async fn places_outlast_the_worker(store: Arc<dyn Store>) {
    rules(&store, vec![at_most("order/concurrency", 2)]).await;
    let entries: Vec<_> = (1..=4)
        .map(|one| held(one, &[("order/concurrency", "")]))
        .collect();
    start(&store, &entries).await;
    let first = Life::begin(&store, 1).await;
    assert_eq!(2, first.claim(10, 10).await.len());
    ok(store.worker_release(&first.fence).await);
    let next = Life::begin(&store, 2).await;
    // The dead worker's executions come back with their places.
    let mine = next.claim(10, 10).await;
    assert_eq!(vec![execution(1), execution(2)], mine);
    ok(store.worker_release(&next.fence).await);
    let last = Life::begin(&store, 3).await;
    assert_eq!(mine, last.claim(20, 10).await);
    assert!(last.claim(21, 10).await.is_empty());
    last.record(&[ended(1), ended(2)]).await;
    assert_eq!(vec![execution(3), execution(4)], last.claim(22, 10).await);
}

pub(super) async fn changed_rules_count_at_once(store: Arc<dyn Store>) {
    rules(&store, vec![at_most("order/concurrency", 3)]).await;
    let entries: Vec<_> = (1..=8)
        .map(|one| held(one, &[("order/concurrency", "")]))
        .collect();
    start(&store, &entries).await;
    let life = Life::begin(&store, 1).await;
    assert_eq!(3, life.claim(10, 10).await.len());
    // Lower than what is in use: nobody begins until there is room again.
    rules(&store, vec![at_most("order/concurrency", 1)]).await;
    life.record(&[ended(1), ended(2)]).await;
    assert!(life.claim(11, 10).await.is_empty());
    life.record(&[ended(3)]).await;
    assert_eq!(vec![execution(4)], life.claim(12, 10).await);
    rules(&store, vec![at_most("order/concurrency", 2)]).await;
    assert_eq!(vec![execution(5)], life.claim(13, 10).await);
    // A rule that is gone lets all through.
    rules(&store, Vec::new()).await;
    assert_eq!(3, life.claim(14, 10).await.len());
}

pub(super) async fn gates_are_passed_in_order(store: Arc<dyn Store>) {
    let both = vec![at_most("order/key", 1), at_most("order/all", 2)];
    rules(&store, both).await;
    let entries: Vec<_> = [(1, "a"), (2, "a"), (3, "b"), (4, "c")]
        .map(|(one, value)| held(one, &[("order/key", value), ("order/all", "")]))
        .into();
    start(&store, &entries).await;
    let life = Life::begin(&store, 1).await;
    assert_eq!(vec![execution(1), execution(3)], life.claim(10, 10).await);
    let place = ok(store.queue_place(scope(1), execution(2)).await).expect("it waits");
    assert_eq!(
        (Some("order/key"), "a", 0),
        (place.rule.as_deref(), &*place.value, place.ahead)
    );
    let place = ok(store.queue_place(scope(1), execution(4)).await).expect("it waits");
    assert_eq!(Some("order/all"), place.rule.as_deref());
    assert_eq!((Some(2), 2), (place.concurrency, place.in_use));
    life.record(&[ended(1)]).await;
    // Whether the second comes to the last gate before the fourth is let through it is
    // not said; that one of them begins, and then the other, is.
    let mut next = life.claim(11, 10).await;
    next.extend(life.claim(12, 10).await);
    assert_eq!(1, next.len());
    life.record(&[ended(3)]).await;
    next.extend(life.claim(13, 10).await);
    next.extend(life.claim(14, 10).await);
    next.sort();
    assert_eq!(vec![execution(2), execution(4)], next);
}

pub(super) async fn a_pace_spreads_what_waits(store: Arc<dyn Store>) {
    let pace = Pace {
        every: SignedDuration::from_secs(10),
        burst: 2,
    };
    let rule = Rule {
        name: "order/throttle".to_owned(),
        concurrency: None,
        pace: Some(pace),
    };
    rules(&store, vec![rule]).await;
    let entries: Vec<_> = (1..=5)
        .map(|one| held(one, &[("order/throttle", "")]))
        .collect();
    start(&store, &entries).await;
    let life = Life::begin(&store, 1).await;
    let beat = life.look(at(100), 10).await;
    assert_eq!(2, beat.claims.len());
    assert_eq!(Some(at(110)), beat.look_at);
    assert!(life.claim(109, 10).await.is_empty());
    assert_eq!(vec![execution(3)], life.claim(110, 10).await);
    let place = ok(store.queue_place(scope(1), execution(5)).await).expect("it waits");
    assert_eq!((1, Some(at(120))), (place.ahead, place.not_before));
    assert_eq!(vec![execution(4)], life.claim(120, 10).await);
    // A look that comes a little late costs nobody anything.
    let late = at(130) + SignedDuration::from_millis(500);
    let claims = life.look(late, 10).await.claims;
    assert_eq!(1, claims.len());
    life.record(&[ended(1), ended(2), ended(3), ended(4), ended(5)])
        .await;
    start(&store, &[held(6, &[("order/throttle", "")])]).await;
    assert!(life.claim(131, 10).await.is_empty());
    assert_eq!(vec![execution(6)], life.claim(140, 10).await);
}

pub(super) async fn leave_is_given_at_a_pace(store: Arc<dyn Store>) {
    let pace = Pace {
        every: SignedDuration::from_secs(10),
        burst: 2,
    };
    let ask = async |value: &'static str, seconds| {
        let asked = store.gate_ask(scope(1), ("order/rate", value), pace, at(seconds));
        ok(asked.await).map(|wait| wait.as_secs())
    };
    assert_eq!(None, ask("a", 100).await);
    assert_eq!(None, ask("a", 100).await);
    assert_eq!(Some(10), ask("a", 100).await);
    assert_eq!(None, ask("b", 100).await, "each value has its own");
    assert_eq!(Some(3), ask("a", 107).await, "a refusal costs nothing");
    assert_eq!(None, ask("a", 110).await);
    assert_eq!(Some(10), ask("a", 110).await);
    // A look in between forgets what is of no more use, and only that.
    let life = Life::begin(&store, 1).await;
    let beat = life.look(at(111), 10).await;
    assert!(beat.claims.is_empty());
    assert_eq!(Some(9), ask("a", 111).await);
    life.look(at(1_000), 10).await;
    assert_eq!(None, life.look(at(1_000), 10).await.look_at);
    assert_eq!(None, ask("a", 1_000).await);
}

pub(super) async fn nothing_passes_before_its_time(store: Arc<dyn Store>) {
    let mut entries = vec![
        held(1, &[("order/debounce", "")]),
        held(2, &[("order/debounce", "")]),
    ];
    for (entry, seconds) in entries.iter_mut().zip([200, 100]) {
        let start = entry.start.as_mut().expect("it is a start");
        start.gates[0].not_before = Some(at(seconds));
        start.gates[0].since = Some(at(seconds - 50));
    }
    start(&store, &entries).await;
    let life = Life::begin(&store, 1).await;
    let beat = life.look(at(99), 10).await;
    assert!(beat.claims.is_empty());
    assert_eq!(Some(at(100)), beat.look_at);
    let there = ok(store.gate_list(scope(1), ("order/debounce", ""), 10).await);
    let there: Vec<_> = there
        .iter()
        .map(|one| (one.execution, one.passed, one.since))
        .collect();
    let expected = vec![
        (execution(1), false, at(150)),
        (execution(2), false, at(50)),
    ];
    assert_eq!(expected, there);
    assert_eq!(vec![execution(2)], life.claim(100, 10).await);
    let there = ok(store.gate_list(scope(1), ("order/debounce", ""), 10).await);
    assert_eq!(
        vec![false, true],
        there.iter().map(|one| one.passed).collect::<Vec<_>>()
    );
    assert_eq!(vec![execution(1)], life.claim(200, 10).await);
}

/// Puts a message of control.
async fn tell(store: &Arc<dyn Store>, number: u128, id: &str, control: Control) {
    let message = InboxMessage {
        kind: MessageKind::Control,
        effect: None,
        ..message(number, id)
    };
    assert!(ok(store.control_put(&message, control).await));
}

pub(super) async fn what_is_held_can_still_be_ended(store: Arc<dyn Store>) {
    rules(&store, vec![at_most("order/concurrency", 1)]).await;
    let entries: Vec<_> = (1..=4)
        .map(|one| held(one, &[("order/concurrency", "")]))
        .collect();
    start(&store, &entries).await;
    let life = Life::begin(&store, 1).await;
    assert_eq!(vec![execution(1)], life.claim(10, 10).await);
    // An event alone lets nobody through.
    ok(store.inbox_put(&[message(2, "event")]).await);
    assert!(life.claim(11, 10).await.is_empty());
    tell(&store, 2, "a word", Control::Tell).await;
    assert!(life.claim(11, 10).await.is_empty());
    tell(&store, 2, "cancel", Control::End).await;
    let there = ok(store
        .gate_list(scope(1), ("order/concurrency", ""), 10)
        .await);
    assert!(there.iter().all(|one| one.execution != execution(2)));
    assert_eq!(vec![execution(2)], life.claim(12, 10).await);
    life.record(&[ended(2)]).await;
    assert!(
        life.claim(13, 10).await.is_empty(),
        "it had no place to give back"
    );
    life.record(&[ended(1)]).await;
    assert_eq!(vec![execution(3)], life.claim(14, 10).await);
    tell(&store, 4, "cancel", Control::End).await;
    assert_eq!(vec![execution(4)], life.claim(15, 10).await);
    life.record(&[ended(3), ended(4)]).await;
    start(&store, &[held(5, &[("order/concurrency", "")])]).await;
    assert_eq!(vec![execution(5)], life.claim(16, 10).await);
}

pub(super) async fn what_is_suspended_waits_at_no_gate(store: Arc<dyn Store>) {
    rules(&store, vec![at_most("order/concurrency", 1)]).await;
    let entries: Vec<_> = (1..=4)
        .map(|one| held(one, &[("order/concurrency", "")]))
        .collect();
    start(&store, &entries).await;
    tell(&store, 1, "stop", Control::Suspend).await;
    tell(&store, 3, "stop", Control::Suspend).await;
    let life = Life::begin(&store, 1).await;
    assert_eq!(
        vec![execution(2)],
        life.claim(10, 10).await,
        "it lets others pass"
    );
    assert_eq!(Status::Suspended, life.status(1).await);
    assert_eq!(None, ok(store.queue_place(scope(1), execution(1)).await));
    tell(&store, 1, "go on", Control::Resume).await;
    assert!(life.claim(11, 10).await.is_empty(), "there is no room");
    life.record(&[ended(2)]).await;
    assert_eq!(
        vec![execution(1)],
        life.claim(12, 10).await,
        "it is back in its place"
    );
    // One at work keeps its place, whoever suspends it.
    tell(&store, 1, "stop again", Control::Suspend).await;
    tell(&store, 3, "cancel", Control::End).await;
    assert_eq!(vec![execution(3)], life.claim(13, 10).await);
    life.record(&[ended(1), ended(3)]).await;
    assert_eq!(vec![execution(4)], life.claim(14, 10).await);
}

pub(super) async fn places_in_the_queue_are_known(store: Arc<dyn Store>) {
    rules(&store, vec![at_most("order/concurrency", 1)]).await;
    let mut entries: Vec<_> = (1..=3)
        .map(|one| held(one, &[("order/concurrency", "")]))
        .collect();
    entries.extend([queued(1, 11), queued(1, 12), queued(1, 13), queued(2, 21)]);
    if let Some(start) = &mut entries[5].start {
        start.priority = 1;
    }
    start(&store, &entries).await;
    let place = async |number| ok(store.queue_place(scope(1), execution(number)).await);
    for (number, ahead) in [(13, 0), (11, 1), (12, 2)] {
        let place = place(number).await.expect("it is queued");
        assert_eq!((None, ahead), (place.rule, place.ahead));
    }
    assert_eq!(Some(2), place(3).await.map(|place| place.ahead));
    assert_eq!(None, place(21).await, "another tenant's");
    let length = async |prefix, most| ok(store.queue_length(scope(1), prefix, most).await);
    assert_eq!((6, 4), (length(None, 100).await, length(None, 4).await));
    assert_eq!(
        (3, 0),
        (
            length(Some("order/"), 100).await,
            length(Some("other/"), 100).await
        )
    );
    let life = Life::begin(&store, 1).await;
    life.look(at(100), 100).await;
    assert_eq!(None, place(11).await, "it is at work");
    assert_eq!(2, length(None, 100).await);
}

pub(super) async fn a_survey_counts_what_waits(store: Arc<dyn Store>) {
    assert_eq!(Survey::default(), ok(store.queue_survey(10, 10).await));
    rules(&store, vec![at_most("order/concurrency", 0)]).await;
    let mut entries: Vec<_> = (1..=5).map(|number| queued(1, number)).collect();
    entries.extend((11..=12).map(|number| queued(2, number)));
    entries.extend((21..=24).map(|number| held(number, &[("order/concurrency", "")])));
    start(&store, &entries).await;
    let lane = |whose, ready, seconds| LaneLength {
        tenant: tenant(whose),
        ready,
        since: at(seconds),
    };
    let mut survey = ok(store.queue_survey(10, 10).await);
    survey.lanes.sort_by_key(|lane| lane.tenant);
    assert_eq!(
        (vec![lane(1, 5, 1), lane(2, 2, 11)], 4),
        (survey.lanes, survey.held)
    );
    // Up to the bounds, and nothing of what is at work.
    let survey = ok(store.queue_survey(1, 3).await);
    assert_eq!((1, 3), (survey.lanes.len(), survey.held));
    assert!(survey.lanes.iter().all(|lane| lane.ready <= 3));
    let life = Life::begin(&store, 1).await;
    assert_eq!(7, life.claim(1_000, 10).await.len());
    let survey = ok(store.queue_survey(10, 10).await);
    assert_eq!((Vec::new(), 4), (survey.lanes, survey.held));
}

pub(super) async fn settings_are_kept_by_revision(store: Arc<dyn Store>) {
    let workflow = ("suite", "order");
    let put = |expected, body: &str| FlowPut {
        workflow: Some((workflow.0.to_owned(), workflow.1.to_owned())),
        expected,
        weight: 1,
        body: body.into(),
        prefix: "order/".to_owned(),
        rules: vec![at_most("order/concurrency", 1)],
        at: at(7),
    };
    assert_eq!(None, ok(store.flow_fetch(scope(1), Some(workflow)).await));
    assert_eq!(None, ok(store.flow_put(scope(1), put(Some(3), "1")).await));
    assert_eq!(None, ok(store.flow_fetch(scope(1), Some(workflow)).await));
    assert_eq!(
        Some(1),
        ok(store.flow_put(scope(1), put(Some(0), "2")).await)
    );
    assert_eq!(None, ok(store.flow_put(scope(1), put(Some(0), "3")).await));
    assert_eq!(
        Some(2),
        ok(store.flow_put(scope(1), put(Some(1), "4")).await)
    );
    assert_eq!(Some(3), ok(store.flow_put(scope(1), put(None, "5")).await));
    let row = ok(store.flow_fetch(scope(1), Some(workflow)).await).expect("it is kept");
    assert_eq!((3, "5", at(7)), (row.revision, &*row.body, row.changed_at));
    assert_eq!(None, ok(store.flow_fetch(scope(1), None).await));
    assert_eq!(None, ok(store.flow_fetch(scope(2), Some(workflow)).await));
}

pub(super) async fn workers_at_once_pass_no_more_than_the_limit(store: Arc<dyn Store>) {
    rules(&store, vec![at_most("order/concurrency", 7)]).await;
    let entries: Vec<_> = (0..60)
        .map(|one| held(one, &[("order/concurrency", "")]))
        .collect();
    start(&store, &entries).await;
    let lives = join_all((0..8).map(|number| Life::begin(&store, number))).await;
    let mut done: BTreeSet<ExecutionId> = BTreeSet::new();
    for round in 0..40 {
        let claimed = join_all(lives.iter().map(|life| life.claim(1_000 + round, 5))).await;
        let at_work: usize = claimed.iter().map(Vec::len).sum();
        assert!(at_work <= 7, "{at_work} are at work");
        for (life, mine) in lives.iter().zip(claimed) {
            for id in mine {
                assert!(done.insert(id), "nothing begins twice");
                let number = id.as_uuid().as_u128() - 0xe8e0_0000;
                life.record(&[ended(number)]).await;
            }
        }
    }
    assert_eq!(60, done.len(), "nobody waits for ever");
}
