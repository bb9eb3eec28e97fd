//! Brings a `CloudEvent` to the executions and schedules that listen for it.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::life::Core;
use super::progress::to_json;
use crate::expression::{Expression, Variables};
use crate::interpreter::{Filter, fits};
use crate::store::{InboxMessage, MessageKind, ScheduleEvent, Subscription};
use crate::{Error, ErrorKind, InboxId, ScheduleId, Scope};

/// What every `CloudEvent` must have, as non-empty text.
const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];

impl Core {
    /// Puts the event before each execution and schedule whose subscription it passes.
    /// Gives their number.
    pub(super) async fn publish(&self, scope: &Scope, event: &Value) -> Result<u32, Error> {
        self.check_event(event)?;
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let candidates = self
            .ports
            .store
            .subscription_match(scope.tenant(), text("type"))
            .await?;
        let now = self.now();
        let identity = format!("{}\n{}", text("source"), text("id"));
        let payload = to_json(event)?;
        let mut messages: Vec<InboxMessage> = Vec::new();
        let mut scheduled: Vec<ScheduleEvent> = Vec::new();
        for subscription in &candidates {
            if !self.passes(subscription, event, now) {
                continue;
            }
            if subscription.effect == Subscription::OF_SCHEDULE {
                let schedule = ScheduleId::from_uuid(subscription.execution.as_uuid());
                scheduled.push(ScheduleEvent {
                    schedule,
                    id: schedule.event(&identity),
                    payload: Arc::clone(&payload),
                    at: now,
                });
                continue;
            }
            let what = format!("event {} {identity}", subscription.effect);
            let id = InboxId::derived(subscription.execution, &what);
            if messages.iter().any(|message| message.id == id) {
                continue;
            }
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
        if !messages.is_empty() {
            self.ports.store.inbox_put(&messages).await?;
            self.announce(&messages).await;
        }
        let mut seen = HashSet::new();
        scheduled.retain(|event| seen.insert(event.schedule));
        if !scheduled.is_empty() {
            self.ports.store.schedule_event_put(&scheduled).await?;
            self.announce_schedules().await;
        }
        let reached = messages.len() + scheduled.len();
        Ok(u32::try_from(reached).unwrap_or(u32::MAX))
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

    /// Decides as far as it can be decided without the execution: what depends on
    /// earlier events is left to the execution itself.
    fn passes(&self, subscription: &Subscription, event: &Value, now: Timestamp) -> bool {
        let Ok(filter) = serde_json::from_str::<Filter>(&subscription.condition) else {
            return true;
        };
        let equal = filter
            .with
            .iter()
            .all(|(name, wanted)| event.get(name) == Some(wanted));
        equal
            && filter.correlate.iter().all(|correlation| {
                let variables = Variables::new(now);
                Expression::compile(&correlation.from, &[])
                    .ok()
                    .and_then(|from| {
                        from.evaluate(event, &variables, &self.options.expression)
                            .ok()
                    })
                    .is_none_or(|value| value == correlation.expect)
            })
    }
}
