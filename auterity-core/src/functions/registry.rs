//! The registry: functions by name and version, and what is declared about them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;
use semver::Version;
use serde::{Deserialize, Serialize};

#[cfg(feature = "grpc")]
use super::Grpc;
use super::transactional::{Transactional, TypedTransactional};
use super::{
    A2a, AsyncApi, AsyncApiOptions, Echo, Function, Http, HttpOptions, KeyValue, Mcp, OpenApi,
    Signature, TransactionalFunction, Typed, TypedFunction,
};

/// When the task after a call may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// After the call's result is committed: nothing of it is ever done again.
    #[default]
    Strict,
    /// At once; what is visible outside still waits for the commit, and after a crash
    /// calls at the end of the journal may be repeated. Only for functions that are
    /// pure or idempotent.
    Pipelined,
}

/// A function with its name, its version and what is declared about it.
#[derive(Clone)]
pub struct Registration {
    name: String,
    version: Version,
    callable: Callable,
    signature: Signature,
    durability: Durability,
    timeout: Option<SignedDuration>,
    silence: Option<SignedDuration>,
}

/// What a registration stands for.
#[derive(Debug, Clone)]
pub(crate) enum Callable {
    /// It works outside and gives a result.
    Plain(Arc<dyn Function>),
    /// It works in a transaction that commits with the result.
    Transactional(Arc<dyn Transactional>),
}

/// The time of a transactional function, unless it declares another: while it works
/// others may have to wait.
const TRANSACTION_TIME: SignedDuration = SignedDuration::from_secs(3);

impl Registration {
    /// Declares a function under a name, as version 1.0.0.
    ///
    /// A definition calls the highest version with `call: name` and a certain one with
    /// `call: name:1.2.0`. An `@` in what is called names a catalog, so names have none.
    #[must_use]
    pub fn new(name: impl Into<String>, function: impl Function) -> Self {
        let signature = function.signature();
        Self::of(name.into(), signature, Callable::Plain(Arc::new(function)))
    }

    fn of(name: String, signature: Signature, callable: Callable) -> Self {
        Self {
            name,
            version: Version::new(1, 0, 0),
            callable,
            signature,
            durability: Durability::default(),
            timeout: None,
            silence: None,
        }
    }

    /// Declares a typed function under a name, as version 1.0.0.
    #[must_use]
    pub fn typed(name: impl Into<String>, function: impl TypedFunction) -> Self {
        Self::new(name, Typed::new(function))
    }

    /// Declares a transactional function under a name, as version 1.0.0, with three
    /// seconds for each call.
    #[must_use]
    pub fn transactional(name: impl Into<String>, function: impl TransactionalFunction) -> Self {
        let function = TypedTransactional::new(function);
        let signature = function.signature();
        let callable = Callable::Transactional(Arc::new(function));
        Self::of(name.into(), signature, callable).timeout(TRANSACTION_TIME)
    }

    /// Declares the function `email`, with two minutes for each message.
    ///
    /// # Errors
    /// As [`Email::new`](super::Email::new).
    #[cfg(feature = "email")]
    pub fn email(options: &super::EmailOptions) -> Result<Self, crate::Error> {
        let email = super::Email::new(options)?;
        Ok(Self::typed("email", email)
            .timeout(SignedDuration::from_mins(2))
            .describe("Sends an e-mail."))
    }

    /// Sets the version.
    #[must_use]
    pub fn version(mut self, major: u64, minor: u64, patch: u64) -> Self {
        self.version = Version::new(major, minor, patch);
        self
    }

    /// Says in a sentence what the function does, for editors and people.
    #[must_use]
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.signature.description = Some(description.into());
        self
    }

    /// Declares when the task after a call may begin; [`Strict`](Durability::Strict)
    /// unless it is said otherwise.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Declares how long a call may take; without it a call has the time that the
    /// definition gives its task. A call that takes longer ends with a time-out error.
    #[must_use]
    pub fn timeout(mut self, timeout: SignedDuration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Declares that a call says how far it is, with
    /// [`Invocation::heartbeat`], at least once in this time. One that is silent for
    /// longer ends with a time-out error, which the definition may catch and retry.
    /// Transactional functions are too short for that and say nothing.
    #[must_use]
    pub fn heartbeat(mut self, silence_max: SignedDuration) -> Self {
        self.silence = Some(silence_max);
        self
    }

    pub(crate) fn silence_max(&self) -> Option<SignedDuration> {
        self.silence
    }

    pub(crate) fn callable(&self) -> &Callable {
        &self.callable
    }

    pub(crate) fn time_max(&self) -> Option<SignedDuration> {
        self.timeout
    }

    /// Gives when the task after a call may begin.
    #[must_use]
    pub fn declared_durability(&self) -> Durability {
        self.durability
    }

    fn info(&self) -> FunctionInfo {
        FunctionInfo {
            name: self.name.clone(),
            version: self.version.to_string(),
            signature: self.signature.clone(),
            durability: self.durability,
            transactional: matches!(self.callable, Callable::Transactional(_)),
            timeout: self.timeout,
            heartbeat: self.silence,
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Registration")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("durability", &self.durability)
            .field("callable", &self.callable)
            .finish_non_exhaustive()
    }
}

/// What is known about a registered function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it takes and gives.
    pub signature: Signature,
    /// When the task after a call may begin.
    pub durability: Durability,
    /// Whether its writes commit with the journal.
    pub transactional: bool,
    /// How long a call may take.
    pub timeout: Option<SignedDuration>,
    /// How long a call may be silent.
    pub heartbeat: Option<SignedDuration>,
}

