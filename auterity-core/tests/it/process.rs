//! `run: shell` and `run: script` with programs of this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use auterity_core::functions::{
    Function, Http, Invocation, Isolation, ProcessOptions, Processes, RunScript, RunShell,
};
use auterity_core::interpreter::Problem;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::double::{Double, Reply, invocation, open};

const PATIENCE: Duration = Duration::from_secs(20);

fn options() -> ProcessOptions {
    let is_root = rustix::process::geteuid().is_root();
    ProcessOptions {
        user: is_root.then_some(65_534),
        isolation: Isolation::None,
        ..ProcessOptions::default()
    }
}

/// A folder that programs of any user may write to.
fn shared() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new_in("/tmp").expect("a folder");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).expect("its owner may");
    folder
}

fn shell(options: ProcessOptions) -> RunShell {
    RunShell::new(Processes::new(options).expect("options"))
}

async fn run(options: ProcessOptions, arguments: Value) -> Result<Value, Problem> {
    shell(options).call(invocation(1, arguments)).await
}

async fn command(command: &str) -> Result<Value, Problem> {
    run(
        options(),
        json!({"shell": {"command": command}, "return": "all"}),
    )
    .await
}

fn kind(problem: &Problem) -> &str {
    problem.kind.rsplit('/').next().unwrap_or_default()
}

fn detail(problem: &Problem) -> &str {
    problem.detail.as_deref().unwrap_or_default()
}

