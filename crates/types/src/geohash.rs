//! Places on the globe as 52-bit numbers, which a sorted set keeps as scores: nearby places mostly
//! have nearby numbers, so that an area is a few ranges of scores.
//!
//! ```text
//! bit   51 50 49 48 ...  1  0
//!       lo la lo la ... lo la     26 bits of longitude and latitude in turn, the highest first
//! ```
//!
//! Longitude goes from -180 to 180, latitude from -85.05112878 to 85.05112878, the limits of the
//! Mercator map; each is cut into 2^26 steps. A number with fewer steps is a cell that holds all that
//! begin with it. The distance is that along a great circle of a sphere ([`distance`]).
//!
//! Invariants: coordinates that are encoded lie within the limits; a number may be any (a client can
//! store any score). The very limits of the map give one step too many, and so a bit above the 52, as
//! they do upstream. All O(1). Source: documentation of GEOADD and GEOSEARCH of Redis 7.2; Niemeyer's
//! geohash (2008) for the text form; results as redis-server 7.0.15 answers them.

use ochre_base::num::parse_f64;

pub mod area;
#[cfg(test)]
mod tests;

/// Largest longitude.
pub const LONGITUDE_MAX: f64 = 180.0;
/// Largest latitude.
pub const LATITUDE_MAX: f64 = 85.051_128_78;
/// Steps of a score.
const STEPS: u32 = 26;
/// Radius of the globe in metres.
const RADIUS: f64 = 6_372_797.560_856;
/// Letters of the text form.
const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
/// Letters of a text form.
pub const TEXT_LEN: usize = 11;

/// A place on the globe, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// East of Greenwich.
    pub longitude: f64,
    /// North of the equator.
    pub latitude: f64,
}

impl Position {
    /// Whether it is on the map.
    pub fn is_on_map(self) -> bool {
        let on = |value: f64, max: f64| (-max..=max).contains(&value);
        on(self.longitude, LONGITUDE_MAX) && on(self.latitude, LATITUDE_MAX)
    }
}

/// Reads one coordinate.
pub fn parse(text: &[u8]) -> Option<f64> {
    parse_f64(text)
}

/// A cell: the place's steps to the east and north from the corner of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    east: u32,
    north: u32,
    steps: u32,
}

/// The ranges of one grid.
#[derive(Clone, Copy, Debug)]
struct Grid {
    longitude_max: f64,
    latitude_max: f64,
}

const MAP: Grid = Grid { longitude_max: LONGITUDE_MAX, latitude_max: LATITUDE_MAX };
/// The grid of the text form, which goes to the poles.
const WHOLE: Grid = Grid { longitude_max: 180.0, latitude_max: 90.0 };

impl Grid {
    fn cell(self, at: Position, steps: u32) -> Cell {
        let step = |value: f64, max: f64| {
            let part = (value + max) / (max + max);
            (part * f64::from(1 << steps)) as u32
        };
        let east = step(at.longitude, self.longitude_max);
        Cell { east, north: step(at.latitude, self.latitude_max), steps }
    }

    /// The west and east edge, the south and north edge.
    fn edges(self, cell: Cell) -> ([f64; 2], [f64; 2]) {
        let edge = |step: f64, max: f64| -max + step / f64::from(1 << cell.steps) * (max + max);
        let pair =
            |step: u32, max: f64| [edge(f64::from(step), max), edge(f64::from(step) + 1.0, max)];
        (pair(cell.east, self.longitude_max), pair(cell.north, self.latitude_max))
    }
}

impl Cell {
    fn bits(self) -> u64 {
        spread(self.north) | spread(self.east) << 1
    }

    fn of_bits(bits: u64) -> Self {
        Self { east: gather(bits >> 1), north: gather(bits), steps: STEPS }
    }

    /// The cell so many to the east and north; the map is closed in both directions.
    fn moved(self, east: i32, north: i32) -> Self {
        let go = |from: u32, by: i32| match by {
            0 => from,
            by => from.wrapping_add_signed(by) & ((1 << self.steps) - 1),
        };
        Self { east: go(self.east, east), north: go(self.north, north), ..self }
    }
}

