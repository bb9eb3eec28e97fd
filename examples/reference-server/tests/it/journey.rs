//! A person's way: sign up, deploy, start, watch, stop.

use reqwest::Method;

use crate::server::{Server, User};

const DEFINITION: &str = include_str!("../../../workflows/document-triage.yaml");
const INPUT: &str = include_str!("../../../workflows/document-triage.input.json");

#[tokio::test(flavor = "multi_thread")]
async fn sample_runs_from_sign_up_to_its_end_and_the_server_stops_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), None);
    let user = User::sign_up(&server).await;
    user.deploy(&server, DEFINITION).await;
    let body = format!("{{\"input\":{INPUT}}}");
    let path = "/workflows/support/document-triage/executions?wait=20s";
    let sent = user
        .call(&server, Method::POST, path, (Some(&body), None))
        .await;
    let (status, answer) = sent.expect("answered");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["status"], "completed", "{answer}");
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn second_process_on_the_same_folder_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let _server = Server::start(folder.path(), None);
    let second = std::process::Command::new(crate::server::BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .output()
        .expect("it ends");
    assert_eq!(second.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("another process uses the data folder")
    );
}
