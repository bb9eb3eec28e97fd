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
async fn operators_get_probes_and_metrics_on_a_listener_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let more = ["--admin-listen", "127.0.0.1:0"];
    let server = Server::start_with(folder.path(), None, &more);
    let admin = server.admin_url.clone().expect("an admin_url");
    let client = crate::server::client();
    let get = async |url: String| {
        let answer = client.get(url).send().await.expect("answered");
        (answer.status().as_u16(), answer.text().await.expect("read"))
    };
    User::sign_up(&server).await;
    for probe in ["livez", "readyz", "startupz"] {
        assert_eq!(get(format!("{admin}/{probe}")).await.0, 200, "{probe}");
    }
    let (status, text) = get(format!("{admin}/metrics")).await;
    assert_eq!(status, 200);
    for wanted in [
        "http_route=\"/api/v1/auth/sign-up\"",
        "process_cpu_seconds_total ",
        "auterity_build_info{version=",
        "auterity_executions_started_total ",
        "auterity_journal_commit_seconds_bucket{le=\"+Inf\"} ",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    // The API is not there, and the metrics are not with the API.
    assert_eq!(get(format!("{admin}/api/v1/workflows")).await.0, 404);
    let (_, page) = get(format!("{}/metrics", server.url)).await;
    assert!(!page.contains("process_cpu_seconds_total"));
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
