//! A t-digest: quantiles of a stream of numbers, most precise at both ends, after Dunning and Ertl,
//! "Computing Extremely Accurate Quantiles Using t-Digests" (2019), in the form that merges.
//!
//! Numbers gather in a buffer; when buffer and centroids together reach the capacity, all are sorted and
//! neighbours are merged as long as the merged weight stays below, for `n` numbers, at quantile `q`,
//!
//! ```text
//! min(1, (ln(n / compression) + 6) * q (1 - q)) * n / compression
//! ```
//!
//! The second part is the scale function k2 of the paper, in the form of its derivative, four times as fine
//! as there; the first keeps the middle fine where numbers are skewed. The logarithm is taken from the bits
//! of the number, so that only operations whose results every machine agrees on are used. No centroid at an
//! end is ever larger than one number of the stream. That leaves about `3 * compression` centroids; where it
//! leaves more than two thirds of the capacity (a low compression and very many numbers), the limit is
//! raised until it does not. Questions are answered from centroids and buffer together, sorted but not
//! merged: a digest that never filled its buffer answers exactly, and reading changes nothing, so that
//! replicas stay equal byte by byte.
//!
//! As bytes, low byte first:
//!
//! ```text
//! 0   u64  compression      1 ..= COMPRESSION_MAX
//! 8   u64  compressions     how often the buffer was merged
//! 16  f64  min, f64 max     of all numbers; infinity and -infinity when there is none
//! 32  u64  centroids, u64 numbers in the buffer
//! 48  16 bytes for each centroid: f64 mean, finite and ascending; u64 weight >= 1
//! ..  f64 for each number in the buffer, finite
//! ```
//!
//! Costs, with `c` the capacity of `6 * compression + 10`: O(log c) for a number on average, O(c log c) for
//! a question.

use super::codec::Reader;
use super::{BYTES_MAX, Corrupt, TooLarge};

/// Largest compression: its nodes take [`BYTES_MAX`].
const COMPRESSION_MAX: u64 = BYTES_MAX as u64 / 16 / 6 - 2;

/// Most numbers that a merge may come to, so that no sum of weights overflows: a digest merged with itself
/// doubles.
const WEIGHT_MAX: u64 = 1 << 61;

/// Numbers that lie close, as one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Centroid {
    mean: f64,
    weight: u64,
}

/// The digest. See the module's head.
#[derive(Clone, Debug)]
pub struct TDigest {
    /// By mean.
    centroids: Vec<Centroid>,
    /// In the order of arrival.
    buffer: Vec<f64>,
    compression: u64,
    /// Sum of the centroids' weights.
    weight: u64,
    min: f64,
    max: f64,
    compressions: u64,
}

/// The sorted nodes of a digest, for several questions in a row.
#[derive(Debug)]
pub struct Sorted {
    nodes: Vec<Centroid>,
    /// Weight in front of each node.
    before: Vec<u64>,
    count: u64,
    min: f64,
    max: f64,
}

impl TDigest {
    /// A digest without numbers.
    pub fn new(compression: u64) -> Result<Self, TooLarge> {
        if compression == 0 || compression > COMPRESSION_MAX {
            return Err(TooLarge);
        }
        Ok(Self {
            centroids: Vec::new(),
            buffer: Vec::new(),
            compression,
            weight: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            compressions: 0,
        })
    }

    /// Adds a finite number.
    pub fn add(&mut self, number: f64) {
        if self.centroids.len() + self.buffer.len() >= self.capacity() {
            self.compress();
        }
        // -0 and 0 are one number, and a sum with 0 makes it 0.
        let number = number + 0.0;
        self.min = self.min.min(number);
        self.max = self.max.max(number);
        self.buffer.push(number);
    }

    /// Forgets all numbers.
    pub fn reset(&mut self) {
        let compression = self.compression;
        let fresh = Self {
            centroids: Vec::new(),
            buffer: Vec::new(),
            compression,
            weight: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            compressions: 0,
        };
        *self = fresh;
    }

    /// A digest of all that `sources` have seen; too large above 2^61 numbers. O(nodes log nodes).
    pub fn merged(compression: u64, sources: &[&Self]) -> Result<Self, TooLarge> {
        let mut merged = Self::new(compression)?;
        for source in sources {
            merged.min = merged.min.min(source.min);
            merged.max = merged.max.max(source.max);
            merged.weight = merged.weight.saturating_add(source.weight);
            if merged.weight > WEIGHT_MAX {
                return Err(TooLarge);
            }
            merged.centroids.extend_from_slice(&source.centroids);
            merged.buffer.extend_from_slice(&source.buffer);
        }
        // Stable: what is equal stays in the order of the sources.
        merged.centroids.sort_by(|a, b| a.mean.total_cmp(&b.mean));
        if merged.centroids.len() + merged.buffer.len() > merged.capacity() {
            merged.compress();
        }
        Ok(merged)
    }

