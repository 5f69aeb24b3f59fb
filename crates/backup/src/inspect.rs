//! Whether what is read is a whole snapshot: checksum, structure, every value, and nothing behind it.
//!
//! Every value is decoded as a server that loads the file would decode it, one at a time: the memory is that
//! of the largest value.

use std::io::{self, Read, Write};

use ochre_rdb::checksum::Crc64;
use ochre_rdb::{Item, LoadError, RdbReader, ReadOptions};

/// What a good snapshot held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspected {
    /// Keys.
    pub keys: u64,
    /// Bytes.
    pub bytes: u64,
    /// CRC-64 of all bytes.
    pub sum: u64,
}

/// Reads a snapshot of `bytes` bytes to its end. Failure: what is wrong with it, or why it cannot be read.
pub fn inspect<R: Read>(read: R, bytes: u64) -> Result<Inspected, LoadError> {
    let options = ReadOptions { size: Some(bytes), ..ReadOptions::default() };
    let mut reader = RdbReader::new(Tee::new(read, io::sink()), options)?;
    let mut keys = 0;
    loop {
        match reader.next_item()? {
            Item::End => break,
            Item::Key(_) => keys += 1,
            _ => {}
        }
    }
    let (rest, mut tee) = reader.into_rest();
    // One byte more would not be ours.
    if !rest.is_empty() || tee.read(&mut [0])? > 0 {
        return Err(LoadError::Corrupt("bytes behind the end"));
    }
    if tee.bytes != bytes {
        return Err(LoadError::Truncated);
    }
    Ok(Inspected { keys, bytes, sum: tee.sum.sum() })
}

/// A reader whose bytes are counted, summed, and written elsewhere, too.
#[derive(Debug)]
pub struct Tee<R, W> {
    read: R,
    write: W,
    sum: Crc64,
    bytes: u64,
}

impl<R: Read, W: Write> Tee<R, W> {
    /// What is read of `read` goes to `write`.
    pub fn new(read: R, write: W) -> Self {
        Self { read, write, sum: Crc64::default(), bytes: 0 }
    }
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.read.read(room)?;
        self.write.write_all(&room[..count])?;
        self.sum.add(&room[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ochre_rdb::{Dialect, KeyMeta, RdbWriter, ValueRef};
    use proptest::prelude::*;

    fn snapshot(checksum: bool) -> Vec<u8> {
        let mut writer = RdbWriter::new(Vec::new(), Dialect::REDIS_7_2, checksum);
        writer.header(&[(b"redis-bits", b"64")]).unwrap();
        writer.select(0, 20, 0).unwrap();
        for n in 0..20 {
            let key = format!("key:{n}");
            let value = "value ".repeat(n);
            let value = ValueRef::Text(value.as_bytes());
            writer.key(key.as_bytes(), value, &KeyMeta::default()).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn whole_snapshots_are_good() {
        for checksum in [true, false] {
            let file = snapshot(checksum);
            let mut copy = Vec::new();
            let good = inspect(Tee::new(&file[..], &mut copy), file.len() as u64).unwrap();
            assert_eq!((good.keys, good.bytes), (20, file.len() as u64));
            assert_eq!(good.sum, Crc64::of(&file));
            assert_eq!(copy, file);
        }
    }

    #[test]
    fn what_is_cut_off_or_added_is_not() {
        let file = snapshot(true);
        for end in 0..file.len() {
            assert!(inspect(&file[..end], file.len() as u64).is_err(), "{end}");
            assert!(inspect(&file[..end], end as u64).is_err(), "{end}");
        }
        let longer = [&file[..], b"x"].concat();
        assert!(inspect(&longer[..], longer.len() as u64).is_err());
        assert!(inspect(&longer[..], file.len() as u64).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_found(at in 0usize..1000, to in any::<u8>()) {
            let mut file = snapshot(true);
            let at = at % file.len();
            // The last eight bytes all zero would mean that there is no sum, which one byte cannot do.
            prop_assume!(file[at] != to);
            file[at] = to;
            prop_assert!(inspect(&file[..], file.len() as u64).is_err());
        }
    }
}
