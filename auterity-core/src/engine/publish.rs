//! Brings a `CloudEvent` to the executions and schedules that listen for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::life::Core;
use super::progress::to_json;
use super::stretch::Stretch;
use crate::expression::{Budget, Expression, Variables};
use crate::interpreter::{Filter, fits};
use crate::store::{
    Correlated, Correlation, InboxMessage, MessageKind, ScheduleEvent, Subscription,
};
use crate::{Error, ErrorKind, InboxId, ScheduleId, Scope};

/// What every `CloudEvent` must have, as non-empty text.
const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];

/// Whom an event goes to.
pub(super) struct Addressed {
    /// What executions that listen are to get.
    pub(super) messages: Vec<InboxMessage>,
    /// The schedules that have got it.
    schedules: usize,
}

impl Core {
    /// Puts the event before each execution and schedule whose subscription it passes.
    /// Gives their number.
    pub(super) async fn publish(&self, scope: &Scope, event: &Value) -> Result<u32, Error> {
        let Addressed {
            messages,
            schedules,
        } = self.address(scope, event).await?;
        if !messages.is_empty() {
            self.ports.store.inbox_put(&messages).await?;
            self.announce(&messages).await;
        }
        Ok(u32::try_from(messages.len() + schedules).unwrap_or(u32::MAX))
    }

    /// Puts the event before each schedule whose subscription it passes, and addresses it
    /// to each such execution.
    pub(super) async fn address(&self, scope: &Scope, event: &Value) -> Result<Addressed, Error> {
        self.check_event(event)?;
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let now = self.now();
        let identity = format!("{}\n{}", text("source"), text("id"));
        let payload = to_json(event)?;
        let mut sieve = Sieve::new(event, &self.options.expression, now);
        let candidates = self.candidates(scope, text("type"), &mut sieve).await?;
        let mut stretch = Stretch::begin();
        let (mut messages, mut addressed) = (Vec::new(), HashSet::new());
        let (mut scheduled, mut seen) = (Vec::new(), HashSet::new());
        for subscription in &candidates {
            stretch.rest().await;
            if !sieve.passes(subscription) {
                continue;
            }
            if subscription.effect == Subscription::OF_SCHEDULE {
                let schedule = ScheduleId::from_uuid(subscription.execution.as_uuid());
                if seen.insert(schedule) {
                    scheduled.push(ScheduleEvent {
                        schedule,
                        id: schedule.event(&identity),
                        payload: Arc::clone(&payload),
                        at: now,
                    });
                }
                continue;
            }
            let what = format!("event {} {identity}", subscription.effect);
            let id = InboxId::derived(subscription.execution, &what);
            if addressed.insert(id) {
                messages.push(InboxMessage {
                    id,
                    tenant: scope.tenant(),
                    execution: subscription.execution,
                    kind: MessageKind::CloudEvent,
                    effect: Some(subscription.effect),
                    payload: Arc::clone(&payload),
                    at: now,
                });
            }
        }
        if !scheduled.is_empty() {
            self.ports.store.schedule_event_put(&scheduled).await?;
            self.announce_schedules().await;
        }
        Ok(Addressed {
            messages,
            schedules: scheduled.len(),
        })
    }

    /// Finds the subscriptions that may want the event: of those with correlations only
    /// those that expect what is found in it.
    async fn candidates(
        &self,
        scope: &Scope,
        event_type: &str,
        sieve: &mut Sieve<'_>,
    ) -> Result<Vec<Subscription>, Error> {
        let (store, tenant) = (&self.ports.store, scope.tenant());
        let mut candidates = store.subscription_match(tenant, event_type).await?;
        let mut kinds = HashSet::new();
        let of_each_kind = candidates
            .iter()
            .filter(|one| one.correlation.is_some_and(|key| kinds.insert(key.by)));
        let wanted: Vec<Correlated> = of_each_kind.filter_map(|one| sieve.wanted(one)).collect();
        if !wanted.is_empty() {
            let found = store.subscription_correlated(tenant, event_type, &wanted);
            candidates.extend(found.await?);
        }
        Ok(candidates)
    }

