//! `--demo`: sample workflows in every new tenant, executed at a gentle rate, so that
//! every screen has life.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auterity_core::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use auterity_core::engine::{Handle, StartRequest};
use auterity_core::schedule::{Overlap, Policy, Spec, Timing};
use auterity_core::{Actor, Routines, Scope, TenantId};
use auterity_tenancy::{ErrorKind, Identity, Secret, SignUp};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::data_folder::write_whole;
use crate::failure::Failure;

/// Between two starts in one tenant.
const EVERY: Duration = Duration::from_secs(5);
/// Between a question and its answer, where a sample waits for one.
const ANSWER_AFTER: Duration = Duration::from_secs(3);
/// The newest tenants that are kept alive; older ones come to rest.
const TENANTS_MAX: usize = 3;

const EMAIL: &str = "demo@example.com";
const SLUG: &str = "demo-company";

/// A definition with an input that suits it.
struct Sample {
    namespace: &'static str,
    name: &'static str,
    text: &'static str,
    input: &'static str,
    /// The sample whose execution gives the answer that this one waits for.
    answered_by: Option<&'static str>,
    /// Whether it is only started as an answer or as a child.
    on_demand: bool,
}

macro_rules! sample {
    ($namespace:literal, $name:literal, $answered_by:expr, $on_demand:expr) => {
        Sample {
            namespace: $namespace,
            name: $name,
            text: include_str!(concat!("../../workflows/", $name, ".yaml")),
            input: include_str!(concat!("../../workflows/", $name, ".input.json")),
            answered_by: $answered_by,
            on_demand: $on_demand,
        }
    };
}

const SAMPLES: &[Sample] = &[
    sample!(
        "finance",
        "invoice-approval",
        Some("finance/invoice-decision"),
        false
    ),
    sample!("finance", "invoice-decision", None, true),
    sample!("operations", "order-fulfilment", None, false),
    sample!("sales", "lead-follow-up", None, false),
    sample!("support", "document-triage", None, false),
    sample!("people", "equipment-request", None, true),
    sample!("people", "employee-onboarding", None, false),
    sample!("people", "travel-request", None, false),
    sample!("support", "incident-response", None, false),
    sample!("operations", "nightly-import", None, false),
    sample!("finance", "subscription-renewal", None, false),
    sample!("operations", "webhook-sender", None, true),
    sample!(
        "operations",
        "webhook-intake",
        Some("operations/webhook-sender"),
        false
    ),
];

/// Keeps the newest tenants alive.
#[derive(Debug, Clone)]
pub(crate) struct Demo {
    handle: Handle,
    routines: Routines,
    /// Where the tenants are noted over restarts.
    note: PathBuf,
    tenants: Arc<Mutex<VecDeque<TenantId>>>,
}

impl Demo {
    pub(crate) fn new(handle: Handle, routines: Routines, note: PathBuf) -> Self {
        let text = std::fs::read_to_string(&note).unwrap_or_default();
        let tenants = text.lines().filter_map(|line| line.parse().ok()).collect();
        Self {
            handle,
            routines,
            note,
            tenants: Arc::new(Mutex::new(tenants)),
        }
    }

    /// Makes the demo tenant unless it is there, and begins to execute samples.
    pub(crate) async fn start(&self, identity: &Identity) -> Result<(), Failure> {
        self.make_tenant(identity).await?;
        for scope in self.scopes() {
            self.deploy(&scope).await;
        }
        let stop = self.routines.stopping().clone();
        drop(self.routines.spawn("demo", self.clone().execute(stop)));
        Ok(())
    }

    /// What is to be done with each tenant that signs up.
    pub(crate) fn on_sign_up(&self) -> Arc<dyn Fn(Scope) + Send + Sync> {
        let demo = self.clone();
        Arc::new(move |scope| {
            let own = demo.clone();
            drop(demo.routines.spawn("demo tenant", async move {
                own.deploy(&scope).await;
                own.add(scope.tenant());
            }));
        })
    }

