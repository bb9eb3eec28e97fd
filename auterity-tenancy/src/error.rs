//! The crate's one error.
//!
//! It has the shape of auterity-core's and shares no code with it: kinds, what they
//! carry and who may make one differ, and each crate's error can grow alone.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Says what class of failure happened, for callers that branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for does not exist, or not for this tenant.
    NotFound,
    /// Another record or a concurrent call holds what the call wanted.
    Conflict {
        /// The field of the input that collides: `email`, `slug` or `refresh_token`.
        field: &'static str,
    },
    /// The input is wrong; [`Error::fields`] lists every mistake.
    Invalid,
    /// The caller is not who it claims to be, or its session has ended.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// Too many attempts from this caller.
    Throttled {
        /// How long to wait before the next attempt can succeed.
        retry_after: Duration,
    },
    /// The host is too busy to take this work now.
    Overloaded,
    /// The database cannot be reached now.
    Unavailable,
    /// A fault of this program or its configuration.
    Internal,
}

/// One mistake in one field of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The JSON pointer of the field, for example `/tenant/slug`.
    pub pointer: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// The error of every call into this crate.
///
/// The message is fit for a client; what only an operator should read is in the
/// chain of sources. Neither ever holds a password, a token or a key.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    fields: Vec<FieldError>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let inner = Inner {
            kind,
            message: message.into(),
            fields: Vec::new(),
            context: Vec::new(),
            source: None,
        };
        Self {
            inner: Box::new(inner),
        }
    }

    pub(crate) fn invalid(fields: Vec<FieldError>) -> Self {
        let mut error = Self::new(ErrorKind::Invalid, "the input has mistakes");
        error.inner.fields = fields;
        error
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.inner.context.push((name, value.to_string()));
        self
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

    /// Gives every mistake of the input; empty unless the kind is `Invalid`.
    #[must_use]
    pub fn fields(&self) -> &[FieldError] {
        &self.inner.fields
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
            ErrorKind::Throttled { .. } | ErrorKind::Overloaded | ErrorKind::Unavailable
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
            .field("fields", &self.inner.fields)
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
