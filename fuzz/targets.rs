//! What is fuzzed: the readers of everything that somebody else may have written.
//!
//! A target may refuse its input, and must do nothing else: no panic, no more memory than the input's size gives reason to
//! ([`Counting`]), no name that leads out of a sweep's folder. Where a checksum stands before a reader, the target puts it
//! right first, so that what lies behind it is reached.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Cursor, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use feature_contamination_verify::run::{
    CHECKPOINT, Checkpoint, Ending, Options, RunConfig, RunResult, Series, Stop, run_in,
};
use feature_contamination_verify::settings::Settings;
use feature_contamination_verify::sweep::grid::{Sweep, place};
use feature_contamination_verify::sweep::manifest::{Manifest, folder};
use feature_contamination_verify::toy;
use sha2::{Digest, Sha256};

/// A target: its name, what it does with an input, and the memory that it may take for one of so many bytes.
struct Target {
    name: &'static str,
    run: fn(&[u8]),
    /// Bytes whatever the input's size, and bytes a byte of it.
    memory: (usize, usize),
}

const MIB: usize = 1 << 20;

/// The limits are of all that is held at once. A byte of TOML or JSON comes to some hundred at worst: `a=1` is a key of 24
/// bytes and a value of 32 with their place in a table, in the user's table, in the one that is laid over the defaults, and in
/// its text that is read again.
const TARGETS: [Target; 8] = [
    // A million seeds and 100,000 records may be asked for in a few bytes: twice 8 MB, and 0.8 MB a few times over.
    Target { name: "config", run: config, memory: (32 * MIB, 1024) },
    // A million runs, or 128 MiB of values at the grid's points; while they are multiplied, twice over.
    Target { name: "sweep", run: sweep, memory: (512 * MIB, 1024) },
    Target { name: "settings", run: settings, memory: (8 * MIB, 1024) },
    // A record of one number is 8 bytes there, and 24 with a block of its own here.
    Target { name: "checkpoint", run: checkpoint, memory: (MIB, 32) },
    Target { name: "resume", run: resume, memory: (16 * MIB, 64) },
    // Read, copied to be hashed, and written out again.
    Target { name: "manifest", run: manifest, memory: (64 * MIB, 1024) },
    Target { name: "result", run: result, memory: (32 * MIB, 1024) },
    // What an archive may unfold to, 16 MiB or 64 times its size, as bytes, as f64 and as f32.
    Target { name: "npz", run: npz, memory: (8 * 16 * MIB, 8 * 64) },
];

/// Names of the targets.
pub fn names() -> impl Iterator<Item = &'static str> {
    TARGETS.iter().map(|target| target.name)
}

/// Gives a target an input.
///
/// # Panics
/// The reader panics, takes too much memory, or reads what it should not.
pub fn run(name: &str, data: &[u8]) {
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else { panic!("no target {name}") };
    let limit = target.memory.0 + target.memory.1 * data.len();
    let before = LIVE.get();
    PEAK.set(before);
    (target.run)(data);
    let held = PEAK.get() - before;
    assert!(held <= limit as isize, "{name}: {held} bytes are held for an input of {}; {limit} may be", data.len());
}

/// The system's allocator, which counts the bytes that a thread holds.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: everything is passed on to the system's allocator, whose rules are the trait's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises of this call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises of this call.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A configuration that is taken is written as the same one.
fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(config) = RunConfig::parse(text) else { return };
    let canonical = config.canonical().expect("a configuration that was checked");
    let again = RunConfig::parse(&canonical).unwrap_or_else(|error| panic!("{error}\n{canonical}"));
    assert_eq!(again.canonical().expect("the canonical text is one that was checked"), canonical);
    config.seeds.list();
}

