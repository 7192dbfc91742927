//! What has become of a run, by its folder.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::durable;
use crate::lock::{self, Holder, PATIENCE};
use crate::run;

/// The file in the folder of a run that failed.
pub const ERROR: &str = "error.json";
/// Most bytes of it that are read.
const MAX_ERROR_BYTES: u64 = 1 << 16;

/// What has become of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// Its result is there.
    Complete,
    /// Somebody is at it.
    Running {
        /// Who.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Stopped in order: it goes on from its checkpoint.
    Interrupted,
    /// It ended with an error of its own.
    Failed {
        /// The error.
        reason: String,
    },
    /// Who was at it died: it goes on from its checkpoint, if one was written.
    Stale {
        /// Who.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Not begun.
    Waiting,
}

impl State {
    /// Every state's name, in the order of tables.
    pub const NAMES: [&str; 6] = ["complete", "running", "interrupted", "failed", "stale", "waiting"];

    /// Its place in [`State::NAMES`].
    pub fn place(&self) -> usize {
        match self {
            Self::Complete => 0,
            Self::Running { .. } => 1,
            Self::Interrupted => 2,
            Self::Failed { .. } => 3,
            Self::Stale { .. } => 4,
            Self::Waiting => 5,
        }
    }

    /// The state of the run in a folder, which need not exist.
    ///
    /// # Errors
    /// The folder cannot be looked at.
    pub fn of(folder: &Path) -> io::Result<Self> {
        if run::is_complete(folder) {
            return Ok(Self::Complete);
        }
        if let Some(reason) = Failure::reason(folder)? {
            return Ok(Self::Failed { reason });
        }
        match lock::look(folder)? {
            Some((holder, true)) => Ok(Self::Running { by: named(holder) }),
            Some((holder, false)) if holder.as_ref().is_some_and(|holder| alive_elsewhere(folder, holder)) => {
                Ok(Self::Running { by: named(holder) })
            }
            Some((holder, false)) => Ok(Self::Stale { by: named(holder) }),
            // It may have ended between the first look and this one.
            None if run::is_complete(folder) => Ok(Self::Complete),
            None if run::has_checkpoint(folder) => Ok(Self::Interrupted),
            None => Ok(Self::Waiting),
        }
    }
}

fn named(holder: Option<Holder>) -> Option<String> {
    holder.map(|holder| holder.to_string())
}

/// Whether another machine's holder has moved its counter of late, by the file's time: good enough to show, while
/// [`RunLock::acquire`](lock::RunLock::acquire) watches the counter itself.
fn alive_elsewhere(folder: &Path, holder: &Holder) -> bool {
    let age = fs::metadata(folder.join(lock::LOCK)).and_then(|file| file.modified()).map(|time| time.elapsed());
    !holder.is_here() && age.is_ok_and(|age| age.unwrap_or(Duration::ZERO) < PATIENCE)
}

/// `error.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The run.
    pub id: String,
    /// Its seed.
    pub seed: u64,
    /// Why it failed, in one line.
    pub error: String,
    /// Version of the program.
    pub version: String,
    /// Commit that it was built from.
    pub commit: String,
    /// Who was at it.
    pub by: String,
}

impl Failure {
    /// Leaves the file in a run's folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), durable::DurableError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        durable::write(folder, ERROR, text.as_bytes())
    }

    /// Why the run in a folder failed, if it did.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn reason(folder: &Path) -> io::Result<Option<String>> {
        let file = match fs::File::open(folder.join(ERROR)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(MAX_ERROR_BYTES).read_to_end(&mut text)?;
        let failure = serde_json::from_slice::<Self>(&text);
        let reason = failure.map_or_else(|error| format!("{ERROR} does not read: {error}"), |failure| failure.error);
        Ok(Some(reason.replace(char::is_control, " ")))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::scratch::Scratch;

    /// A run's folder with the record of a holder that has died, or of another machine's, last moved on `age` ago.
    fn left(here: bool, age: Duration) -> Scratch {
        let folder = Scratch::new();
        let mut holder = serde_json::to_value(Holder::this()).unwrap();
        if !here {
            holder["machine"] = "another".into();
        }
        fs::write(folder.join(lock::LOCK), serde_json::to_vec(&holder).unwrap()).unwrap();
        let file = fs::File::options().write(true).open(folder.join(lock::LOCK)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        folder
    }

    #[test]
    fn a_record_without_a_lock_is_a_death_here_and_elsewhere_one_if_it_is_old() {
        let by = Some(Holder::this().to_string());
        let (new, old) = (Duration::ZERO, 2 * PATIENCE);
        for (here, age, expected) in [
            (true, new, State::Stale { by: by.clone() }),
            (true, old, State::Stale { by: by.clone() }),
            (false, new, State::Running { by: by.clone() }),
            (false, old, State::Stale { by }),
        ] {
            assert_eq!(State::of(left(here, age).path()).unwrap(), expected, "here: {here}, {age:?} ago");
        }
        // What it left counts for more than who it was.
        let folder = left(false, new);
        fs::write(folder.join(run::RESULT), "").unwrap();
        assert_eq!(State::of(folder.path()).unwrap(), State::Complete);
    }
}
