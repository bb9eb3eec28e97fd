//! The crate's one error.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Says what class of failure happened, for callers that branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for does not exist, or not for this tenant.
    NotFound,
    /// The state of things forbids it, for example a version that exists already.
    Conflict,
    /// The person may not do it.
    Forbidden,
    /// The input is wrong; the same call cannot succeed.
    Invalid,
    /// A limit was reached; the message names it.
    Limit,
    /// The caller asks for more at a time than it may; later it may again.
    Throttled,
    /// The program has more to do than it can; later it can again.
    Overloaded,
    /// The worker lost its lease; another one owns its executions now.
    Fenced,
    /// The database or another service cannot be reached now.
    Unavailable,
    /// The engine is stopping and takes no new work.
    Stopping,
    /// Stored data is not what was written.
    Corrupt,
    /// A fault of this program.
    Internal,
}

/// One place of an input that breaks its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The JSON pointer of the place in the input.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// The error of every call into this crate.
///
/// The message says what failed and why in words fit for a client; what only an
/// operator should read is in the chain of sources.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error of a kind with a message for the client.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let inner = Inner {
            kind,
            message: message.into(),
            context: Vec::new(),
            violations: Vec::new(),
            retry_after: None,
            source: None,
        };
        Self {
            inner: Box::new(inner),
        }
    }

    /// Adds the cause, which is for the log and not for the client.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Adds the subject: which execution, tenant or table.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.inner.context.push((name, value.to_string()));
        self
    }

    /// Adds the places of the input that are wrong.
    #[must_use]
    pub fn with_violations(mut self, violations: Vec<Violation>) -> Self {
        self.inner.violations = violations;
        self
    }

    /// Gives the places of the input that are wrong; empty for other errors.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.inner.violations
    }

    /// Adds the time after which the same call may succeed.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.inner.retry_after = Some(wait);
        self
    }

    /// Gives the time after which the same call may succeed, where it is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Gives the class of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Gives the message without the subject.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Gives the subject as names and values.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.inner
            .context
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// Tells whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.inner.kind,
            ErrorKind::Unavailable
                | ErrorKind::Stopping
                | ErrorKind::Throttled
                | ErrorKind::Overloaded
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.inner.message)?;
        for (name, value) in &self.inner.context {
            write!(out, " {name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("context", &self.inner.context)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}
