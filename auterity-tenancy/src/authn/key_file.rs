//! The file that keeps signing keys between two starts of the host.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::key_document;
use super::keys::Keys;
use crate::error::Error;

/// A real file has about 1 KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;

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
    key_document::decode(&text).map(Some).ok_or_else(damaged)
}

/// Replaces the file as a whole, so that a crash leaves the old or the new one.
pub(crate) fn write(path: &Path, keys: &Keys) -> Result<(), Error> {
    let text = key_document::encode(keys)?;
    replace(path, text.expose().as_bytes())
        .map_err(|source| failed(path, "the key file cannot be written", source))
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
