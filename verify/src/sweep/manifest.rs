//! The manifest of a sweep: every run with its name, written once.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::SweepError;
use super::grid::{self, MAX_RUNS, Sweep};
use crate::durable;
use crate::lock::{Attempt, Holder, RunLock};
use crate::run::{RunConfig, estimate};

/// The manifest's file in a sweep's folder.
pub const MANIFEST: &str = "manifest.json";
/// The folder of the runs' folders.
pub const RUNS: &str = "runs";
/// Version of the manifest.
const SCHEMA_VERSION: u32 = 1;
/// Version of what a run leaves and of how it is named: a run of another one is another run.
const RUN_FORMAT: u32 = 1;
/// Most bytes of a manifest: a million runs have some 40 MB of names.
const MAX_FILE_BYTES: u64 = 1 << 28;

/// The name of a run: the first 128 bits of `SHA-256(format, seed, canonical configuration)`, in hexadecimal.
///
/// `printf 'feature-contamination run 1\nseed 7\n<canonical>' | sha256sum | cut -c 1-32` says the same.
pub fn run_id(canonical: &str, seed: u64) -> String {
    let hash = Sha256::digest(format!("feature-contamination run {RUN_FORMAT}\nseed {seed}\n{canonical}"));
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every run of a sweep: all of `seeds` at each of `points`, named by `ids`, the seed changing fastest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    schema_version: u32,
    /// Version of the program that planned it.
    version: String,
    /// What does not vary, as in the sweep's file.
    base: Table,
    /// What varies.
    pub fields: Vec<String>,
    /// The values of `fields` at each point.
    pub points: Vec<Vec<Value>>,
    /// The seeds of every point.
    pub seeds: Vec<u64>,
    /// An upper estimate of the memory of the largest run, bytes.
    pub memory_bytes: f64,
    /// Names of the runs, which are those of their folders.
    pub ids: Vec<String>,
    /// SHA-256 of the manifest as it is with this empty.
    checksum: String,
}

/// One run of a manifest.
#[derive(Clone, Copy, Debug)]
pub struct Run<'m> {
    /// Its place in the manifest.
    pub index: usize,
    /// Its name, and that of its folder.
    pub id: &'m str,
    /// Its seed.
    pub seed: u64,
    /// Its point's place in the manifest.
    pub point: usize,
}

/// A manifest, and what its runs take.
#[derive(Debug)]
pub struct Planned {
    /// The manifest.
    pub manifest: Manifest,
    /// The point whose runs take longest.
    pub longest: usize,
    /// The time of all runs together in that of one run of this point.
    pub longest_runs: f64,
}

impl Manifest {
    /// The manifest of a sweep, with every run checked.
    ///
    /// # Errors
    /// Names the first point that is wrong, and its field.
    pub fn plan(sweep: Sweep) -> Result<Planned, SweepError> {
        let Sweep { base, fields, points, seeds } = sweep;
        let mut ids = Vec::with_capacity(points.len() * seeds.len());
        let mut texts: HashMap<String, usize> = HashMap::new();
        let (mut memory_bytes, mut works) = (0.0f64, Vec::with_capacity(points.len()));
        for (index, values) in points.iter().enumerate() {
            let wrong = |message: String| {
                let place = match fields.is_empty() {
                    true => String::new(),
                    false => format!("grid point {} ({}): ", index + 1, grid::describe(&fields, values)),
                };
                SweepError::Point(format!("{place}{message}"))
            };
            let config = grid::place(&base, &fields, values).and_then(|table| RunConfig::from_table(&table));
            let config = config.map_err(wrong)?;
            let canonical = config.canonical().map_err(|error| wrong(error.to_string()))?;
            ids.extend(seeds.iter().map(|&seed| run_id(&canonical, seed)));
            if let Some(twin) = texts.insert(canonical, index) {
                return Err(wrong(format!("is the same run as grid point {}; leave one out", twin + 1)));
            }
            let plan = config.plan(seeds[0]).map_err(|error| wrong(error.to_string()))?;
            memory_bytes = memory_bytes.max(estimate::memory_bytes(&config, &plan));
            works.push(estimate::work(&plan));
        }
        let longest = (0..works.len()).max_by(|&a, &b| works[a].total_cmp(&works[b])).unwrap_or_default();
        let longest_runs = works.iter().sum::<f64>() / works[longest] * seeds.len() as f64;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let mut manifest = Self {
            schema_version: SCHEMA_VERSION,
            version,
            base,
            fields,
            points,
            seeds,
            memory_bytes,
            ids,
            checksum: String::new(),
        };
        manifest.checksum = manifest.hash();
        Ok(Planned { manifest, longest, longest_runs })
    }

