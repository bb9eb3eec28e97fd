use auterity_tenancy::{ErrorKind, IdentityOptions, Permission, Role, SignIn, check, migrate};
use futures_util::future::join_all;

use crate::world::{PASSWORD, World, ip, on_both, sign_in, sign_up};

on_both! {
    async fn a_stranger_signs_up_and_is_known(world: &World) {
        let mut input = sign_up("ada");
        input.email = "  Ada@Example.COM ".into();
        let up = world.identity.sign_up(input, None).await.unwrap();
        assert_eq!(up.user.email, "ada@example.com");
        assert_eq!((up.role, up.user.created_at), (Role::Owner, world.now()));

        let principal = world.identity.authenticate(up.tokens.access_token.expose()).unwrap();
        assert_eq!((principal.user(), principal.tenant()), (up.user.id, up.tenant.id));
        check(&principal, Permission::TenantDelete).unwrap();
        let me = world.identity.me(&principal).await.unwrap();
        assert_eq!((&me.user, &me.tenant, me.role), (&up.user, &up.tenant, Role::Owner));
        let scope = world.identity.scope_for(&principal, Some("abc".to_owned()), None);
        assert_eq!((scope.tenant(), scope.trace()), (up.tenant.id, Some("abc")));

        let again = world.sign_in("ADA", PASSWORD).await.unwrap();
        assert_eq!((again.user, again.tenant), (up.user, up.tenant));
    }

    async fn taken_address_and_slug_are_told_apart(world: &World) {
        world.sign_up("ada").await;
        let mut same_email = sign_up("ada");
        same_email.tenant_slug = "other".into();
        let error = world.identity.sign_up(same_email, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict { field: "email" });
        let mut same_slug = sign_up("bob");
        same_slug.tenant_slug = "ada-slug".into();
        let error = world.identity.sign_up(same_slug, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict { field: "slug" });
        // Nothing of the refused sign-up stayed.
        world.sign_up("bob").await;
    }

    async fn racing_sign_ups_have_one_winner(world: &World) {
        for (round, field) in ["email", "slug"].into_iter().enumerate() {
            let calls = (0..8).map(|index| {
                let mut input = sign_up(&format!("r{round}-{index}"));
                match field {
                    "email" => input.email = "same@example.com".into(),
                    _ => input.tenant_slug = "same-slug".into(),
                }
                world.identity.sign_up(input, None)
            });
            let results = join_all(calls).await;
            let won = results.iter().filter(|result| result.is_ok()).count();
            assert_eq!(won, 1, "{field}");
            for error in results.into_iter().filter_map(Result::err) {
                assert_eq!(error.kind(), ErrorKind::Conflict { field });
            }
        }
    }

    async fn refusals_do_not_tell_who_exists(world: &World) {
        world.sign_up("ada").await;
        let of = |name: &str, password: &str, tenant: Option<&str>| SignIn {
            tenant: tenant.map(str::to_owned),
            ..sign_in(name, password)
        };
        world.sign_up("bob").await;
        let cases = [
            of("ada", "wrong horse battery", None),
            of("nobody", PASSWORD, None),
            of("not an address", PASSWORD, None),
            of("ada", "", None),
            of("ada", &"x".repeat(10_000), None),
            of("ada", PASSWORD, Some("bob-slug")),
            of("ada", PASSWORD, Some("no-such-slug")),
            of("ada", PASSWORD, Some("' OR 1=1 --")),
        ];
        let mut answers = Vec::new();
        for (index, case) in cases.into_iter().enumerate() {
            let from = Some(ip(&format!("192.0.2.{}", index + 1)));
            let error = world.identity.sign_in(case, from).await.unwrap_err();
            answers.push((error.kind(), error.message().to_owned(), error.fields().to_vec()));
        }
        assert_eq!(answers[0].0, ErrorKind::Unauthenticated);
        for answer in &answers {
            assert_eq!(answer, &answers[0]);
        }
    }

    async fn a_member_of_two_tenants_chooses_and_rights_are_not_united(world: &World) {
        let ada = world.sign_up("ada").await;
        world.wait(1);
        world.sign_up("bob").await;
        world
            .sql(
                "INSERT INTO memberships (user_id, tenant_id, role, created_at)
                 SELECT users.id, tenants.id, 'viewer', tenants.created_at FROM users, tenants
                 WHERE users.email = 'ada@example.com' AND tenants.slug = 'bob-slug'",
            )
            .await;
        let own = world.sign_in("ada", PASSWORD).await.unwrap();
        assert_eq!((own.tenant.id, own.role), (ada.tenant.id, Role::Owner));
        let input = SignIn {
            tenant: Some("bob-slug".to_owned()),
            ..sign_in("ada", PASSWORD)
        };
        let guest = world.identity.sign_in(input, None).await.unwrap();
        assert_eq!((guest.tenant.slug.as_str(), guest.role), ("bob-slug", Role::Viewer));
        let principal = world.identity.authenticate(guest.tokens.access_token.expose()).unwrap();
        assert_eq!(principal.tenant(), guest.tenant.id);
        let error = check(&principal, Permission::ExecutionStart).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden);
    }

    async fn guessing_is_slowed_where_it_happens(world: &World) {
        world.sign_up("ada").await;
        let (thief, owner) = (Some(ip("198.51.100.7")), Some(ip("203.0.113.5")));
        for _ in 0..5 {
            let guess = sign_in("ada", "wrong horse battery");
            let error = world.identity.sign_in(guess, thief).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        }
        // The right password does not help from there, and an account that does not
        // exist is throttled alike.
        let error = world.identity.sign_in(sign_in("ada", PASSWORD), thief).await.unwrap_err();
        let ErrorKind::Throttled { retry_after } = error.kind() else {
            panic!("{error}");
        };
        assert!(error.is_retryable());
        world.identity.sign_in(sign_in("ada", PASSWORD), owner).await.unwrap();
        world.wait(retry_after.as_secs().cast_signed());
        world.identity.sign_in(sign_in("ada", PASSWORD), thief).await.unwrap();
    }

    async fn sign_ups_from_one_place_are_limited(world: &World) {
        let mut options = IdentityOptions::default();
        options.throttle.sign_up_burst = 1;
        let identity = world.reopen(&options).await;
        identity.sign_up(sign_up("ada"), Some(ip("192.0.2.1"))).await.unwrap();
        let error = identity.sign_up(sign_up("bob"), Some(ip("192.0.2.1"))).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Throttled { .. }));
        identity.sign_up(sign_up("bob"), Some(ip("192.0.2.2"))).await.unwrap();
    }

    async fn a_weak_stored_hash_is_replaced_at_sign_in(world: &World) {
        world.sign_up("ada").await;
        let mut options = IdentityOptions::default();
        options.hashing.passes = 3;
        let stronger = world.reopen(&options).await;
        stronger.sign_in(sign_in("ada", PASSWORD), None).await.unwrap();
        // Fails unless exactly one row has the new cost: the table's key forbids two.
        world
            .sql(
                "INSERT INTO migrations (version, name, applied_at)
                 SELECT 99, 'probe', COUNT(*) FROM users WHERE password_hash LIKE '%t=3%';
                 DELETE FROM migrations WHERE version = 99 AND applied_at = 1;
                 INSERT INTO migrations (version, name, applied_at) VALUES (99, 'probe', 0)",
            )
            .await;
        world.sign_in("ada", PASSWORD).await.unwrap();
    }

    async fn migration_may_be_repeated_and_raced(world: &World) {
        assert_eq!(migrate(&world.db, world.now()).await.unwrap(), 0);
        world.sign_up("ada").await;
        world.sql("DROP TABLE refresh_tokens; DROP TABLE sessions; DROP TABLE memberships;
                   DROP TABLE users; DROP TABLE tenants; DROP TABLE vault;
                   DROP TABLE migrations").await;
        let applied = join_all((0..4).map(|_| migrate(&world.db, world.now()))).await;
        let mut counts: Vec<_> = applied.into_iter().map(Result::unwrap).collect();
        counts.sort_unstable();
        assert_eq!(counts, [0, 0, 0, 1]);
        world.sign_up("ada").await;
    }
}