    /// Centroids and buffer, by value.
    fn nodes(&self) -> Vec<Centroid> {
        let mut fresh = self.buffer.clone();
        fresh.sort_unstable_by(f64::total_cmp);
        let mut fresh = fresh.into_iter().map(|mean| Centroid { mean, weight: 1 }).peekable();
        let mut nodes = Vec::with_capacity(self.centroids.len() + self.buffer.len());
        for centroid in &self.centroids {
            while let Some(one) = fresh.next_if(|one| one.mean < centroid.mean) {
                nodes.push(one);
            }
            nodes.push(*centroid);
        }
        nodes.extend(fresh);
        nodes
    }

    /// Merges the buffer into the centroids, so that a third of the capacity is free.
    fn compress(&mut self) {
        let mut nodes = self.nodes();
        self.weight = self.count();
        self.buffer.clear();
        self.compressions += 1;
        let (most, mut factor) = (self.capacity() - self.capacity() / 3, 1.0);
        loop {
            nodes = joined_nodes(&nodes, self.weight, self.compression as f64, factor);
            // With the factor at the number of numbers, three nodes are left.
            if nodes.len() <= most {
                break;
            }
            factor *= 4.0;
        }
        self.centroids = nodes;
    }

    /// The nodes, to be asked.
    pub fn sorted(&self) -> Sorted {
        let nodes = self.nodes();
        let before = nodes.iter().scan(0, |sum, node| {
            let before = *sum;
            *sum += node.weight;
            Some(before)
        });
        let before = before.collect();
        Sorted { nodes, before, count: self.count(), min: self.min, max: self.max }
    }

    /// Numbers seen.
    pub fn count(&self) -> u64 {
        self.weight.saturating_add(self.buffer.len() as u64)
    }

    /// The lowest number; none without numbers.
    pub fn min(&self) -> Option<f64> {
        (self.count() > 0).then_some(self.min)
    }

    /// The highest number; none without numbers.
    pub fn max(&self) -> Option<f64> {
        (self.count() > 0).then_some(self.max)
    }

    /// How finely it looks.
    pub fn compression(&self) -> u64 {
        self.compression
    }

    /// Nodes that it keeps at most.
    pub fn capacity(&self) -> usize {
        // At most BYTES_MAX / 16.
        (self.compression * 6 + 10) as usize
    }

    /// Number of centroids.
    pub fn merged_nodes(&self) -> usize {
        self.centroids.len()
    }

    /// Numbers in the buffer.
    pub fn unmerged_nodes(&self) -> usize {
        self.buffer.len()
    }

    /// Sum of the centroids' weights.
    pub fn merged_weight(&self) -> u64 {
        self.weight
    }

    /// How often the buffer was merged.
    pub fn compressions(&self) -> u64 {
        self.compressions
    }

    /// Bytes that it takes when it is full: what TDIGEST.INFO calls its memory usage.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.capacity() * size_of::<Centroid>()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.centroids.capacity() * size_of::<Centroid>() + self.buffer.capacity() * 8
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.compression.to_le_bytes());
        out.extend_from_slice(&self.compressions.to_le_bytes());
        out.extend_from_slice(&self.min.to_le_bytes());
        out.extend_from_slice(&self.max.to_le_bytes());
        out.extend_from_slice(&(self.centroids.len() as u64).to_le_bytes());
        out.extend_from_slice(&(self.buffer.len() as u64).to_le_bytes());
        for centroid in &self.centroids {
            out.extend_from_slice(&centroid.mean.to_le_bytes());
            out.extend_from_slice(&centroid.weight.to_le_bytes());
        }
        self.buffer.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let mut digest = Self::new(from.u64()?).map_err(|TooLarge| Corrupt)?;
        digest.compressions = from.u64()?;
        (digest.min, digest.max) = (from.f64()?, from.f64()?);
        let (centroids, buffered) = (from.u64()?, from.u64()?);
        let nodes = centroids.checked_add(buffered).ok_or(Corrupt)?;
        if nodes > digest.capacity() as u64 {
            return Err(Corrupt);
        }
        let inside = |x: f64| x.is_finite() && (digest.min..=digest.max).contains(&x);
        let (mut last, mut weight, mut means) = (f64::NEG_INFINITY, 0u64, Vec::new());
        for _ in 0..centroids {
            let one = Centroid { mean: from.f64()?, weight: from.u64()? };
            weight = weight.checked_add(one.weight).ok_or(Corrupt)?;
            // A negative count could not be answered, nor one that overflows with the buffer.
            if !inside(one.mean) || one.mean < last || one.weight == 0 || weight > 2 * WEIGHT_MAX {
                return Err(Corrupt);
            }
            last = one.mean;
            means.push(one);
        }
        let mut buffer = Vec::new();
        for _ in 0..buffered {
            let number = from.f64()?;
            if !inside(number) {
                return Err(Corrupt);
            }
            buffer.push(number);
        }
        let known = match nodes {
            0 => digest.min == f64::INFINITY && digest.max == f64::NEG_INFINITY,
            _ => digest.min.is_finite() && digest.max.is_finite(),
        };
        (digest.centroids, digest.buffer, digest.weight) = (means, buffer, weight);
        if known { Ok(digest) } else { Err(Corrupt) }
    }
}

