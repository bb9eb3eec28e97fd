//! The way down: clients that wait get an answer, and the process ends in time.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Server, User};

const WAITS: &str = "document:
  dsl: '1.0.3'
  namespace: test
  name: waits
  version: '1.0.0'
do:
- a: { wait: { minutes: 5 } }
";

const HANGS: &str = "document:
  dsl: '1.0.3'
  namespace: test
  name: hangs
  version: '1.0.0'
do:
- a: { call: http, with: { method: get, endpoint: 'http://ADDRESS/' } }
";

/// How long an orchestrator waits before it kills.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// A server with a call under way that never ends, and the connection of that call.
async fn busy(folder: &tempfile::TempDir) -> (Server, User, TcpStream) {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = silent.local_addr().expect("an address").to_string();
    let more = ["--allow-private-addresses"];
    let server = Server::start_with(folder.path(), None, &more);
    let user = User::sign_up(&server).await;
    user.deploy(&server, &HANGS.replace("ADDRESS", &address))
        .await;
    let path = "/workflows/test/hangs/executions";
    let sent = user
        .call(&server, Method::POST, path, (Some("{}"), None))
        .await;
    assert_eq!(sent.expect("answered").0, 202);
    let (held, _) = silent.accept().await.expect("the call arrives");
    (server, user, held)
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_client_is_answered_and_the_process_ends_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, user, _held) = busy(&folder).await;
    user.deploy(&server, WAITS).await;
    let path = "/workflows/test/waits/executions?wait=60s";
    let waiting = user.call(&server, Method::POST, path, (Some("{}"), None));
    let stop = async {
        let listed = "/executions?workflow=test/waits";
        while user.get(&server, listed).await["items"] == Value::from(Vec::<Value>::new()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.ask_to_stop();
    };
    let (answered, ()) = tokio::join!(waiting, stop);
    let asked = Instant::now();
    let (status, execution) = answered.expect("answered");
    assert_eq!(status, 202, "{execution}");
    assert!(execution["id"].is_string(), "{execution}");
    assert_eq!(server.ended(), Some(0));
    let took = asked.elapsed();
    assert!(took < ENDS_WITHIN, "ended after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_signal_ends_the_process_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, _, _held) = busy(&folder).await;
    server.ask_to_stop();
    // The first is heard when the address is given up.
    while TcpStream::connect(server.url.trim_start_matches("http://"))
        .await
        .is_ok()
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.ask_to_stop();
    assert_eq!(server.ended(), Some(1));
}
