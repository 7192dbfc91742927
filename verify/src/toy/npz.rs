//! Arrays of numpy's `.npz` archives, with bounds on what is read.
//!
//! The archive is the `zip` crate's business. An array is read only as far as the shape that was asked for goes, whatever
//! the archive claims about its size.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;

use super::ToyError;
use zip::ZipArchive;
use zip::result::ZipError;

/// Longest header of an array that is looked at, in bytes; numpy writes 118.
const MAX_HEADER_BYTES: usize = 4096;
/// Longest text, in characters.
const MAX_TEXT: usize = 65_536;
/// Longest vector whose length the file decides.
const MAX_VECTOR: usize = 1 << 20;

/// Bytes to which any archive may unfold, and the multiple of its own size to which it may. Numbers that were trained or drawn
/// hardly shrink; biases that are 0 and a dictionary of the coordinates' directions do, and fit into the first. Zeros made to
/// fill a memory shrink to a thousandth.
const MAX_UNFOLDED_BYTES: u64 = 1 << 24;
const MAX_UNFOLDED_RATIO: u64 = 64;

/// An open archive.
pub struct Npz<R> {
    archive: ZipArchive<R>,
    /// The file's name in messages.
    name: String,
    /// Bytes that may still be read from it.
    left: u64,
}

/// Reads from `inner` until nothing is left of what may be read; an error beyond.
struct Limited<'a, R> {
    inner: R,
    left: &'a mut u64,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if *self.left == 0 && !to.is_empty() {
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::Error::other(format!(
                    "the archive unfolds to more than {MAX_UNFOLDED_RATIO} times its size and {MAX_UNFOLDED_BYTES} bytes"
                ))),
            };
        }
        let most = usize::try_from(*self.left).unwrap_or(usize::MAX).min(to.len());
        let count = self.inner.read(&mut to[..most])?;
        *self.left -= count as u64;
        Ok(count)
    }
}

/// Type and shape of an array.
#[derive(Debug)]
struct Header {
    /// numpy's name of the type, `<f4`.
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Npz<BufReader<File>> {
    /// Opens an archive.
    ///
    /// # Errors
    /// The file cannot be read or is no archive.
    pub fn open(path: &Path) -> Result<Self, ToyError> {
        let name = path.display().to_string();
        let read = |source: std::io::Error| ToyError::new(&name, format!("cannot read it: {source}"));
        let file = File::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        if metadata.is_dir() {
            return Err(ToyError::new(&name, "is a folder; name a .npz file"));
        }
        Self::new(name, BufReader::new(file), metadata.len())
    }
}

impl<'b> Npz<Cursor<&'b [u8]>> {
    /// An archive in memory, with a name for messages.
    ///
    /// # Errors
    /// It is none.
    pub fn of(name: &str, bytes: &'b [u8]) -> Result<Self, ToyError> {
        Self::new(name.to_owned(), Cursor::new(bytes), bytes.len() as u64)
    }
}

impl<R: Read + Seek> Npz<R> {
    fn new(name: String, reader: R, size: u64) -> Result<Self, ToyError> {
        let archive = ZipArchive::new(reader)
            .map_err(|error| ToyError::new(&name, format!("is no whole .npz archive: {error}")))?;
        Ok(Self { archive, name, left: MAX_UNFOLDED_BYTES.max(size.saturating_mul(MAX_UNFOLDED_RATIO)) })
    }

    /// An error about the archive.
    pub fn error(&self, message: impl Into<String>) -> ToyError {
        ToyError::new(&self.name, message)
    }

    /// Whether there is an array of this name.
    pub fn has(&self, array: &str) -> bool {
        self.archive.index_for_name(&format!("{array}.npy")).is_some()
    }

