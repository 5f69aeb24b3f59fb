//! A file, item by item, from anything that can be read.
//!
//! Keys come decoded ([`RdbReader::next_item`]), or as the bytes of their records ([`RdbReader::next_piece`]),
//! whose ends are found by the lengths alone, for other threads to decode with [`Records`].
//!
//! After a failure the reader knows where it was: [`RdbReader::offset`], [`RdbReader::stage`] and the key.
//!
//! Memory: a buffer of 64 KB and the value at hand. Reading ends behind the checksum; what was read ahead
//! of it is given back by [`RdbReader::into_rest`], for files and connections in which more follows.
//! Keys without elements, which old servers could leave, are passed over and counted.

use std::io::Read;

use ochre_types::limits::Limits;

use crate::error::{LoadError, Result};
use crate::format::{Family, REDIS_VERSION_MAX, VALKEY_VERSION, is_known_version, opcode};
use crate::load::{self, Input, LoadedValue, module_name, skip_module};
use crate::record::KeyMeta;
use crate::skip;

/// Checksums stand in files from this version on.
const FIRST_WITH_CHECKSUM: u16 = 5;
/// Bytes of the name of a slot migration.
const JOB_BYTES: usize = 40;
/// Slots of a cluster.
const SLOTS: u64 = 16_384;

/// How a file is read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Thresholds for the values' forms.
    pub limits: Limits,
    /// Whether to compare the checksum: rdbchecksum.
    pub checksum: bool,
    /// Whether to try versions that are not known: rdb-version-check relaxed.
    pub relaxed: bool,
    /// Bytes of the file, when they are known: lengths beyond them are refused at once.
    pub size: Option<u64>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), checksum: true, relaxed: false, size: None }
    }
}

/// A key as it was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// Its name.
    pub key: Vec<u8>,
    /// Its value.
    pub value: LoadedValue,
    /// What goes with it.
    pub meta: KeyMeta,
}

/// What a file holds.
#[derive(Debug)]
pub enum Item {
    /// A fact about the file.
    Aux {
        /// Its name.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// The following keys are in this database.
    Select(u64),
    /// About how many they are.
    Resize {
        /// Keys.
        keys: u64,
        /// Those that expire.
        expires: u64,
    },
    /// How many keys of a slot follow.
    SlotInfo {
        /// The slot.
        slot: u64,
        /// Keys.
        keys: u64,
        /// Those that expire.
        expires: u64,
    },
    /// A slot migration of Valkey that was coming in when the file was written.
    SlotImport {
        /// Its name.
        job: Vec<u8>,
        /// Its slots, each range with its last one.
        ranges: Vec<(u16, u16)>,
    },
    /// The source of a library of functions.
    Function(Vec<u8>),
    /// A module's own data, passed over.
    ModuleAux(String),
    /// A key.
    Key(Loaded),
    /// The end; the checksum was right.
    End,
}

/// What [`RdbReader::next_piece`] gives.
#[derive(Debug)]
pub enum Piece {
    /// A key's record, whose bytes were appended.
    Record,
    /// Anything that is no key.
    Item(Item),
}

/// What the reader was doing: for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Magic and version.
    Start,
    /// What comes next.
    Type,
    /// The expiry or the access clock of a key.
    Meta,
    /// A key's name.
    Key,
    /// A key's value.
    Value,
    /// A fact about the file.
    Fact,
    /// A library of functions.
    Function,
    /// What a module keeps outside keys.
    ModuleAux,
    /// The checksum.
    Checksum,
}

impl Stage {
    /// A few words, as the peers' tools say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Type => "read-type",
            Self::Meta => "read-expire",
            Self::Key => "read-key",
            Self::Value => "read-object-value",
            Self::Fact => "read-aux",
            Self::Function => "read-functions",
            Self::ModuleAux => "read-module-aux",
            Self::Checksum => "check-sum",
        }
    }
}

/// A file under way. See the module's head.
#[derive(Debug)]
pub struct RdbReader<R> {
    input: Input<R>,
    options: ReadOptions,
    family: Family,
    version: u16,
    skipped_empty: u64,
    over: bool,
    stage: Stage,
    /// The checksum that stands in the file, once it was read.
    checksum: Option<u64>,
    /// The type of the last key, and its name if it was decoded and failed.
    kind: Option<u8>,
    failed_key: Option<Vec<u8>>,
}

/// The name of the key whose record begins `bytes`.
pub fn key_of(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut input = Input::of_slice(bytes);
    loop {
        match input.byte()? {
            opcode::EXPIRE_MS => input.skip(8)?,
            opcode::EXPIRE_S => input.skip(4)?,
            opcode::IDLE => drop(input.len()?),
            opcode::FREQUENCY => input.skip(1)?,
            _ => return input.string(),
        }
    }
}

