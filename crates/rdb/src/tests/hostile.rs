//! Broken payloads of every type: an error or some value, never a panic, and never for long.

#![expect(clippy::disallowed_methods, reason = "how long a broken payload takes is what is tested")]

use std::time::{Duration, Instant};

use ochre_base::rng::Rng;
use ochre_types::limits::Limits;

use super::old::old_payloads;
use super::{DIALECTS, facts, loaded, samples, tiny, with_footer};
use crate::ValueRef;
use crate::dump::{dump, restore};

/// Changes made to the payloads of each type.
const MUTATIONS: usize = 50_000;
/// Bytes that mean something to one encoding or another.
const ODD: [u8; 7] = [0, 0x7F, 0x80, 0xFF, 0xFE, 0xC3, 0x81];

/// Payloads without footer, one of each type and version, short ones.
fn bodies() -> Vec<(Vec<u8>, u16)> {
    let mut all: Vec<(Vec<u8>, u16)> = old_payloads();
    for (name, value) in samples() {
        if matches!(name, "many" | "noise" | "plain") {
            continue;
        }
        for dialect in DIALECTS {
            // Compressed bytes hide what is in them.
            let payload = dump(ValueRef::from(&value), &dialect.compress(false));
            let body = payload[..payload.len() - 10].to_vec();
            if !all.iter().any(|(other, version)| {
                other[0] == body[0] && *version == dialect.version() && other.len() >= body.len()
            }) {
                all.push((body, dialect.version()));
            }
        }
    }
    all.retain(|(body, _)| body.len() < 4000);
    all
}

/// Loads it, and when that works, reads and saves what came out.
fn feed(body: &[u8], version: u16, limits: &Limits) {
    if let Ok(value) = restore(&with_footer(body, version), limits) {
        facts(loaded(&value));
        dump(loaded(&value), &DIALECTS[body.len() % DIALECTS.len()]);
    }
}

#[test]
fn every_prefix_is_refused() {
    for (body, version) in bodies() {
        assert!(restore(&with_footer(&body, version), &Limits::default()).is_ok(), "{body:02x?}");
        for cut in 0..body.len() {
            let found = restore(&with_footer(&body[..cut], version), &Limits::default());
            assert!(found.is_err(), "type {} cut at {cut} of {}", body[0], body.len());
        }
        let mut longer = body.clone();
        longer.push(0);
        assert!(restore(&with_footer(&longer, version), &Limits::default()).is_err());
    }
}

#[test]
fn random_changes_do_no_harm() {
    let bodies = bodies();
    let rounds = |kind: u8| MUTATIONS / bodies.iter().filter(|(body, _)| body[0] == kind).count();
    let mut rng = Rng::new(0x5EED);
    let mut longest = Duration::ZERO;
    let limits = [Limits::default(), tiny()];
    for (body, version) in &bodies {
        for round in 0..rounds(body[0]) {
            let mut broken = body.clone();
            for _ in 0..=rng.below(3) {
                // The type stays in most rounds.
                let from = u64::from(round % 16 != 0);
                let at = (from + rng.below(broken.len() as u64 - from)) as usize;
                match rng.below(4) {
                    0 => broken[at] ^= 1 << rng.below(8),
                    1 => broken[at] = ODD[rng.below(7) as usize],
                    2 => broken[at] = rng.below(256) as u8,
                    _ => broken.truncate(at.max(2)),
                }
            }
            let start = Instant::now();
            feed(&broken, *version, &limits[round % 2]);
            longest = longest.max(start.elapsed());
        }
    }
    assert!(longest < Duration::from_secs(2), "one payload took {longest:?}");
}

/// Lengths that nothing stands behind.
#[test]
fn absurd_lengths_are_refused_at_once() {
    for kind in 0..=30_u8 {
        for len in
            [&[0x80, 0xFF, 0xFF, 0xFF, 0xFF][..], &[0x81; 9], &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]]
        {
            for tail in [&b""[..], b"x", &[0xC3, 0x01, 0x80, 0xFF, 0xFF, 0xFF, 0xF0, 0x00]] {
                let body = [&[kind], len, tail].concat();
                let start = Instant::now();
                assert!(restore(&with_footer(&body, 11), &Limits::default()).is_err());
                assert!(start.elapsed() < Duration::from_millis(200));
            }
        }
    }
}
