//! `asyncapi`: publishes a message, or consumes messages, as an `AsyncAPI` document
//! describes the channel.
//!
//! Where the standard leaves room:
//! - Documents of `AsyncAPI` 2 and 3 in JSON or YAML. Protocols are `http` (a message is
//!   a POST; messages come as server-sent events) and, with the feature `asyncapi-nats`,
//!   `nats`.
//! - Parameters in a channel's address come from the message where the document gives a
//!   `location`, or else from their default.
//! - A message is `{ payload, headers }`, with `correlationId` where its headers have
//!   one. Publishing gives null.
//! - `filter` sees one message; `while` and `until` see the list of those consumed so far
//!   and are asked after each. What they need of the workflow's data is as it was when
//!   the call began. `foreach` goes over the messages when all have come.
//! - `for` ends a subscription well; the host's own limit ends it with a time-out. What
//!   comes while nobody subscribes is lost unless the broker keeps it.

mod document;
mod http;
#[cfg(feature = "asyncapi-nats")]
mod nats;
mod subscription;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::document::{Description, Protocol, Target};
use self::subscription::{Consumption, Message};
use super::documents::{Documents, key};
use super::http::request::{endpoint, parse};
use super::http::{Http, template};
use super::{Function, Invocation};
use crate::interpreter::{Problem, ProblemKind};

/// What subscriptions may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AsyncApiOptions {
    /// The time for a whole subscription, whatever its `for` says.
    pub subscription_time_max: SignedDuration,
    /// How many messages one subscription consumes at most.
    pub messages_max: usize,
}

impl Default for AsyncApiOptions {
    fn default() -> Self {
        Self {
            subscription_time_max: SignedDuration::from_hours(1),
            messages_max: 10_000,
        }
    }
}

/// Publishes to channels and subscribes to them.
pub struct AsyncApi {
    http: Arc<Http>,
    options: AsyncApiOptions,
    documents: Documents<Description>,
}

impl AsyncApi {
    /// Makes the function; documents and servers are reached within the options of
    /// `http`.
    #[must_use]
    pub fn new(http: Arc<Http>, options: AsyncApiOptions) -> Self {
        Self {
            http,
            options,
            documents: Documents::default(),
        }
    }

    async fn document(
        &self,
        arguments: &Map<String, Value>,
        invocation: &Invocation,
    ) -> Result<Arc<Description>, Problem> {
        let Some(Value::Object(resource)) = arguments.get("document") else {
            return Err(wrong("an asyncapi call needs the object 'document'"));
        };
        let (uri, policy) = endpoint(resource)?;
        let url = parse(&template::expand(uri, &invocation.input)?)?;
        let key = key(invocation, &url, policy);
        let made = self.documents.get(key, || async {
            let accept = "application/json, application/yaml;q=0.9, */*;q=0.1";
            let (_, body) = self.http.fetch((url, policy), invocation, accept).await?;
            self.documents.parse(move || Description::read(&body)).await
        });
        made.await
    }

    async fn publish(&self, invocation: &Invocation, asked: &Asked<'_>) -> Result<Value, Problem> {
        let message = Message::read(asked.arguments.get("message"));
        let document = self.document(asked.arguments, invocation).await?;
        let target = asked.target(&document, Some(&message))?;
        match target.protocol {
            Protocol::Http => {
                http::publish(&self.http, &target, &message, (invocation, asked.policy)).await
            }
            Protocol::Nats => {
                self.nats_publish(&target, &message, (invocation, asked.policy))
                    .await
            }
        }?;
        Ok(Value::Null)
    }

    async fn subscribe(
        &self,
        invocation: &Invocation,
        asked: &Asked<'_>,
    ) -> Result<Value, Problem> {
        let subscription = asked.arguments.get("subscription").unwrap_or(&Value::Null);
        let mut consumption = Consumption::read(subscription, self.options.messages_max)?;
        let document = self.document(asked.arguments, invocation).await?;
        let target = asked.target(&document, None)?;
        let time_max = self.options.subscription_time_max.unsigned_abs();
        let time = consumption.time.map_or(time_max, |time| time.min(time_max));
        let by = (invocation, asked.policy);
        let consuming = async {
            match target.protocol {
                Protocol::Http => http::subscribe(&self.http, &target, by, &mut consumption).await,
                Protocol::Nats => self.nats_subscribe(&target, by, &mut consumption).await,
            }
        };
        let ended = tokio::time::timeout(time, consuming).await;
        match ended {
            Ok(done) => done?,
            // Its own time is over: that is an end like any other.
            Err(_) if consumption.time.is_some_and(|own| own <= time_max) => {}
            Err(_) => {
                let detail = format!("the subscription took longer than {time_max:?}");
                return Err(Problem::new(ProblemKind::Timeout, detail));
            }
        }
        Ok(consumption.into_messages())
    }

    #[cfg(feature = "asyncapi-nats")]
    async fn nats_publish(
        &self,
        target: &Target,
        message: &Message,
        by: (&Invocation, Option<&Value>),
    ) -> Result<(), Problem> {
        nats::publish(&self.http, target, message, by).await
    }

    #[cfg(feature = "asyncapi-nats")]
    async fn nats_subscribe(
        &self,
        target: &Target,
        by: (&Invocation, Option<&Value>),
        consumption: &mut Consumption,
    ) -> Result<(), Problem> {
        nats::subscribe(&self.http, target, by.1, consumption).await
    }

    #[cfg(not(feature = "asyncapi-nats"))]
    #[expect(
        clippy::unused_async,
        reason = "with the feature it speaks to a server"
    )]
    async fn nats_publish(
        &self,
        _: &Target,
        _: &Message,
        _: (&Invocation, Option<&Value>),
    ) -> Result<(), Problem> {
        Err(without_nats())
    }

    #[cfg(not(feature = "asyncapi-nats"))]
    #[expect(
        clippy::unused_async,
        reason = "with the feature it speaks to a server"
    )]
    async fn nats_subscribe(
        &self,
        _: &Target,
        _: (&Invocation, Option<&Value>),
        _: &mut Consumption,
    ) -> Result<(), Problem> {
        Err(without_nats())
    }
}

#[cfg(not(feature = "asyncapi-nats"))]
fn without_nats() -> Problem {
    wrong("this engine was built without the protocol nats (feature asyncapi-nats)")
        .with_status(501)
}

/// What the definition asks for.
struct Asked<'a> {
    arguments: &'a Map<String, Value>,
    policy: Option<&'a Value>,
}

impl Asked<'_> {
    fn target(&self, document: &Description, message: Option<&Message>) -> Result<Target, Problem> {
        document.target(self.arguments, message)
    }
}

impl fmt::Debug for AsyncApi {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AsyncApi")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Function for AsyncApi {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let Value::Object(arguments) = &invocation.arguments else {
            return Err(wrong("the arguments of an asyncapi call must be an object"));
        };
        let policy = arguments
            .get("authentication")
            .filter(|policy| !policy.is_null());
        let subscribes = arguments
            .get("subscription")
            .is_some_and(|one| !one.is_null());
        let asked = Asked { arguments, policy };
        if subscribes {
            return self.subscribe(&invocation, &asked).await;
        }
        self.http.in_time(self.publish(&invocation, &asked)).await
    }
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, detail)
}
