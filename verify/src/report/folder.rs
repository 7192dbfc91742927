//! Result folders on disk: written beside their place, and moved there whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable::{sync_folder, write_synced};

use super::{JSON, PAGE, ReportError, SETTINGS, THEORY};

/// A kind of result folder: what it holds. One with anything else is somebody's, and not replaced.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The file that tells an earlier one.
    pub(crate) json: &'static str,
    /// Every name that may be in it.
    pub(crate) entries: &'static [&'static str],
    /// Folders that may be in it besides, each with the file that tells that it is what it should be. They stay when the rest
    /// is replaced.
    pub(crate) kept: &'static [(&'static str, &'static str)],
}

/// A report on claims. The reference report has one on benchmarks in it, and the paper's figures.
pub(super) const CLAIMS: Kind = Kind {
    json: JSON,
    entries: &[PAGE, THEORY, "figures", JSON, "series", SETTINGS, ".DS_Store"],
    kept: &[("bench", "bench.json"), ("experiments", "figures.json")],
};

/// A temporary folder beside the place of a result folder; gone when dropped, with the parents it made.
#[derive(Debug)]
pub(crate) struct Staging {
    temporary: PathBuf,
    target: PathBuf,
    replaces: bool,
    kept: Vec<&'static str>,
    parents: Vec<PathBuf>,
}

impl Staging {
    /// Makes the temporary folder for the result folder `dir`, and its parents.
    pub(crate) fn new(dir: &Path, kind: &Kind) -> Result<Self, ReportError> {
        let (target, replaces) = check_target(dir, kind)?;
        let kept = kind.kept.iter().map(|(name, _)| *name);
        let kept = kept.filter(|name| replaces && target.join(name).exists()).collect();
        let mut staging = Self { temporary: free_name(&target, "tmp")?, target, replaces, kept, parents: Vec::new() };
        let missing: Vec<PathBuf> =
            staging.target.ancestors().skip(1).take_while(|parent| !parent.exists()).map(Path::to_owned).collect();
        for parent in missing.into_iter().rev() {
            fs::create_dir(&parent).map_err(ReportError::io("create", &parent))?;
            staging.parents.push(parent);
        }
        fs::create_dir(&staging.temporary).map_err(ReportError::io("create", &staging.temporary))?;
        Ok(staging)
    }

