use std::future::Future;
use std::task::{Context, Waker};

use auterity_tenancy::{ErrorKind, IdentityOptions, Principal, Role, Secret, SignedIn};
use futures_util::future::join_all;

use crate::world::{PASSWORD, World, on_both};

const RACE: ErrorKind = ErrorKind::Conflict {
    field: "refresh_token",
};
const DAY_S: i64 = 24 * 3600;

fn principal(world: &World, signed_in: &SignedIn) -> Principal {
    world
        .identity
        .authenticate(signed_in.tokens.access_token.expose())
        .unwrap()
}

async fn refused(world: &World, token: &Secret) -> ErrorKind {
    world.identity.refresh(token).await.unwrap_err().kind()
}

/// Polls a call a few times and drops it.
async fn give_up<F: Future>(call: F, polls: u32) {
    let mut call = Box::pin(call);
    for _ in 0..=polls {
        let mut context = Context::from_waker(Waker::noop());
        if call.as_mut().poll(&mut context).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

on_both! {
    async fn refresh_gives_new_tokens_for_the_same_session(world: &World) {
        let up = world.sign_up("ada").await;
        let before = principal(world, &up);
        world.wait(60);
        let tokens = world.identity.refresh(&up.tokens.refresh_token).await.unwrap();
        assert_ne!(tokens.refresh_token.expose(), up.tokens.refresh_token.expose());
        let after = world.identity.authenticate(tokens.access_token.expose()).unwrap();
        assert_eq!(after.session(), before.session());
        assert!(before.expires_at() < after.expires_at());
    }

    async fn a_race_gets_nothing_and_harms_nothing(world: &World) {
        let up = world.sign_up("ada").await;
        let old = &up.tokens.refresh_token;
        let won = world.identity.refresh(old).await.unwrap();
        world.wait(10);
        assert_eq!(refused(world, old).await, RACE);
        world.identity.refresh(&won.refresh_token).await.unwrap();
    }

    async fn a_used_token_that_comes_back_ends_the_session(world: &World) {
        let up = world.sign_up("ada").await;
        let won = world.identity.refresh(&up.tokens.refresh_token).await.unwrap();
        world.wait(11);
        let reuse = refused(world, &up.tokens.refresh_token).await;
        assert_eq!(reuse, ErrorKind::Unauthenticated);
        assert_eq!(refused(world, &won.refresh_token).await, ErrorKind::Unauthenticated);
        let session = principal(world, &up).session();
        assert!(!world.identity.session_active(session).await.unwrap());
        // Another session of the same user lives on.
        let other = world.sign_in("ada", PASSWORD).await.unwrap();
        world.identity.refresh(&other.tokens.refresh_token).await.unwrap();
    }

    async fn only_the_newest_used_token_counts_as_a_race(world: &World) {
        let up = world.sign_up("ada").await;
        let second = world.identity.refresh(&up.tokens.refresh_token).await.unwrap();
        let third = world.identity.refresh(&second.refresh_token).await.unwrap();
        let oldest = refused(world, &up.tokens.refresh_token).await;
        assert_eq!(oldest, ErrorKind::Unauthenticated);
        assert_eq!(refused(world, &third.refresh_token).await, ErrorKind::Unauthenticated);
    }

    async fn fifty_refreshes_of_one_token_have_one_winner(world: &World) {
        let up = world.sign_up("ada").await;
        let calls = (0..50).map(|_| {
            let (identity, token) = (world.identity.clone(), up.tokens.refresh_token.clone());
            async move { identity.refresh(&token).await }
        });
        let (won, lost): (Vec<_>, Vec<_>) =
            join_all(calls).await.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for error in lost.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), RACE);
        }
        let won = won.into_iter().find_map(Result::ok).unwrap();
        world.identity.refresh(&won.refresh_token).await.unwrap();
    }

    async fn malformed_refresh_tokens_are_refused(world: &World) {
        let up = world.sign_up("ada").await;
        let good = up.tokens.refresh_token.expose();
        assert!(good.starts_with("art_") && good.len() == 47, "{}", good.len());
        let access = up.tokens.access_token.expose();
        let cases = ["", "art_", &good[..46], &good.replace("art_", "atr_"),
                     &format!("{good}A"), &good.to_uppercase(), access,
                     "art_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
        for case in cases {
            let kind = refused(world, &Secret::from(case)).await;
            assert_eq!(kind, ErrorKind::Unauthenticated, "{case}");
        }
        assert!(world.identity.authenticate(good).is_err());
        world.identity.refresh(&up.tokens.refresh_token).await.unwrap();
    }

    async fn sign_out_ends_this_session_or_all(world: &World) {
        let first = world.sign_up("ada").await;
        let second = world.sign_in("ada", PASSWORD).await.unwrap();
        let third = world.sign_in("ada", PASSWORD).await.unwrap();
        world.sign_up("bob").await;
        let bob = world.sign_in("bob", PASSWORD).await.unwrap();

        world.identity.sign_out(&principal(world, &first)).await.unwrap();
        assert_eq!(refused(world, &first.tokens.refresh_token).await, ErrorKind::Unauthenticated);
        let active = world.identity.session_active(principal(world, &first).session()).await;
        assert!(!active.unwrap());

        world.identity.sign_out_by_token(&second.tokens.refresh_token).await.unwrap();
        world.identity.sign_out_by_token(&second.tokens.refresh_token).await.unwrap();
        world.identity.sign_out_by_token(&Secret::from("nonsense")).await.unwrap();
        assert_eq!(refused(world, &second.tokens.refresh_token).await, ErrorKind::Unauthenticated);

        let still = world.identity.session_active(principal(world, &third).session()).await;
        assert!(still.unwrap());
        world.identity.sign_out_everywhere(&principal(world, &first)).await.unwrap();
        assert_eq!(refused(world, &third.tokens.refresh_token).await, ErrorKind::Unauthenticated);
        world.identity.refresh(&bob.tokens.refresh_token).await.unwrap();
    }

    async fn sessions_end_when_idle_and_at_their_end(world: &World) {
        let idle = world.sign_up("ada").await;
        world.wait(14 * DAY_S);
        assert_eq!(refused(world, &idle.tokens.refresh_token).await, ErrorKind::Unauthenticated);

        let mut token = world.sign_in("ada", PASSWORD).await.unwrap().tokens.refresh_token;
        for _ in 0..3 {
            world.wait(9 * DAY_S);
            token = world.identity.refresh(&token).await.unwrap().refresh_token;
        }
        world.wait(3 * DAY_S);
        assert_eq!(refused(world, &token).await, ErrorKind::Unauthenticated);
    }

    async fn a_changed_role_acts_from_the_next_refresh(world: &World) {
        let up = world.sign_up("ada").await;
        world.sql("UPDATE memberships SET role = 'viewer'").await;
        assert_eq!(world.identity.me(&principal(world, &up)).await.unwrap().role, Role::Viewer);
        let tokens = world.identity.refresh(&up.tokens.refresh_token).await.unwrap();
        let now = world.identity.authenticate(tokens.access_token.expose()).unwrap();
        assert_eq!(now.role(), Role::Viewer);

        world.sql("DELETE FROM memberships").await;
        assert_eq!(refused(world, &tokens.refresh_token).await, ErrorKind::Unauthenticated);
        assert!(!world.identity.session_active(now.session()).await.unwrap());
        let me = world.identity.me(&now).await.unwrap_err();
        assert_eq!(me.kind(), ErrorKind::Unauthenticated);
        let outside = world.sign_in("ada", PASSWORD).await.unwrap_err();
        assert_eq!(outside.kind(), ErrorKind::Forbidden);
    }

    async fn the_oldest_sessions_make_room(world: &World) {
        let options = IdentityOptions {
            sessions_per_member_max: 2,
            ..IdentityOptions::default()
        };
        let identity = world.reopen(&options).await;
        let mut all = vec![world.sign_up("ada").await];
        for _ in 0..2 {
            world.wait(1);
            let input = crate::world::sign_in("ada", PASSWORD);
            all.push(identity.sign_in(input, None).await.unwrap());
        }
        let mut active = Vec::new();
        for one in &all {
            let session = principal(world, one).session();
            active.push(world.identity.session_active(session).await.unwrap());
        }
        assert_eq!(active, [false, true, true]);
    }

    async fn maintenance_deletes_what_has_ended_only(world: &World) {
        let ended = world.sign_up("ada").await;
        world.wait(13 * DAY_S);
        let revoked = world.sign_in("ada", PASSWORD).await.unwrap();
        world.identity.sign_out(&principal(world, &revoked)).await.unwrap();
        let living = world.sign_in("ada", PASSWORD).await.unwrap();
        world.wait(DAY_S);
        assert_eq!(world.identity.maintain().await.unwrap(), 2);
        assert_eq!(world.identity.maintain().await.unwrap(), 0);
        assert_eq!(refused(world, &ended.tokens.refresh_token).await, ErrorKind::Unauthenticated);
        world.identity.refresh(&living.tokens.refresh_token).await.unwrap();
    }

    // The driver loses count of a transaction whose `begin` is dropped half way,
    // and the connection's next user inherits it. Calls that are given up at every
    // stage must leave nothing behind.
    async fn calls_that_are_given_up_leave_no_open_transaction(world: &World) {
        let up = world.sign_up("ada").await;
        let session = principal(world, &up).session();
        let unknown = Secret::from(format!("art_{}", "A".repeat(43)));
        for round in 0..400_u32 {
            // Reading and writing by turns, each time a little later.
            if round % 2 == 0 {
                give_up(world.identity.session_active(session), round * 3).await;
            } else {
                give_up(world.identity.refresh(&unknown), round * 3).await;
            }
            // The next user of a connection would close what was left open on it.
            if round % 10 == 9 {
                world.assert_no_open_transaction().await;
            }
        }
        let answers = join_all((0..40).map(|_| world.identity.session_active(session))).await;
        assert!(answers.into_iter().all(Result::unwrap));
        let tokens = world.identity.refresh(&up.tokens.refresh_token).await.unwrap();
        world.identity.sign_out(&principal(world, &up)).await.unwrap();
        // Seen from outside: what was acknowledged is committed.
        let identity = world.reopen(&IdentityOptions::default()).await;
        let error = identity.refresh(&tokens.refresh_token).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    }
}
