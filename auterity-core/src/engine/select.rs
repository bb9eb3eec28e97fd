//! Which executions are meant.

use super::handle::Handle;
use crate::store::{Filter, FilterMistake};

impl Handle {
    /// Reads a filter as [`Filter::parse`] does; ages count back from the engine's time.
    ///
    /// # Errors
    /// Every mistake, in order of its place.
    pub fn filter(&self, text: &str) -> Result<Filter, Vec<FilterMistake>> {
        Filter::parse(text, self.core().now())
    }
}