/// A small sweep that is taken has a manifest that reads back.
fn sweep(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(sweep) = Sweep::parse(text) else { return };
    if sweep.points.len() * sweep.seeds.len() > 8 {
        let _ = place(&sweep.base, &sweep.fields, &sweep.points[0]);
        return;
    }
    let Ok(planned) = Manifest::plan(sweep) else { return };
    let text = serde_json::to_string_pretty(&planned.manifest).expect("a manifest");
    let again = Manifest::parse((text + "\n").as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again, planned.manifest);
    for run in again.runs() {
        again.config(run.point).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(settings) = Settings::parse(text, Path::new("fuzz.toml"), None) else { return };
    let _ = settings.validate();
    let _ = settings.for_controls().validate();
}

/// With the length of the body and the checksum that the format wants.
fn resealed(data: &[u8]) -> Option<Vec<u8>> {
    const HEAD: usize = 20;
    const TAIL: usize = 4;
    let mut bytes = data.to_vec();
    let body = (bytes.len().checked_sub(HEAD + TAIL)?) as u64;
    bytes[..12].copy_from_slice(b"\x89FCrun\r\n\x01\0\0\0");
    bytes[12..HEAD].copy_from_slice(&body.to_le_bytes());
    let end = bytes.len() - TAIL;
    let checksum = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    Some(bytes)
}

/// A checkpoint that is taken is written as the same bytes, whatever numbers it has.
fn checkpoint(data: &[u8]) {
    let _ = Checkpoint::decode(data);
    let Some(checkpoint) = resealed(data).and_then(|bytes| Checkpoint::decode(&bytes).ok()) else { return };
    let bytes = checkpoint.encode();
    let again = Checkpoint::decode(&bytes).unwrap_or_else(|error| panic!("what was written {error}"));
    assert!(again.encode() == bytes);
}

/// Runs of a few steps of every engine.
const RUNS: [&str; 4] = [
    "[model]\nd_core = 2\nd_bg = 2\nd = 8\n[network]\nm = 3\n[optimizer]\nbatch = 70\n[observables]\nper_octave = 0\n\
     eval_samples = 8\n[schedule]\nsteps = 3\n",
    "[model]\nsampling = \"fixed\"\nd_core = 2\nd_bg = 2\nd = 8\n[network]\nm = 3\noutput = \"frozen\"\n\
     [optimizer]\nloss = \"hinge\"\nbatch = 70\n[observables]\nper_octave = 0\n[schedule]\nsteps = 3\n",
    "[model]\nsampling = \"fixed\"\nd_core = 2\nd_bg = 2\nd = 8\n[network]\nm = 3\n[optimizer]\nname = \"adamw\"\nbatch = 9\n\
     learning_rate = 0.01\n[observables]\nper_octave = 0\n[schedule]\nsteps = 3\n",
    "[model]\nd_core = 2\nd_bg = 2\nd = 8\n[network]\nm = 3\nprecision = \"f64\"\ncoordinates = \"ambient\"\n\
     [optimizer]\nbatch = 9\n[observables]\nper_octave = 0\neval_samples = 8\n[schedule]\nsteps = 3\n",
];

/// A run, and its checkpoint before the first step.
struct Begun {
    config: RunConfig,
    checkpoint: Checkpoint,
}

/// A folder in memory where there is one: files are synced there at no cost.
fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    parent.join(format!("fc-fuzz-{}", std::process::id()))
}

fn begun() -> &'static [Begun] {
    static BEGUN: OnceLock<Vec<Begun>> = OnceLock::new();
    BEGUN.get_or_init(|| {
        let begin = |text: &&str| {
            let config = RunConfig::parse(text).expect("a configuration");
            let (out, stop) = (scratch(), Stop::default());
            stop.set();
            let ending = run_in(&out, &config, 1, &Options::default(), &stop).expect("a run that stops at once");
            assert_eq!(ending, Ending::Interrupted { step: 0 });
            let bytes = std::fs::read(out.join(CHECKPOINT)).expect("its checkpoint");
            std::fs::remove_dir_all(out).expect("its folder");
            Begun { config, checkpoint: Checkpoint::decode(&bytes).expect("a checkpoint") }
        };
        RUNS.iter().map(begin).collect()
    })
}

