//! The commands that need no server.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::server::BINARY;

fn auterity(data: &Path, arguments: &[&str]) -> Output {
    auterity_with(data, &[], arguments)
}

fn auterity_with(data: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command
        .arg("--data")
        .arg(data)
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    command.output().expect("it ends")
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::File::create(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .expect("written");
    path.display().to_string()
}

fn definition(tasks: &str) -> String {
    format!(
        "document:\n  dsl: '1.0.3'\n  namespace: test\n  name: sample\n  version: '1.0.0'\ndo:\n{tasks}"
    )
}

#[test]
fn run_prints_the_output_and_takes_input_from_text_file_and_pairs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(
        folder.path(),
        "w.yaml",
        &definition("- a: { call: echo, with: { sum: '${ .x + .y }' } }\n"),
    );
    let input = format!("@{}", write(folder.path(), "i.json", "{\"x\": 1}"));
    let done = auterity(
        folder.path(),
        &["run", &file, "--input", &input, "--set", "y=2"],
    );
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let output: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(output["sum"], 3);
}

#[test]
fn faulted_run_prints_the_error_object_and_exits_with_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let tasks =
        "- bad: { raise: { error: { type: 'https://x.example/e', status: 418, title: No } } }\n";
    let file = write(folder.path(), "w.yaml", &definition(tasks));
    let done = auterity(folder.path(), &["run", &file]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let error: Value = serde_json::from_slice(&done.stderr).expect("JSON");
    assert_eq!(error["instance"], "/do/0/bad");
}

#[test]
fn invalid_definition_is_reported_at_its_line_and_exits_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(
        folder.path(),
        "w.yaml",
        &definition("- a: { set: { x: 1 }, then: nowhere }\n"),
    );
    let done = auterity(folder.path(), &["validate", &file]);
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(text.contains(&format!("{file}:7:")), "{text}");
    let done = auterity(folder.path(), &["--json", "validate", &file]);
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(report[0]["errors"][0]["code"], "unknown_jump_target");
}

#[test]
fn interrupted_run_resumes_with_the_same_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let tasks = "- a: { call: echo, with: { x: 1 } }\n- w: { wait: { seconds: 2 } }\n- b: { call: echo, with: { x: '${ .x + 1 }' } }\n";
    let file = write(folder.path(), "w.yaml", &definition(tasks));
    let mut first = Command::new(BINARY);
    first
        .arg("--data")
        .arg(folder.path())
        .args(["run", &file, "--id", "one", "--trace"]);
    let mut child = first
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    // The first record on stderr says that it is under way.
    let mut line = String::new();
    let trace = child.stderr.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(trace), &mut line).expect("a line");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    let done = auterity(folder.path(), &["run", &file, "--id", "one", "--trace"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let output: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(output["x"], 2);
}

#[test]
fn every_sample_is_valid() {
    let folder = tempfile::tempdir().expect("a folder");
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(samples).expect("the samples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|kind| kind == "yaml") {
            files.push(path.display().to_string());
        }
    }
    assert!(8 <= files.len());
    let mut arguments = vec!["validate"];
    arguments.extend(files.iter().map(String::as_str));
    let done = auterity(folder.path(), &arguments);
    assert_eq!(
        done.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
}

#[test]
fn version_and_openapi_are_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let version = auterity(folder.path(), &["version"]);
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("auterity "));
    let document = auterity(folder.path(), &["openapi"]);
    let document: Value = serde_json::from_slice(&document.stdout).expect("JSON");
    assert!(
        document["paths"]
            .as_object()
            .is_some_and(|paths| 10 < paths.len()),
        "{document}"
    );
}

#[test]
fn key_of_another_input_is_refused_instead_of_giving_the_first_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let tasks = "- a: { call: echo, with: { who: '${ .who }' } }\n";
    let file = write(folder.path(), "w.yaml", &definition(tasks));
    let ada = ["run", &file, "--id", "one", "--set", "who=Ada"];
    for _ in 0..2 {
        let done = auterity(folder.path(), &ada);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
    }
    let eve = ["run", &file, "--id", "one", "--set", "who=Eve"];
    let done = auterity(folder.path(), &eve);
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("the key of --id"));
}

#[test]
fn wrong_usage_is_told_as_json_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["--json", "nonsense"][..],
        &["--json", "run"],
        &["--json=true", "run"],
    ] {
        let done = auterity(folder.path(), arguments);
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        let told: Value = serde_json::from_slice(&done.stderr).expect("JSON");
        assert_eq!(told["status"], 2);
        assert!(told["error"].is_string(), "{told}");
    }
}

#[test]
fn file_that_cannot_be_read_does_not_hide_the_mistakes_of_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad = write(
        folder.path(),
        "w.yaml",
        &definition("- a: { set: { x: 1 }, then: nowhere }\n"),
    );
    let done = auterity(folder.path(), &["--json", "validate", "absent.yaml", &bad]);
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(report[0]["errors"][0]["code"], "file_unreadable");
    assert_eq!(report[1]["errors"][0]["code"], "unknown_jump_target");
    let done = auterity(folder.path(), &["--json", "run", &bad]);
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    let told: Value = serde_json::from_slice(&done.stderr).expect("JSON");
    assert_eq!(told["errors"][0]["start"]["line"], 7, "{told}");
}

#[test]
fn input_that_would_be_changed_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(
        folder.path(),
        "w.yaml",
        &definition("- a: { set: { x: 1 } }\n"),
    );
    let long = "123456789012345678901234567890";
    for input in [
        ["--input", &format!("{{\"n\":[{long}]}}")],
        ["--input", "{\"n\":1,\"n\":2}"],
        ["--set", &format!("n={long}")],
    ] {
        let done = auterity(folder.path(), &["run", &file, input[0], input[1]]);
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains("cannot be kept as it is"), "{said}");
    }
}

