//! Locks on a run's folder, that end with their holder.
//!
//! `folder/lock` is locked by the system (`flock`): exclusive, and released by the kernel when the holder dies, however it
//! does. In the file stands who holds it and a counter that the holder moves on while it lives ([`RunLock::beat`]).
//!
//! Within one machine the system's lock decides alone. Across machines it does so where the file system carries locks
//! from one to the other: NFS as it is usually mounted, Lustre with `-o flock`, GPFS. Where each machine has locks of
//! its own, a lock taken elsewhere looks free from here; so a free lock that another machine's record stands in is taken only when
//! its counter has stood still for [`Watch`]'s patience, by this process's own steady clock. Clocks that jump or differ do
//! no harm.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Name of the lock in a run's folder.
pub const LOCK: &str = "lock";
/// How often a holder moves its counter on; oftener in this crate's own tests, which are to see it.
pub const BEAT: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 10_000 });
/// How long another machine's counter must stand still before its holder is taken for dead.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Longest record that is read, in bytes; one has some 200.
const MAX_RECORD: u64 = 4096;

/// Who holds a lock, or held it and died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Name of the machine.
    pub host: String,
    /// What tells this start of this machine from every other: its boot identifier, or its name where there is none.
    machine: String,
    /// Process number.
    pub pid: u32,
    /// The scheduler's job, if it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Moves on while the holder lives.
    beat: u64,
}

impl Holder {
    /// This process.
    pub fn this() -> Self {
        let line = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let host = line("/proc/sys/kernel/hostname").or_else(|| std::env::var("HOSTNAME").ok());
        let host = host.unwrap_or_else(|| "unknown".to_owned());
        let machine = line("/proc/sys/kernel/random/boot_id").unwrap_or_else(|| host.clone());
        let variable = |name| std::env::var(name).ok();
        let job = match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID")) {
            (Some(job), Some(task)) => Some(format!("{job}_{task}")),
            _ => variable("SLURM_JOB_ID"),
        };
        Self { host, machine, pid: std::process::id(), job, beat: 0 }
    }

    /// Whether it is of this start of this machine, whose kernel knows of every lock.
    pub fn is_here(&self) -> bool {
        static MACHINE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        self.machine == *MACHINE.get_or_init(|| Self::this().machine)
    }
}

impl Holder {
    /// What to say to somebody who waits.
    pub fn awaited(&self, folder: &Path) -> String {
        let (folder, seconds) = (folder.display(), PATIENCE.as_secs());
        format!("{folder}: {self} may be at it; waiting for {seconds} s of silence from there")
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)?;
        self.job.iter().try_for_each(|job| write!(f, ", job {job}"))
    }
}

/// What came of trying to take a lock.
#[derive(Debug)]
pub enum Attempt {
    /// It is ours.
    Mine(RunLock),
    /// Somebody has it; who, where the file says so.
    Held(Option<Holder>),
    /// It looks free, but another machine's holder may be alive: ask again until [`Watch`]'s patience has passed.
    Doubtful(Holder),
}

/// A lock that is held; released when dropped, with the record left as that of a holder that died.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    path: PathBuf,
    holder: Mutex<Holder>,
}

/// The counters of other machines' holders, as this process has seen them stand.
#[derive(Debug)]
pub struct Watch {
    patience: Duration,
    seen: Mutex<HashMap<PathBuf, (Holder, Instant)>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self::new(PATIENCE)
    }
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(patience: Duration) -> Self {
        Self { patience, seen: Mutex::default() }
    }

    /// Whether this very record has been seen here for the whole of the patience.
    fn is_dead(&self, path: &Path, holder: &Holder) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(path) {
            Some((before, since)) if before == holder => since.elapsed() >= self.patience,
            _ => {
                seen.insert(path.to_owned(), (holder.clone(), Instant::now()));
                self.patience.is_zero()
            }
        }
    }
}

