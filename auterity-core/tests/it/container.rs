//! `run: container` with a program in the place of an engine: it notes what it is told.
//! A machine with a real engine is not needed, and not tried.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::functions::{
    ContainerOptions, Function, Invocation, ProcessOptions, Processes, RunContainer,
};
use auterity_core::interpreter::Problem;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::double::invocation;

/// Notes its words, its environment file and its input; `sleep` as a word makes it slow.
const ENGINE: &str = r#"#!/bin/sh
echo "$@" >> "$NOTES/words"
[ "$1" = rm ] && exit 0
cat environment > "$NOTES/environment"
env > "$NOTES/own"
case "$*" in *--interactive*) cat ;; esac
case "$*" in *slow*) sleep 1000 ;; *broken*) exit 3 ;; esac
echo done
"#;

struct Engine {
    notes: TempDir,
    options: ContainerOptions,
}

impl Engine {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let notes = TempDir::new().expect("a folder");
        let program = notes.path().join("engine");
        std::fs::write(&program, ENGINE).expect("a program");
        let may = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, may).expect("its owner may");
        let environment = [("NOTES".to_owned(), notes.path().display().to_string())];
        let options = ContainerOptions {
            engine: program.display().to_string(),
            engine_environment: environment.into_iter().collect(),
            ..ContainerOptions::default()
        };
        Self { notes, options }
    }

    fn function(&self) -> RunContainer {
        let is_root = rustix::process::geteuid().is_root();
        let processes = Processes::new(ProcessOptions {
            user: is_root.then_some(65_534),
            time_max: SignedDuration::from_secs(2),
            ..ProcessOptions::default()
        });
        RunContainer::new(processes.expect("options"), self.options.clone()).expect("options")
    }

    async fn run(&self, container: Value) -> Result<Value, Problem> {
        let arguments = json!({ "container": container });
        self.function().call(invocation(1, arguments)).await
    }

    fn noted(&self, name: &str) -> String {
        std::fs::read_to_string(self.notes.path().join(name)).unwrap_or_default()
    }

    /// Waits until the engine has been told this.
    async fn told(&self, words: &str) {
        let told = async {
            while !self.noted("words").contains(words) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), told)
            .await
            .expect(words);
    }
}

fn detail(problem: &Problem) -> &str {
    problem.detail.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn engine_is_told_image_command_limits_and_environment() {
    let engine = Engine::new();
    let container = json!({
        "image": "docker.io/library/alpine:3", "command": "echo $1", "arguments": ["a b", "--privileged"],
        "environment": {"SECRET": "canary", "N": 1}, "stdin": "in ", "pullPolicy": "never",
    });
    assert_eq!(engine.run(container).await, Ok(json!("in done\n")));
    let words = engine.noted("words");
    let lines: Vec<&str> = words.lines().collect();
    assert_eq!(lines[0], "rm --force auterity-exe-1-7");
    assert_eq!(
        lines[1],
        "run --name=auterity-exe-1-7 --init --cap-drop=ALL --security-opt=no-new-privileges --memory=536870912 \
         --pids-limit=256 --cpus=1.000 --env-file=environment --rm --network=none --interactive --pull=never \
         docker.io/library/alpine:3 sh -c echo $1 sh a b --privileged"
    );
    assert_eq!(engine.noted("environment"), "SECRET=canary\nN=1\n");
    assert!(
        !engine.noted("own").contains("canary"),
        "the engine's own environment has none of it"
    );
    assert_eq!(lines.len(), 2, "{words}");
}

#[tokio::test]
async fn what_the_host_does_not_allow_is_refused_before_the_engine_is_told() {
    let mut engine = Engine::new();
    let table = [
        (json!({"image": "--privileged"}), "no name of an image"),
        (
            json!({"image": "a", "name": "-x"}),
            "no name of a container",
        ),
        (json!({"image": "a", "ports": {"80": 80}}), "publish ports"),
        (
            json!({"image": "a", "volumes": {"/etc": "/x"}}),
            "mount this folder",
        ),
        (
            json!({"image": "a", "environment": {"A": "1\nB=2"}}),
            "several lines",
        ),
        (
            json!({"image": "a", "lifetime": {"cleanup": "eventually"}}),
            "needs 'after'",
        ),
    ];
    for (container, words) in table {
        let problem = engine.run(container).await.expect_err(words);
        assert!(detail(&problem).contains(words), "{problem:?}");
    }
    assert_eq!(engine.noted("words"), "");
    let open = TempDir::new().expect("a folder");
    let inside = open
        .path()
        .join("..")
        .join(open.path().file_name().expect("a name"));
    engine.options.volumes = vec![std::fs::canonicalize(open.path()).expect("it is there")];
    engine.options.images = vec!["registry.example/".to_owned()];
    let problem = engine
        .run(json!({"image": "alpine"}))
        .await
        .expect_err("a problem");
    assert!(
        detail(&problem).contains("does not allow this image"),
        "{problem:?}"
    );
    let volumes = json!({inside.display().to_string(): "/data"});
    engine
        .run(json!({"image": "registry.example/a", "volumes": volumes}))
        .await
        .expect("it runs");
    assert!(engine.noted("words").contains(&format!(
        "source={},target=/data",
        engine.options.volumes[0].display()
    )));
    let outside = PathBuf::from(format!("{}/../", open.path().display()));
    let volumes = json!({outside.display().to_string(): "/data"});
    let problem = engine
        .run(json!({"image": "registry.example/a", "volumes": volumes}))
        .await
        .expect_err("a problem");
    assert!(
        detail(&problem).contains("mount this folder"),
        "{problem:?}"
    );
}

#[tokio::test]
async fn container_is_removed_when_it_takes_too_long_or_is_not_wanted() {
    let engine = Engine::new();
    let problem = engine
        .run(json!({"image": "slow", "name": "late"}))
        .await
        .expect_err("a problem");
    assert_eq!(problem.status, 408, "{problem:?}");
    engine.told("rm --force late").await;
    let function = engine.function();
    let arguments = json!({"container": {"image": "slow", "name": "unwanted"}});
    tokio::select! {
        given = function.call(invocation(1, arguments)) => panic!("it ended: {given:?}"),
        () = engine.told("run --name=unwanted") => {}
    }
    engine.told("rm --force unwanted").await;
}

#[tokio::test]
async fn lifetime_says_what_becomes_of_the_container() {
    let engine = Engine::new();
    let with = |name: &str, lifetime: Value| json!({"image": "alpine", "name": name, "lifetime": lifetime});
    engine
        .run(with("kept", json!({"cleanup": "never"})))
        .await
        .expect("it runs");
    let eventually = json!({"cleanup": "eventually", "after": {"milliseconds": 20}});
    engine
        .run(with("later", eventually))
        .await
        .expect("it runs");
    engine.told("rm --force later").await;
    let words = engine.noted("words");
    assert!(!words.contains("rm --force kept"), "{words}");
    assert!(!words.contains("--rm"), "{words}");
    let problem = engine
        .run(json!({"image": "broken", "name": "failing"}))
        .await
        .expect_err("a problem");
    assert!(detail(&problem).contains("the code 3"), "{problem:?}");
    let invocation = Invocation {
        awaited: false,
        input: Arc::new(json!({"in": 1})),
        ..invocation(
            1,
            json!({"container": {"image": "alpine", "name": "unawaited"}}),
        )
    };
    assert_eq!(
        engine.function().call(invocation).await,
        Ok(json!({"in": 1}))
    );
    engine.told("run --name=unawaited").await;
}