    /// Writes the manifest into a sweep's folder, which is made if need be. One that is there already stays: the same one is
    /// fine, and `false` is returned.
    ///
    /// # Errors
    /// The folder has the manifest of another sweep, or something else in it, or cannot be written.
    pub fn write(&self, dir: &Path) -> Result<bool, SweepError> {
        durable::create_folder(dir)?;
        let waiting = |holder: &Holder| super::eprintln_line(&holder.awaited(dir));
        let lock = match RunLock::wait(dir, &waiting, &|| false).map_err(SweepError::io("lock", dir))? {
            Attempt::Mine(lock) => lock,
            Attempt::Held(_) | Attempt::Doubtful(_) => {
                return Err(SweepError::Folder(format!("{}: another process is planning there", dir.display())));
            }
        };
        let written = self.write_locked(dir);
        lock.remove();
        written
    }

    fn write_locked(&self, dir: &Path) -> Result<bool, SweepError> {
        if fs::symlink_metadata(dir.join(MANIFEST)).is_ok() {
            let other = Self::load(dir)?;
            if (&other.ids, &other.fields, &other.points) == (&self.ids, &self.fields, &self.points) {
                return Ok(false);
            }
            return Err(SweepError::Folder(format!(
                "{}: has the manifest of another sweep, which stays as it is; name a new folder",
                dir.display()
            )));
        }
        for entry in fs::read_dir(dir).map_err(SweepError::io("read", dir))? {
            let name = entry.map_err(SweepError::io("read", dir))?.file_name();
            // What a plan that was killed may have left.
            if ![crate::lock::LOCK, RUNS, ".manifest.json.tmp"].iter().any(|own| name == *own) {
                return Err(SweepError::Folder(format!(
                    "{}: holds {name:?} and no sweep; name an empty or new folder",
                    dir.display()
                )));
            }
        }
        durable::create_folder(&dir.join(RUNS))?;
        durable::write(dir, MANIFEST, self.text().as_bytes())?;
        Ok(true)
    }

