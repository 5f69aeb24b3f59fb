//! The payloads of DUMP and RESTORE: one value with its type before it, and the version and a checksum
//! behind it.

use ochre_types::limits::Limits;

use crate::checksum::Crc64;
use crate::error::LoadError;
use crate::format::{Dialect, Family, is_known_version};
use crate::load::{self, Input, LoadedValue};
use crate::record::ValueRef;
use crate::save::save_value;

/// Bytes behind the value: version and checksum.
const FOOTER: usize = 10;

/// Why a payload is refused.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The version is not read here, or the checksum is another one.
    #[error("DUMP payload version or checksum are wrong")]
    Footer,
    /// The value is none.
    #[error("Bad data format")]
    Value(#[source] LoadError),
}

/// A value as a payload. A hash whose fields expire is given Redis 8's version where the dialect has no
/// form for it.
pub fn dump(value: ValueRef<'_>, dialect: &Dialect) -> Vec<u8> {
    let mut dialect = *dialect;
    if value.has_field_expiry() && !dialect.has_field_expiry() {
        dialect = Dialect::REDIS_8.compress(dialect.compresses());
    }
    let mut payload = vec![0];
    payload[0] = save_value(&mut payload, value, &dialect);
    payload.extend_from_slice(&dialect.version().to_le_bytes());
    let sum = Crc64::of(&payload);
    payload.extend_from_slice(&sum.to_le_bytes());
    payload
}

/// The version of a payload whose footer is right.
pub fn check_footer(payload: &[u8]) -> Result<u16, RestoreError> {
    let (summed, sum) = payload.split_last_chunk::<8>().ok_or(RestoreError::Footer)?;
    let (value, version) = summed.split_last_chunk::<2>().ok_or(RestoreError::Footer)?;
    let (version, sum) = (u16::from_le_bytes(*version), u64::from_le_bytes(*sum));
    let right = !value.is_empty() && is_known_version(version);
    if right && sum == Crc64::of(summed) { Ok(version) } else { Err(RestoreError::Footer) }
}

/// The version of a payload whose checksum does not matter. It has at least one byte before the footer.
fn version_of(payload: &[u8]) -> Result<u16, RestoreError> {
    let at = payload.len().checked_sub(FOOTER).filter(|at| *at > 0).ok_or(RestoreError::Footer)?;
    let version = payload[at..].first_chunk::<2>().ok_or(RestoreError::Footer)?;
    let version = u16::from_le_bytes(*version);
    if is_known_version(version) { Ok(version) } else { Err(RestoreError::Footer) }
}

/// What a payload's value is called in reports, by its type.
pub fn kind_name(payload: &[u8]) -> &'static str {
    use crate::format::kind;
    match payload.first().copied().unwrap_or_default() {
        kind::HASH_ZIPMAP => "Zipmap",
        kind::LIST_ZIPLIST => "List ziplist",
        kind::SET_INTSET => "Intset",
        kind::ZSET_ZIPLIST => "Zset ziplist",
        kind::HASH_ZIPLIST => "Hash ziplist",
        kind::LIST_QUICKLIST => "Quicklist ziplist",
        kind::LIST_QUICKLIST_2 => "Quicklist listpack",
        kind::STREAM_1 | kind::STREAM_2 | kind::STREAM_3 => "Stream listpack",
        kind::HASH_LISTPACK => "Hash listpack",
        kind::ZSET_LISTPACK => "Zset listpack",
        kind::SET_LISTPACK => "Set listpack",
        _ => "Value",
    }
}

/// The value of a payload. Bytes between the value and the footer are refused.
pub fn restore(payload: &[u8], limits: &Limits) -> Result<LoadedValue, RestoreError> {
    let version = check_footer(payload)?;
    let body = &payload[..payload.len() - FOOTER];
    value_of(body, version, limits).map_err(RestoreError::Value)
}

/// The same whatever the checksum is: for tests of what a broken payload does.
pub fn restore_unchecked(payload: &[u8], limits: &Limits) -> Result<LoadedValue, RestoreError> {
    let version = version_of(payload)?;
    let body = &payload[..payload.len() - FOOTER];
    value_of(body, version, limits).map_err(RestoreError::Value)
}

/// The value of a payload without its footer.
fn value_of(body: &[u8], version: u16, limits: &Limits) -> Result<LoadedValue, LoadError> {
    let mut input = Input::of_slice(body);
    let kind = input.byte()?;
    let value = load::value(&mut input, kind, Family::of_version(version), limits)?;
    if input.is_done() { Ok(value) } else { Err(LoadError::Corrupt("bytes behind the value")) }
}
