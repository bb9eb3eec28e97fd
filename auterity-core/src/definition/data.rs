//! What happens to data at borders.

use super::record::{Closed, record};
use super::schema::Schema;
use super::union::ObjectOrText;

record! {
    /// How input is checked and reshaped.
    Input: Closed, "the input" {
        optional schema: Schema = "schema",
        optional from: ObjectOrText = "from",
    }
}

record! {
    /// How output is reshaped and checked.
    Output: Closed, "the output" {
        optional schema: Schema = "schema",
        optional transform: ObjectOrText = "as",
    }
}

record! {
    /// What is put into the workflow's context.
    Export: Closed, "the export" {
        optional schema: Schema = "schema",
        optional transform: ObjectOrText = "as",
    }
}
