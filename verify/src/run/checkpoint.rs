//! Checkpoints: everything that the rest of a run depends on, in one file that is whole or refused.
//!
//! ```text
//! magic 8 bytes · format u32 · length of the body u64 · body · CRC-32 of all before it u32
//! body: length u32, header JSON · the records, f64 · number of arrays u32 · arrays
//! array: kind u8 · length of the name u16, name · number of entries u64, entries
//! ```
//! All numbers are little-endian. The header says for which run the file is, and by which program on which instruction set it
//! was written: with any of these another, the bits of the rest would be others, and the file is refused.

use std::fs;
use std::io;
use std::path::Path;

use feature_contamination::{Array, Snapshot};
use serde::{Deserialize, Serialize};

use crate::durable::{self, DurableError};

/// The newest checkpoint.
pub const CHECKPOINT: &str = "checkpoint.bin";
/// The one before it.
pub const PREVIOUS: &str = "checkpoint.previous.bin";

/// Not text: a transfer that rewrites line ends shows in it.
const MAGIC: [u8; 8] = *b"\x89FCrun\r\n";
/// Version of the layout.
const FORMAT: u32 = 1;
/// Bytes before the body, and after it.
const HEAD: usize = MAGIC.len() + 4 + 8;
const TAIL: usize = 4;

/// What a run's bits depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Version of the program.
    pub version: String,
    /// Commit that it was built from.
    pub commit: String,
    /// Instruction set.
    pub isa: String,
    /// The run's seed.
    pub seed: u64,
    /// Its configuration, [canonical](super::RunConfig::canonical).
    pub config: String,
}

impl Origin {
    /// Whether a run of `self` may go on from a checkpoint of `found`.
    ///
    /// # Errors
    /// Why not.
    fn accepts(&self, found: &Self) -> Result<(), String> {
        if let Some(difference) = difference(&self.config, &found.config) {
            return Err(format!("is of another configuration: {difference}"));
        }
        if self.seed != found.seed {
            return Err(format!("is of seed {}, and this run has seed {}", found.seed, self.seed));
        }
        for (what, own, theirs) in [
            ("version", &self.version, &found.version),
            ("commit", &self.commit, &found.commit),
            ("instruction set", &self.isa, &found.isa),
        ] {
            if own != theirs {
                return Err(format!(
                    "was written at {what} {theirs:?}, and this is {own:?}: the bits of the rest would be others"
                ));
            }
        }
        Ok(())
    }
}

/// The first key in which two canonical configurations differ.
pub(super) fn difference(here: &str, there: &str) -> Option<String> {
    if here == there {
        return None;
    }
    let (mut section, mut theirs) = ("", there.lines());
    for own in here.lines() {
        let other = theirs.next().unwrap_or("nothing");
        section = own.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(section);
        if own != other {
            let short = |line: &str| line.chars().take(80).collect::<String>();
            return Some(format!("[{section}] {} there, {} here", short(other), short(own)));
        }
    }
    Some("it has more keys".to_owned())
}

/// A run between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What it is of.
    pub origin: Origin,
    /// Steps taken.
    pub step: u64,
    /// Time so far, seconds.
    pub elapsed_seconds: f64,
    /// How often the run was taken up again.
    pub interruptions: u64,
    /// The records so far.
    pub rows: Vec<Vec<f64>>,
    /// The training's state.
    pub state: Snapshot,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    origin: Origin,
    step: u64,
    elapsed_seconds: f64,
    interruptions: u64,
    columns: usize,
    rows: usize,
}