    /// Writes a file, and its folder if need be.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), ReportError> {
        let path = self.temporary.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(ReportError::io("create", folder))?;
        }
        write_synced(&path, content).map_err(ReportError::io("write", &path))
    }

    /// Moves the folder to its place, and removes the one that was there.
    pub(crate) fn move_in(mut self) -> Result<(), ReportError> {
        for folder in ["figures", "series", "."] {
            let _ = sync_folder(&self.temporary.join(folder));
        }
        let earlier = if self.replaces {
            let aside = free_name(&self.target, "old")?;
            fs::rename(&self.target, &aside).map_err(ReportError::io("move aside", &self.target))?;
            Some(aside)
        } else {
            None
        };
        if let Some(earlier) = &earlier
            && let Err(error) = self.keep(earlier, &self.temporary)
        {
            self.keep(&self.temporary, earlier)?;
            fs::rename(earlier, &self.target).map_err(ReportError::io("move back", earlier))?;
            return Err(error);
        }
        if let Err(error) = fs::rename(&self.temporary, &self.target) {
            if let Some(earlier) = &earlier {
                self.keep(&self.temporary, earlier)?;
                fs::rename(earlier, &self.target).map_err(ReportError::io("move back", earlier))?;
            }
            return Err(ReportError::io("write", &self.target)(error));
        }
        self.parents.clear();
        if let Some(parent) = self.target.parent() {
            let _ = sync_folder(parent);
        }
        match earlier {
            Some(earlier) => {
                fs::remove_dir_all(&earlier).map_err(ReportError::io("remove the earlier report", &earlier))
            }
            None => Ok(()),
        }
    }

    /// Moves the folders that stay and are in `from`.
    fn keep(&self, from: &Path, to: &Path) -> Result<(), ReportError> {
        for name in &self.kept {
            match fs::rename(from.join(name), to.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ReportError::io("keep", &from.join(name))(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Best effort: it is gone already after a move, and there may be an error to report already.
        let _ = fs::remove_dir_all(&self.temporary);
        for parent in self.parents.iter().rev() {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// The result folder's absolute path, links resolved, and whether there is one that may be replaced.
fn check_target(dir: &Path, kind: &Kind) -> Result<(PathBuf, bool), ReportError> {
    let occupied = |reason: &str| ReportError::Occupied { path: dir.to_owned(), reason: reason.to_owned() };
    match fs::symlink_metadata(dir) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let target = std::path::absolute(dir).map_err(ReportError::io("find", dir))?;
            if target.file_name().is_none() {
                return Err(occupied("does not name a folder"));
            }
            return Ok((target, false));
        }
        Err(error) => return Err(ReportError::io("look at", dir)(error)),
    }
    let target = fs::canonicalize(dir).map_err(ReportError::io("look at", dir))?;
    if !target.is_dir() {
        return Err(occupied("is a file; name a folder to write the report to"));
    }
    if std::env::current_dir().is_ok_and(|current| current.starts_with(&target)) {
        return Err(occupied("is the current folder, or holds it, and cannot be replaced; name one within it"));
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&target).map_err(ReportError::io("read", dir))? {
        names.push(entry.map_err(ReportError::io("read", dir))?.file_name());
    }
    let kept = |name: &std::ffi::OsString| {
        kind.kept.iter().any(|(folder, json)| name == folder && is_report(&target.join(folder).join(json)))
    };
    if let Some(foreign) = names.iter().find(|name| !kind.entries.iter().any(|entry| *name == entry) && !kept(name)) {
        let foreign = foreign.to_string_lossy();
        return Err(occupied(&format!("holds {foreign:?}, which no report wrote; name an empty or new folder")));
    }
    for (folder, extension) in [("figures", "svg"), ("series", "csv")] {
        let Ok(entries) = fs::read_dir(target.join(folder)) else { continue };
        for entry in entries {
            let name = entry.map_err(ReportError::io("read", dir))?.file_name();
            if Path::new(&name).extension().is_none_or(|end| end != extension) && name != ".DS_Store" {
                let foreign = Path::new(folder).join(name);
                return Err(occupied(&format!(
                    "holds {foreign:?}, which no report wrote; name an empty or new folder"
                )));
            }
        }
    }
    let json = kind.json;
    if !names.is_empty() && !names.iter().any(|name| name == json) {
        return Err(occupied(&format!("is not empty and no earlier report (no {json}); name an empty or new folder")));
    }
    if !names.is_empty() && !is_report(&target.join(json)) {
        return Err(occupied(&format!("holds a {json} that no report wrote; name an empty or new folder")));
    }
    Ok((target, true))
}

/// Whether a file is a result folder's JSON, of whatever version.
fn is_report(path: &Path) -> bool {
    let json = fs::read(path).ok().and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
    json.is_some_and(|json| json.get("schema_version").is_some_and(serde_json::Value::is_u64))
}

/// `.<name>.<kind>-<pid>` beside a path; numbered if another run with our process number left its own.
fn free_name(path: &Path, kind: &str) -> Result<PathBuf, ReportError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = format!(".{name}.{kind}-{}", std::process::id());
    let numbered = (1..1000).map(|i| path.with_file_name(if i == 1 { stem.clone() } else { format!("{stem}-{i}") }));
    numbered.into_iter().find(|path| fs::symlink_metadata(path).is_err()).ok_or_else(|| ReportError::Occupied {
        path: path.with_file_name(&stem),
        reason: "and its like are left from earlier runs; remove them".to_owned(),
    })
}

/// Replaces a file by a new one, whole or not at all; makes its folder if need be.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), ReportError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ReportError::io("create", folder))?;
    }
    let temporary = free_name(path, "tmp")?;
    write_synced(&temporary, content).and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        ReportError::io("write", path)(error)
    })
}
