//! The file that keeps signing keys between two starts of the host.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::{Keys, PublicKey, RetiredKey, SigningKey};
use crate::error::Error;
use crate::secret::Secret;

const FORMAT: u32 = 1;
/// A real file has about 1 KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Deserialize)]
struct Document {
    format: u32,
    private_key: Secret,
    created_at: Timestamp,
    #[serde(default)]
    previous: Vec<Previous>,
}

#[derive(Serialize)]
struct DocumentRef<'a> {
    format: u32,
    private_key: &'a str,
    created_at: Timestamp,
    previous: Vec<Previous>,
}

#[derive(Serialize, Deserialize)]
struct Previous {
    x: String,
    valid_until: Option<Timestamp>,
}

/// Does work on the file while no other process does.
pub(crate) fn locked<T>(path: &Path, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
        .open(beside(path, "lock"))
        .and_then(|lock| lock.lock().map(|()| lock))
        .map_err(|source| failed(path, "the key file cannot be locked", source))?;
    let result = work();
    drop(lock);
    result
}

/// Reads the keys; `None` if there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<Keys>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(path, "the key file cannot be opened", source)),
    };
    refuse_if_shared(path, &file)?;
    let mut text = Zeroizing::new(String::new());
    io::Read::read_to_string(&mut io::Read::take(file, FILE_BYTES_MAX), &mut text)
        .map_err(|source| failed(path, "the key file cannot be read", source))?;
    let damaged = || {
        Error::internal("the key file is damaged; restore it, or remove it to sign everybody out")
            .with("path", path.display())
    };
    // The parser's message could quote the key: it is left out.
    let document: Document = serde_json::from_str(&text).map_err(|_| damaged())?;
    if document.format != FORMAT {
        return Err(damaged());
    }
    let previous = document.previous.into_iter().map(|key| {
        Ok(RetiredKey {
            public: PublicKey::from_x(&key.x).ok_or_else(damaged)?,
            valid_until: key.valid_until,
        })
    });
    Ok(Some(Keys {
        current: SigningKey::from_pem(&document.private_key, document.created_at)?,
        previous: previous.collect::<Result<_, Error>>()?,
    }))
}

/// Replaces the file as a whole, so that a crash leaves the old or the new one.
pub(crate) fn write(path: &Path, keys: &Keys) -> Result<(), Error> {
    let previous = keys.previous.iter().map(|key| Previous {
        x: key.public.x.clone(),
        valid_until: key.valid_until,
    });
    let document = DocumentRef {
        format: FORMAT,
        private_key: keys.current.pem.expose(),
        created_at: keys.current.created_at,
        previous: previous.collect(),
    };
    let text = serde_json::to_vec_pretty(&document)
        .map(Zeroizing::new)
        .map_err(|source| Error::internal("the keys cannot be written").with_source(source))?;
    replace(path, &text).map_err(|source| failed(path, "the key file cannot be written", source))
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = beside(path, "new");
    // What an earlier crash left may have another mode.
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn refuse_if_shared(path: &Path, file: &File) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file
        .metadata()
        .map_err(|source| failed(path, "the key file cannot be examined", source))?
        .permissions()
        .mode();
    let of_others = mode & 0o077;
    if of_others == 0 {
        return Ok(());
    }
    Err(
        Error::internal("the key file may be read by others; set its mode to 0600")
            .with("path", path.display()),
    )
}

#[cfg(not(unix))]
fn refuse_if_shared(_path: &Path, _file: &File) -> Result<(), Error> {
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(path: &Path, what: &'static str, source: io::Error) -> Error {
    Error::internal(what)
        .with("path", path.display())
        .with_source(source)
}