    /// Tells whoever looks at schedules that some became due.
    async fn announce_schedules(&self) {
        self.bell.ring();
        if self.life().is_none()
            && let Err(error) = self.ports.store.wake_send().await
        {
            tracing::debug!(error = %error, "other processes were not woken");
        }
    }

    fn check_event(&self, event: &Value) -> Result<(), Error> {
        for name in REQUIRED {
            let text = event.get(name).and_then(Value::as_str).unwrap_or_default();
            // The standard bars control characters, and databases the null character.
            if text.is_empty() || text.contains(char::is_control) {
                let message = format!(
                    "a CloudEvent needs the attribute {name} as non-empty text without control characters"
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        let most = self.options.execution.payload_bytes_max;
        if !fits(event, most) {
            let message = format!("the event is larger than {most} bytes of JSON");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(())
    }
}

/// Holds an event against subscriptions.
struct Sieve<'e> {
    event: &'e Value,
    budget: &'e Budget,
    now: Timestamp,
    /// What the expressions of correlations give for the event.
    correlated: HashMap<String, Given>,
}

/// What an expression gives for an event.
enum Given {
    Value(Value),
    /// It fails: the event is for nobody who asks this of it.
    Nothing,
    /// Only the execution knows what the expression asks for.
    Unknown,
}

impl<'e> Sieve<'e> {
    fn new(event: &'e Value, budget: &'e Budget, now: Timestamp) -> Self {
        Self {
            event,
            budget,
            now,
            correlated: HashMap::new(),
        }
    }

    /// Decides as far as it can be decided without the execution: what depends on
    /// earlier events is left to the execution itself.
    fn passes(&mut self, subscription: &Subscription) -> bool {
        let Ok(filter) = serde_json::from_str::<Filter>(&subscription.condition) else {
            return true;
        };
        let event = self.event;
        let mut with = filter.with.iter();
        with.all(|(name, wanted)| event.get(name) == Some(wanted))
            && filter
                .correlate
                .iter()
                .all(|correlation| match self.given(&correlation.from) {
                    Given::Value(value) => *value == correlation.expect,
                    Given::Nothing => false,
                    Given::Unknown => true,
                })
    }

    /// Gives which subscriptions with correlations like this one's the event is for; for
    /// one without any, nothing.
    fn wanted(&mut self, subscription: &Subscription) -> Option<Correlated> {
        let by = subscription.correlation?.by;
        let filter = serde_json::from_str::<Filter>(&subscription.condition).ok()?;
        for correlation in &filter.correlate {
            match self.given(&correlation.from) {
                Given::Value(_) => {}
                Given::Nothing => return None,
                Given::Unknown => return Some(Correlated { by, to: None }),
            }
        }
        let values = filter.correlate.iter().filter_map(|correlation| {
            let given = self.correlated.get(&correlation.from);
            given.and_then(|given| match given {
                Given::Value(value) => Some(value),
                Given::Nothing | Given::Unknown => None,
            })
        });
        let met = Correlation::met(&filter, &values.collect::<Vec<_>>())?;
        Some(Correlated {
            by,
            to: Some(met.to),
        })
    }

    /// Many executions of a workflow wait with the same expression: it is evaluated once.
    fn given(&mut self, from: &str) -> &Given {
        if !self.correlated.contains_key(from) {
            let variables = Variables::new(self.now);
            let given = match Expression::compile(from, &[]) {
                Err(_) => Given::Unknown,
                Ok(expression) => match expression.evaluate(self.event, &variables, self.budget) {
                    Ok(value) => Given::Value(value),
                    Err(_) => Given::Nothing,
                },
            };
            self.correlated.insert(from.to_owned(), given);
        }
        self.correlated.get(from).unwrap_or(&Given::Unknown)
    }
}
