//! Definitions: versions, precedence, lists, deletion.

use std::sync::Arc;

use super::{at, ok, scope, tenant};
use crate::ErrorKind;
use crate::definition::{ProgramHash, WorkflowRef};
use crate::store::{DefinitionPut, DefinitionQuery, DefinitionRow, Store};

pub(super) fn row(name: &str, version: &str) -> DefinitionRow {
    let text = format!("{name} {version} \\u0000 é");
    DefinitionRow {
        workflow: WorkflowRef {
            namespace: "suite".to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
        },
        hash: ProgramHash::of(&text),
        title: Some(format!("Title of {name}")),
        summary: None,
        text: text.into(),
        externals: Some("{\"log:1.0.0@c\":\"é\"}".into()),
        created_at: at(1),
    }
}

pub(super) async fn versions_are_kept_and_conflicts_found(store: Arc<dyn Store>) {
    let first = row("order", "1.0.0");
    let put = |row: DefinitionRow| store.definition_put(scope(1), row);
    assert_eq!(
        DefinitionPut::Created,
        ok(store.definition_put(scope(1), first.clone()).await)
    );
    assert_eq!(DefinitionPut::Same, ok(put(first.clone()).await));
    let other = DefinitionRow {
        hash: ProgramHash::of("other"),
        text: "other".into(),
        ..first.clone()
    };
    assert_eq!(DefinitionPut::Conflict, ok(put(other).await));
    let fetched = store.definition_fetch(scope(1), "suite", "order", Some("1.0.0"));
    assert_eq!(Some(first.clone()), ok(fetched.await));
    let missing = store.definition_fetch(scope(1), "suite", "order", Some("2.0.0"));
    assert_eq!(None, ok(missing.await));
    let pinned = store.definition_fetch_pinned(tenant(1), first.hash);
    assert_eq!(Some(first.clone()), ok(pinned.await));
    assert_eq!(DefinitionPut::Created, ok(put(row("order", "1.0.1")).await));

    let long = DefinitionRow {
        workflow: WorkflowRef {
            name: "n".repeat(2000),
            ..first.workflow.clone()
        },
        ..first.clone()
    };
    let refused = put(long).await.expect_err("a name has a limit");
    assert_eq!(ErrorKind::Invalid, refused.kind());

    // Another tenant has its own and sees none of these.
    let fetched = store.definition_fetch(scope(2), "suite", "order", None);
    assert_eq!(None, ok(fetched.await));
    assert_eq!(
        None,
        ok(store.definition_fetch_pinned(tenant(2), first.hash).await)
    );
    assert!(ok(store.definition_versions(scope(2), "suite", "order").await).is_empty());
    let deleted = store.definition_delete(scope(2), "suite", "order");
    assert!(!ok(deleted.await));
    assert_eq!(
        DefinitionPut::Created,
        ok(store.definition_put(scope(2), first).await)
    );
}

pub(super) async fn highest_version_is_by_precedence(store: Arc<dyn Store>) {
    for version in ["1.9.0", "1.10.0", "1.10.0-rc.2", "1.10.0-rc.10", "1.2.0"] {
        ok(store.definition_put(scope(1), row("order", version)).await);
    }
    let highest = ok(store
        .definition_fetch(scope(1), "suite", "order", None)
        .await);
    assert_eq!(Some(row("order", "1.10.0")), highest);
    let versions = store.definition_versions(scope(1), "suite", "order");
    let versions: Vec<String> = ok(versions.await)
        .into_iter()
        .map(|one| one.version)
        .collect();
    let expected = ["1.10.0", "1.10.0-rc.10", "1.10.0-rc.2", "1.9.0", "1.2.0"];
    assert_eq!(expected.to_vec(), versions);
}

pub(super) async fn list_pages_and_searches(store: Arc<dyn Store>) {
    for name in ["b", "a", "Ärger", "d", "c"] {
        for version in ["1.0.0", "2.0.0"] {
            ok(store.definition_put(scope(1), row(name, version)).await);
        }
    }
    ok(store
        .definition_put(scope(2), row("foreign", "1.0.0"))
        .await);
    let mut names = Vec::new();
    let mut query = DefinitionQuery {
        limit: 2,
        ..DefinitionQuery::default()
    };
    loop {
        let page = ok(store.definition_list(scope(1), &query).await);
        for one in page.items {
            assert_eq!("2.0.0", one.workflow.version);
            query.after = Some((one.workflow.namespace.clone(), one.workflow.name.clone()));
            names.push(one.workflow.name);
        }
        if !page.more {
            break;
        }
    }
    assert_eq!(["a", "b", "c", "d", "Ärger"].to_vec(), names);
    for (text, count) in [("ÄRGER", 1), ("title OF c", 1), ("SUITE", 5), ("100%", 0)] {
        let query = DefinitionQuery {
            text: Some(text.to_owned()),
            after: None,
            limit: 100,
        };
        let page = ok(store.definition_list(scope(1), &query).await);
        assert_eq!((count, false), (page.items.len(), page.more), "{text}");
    }
}

pub(super) async fn deleted_definitions_stay_for_pinned_executions(store: Arc<dyn Store>) {
    let first = row("order", "1.0.0");
    ok(store.definition_put(scope(1), first.clone()).await);
    assert!(ok(store
        .definition_delete(scope(1), "suite", "order")
        .await));
    assert!(!ok(store
        .definition_delete(scope(1), "suite", "order")
        .await));
    let fetched = store.definition_fetch(scope(1), "suite", "order", None);
    assert_eq!(None, ok(fetched.await));
    let query = DefinitionQuery {
        limit: 10,
        ..DefinitionQuery::default()
    };
    let listed = ok(store.definition_list(scope(1), &query).await);
    assert!(listed.items.is_empty());
    let pinned = store.definition_fetch_pinned(tenant(1), first.hash);
    assert_eq!(Some(first.clone()), ok(pinned.await));

    // The version may come again, with another text or with the same.
    let other = DefinitionRow {
        hash: ProgramHash::of("other"),
        text: "other".into(),
        ..first.clone()
    };
    assert_eq!(
        DefinitionPut::Created,
        ok(store.definition_put(scope(1), other.clone()).await)
    );
    let pinned = store.definition_fetch_pinned(tenant(1), first.hash);
    assert_eq!(Some(first.clone()), ok(pinned.await));
    assert!(ok(store
        .definition_delete(scope(1), "suite", "order")
        .await));
    assert_eq!(
        DefinitionPut::Created,
        ok(store.definition_put(scope(1), first.clone()).await)
    );
    let fetched = store.definition_fetch(scope(1), "suite", "order", None);
    assert_eq!(Some(first), ok(fetched.await));
    let pinned = store.definition_fetch_pinned(tenant(1), other.hash);
    assert_eq!(Some(other), ok(pinned.await));
}
