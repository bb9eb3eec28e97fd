//! The meaning of the [`Store`] port, case by case.
//!
//! A store of your own passes if every case in [`CASES`] returns, each with an empty,
//! migrated store. A case that finds a fault panics with what it expected.

mod amend;
mod bulk;
mod definitions;
mod faults;
mod flow;
mod human_tasks;
mod inbox;
mod journal;
mod reads;
mod retention;
mod schedules;
mod task_progress;
mod transactions;
mod workers;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::definition::{ProgramHash, WorkflowRef};
use crate::store::{
    Beat, Claim, ClaimRequest, Ended, Entry, EventRow, Fence, InboxMessage, MessageKind, Next,
    Outcome, Start, Status, Store, Subscription,
};
use crate::{Actor, Error, ExecutionId, InboxId, Scope, TenantId, WorkerId};

/// One case of the suite.
pub type Case = fn(Arc<dyn Store>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! cases {
    ($($module:ident::$case:ident,)+) => {
        /// Every case with its name.
        pub const CASES: &[(&str, Case)] = &[
            $((stringify!($case), |store| Box::pin($module::$case(store))),)+
        ];
    };
}

cases! {
    definitions::versions_are_kept_and_conflicts_found,
    definitions::highest_version_is_by_precedence,
    definitions::list_pages_and_searches,
    definitions::deleted_definitions_stay_for_pinned_executions,
    workers::restart_under_the_same_name_fences_the_earlier_life,
    workers::expired_lease_is_taken_over,
    workers::release_frees_at_once,
    workers::claims_are_listed_while_they_are_held,
    workers::claims_follow_priority_then_due_time,
    workers::timers_become_due,
    workers::fifty_claimers_never_claim_twice,
    workers::concurrent_registrations_leave_one_life,
    flow::tenants_take_turns,
    flow::weights_share_out_the_turns,
    flow::coming_back_again_and_again_gains_nothing,
    flow::priority_counts_within_a_tenant_only,
    flow::concurrency_is_never_exceeded,
    flow::places_outlast_the_worker,
    flow::changed_rules_count_at_once,
    flow::gates_are_passed_in_order,
    flow::a_pace_spreads_what_waits,
    flow::leave_is_given_at_a_pace,
    flow::nothing_passes_before_its_time,
    flow::what_is_held_can_still_be_ended,
    flow::what_is_suspended_waits_at_no_gate,
    flow::places_in_the_queue_are_known,
    flow::a_survey_counts_what_waits,
    flow::settings_are_kept_by_revision,
    flow::workers_at_once_pass_no_more_than_the_limit,
    journal::an_execution_lives_and_ends,
    journal::repeated_entry_at_each_position_has_no_effect,
    journal::bad_entry_at_each_position_is_refused_alone,
    journal::idempotency_key_finds_the_first_start,
    journal::fifty_starts_with_one_key_give_one_execution,
    journal::only_the_owner_appends,
    journal::fence_refuses_the_whole_batch,
    journal::odd_texts_come_back_unchanged,
    journal::large_texts_come_back_unchanged,
    journal::snapshot_and_tail_are_loaded,
    inbox::messages_wake_and_are_recognised_again,
    inbox::messages_to_ended_or_foreign_executions_are_dropped,
    inbox::message_before_parking_makes_due_at_once,
    inbox::parking_and_messages_at_once_lose_nothing,
    inbox::messages_ride_with_an_entry,
    inbox::control_wakes_and_marks_as_suspended,
    amend::ended_and_parked_executions_are_amended_if_unmoved,
    amend::what_had_ended_queues_with_its_priority_and_gates,
    amend::label_shows_another_version,
    bulk::operations_are_kept_with_their_executions,
    bulk::one_worker_works_an_operation_off,
    bulk::stopped_operations_are_worked_off_no_more,
    bulk::old_operations_are_forgotten,
    faults::abnormal_ends_are_listed,
    faults::faults_are_grouped_by_signature,
    faults::what_goes_on_is_no_fault_any_more,
    human_tasks::human_tasks_come_and_go_with_their_entry,
    human_tasks::human_tasks_are_held_escalated_and_withdrawn,
    human_tasks::of_many_answers_one_wins,
    human_tasks::human_tasks_are_listed_and_counted,
    human_tasks::amended_executions_ask_anew,
    human_tasks::human_tasks_go_with_their_execution,
    inbox::subscriptions_match_until_they_end,
    inbox::correlated_subscriptions_are_found_by_their_key,
    retention::ended_executions_are_removed_with_all_that_is_theirs,
    retention::workflows_are_listed_with_their_ages,
    reads::list_pages_newest_first,
    reads::list_combines_filters,
    reads::list_filters_by_status,
    reads::recent_executions_per_workflow,
    reads::journal_pages,
    reads::another_tenant_sees_nothing,
    schedules::schedules_are_kept_changed_and_deleted,
    schedules::a_tenant_has_so_many_schedules_and_no_more,
    schedules::due_schedules_are_claimed_once,
    schedules::a_decision_counts_for_the_last_claim_only,
    schedules::a_tick_happens_once,
    schedules::ends_of_executions_are_noted,
    schedules::what_happens_during_a_decision_is_not_lost,
    schedules::schedules_subscribe_like_executions,
    schedules::schedules_are_listed_in_pages,
    schedules::old_ticks_are_forgotten,
    task_progress::what_functions_say_is_kept_until_it_is_over,
    transactions::writes_commit_with_their_entry_or_not_at_all,
    transactions::values_are_kept_compared_and_listed,
}

fn ok<T>(result: Result<T, Error>) -> T {
    result.expect("the store answers")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + seconds).expect("a time in range")
}

fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(0x7e0a_0000 + number))
}

fn scope(number: usize) -> &'static Scope {
    static SCOPES: LazyLock<[Scope; 4]> =
        LazyLock::new(|| [0, 1, 2, 3].map(|number| Scope::new(tenant(number), Actor::Host)));
    &SCOPES[number]
}

fn execution(number: u128) -> ExecutionId {
    ExecutionId::from_uuid(Uuid::from_u128(0xe8e0_0000 + number))
}

fn worker(number: u128) -> WorkerId {
    WorkerId::from_uuid(Uuid::from_u128(0x3000 + number))
}

fn workflow(name: &str) -> WorkflowRef {
    WorkflowRef {
        namespace: "suite".to_owned(),
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
    }
}

fn event(sequence: u64) -> EventRow {
    EventRow {
        sequence,
        at: at(i64::try_from(sequence).unwrap_or(0)),
        kind: "effect.completed",
        payload: format!("{{\"sequence\":{sequence}}}").into(),
        records: "[]".into(),
    }
}

/// An entry of the first tenant that appends one event.
fn entry(number: u128, sequence: u64, next: Next) -> Entry {
    Entry {
        tenant: tenant(1),
        execution: execution(number),
        start: None,
        events: vec![event(sequence)],
        snapshot: None,
        subscribe: Vec::new(),
        unsubscribe: Vec::new(),
        human_tasks: Vec::new(),
        consumed: Vec::new(),
        messages: Vec::new(),
        next,
    }
}

fn started(number: u128, next: Next) -> Entry {
    let mut entry = entry(number, 1, next);
    entry.start = Some(Box::new(Start {
        workflow: workflow("order"),
        program: ProgramHash::of("order"),
        input: "{\"a\":1}".into(),
        parent: None,
        idempotency_key: None,
        attributes: BTreeMap::new(),
        priority: 0,
        gates: Vec::new(),
        at: at(i64::try_from(number).unwrap_or(0)),
    }));
    entry
}

fn parked(due: Option<Timestamp>) -> Next {
    Next::Parked {
        due,
        waiting_for: Some("a letter".to_owned()),
    }
}

fn completed() -> Next {
    Next::Ended(Ended {
        status: Status::Completed,
        output: Some("{\"ok\":true}".into()),
        error: None,
        fault: None,
        at: at(9_000),
    })
}

fn message(number: u128, id: &str) -> InboxMessage {
    InboxMessage {
        id: InboxId::derived(execution(number), id),
        tenant: tenant(1),
        execution: execution(number),
        kind: MessageKind::CloudEvent,
        effect: Some(3),
        payload: format!("\"{id}\"").into(),
        at: at(100),
    }
}

fn subscription(number: u128, effect: u64, event_type: Option<&str>) -> Subscription {
    Subscription {
        tenant: tenant(1),
        execution: execution(number),
        effect,
        filter: 0,
        event_type: event_type.map(str::to_owned),
        condition: "{\"with\":{}}".into(),
        correlation: None,
    }
}

/// A store and a worker's life in it.
#[derive(Clone)]
struct Life {
    store: Arc<dyn Store>,
    fence: Fence,
}

impl Life {
    async fn begin(store: &Arc<dyn Store>, number: u128) -> Self {
        Self::with_lease(store, number, SignedDuration::from_hours(1)).await
    }

    async fn with_lease(store: &Arc<dyn Store>, number: u128, lease: SignedDuration) -> Self {
        let name = format!("worker-{number}");
        let registered = store.worker_register(&name, worker(number), at(0), lease);
        let fence = ok(registered.await);
        Self {
            store: Arc::clone(store),
            fence,
        }
    }

    async fn append(&self, entries: &[Entry]) -> Vec<Outcome> {
        ok(self.store.journal_append(Some(&self.fence), entries).await)
    }

    /// Appends entries that must all be recorded.
    async fn record(&self, entries: &[Entry]) {
        let outcomes = self.append(entries).await;
        let all = outcomes.iter().all(|one| *one == Outcome::Recorded);
        assert!(all, "every entry is recorded: {outcomes:?}");
    }

    async fn beat(&self, now: Timestamp, limit: u32) -> Result<Vec<Claim>, Error> {
        let request = ClaimRequest {
            now,
            lease: SignedDuration::from_hours(1),
            limit,
        };
        let beat = self.store.worker_beat(&self.fence, request).await?;
        Ok(beat.claims)
    }

    async fn look(&self, now: Timestamp, limit: u32) -> Beat {
        let request = ClaimRequest {
            now,
            lease: SignedDuration::from_hours(1),
            limit,
        };
        ok(self.store.worker_beat(&self.fence, request).await)
    }

    async fn claim(&self, seconds: i64, limit: u32) -> Vec<ExecutionId> {
        let claims = ok(self.beat(at(seconds), limit).await);
        claims.into_iter().map(|claim| claim.execution).collect()
    }

    async fn status(&self, number: u128) -> Status {
        let fetched = self.store.execution_fetch(scope(1), execution(number));
        let row = ok(fetched.await).expect("the execution is there");
        row.status
    }

    async fn journal_length(&self, number: u128) -> usize {
        let listed = self
            .store
            .journal_list(scope(1), execution(number), 0, 1000);
        ok(listed.await).len()
    }

    async fn inbox_length(&self, number: u128) -> usize {
        ok(self.store.inbox_fetch(&[execution(number)]).await).len()
    }
}
