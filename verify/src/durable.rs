//! Files that are there whole or not at all, whatever ends the program or the machine.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
pub struct DurableError {
    /// What was tried.
    pub action: &'static str,
    /// With which file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// What would be right, where it is not plain.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; nothing that was written is lost: make room and give the same command again"
        }
        _ => "",
    }
}

impl DurableError {
    /// The error of an action on a path.
    pub fn new(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }
}

/// Writes `<folder>/<name>` whole or not at all: a temporary file in the same folder is written, synced and renamed, and the
/// folder synced. On return it is there even if the machine loses power; on an error what was there before still is.
///
/// One process at a time may write into `folder` ([`RunLock`](crate::lock::RunLock)): the temporary file's name is always the same, so that one left by
/// a process that was killed is overwritten.
///
/// # Errors
/// The file system refuses: no space, no permission.
pub fn write(folder: &Path, name: &str, content: &[u8]) -> Result<(), DurableError> {
    write_unsynced(folder, name, content)?;
    sync_folder(folder)
}

/// [`write()`] without syncing the folder: the content is safe, and after a power cut the name has it or what it had before. For
/// several files in a row of which the last one is written with [`write()`].
///
/// # Errors
/// Those of [`write()`].
pub fn write_unsynced(folder: &Path, name: &str, content: &[u8]) -> Result<(), DurableError> {
    let temporary = write_temporary(folder, name, content)?;
    let path = folder.join(name);
    fs::rename(&temporary, &path).map_err(DurableError::new("write", &path))
}

/// `<folder>/.<name>.tmp`, where a file is written before it is renamed.
pub(crate) fn temporary(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}.tmp"))
}

/// [`temporary`] with the content, synced; removed again if that fails.
///
/// # Errors
/// Those of [`write()`].
pub(crate) fn write_temporary(folder: &Path, name: &str, content: &[u8]) -> Result<PathBuf, DurableError> {
    let temporary = temporary(folder, name);
    write_synced(&temporary, content).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        DurableError::new("write", &folder.join(name))(error)
    })?;
    Ok(temporary)
}

/// Writes a file, and makes its content last.
///
/// # Errors
/// What the file system says.
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes renames, new files and removals in a folder last.
///
/// # Errors
/// The folder cannot be synced. Where folders cannot be opened at all, the system sees to it and there is none.
pub fn sync_folder(path: &Path) -> Result<(), DurableError> {
    match File::open(path) {
        Ok(folder) => folder.sync_all().map_err(DurableError::new("sync", path)),
        Err(_) if !cfg!(unix) => Ok(()),
        Err(error) => Err(DurableError::new("sync", path)(error)),
    }
}

/// Makes a folder and its parents, and makes them last.
///
/// # Errors
/// The file system refuses.
pub fn create_folder(path: &Path) -> Result<(), DurableError> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    fs::create_dir_all(path).map_err(DurableError::new("create", path))?;
    for folder in missing {
        match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent)?,
            _ => sync_folder(Path::new("."))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = Scratch::new();
        write(folder.path(), "a.txt", b"one").unwrap();
        write(folder.path(), "a.txt", b"two").unwrap();
        assert_eq!(fs::read(folder.path().join("a.txt")).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write(&folder.path().join("none"), "a.txt", b"").unwrap_err().to_string();
        assert!(error.contains("none") && error.contains("cannot write"), "{error}");
    }

    /// The temporary file is one on a full disk.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_found_no_room_is_taken_away_and_what_was_there_stays() {
        let folder = Scratch::new();
        write(folder.path(), "a.txt", b"one").unwrap();
        std::os::unix::fs::symlink("/dev/full", temporary(folder.path(), "a.txt")).unwrap();
        let error = write(folder.path(), "a.txt", b"two").unwrap_err().to_string();
        assert!(error.contains("a.txt") && error.ends_with("make room and give the same command again"), "{error}");
        assert_eq!(folder.names(), ["a.txt"]);
        assert_eq!(fs::read(folder.join("a.txt")).unwrap(), b"one");
    }

    #[test]
    fn folders_are_made_with_their_parents() {
        let folder = Scratch::new();
        let deep = folder.path().join("a/b/c");
        create_folder(&deep).unwrap();
        create_folder(&deep).unwrap();
        assert!(deep.is_dir());
        write(folder.path(), "file", b"").unwrap();
        assert!(create_folder(&folder.path().join("file/x")).is_err());
    }
}
