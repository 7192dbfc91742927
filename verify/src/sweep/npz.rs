//! Columns of numbers as numpy's `.npz`.

use std::io::{self, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// A column.
pub enum Array<'a> {
    /// `<f8`.
    Floats(&'a [f64]),
    /// `<i8`.
    Integers(&'a [i64]),
}

/// Writes named columns as an archive, the same bytes for the same columns: as `np.savez` does, uncompressed.
///
/// # Errors
/// The file system's.
pub fn write(to: impl Write + Seek, arrays: &[(&str, Array<'_>)]) -> io::Result<()> {
    let mut zip = ZipWriter::new(to);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for (name, array) in arrays {
        let (kind, length) = match array {
            Array::Floats(values) => ("<f8", values.len()),
            Array::Integers(values) => ("<i8", values.len()),
        };
        zip.start_file(format!("{name}.npy"), options.large_file(length >= 1 << 28))?;
        zip.write_all(&header(kind, length))?;
        // A page at a time, so that no copy of the whole is made.
        let mut page = Vec::with_capacity(8 * 4096);
        let mut put = |bytes: &mut dyn Iterator<Item = [u8; 8]>| {
            page.clear();
            page.extend(bytes.flatten());
            zip.write_all(&page)
        };
        match array {
            Array::Floats(values) => {
                values.chunks(4096).try_for_each(|page| put(&mut page.iter().map(|x| x.to_le_bytes())))?;
            }
            Array::Integers(values) => {
                values.chunks(4096).try_for_each(|page| put(&mut page.iter().map(|x| x.to_le_bytes())))?;
            }
        }
    }
    zip.finish()?.flush()
}

/// Magic, version 1.0, length, and a dictionary as Python writes it, filled up to 64 bytes. Source: numpy's format
/// description, `numpy.lib.format`.
fn header(kind: &str, length: usize) -> Vec<u8> {
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({length},), }}");
    let filled = (10 + text.len() + 1).next_multiple_of(64) - 10;
    text += &" ".repeat(filled - 1 - text.len());
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::toy::npz::Npz;

    #[test]
    fn what_is_written_reads_back() {
        let floats: Vec<f64> = (0..10_000).map(|i| f64::from(i) / 7.0 - 300.0).collect();
        let integers = [3, -4, i64::from(i32::MAX)];
        let arrays = [("time", Array::Floats(&floats)), ("row", Array::Integers(&integers))];
        let mut bytes = io::Cursor::new(vec![]);
        write(&mut bytes, &arrays).unwrap();
        let mut again = io::Cursor::new(vec![]);
        write(&mut again, &arrays).unwrap();
        assert_eq!(bytes.get_ref(), again.get_ref());
        let scratch = Scratch::new();
        let path = scratch.join("columns.npz");
        std::fs::write(&path, bytes.get_ref()).unwrap();
        let mut npz = Npz::open(&path).unwrap();
        assert_eq!(npz.vector("time").unwrap(), floats);
        assert_eq!(npz.vector("row").unwrap(), integers.map(|i| i as f64));
    }

    #[test]
    fn headers_end_at_64_bytes() {
        for length in [0, 1, 123_456_789, usize::MAX] {
            let header = header("<f8", length);
            assert!(header.len().is_multiple_of(64) && header.ends_with(b"\n"));
        }
    }
}