/// Merges neighbours up to `factor` times the limit on a weight: see the module's head.
fn joined_nodes(nodes: &[Centroid], total: u64, compression: f64, factor: f64) -> Vec<Centroid> {
    let unit = total as f64 / compression;
    let scale = limit_scale(unit);
    // From whole numbers: a share next to 1 would round to it, and nothing could be merged there.
    let spread = |below: u64| {
        (below as f64 / total as f64) * (total.saturating_sub(below) as f64 / total as f64)
    };
    // Weight in front of the centroid that is being filled.
    let (mut joined_nodes, mut before) = (Vec::<Centroid>::new(), 0);
    for node in nodes {
        if let Some(last) = joined_nodes.last_mut() {
            let weight = last.weight + node.weight;
            let spread = spread(before).min(spread(before + weight));
            if weight as f64 <= (scale * spread).min(1.0) * factor * unit {
                *last = joined(*last, *node);
                continue;
            }
            before += last.weight;
        }
        joined_nodes.push(*node);
    }
    joined_nodes
}

/// What of the limit on a weight does not depend on the quantile, for so many numbers for each unit of
/// compression.
fn limit_scale(ratio: f64) -> f64 {
    // The exponent and, linearly, what lies between two powers: within 0.06 of the logarithm.
    let bits = ratio.max(1.0).to_bits();
    let exponent = ((bits >> 52) & 0x7FF) as f64 - 1023.0;
    let part = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52)) - 1.0;
    (exponent + part) * std::f64::consts::LN_2 + 6.0
}

/// Two centroids as one, without an overflow on the way, and between the two.
fn joined(a: Centroid, b: Centroid) -> Centroid {
    let weight = a.weight + b.weight;
    let mean = between(a.mean, b.mean, b.weight as f64 / weight as f64);
    Centroid { mean, weight }
}

/// The point at `part` (0 to 1) of the way from `low` to `high`.
fn between(low: f64, high: f64, part: f64) -> f64 {
    let way = high - low;
    // The first form never goes back as the part grows, the second does not overflow.
    let point = if way.is_finite() { low + way * part } else { low * (1.0 - part) + high * part };
    point.max(low).min(high)
}

/// Which part of the way from `low` to `high` a number between them is at.
fn part_of(low: f64, high: f64, number: f64) -> f64 {
    // Halves cannot overflow.
    ((number / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)).clamp(0.0, 1.0)
}

impl Sorted {
    /// Numbers seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Where a node begins to pass into its neighbours, as a weight from the start: one number is itself
    /// from its first to its last bit, more lie around their mean.
    fn left_edge(&self, at: usize) -> f64 {
        let (before, weight) = (self.before[at] as f64, self.nodes[at].weight as f64);
        if weight <= 1.0 { before } else { before + weight / 2.0 }
    }

    fn right_edge(&self, at: usize) -> f64 {
        let (before, weight) = (self.before[at] as f64, self.nodes[at].weight as f64);
        if weight <= 1.0 { before + weight } else { before + weight / 2.0 }
    }

