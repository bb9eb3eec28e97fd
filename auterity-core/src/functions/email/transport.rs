//! The ways that a message can go.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use url::Url;

use super::message::Built;
use crate::interpreter::{Problem, ProblemKind};
use crate::{Error, ErrorKind};

/// How long the mail server may take for each answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where messages go.
pub(super) enum Transport {
    Log,
    Folder(PathBuf),
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

impl Transport {
    pub(super) fn of(url: &Url) -> Result<Self, Error> {
        let wrong = |what: &str| Error::new(ErrorKind::Invalid, what);
        match url.scheme() {
            "log" => Ok(Self::Log),
            "file" => {
                let folder = url.to_file_path().map_err(|()| {
                    wrong("the folder for e-mail must be a whole path, as in file:///var/mail/out")
                })?;
                Ok(Self::Folder(folder))
            }
            "smtp" | "smtps" => {
                let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str());
                let builder = builder.map_err(|error| {
                    wrong("the address of the mail server cannot be read").with_source(error)
                })?;
                Ok(Self::Smtp(builder.timeout(Some(ANSWER_TIMEOUT)).build()))
            }
            _ => Err(wrong(
                "the URL for e-mail must begin with smtps:, smtp:, file: or log:",
            )),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Folder(_) => "file",
            Self::Smtp(_) => "smtp",
        }
    }

    pub(super) async fn send(&self, built: &Built, key: &str) -> Result<(), Problem> {
        match self {
            Self::Log => {
                let recipients = built.message.envelope().to().len();
                tracing::info!(
                    message_id = %built.id,
                    recipients,
                    "an e-mail went nowhere: no mail server is set"
                );
                Ok(())
            }
            Self::Folder(folder) => write(folder, key, built).await,
            Self::Smtp(transport) => {
                let text = built.message.formatted();
                let sent = transport.send_raw(built.message.envelope(), &text).await;
                sent.map(drop).map_err(|error| refused(&error))
            }
        }
    }
}

impl fmt::Debug for Transport {
    /// Leaves the server's address out: it may contain a password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Writes the message under the call's key; a repeated call writes it again.
async fn write(folder: &Path, key: &str, built: &Built) -> Result<(), Problem> {
    let failed = |error: std::io::Error| {
        tracing::error!(error = %error, folder = %folder.display(), "an e-mail was not written");
        Problem::new(
            ProblemKind::Communication,
            "the message could not be written",
        )
        .with_status(503)
    };
    tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    let place = folder.join(format!("{key}.eml"));
    // Whoever collects the files by their name sees whole ones only.
    let draft = folder.join(format!("{key}.draft"));
    tokio::fs::write(&draft, built.message.formatted())
        .await
        .map_err(failed)?;
    tokio::fs::rename(&draft, &place).await.map_err(failed)
}

/// Says what the mail server did not like: 502 when it never will, 503 when another try
/// may succeed.
fn refused(error: &lettre::transport::smtp::Error) -> Problem {
    if error.is_permanent() {
        let detail = format!("the mail server refuses the message: {error}");
        return Problem::new(ProblemKind::Communication, detail).with_status(502);
    }
    tracing::warn!(error = %error, "the mail server did not take a message");
    let detail = match error.status() {
        Some(status) => format!("the mail server does not take the message now: {status}"),
        None => "the mail server cannot be reached".to_owned(),
    };
    Problem::new(ProblemKind::Communication, detail).with_status(503)
}