/// The functions that definitions can call, by name and version.
#[derive(Debug, Clone, Default)]
pub struct Functions {
    by_name: BTreeMap<String, BTreeMap<Version, Arc<Registration>>>,
}

impl Functions {
    /// Makes a registry without any function.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Makes a registry with the built-in functions, which reach public addresses only;
    /// a host that wants otherwise says so by [`within`](Self::within).
    #[must_use]
    pub fn built_in() -> Self {
        Self::within(HttpOptions::default())
    }

    /// Makes a registry with the built-in functions, which reach other machines within
    /// these options.
    #[must_use]
    pub fn within(options: HttpOptions) -> Self {
        Self::over(&Arc::new(Http::new(options)))
    }

    /// Makes a registry with the built-in functions, all of which share connections and
    /// tokens with `http`.
    #[must_use]
    pub fn over(http: &Arc<Http>) -> Self {
        let shared = || Arc::clone(http);
        let functions = Self::none();
        #[cfg(feature = "grpc")]
        let functions = functions.with("grpc", Grpc::new(shared()));
        functions
            .with("a2a", A2a::new(shared()))
            .with(
                "asyncapi",
                AsyncApi::new(shared(), AsyncApiOptions::default()),
            )
            .with("echo", Echo)
            .with("http", shared())
            .with("mcp", Mcp::new(shared()))
            .with("openapi", OpenApi::over(shared()))
            .register(
                Registration::transactional("store", KeyValue)
                    .describe("Keeps values by key for the tenant's workflows, exactly once."),
            )
    }

    /// Adds a function as version 1.0.0, in place of any of the same name and version.
    #[must_use]
    pub fn with(self, name: impl Into<String>, function: impl Function) -> Self {
        self.register(Registration::new(name, function))
    }

    /// Adds a typed function as version 1.0.0, in place of any of the same name and
    /// version.
    #[must_use]
    pub fn with_typed(self, name: impl Into<String>, function: impl TypedFunction) -> Self {
        self.register(Registration::typed(name, function))
    }

    /// Adds a function, in place of any of the same name and version.
    #[must_use]
    pub fn register(mut self, registration: Registration) -> Self {
        self.by_name
            .entry(registration.name.clone())
            .or_default()
            .insert(registration.version.clone(), Arc::new(registration));
        self
    }

    /// Finds what `call: reference` calls: `name` is the highest version of a name,
    /// `name:1.2.0` that version. The registry is the host's catalog, so the same is
    /// found with `@default`.
    #[must_use]
    pub fn find(&self, reference: &str) -> Option<&Arc<Registration>> {
        let reference = reference.strip_suffix("@default").unwrap_or(reference);
        if let Some(versions) = self.by_name.get(reference) {
            return versions.values().next_back();
        }
        let (name, version) = reference.rsplit_once(':')?;
        let version = Version::parse(version).ok()?;
        self.by_name.get(name)?.get(&version)
    }

    /// Finds the function that `call: reference` calls; those that the engine performs
    /// in a transaction are not among them.
    #[must_use]
    pub fn get(&self, reference: &str) -> Option<Arc<dyn Function>> {
        match self.find(reference)?.callable() {
            Callable::Plain(function) => Some(Arc::clone(function)),
            Callable::Transactional(_) => None,
        }
    }

    /// Tells whether `call: reference` calls a function of the registry.
    #[must_use]
    pub fn contains(&self, reference: &str) -> bool {
        self.find(reference).is_some()
    }

    /// Lists the names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Tells what is known about each function, by name and version: for editors, the
    /// API and people.
    #[must_use]
    pub fn describe(&self) -> Vec<FunctionInfo> {
        self.by_name
            .values()
            .flat_map(BTreeMap::values)
            .map(|registration| registration.info())
            .collect()
    }
}