impl Checkpoint {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let header = Header {
            origin: self.origin.clone(),
            step: self.step,
            elapsed_seconds: self.elapsed_seconds,
            interruptions: self.interruptions,
            columns,
            rows: self.rows.len(),
        };
        // A struct of numbers and strings to memory has no way to fail.
        let header = serde_json::to_vec(&header).unwrap_or_default();
        let arrays: usize = self.state.arrays.iter().map(|(name, array)| 11 + name.len() + 8 * array.len()).sum();
        let mut bytes = Vec::with_capacity(HEAD + 8 + header.len() + 8 * columns * self.rows.len() + arrays + TAIL);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(&header);
        self.rows.iter().flatten().for_each(|x| bytes.extend(x.to_le_bytes()));
        bytes.extend((self.state.arrays.len() as u32).to_le_bytes());
        for (name, array) in &self.state.arrays {
            let kind = match array {
                Array::F32(_) => 0u8,
                Array::F64(_) => 1,
                Array::U64(_) => 2,
                Array::I8(_) => 3,
            };
            bytes.push(kind);
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend((array.len() as u64).to_le_bytes());
            match array {
                Array::F32(values) => values.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
                Array::F64(values) => values.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
                Array::U64(values) => values.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
                Array::I8(values) => values.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
            }
        }
        let body = (bytes.len() - HEAD) as u64;
        bytes[HEAD - 8..HEAD].copy_from_slice(&body.to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    /// Reads the file's bytes. Allocates no more than they are long, whatever they say.
    ///
    /// # Errors
    /// Why they are no checkpoint, as the end of a sentence that begins with the file's name.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Some((magic, rest)) = bytes.split_first_chunk() else {
            return Err(format!("has {} bytes and is no checkpoint", bytes.len()));
        };
        if *magic != MAGIC {
            return Err("is no checkpoint of this program".to_owned());
        }
        let mut head = Reader { bytes: rest };
        let format = head.u32()?;
        if format != FORMAT {
            return Err(format!("is of format {format}; this program reads {FORMAT}"));
        }
        let length = head.u64()?;
        let (found, expected) = (bytes.len() as u64, length.saturating_add((HEAD + TAIL) as u64));
        if found != expected {
            return Err(format!("has {found} bytes and should have {expected}"));
        }
        let (content, checksum) = bytes.split_at(bytes.len() - TAIL);
        if checksum != crc32fast::hash(content).to_le_bytes() {
            return Err("is damaged: its checksum is not that of its content".to_owned());
        }
        let mut body = Reader { bytes: &content[HEAD..] };
        let header = body.u32()? as usize;
        let header: Header = serde_json::from_slice(body.take(header)?)
            .map_err(|error| format!("has a header that does not read: {error}"))?;
        let Header { origin, step, elapsed_seconds, interruptions, columns, rows } = header;
        if (columns == 0) != (rows == 0) {
            return Err(format!("says that it has {rows} records of {columns} numbers"));
        }
        let records = body.entries(columns.saturating_mul(rows), f64::from_le_bytes)?;
        let rows = if columns == 0 { vec![] } else { records.chunks_exact(columns).map(<[f64]>::to_vec).collect() };
        let mut arrays = Vec::new();
        for _ in 0..body.u32()? {
            let kind = body.take(1)?[0];
            let name = u16::from_le_bytes(body.fixed()?) as usize;
            let name = std::str::from_utf8(body.take(name)?).map_err(|_| "has a name that is not UTF-8".to_owned())?;
            let length = usize::try_from(body.u64()?).unwrap_or(usize::MAX);
            let array = match kind {
                0 => Array::F32(body.entries(length, f32::from_le_bytes)?),
                1 => Array::F64(body.entries(length, f64::from_le_bytes)?),
                2 => Array::U64(body.entries(length, u64::from_le_bytes)?),
                3 => Array::I8(body.entries(length, i8::from_le_bytes)?),
                _ => return Err(format!("has an array of kind {kind}, which is none")),
            };
            arrays.push((name.to_owned(), array));
        }
        if !body.bytes.is_empty() {
            return Err(format!("has {} bytes too many", body.bytes.len()));
        }
        Ok(Self { origin, step, elapsed_seconds, interruptions, rows, state: Snapshot { arrays } })
    }
}

