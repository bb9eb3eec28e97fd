//! One task of a definition, as a definition of its own.

use serde_json::{Map, Value, json};

use crate::definition::{CompileOptions, compile};

/// Makes a definition that consists of one task. Its input is an object: `input` is
/// what the task gets, `context` what tasks before it exported.
pub(super) fn only_task(text: &str, wanted: &str) -> Result<String, String> {
    let program = compile(text, &CompileOptions::default()).map_err(|mistakes| {
        let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        format!("the definition has mistakes:\n{}", all.join("\n"))
    })?;
    let mut root = Value::clone(&program.definition);
    let found: Vec<_> = program
        .tasks
        .iter()
        .filter(|task| task.reference == wanted || task.name == wanted)
        .collect();
    let task = match found.as_slice() {
        [task] => *task,
        [] => return Err(format!("the definition has no task {wanted}")),
        _ => {
            return Err(format!(
                "several tasks are named {wanted}: give the JSON pointer"
            ));
        }
    };
    let mut alone = Value::clone(&task.definition);
    if let Value::Object(properties) = &mut alone {
        // Where the task would lead is not there.
        properties.shift_remove("then");
    }
    let given = json!({
        "set": "${ .input }",
        "export": { "as": "${ $input.context }" },
    });
    let mut only = Map::new();
    only.insert(task.name.clone(), alone);
    if let Value::Object(properties) = &mut root {
        for outer in ["input", "output", "schedule", "timeout"] {
            properties.shift_remove(outer);
        }
        properties.insert("do".to_owned(), json!([{ "given": given }, only]));
    }
    Ok(root.to_string())
}
