//! What functions under way say of themselves.

use std::sync::Arc;

use super::{Life, at, completed, entry, execution, ok, scope, started, tenant};
use crate::store::{Next, Store, TaskProgress};

fn said(number: u128, effect: u64, details: &str) -> TaskProgress {
    TaskProgress {
        tenant: tenant(1),
        execution: execution(number),
        effect,
        task: "/do/0/work".to_owned(),
        at: at(5),
        details: details.into(),
    }
}

async fn known(store: &Arc<dyn Store>, number: u128) -> Vec<TaskProgress> {
    let fetched = store.task_progress_fetch(scope(1), execution(number));
    ok(fetched.await)
}

pub(super) async fn what_functions_say_is_kept_until_it_is_over(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let other = Life::begin(&store, 2).await;
    life.record(&[started(1, Next::Owned), started(2, Next::Owned)])
        .await;
    let odd = "{\"words\":\"\\u0000 'quoted' \u{1f980}\"}";
    let first = [said(1, 3, "1"), said(1, 4, odd), said(2, 3, "9")];
    ok(store.task_progress_put(&life.fence, &first, &[]).await);
    ok(store
        .task_progress_put(&other.fence, &[said(1, 3, "7")], &[])
        .await);
    assert_eq!(known(&store, 1).await, first[..2], "others have no say");
    let foreign = store.task_progress_fetch(scope(2), execution(1)).await;
    assert_eq!(ok(foreign), [], "another tenant sees nothing");

    let (later, over) = ([said(1, 3, "2")], [(execution(1), 4)]);
    ok(store.task_progress_put(&life.fence, &later, &over).await);
    assert_eq!(known(&store, 1).await, later);

    life.record(&[entry(1, 2, completed())]).await;
    ok(store.task_progress_sweep().await);
    assert_eq!(known(&store, 1).await, [], "its execution has ended");
    assert_eq!(known(&store, 2).await, first[2..]);
}
