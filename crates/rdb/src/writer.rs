//! A file, record by record, to any sink.
//!
//! The order is the caller's: [`RdbWriter::header`] first, then functions, then for each database
//! [`RdbWriter::select`] and its keys, [`RdbWriter::finish`] last. Records may be encoded elsewhere, in
//! any number of threads, and come in any order within their database. The checksum runs along over all
//! bytes.

use std::convert::Infallible;
use std::io;

use crate::checksum::Crc64;
use crate::format::{Dialect, opcode};
use crate::record::{KeyMeta, ValueRef};
use crate::save::{encode_key, put_len, put_string};

/// Where the bytes of a file go.
pub trait Sink {
    /// Why it may not take them.
    type Error;
    /// Takes bytes, all or with an error after which the file is of no use.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

impl Sink for Vec<u8> {
    type Error = Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Anything that can be written to, as a sink. Give it a buffered writer: records are small.
#[derive(Debug)]
pub struct IoSink<W>(pub W);

impl<W: io::Write> Sink for IoSink<W> {
    type Error = io::Error;

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
}

/// A file under way. See the module's head.
#[derive(Debug)]
pub struct RdbWriter<W> {
    sink: W,
    dialect: Dialect,
    /// None when the file is to have no checksum.
    crc: Option<Crc64>,
    /// One record at a time.
    scratch: Vec<u8>,
    written: u64,
}

impl<W: Sink> RdbWriter<W> {
    /// A file of which nothing is written yet. `checksum`: rdbchecksum.
    pub fn new(sink: W, dialect: Dialect, checksum: bool) -> Self {
        let crc = checksum.then(Crc64::default);
        Self { sink, dialect, crc, scratch: Vec::new(), written: 0 }
    }

    /// The dialect that is written.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Where the bytes go.
    pub fn sink(&self) -> &W {
        &self.sink
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes the magic and then facts, usually `redis-ver` (`valkey-ver`), `redis-bits`, `ctime`,
    /// `used-mem`, `repl-stream-db`, `repl-id`, `repl-offset` and `aof-base`.
    pub fn header(&mut self, facts: &[(&[u8], &[u8])]) -> Result<(), W::Error> {
        let magic = self.dialect.magic();
        self.put(&magic)?;
        for (name, value) in facts {
            self.aux(name, value)?;
        }
        Ok(())
    }

    /// Writes one fact.
    pub fn aux(&mut self, name: &[u8], value: &[u8]) -> Result<(), W::Error> {
        self.record(|out, dialect| {
            out.push(opcode::AUX);
            put_string(out, name, dialect);
            put_string(out, value, dialect);
        })
    }

    /// Writes the source of a library of functions.
    pub fn function(&mut self, source: &[u8]) -> Result<(), W::Error> {
        self.record(|out, dialect| {
            out.push(opcode::FUNCTION);
            put_string(out, source, dialect);
        })
    }

    /// Says that the following keys are in database `db`, and about how many they are.
    pub fn select(&mut self, db: u32, keys: u64, expires: u64) -> Result<(), W::Error> {
        self.record(|out, _| {
            out.push(opcode::SELECT_DB);
            put_len(out, u64::from(db));
            out.push(opcode::RESIZE_DB);
            put_len(out, keys);
            put_len(out, expires);
        })
    }

    /// Writes a key.
    pub fn key(&mut self, key: &[u8], value: ValueRef<'_>, meta: &KeyMeta) -> Result<(), W::Error> {
        self.record(|out, dialect| encode_key(out, key, value, meta, dialect))
    }

    /// Writes records as [`encode_key`] made them for the same dialect.
    pub fn records(&mut self, records: &[u8]) -> Result<(), W::Error> {
        self.put(records)
    }

    /// Ends the file, and gives back the sink.
    pub fn finish(mut self) -> Result<W, W::Error> {
        self.put(&[opcode::EOF])?;
        let sum = self.crc.as_ref().map_or(0, Crc64::sum);
        self.sink.put(&sum.to_le_bytes())?;
        Ok(self.sink)
    }

    fn record(&mut self, encode: impl FnOnce(&mut Vec<u8>, &Dialect)) -> Result<(), W::Error> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        encode(&mut scratch, &self.dialect);
        let result = self.put(&scratch);
        self.scratch = scratch;
        result
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), W::Error> {
        if let Some(crc) = &mut self.crc {
            crc.add(bytes);
        }
        self.written += bytes.len() as u64;
        self.sink.put(bytes)
    }
}