/// A run goes on from whatever a checkpoint of its own name holds, or refuses it: arrays of other numbers, names and lengths,
/// records, steps. The first byte chooses the run.
fn resume(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    let Some(mut checkpoint) = resealed(data).and_then(|bytes| Checkpoint::decode(&bytes).ok()) else { return };
    let begun = &begun()[usize::from(which) % RUNS.len()];
    checkpoint.origin = begun.checkpoint.origin.clone();
    let out = scratch();
    std::fs::create_dir_all(&out).expect("a folder");
    std::fs::write(out.join(CHECKPOINT), checkpoint.encode()).expect("a file");
    let options = Options { checkpoint_every: Duration::ZERO, ..Options::default() };
    if let Ok(Ending::Complete(result)) = run_in(&out, &begun.config, 1, &options, &Stop::default()) {
        result.series(&out).expect("the series of a result");
    }
    std::fs::remove_dir_all(&out).expect("the folder");
}

/// No name leads out of the sweep's folder.
fn manifest(data: &[u8]) {
    let _ = Manifest::parse(data);
    let Ok(mut manifest) = serde_json::from_slice::<Manifest>(data) else { return };
    // Its checksum is the last field: of the text in which it is empty.
    let text =
        |manifest: &Manifest| serde_json::to_string_pretty(manifest).map(|text| text + "\n").expect("a manifest");
    let Some(bare) =
        text(&manifest).rsplit_once("\"checksum\": ").map(|(before, _)| format!("{before}\"checksum\": \"\"\n}}\n"))
    else {
        return;
    };
    let hash: String = Sha256::digest(&bare).iter().map(|byte| format!("{byte:02x}")).collect();
    let sealed = bare.replace("\"checksum\": \"\"\n}\n", &format!("\"checksum\": \"{hash}\"\n}}\n"));
    manifest = match Manifest::parse(sealed.as_bytes()) {
        Ok(manifest) => manifest,
        Err(message) => {
            assert!(!message.contains("checksum"), "the checksum is put right: {message}");
            return;
        }
    };
    let root = Path::new("sweep");
    for run in manifest.runs() {
        let path = folder(root, run.id);
        let inside = path.strip_prefix(root).expect("a folder of the sweep");
        let parts: Vec<Component<'_>> = inside.components().collect();
        assert!(
            matches!(parts[..], [Component::Normal(_), Component::Normal(name)] if name == run.id),
            "{}",
            path.display()
        );
    }
    for point in 0..manifest.points.len().min(3) {
        let _ = manifest.config(point);
    }
}

fn result(data: &[u8]) {
    if let Ok(series) = Series::parse(data) {
        let _ = series.csv();
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(result) = RunResult::parse(text) else { return };
    let _ = result.config.canonical();
    let _ = result.config.plan(result.seed);
}

/// Names that the authors' script gives, in the order of their bytes here.
const ARRAYS: [&str; 19] = [
    "config",
    "train_x",
    "test_x",
    "y",
    "transform",
    "init_fcs_0_weight",
    "init_fcs_0_bias",
    "init_fcs_1_weight",
    "init_fcs_1_bias",
    "iteration",
    "train_loss",
    "test_loss",
    "core_norm",
    "background_norm",
    "rounding_train_loss",
    "rounding_test_loss",
    "rounding_core_norm",
    "rounding_background_norm",
    "init_fcs_2_weight",
];

/// An archive as it is; and one with right checksums, of arrays that the input has one after the other: a byte for the name, two for
/// the length, and the array's file.
fn npz(data: &[u8]) {
    let _ = toy::check("fuzz.npz", data);
    let mut archive = zip::ZipWriter::new(Cursor::new(vec![]));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut rest = data;
    while let [name, low, high, more @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(more.len());
        let (array, after) = more.split_at(length);
        rest = after;
        let name = ARRAYS[usize::from(*name) % ARRAYS.len()];
        // A name that is there already is an error of the writer's.
        if archive.start_file(format!("{name}.npy"), options).is_err() {
            return;
        }
        archive.write_all(array).expect("to memory");
    }
    let bytes = archive.finish().expect("to memory").into_inner();
    let _ = toy::check("fuzz.npz", &bytes);
}
