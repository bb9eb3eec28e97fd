//! A program under way.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::OwnedSemaphorePermit;

use super::{ProcessOptions, failed};
use crate::interpreter::{Problem, ProblemKind};

/// A program under way: it and all that it started end when this is dropped.
#[derive(Debug)]
pub(in crate::functions) struct Running {
    child: Child,
    group: Group,
    time_max: Duration,
    output_bytes_max: usize,
    /// Removed after the group has been killed: fields are dropped in their order.
    _folder: TempDir,
    _permit: OwnedSemaphorePermit,
}

/// Kills a process group when dropped.
#[derive(Debug)]
struct Group(Pid);

impl Group {
    fn kill(&self) {
        // That nobody is left is the usual answer.
        let _nobody = kill_process_group(self.0, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a program gave.
#[derive(Debug)]
pub(in crate::functions) struct Ended {
    /// As a shell would give it: 128 and more for a signal.
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Running {
    pub(super) fn new(
        child: Child,
        options: &ProcessOptions,
        (folder, permit): (TempDir, OwnedSemaphorePermit),
    ) -> Result<Self, Problem> {
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let group = group.ok_or_else(|| failed("the program ended before it began"))?;
        Ok(Self {
            child,
            group: Group(group),
            time_max: options.time_max.unsigned_abs(),
            output_bytes_max: options.output_bytes_max,
            _folder: folder,
            _permit: permit,
        })
    }

    /// Gives the ends of the program's input and output, for a conversation.
    pub(in crate::functions) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        // Nobody reads it, so the program must not wait for that.
        drop(self.child.stderr.take());
        Some((self.child.stdin.take()?, self.child.stdout.take()?))
    }

    /// Waits for the program's end.
    ///
    /// # Cancel safety
    /// The program is killed when the future is dropped.
    pub(in crate::functions) async fn finish(
        mut self,
        input: Option<String>,
    ) -> Result<Ended, Problem> {
        let (stdin, stdout) = (self.child.stdin.take(), self.child.stdout.take());
        let stderr = self.child.stderr.take();
        let (most, time_max) = (self.output_bytes_max, self.time_max);
        let wait = async {
            let status = self.child.wait().await.map_err(|error| lost(&error))?;
            // What it left behind would keep its output open.
            self.group.kill();
            Ok::<_, Problem>(status)
        };
        let all = async {
            tokio::try_join!(
                wait,
                feed(stdin, input),
                read(stdout, most, "output"),
                read(stderr, most, "error output")
            )
        };
        let (status, (), stdout, stderr) =
            tokio::time::timeout(time_max, all).await.map_err(|_| {
                let detail = format!("the program took longer than {time_max:?} and was ended");
                Problem::new(ProblemKind::Timeout, detail)
            })??;
        Ok(Ended {
            code: code(status),
            stdout,
            stderr,
        })
    }
}

fn code(status: ExitStatus) -> i32 {
    let signal = status.signal().map(|signal| 128 + signal);
    status.code().or(signal).unwrap_or(-1)
}

async fn feed(stdin: Option<ChildStdin>, input: Option<String>) -> Result<(), Problem> {
    let (Some(mut stdin), Some(input)) = (stdin, input) else {
        return Ok(());
    };
    match stdin.write_all(input.as_bytes()).await {
        // It may end without having read all, or close its input.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(lost(&error)),
        _ => Ok(()),
    }
}

async fn read(
    pipe: Option<impl AsyncRead + Unpin>,
    bytes_max: usize,
    what: &str,
) -> Result<String, Problem> {
    let mut read = Vec::new();
    if let Some(pipe) = pipe {
        let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let mut pipe = pipe.take(most.saturating_add(1));
        pipe.read_to_end(&mut read)
            .await
            .map_err(|error| lost(&error))?;
    }
    if bytes_max < read.len() {
        let detail =
            format!("the program's {what} is more than {bytes_max} bytes, and it was ended");
        return Err(failed(detail));
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

fn lost(error: &io::Error) -> Problem {
    tracing::error!(%error, "the way to a program broke");
    failed("the way to the program broke")
}
