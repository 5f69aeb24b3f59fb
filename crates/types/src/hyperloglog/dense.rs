//! Dense registers: six bits each, low bits first.
//!
//! ```text
//! byte      0         1         2
//! bits      11000000  22221111  33333322      registers 0, 1, 2, 3; then the same again
//! ```
//!
//! One register is a shift within two bytes. All of them are unpacked 64 at a time: six bytes are
//! eight registers, which three steps spread over the eight bytes of a word, all halves at once; the
//! loops have fixed lengths, so that they become vector code.

use super::REGISTERS;

/// Largest value of a register.
const MAX: u16 = 63;
/// Registers that are unpacked at a time.
const BLOCK: usize = 64;

/// Raises register `index` to `value`, if it is below; says whether it was.
#[inline]
pub(super) fn raise(registers: &mut [u8], index: usize, value: u8) -> bool {
    let (at, shift) = (index * 6 / 8, index * 6 % 8);
    // The last register ends with the last byte, so that the pair is only short where it is not needed.
    let high = registers.get(at + 1).copied().unwrap_or(0);
    let pair = u16::from_le_bytes([registers[at], high]);
    let old = pair >> shift & MAX;
    if old >= u16::from(value) {
        return false;
    }
    let [low, high] = (pair & !(MAX << shift) | u16::from(value) << shift).to_le_bytes();
    registers[at] = low;
    if let Some(byte) = registers.get_mut(at + 1) {
        *byte = high;
    }
    true
}

/// Calls `visit` with blocks of registers, a byte each, and the number of the first of each.
#[inline(always)]
pub(super) fn each_block(registers: &[u8], mut visit: impl FnMut(usize, &[u8; BLOCK])) {
    let (blocks, _) = registers.as_chunks::<{ BLOCK * 6 / 8 }>();
    for (i, packed) in blocks.iter().enumerate() {
        let mut block = [0; BLOCK];
        let (words, _) = block.as_chunks_mut::<8>();
        let (sixes, _) = packed.as_chunks::<6>();
        for (word, six) in words.iter_mut().zip(sixes) {
            let [a, b, c, d, e, f] = *six;
            *word = spread(u64::from_le_bytes([a, b, c, d, e, f, 0, 0])).to_le_bytes();
        }
        visit(i * BLOCK, &block);
    }
}

/// Eight values of six bits, from 48 bits to a byte each.
#[inline(always)]
fn spread(packed: u64) -> u64 {
    let x = packed & 0xFF_FFFF | (packed & 0xFFFF_FF00_0000) << 8;
    let x = x & 0x0000_0FFF_0000_0FFF | (x & 0x00FF_F000_00FF_F000) << 4;
    x & 0x003F_003F_003F_003F | (x & 0x0FC0_0FC0_0FC0_0FC0) << 2
}

/// The way back: eight values below 64, a byte each, as 48 bits.
#[inline(always)]
fn gather(spread: u64) -> u64 {
    let x = spread & 0x003F_003F_003F_003F | (spread & 0x3F00_3F00_3F00_3F00) >> 2;
    let x = x & 0x0000_0FFF_0000_0FFF | (x & 0x0FFF_0000_0FFF_0000) >> 4;
    x & 0xFF_FFFF | (x & 0x00FF_FFFF_0000_0000) >> 8
}

/// Writes all registers.
pub(super) fn write(registers: &mut [u8], values: &[u8; REGISTERS]) {
    let (sixes, _) = registers.as_chunks_mut::<6>();
    let (words, _) = values.as_chunks::<8>();
    for (six, word) in sixes.iter_mut().zip(words) {
        let packed = gather(u64::from_le_bytes(*word)).to_le_bytes();
        six.copy_from_slice(&packed[..6]);
    }
}