    /// The number at a position, from 0 to the count. Needs numbers.
    fn at(&self, position: f64) -> f64 {
        let last = self.nodes.len() - 1;
        if position < 1.0 {
            return self.min;
        }
        if position >= self.count as f64 - 1.0 {
            return self.max;
        }
        // The last node that begins at or before the position.
        let at = self.before.partition_point(|before| *before as f64 <= position).max(1) - 1;
        let at = if position < self.left_edge(at) { at.wrapping_sub(1) } else { at };
        // In front of the first node's middle: from the lowest number, which stands alone.
        if at > last {
            return between(
                self.min,
                self.nodes[0].mean,
                part_of(1.0, self.left_edge(0), position),
            );
        }
        let from = self.right_edge(at);
        if position < from || at == last && self.nodes[last].weight == 1 {
            return self.nodes[at].mean;
        }
        if at == last {
            let end = self.count as f64 - 1.0;
            return between(self.nodes[last].mean, self.max, part_of(from, end, position));
        }
        let to = self.left_edge(at + 1);
        let part = if to > from { part_of(from, to, position) } else { 1.0 };
        between(self.nodes[at].mean, self.nodes[at + 1].mean, part)
    }

    /// Numbers below `number` and half of those equal to it, from 0 to the count.
    fn weight_below(&self, number: f64) -> f64 {
        if number < self.min || self.nodes.is_empty() {
            return 0.0;
        }
        if number > self.max {
            return self.count as f64;
        }
        let start = self.nodes.partition_point(|node| node.mean < number);
        let end = self.nodes.partition_point(|node| node.mean <= number);
        if start < end {
            let equal: u64 = self.nodes[start..end].iter().map(|node| node.weight).sum();
            return self.before[start] as f64 + equal as f64 / 2.0;
        }
        if start == 0 {
            // Between the lowest number, half of which is below itself, and the first mean.
            let to = self.left_edge(0);
            return between(0.5, to.max(0.5), part_of(self.min, self.nodes[0].mean, number));
        }
        let from = self.right_edge(start - 1);
        if start == self.nodes.len() {
            let to = (self.count as f64 - 0.5).max(from);
            return between(from, to, part_of(self.nodes[start - 1].mean, self.max, number));
        }
        let (low, high) = (self.nodes[start - 1].mean, self.nodes[start].mean);
        between(from, self.left_edge(start).max(from), part_of(low, high, number))
    }

    /// The number at quantile `q`, 0 to 1; none without numbers.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        match q {
            _ if self.count == 0 => None,
            0.0 => Some(self.min),
            1.0 => Some(self.max),
            _ => Some(self.at(q * self.count as f64)),
        }
    }

    /// The share of numbers below `number`, half of those equal to it included; none without numbers.
    pub fn cdf(&self, number: f64) -> Option<f64> {
        (self.count > 0).then(|| self.weight_below(number) / self.count as f64)
    }

    /// How many numbers are below, half of those equal to it included: -1 below all, the count above all,
    /// -2 without numbers.
    pub fn rank(&self, number: f64) -> i64 {
        match self.count {
            0 => -2,
            _ if number < self.min => -1,
            count if number > self.max => count as i64,
            _ => self.weight_below(number).floor() as i64,
        }
    }

    /// The same from above.
    pub fn reverse_rank(&self, number: f64) -> i64 {
        match self.count {
            0 => -2,
            _ if number > self.max => -1,
            count if number < self.min => count as i64,
            count => (count as f64 - self.weight_below(number)).floor() as i64,
        }
    }

    /// The number with a rank: infinite from the count on; none without numbers.
    pub fn by_rank(&self, rank: u64) -> Option<f64> {
        match self.count {
            0 => None,
            count if rank >= count => Some(f64::INFINITY),
            _ => Some(self.at(rank as f64)),
        }
    }

    /// The number with a rank from above: negatively infinite from the count on; none without numbers.
    pub fn by_reverse_rank(&self, rank: u64) -> Option<f64> {
        match self.count {
            0 => None,
            count if rank >= count => Some(f64::NEG_INFINITY),
            count => Some(self.at((count - 1 - rank) as f64)),
        }
    }

    /// The mean of the numbers from quantile `low` to quantile `high`; none without numbers there.
    pub fn trimmed_mean(&self, low: f64, high: f64) -> Option<f64> {
        let from = (low * self.count as f64).floor();
        let to = (high * self.count as f64).ceil();
        let (mut mean, mut total) = (0.0, 0.0);
        for (node, before) in self.nodes.iter().zip(&self.before) {
            let (start, end) = (*before as f64, (*before + node.weight) as f64);
            let weight = end.min(to) - start.max(from);
            if weight > 0.0 {
                total += weight;
                // A running mean: sums of large numbers would overflow.
                let part = weight / total;
                mean = mean * (1.0 - part) + node.mean * part;
            }
        }
        (total > 0.0).then_some(mean)
    }
}

#[cfg(test)]
mod tests;
