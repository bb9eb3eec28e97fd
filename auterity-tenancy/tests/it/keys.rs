use std::sync::Arc;

use auterity_core::clock::ManualClock;
use auterity_tenancy::{ErrorKind, KeyRing, Secret};
use aws_lc_rs::signature::Ed25519KeyPair;

use crate::tokens::pem;
use crate::world::{PASSWORD, World, sign_in, sign_up};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap()))
}

#[tokio::test]
async fn a_replaced_key_verifies_to_the_end_of_its_tokens() {
    let world = World::sqlite().await;
    let before = world.sign_up("ada").await;
    let old = world.identity.jwks();
    world.identity.rotate_keys().await.unwrap();
    let both = world.identity.jwks();
    assert_eq!((old.keys.len(), both.keys.len()), (1, 2));
    assert_eq!(both.keys[1], old.keys[0]);
    let after = world.sign_in("ada", PASSWORD).await.unwrap();
    let (before, after) = (before.tokens.access_token, after.tokens.access_token);
    world.identity.authenticate(before.expose()).unwrap();
    world.wait(604);
    world.identity.authenticate(before.expose()).unwrap();
    world.identity.authenticate(after.expose()).unwrap();
    world.wait(1);
    let error = world.identity.authenticate(before.expose()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert_eq!(world.identity.jwks().keys.len(), 1);
    // A new start reads the same keys.
    let again = world
        .reopen(&auterity_tenancy::IdentityOptions::default())
        .await;
    assert_eq!(again.jwks(), world.identity.jwks());
}

#[tokio::test]
async fn maintenance_replaces_an_old_key() {
    let world = World::sqlite().await;
    let old = world.identity.jwks();
    world.wait(90 * 24 * 3600 - 1);
    world.identity.maintain().await.unwrap();
    assert_eq!(world.identity.jwks(), old);
    world.wait(1);
    world.identity.maintain().await.unwrap();
    assert_eq!(world.identity.jwks().keys.len(), 2);
}

#[tokio::test]
async fn published_keys_have_no_private_part() {
    let world = World::sqlite().await;
    let json = serde_json::to_value(world.identity.jwks()).unwrap();
    let key = json["keys"][0].as_object().unwrap();
    let names: Vec<_> = key.keys().map(String::as_str).collect();
    assert_eq!(names, ["kty", "crv", "use", "alg", "kid", "x"]);
    assert_eq!(
        (&key["kty"], &key["crv"]),
        (&"OKP".into(), &"Ed25519".into())
    );
}

#[cfg(unix)]
#[test]
fn key_file_is_private_and_refused_when_it_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let made = KeyRing::load_or_create(&path, clock().as_ref()).unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    let loaded = KeyRing::load_or_create(&path, clock().as_ref()).unwrap();
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    assert_eq!(made.jwks(now), loaded.jwks(now));
    loaded
        .rotate(now, std::time::Duration::from_secs(1))
        .unwrap();
    assert_eq!(mode(&path), 0o600);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let error = KeyRing::load_or_create(&path, clock().as_ref()).unwrap_err();
    assert!(error.message().contains("0600"), "{error}");
}

#[test]
fn damaged_key_files_are_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    KeyRing::load_or_create(&path, clock().as_ref()).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    for bad in [
        "",
        "{}",
        &good[..good.len() / 2],
        &good.replace("\"format\": 1", "\"format\": 2"),
    ] {
        std::fs::write(&path, bad).unwrap();
        let error = KeyRing::load_or_create(&path, clock().as_ref()).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("BEGIN"), "{shown}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
    }
}

#[test]
fn several_starts_at_once_agree_on_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let rings: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| KeyRing::load_or_create(&path, clock().as_ref()).unwrap()))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect()
    });
    for ring in &rings {
        assert_eq!(ring.jwks(now), rings[0].jwks(now));
    }
}

#[test]
fn keys_come_as_pem_too() {
    let der = || {
        Ed25519KeyPair::generate()
            .unwrap()
            .to_pkcs8v1()
            .unwrap()
            .as_ref()
            .to_vec()
    };
    let (new, old) = (pem(&der()), pem(&der()));
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let text = format!("# new\n{}\n# old\n{}", new.expose(), old.expose());
    let ring = KeyRing::from_pem(&Secret::from(text), clock().as_ref()).unwrap();
    let alone = KeyRing::from_pem(&new, clock().as_ref()).unwrap();
    assert_eq!(ring.jwks(now).keys.len(), 2);
    assert_eq!(ring.jwks(now).keys[0], alone.jwks(now).keys[0]);
    ring.rotate(now, std::time::Duration::from_secs(1))
        .unwrap_err();
    let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----";
    let endless = "-----BEGIN PRIVATE KEY-----\nAAAA";
    let odd = "-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----";
    let short = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----";
    for bad in ["", "no key", rsa, endless, odd, short] {
        KeyRing::from_pem(&Secret::from(bad), clock().as_ref()).unwrap_err();
    }
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let world = World::sqlite().await;
    let up = world.sign_up("ada").await;
    let key = std::fs::read_to_string(world.folder.path().join("keys.json")).unwrap();
    let body = key
        .split("-----")
        .nth(2)
        .unwrap()
        .trim_matches(['\\', 'n'])
        .to_owned();
    let ring = KeyRing::load_or_create(world.folder.path().join("keys.json"), world.clock.as_ref());
    let url = "postgres://user:hunter2hunter2@localhost/db";
    let options = auterity_tenancy::ControlOptions::postgres(url);
    let unreachable =
        auterity_tenancy::ControlOptions::postgres("postgres://u:hunter2hunter2@127.0.0.1:1/db");
    let error = auterity_tenancy::ControlDb::connect(unreachable)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let wrong = world
        .sign_in("ada", "wrong horse battery")
        .await
        .unwrap_err();
    let shown = [
        format!("{up:?}"),
        format!("{:?}", world.identity),
        format!("{:?}", world.db),
        format!("{ring:?}"),
        format!("{options:?}"),
        format!("{:?} {:?}", sign_up("ada"), sign_in("ada", PASSWORD)),
        format!("{error} {error:?}"),
        format!("{wrong} {wrong:?}"),
    ]
    .join("\n");
    let secrets = [
        PASSWORD,
        "wrong horse",
        "hunter2",
        &body,
        up.tokens.access_token.expose(),
        up.tokens.refresh_token.expose(),
        "argon2id",
    ];
    for secret in secrets {
        assert!(
            4 < secret.len() && !shown.contains(secret),
            "{secret} in {shown}"
        );
    }
}