    #[expect(
        clippy::print_stderr,
        reason = "the password is shown once, to whoever started this"
    )]
    async fn make_tenant(&self, identity: &Identity) -> Result<(), Failure> {
        let password = random_password();
        let sign_up = SignUp {
            email: EMAIL.to_owned(),
            password: Secret::from(password.as_str()),
            tenant_name: "Demo company".to_owned(),
            tenant_slug: SLUG.to_owned(),
        };
        match identity.sign_up(sign_up, None).await {
            Ok(signed_in) => {
                self.add(signed_in.tenant.id);
                eprintln!("\n  Demo account: {EMAIL}\n  Password:     {password}\n  (shown once)");
                Ok(())
            }
            // It was made at an earlier start; its password was shown then.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn add(&self, tenant: TenantId) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|known| *known != tenant);
        tenants.push_back(tenant);
        while TENANTS_MAX < tenants.len() {
            tenants.pop_front();
        }
        let lines: Vec<String> = tenants.iter().map(ToString::to_string).collect();
        if let Err(error) = write_whole(&self.note, &lines.join("\n")) {
            tracing::warn!(error = %error, "the demo's tenants were not noted");
        }
    }

    fn scopes(&self) -> Vec<Scope> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants
            .iter()
            .map(|tenant| Scope::new(*tenant, Actor::Host))
            .collect()
    }

    async fn deploy(&self, scope: &Scope) {
        for sample in SAMPLES {
            if let Err(error) = self.handle.deploy(scope, sample.text).await {
                tracing::warn!(error = %error, "a sample was not deployed");
            }
        }
        self.schedule(scope).await;
    }

    /// Makes a schedule that shows what it does within minutes; the samples' own come
    /// at night.
    async fn schedule(&self, scope: &Scope) {
        let input = include_str!("../../workflows/lead-follow-up.input.json");
        let spec = Spec {
            namespace: "sales".to_owned(),
            workflow: "lead-follow-up".to_owned(),
            version: None,
            input: serde_json::from_str(input).ok(),
            priority: 0,
            timing: Timing::Cron {
                expression: "* * * * *".to_owned(),
                time_zone: "UTC".to_owned(),
            },
            policy: Policy {
                overlap: Overlap::Skip,
                ..Policy::default()
            },
        };
        let made =
            self.handle
                .schedule_create(scope, "Leads of the last minute", spec, Some("demo"));
        if let Err(error) = made.await {
            tracing::warn!(error = %error, "a sample schedule was not made");
        }
    }

    async fn execute(self, stop: CancellationToken) {
        let clock = SystemClock;
        let started: Vec<&Sample> = SAMPLES.iter().filter(|sample| !sample.on_demand).collect();
        let mut turn = 0;
        loop {
            for scope in self.scopes() {
                let sample = started[turn % started.len()];
                self.start_sample(&scope, sample, turn).await;
            }
            turn += 1;
            tokio::select! {
                () = clock.sleep_until(clock.now() + EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn start_sample(&self, scope: &Scope, sample: &Sample, turn: usize) {
        let Ok(mut input) = serde_json::from_str::<Value>(sample.input) else {
            return;
        };
        vary(&mut input, turn);
        self.begin(scope, (sample.namespace, sample.name), input.clone())
            .await;
        // One question in three stays without an answer and escalates.
        let answer = sample.answered_by.filter(|_| !turn.is_multiple_of(3));
        if let Some((namespace, name)) = answer.and_then(|name| name.split_once('/')) {
            let clock = SystemClock;
            clock.sleep_until(clock.now() + ANSWER_AFTER).await;
            let decision = if turn.is_multiple_of(2) {
                "approved"
            } else {
                "refused"
            };
            if let Value::Object(answer) = &mut input {
                answer.insert("decision".to_owned(), Value::from(decision));
            }
            self.begin(scope, (namespace, name), input).await;
        }
    }

    async fn begin(&self, scope: &Scope, (namespace, name): (&str, &str), input: Value) {
        let request = StartRequest {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            input,
            ..StartRequest::default()
        };
        if let Err(error) = self.handle.start(scope, request).await {
            tracing::warn!(error = %error, name, "a sample was not started");
        }
    }
}

fn random_password() -> String {
    let mut random = [0_u8; 15];
    SystemEntropy.fill(&mut random);
    random
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect()
}

/// Gives each execution numbers of its own.
fn vary(input: &mut Value, turn: usize) {
    let mut random = [0_u8; 2];
    SystemEntropy.fill(&mut random);
    let random = u16::from_le_bytes(random);
    let Value::Object(object) = input else { return };
    for (name, value) in object {
        match name.as_str() {
            "order" | "invoice" => *value = Value::from(format!("{random:05}-{turn}")),
            "amount" => *value = Value::from(f64::from(random % 40_000) / 10.0 + 1.0),
            "failure" => {
                let failures = ["none", "none", "payment", "none", "shipment"];
                *value = Value::from(failures[usize::from(random) % failures.len()]);
            }
            _ => {}
        }
    }
}
