//! Schedules with a clock that the test moves, on every store.

mod control;
mod limits;
mod overlap;
mod times;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::clock::{Clock, ManualClock, SystemClock};
use auterity_core::engine::{Options, Ports};
use auterity_core::schedule::{Policy, Spec, Timing};
use auterity_core::store::{
    ExecutionQuery, ExecutionRow, MemoryStore, ScheduleRow, SeaStore, Store, TickRow, TickState,
};
use auterity_core::{ScheduleId, Scope};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::fixture::{Fixture, PATIENCE, options};
use crate::store;

const ECHO: &str = "do: [{ say: { call: echo, with: { got: '${ . }' } } }]\n";
/// Ends when the event `go` comes.
const WAITS: &str = "do: [{ hear: { listen: { to: { one: { with: { type: go } } } } } }]\n";

/// Makes a test of each case on each store.
macro_rules! cases {
    ($($module:ident::$case:ident,)+) => { $(
        mod $case {
            use super::{Place, $module};

            #[tokio::test]
            async fn memory() {
                $module::$case(&Place::memory()).await;
            }

            #[tokio::test]
            async fn sqlite() {
                $module::$case(&Place::sqlite()).await;
            }

            #[tokio::test]
            async fn postgres() {
                let Some(place) = Place::postgres(stringify!($case)) else {
                    return;
                };
                $module::$case(&place).await;
                place.drop_schema().await;
            }
        }
    )+ };
}

cases! {
    times::cron_starts_executions_at_its_times_with_an_input_of_the_tick,
    times::ticks_missed_in_three_days_are_made_up_for_after_a_restart,
    times::two_workers_never_make_a_tick_twice,
    times::a_crash_between_tick_and_start_loses_and_repeats_nothing,
    overlap::overlap_policies_with_an_execution_that_goes_on,
    overlap::after_counts_from_the_end,
    overlap::events_start_executions_once_and_those_that_belong_together,
    overlap::a_schedule_that_keeps_failing_pauses,
    control::pause_resume_trigger_and_edit_while_due,
    control::a_range_of_the_past_is_made_up_for_under_its_own_policy,
    control::definitions_bring_their_schedules,
    control::an_idempotency_key_finds_what_the_first_call_made,
    limits::a_tenant_has_so_many_schedules_and_no_more,
    limits::a_crowd_on_one_second_leaves_room_for_others,
}

/// Where a case keeps its schedules.
enum Place {
    Memory(Arc<MemoryStore>),
    Database(store::Place),
}

impl Place {
    fn memory() -> Self {
        Self::Memory(Arc::new(MemoryStore::new()))
    }

    fn sqlite() -> Self {
        Self::Database(store::Place::sqlite())
    }

    fn postgres(test: &str) -> Option<Self> {
        store::Place::postgres(test).map(Self::Database)
    }

    /// Opens it as another process would.
    async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Database(place) => place.open().await as Arc<SeaStore>,
        }
    }

    async fn drop_schema(&self) {
        if let Self::Database(place) = self {
            place.drop_schema().await;
        }
    }
}

fn start() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().expect("a time")
}

/// An engine with a clock of its own.
struct World {
    fixture: Fixture,
    clock: Arc<ManualClock>,
}

impl World {
    async fn new(place: &Place) -> Self {
        Self::on(place, start(), options()).await
    }

    async fn on(place: &Place, now: Timestamp, options: Options) -> Self {
        let clock = Arc::new(ManualClock::new(now));
        let ports = Ports {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..Ports::new(place.open().await)
        };
        let fixture = Fixture::with(ports, options).await;
        Self { fixture, clock }
    }

    /// Acts for another tenant from now on, which has nothing yet.
    fn of_tenant(mut self, scope: Scope) -> Self {
        self.fixture.scope = scope;
        self
    }

    /// Stops the engine; the clock goes on meanwhile.
    async fn stop(self) {
        let mut stopped = pin!(self.fixture.engine.stop(PATIENCE));
        loop {
            tokio::select! {
                stopped = &mut stopped => return stopped.expect("it stops"),
                () = tokio::time::sleep(Duration::from_millis(2)) => {
                    self.clock.advance(SignedDuration::from_millis(20));
                }
            }
        }
    }

    async fn make(&self, timing: Timing, policy: Policy) -> ScheduleRow {
        let spec = spec(timing, policy);
        let handle = &self.fixture.handle;
        let made = handle.schedule_create(&self.fixture.scope, "nightly", spec, None);
        made.await.expect("it is made").row
    }

    /// Gives the ticks, the oldest first.
    async fn ticks(&self, id: ScheduleId) -> Vec<TickRow> {
        let handle = &self.fixture.handle;
        let listed = handle
            .schedule_ticks(&self.fixture.scope, id, None, 200)
            .await;
        let mut ticks = listed.expect("it lists").items;
        ticks.reverse();
        ticks
    }

    /// Moves the time on in small steps until the ticks are as wanted.
    async fn until(&self, id: ScheduleId, wanted: impl Fn(&[TickRow]) -> bool) -> Vec<TickRow> {
        let deadline = SystemClock.now() + PATIENCE;
        loop {
            let ticks = self.ticks(id).await;
            if wanted(&ticks) {
                return ticks;
            }
            assert!(SystemClock.now() < deadline, "never came: {ticks:#?}");
            self.step().await;
        }
    }

    /// Moves the time on a little.
    async fn step(&self) {
        self.clock.advance(SignedDuration::from_millis(20));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    async fn executions(&self) -> Vec<ExecutionRow> {
        let query = ExecutionQuery {
            limit: 1_000,
            ..ExecutionQuery::default()
        };
        let listed = self
            .fixture
            .handle
            .executions(&self.fixture.scope, &query)
            .await;
        listed.expect("it lists").items
    }

    async fn publish(&self, kind: &str, id: &str, data: Value) {
        let event = json!({
            "specversion": "1.0", "source": "test", "id": id, "type": kind, "data": data,
        });
        let sent = self
            .fixture
            .handle
            .publish(&self.fixture.scope, &event)
            .await;
        sent.expect("it is sent");
    }
}

fn spec(timing: Timing, policy: Policy) -> Spec {
    Spec {
        namespace: "test".to_owned(),
        workflow: "subject".to_owned(),
        version: None,
        input: None,
        priority: 0,
        timing,
        policy,
    }
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn hourly() -> Timing {
    Timing::Every(hours(1))
}

fn states(ticks: &[TickRow]) -> Vec<TickState> {
    ticks.iter().map(|tick| tick.state).collect()
}

fn all(ticks: &[TickRow], count: usize, state: TickState) -> bool {
    ticks.len() == count && ticks.iter().all(|tick| tick.state == state)
}