    /// The manifest of a sweep's folder.
    ///
    /// # Errors
    /// It is not there, or not as it was written, or of another version.
    pub fn load(dir: &Path) -> Result<Self, SweepError> {
        let path = dir.join(MANIFEST);
        let wrong = |message: String| SweepError::File(format!("{}: {message}", path.display()));
        let read = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => wrong("is not there; make it with verify sweep plan".to_owned()),
            _ => wrong(format!("cannot be read: {error}")),
        };
        let mut bytes = Vec::new();
        File::open(&path).map_err(read)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(read)?;
        Self::parse(&bytes).map_err(wrong)
    }

    /// The manifest that a text says.
    ///
    /// # Errors
    /// It is not one that [`Manifest::write`] wrote, in one line.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(format!("has more than {MAX_FILE_BYTES} bytes, which no manifest has"));
        }
        let malformed = |error: serde_json::Error| format!("does not read as a manifest: {error}");
        let Version { schema_version } = serde_json::from_slice(text).map_err(malformed)?;
        if schema_version != SCHEMA_VERSION {
            return Err(format!("schema_version is {schema_version}; this program reads {SCHEMA_VERSION}"));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(malformed)?;
        if manifest.checksum != manifest.hash() {
            return Err("was changed after it was written: its checksum does not fit".to_owned());
        }
        // A checksum is easily made; nothing below is taken on trust.
        let Self { fields, points, seeds, ids, .. } = &manifest;
        if ids.is_empty() || ids.len() > MAX_RUNS || points.len().checked_mul(seeds.len()) != Some(ids.len()) {
            return Err(format!("has {} points, {} seeds and {} runs", points.len(), seeds.len(), ids.len()));
        }
        if let Some(row) = points.iter().find(|row| row.len() != fields.len()) {
            return Err(format!("has a point of {} values for {} fields", row.len(), fields.len()));
        }
        // A name is a folder's: nothing but digits, so that none leads out of the sweep's.
        let is_id = |id: &String| id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if let Some(id) = ids.iter().find(|id| !is_id(id)) {
            return Err(format!("has a run named {id:?}; must be 32 digits, 0 to f"));
        }
        let mut seen = HashSet::with_capacity(ids.len());
        match ids.iter().find(|id| !seen.insert(*id)) {
            Some(twin) => Err(format!("has the run {twin} twice")),
            None => Ok(manifest),
        }
    }

    fn text(&self) -> String {
        // Numbers that are finite, strings and tables to memory have no way to fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    fn hash(&self) -> String {
        let bare = Self { checksum: String::new(), ..self.clone() };
        Sha256::digest(bare.text()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What does not vary, as in the sweep's file.
    pub fn base(&self) -> &Table {
        &self.base
    }

    /// Every run, in order.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.ids.iter().enumerate().map(|(index, id)| Run {
            index,
            id,
            seed: self.seeds[index % self.seeds.len()],
            point: index / self.seeds.len(),
        })
    }

    /// The configuration of a point.
    ///
    /// # Errors
    /// This program takes the point otherwise than the one that planned it.
    pub fn config(&self, point: usize) -> Result<RunConfig, SweepError> {
        let table = grid::place(&self.base, &self.fields, &self.points[point]);
        let config = table.and_then(|table| RunConfig::from_table(&table)).and_then(|config| {
            let canonical = config.canonical().map_err(|error| error.to_string())?;
            let first = point * self.seeds.len();
            let same = run_id(&canonical, self.seeds[0]) == self.ids[first];
            same.then_some(config).ok_or_else(|| "is another run than was planned".to_owned())
        });
        config.map_err(|message| {
            let (planned, this) = (&self.version, env!("CARGO_PKG_VERSION"));
            let values = grid::describe(&self.fields, &self.points[point]);
            SweepError::Point(format!(
                "grid point {} ({values}): {message}; the sweep was planned by version {planned}, and this is {this}: plan it again in a new folder",
                point + 1
            ))
        })
    }
}