    /// A text: an array without axes of type `U` or `S`.
    ///
    /// # Errors
    /// There is none, or none of this type.
    pub fn text(&mut self, array: &str) -> Result<String, ToyError> {
        self.read(array, |header, body, fail| {
            let kind = header.descr.get(..2).unwrap_or_default();
            let length = header.descr.get(2..).and_then(|length| length.parse::<usize>().ok());
            let (Some(length), [], "<U" | "|S" | "<S") = (length, header.shape.as_slice(), kind) else {
                return Err(fail(format!(
                    "is of type {} and shape {:?}; must be a text (<U…)",
                    header.descr, header.shape
                )));
            };
            if length > MAX_TEXT {
                return Err(fail(format!("is a text of {length} characters; must be {MAX_TEXT} at most")));
            }
            let width = if kind == "<U" { 4 } else { 1 };
            let bytes = take(body, length * width, &fail)?;
            let characters =
                bytes.chunks_exact(width).map(|c| c.iter().rev().fold(0, |code, &b| code << 8 | u32::from(b)));
            let text: Option<String> = characters.map(char::from_u32).collect();
            let text = text.ok_or_else(|| fail("holds what is no character".to_owned()))?;
            Ok(text.trim_end_matches('\0').to_owned())
        })
    }

    /// A matrix or vector of finite numbers of this shape, row-major.
    ///
    /// # Errors
    /// There is none, it has another shape, is not of numbers, or not of finite ones.
    pub fn numbers(&mut self, array: &str, shape: &[usize]) -> Result<Vec<f64>, ToyError> {
        self.read(array, |header, body, fail| {
            if header.shape != shape {
                return Err(fail(format!("has shape {:?}; must be {shape:?}", header.shape)));
            }
            read_numbers(header, body, &fail)
        })
    }

    /// A vector of finite numbers, of whatever length up to 2²⁰.
    ///
    /// # Errors
    /// Those of [`Npz::numbers`].
    pub fn vector(&mut self, array: &str) -> Result<Vec<f64>, ToyError> {
        self.read(array, |header, body, fail| match header.shape[..] {
            [length] if (1..=MAX_VECTOR).contains(&length) => read_numbers(header, body, &fail),
            _ => Err(fail(format!("has shape {:?}; must be a vector of 1 to {MAX_VECTOR} entries", header.shape))),
        })
    }

    fn read<T>(
        &mut self,
        array: &str,
        parse: impl FnOnce(&Header, &mut dyn Read, &dyn Fn(String) -> ToyError) -> Result<T, ToyError>,
    ) -> Result<T, ToyError> {
        let name = &self.name;
        let fail = |message: String| ToyError::new(name, format!("{array} {message}"));
        let entry = self.archive.by_name(&format!("{array}.npy")).map_err(|error| match error {
            ZipError::FileNotFound => fail("is missing".to_owned()),
            error => fail(format!("cannot be read: {error}")),
        })?;
        let mut entry = Limited { inner: entry, left: &mut self.left };
        let header = read_header(&mut entry, &fail)?;
        let result = parse(&header, &mut entry, &fail)?;
        // To the end, so that the checksum is looked at; what is left over is an error.
        match entry.read(&mut [0]) {
            Ok(0) => Ok(result),
            Ok(_) => Err(fail("goes on after its last entry".to_owned())),
            Err(error) => Err(fail(format!("cannot be read to its end: {error}"))),
        }
    }
}

/// Exactly `len` bytes, which a caller has bounded.
fn take(body: &mut dyn Read, len: usize, fail: &dyn Fn(String) -> ToyError) -> Result<Vec<u8>, ToyError> {
    let mut bytes = Vec::new();
    // Grows with what there is: a file that claims more than it has allocates no more than that.
    body.take(len as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| fail(format!("cannot be read to its end: {error}")))?;
    if bytes.len() == len { Ok(bytes) } else { Err(fail("ends before its last entry".to_owned())) }
}

/// The numbers of an array whose shape is bounded, row-major.
fn read_numbers(header: &Header, body: &mut dyn Read, fail: &dyn Fn(String) -> ToyError) -> Result<Vec<f64>, ToyError> {
    fn convert<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
    }
    let len: usize = header.shape.iter().product();
    let size = match header.descr.as_str() {
        "<f4" | "<i4" => 4,
        "<f8" | "<i8" => 8,
        other => return Err(fail(format!("is of type {other}; must be <f4, <f8, <i4 or <i8"))),
    };
    let bytes = take(body, len * size, fail)?;
    let numbers = match header.descr.as_str() {
        "<f4" => convert(&bytes, |b| f32::from_le_bytes(b).into()),
        "<f8" => convert(&bytes, f64::from_le_bytes),
        "<i4" => convert(&bytes, |b| i32::from_le_bytes(b).into()),
        _ => convert(&bytes, |b| i64::from_le_bytes(b) as f64),
    };
    if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
        return Err(fail(format!("has {} as entry {at}; must be finite", numbers[at])));
    }
    let [rows, cols] = header.shape[..] else { return Ok(numbers) };
    if !header.fortran_order {
        return Ok(numbers);
    }
    Ok((0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))).map(|(i, j)| numbers[j * rows + i]).collect())
}