/// The records of some keys, as [`RdbReader::next_piece`] gave them, decoded one by one.
#[derive(Debug)]
pub struct Records<'a>(RdbReader<&'a [u8]>);

impl<'a> Records<'a> {
    /// Of a file of this family.
    pub fn new(bytes: &'a [u8], family: Family, limits: &Limits) -> Self {
        let options = ReadOptions { limits: *limits, ..ReadOptions::default() };
        Self(RdbReader::over(Input::of_slice(bytes), options, family, 0))
    }

    /// The next key; none at the end.
    pub fn next_key(&mut self) -> Result<Option<Loaded>> {
        while !self.0.input.is_done() {
            match self.0.step()? {
                Some(Item::Key(loaded)) => return Ok(Some(loaded)),
                Some(_) => return Err(LoadError::Corrupt("record of a key")),
                None => {}
            }
        }
        Ok(None)
    }

    /// Bytes consumed.
    pub fn offset(&self) -> u64 {
        self.0.offset()
    }

    /// After a failure: the name and the type of the key.
    pub fn failed_key(&self) -> Option<(&[u8], u8)> {
        self.0.failed_key()
    }
}

impl<R: Read> RdbReader<R> {
    /// Reads the magic and the version.
    pub fn new(read: R, options: ReadOptions) -> Result<Self> {
        let mut input = Input::new(read, options.size, options.checksum);
        let magic: [u8; 9] = input.array().map_err(|error| match error {
            LoadError::Truncated => LoadError::Signature,
            other => other,
        })?;
        let (family, digits) = match &magic {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (Family::Redis, &digits[..]),
            [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (Family::Valkey, &digits[..]),
            _ => return Err(LoadError::Signature),
        };
        let version = digits.iter().try_fold(0_u16, |n, byte| {
            byte.is_ascii_digit().then(|| n * 10 + u16::from(byte - b'0'))
        });
        let version = version.ok_or(LoadError::Signature)?;
        let known = match family {
            Family::Redis => (1..=REDIS_VERSION_MAX).contains(&version),
            Family::Valkey => version == VALKEY_VERSION,
        };
        let tried = known || (options.relaxed && version > 0);
        if !tried {
            return Err(LoadError::Version { family, version });
        }
        debug_assert!(!known || is_known_version(version));
        Ok(Self::over(input, options, family, version))
    }

    fn over(input: Input<R>, options: ReadOptions, family: Family, version: u16) -> Self {
        Self {
            input,
            options,
            family,
            version,
            skipped_empty: 0,
            over: false,
            stage: Stage::Start,
            checksum: None,
            kind: None,
            failed_key: None,
        }
    }

    /// Whose file it is.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Its version.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Bytes consumed: for progress.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// Keys without elements that were passed over.
    pub fn skipped_empty(&self) -> u64 {
        self.skipped_empty
    }

    /// What was read ahead, and the reader: after [`Item::End`], what follows the file.
    pub fn into_rest(self) -> (Vec<u8>, R) {
        self.input.into_rest()
    }

    /// The checksum that stands at the end, 0 when it was written without one; none before it was read, and in
    /// versions that have none.
    pub fn checksum(&self) -> Option<u64> {
        self.checksum
    }

    /// What it is doing, or was doing when it failed.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// After a failure within a value: the key's name and type.
    pub fn failed_key(&self) -> Option<(&[u8], u8)> {
        self.failed_key.as_deref().zip(self.kind)
    }

    /// The type of the last key.
    pub fn last_kind(&self) -> Option<u8> {
        self.kind
    }

    /// The next item; [`Item::End`] again and again after the end.
    pub fn next_item(&mut self) -> Result<Item> {
        loop {
            if let Some(item) = self.step()? {
                return Ok(item);
            }
        }
    }

    /// The next item; none for a key without elements.
    fn step(&mut self) -> Result<Option<Item>> {
        let mut meta = KeyMeta::default();
        if self.over {
            return Ok(Some(Item::End));
        }
        loop {
            self.stage = Stage::Type;
            let input = &mut self.input;
            let what = input.byte()?;
            self.stage = Stage::Meta;
            match what {
                opcode::EXPIRE_MS => meta.expire_at_ms = Some(i64::from_le_bytes(input.array()?)),
                opcode::EXPIRE_S => {
                    let at_s = i64::from(i32::from_le_bytes(input.array()?));
                    meta.expire_at_ms = Some(at_s * 1000);
                }
                opcode::IDLE => meta.idle_s = Some(input.len()?),
                opcode::FREQUENCY => meta.frequency = Some(input.byte()?),
                fact @ opcode::SLOT_IMPORT.. => return self.fact(fact).map(Some),
                kind => return self.key(kind, meta),
            }
        }
    }

    fn key(&mut self, kind: u8, meta: KeyMeta) -> Result<Option<Item>> {
        self.stage = Stage::Key;
        self.kind = Some(kind);
        let key = self.input.string()?;
        self.stage = Stage::Value;
        match load::value(&mut self.input, kind, self.family, &self.options.limits) {
            Ok(value) => Ok(Some(Item::Key(Loaded { key, value, meta }))),
            Err(LoadError::Empty) => {
                self.skipped_empty += 1;
                Ok(None)
            }
            Err(error) => {
                self.failed_key = Some(key);
                Err(error)
            }
        }
    }

    /// The next item without decoding: when it is a key its record is appended to `records`, with what goes
    /// with the key. [`Item::End`] again and again after the end.
    pub fn next_piece(&mut self, records: &mut Vec<u8>) -> Result<Piece> {
        if self.over {
            return Ok(Piece::Item(Item::End));
        }
        let start = records.len();
        self.input.keep(std::mem::take(records));
        let walked = self.walk_record();
        *records = self.input.kept();
        if !matches!(walked, Ok(None)) {
            records.truncate(start);
        }
        match walked? {
            None => Ok(Piece::Record),
            Some(fact) => self.fact(fact).map(Piece::Item),
        }
    }

    /// Passes over a key's record, or gives the opcode of what is none.
    fn walk_record(&mut self) -> Result<Option<u8>> {
        loop {
            self.stage = Stage::Type;
            let input = &mut self.input;
            let what = input.byte()?;
            self.stage = Stage::Meta;
            match what {
                opcode::EXPIRE_MS => input.skip(8)?,
                opcode::EXPIRE_S => input.skip(4)?,
                opcode::IDLE => drop(input.len()?),
                opcode::FREQUENCY => input.skip(1)?,
                fact @ opcode::SLOT_IMPORT.. => return Ok(Some(fact)),
                kind => {
                    self.kind = Some(kind);
                    self.stage = Stage::Key;
                    input.skip_string()?;
                    self.stage = Stage::Value;
                    return skip::value(input, kind, self.family).map(|()| None);
                }
            }
        }
    }

    /// An item that is no key.
    fn fact(&mut self, what: u8) -> Result<Item> {
        self.stage = match what {
            opcode::EOF => return self.end(),
            opcode::FUNCTION | opcode::FUNCTION_PRE_RELEASE => Stage::Function,
            opcode::MODULE_AUX => Stage::ModuleAux,
            _ => Stage::Fact,
        };
        let input = &mut self.input;
        Ok(match what {
            opcode::AUX => Item::Aux { name: input.string()?, value: input.string()? },
            opcode::SELECT_DB => Item::Select(input.len()?),
            opcode::RESIZE_DB => Item::Resize { keys: input.len()?, expires: input.len()? },
            opcode::SLOT_INFO => {
                Item::SlotInfo { slot: input.len()?, keys: input.len()?, expires: input.len()? }
            }
            opcode::FUNCTION => Item::Function(input.string()?),
            opcode::FUNCTION_PRE_RELEASE => return Err(LoadError::PreReleaseFunction),
            opcode::MODULE_AUX => {
                let name = module_name(input.len()?);
                // When it is to be loaded: a number with its kind before it, like all of the rest.
                skip_module(input)?;
                Item::ModuleAux(name)
            }
            opcode::SLOT_IMPORT => self.slot_import()?,
            other => return Err(LoadError::UnknownType(other)),
        })
    }

    fn slot_import(&mut self) -> Result<Item> {
        const BROKEN: LoadError = LoadError::Corrupt("slot migration");
        let job = self.input.string()?;
        if job.len() != JOB_BYTES {
            return Err(BROKEN);
        }
        let mut ranges = Vec::new();
        for _ in 0..self.input.count(2)? {
            let (first, last) = (self.input.len()?, self.input.len()?);
            if first > last || last >= SLOTS || ranges.len() as u64 >= SLOTS {
                return Err(BROKEN);
            }
            // Below 16,384, as was just seen.
            ranges.push((first as u16, last as u16));
        }
        Ok(Item::SlotImport { job, ranges })
    }

    fn end(&mut self) -> Result<Item> {
        self.stage = Stage::Checksum;
        if self.version >= FIRST_WITH_CHECKSUM {
            let sum = self.input.sum();
            let expected = u64::from_le_bytes(self.input.array()?);
            self.checksum = Some(expected);
            // Zero: written without one.
            if let Some(found) = sum
                && expected != 0
                && expected != found
            {
                return Err(LoadError::Checksum { expected, found });
            }
        }
        self.over = true;
        Ok(Item::End)
    }
}