/// The folder of a run.
pub fn folder(dir: &Path, id: &str) -> PathBuf {
    dir.join(RUNS).join(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWEEP: &str = "seeds = [3, 1]\n[model]\nd_core = 4\nd_bg = 4\n[grid]\n\"network.m\" = [8, 16]\n\
                         \"model.background\" = [[{shape = \"point\", value = 0.5}]]\n\"optimizer.weight_decay\" = [0.0, 1e-3]";

    fn manifest() -> Manifest {
        Manifest::plan(Sweep::parse(SWEEP).unwrap()).unwrap().manifest
    }

    #[test]
    fn names_do_not_change() {
        // printf 'feature-contamination run 1\nseed 7\nm = 8\n' | sha256sum
        assert_eq!(run_id("m = 8\n", 7), "a76aa6d0b3e8596c72d8d4d96ac080ec");
        assert_ne!(run_id("m = 8\n", 7), run_id("m = 8\n", 8));
        assert_ne!(run_id("m = 8\n", 7), run_id("m = 9\n", 7));
    }

    #[test]
    fn a_manifest_reads_back_with_the_configurations_that_were_planned() {
        let manifest = manifest();
        let again = Manifest::parse(manifest.text().as_bytes()).unwrap();
        assert_eq!(again, manifest);
        assert_eq!(again.fields, ["model.background", "network.m", "optimizer.weight_decay"]);
        for run in again.runs() {
            let config = again.config(run.point).unwrap();
            assert_eq!(run.id, run_id(&config.canonical().unwrap(), run.seed));
        }
        let order: Vec<(usize, u64)> = again.runs().map(|run| (run.point, run.seed)).collect();
        assert_eq!(order[..4], [(0, 3), (0, 1), (1, 3), (1, 1)]);
        assert_eq!(again.config(2).unwrap().network.m, 16);
    }

    /// Whatever the order of the points: a plan that says too little leads into a full memory.
    #[test]
    fn memory_and_time_are_those_of_the_largest_run() {
        for (sizes, longest) in [("[8, 512]", 1), ("[512, 8]", 0)] {
            let text = format!("seeds = 3\n[model]\nd_core = 4\nd_bg = 4\n[grid]\n\"network.m\" = {sizes}");
            let planned = Manifest::plan(Sweep::parse(&text).unwrap()).unwrap();
            let config = planned.manifest.config(longest).unwrap();
            assert_eq!(config.network.m, 512);
            let largest = estimate::memory_bytes(&config, &config.plan(1).unwrap());
            assert_eq!((planned.manifest.memory_bytes, planned.longest), (largest, longest));
            // Three seeds of the longer point, and of one that takes less.
            assert!(planned.longest_runs > 3.0 && planned.longest_runs < 6.0, "{}", planned.longest_runs);
        }
    }

    #[test]
    fn a_run_that_this_program_takes_otherwise_is_refused() {
        let mut manifest = manifest();
        manifest.ids.swap(0, 2);
        let error = manifest.config(0).unwrap_err().to_string();
        assert!(error.contains("grid point 1 (") && error.contains("is another run than was planned"), "{error}");
    }

    #[test]
    fn a_manifest_with_a_right_checksum_is_not_trusted() {
        let refused = |change: &dyn Fn(&mut Manifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            manifest.checksum = manifest.hash();
            Manifest::parse(manifest.text().as_bytes()).unwrap_err()
        };
        for id in [
            "../../../../../../../../etc/x",
            "/etc",
            "",
            ".",
            "0123456789abcdef0123456789abcdeF",
            "é123456789abcdef0123456789abcd",
        ] {
            assert!(refused(&|manifest| manifest.ids[1] = id.to_owned()).contains("has a run named"), "{id}");
        }
        assert!(refused(&|manifest| manifest.ids[1] = manifest.ids[0].clone()).contains("twice"));
        assert!(refused(&|manifest| manifest.ids.truncate(3)).contains("4 points, 2 seeds and 3 runs"));
        assert!(refused(&|manifest| manifest.ids.clear()).contains("0 runs"));
        assert!(refused(&|manifest| manifest.seeds.clear()).contains("0 seeds"));
        assert!(refused(&|manifest| manifest.points[1].truncate(1)).contains("a point of 1 values for 3 fields"));
        assert!(refused(&|manifest| manifest.schema_version = 7).contains("schema_version is 7"));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_noticed() {
        let text = manifest().text().into_bytes();
        for end in 0..text.len() - 1 {
            assert!(Manifest::parse(&text[..end]).is_err(), "cut at {end}");
        }
        for place in 0..text.len() {
            let mut changed = text.clone();
            changed[place] ^= 1;
            // White space that stays white space is the same manifest.
            if let Ok(manifest) = Manifest::parse(&changed) {
                assert_eq!(manifest.text().as_bytes(), text, "byte {place}");
            }
        }
    }
}