/// What is left to read.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(|| "ends too early".to_owned())?;
        self.bytes = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or_else(|| "ends too early".to_owned())?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.fixed().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.fixed().map(u64::from_le_bytes)
    }

    /// `length` entries of `N` bytes each.
    fn entries<T, const N: usize>(&mut self, length: usize, read: fn([u8; N]) -> T) -> Result<Vec<T>, String> {
        let bytes = self.take(length.saturating_mul(N))?;
        Ok(bytes.as_chunks().0.iter().map(|chunk| read(*chunk)).collect())
    }
}

/// The checkpoints of a folder.
#[derive(Debug)]
pub(super) struct Store<'a> {
    folder: &'a Path,
    /// Whether the newest one is whole, so that it may take the place of the one before it.
    whole: bool,
}

impl<'a> Store<'a> {
    /// The checkpoint that a run of `origin` goes on from: the newest one, or, if that is refused, here or by `take_up`, the one
    /// before it. `Err` within `Ok`: there are some, and all are refused, in one line.
    ///
    /// # Errors
    /// One cannot be read, which may pass, and no other one is there.
    pub(super) fn open(
        folder: &'a Path,
        origin: &Origin,
        warn: &dyn Fn(&str),
        take_up: &mut dyn FnMut(Checkpoint) -> Result<Checkpoint, String>,
    ) -> Result<Result<(Self, Option<Checkpoint>), String>, DurableError> {
        let (mut refused, mut unread) = (Vec::new(), None);
        for name in [CHECKPOINT, PREVIOUS] {
            let path = folder.join(name);
            let read = match fs::read(&path) {
                Ok(bytes) => Checkpoint::decode(&bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let reason = format!("cannot be read: {error}");
                    unread = unread.or(Some(DurableError::new("read", &path)(error)));
                    Err(reason)
                }
            };
            let accepted = read.and_then(|checkpoint| origin.accepts(&checkpoint.origin).map(|()| checkpoint));
            match accepted.and_then(&mut *take_up) {
                Ok(checkpoint) => {
                    for reason in refused {
                        warn(&format!("{reason}; going on from {name}, step {}", checkpoint.step));
                    }
                    return Ok(Ok((Self { folder, whole: name == CHECKPOINT }, Some(checkpoint))));
                }
                Err(reason) => refused.push(format!("{} {reason}", path.display())),
            }
        }
        match (unread, refused.is_empty()) {
            (Some(error), _) => Err(error),
            (None, true) => Ok(Ok((Self { folder, whole: false }, None))),
            (None, false) => Ok(Err(format!("{}; remove it to begin anew", refused.join("; ")))),
        }
    }

