//! The file of secrets: each tenant uses its own and no other's.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{BINARY, Server, User};

const DEFINITION: &str = "document:
  dsl: '1.0.3'
  namespace: test
  name: secretive
  version: '1.0.0'
use:
  secrets: [ crm ]
do:
- ask: { call: echo, with: { known: '${ $secrets.crm | length }' } }
";

async fn execute(server: &Server, user: &User) -> Value {
    let path = "/workflows/test/secretive/executions?wait=20s";
    let body = (Some("{\"input\":{}}"), None);
    let sent = user.call(server, Method::POST, path, body).await;
    let (status, answer) = sent.expect("answered");
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn second_tenant_cannot_use_the_first_ones_secret_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), None);
    let (owner, stranger) = (User::sign_up(&server).await, User::sign_up(&server).await);
    let me = owner.get(&server, "/auth/me").await;
    let tenant = me["tenant"]["id"].as_str().expect("an id");
    assert_eq!(server.terminate(), Some(0));
    let file = folder.path().join("secrets.json");
    let secrets = json!({ tenant: { "crm": "canary-8841" } });
    std::fs::write(&file, secrets.to_string()).expect("written");
    let file = file.display().to_string();
    let server = Server::start_with(folder.path(), None, &["--secrets", &file]);
    for user in [&owner, &stranger] {
        user.deploy(&server, DEFINITION).await;
    }
    let own = execute(&server, &owner).await;
    assert_eq!(own["output"]["known"], 11, "{own}");
    let foreign = execute(&server, &stranger).await;
    assert_eq!(foreign["status"], "faulted", "{foreign}");
    assert_eq!(foreign["error"]["status"], 403, "{foreign}");
}

#[test]
fn file_without_tenants_is_refused_by_the_server_and_taken_by_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secrets.json");
    std::fs::write(&file, "{\"crm\": \"canary-8841\"}").expect("written");
    let definition = folder.path().join("w.yaml");
    std::fs::write(&definition, DEFINITION).expect("written");
    let auterity = |arguments: &[&str]| {
        let mut command = std::process::Command::new(BINARY);
        command.arg("--data").arg(folder.path().join("data"));
        command.arg("--secrets").arg(&file).args(arguments);
        command.output().expect("it ends")
    };
    let refused = auterity(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("\"crm\", which is no tenant's id"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    let done = auterity(&["run", &definition.display().to_string()]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let output: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(output["known"], 11);
}
