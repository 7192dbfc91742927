//! Folders, configuration files and processes for the tests.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Ladders so small that a whole report takes a fraction of a second.
const TINY: [(&str, &str); 55] = [
    ("model.d_core", "4"),
    ("model.d_bg", "4"),
    ("model.d", "182"),
    ("network.m", "16"),
    ("training.batch", "64"),
    ("training.steps_per_unit", "4.0"),
    ("measure.eval_samples", "256"),
    ("measure.records_per_octave", "1"),
    ("ladder_d0.d0", "[4, 8]"),
    ("ladder_d0.replicates", "2"),
    ("ladder_d0.replicates_smallest", "2"),
    ("ladder_m.m", "[8, 16]"),
    ("ladder_m.replicates", "2"),
    ("ladder_m.replicates_smallest", "2"),
    ("ladder_d.d", "[64, 256]"),
    ("ladder_d.steps_to_t0", "8"),
    ("ladder_d.replicates", "2"),
    ("ladder_linear.d", "[64, 256]"),
    ("ladder_linear.batch", "[64, 64]"),
    ("ladder_linear.replicates", "2"),
    ("ladder_law.d0", "[4, 8]"),
    ("ladder_law.replicates", "2"),
    ("ladder_gated.d0", "[4, 8]"),
    ("ladder_gated.batch", "64"),
    ("ladder_gated.replicates", "2"),
    ("ladder_time.d0", "[4, 8]"),
    ("ladder_time.m", "[8, 16]"),
    ("ladder_time.d", "[64, 256]"),
    ("ladder_time.steps_per_unit", "[2, 4]"),
    ("ladder_time.batch_per_feature", "8"),
    ("ladder_time.eval_samples", "64"),
    ("ladder_time.replicates", "2"),
    ("ladder_balance.d0", "[4, 8]"),
    ("ladder_balance.ratio", "[1.0, 2.0]"),
    ("ladder_balance.m", "4"),
    ("ladder_balance.batch", "16"),
    ("ladder_balance.steps", "8"),
    ("ladder_balance.eval_samples", "64"),
    ("ladder_balance.replicates", "2"),
    ("ladder_balance.replicates_d0", "2"),
    ("distillation.m", "[4, 8]"),
    ("distillation.steps", "8"),
    ("distillation.eval_samples", "64"),
    ("distillation.replicates", "2"),
    ("diversity.m", "4"),
    ("diversity.batch", "16"),
    ("diversity.late", "2.0"),
    ("diversity.eval_samples", "64"),
    ("diversity.replicates", "2"),
    ("digits.neurons", "4"),
    ("digits.steps", "8"),
    ("digits.replicates", "2"),
    ("controls.d0", "[4, 8]"),
    ("controls.m", "[8, 16]"),
    ("controls.replicates", "2"),
];

/// No test's run may take longer, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The tiny configuration with `changes`, each `("section.key", "value")`; a key without a section is a top-level one.
pub fn tiny(changes: &[(&str, &str)]) -> String {
    let mut sections: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (path, value) in TINY.iter().chain(changes) {
        let (section, key) = path.split_once('.').unwrap_or(("", path));
        sections.entry(section).or_default().insert(key, value);
    }
    let mut text = String::new();
    for (section, keys) in sections {
        if !section.is_empty() {
            text += &format!("[{section}]\n");
        }
        for (key, value) in keys {
            text += &format!("{key} = {value}\n");
        }
    }
    text
}

/// A folder of a test's own, gone when dropped. Programs are started in it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cli-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A folder with the tiny configuration in `tiny.toml`.
    pub fn with_tiny() -> Self {
        let folder = Self::new();
        folder.write("tiny.toml", tiny(&[]));
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and its folder if need be.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    /// Every file below `name` with its content; folders with `None`.
    pub fn tree(&self, name: &str) -> BTreeMap<String, Option<Vec<u8>>> {
        let (root, mut tree) = (self.path(name), BTreeMap::new());
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let key = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                if path.is_dir() && !path.is_symlink() {
                    tree.insert(key, None);
                    open.push(path);
                } else {
                    tree.insert(key, Some(fs::read(&path).unwrap_or_default()));
                }
            }
        }
        tree
    }

    /// `verify` with these arguments, in this folder. Memory is limited, so that a defect does not take the machine with it.
    pub fn command(&self, args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_verify");
        let mut command = if cfg!(unix) {
            let mut shell = Command::new("sh");
            shell.args(["-c", "ulimit -v 4000000 2>/dev/null; exec \"$0\" \"$@\"", program]);
            shell
        } else {
            Command::new(program)
        };
        command.args(args).current_dir(&self.0).env_remove("FC_ISA").env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        command
    }

    /// Runs `verify` with these arguments in this folder, to its end.
    pub fn verify(&self, args: &[&str]) -> Outcome {
        outcome(self.command(args))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a process left.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a command to its end. It fails the test if it does not come to one.
pub fn outcome(mut command: Command) -> Outcome {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, err) = (reader(child.stdout.take().unwrap()), reader(child.stderr.take().unwrap()));
    let ended = wait(&mut child);
    let (out, err) = (out.join().unwrap(), err.join().unwrap());
    assert!(ended, "{command:?} does not end; it said {err:?}");
    Outcome { status: child.wait().unwrap().code(), out, err }
}

/// Waits for the end of a process; kills it and returns `false` if that takes too long.
pub fn wait(child: &mut Child) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

fn reader(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = vec![];
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Outcome {
    /// The one line of an error: status 2, nothing on standard output, `verify: …` the only line on standard error.
    pub fn error(&self) -> &str {
        assert_eq!(self.status, Some(2), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        let line = self.err.strip_suffix('\n').unwrap_or(&self.err);
        assert!(line.starts_with("verify: ") && !line.contains(['\n', '\r']), "{self:?}");
        assert!(line.len() < 600, "a line that nobody reads: {self:?}");
        line
    }

    pub fn ok(&self) -> &Self {
        assert_eq!(self.status, Some(0), "{self:?}");
        self
    }
}