/// The bits of a number at every other place.
fn spread(bits: u32) -> u64 {
    let x = u64::from(bits);
    let x = (x | x << 16) & 0x0000_FFFF_0000_FFFF;
    let x = (x | x << 8) & 0x00FF_00FF_00FF_00FF;
    let x = (x | x << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    let x = (x | x << 2) & 0x3333_3333_3333_3333;
    (x | x << 1) & 0x5555_5555_5555_5555
}

/// The way back.
fn gather(bits: u64) -> u32 {
    let x = bits & 0x5555_5555_5555_5555;
    let x = (x | x >> 1) & 0x3333_3333_3333_3333;
    let x = (x | x >> 2) & 0x0F0F_0F0F_0F0F_0F0F;
    let x = (x | x >> 4) & 0x00FF_00FF_00FF_00FF;
    let x = (x | x >> 8) & 0x0000_FFFF_0000_FFFF;
    (x | x >> 16) as u32
}

/// The number of a place on the map.
pub fn encode(at: Position) -> u64 {
    MAP.cell(at, STEPS).bits()
}

/// The middle of the cell that a score stands for.
pub fn decode(score: f64) -> Position {
    let ([west, east], [south, north]) = MAP.edges(Cell::of_bits(bits_of(score)));
    let middle = |low: f64, high: f64, max: f64| ((low + high) / 2.0).clamp(-max, max);
    Position {
        longitude: middle(west, east, LONGITUDE_MAX),
        latitude: middle(south, north, LATITUDE_MAX),
    }
}

/// The number that a score stands for. What is no geohash is converted as by the x86-64 processor,
/// which is what upstream's answers for such scores show.
pub fn bits_of(score: f64) -> u64 {
    const TOP: u64 = 1 << 63;
    const TOP_VALUE: f64 = TOP as f64;
    if score < -TOP_VALUE {
        TOP
    } else if score < TOP_VALUE {
        score as i64 as u64
    } else if score < 2.0 * TOP_VALUE {
        (score - TOP_VALUE) as u64 | TOP
    } else {
        0
    }
}

/// The text form of the place that a score stands for. Its last letter is always 0: the bits end
/// before it.
pub fn text(score: f64) -> [u8; TEXT_LEN] {
    let bits = WHOLE.cell(decode(score), STEPS).bits();
    std::array::from_fn(|i| match 52usize.checked_sub((i + 1) * 5) {
        Some(shift) => LETTERS[(bits >> shift) as usize % LETTERS.len()],
        None => LETTERS[0],
    })
}

/// Metres between two places along a great circle, by the haversine formula.
pub fn distance(a: Position, b: Position) -> f64 {
    let east = ((b.longitude.to_rad() - a.longitude.to_rad()) / 2.0).sin();
    if east == 0.0 {
        return distance_north(a, b);
    }
    let (a, b) = (a.latitude.to_rad(), b.latitude.to_rad());
    let north = ((b - a) / 2.0).sin();
    let square = north * north + a.cos() * b.cos() * east * east;
    2.0 * RADIUS * square.sqrt().asin()
}

/// Metres between the parallels of two places.
fn distance_north(a: Position, b: Position) -> f64 {
    RADIUS * (b.latitude.to_rad() - a.latitude.to_rad()).abs()
}

/// Degrees and radians by one multiplication or division, rounded as upstream rounds them; the
/// methods of `f64` differ in the last digit.
trait Angle {
    /// From degrees.
    fn to_rad(self) -> f64;
    /// To degrees.
    fn to_deg(self) -> f64;
}

const RADIANS_OF_DEGREE: f64 = std::f64::consts::PI / 180.0;

impl Angle for f64 {
    #[inline]
    fn to_rad(self) -> f64 {
        self * RADIANS_OF_DEGREE
    }

    #[inline]
    fn to_deg(self) -> f64 {
        self / RADIANS_OF_DEGREE
    }
}
