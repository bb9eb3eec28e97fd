//! Several server processes on one database.

use serde_json::Value;

use crate::database::Database;
use crate::server::{BINARY, Server, User};

const DEFINITION: &str = "document:
  dsl: '1.0.3'
  namespace: test
  name: NAME
  version: '1.0.0'
do:
- a: { set: { x: 1 } }
";

#[tokio::test(flavor = "multi_thread")]
async fn token_and_cursor_of_one_process_are_good_at_the_other() {
    let Ok(url) = std::env::var("AUTERITY_TEST_POSTGRES_URL") else {
        println!("SKIPPED: AUTERITY_TEST_POSTGRES_URL is not set");
        return;
    };
    let database = Database::create("shared", &url).await;
    let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    let key = folders[0].path().join("key");
    std::fs::write(&key, "5c".repeat(32)).expect("written");
    let key = key.display().to_string();
    let more = ["--key-file", key.as_str()];
    let start = |number: usize| {
        let data = folders[number].path().join("data");
        Server::start_with(&data, Some(&database.url), &more)
    };
    let (first, second) = (start(0), start(1));
    let user = User::sign_up(&first).await;
    for name in ["one", "two"] {
        user.deploy(&second, &DEFINITION.replace("NAME", name))
            .await;
    }
    let keys = async |server: &Server| -> Value {
        let url = format!("{}/.well-known/jwks.json", server.url);
        let answer = crate::server::client().get(url).send().await;
        let text = answer.expect("answered").text().await.expect("read");
        serde_json::from_str(&text).expect("JSON")
    };
    assert_eq!(keys(&first).await, keys(&second).await);
    let page = user.get(&first, "/workflows?limit=1").await;
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let next = format!("/workflows?limit=1&cursor={cursor}");
    let rest = user.get(&second, &next).await;
    assert_ne!(rest["items"][0]["name"], page["items"][0]["name"], "{rest}");
    // A process with a key of its own could not read what the others share.
    let third = std::process::Command::new(BINARY)
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--database-url",
            &database.url,
        ])
        .arg("--data")
        .arg(folders[2].path())
        .output()
        .expect("it ends");
    assert_eq!(third.status.code(), Some(1), "{third:?}");
    let said = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(said.contains("need the same --key-file"), "{said}");
    assert_eq!((first.terminate(), second.terminate()), (Some(0), Some(0)));
    database.drop(&url).await;
}
