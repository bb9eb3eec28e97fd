//! What must hold for the place of every mistake.

use auterity_core::definition::{Mistake, Position, diagnose};
use serde_json::Value;

/// Checks that each mistake is inside the text, and its pointer inside the value.
pub(super) fn check_places(text: &str, value: Option<&Value>, mistakes: &[Mistake]) {
    assert!(!mistakes.is_empty(), "refused without a reason:\n{text}");
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    let is_inside = |position: Position| {
        let line = usize::try_from(position.line).expect("a small number");
        let column = usize::try_from(position.column).expect("a small number");
        1 <= line && line <= lines.len() && 1 <= column && column <= lines[line - 1] + 1
    };
    for mistake in mistakes {
        let fits =
            is_inside(mistake.start) && is_inside(mistake.end) && mistake.start <= mistake.end;
        assert!(fits, "{mistake:?} is outside of\n{text}");
        if let Some(value) = value {
            let parent = mistake
                .pointer
                .rsplit_once('/')
                .map_or("", |(parent, _)| parent);
            let exists = value
                .pointer(&mistake.pointer)
                .or_else(|| value.pointer(parent));
            assert!(exists.is_some(), "{mistake:?} points to nothing in\n{text}");
        }
        assert!(!mistake.message.is_empty() && !mistake.code.is_empty());
    }
    assert_eq!(
        diagnose("file", mistakes).lines().count(),
        mistakes.len(),
        "one line for each"
    );
}
