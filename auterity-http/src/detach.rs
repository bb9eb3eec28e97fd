//! Work that goes on when its client goes away.

use std::future::Future;

use crate::error::Problem;
use crate::services::Context;

/// Does the work in a routine of its own and waits for it: a connection that breaks
/// takes the waiting with it and not the work.
pub(crate) async fn detached<T, F>(
    context: &Context,
    name: &'static str,
    work: F,
) -> Result<T, Problem>
where
    F: Future<Output = Result<T, Problem>> + Send + 'static,
    T: Send + 'static,
{
    match context.routines().spawn(name, work).await {
        Ok(result) => result,
        Err(source) => Err(Problem::internal(source)),
    }
}
