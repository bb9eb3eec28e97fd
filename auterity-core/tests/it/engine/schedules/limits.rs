//! How many schedules there may be, and what many at once do to others.

use std::time::Duration;

use auterity_core::ErrorKind;
use auterity_core::clock::{Clock, SystemClock};
use auterity_core::engine::{DeployError, Options};
use auterity_core::schedule::Policy;
use auterity_core::store::{ExecutionQuery, Status, Test};
use serde_json::json;

use super::{ECHO, Place, World, hourly, hours, spec, start};
use crate::engine::{PATIENCE, definition, options};

pub(super) async fn a_tenant_has_so_many_schedules_and_no_more(place: &Place) {
    let few = Options {
        schedules_max: 2,
        ..options()
    };
    let world = World::on(place, start(), few).await;
    let (handle, scope) = (&world.fixture.handle, &world.fixture.scope);
    world.fixture.deploy("subject", ECHO).await;
    let make = |name: &'static str| {
        let spec = spec(hourly(), Policy::default());
        handle.schedule_create(scope, name, spec, Some(name))
    };
    let one = make("one").await.expect("it is made").row;
    make("two").await.expect("it is made");
    let refused = make("three").await.expect_err("one too many");
    assert_eq!(refused.kind(), ErrorKind::Limit);
    assert!(refused.message().contains("at most 2"), "{refused}");
    assert!(make("one").await.expect("it is found").existing);
    let text = definition("scheduled", &format!("schedule: {{ every: PT1H }}\n{ECHO}"));
    let deployed = handle.deploy(scope, &text).await;
    let Err(DeployError::Engine(refused)) = deployed else {
        panic!("{deployed:?}");
    };
    assert_eq!(refused.kind(), ErrorKind::Limit);
    assert!(
        refused.message().contains("deploy the version again"),
        "{refused}"
    );
    let deleted = handle.schedule_delete(scope, one.id, None).await;
    assert!(deleted.expect("it is deleted"));
    handle
        .deploy(scope, &text)
        .await
        .expect("there is room now");
}

pub(super) async fn a_crowd_on_one_second_leaves_room_for_others(place: &Place) {
    const CROWD: usize = 600;
    let world = World::new(place).await;
    let (handle, scope) = (&world.fixture.handle, &world.fixture.scope);
    world.fixture.deploy("subject", ECHO).await;
    for number in 0..CROWD {
        let spec = spec(hourly(), Policy::default());
        let made = handle
            .schedule_create(scope, &format!("crowd {number}"), spec, None)
            .await;
        made.expect("it is made");
    }
    world.clock.advance(hours(1));
    let own = world.fixture.start("subject", json!({})).await;
    world.fixture.end(own).await;
    let deadline = SystemClock.now() + PATIENCE;
    loop {
        let query = ExecutionQuery {
            filter: Test::Status(vec![Status::Completed]).into(),
            limit: 1_000,
            ..ExecutionQuery::default()
        };
        let ended = handle
            .executions(scope, &query)
            .await
            .expect("it lists")
            .items
            .len();
        if ended == CROWD + 1 {
            break;
        }
        assert!(SystemClock.now() < deadline, "only {ended} ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
