//! `email`: sends a message.
//!
//! The sender is the host's, so that a definition cannot write in somebody else's name.
//! The message's id comes from the call's key: a call that is repeated after a crash
//! sends the same message again, and mail programs show it once.

mod message;
mod transport;

use std::fmt;

use async_trait::async_trait;
use lettre::message::Mailbox;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use self::transport::Transport;
use super::{Invocation, TypedFunction};
use crate::interpreter::Problem;
use crate::{Error, ErrorKind};

/// How messages are sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailOptions {
    /// Where messages go: `smtps://user:password@host:465`,
    /// `smtp://user:password@host:587?tls=required`, a folder that gets a file of each
    /// (`file:///var/mail/out`), or `log:`, which only notes in the log that there was
    /// one.
    pub url: String,
    /// The sender: `Name <address>` or an address.
    pub from: String,
    /// Receivers of one message at most.
    pub recipients_max: usize,
    /// Bytes of subject and texts together at most.
    pub bytes_max: usize,
}

impl Default for EmailOptions {
    fn default() -> Self {
        Self {
            url: "log:".to_owned(),
            from: "Auterity <auterity@localhost>".to_owned(),
            recipients_max: 50,
            bytes_max: 1024 * 1024,
        }
    }
}

impl fmt::Debug for EmailOptions {
    /// Leaves the address out: it may contain a password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("EmailOptions")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// Sends messages.
#[derive(Debug)]
pub struct Email {
    transport: Transport,
    from: Mailbox,
    recipients_max: usize,
    bytes_max: usize,
}

impl Email {
    /// Makes the function.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) when the URL or the sender cannot be read.
    pub fn new(options: &EmailOptions) -> Result<Self, Error> {
        let wrong = |what: &str| Error::new(ErrorKind::Invalid, what);
        let url = Url::parse(&options.url).map_err(|error| {
            let message = "the URL for e-mail cannot be read; it begins with smtps:, smtp:, \
                           file: or log:";
            wrong(message).with_source(error)
        })?;
        let from = options.from.parse::<Mailbox>().map_err(|error| {
            wrong("the sender of e-mail must be an address or `Name <address>`").with_source(error)
        })?;
        Ok(Self {
            transport: Transport::of(&url)?,
            from,
            recipients_max: options.recipients_max,
            bytes_max: options.bytes_max,
        })
    }
}

/// One address or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Addresses {
    /// `Name <address>` or an address.
    One(String),
    /// Several of them.
    Many(Vec<String>),
}

impl Default for Addresses {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// What `email` sends.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailMessage {
    /// Who gets it.
    pub to: Addresses,
    /// Who gets a copy.
    #[serde(default)]
    pub cc: Addresses,
    /// Who gets a copy that the others do not see.
    #[serde(default)]
    pub bcc: Addresses,
    /// Where answers go, if not to the sender.
    #[serde(default)]
    pub reply_to: Option<String>,
    /// The sender's name, in place of the one that the host has set.
    #[serde(default)]
    pub from_name: Option<String>,
    /// The subject: one line.
    pub subject: String,
    /// The message as plain text. This, `html` or both.
    #[serde(default)]
    pub text: Option<String>,
    /// The message as HTML.
    #[serde(default)]
    pub html: Option<String>,
}

/// What became of a message.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EmailSent {
    /// Its id, as its header says it.
    pub message_id: String,
    /// Where it went: `smtp`, `file` or `log`. In the log nobody reads it.
    pub transport: &'static str,
    /// How many receivers it has.
    pub recipients: usize,
}

#[async_trait]
impl TypedFunction for Email {
    type Input = EmailMessage;
    type Output = EmailSent;

    async fn call(
        &self,
        message: EmailMessage,
        invocation: Invocation,
    ) -> Result<EmailSent, Problem> {
        let built = self.build(&message, &invocation)?;
        self.transport.send(&built, &invocation.key).await?;
        Ok(EmailSent {
            message_id: built.id,
            transport: self.transport.name(),
            recipients: built.message.envelope().to().len(),
        })
    }
}
