//! A server that answers as the path says and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// What came in.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Lives until the test's process ends.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    /// What "/held" gives.
    held: Arc<Mutex<String>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = Self {
            address,
            received: Arc::default(),
            held: Arc::default(),
        };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Takes in the text that "/held" gives.
    pub(crate) fn hold(&self, text: &str) {
        let mut held = self
            .held
            .lock()
            .expect("no test panics while it holds this");
        text.clone_into(&mut held);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received
            .lock()
            .expect("no test panics while it holds this")
            .clone()
    }

    pub(crate) fn last(&self) -> Received {
        self.received().pop().expect("a request")
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let received = read(&mut reader)?;
        self.received.lock().ok()?.push(received.clone());
        if received.target.starts_with("/held") {
            let held = self.held.lock().ok()?.clone();
            return hand_out(&held, stream);
        }
        answer(&received, stream, &mut reader)
    }
}

fn hand_out(text: &str, mut out: TcpStream) -> Option<()> {
    let length = text.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    out.write_all(head.as_bytes()).ok()?;
    out.write_all(text.as_bytes()).ok()
}

pub(crate) fn read(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Some(Received {
        method,
        target,
        headers,
        body,
    })
}

fn answer(received: &Received, mut out: TcpStream, reader: &mut impl Read) -> Option<()> {
    let (path, query) = received
        .target
        .split_once('?')
        .unwrap_or((&received.target, ""));
    let json = "content-type: application/json\r\n";
    let mut plain = |status: &str, headers: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        out.write_all(head.as_bytes())
            .and_then(|()| out.write_all(body))
            .ok()
    };
    match path.split('/').collect::<Vec<_>>()[1..] {
        ["json"] => plain("200 OK", json, br#"{"id":1,"name":"Rex"}"#),
        ["problem"] => plain(
            "200 OK",
            "content-type: application/problem+json\r\n",
            b"[1]",
        ),
        ["broken-json"] => plain("200 OK", json, b"{\"canary\": canary}"),
        ["text"] => plain(
            "200 OK",
            "content-type: text/plain; charset=utf-8\r\n",
            "hé".as_bytes(),
        ),
        ["latin"] => plain(
            "200 OK",
            "content-type: text/plain; charset=ISO-8859-1\r\n",
            b"h\xe9",
        ),
        ["typeless"] => plain("200 OK", "", b"plain"),
        ["bytes"] => plain("200 OK", "content-type: image/png\r\n", b"\xff\x00\xfe"),
        ["empty"] => plain("204 No Content", "", b""),
        ["cookies"] => plain("200 OK", "set-cookie: a=1\r\nset-cookie: b=2\r\n", b"ok"),
        ["echo", ..] => {
            let Received {
                method,
                target,
                headers,
                body,
            } = received;
            let body =
                json!({"method": method, "target": target, "headers": headers, "body": body});
            plain("200 OK", json, body.to_string().as_bytes())
        }
        ["status", status] => plain(&format!("{status} As Asked"), json, br#"{"canary":1}"#),
        ["basic-auth", user, word] => {
            let wanted = format!("{user}:{word}");
            let given = received
                .headers
                .get("authorization")?
                .strip_prefix("Basic ")?;
            let status = if given == base64(&wanted) {
                "200 OK"
            } else {
                "401 Unauthorized"
            };
            plain(status, json, b"{}")
        }
        ["digest"] => {
            let challenge = "www-authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", \
                             algorithm=SHA-256\r\n";
            match received.headers.get("authorization") {
                Some(given) => plain(
                    "200 OK",
                    json,
                    json!({ "given": given }).to_string().as_bytes(),
                ),
                None => plain("401 Unauthorized", challenge, b""),
            }
        }
        ["redirect", status] => plain(
            &format!("{status} Elsewhere"),
            &format!("location: {query}\r\n"),
            b"",
        ),
        ["nowhere"] => plain("302 Found", "", b"stay"),
        ["loop"] => plain("302 Found", "location: /loop\r\n", b""),
        ["headers", bytes] => {
            let bytes: usize = bytes.parse().ok()?;
            plain("200 OK", &format!("x-long: {}\r\n", "x".repeat(bytes)), b"")
        }
        // Announces no length.
        ["stream", bytes] => {
            let bytes: usize = bytes.parse().ok()?;
            out.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n",
            )
            .ok()?;
            out.write_all(&vec![b'x'; bytes]).ok()
        }
        ["cut"] => out
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")
            .ok(),
        ["hang"] => {
            // Ends when the caller gives up.
            drop(reader.read(&mut [0]));
            Some(())
        }
        // "/break" and whatever else: no answer at all.
        _ => None,
    }
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The JSON that "/echo" gives.
pub(crate) fn echoed(value: &Value, name: &str) -> Option<String> {
    value
        .pointer(&format!("/headers/{name}"))
        .and_then(Value::as_str)
        .map(str::to_owned)
}