/// Waits until the path holds a number, and gives it.
async fn number(path: &Path) -> u32 {
    let read = async {
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            match text.trim().parse() {
                Ok(number) => return number,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("a number in time")
}

async fn until_gone(process: u32) {
    let stat = PathBuf::from(format!("/proc/{process}/stat"));
    let gone = async {
        // A zombie has ended too; whoever is its parent now has not asked yet.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("the process ends");
}

#[tokio::test]
async fn shell_gets_arguments_input_and_environment_as_they_are() {
    let arguments = json!({
        "shell": {
            "command": "printf '%s|' \"$@\"; cat; printf '|%s' \"$MINE\"",
            "arguments": ["a b", "$(id)", "; exit 9", "-n", 7, true],
            "stdin": {"x": 1},
            "environment": {"MINE": "it's `mine`"},
        },
    });
    assert_eq!(
        run(options(), arguments).await,
        Ok(json!("a b|$(id)|; exit 9|-n|7|true|{\"x\":1}|it's `mine`"))
    );
}

#[tokio::test]
async fn environment_and_folder_are_fresh() {
    let output = command("env | cut -d= -f1 | sort | tr '\\n' ' '; pwd; ls -A; touch here").await;
    let output = output.expect("it runs");
    let text = output["stdout"].as_str().expect("a text");
    assert!(text.starts_with("HOME LANG PATH PWD "), "{text}");
    assert!(!text.contains("CARGO"), "{text}");
    let folder = text.lines().find_map(|line| line.split("TMPDIR ").nth(1));
    let folder = folder.expect("a folder");
    assert!(folder.contains("auterity-run-"), "{text}");
    assert!(!Path::new(folder).exists(), "{folder} is left");
}

#[tokio::test]
async fn what_is_given_is_what_return_asks_for() {
    let with = |returned: &str, code: u32| json!({"shell": {"command": format!("echo out; echo err >&2; exit {code}")}, "return": returned});
    let table = [
        ("stdout", 0, Ok(json!("out\n"))),
        ("stderr", 0, Ok(json!("err\n"))),
        ("none", 0, Ok(json!(null))),
        ("code", 3, Ok(json!(3))),
        (
            "all",
            3,
            Ok(json!({"code": 3, "stdout": "out\n", "stderr": "err\n"})),
        ),
        ("stdout", 3, Err("ended with the code 3")),
        ("none", 1, Err("ended with the code 1")),
        ("other", 0, Err("none of stdout")),
    ];
    for (returned, code, wanted) in table {
        match (run(options(), with(returned, code)).await, wanted) {
            (Ok(value), Ok(wanted)) => assert_eq!(value, wanted, "{returned}"),
            (Err(problem), Err(words)) => assert!(detail(&problem).contains(words), "{problem:?}"),
            (given, wanted) => panic!("{returned}: {given:?}, not {wanted:?}"),
        }
    }
    let killed = command("kill -9 $$").await.expect("it ran");
    assert_eq!(killed["code"], 137);
}

#[tokio::test]
async fn scripts_are_executed_by_their_interpreter() {
    let host = Double::start(|_| Reply::of(200, "text/javascript", "console.log('from afar')"));
    let processes = Processes::new(options()).expect("options");
    let script = RunScript::new(processes, Arc::new(Http::new(open())));
    let run = async |script_: Value| script.call(invocation(1, json!({"script": script_}))).await;
    let javascript = json!({
        "language": "js",
        "code": "import { EOL } from 'node:os'; const [_, __, first] = process.argv;
                 const read = await new Promise((done) => process.stdin.on('data', (data) => done(`${data}`)));
                 console.log(JSON.stringify([first, read, process.env.MINE, EOL]))",
        "arguments": ["one"], "stdin": "in", "environment": {"MINE": "m"},
    });
    assert_eq!(
        run(javascript).await,
        Ok(json!("[\"one\",\"in\",\"m\",\"\\n\"]\n"))
    );
    let python = json!({
        "language": "Python", "code": "import sys, os\nprint(sys.argv[1:], os.environ['MINE'], sys.stdin.read())",
        "arguments": ["one"], "stdin": "in", "environment": {"MINE": "m"},
    });
    assert_eq!(run(python).await, Ok(json!("['one'] m in\n")));
    let elsewhere = json!({"language": "js", "source": {"endpoint": host.url("/script.js")}});
    assert_eq!(run(elsewhere).await, Ok(json!("from afar\n")));
    let problem = run(json!({"language": "cobol", "code": ""}))
        .await
        .expect_err("a problem");
    assert!(
        detail(&problem).contains("it has javascript, python"),
        "{problem:?}"
    );
}

#[tokio::test]
async fn program_is_ended_with_all_its_children_when_its_time_is_over() {
    let folder = shared();
    let path = folder.path().join("child");
    let options = ProcessOptions {
        time_max: SignedDuration::from_millis(1_500),
        ..options()
    };
    let arguments = json!({"shell": {
        "command": "sleep 1000 & echo $! > \"$1\"; wait",
        "arguments": [path.display().to_string()],
    }});
    let problem = run(options, arguments).await.expect_err("a problem");
    assert_eq!((kind(&problem), problem.status), ("timeout", 408));
    until_gone(number(&path).await).await;
}

#[tokio::test]
async fn program_is_ended_with_all_its_children_when_nobody_wants_it_any_more() {
    let folder = shared();
    let path = folder.path().join("child");
    let arguments = json!({"shell": {
        "command": "sleep 1000 & echo $! > \"$1\"; wait",
        "arguments": [path.display().to_string()],
    }});
    let child = tokio::select! {
        given = run(options(), arguments) => panic!("it ended: {given:?}"),
        child = number(&path) => child,
    };
    until_gone(child).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_ends_with_it() {
    let folder = shared();
    let path = folder.path().join("child");
    let command = format!("sleep 1000 & echo $! > '{}'", path.display());
    let given = run(
        options(),
        json!({"shell": {"command": command}, "return": "code"}),
    )
    .await;
    assert_eq!(given, Ok(json!(0)));
    until_gone(number(&path).await).await;
}

#[tokio::test]
async fn limits_of_output_input_memory_and_files_hold() {
    let flood = command("yes").await.expect_err("a problem");
    assert!(
        detail(&flood).contains("more than 1048576 bytes"),
        "{flood:?}"
    );
    let long = "x".repeat(2 << 20);
    let large = run(
        options(),
        json!({"shell": {"command": "cat", "stdin": long}}),
    )
    .await;
    assert!(detail(&large.expect_err("a problem")).contains("would take more than"));
    let small = ProcessOptions {
        memory_bytes_max: 100 << 20,
        file_bytes_max: 4_096,
        cpu_time_max: SignedDuration::from_secs(1),
        ..options()
    };
    let table = [
        ("python3 -c 'bytearray(10 ** 9)'", 1),
        ("head -c 100000 /dev/zero > file", 153),
        ("while :; do :; done", 152),
    ];
    for (command, code) in table {
        let given = run(
            small.clone(),
            json!({"shell": {"command": format!("{command}; exit $?")}, "return": "all"}),
        )
        .await
        .expect("it ran");
        assert_eq!(given["code"], code, "{command}: {given}");
    }
    let zero = run(
        options(),
        json!({"shell": {"command": "true", "arguments": ["a\u{0}b"]}}),
    )
    .await;
    assert_eq!(kind(&zero.expect_err("a problem")), "configuration");
}

#[tokio::test]
async fn isolated_program_sees_no_network_and_no_other_process() {
    let options = ProcessOptions {
        isolation: Isolation::Namespaces,
        ..options()
    };
    let command = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' \\n'; ls -d /proc/[0-9]* | wc -l; id -u; \
                   grep NoNewPrivs /proc/self/status; (setsid sleep 1000 &)";
    let arguments = json!({"shell": {"command": command}, "return": "all"});
    let given = match run(options, arguments).await {
        Ok(given) => given,
        Err(problem) if detail(&problem).contains("cannot hold programs") => {
            println!("SKIPPED: {}", detail(&problem));
            return;
        }
        Err(problem) => panic!("{problem:?}"),
    };
    let text = given["stdout"].as_str().expect("a text");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("lo"), "{given}");
    let processes: u32 = lines[0].trim_start_matches("lo").parse().expect("a number");
    assert!(processes < 8, "{given}");
    assert_ne!(lines[1], "0", "{given}");
    assert!(lines[2].ends_with('1'), "{given}");
}

#[tokio::test]
async fn program_that_nobody_waits_for_goes_on_after_the_task() {
    let folder = shared();
    let path = folder.path().join("done");
    let command = format!("sleep 0.2; echo 7 > '{}'", path.display());
    let invocation = Invocation {
        awaited: false,
        input: Arc::new(json!({"in": 1})),
        ..invocation(1, json!({"shell": {"command": command}}))
    };
    assert_eq!(
        shell(options()).call(invocation).await,
        Ok(json!({"in": 1}))
    );
    assert!(!path.exists());
    assert_eq!(number(&path).await, 7);
}

#[test]
fn options_that_would_run_programs_as_root_are_refused() {
    let is_root = rustix::process::geteuid().is_root();
    let with = |user| ProcessOptions { user, ..options() }.validate();
    assert!(with(Some(0)).is_err());
    assert_eq!(with(None).is_err(), is_root);
    assert_eq!(with(Some(1)).is_err(), !is_root);
    let none = ProcessOptions {
        output_bytes_max: 0,
        ..options()
    };
    assert!(none.validate().is_err());
    let read: ProcessOptions =
        serde_json::from_value(json!({"time_max": "5s", "isolation": "none"})).expect("options");
    assert_eq!(read.time_max, SignedDuration::from_secs(5));
}
