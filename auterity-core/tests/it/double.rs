//! Stands in for services elsewhere: a server that answers as a test says, and the
//! invocations that reach it.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use auterity_core::functions::{HttpOptions, Invocation};
use auterity_core::{Actor, ExecutionId, Scope, TenantId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::server::{Received, read};

/// What the server gives back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether the connection stays open until the caller gives up.
    holds: bool,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json", body.to_string())
    }

    /// Server-sent events with these texts as data.
    pub(crate) fn events(events: &[Value]) -> Self {
        let texts = events.iter().map(|event| format!("data: {event}\n\n"));
        Self::of(200, "text/event-stream", texts.collect::<String>())
    }

    pub(crate) fn of(status: u16, media: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), media.to_owned())],
            body: body.into(),
            holds: false,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sends what there is and then nothing more.
    pub(crate) fn holding(mut self) -> Self {
        self.holds = true;
        self
    }
}

type Answer = dyn Fn(&Received) -> Reply + Send + Sync;

/// Lives until the test's process ends.
#[derive(Clone)]
pub(crate) struct Double {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    gone: Arc<AtomicU32>,
    answer: Arc<Answer>,
}

impl Double {
    pub(crate) fn start(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let double = Self {
            address: listener.local_addr().expect("an address"),
            received: Arc::default(),
            gone: Arc::default(),
            answer: Arc::new(answer),
        };
        let serving = double.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        double
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests whose target begins with this.
    pub(crate) fn received(&self, target: &str) -> Vec<Received> {
        let received = self.received.lock().expect("no test panics while it holds");
        let found = received.iter().filter(|one| one.target.starts_with(target));
        found.cloned().collect()
    }

    /// How many callers have given up.
    pub(crate) fn gone(&self) -> u32 {
        self.gone.load(Ordering::SeqCst)
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let received = read(&mut reader)?;
        let reply = (self.answer)(&received);
        self.received.lock().ok()?.push(received);
        let mut head = format!("HTTP/1.1 {} As Told\r\nconnection: close\r\n", reply.status);
        for (name, value) in &reply.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if !reply.holds {
            let length = reply.body.len().to_string();
            head.extend(["content-length: ", &length, "\r\n"]);
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&reply.body).ok()?;
        if reply.holds {
            drop(reader.read(&mut [0]));
            self.gone.fetch_add(1, Ordering::SeqCst);
        }
        Some(())
    }
}

/// Lets calls reach this machine.
pub(crate) fn open() -> HttpOptions {
    HttpOptions {
        private_addresses: true,
        ..HttpOptions::default()
    }
}

/// A call by the tenant with this number.
pub(crate) fn invocation(tenant: u128, arguments: Value) -> Invocation {
    let scope = Scope::new(TenantId::from_uuid(Uuid::from_u128(tenant)), Actor::Host);
    let execution = ExecutionId::from_uuid(Uuid::from_u128(2));
    Invocation {
        input: Arc::new(json!({})),
        key: "exe-1-7".to_owned(),
        ..Invocation::new(scope, execution, arguments)
    }
}
