//! Makes a message of what a definition says.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lettre::Message;
use lettre::message::{Mailbox, MultiPart, SinglePart};

use super::{Addresses, Email, EmailMessage};
use crate::functions::Invocation;
use crate::interpreter::{Problem, ProblemKind};

/// A message that is ready to be sent.
pub(super) struct Built {
    pub(super) id: String,
    pub(super) message: Message,
}

impl Email {
    pub(super) fn build(
        &self,
        said: &EmailMessage,
        invocation: &Invocation,
    ) -> Result<Built, Problem> {
        self.check(said)?;
        let id = format!("<{}@{}>", invocation.key, self.from.email.domain());
        let mut from = self.from.clone();
        if let Some(name) = &said.from_name {
            from.name = Some(name.clone());
        }
        let mut builder = Message::builder()
            .message_id(Some(id.clone()))
            .date(date(invocation.at))
            .from(from)
            .subject(&said.subject);
        for mailbox in mailboxes("to", &said.to)? {
            builder = builder.to(mailbox);
        }
        for mailbox in mailboxes("cc", &said.cc)? {
            builder = builder.cc(mailbox);
        }
        for mailbox in mailboxes("bcc", &said.bcc)? {
            builder = builder.bcc(mailbox);
        }
        if let Some(address) = &said.reply_to {
            builder = builder.reply_to(mailbox("reply_to", address)?);
        }
        let message = match (said.text.clone(), said.html.clone()) {
            (Some(text), Some(html)) => {
                builder.multipart(MultiPart::alternative_plain_html(text, html))
            }
            (Some(text), None) => builder.singlepart(SinglePart::plain(text)),
            (None, Some(html)) => builder.singlepart(SinglePart::html(html)),
            (None, None) => return Err(invalid("a message needs text, html or both")),
        };
        let message = message.map_err(|error| invalid(error.to_string()))?;
        Ok(Built { id, message })
    }

    fn check(&self, said: &EmailMessage) -> Result<(), Problem> {
        let lists = [&said.to, &said.cc, &said.bcc];
        let recipients: usize = lists.iter().map(|list| list.texts().len()).sum();
        if recipients == 0 || self.recipients_max < recipients {
            let most = self.recipients_max;
            return Err(invalid(format!("a message has 1 to {most} receivers")));
        }
        let parts = [
            Some(&said.subject),
            said.text.as_ref(),
            said.html.as_ref(),
            said.from_name.as_ref(),
        ];
        let bytes: usize = parts.into_iter().flatten().map(String::len).sum();
        if self.bytes_max < bytes {
            let most = self.bytes_max;
            return Err(invalid(format!("a message has {most} bytes at most")));
        }
        let lines = [Some(&said.subject), said.from_name.as_ref()];
        if lines
            .into_iter()
            .flatten()
            .any(|line| line.contains(char::is_control))
        {
            return Err(invalid("subject and from_name must be one line each"));
        }
        Ok(())
    }
}

impl Addresses {
    fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

fn date(at: Timestamp) -> SystemTime {
    let seconds = u64::try_from(at.as_second()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn mailboxes(list: &str, addresses: &Addresses) -> Result<Vec<Mailbox>, Problem> {
    let texts = addresses.texts().iter();
    texts.map(|text| mailbox(list, text)).collect()
}

fn mailbox(list: &str, text: &str) -> Result<Mailbox, Problem> {
    text.parse().map_err(|error| {
        let detail = format!("{text:?} in {list} is no address: {error}");
        invalid(detail)
    })
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Validation, detail)
}
