//! From registers to the number of elements: Ertl's improved raw estimator.
//!
//! Only how often each value occurs matters. The estimate corrects the raw one for small numbers by
//! `sigma` of the share of registers that are zero, and for large ones by `tau` of the share of
//! registers that are full, with no table of biases and no change of method in between. The series are
//! summed until they no longer change, so that the result is the same wherever doubles are.
//!
//! Cost: O(registers) for the histogram, about two hundred steps for the rest. Source: Ertl, "New
//! cardinality estimation algorithms for HyperLogLog sketches" (2017), algorithms 6 and 8.

use super::{REGISTERS, RUN_BITS};

/// 1 / (2 ln 2): what the raw estimate is multiplied by when there are many registers.
const ALPHA: f64 = 0.721_347_520_444_481_7;
/// Values that a byte of a histogram can have: registers have six bits.
const VALUES: usize = 64;
/// Tables that take turns, so that equal neighbours do not wait for each other.
const TABLES: usize = 4;

/// How many registers have each value.
#[derive(Clone, Debug)]
pub struct Histogram([[u32; VALUES]; TABLES]);

impl Default for Histogram {
    fn default() -> Self {
        Self([[0; VALUES]; TABLES])
    }
}

impl Histogram {
    /// Adds registers, a byte each.
    #[inline]
    pub fn add(&mut self, registers: &[u8]) {
        let (turns, rest) = registers.as_chunks::<TABLES>();
        for turn in turns {
            for (table, value) in self.0.iter_mut().zip(turn) {
                table[usize::from(*value) % VALUES] += 1;
            }
        }
        for value in rest {
            self.0[0][usize::from(*value) % VALUES] += 1;
        }
    }

    /// Adds `len` registers of one value.
    #[inline]
    pub fn add_run(&mut self, value: u8, len: usize) {
        self.0[0][usize::from(value) % VALUES] += len as u32;
    }

    fn of(&self, value: usize) -> f64 {
        self.0.iter().map(|table| f64::from(table[value])).sum()
    }

    /// The number of elements.
    pub fn estimate(&self) -> u64 {
        let m = REGISTERS as f64;
        let top = RUN_BITS as usize;
        let mut z = m * tau((m - self.of(top + 1)) / m);
        for value in (1..=top).rev() {
            z = (z + self.of(value)) * 0.5;
        }
        z += m * sigma(self.of(0) / m);
        (ALPHA * m * m / z).round() as u64
    }
}

/// x + x^2 + 2 x^4 + 4 x^8 and so on.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut factor, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * factor;
        factor += factor;
        if sum == before {
            return sum;
        }
    }
}

/// A third of 1 - x - (1 - x^(1/2))^2 / 2 - (1 - x^(1/4))^2 / 4 and so on.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut factor, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - x).powi(2) * factor;
        if sum == before {
            return sum / 3.0;
        }
    }
}