#[test]
fn empty_variables_count_as_not_set_and_switches_can_be_turned_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = write(folder.path(), "c.toml", "allow_private_addresses = true\n");
    let variables = [
        ("AUTERITY_DATABASE_URL", ""),
        ("AUTERITY_ALLOW_PRIVATE_ADDRESSES", ""),
        ("AUTERITY_JSON", "no"),
        ("AUTERITY_CONFIG", &config),
    ];
    let done = auterity_with(folder.path(), &variables, &["migrate"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let variables = [("AUTERITY_JSON", "nonsense")];
    let done = auterity_with(folder.path(), &variables, &["version"]);
    assert_eq!(done.status.code(), Some(2), "{done:?}");
}

#[test]
fn status_of_the_schema_is_told_without_making_a_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let status = |what: &str| {
        let done = auterity(&data, &["migrate", "--status"]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| line.contains(what)), "{text}");
    };
    status("there is no database yet");
    assert!(!data.exists());
    assert_eq!(auterity(&data, &["migrate"]).status.code(), Some(0));
    status("up to date");
    let done = auterity(&data, &["--json", "migrate", "--status"]);
    let table: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(table[0]["applied"], table[0]["known"]);
}

const LOG: &str = "case,activity,start,end,resource\n\
    1,a,2024-01-01T00:00:00Z,2024-01-01T01:00:00Z,Ann\n\
    1,b,2024-01-01T03:00:00Z,2024-01-01T04:00:00Z,Bob\n\
    2,a,2024-01-01T05:00:00Z,2024-01-01T06:00:00Z,Ann\n\
    2,,2024-01-01T05:00:00Z,2024-01-01T06:00:00Z,Ann\n";

#[test]
fn mine_tells_what_a_log_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = write(folder.path(), "log.csv", LOG);
    let map = folder.path().join("map.svg").display().to_string();
    let done = auterity(folder.path(), &["mine", &log, "--json", "--svg", &map]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let told: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!((&told["events"], &told["cases"]), (&3.into(), &2.into()));
    assert_eq!(told["directly_follows"][0]["waiting"]["mean"], 7200.0);
    assert_eq!(told["directly_follows"][0]["end_to_end"]["mean"], 10_800.0);
    assert_eq!(told["import"]["bad"][0]["first"][0]["line"], 5);
    assert_eq!(told["model"]["process_tree"], "->( 'a', X( 'b', tau ) )");
    assert_eq!(told["bottlenecks"][0]["activity"], "b");
    let map = std::fs::read_to_string(map).expect("the map");
    assert!(
        map.starts_with("<svg") && map.contains(">a</text>"),
        "{map}"
    );
    let done = auterity(folder.path(), &["mine", &log]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(text.contains("3 events of 2 cases"), "{text}");
    assert!(text.contains("1 with no activity: line 5"), "{text}");
}

#[test]
fn mine_says_why_it_cannot() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = write(folder.path(), "empty.csv", "case,activity,time\n1,a,soon\n");
    let cut = write(folder.path(), "cut.xes", "<log>\n<trace>\n");
    let log = write(folder.path(), "log.csv", LOG);
    for (arguments, status, said) in [
        (
            vec!["mine", "not-there.csv"],
            1,
            "not-there.csv cannot be read",
        ),
        (vec!["mine", &empty], 1, "no valid event"),
        (vec!["mine", &cut], 1, "line 3: the document is cut off"),
        (
            vec!["mine", &log, "--case", "nothing"],
            2,
            "no column is called nothing",
        ),
        (vec!["mine", &log, "--zone", "Nowhere"], 2, "no time zone"),
        (
            vec!["mine", &log, "--noise", "2"],
            2,
            "--noise is a part from 0 to 1",
        ),
        (vec!["mine"], 2, "LOG"),
    ] {
        let done = auterity(folder.path(), &arguments);
        assert_eq!(done.status.code(), Some(status), "{done:?}");
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn suggest_learns_and_says_how_good_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = |from: i64, to: i64| {
        let mut rows = vec!["case,activity,time".to_owned()];
        for case in from..to {
            for (step, activity) in ["a", "b", "c"].into_iter().enumerate() {
                let time =
                    1_700_000_000 + case * 86_400 + 3600 * i64::try_from(step).expect("small");
                rows.push(format!("{case},{activity},{time}"));
            }
        }
        rows.join("\n")
    };
    let train = write(folder.path(), "train.csv", &rows(0, 100));
    let test = write(folder.path(), "test.csv", &rows(100, 120));
    let few = write(folder.path(), "few.csv", &rows(0, 10));
    let model = folder.path().join("model.json").display().to_string();
    let done = auterity(
        folder.path(),
        &["suggest", "train", &train, "--model", &model],
    );
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(
        std::fs::read_to_string(&model)
            .expect("the model")
            .contains("auterity-predictor-1")
    );
    let arguments = [
        "suggest", "evaluate", "--train", &train, "--test", &test, "--json",
    ];
    let done = auterity(folder.path(), &arguments);
    let told: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(told["next_activity"]["without_end"], 1.0);
    assert_eq!(told["remaining_time"]["mae_days_from_2"], 0.0);
    let done = auterity(
        folder.path(),
        &["suggest", "train", &few, "--model", &model],
    );
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("not enough history: 10 cases"));
}