impl RunLock {
    /// Tries to take the lock of a run's folder, which must exist.
    ///
    /// # Errors
    /// The file cannot be made or written, or the file system has no locks.
    pub fn acquire(folder: &Path, watch: &Watch) -> io::Result<Attempt> {
        let path = folder.join(LOCK);
        loop {
            let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Attempt::Held(read(&file))),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // A holder that completed has removed the file between our opening and our locking it.
            if !is_at(&file, &path) {
                continue;
            }
            if let Some(holder) = read(&file)
                && !holder.is_here()
                && !watch.is_dead(&path, &holder)
            {
                return Ok(Attempt::Doubtful(holder));
            }
            let lock = Self { file, path, holder: Mutex::new(Holder::this()) };
            lock.beat()?;
            return Ok(Attempt::Mine(lock));
        }
    }

    /// [`RunLock::acquire`] that waits while it is in doubt whether another machine's holder lives, until that is known or `over`
    /// says that it should not wait any longer. Tells `waiting` of it once.
    ///
    /// # Errors
    /// Those of [`RunLock::acquire`].
    pub fn wait(folder: &Path, waiting: &dyn Fn(&Holder), over: &dyn Fn() -> bool) -> io::Result<Attempt> {
        let watch = Watch::default();
        let mut told = false;
        loop {
            match Self::acquire(folder, &watch)? {
                Attempt::Doubtful(holder) if !over() => {
                    if !std::mem::replace(&mut told, true) {
                        waiting(&holder);
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                attempt => return Ok(attempt),
            }
        }
    }

    /// Moves the counter on: to be called every [`BEAT`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn beat(&self) -> io::Result<()> {
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        holder.beat += 1;
        let record = serde_json::to_vec(&*holder)?;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&record)?;
        file.set_len(record.len() as u64)?;
        // For the eyes of other machines; what a crash does to it does not matter.
        if holder.beat > 1 { file.sync_data() } else { Ok(()) }
    }

    /// Releases the lock of a run that was left in order: interrupted, or failed with its error recorded.
    pub fn release(self) {
        // If it fails, the run is taken for a dead holder's, which is as safe.
        let _ = self.file.set_len(0);
    }

    /// Releases the lock of a complete run, which needs none any more: whoever takes a lock looks for the result afterwards.
    pub fn remove(self) {
        if fs::remove_file(&self.path).is_err() {
            self.release();
        }
    }
}

/// Carries out `work`, and meanwhile `beat` every [`BEAT`]: whoever works under a lock for long does so.
pub fn beating<R>(beat: impl Fn() + Sync, work: impl FnOnce() -> R) -> R {
    /// Ends the beats when dropped, by a panic too: the thread would else be waited for for ever.
    struct Bell<'a>(&'a (Mutex<bool>, Condvar));
    impl Drop for Bell<'_> {
        fn drop(&mut self) {
            *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.0.1.notify_all();
        }
    }
    let over = (Mutex::new(false), Condvar::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut guard = over.0.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                let waited = over.1.wait_timeout_while(guard, BEAT, |over| !*over);
                guard = waited.unwrap_or_else(PoisonError::into_inner).0;
                if *guard {
                    break;
                }
                beat();
            }
        });
        let _bell = Bell(&over);
        work()
    })
}

