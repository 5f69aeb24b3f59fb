//! The generator behind `math.random`: the 48-bit linear congruence of `drand48`, with its
//! documented state at the start. As with the peers, the sequence goes on from script to script.
//!
//! ```text
//! x' = (x * 0x5DEECE66D + 0xB) mod 2^48      output: x' >> 17, 31 bits      seed s: x = s << 16 | 0x330E
//! ```
//!
//! Source: POSIX drand48; the sequence of redis-server 7.0.15 (its unit tests are observed values).

/// See the module's head.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    x: u64,
}

impl Random {
    /// A generator that nobody has seeded.
    pub(crate) fn unseeded() -> Self {
        Self { x: 0x1234_ABCD_330E }
    }

    /// A generator with a seed.
    pub(crate) fn new(seed: i32) -> Self {
        Self { x: u64::from(seed as u32) << 16 | 0x330E }
    }

    /// The next number from 0 to 1, 1 excluded.
    pub(crate) fn next(&mut self) -> f64 {
        const MODULUS: u64 = (1 << 48) - 1;
        self.x = self.x.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & MODULUS;
        let max = f64::from(i32::MAX);
        ((self.x >> 17) % i32::MAX as u64) as f64 / max
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_peers_sequences() {
        let mut random = Random::unseeded();
        let draws: Vec<f64> = (0..3).map(|_| (random.next() * 1e6).floor() + 1.0).collect();
        assert_eq!(draws, [396_465.0, 840_486.0, 353_337.0]);
        let mut random = Random::new(5);
        assert_eq!((random.next() * 1e6).floor() + 1.0, 524_840.0);
    }
}
