//! Several processes that share their keys in the control database.

use auterity_tenancy::{ErrorKind, Identity, Secret, Vault};
use futures_util::future::join_all;

use crate::world::{PASSWORD, World, on_both, sign_in};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// How long a new key is known before it signs, in seconds.
const LEAD: i64 = 600;

async fn token(identity: &Identity) -> Secret {
    let signed_in = identity.sign_in(sign_in("ada", PASSWORD), None).await;
    signed_in.unwrap().tokens.access_token
}

on_both! {
    async fn processes_that_start_at_once_agree_on_keys_and_secrets(world: &World) {
        let started = join_all((0..4).map(|_| world.sharing(KEY))).await;
        let processes: Vec<_> = started.into_iter().map(Result::unwrap).collect();
        world.sign_up("ada").await;
        let made = join_all(processes.iter().zip(0..).map(|((_, vault), number)| {
            vault.kept("cursor-key", world.now(), move || Ok(format!("secret {number}").into()))
        }));
        let made: Vec<Secret> = made.await.into_iter().map(Result::unwrap).collect();
        for ((identity, _), secret) in processes.iter().zip(&made) {
            assert_eq!(identity.jwks(), processes[0].0.jwks());
            assert_eq!(secret.expose(), made[0].expose());
            let token = token(identity).await;
            for (other, _) in &processes {
                other.authenticate(token.expose()).unwrap();
            }
        }
    }

    async fn two_rotations_at_once_give_one_key_which_all_know_before_it_signs(world: &World) {
        let (first, _) = world.sharing(KEY).await.unwrap();
        let (second, _) = world.sharing(KEY).await.unwrap();
        world.sign_up("ada").await;
        let (one, two) = futures_util::join!(first.rotate_keys(), second.rotate_keys());
        one.unwrap();
        two.unwrap();
        assert_eq!(first.jwks().keys.len(), 2);
        assert_eq!(first.jwks(), second.jwks());
        // A third that only looks, as the others do later.
        let (third, _) = world.sharing(KEY).await.unwrap();
        let published = first.jwks();
        world.wait(LEAD - 1);
        let before = token(&first).await;
        assert_eq!(first.jwks(), published, "not signing yet");
        world.wait(1);
        let after = token(&second).await;
        assert_eq!(second.jwks().keys[0], published.keys[1], "the new one signs");
        for identity in [&first, &second, &third] {
            identity.authenticate(before.expose()).unwrap();
            identity.authenticate(after.expose()).unwrap();
        }
        // Whichever is first retires the old key; the others take that over.
        first.maintain().await.unwrap();
        second.maintain().await.unwrap();
        third.reload_keys().await.unwrap();
        world.wait(606);
        assert_eq!(third.jwks().keys, [published.keys[1].clone()]);
        assert_eq!(third.jwks(), first.jwks());
        assert!(third.authenticate(before.expose()).is_err());
    }

    async fn what_another_key_sealed_is_refused_and_kept(world: &World) {
        let (identity, _) = world.sharing(KEY).await.unwrap();
        let error = world.sharing(OTHER).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.message().contains("sealed under another key"), "{error}");
        let (again, vault) = world.sharing(KEY).await.unwrap();
        assert_eq!(again.jwks(), identity.jwks());
        // One sealed text does not pass for another.
        vault.kept("cursor-key", world.now(), || Ok("secret".into())).await.unwrap();
        world.sql("UPDATE vault SET sealed = (SELECT other.sealed FROM vault other
                   WHERE other.name = 'cursor-key')").await;
        assert!(world.sharing(KEY).await.is_err());
    }
}

#[tokio::test]
async fn vault_holds_nothing_readable_and_takes_good_keys_only() {
    let world = World::sqlite().await;
    let (_, vault) = world.sharing(KEY).await.unwrap();
    let make = || Ok("canary-7719".into());
    vault.kept("note", world.now(), make).await.unwrap();
    let mut found = 0;
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let holds = |text: &str| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        assert!(!holds("canary-7719"));
        found += usize::from(holds("note"));
    }
    assert!(0 < found, "the vault's row was not looked at");
    let long = format!("{KEY}00");
    for bad in ["", "abc", long.as_str(), &KEY.replace('0', "g")] {
        assert!(Vault::new(world.db.clone(), &bad.into()).is_err(), "{bad}");
    }
}
