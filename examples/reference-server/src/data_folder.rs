//! The folder in which a process keeps what it needs again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use auterity_core::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use auterity_core::{Scope, TenantId};
use auterity_tenancy::Secret;

use crate::failure::Failure;

/// The file of the vault's key.
pub(crate) const VAULT_KEY: &str = "vault-key";

/// The data folder, held by this process alone.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is missing and takes it for this process.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| {
            let place = path.display();
            Failure::work(format!("the data folder {place} cannot be used: {error}"))
        };
        make_private(path).map_err(cannot)?;
        warn_if_open(path);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(path.join("lock")).map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(Failure::work(format!(
                "another process uses the data folder {}; stop it or name another folder with --data",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a small text that is made once and kept.
    fn kept(&self, name: &str, make: impl FnOnce() -> String) -> Result<String, Failure> {
        let path = self.file(name);
        let cannot = |what: &str, error: &std::io::Error| {
            let place = path.display();
            Failure::work(format!("{place} cannot be {what}: {error}"))
        };
        match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            // A file without content is what a crash of another kind of program leaves.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // Not to be replaced: what it holds is needed again.
            Err(error) => return Err(cannot("read", &error)),
        }
        let text = make();
        write_whole(&path, &text).map_err(|error| cannot("written", &error))?;
        Ok(text)
    }

    /// Gives the name that this folder's worker has over restarts.
    pub(crate) fn worker_name(&self) -> Result<String, Failure> {
        self.kept("worker-name", || {
            let mut random = [0_u8; 8];
            SystemEntropy.fill(&mut random);
            format!("node-{:016x}", u64::from_be_bytes(random))
        })
    }

    /// Gives the key that authenticates page cursors, for a process alone.
    pub(crate) fn cursor_key(&self) -> Result<Secret, Failure> {
        Ok(Secret::from(self.kept("cursor-key", random_key)?))
    }

    /// Gives the key of the vault, unless the host names a file with it.
    pub(crate) fn vault_key(&self) -> Result<Secret, Failure> {
        Ok(Secret::from(self.kept(VAULT_KEY, random_key)?))
    }

    /// Gives the scope of the tenant for work without sign-in.
    pub(crate) fn local_scope(&self) -> Result<Scope, Failure> {
        let text = self.kept("local-tenant", || {
            TenantId::generate(SystemClock.now(), &SystemEntropy).to_string()
        })?;
        let tenant = text.parse().map_err(|_| {
            let place = self.file("local-tenant");
            Failure::work(format!("{} does not hold a tenant's id", place.display()))
        })?;
        Ok(Scope::new(tenant, auterity_core::Actor::Host))
    }
}

/// Makes a key of 64 hexadecimal digits.
pub(crate) fn random_key() -> String {
    let mut random = [0_u8; 32];
    SystemEntropy.fill(&mut random);
    let digits: Vec<String> = random.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// Makes a folder that only its owner may enter: it holds keys.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Says that a folder which was there before lets others in. Each file in it is its
/// owner's only, but others could put files of their own beside them.
fn warn_if_open(path: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = std::fs::metadata(path)
        && std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
    {
        let folder = path.display();
        tracing::warn!(%folder, "others may enter the data folder; `chmod 700` it");
    }
}

/// Writes a file of which a crash leaves all or nothing, readable by its owner only.
pub(crate) fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_texts_stay_and_are_never_taken_empty() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = DataFolder::open(place.path()).expect("opened");
        let first = folder.worker_name().expect("made");
        assert_eq!(folder.worker_name().expect("read"), first);
        // What a crash between making and writing could leave.
        std::fs::write(folder.file("cursor-key"), "").expect("written");
        let key = folder.cursor_key().expect("made");
        assert_eq!(key.expose().len(), 64);
        assert_eq!(folder.cursor_key().expect("read").expose(), key.expose());
        // What cannot be read is not replaced.
        std::fs::write(folder.file("local-tenant"), [0xff, 0xfe]).expect("written");
        assert!(folder.local_scope().is_err());
        let kept = std::fs::read(folder.file("local-tenant")).expect("read");
        assert_eq!(kept, [0xff, 0xfe]);
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().expect("a folder");
        let folder = DataFolder::open(&place.path().join("new")).expect("opened");
        folder.cursor_key().expect("made");
        let mode = |path: &Path| {
            let metadata = std::fs::metadata(path).expect("it is there");
            metadata.permissions().mode() & 0o777
        };
        assert_eq!(mode(&folder.file("cursor-key")), 0o600);
        assert_eq!(mode(&folder.file("lock")), 0o600);
        assert_eq!(mode(&place.path().join("new")), 0o700);
    }
}