/// Reads a header: magic, version, length, and a dictionary as Python writes it. Source: numpy's format description,
/// `numpy.lib.format`.
fn read_header(body: &mut dyn Read, fail: &dyn Fn(String) -> ToyError) -> Result<Header, ToyError> {
    let bad = || fail("has no header that numpy wrote".to_owned());
    let start = take(body, 8, fail)?;
    if start[..6] != *b"\x93NUMPY" {
        return Err(bad());
    }
    let length = match start[6] {
        1 => take(body, 2, fail)?,
        2 | 3 => take(body, 4, fail)?,
        _ => return Err(bad()),
    };
    let length = length.iter().rev().fold(0, |length, &b| length << 8 | usize::from(b));
    if length > MAX_HEADER_BYTES {
        return Err(fail(format!("has a header of {length} bytes; must be {MAX_HEADER_BYTES} at most")));
    }
    let text = String::from_utf8(take(body, length, fail)?).map_err(|_| bad())?;
    parse_header(&text).ok_or_else(bad)
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (1000, 256), }`.
fn parse_header(text: &str) -> Option<Header> {
    let after = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
    let descr = after("descr")?;
    // Records have a list here, which is none of the types that are read.
    let descr = match descr.strip_prefix('\'') {
        Some(rest) => rest.split_once('\'')?.0,
        None => "of records",
    };
    let order = after("fortran_order")?;
    let fortran_order = order.starts_with("True");
    if !fortran_order && !order.starts_with("False") {
        return None;
    }
    let shape = after("shape")?.strip_prefix('(')?.split_once(')')?.0;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape = sizes.map(|size| size.parse().ok()).collect::<Option<Vec<usize>>>()?;
    Some(Header { descr: descr.to_owned(), fortran_order, shape })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// `arrays` zeros of `<f4` each, deflated.
    fn zeros(arrays: usize, len: usize) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(vec![]));
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({len},), }}\n");
        for array in 0..arrays {
            archive.start_file(format!("{array}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(b"\x93NUMPY\x01\x00").unwrap();
            archive.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
            archive.write_all(header.as_bytes()).unwrap();
            archive.write_all(&vec![0; 4 * len]).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    /// An archive of zeros is read as far as its size gives reason to, whether they are in one array or in many.
    #[test]
    fn an_archive_unfolds_to_so_much_and_no_more() {
        let mib = 1 << 18;
        for (arrays, len, read) in [(3, 5 * mib, 3), (1, 20 * mib, 0), (40, mib, 15)] {
            let bytes = zeros(arrays, len);
            assert!((bytes.len() as u64) < MAX_UNFOLDED_BYTES / MAX_UNFOLDED_RATIO, "{}", bytes.len());
            let mut npz = Npz::of("a.npz", &bytes).unwrap();
            for array in 0..arrays {
                let result = npz.numbers(&array.to_string(), &[len]).map(|numbers| numbers.len());
                match result {
                    Ok(count) => assert!(array < read && count == len, "{array} of {arrays}"),
                    Err(error) => {
                        assert!(array >= read, "{error}");
                        assert!(error.to_string().contains("unfolds to more than 64 times its size"), "{error}");
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        let header = parse_header("{'descr': '<f4', 'fortran_order': True, 'shape': (64, 256), }     \n").unwrap();
        assert_eq!((header.descr.as_str(), header.fortran_order, header.shape), ("<f4", true, vec![64, 256]));
        let header = parse_header("{'descr': '<U281', 'fortran_order': False, 'shape': (), }").unwrap();
        assert_eq!((header.descr.as_str(), header.shape.len()), ("<U281", 0));
        assert_eq!(parse_header("{'descr': '<i8', 'fortran_order': False, 'shape': (33,), }").unwrap().shape, [33]);
        for wrong in [
            "",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': 1, 'shape': (3,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3",
        ] {
            assert!(parse_header(wrong).is_none(), "{wrong}");
        }
    }
}
