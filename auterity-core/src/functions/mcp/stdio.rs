//! A server that is a program of this machine: a message is a line.

use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::{Transport, wrong};
use crate::functions::process::{self, Processes, Running};
use crate::functions::rpc::{self, Message};
use crate::interpreter::{Problem, ProblemKind};

/// A server under way; it ends when this is dropped.
pub(super) struct Stdio {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line_bytes_max: usize,
    _running: Running,
}

impl Stdio {
    pub(super) async fn start(
        processes: &Processes,
        transport: &Map<String, Value>,
    ) -> Result<Self, Problem> {
        let job = process::job(transport)?;
        let mut running = processes.start(job).await?;
        let (input, output) = running.pipes().ok_or_else(gone)?;
        Ok(Self {
            input,
            output: BufReader::new(output),
            line_bytes_max: processes.options().output_bytes_max,
            _running: running,
        })
    }

    async fn send(&mut self, message: &Value) -> Result<(), Problem> {
        let line = format!("{message}\n");
        let sent = self.input.write_all(line.as_bytes()).await;
        sent.map_err(|_| gone())
    }

    async fn line(&mut self) -> Result<Vec<u8>, Problem> {
        let most = u64::try_from(self.line_bytes_max).unwrap_or(u64::MAX);
        let mut line = Vec::new();
        let mut output = (&mut self.output).take(most);
        output
            .read_until(b'\n', &mut line)
            .await
            .map_err(|_| gone())?;
        match line.last() {
            Some(b'\n') => Ok(line),
            Some(_) if self.line_bytes_max <= line.len() => Err(wrong(format!(
                "the server's message is longer than {most} bytes"
            ))),
            _ => Err(gone()),
        }
    }
}

impl Transport for Stdio {
    async fn request(&mut self, request: Value, id: &Value) -> Result<Value, Problem> {
        self.send(&request).await?;
        loop {
            let line = self.line().await?;
            let line = String::from_utf8_lossy(&line);
            if line.trim().is_empty() {
                continue;
            }
            match rpc::read(rpc::parse(&line)?, id) {
                Message::Answer(answer) => return answer,
                Message::Asks(told) => self.send(&told).await?,
                Message::Other => {}
            }
        }
    }

    async fn notify(&mut self, message: Value) -> Result<(), Problem> {
        self.send(&message).await
    }

    fn agreed(&mut self, _version: &str) {}
}

fn gone() -> Problem {
    let detail = "the server's program ended before it answered";
    Problem::new(ProblemKind::Communication, detail).with_status(502)
}