    /// Writes a checkpoint; the newest one so far is kept beside it.
    pub(super) fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), DurableError> {
        let path = self.folder.join(CHECKPOINT);
        let temporary = durable::write_temporary(self.folder, CHECKPOINT, &checkpoint.encode())?;
        // One that was refused does not take the place of the whole one before it.
        if self.whole {
            let previous = self.folder.join(PREVIOUS);
            fs::rename(&path, &previous).map_err(DurableError::new("write", &previous))?;
        }
        fs::rename(&temporary, &path).map_err(DurableError::new("write", &path))?;
        self.whole = true;
        durable::sync_folder(self.folder)
    }

    /// Removes the checkpoints of a run that is complete, and one that was cut short by a kill.
    pub(super) fn remove(folder: &Path) -> Result<(), DurableError> {
        for path in [folder.join(CHECKPOINT), folder.join(PREVIOUS), durable::temporary(folder, CHECKPOINT)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(DurableError::new("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a folder has a checkpoint, of whatever worth.
pub fn has_checkpoint(folder: &Path) -> bool {
    [CHECKPOINT, PREVIOUS].iter().any(|name| folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn origin() -> Origin {
        Origin {
            version: "1.2.3".to_owned(),
            commit: "abc".to_owned(),
            isa: "avx2".to_owned(),
            seed: 7,
            config: "[model]\nd = 3\n[network]\nm = 4\n".to_owned(),
        }
    }

    fn checkpoint(step: u64) -> Checkpoint {
        let arrays = vec![
            ("weights".to_owned(), Array::F32(vec![1.5, -0.0, f32::MIN_POSITIVE])),
            ("velocity".to_owned(), Array::F64(vec![0.1, 1e300])),
            ("step".to_owned(), Array::U64(vec![u64::MAX, step])),
            ("signs".to_owned(), Array::I8(vec![-1, 0, 1])),
            ("none".to_owned(), Array::F32(vec![])),
        ];
        Checkpoint {
            origin: origin(),
            step,
            elapsed_seconds: 0.1,
            interruptions: 2,
            rows: vec![vec![0.0, 1.0, 2.0], vec![1.0, 0.3, -4e-300]],
            state: Snapshot { arrays },
        }
    }

    /// With the body's length and the checksum put right.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let length = (bytes.len() - HEAD - TAIL) as u64;
        bytes[HEAD - 8..HEAD].copy_from_slice(&length.to_le_bytes());
        let end = bytes.len() - TAIL;
        let checksum = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn what_is_written_reads_back() {
        for checkpoint in [checkpoint(3), Checkpoint { rows: vec![], ..checkpoint(0) }] {
            assert_eq!(Checkpoint::decode(&checkpoint.encode()).unwrap(), checkpoint);
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let bytes = checkpoint(3).encode();
        for length in 0..bytes.len() {
            assert!(Checkpoint::decode(&bytes[..length]).is_err(), "cut to {length}");
        }
        for at in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(Checkpoint::decode(&flipped).is_err(), "bit {at}");
        }
        assert!(Checkpoint::decode(&[&bytes[..], &[0]].concat()).unwrap_err().contains("should have"));
    }

    /// Lengths that lie, under a checksum that is right: refused, and nothing is allocated for them.
    #[test]
    fn lies_are_refused() {
        let bytes = checkpoint(3).encode();
        for at in HEAD..bytes.len() - TAIL {
            for value in [0, 0x7f, 0xff] {
                let mut lying = bytes.clone();
                lying[at] = value;
                let _ = Checkpoint::decode(&sealed(lying));
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let rows = text.find("\"rows\":2").unwrap();
        let at = bytes.windows(8).position(|window| window == b"\"rows\":2").unwrap();
        assert!(rows > 0);
        let mut many = bytes.clone();
        many.splice(at..at + 8, *b"\"rows\":18446744073709551615");
        let header = u32::from_le_bytes(bytes[HEAD..HEAD + 4].try_into().unwrap()) + 19;
        many[HEAD..HEAD + 4].copy_from_slice(&header.to_le_bytes());
        assert_eq!(Checkpoint::decode(&sealed(many)), Err("ends too early".to_owned()));
    }

    #[test]
    fn foreign_files_say_what_they_are() {
        let error = |bytes: &[u8]| Checkpoint::decode(bytes).unwrap_err();
        assert!(error(b"").contains("0 bytes"));
        assert!(error(b"{\"schema_version\": 1}").contains("no checkpoint of this program"));
        let mut older = checkpoint(3).encode();
        older[MAGIC.len()] = 0;
        assert!(error(&older).contains("format 0; this program reads 1"));
    }

    type Opened<'a> = Result<(Store<'a>, Option<Checkpoint>), String>;

    fn open<'a>(folder: &'a Path, origin: &Origin) -> Result<Opened<'a>, DurableError> {
        Store::open(folder, origin, &|_| (), &mut Ok)
    }

    #[test]
    fn a_checkpoint_of_another_run_or_program_is_refused_with_the_difference() {
        let folder = Scratch::new();
        let mut store = open(folder.path(), &origin()).unwrap().unwrap().0;
        store.save(&checkpoint(3)).unwrap();
        let refused = |origin: Origin| open(folder.path(), &origin).unwrap().unwrap_err();
        let config = origin().config.replace("m = 4", "m = 5");
        let error = refused(Origin { config, ..origin() });
        assert!(error.contains("[network] m = 4 there, m = 5 here") && error.contains("checkpoint.bin"), "{error}");
        assert!(refused(Origin { seed: 8, ..origin() }).contains("is of seed 7"));
        assert!(refused(Origin { isa: "avx512".to_owned(), ..origin() }).contains("instruction set \"avx2\""));
        assert!(refused(Origin { version: "2".to_owned(), ..origin() }).contains("version \"1.2.3\""));
        assert!(refused(Origin { commit: "abd".to_owned(), ..origin() }).contains("commit \"abc\""));
    }

    #[test]
    fn the_previous_one_is_kept_until_the_new_one_is_whole_and_used_if_it_is_not() {
        let folder = Scratch::new();
        let told = |warnings: &std::cell::RefCell<Vec<String>>| {
            Store::open(folder.path(), &origin(), &|line| warnings.borrow_mut().push(line.to_owned()), &mut Ok)
                .unwrap()
                .map(|(store, checkpoint)| (store.whole, checkpoint.map(|checkpoint| checkpoint.step)))
        };
        let warnings = std::cell::RefCell::new(vec![]);
        assert_eq!(told(&warnings), Ok((false, None)));
        let mut store = open(folder.path(), &origin()).unwrap().unwrap().0;
        store.save(&checkpoint(1)).unwrap();
        store.save(&checkpoint(2)).unwrap();
        assert_eq!(told(&warnings), Ok((true, Some(2))));
        assert!(warnings.borrow().is_empty());
        // Damaged: the one before it, and a word on it.
        let path = folder.path().join(CHECKPOINT);
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(told(&warnings), Ok((false, Some(1))));
        let warning = warnings.borrow_mut().pop().unwrap();
        assert!(warning.contains("is damaged") && warning.contains("step 1"), "{warning}");
        // Whole, but of a content that the training refuses: the same.
        fs::write(&path, checkpoint(2).encode()).unwrap();
        let mut odd = |checkpoint: Checkpoint| match checkpoint.step {
            2 => Err("does not fit".to_owned()),
            _ => Ok(checkpoint),
        };
        let warn = |line: &str| warnings.borrow_mut().push(line.to_owned());
        let (store, taken) = Store::open(folder.path(), &origin(), &warn, &mut odd).unwrap().unwrap();
        assert_eq!((store.whole, taken.map(|checkpoint| checkpoint.step)), (false, Some(1)));
        let warning = warnings.borrow_mut().pop().unwrap();
        assert!(
            warning.contains("checkpoint.bin does not fit; going on from checkpoint.previous.bin, step 1"),
            "{warning}"
        );
        fs::write(&path, &bytes).unwrap();
        // The damaged one does not take the place of the whole one.
        let mut store = open(folder.path(), &origin()).unwrap().unwrap().0;
        store.save(&checkpoint(5)).unwrap();
        let previous = Checkpoint::decode(&fs::read(folder.path().join(PREVIOUS)).unwrap()).unwrap();
        assert_eq!(previous.step, 1);
        assert_eq!(told(&warnings), Ok((true, Some(5))));
        // Between the two renames.
        fs::remove_file(&path).unwrap();
        assert_eq!(told(&warnings), Ok((false, Some(1))));
        // One that cannot be read is no reason to begin anew, nor to call the run a failure.
        fs::rename(folder.path().join(PREVIOUS), folder.path().join("kept")).unwrap();
        fs::create_dir(&path).unwrap();
        let error = open(folder.path(), &origin()).unwrap_err().to_string();
        assert!(error.contains("cannot read") && error.contains(CHECKPOINT), "{error}");
        fs::remove_dir(&path).unwrap();
        // None is whole.
        fs::write(&path, b"x").unwrap();
        fs::write(folder.path().join(PREVIOUS), b"").unwrap();
        let error = told(&warnings).unwrap_err();
        assert!(error.contains(CHECKPOINT) && error.contains(PREVIOUS) && error.contains("remove"), "{error}");
        Store::remove(folder.path()).unwrap();
        assert_eq!(told(&warnings), Ok((false, None)));
    }
}
