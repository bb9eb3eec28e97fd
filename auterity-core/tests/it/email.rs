//! `call: email` into a folder, and to a mail server of this machine.

use std::sync::{Arc, Mutex};

use auterity_core::functions::{Email, EmailOptions, Function, Invocation, Registration, Typed};
use auterity_core::interpreter::Problem;
use auterity_core::{Actor, ErrorKind, ExecutionId, Scope, TenantId};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

fn options(url: String) -> EmailOptions {
    EmailOptions {
        url,
        from: "Auterity <flows@example.com>".to_owned(),
        ..EmailOptions::default()
    }
}

async fn send(options: &EmailOptions, message: Value) -> Result<Value, Problem> {
    let function = Typed::new(Email::new(options).expect("good options"));
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    let execution = ExecutionId::from_uuid(Uuid::from_u128(2));
    let invocation = Invocation::new(Scope::new(tenant, Actor::Host), execution, message);
    function.call(invocation).await
}

/// A mail server that says `answer` to the first receiver, and keeps what it is told.
async fn server(answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            converse(stream, answer, &hears).await;
        }
    });
    (format!("smtp://{address}"), heard)
}

async fn converse(mut stream: TcpStream, answer: &str, heard: &Mutex<Vec<String>>) {
    let (reading, mut writing) = stream.split();
    let mut lines = BufReader::new(reading).lines();
    let mut within = false;
    writing.write_all(b"220 here\r\n").await.expect("it reads");
    while let Ok(Some(line)) = lines.next_line().await {
        heard.lock().expect("no panic").push(line.clone());
        let reply = match line.get(..4).unwrap_or_default() {
            _ if within && line == "." => "250 kept",
            _ if within => continue,
            "EHLO" | "MAIL" => "250 go on",
            "RCPT" => answer,
            "DATA" => "354 say it",
            "QUIT" => "221 bye",
            _ => "500 what",
        };
        within = line == "DATA";
        let reply = format!("{reply}\r\n");
        if writing.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn message_reaches_the_mail_server() {
    let (url, heard) = server("250 go on").await;
    let message = json!({
        "to": "Ada <ada@example.org>",
        "bcc": ["bob@example.org"],
        "reply_to": "desk@example.com",
        "from_name": "Orders",
        "subject": "Grüße",
        "text": "plain words",
        "html": "<p>rich words</p>",
    });
    let sent = send(&options(url), message).await.expect("it is sent");
    assert_eq!(sent["transport"], "smtp");
    assert_eq!(sent["recipients"], 2);
    let heard = heard.lock().expect("no panic").join("\n");
    for part in [
        "MAIL FROM:<flows@example.com>",
        "RCPT TO:<ada@example.org>",
        "RCPT TO:<bob@example.org>",
        "From: Orders <flows@example.com>",
        "Reply-To: desk@example.com",
        "plain words",
        "<p>rich words</p>",
        sent["message_id"].as_str().expect("a text"),
    ] {
        assert!(heard.contains(part), "{part}: {heard}");
    }
    assert!(!heard.contains("Bcc"), "{heard}");
}

#[tokio::test]
async fn refusals_tell_whether_another_try_may_succeed() {
    let message = json!({"to": "ada@example.org", "subject": "s", "text": "t"});
    for (answer, status) in [("550 never", 502), ("451 not now", 503)] {
        let (url, _) = server(answer).await;
        let problem = send(&options(url), message.clone()).await;
        let problem = problem.expect_err("it is refused");
        assert_eq!(problem.status, status, "{problem:?}");
    }
    let nobody = options("smtp://127.0.0.1:1".to_owned());
    let problem = send(&nobody, message).await.expect_err("nobody is there");
    assert_eq!(problem.status, 503);
}

#[tokio::test]
async fn repeated_call_leaves_one_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(format!("file://{}/out", folder.path().display()));
    let message = json!({"to": ["ada@example.org"], "subject": "s", "text": "words"});
    let first = send(&options, message.clone()).await.expect("it is kept");
    let second = send(&options, message).await.expect("it is kept");
    assert_eq!(first, second);
    let files: Vec<_> = std::fs::read_dir(folder.path().join("out"))
        .expect("it is there")
        .map(|file| file.expect("a file").path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let text = std::fs::read_to_string(&files[0]).expect("it is read");
    assert!(text.contains("To: ada@example.org"), "{text}");
    assert!(text.trim_end().ends_with("words"), "{text}");
}

#[tokio::test]
async fn misshapen_messages_are_refused() {
    let options = options("log:".to_owned());
    for message in [
        json!({"subject": "s", "text": "t"}),
        json!({"to": [], "subject": "s", "text": "t"}),
        json!({"to": vec!["ada@example.org"; 51], "subject": "s", "text": "t"}),
        json!({"to": "nobody", "subject": "s", "text": "t"}),
        json!({"to": "ada@example.org", "subject": "s"}),
        json!({"to": "ada@example.org", "subject": "s\r\nBcc: all@example.org", "text": "t"}),
        json!({"to": "ada@example.org", "subject": "s", "text": "t".repeat(2 << 20)}),
        json!({"to": "ada@example.org", "from": "eve@example.org", "subject": "s", "text": "t"}),
    ] {
        let problem = send(&options, message).await.expect_err("it is refused");
        assert_eq!(problem.status, 400, "{problem:?}");
    }
    let good = json!({"to": "ada@example.org", "subject": "s", "text": "t"});
    assert_eq!(
        send(&options, good).await.expect("it is noted")["transport"],
        "log"
    );
}

#[test]
fn wrong_options_are_refused() {
    for (url, from) in [
        ("nowhere", "flows@example.com"),
        ("https://example.com", "flows@example.com"),
        ("file://relative", "flows@example.com"),
        ("log:", "nobody"),
    ] {
        let options = EmailOptions {
            url: url.to_owned(),
            from: from.to_owned(),
            ..EmailOptions::default()
        };
        let refused = Registration::email(&options).expect_err("it is refused");
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{url} {from}");
    }
    let default = Registration::email(&EmailOptions::default());
    assert!(default.is_ok(), "{default:?}");
}