/// Who holds the lock of a run's folder, without taking it: the record, and whether its holder lives for all that is known
/// here. `None` if nobody holds it and nobody died with it.
///
/// # Errors
/// The file is there and cannot be read.
pub fn look(folder: &Path) -> io::Result<Option<(Option<Holder>, bool)>> {
    let file = match OpenOptions::new().read(true).write(true).open(folder.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A reader's view of somebody else's folder.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(folder.join(LOCK))?,
        Err(error) => return Err(error),
    };
    // Shared, so that two that look at once do not take each other for a holder.
    match file.try_lock_shared() {
        Ok(()) => Ok(read(&file).map(|holder| (Some(holder), false))),
        Err(TryLockError::WouldBlock) => Ok(Some((read(&file), true))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn read(mut file: &File) -> Option<Holder> {
    let mut record = Vec::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(MAX_RECORD).read_to_end(&mut record).ok()?;
    serde_json::from_slice(&record).ok()
}

/// Whether an open file still stands at this path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(file), Ok(path)) = (file.metadata(), fs::metadata(path)) else { return false };
    (file.dev(), file.ino()) == (path.dev(), path.ino())
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// Whether the counter of the lock in a folder is seen to move on, in the time of many beats.
    pub(crate) fn moves_on(folder: &Path) -> bool {
        let (start, mut first) = (Instant::now(), None);
        while start.elapsed() < 1000 * BEAT {
            let now = File::open(folder.join(LOCK)).ok().and_then(|file| read(&file));
            match (&first, now) {
                // The first record is that of taking it.
                (Some(first), Some(now)) if *first != now => return true,
                (None, now) => first = now,
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }

    struct Folder(Scratch);

    impl Folder {
        fn new() -> Self {
            Self(Scratch::new())
        }

        fn take(&self) -> Attempt {
            RunLock::acquire(self.0.path(), &Watch::default()).unwrap()
        }

        /// Leaves the record of another machine, with its counter at `beat`.
        fn foreign(&self, beat: u64) {
            let holder = Holder { host: "elsewhere".to_owned(), machine: "another".to_owned(), beat, ..Holder::this() };
            fs::write(self.0.join(LOCK), serde_json::to_vec(&holder).unwrap()).unwrap();
        }
    }

    #[test]
    fn one_at_a_time() {
        let folder = Folder::new();
        let Attempt::Mine(lock) = folder.take() else { panic!() };
        let Attempt::Held(Some(holder)) = folder.take() else { panic!() };
        assert_eq!(holder.pid, std::process::id());
        assert!(matches!(look(folder.0.path()).unwrap(), Some((Some(_), true))));
        lock.beat().unwrap();
        lock.release();
        assert_eq!(look(folder.0.path()).unwrap(), None);
        let Attempt::Mine(lock) = folder.take() else { panic!() };
        lock.remove();
        assert!(!folder.0.join(LOCK).exists());
    }

    #[test]
    fn a_dead_holder_of_this_machine_is_succeeded_at_once() {
        let folder = Folder::new();
        let Attempt::Mine(lock) = folder.take() else { panic!() };
        // As if it had died: the kernel releases the lock, the record stays.
        drop(lock);
        assert!(matches!(look(folder.0.path()).unwrap(), Some((Some(_), false))));
        assert!(matches!(folder.take(), Attempt::Mine(_)));
    }

    #[test]
    fn another_machines_holder_is_waited_for_until_its_counter_stands_still() {
        let folder = Folder::new();
        let watch = Watch::new(Duration::from_millis(40));
        let take = || RunLock::acquire(folder.0.path(), &watch).unwrap();
        folder.foreign(1);
        assert!(matches!(take(), Attempt::Doubtful(_)));
        std::thread::sleep(Duration::from_millis(50));
        folder.foreign(2);
        assert!(matches!(take(), Attempt::Doubtful(_)), "it lives: its counter has moved");
        std::thread::sleep(Duration::from_millis(50));
        assert!(matches!(take(), Attempt::Mine(_)));
    }

    /// Names of machines come twice, in containers above all, and a machine that has started again has no locks any more.
    #[test]
    fn a_machine_is_told_by_its_start_and_not_by_its_name() {
        let folder = Folder::new();
        let holder = Holder { machine: "another start".to_owned(), beat: 7, ..Holder::this() };
        fs::write(folder.0.join(LOCK), serde_json::to_vec(&holder).unwrap()).unwrap();
        assert!(matches!(folder.take(), Attempt::Doubtful(of) if of == holder));
        let renamed = Holder { host: "renamed".to_owned(), beat: 7, ..Holder::this() };
        fs::write(folder.0.join(LOCK), serde_json::to_vec(&renamed).unwrap()).unwrap();
        assert!(matches!(folder.take(), Attempt::Mine(_)));
    }

    #[test]
    fn nothing_of_a_longer_record_is_left() {
        let folder = Folder::new();
        let holder = Holder { host: "h".repeat(500), ..Holder::this() };
        fs::write(folder.0.join(LOCK), serde_json::to_vec(&holder).unwrap()).unwrap();
        let Attempt::Mine(lock) = folder.take() else { panic!() };
        assert!(matches!(folder.take(), Attempt::Held(Some(holder)) if holder.host == Holder::this().host));
        lock.release();
    }

    /// As `sweep status` is asked for by two at once.
    #[test]
    fn who_looks_is_no_holder() {
        let folder = Folder::new();
        let Attempt::Mine(lock) = folder.take() else { panic!() };
        drop(lock);
        let other = File::open(folder.0.join(LOCK)).unwrap();
        other.try_lock_shared().unwrap();
        assert!(matches!(look(folder.0.path()).unwrap(), Some((Some(_), false))));
    }

    #[test]
    fn what_stands_in_the_file_is_not_trusted() {
        let folder = Folder::new();
        for junk in [&b"{"[..], b"\xff\xff", b"[1,2]", &[b'9'; 100_000]] {
            fs::write(folder.0.join(LOCK), junk).unwrap();
            let Attempt::Mine(lock) = folder.take() else { panic!() };
            lock.release();
        }
    }

    #[test]
    fn beats_end_with_the_work_even_if_it_panics() {
        let beats = std::sync::atomic::AtomicUsize::new(0);
        let count = || beats.load(std::sync::atomic::Ordering::SeqCst);
        let beat = || _ = beats.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let until_two = || {
            while count() < 2 {
                std::thread::sleep(Duration::from_millis(1));
            }
            7
        };
        assert_eq!(beating(beat, until_two), 7);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| beating(beat, || panic!("on purpose"))));
        assert!(ended.is_err());
        let last = count();
        std::thread::sleep(2 * BEAT);
        assert_eq!(count(), last);
    }

    #[test]
    fn a_lock_removed_meanwhile_is_made_anew() {
        let folder = Folder::new();
        let Attempt::Mine(first) = folder.take() else { panic!() };
        fs::remove_file(folder.0.join(LOCK)).unwrap();
        let Attempt::Mine(second) = folder.take() else { panic!("the file at the path is nobody's") };
        drop(first);
        assert!(matches!(folder.take(), Attempt::Held(_)));
        drop(second);
    }
}
