//! Areas of the globe: which ranges of scores may hold places of one, and whether a place is in it.
//!
//! ```text
//! 7 | 1 | 5        a cell about as large as the area and its eight neighbours; those that the
//! --+---+--        area's bounds do not reach are left out. The numbers are the order in which
//! 4 | 0 | 3        they are searched, which shows in answers that are not sorted.
//! --+---+--
//! 8 | 2 | 6   (6 is north-west and 7 south-east in the search: NE, NW, SE, SW)
//! ```
//!
//! A range of scores is one cell. The size of the cells follows from the radius and the latitude; one
//! correction makes them twice as large where a neighbour does not reach far enough. Circles and boxes
//! are searched exactly as upstream, near the poles and the date line too, where it does not find
//! all. A polygon's cells grow until they cover its bounds, and its places are those within it on the
//! flat map, its edges being straight there.
//!
//! Costs: O(1) for a cover, O(1) for a test of a place, O(vertices) for a polygon. Source: GEOSEARCH
//! documentation of Redis 7.2 and Valkey 9.1; answers of redis-server 7.0.15.

use std::ops::Range;

use smallvec::SmallVec;

use super::{
    Angle, Cell, LATITUDE_MAX, LONGITUDE_MAX, MAP, Position, RADIUS, STEPS, distance,
    distance_north,
};

/// Half of the map's width in metres, a bound of every radius.
const HALF_MAP: f64 = 20_037_726.37;
/// East and north of the cells of a cover, in the order of the search.
const AROUND: [(i32, i32); 9] =
    [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

/// The form of an area; lengths are in metres.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// All within a distance.
    Circle {
        /// The distance.
        radius: f64,
    },
    /// All within half the width of the centre's meridian and half the height of its parallel.
    Box {
        /// From west to east.
        width: f64,
        /// From south to north.
        height: f64,
    },
    /// All within these corners.
    Polygon(Vec<Position>),
}

/// An area of the globe.
#[derive(Clone, Debug, PartialEq)]
pub struct Area {
    centre: Position,
    shape: Shape,
}

/// West, south, east and north.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

impl Area {
    /// A circle or box around a place.
    pub fn around(centre: Position, shape: Shape) -> Self {
        Self { centre, shape }
    }

    /// A polygon; distances are from its centroid.
    pub fn polygon(corners: Vec<Position>) -> Self {
        Self { centre: centroid(&corners), shape: Shape::Polygon(corners) }
    }

    /// The distance of a place from the centre, when it lies in the area.
    pub fn distance(&self, at: Position) -> Option<f64> {
        let centre = self.centre;
        match &self.shape {
            Shape::Circle { radius } => {
                let far = distance(centre, at);
                (far <= *radius).then_some(far)
            }
            Shape::Box { width, height } => {
                if distance_north(at, centre) > height / 2.0 {
                    return None;
                }
                let beside = Position { longitude: centre.longitude, ..at };
                let within = distance(at, beside) <= width / 2.0;
                within.then(|| distance(centre, at))
            }
            Shape::Polygon(corners) => is_within(at, corners).then(|| distance(centre, at)),
        }
    }

    /// The ranges of scores that may hold places of the area, from the first to before the second.
    pub fn cover(&self) -> SmallVec<[Range<u64>; 9]> {
        let bounds = self.bounds();
        let mut steps = estimate_steps(self.reach(&bounds), self.centre.latitude);
        let mut cell = MAP.cell(self.centre, steps);
        let grows = |cell| match &self.shape {
            Shape::Polygon(_) => !reaches(cell, &bounds),
            Shape::Circle { .. } | Shape::Box { .. } => self.is_short(cell, &bounds),
        };
        while steps > 1 && grows(cell) {
            steps -= 1;
            cell = MAP.cell(self.centre, steps);
            if !matches!(self.shape, Shape::Polygon(_)) {
                break;
            }
        }
        cells(cell, &bounds)
    }

    /// How far the area may reach from its centre.
    fn reach(&self, bounds: &Bounds) -> f64 {
        match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
            Shape::Polygon(_) => {
                let corners = [
                    (bounds.west, bounds.south),
                    (bounds.west, bounds.north),
                    (bounds.east, bounds.south),
                    (bounds.east, bounds.north),
                ];
                let far = corners.map(|(longitude, latitude)| {
                    distance(self.centre, Position { longitude, latitude })
                });
                far.into_iter().fold(0.0, f64::max)
            }
        }
    }

    fn bounds(&self) -> Bounds {
        let (width, height) = match &self.shape {
            Shape::Circle { radius } => (*radius, *radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
            Shape::Polygon(corners) => return bounds_of(corners),
        };
        let Position { longitude, latitude } = self.centre;
        let north = (height / RADIUS).to_deg();
        // A degree is shortest on the side that is nearer to a pole.
        let side = if latitude < 0.0 { latitude - north } else { latitude + north };
        let east = (width / RADIUS / side.to_rad().cos()).to_deg();
        Bounds {
            west: longitude - east,
            south: latitude - north,
            east: longitude + east,
            north: latitude + north,
        }
    }

    /// Whether a neighbour of the cell ends before the area does.
    fn is_short(&self, cell: Cell, bounds: &Bounds) -> bool {
        let (_, [_, north]) = MAP.edges(cell.moved(0, 1));
        let (_, [south, _]) = MAP.edges(cell.moved(0, -1));
        let ([_, east], _) = MAP.edges(cell.moved(1, 0));
        let ([west, _], _) = MAP.edges(cell.moved(-1, 0));
        north < bounds.north || south > bounds.south || east < bounds.east || west > bounds.west
    }
}

/// How often the map is to be halved so that a cell and its neighbours cover such a radius there.
fn estimate_steps(radius: f64, latitude: f64) -> u32 {
    if radius == 0.0 {
        return STEPS;
    }
    let (mut radius, mut steps) = (radius, 1);
    while radius < HALF_MAP {
        radius *= 2.0;
        steps += 1;
    }
    // Two fewer cover most; towards the poles a degree is shorter.
    let far = latitude.abs();
    steps -= 2 + i32::from(far > 66.0) + i32::from(far > 80.0);
    steps.clamp(1, STEPS as i32) as u32
}

/// Whether a cell and its neighbours hold the bounds; towards the edges of the map there is nothing.
fn reaches(cell: Cell, bounds: &Bounds) -> bool {
    let ([west, east], [south, north]) = MAP.edges(cell);
    let (wide, high) = (east - west, north - south);
    let covers = |low: f64, high: f64, min: f64, max: f64, edge: f64| {
        (low <= min || low <= -edge) && (high >= max || high >= edge)
    };
    covers(west - wide, east + wide, bounds.west, bounds.east, LONGITUDE_MAX)
        && covers(south - high, north + high, bounds.south, bounds.north, LATITUDE_MAX)
}

/// The cell and those neighbours that the bounds reach into, as ranges of scores.
fn cells(cell: Cell, bounds: &Bounds) -> SmallVec<[Range<u64>; 9]> {
    let ([west, east], [south, north]) = MAP.edges(cell);
    let useless = |(to_east, to_north): (i32, i32)| {
        cell.steps >= 2
            && (to_north < 0 && south < bounds.south
                || to_north > 0 && north > bounds.north
                || to_east < 0 && west < bounds.west
                || to_east > 0 && east > bounds.east)
    };
    let mut ranges: SmallVec<[Range<u64>; 9]> = SmallVec::new();
    for (i, way) in AROUND.into_iter().enumerate() {
        if useless(way) {
            continue;
        }
        let bits = cell.moved(way.0, way.1).bits();
        let shift = 2 * (STEPS - cell.steps);
        let range = bits << shift..(bits + 1) << shift;
        // With few cells a neighbour is met from both sides. The first is not compared, as upstream.
        if i > 1 && ranges.len() > 1 && ranges.last() == Some(&range) {
            continue;
        }
        ranges.push(range);
    }
    ranges
}

fn bounds_of(corners: &[Position]) -> Bounds {
    let start = Bounds {
        west: f64::INFINITY,
        south: f64::INFINITY,
        east: f64::NEG_INFINITY,
        north: f64::NEG_INFINITY,
    };
    corners.iter().fold(start, |bounds, at| Bounds {
        west: bounds.west.min(at.longitude),
        south: bounds.south.min(at.latitude),
        east: bounds.east.max(at.longitude),
        north: bounds.north.max(at.latitude),
    })
}

/// The place below the mean of the corners as points in space.
fn centroid(corners: &[Position]) -> Position {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for at in corners {
        let (longitude, latitude) = (at.longitude.to_rad(), at.latitude.to_rad());
        x += latitude.cos() * longitude.cos();
        y += latitude.cos() * longitude.sin();
        z += latitude.sin();
    }
    let count = corners.len() as f64;
    let (x, y, z) = (x / count, y / count, z / count);
    Position { longitude: y.atan2(x).to_deg(), latitude: z.atan2((x * x + y * y).sqrt()).to_deg() }
}

/// Whether a ray from the place to the east crosses the edges an odd number of times.
fn is_within(at: Position, corners: &[Position]) -> bool {
    let before = corners.iter().cycle().skip(corners.len().saturating_sub(1));
    corners.iter().zip(before).fold(false, |within, (a, b)| {
        let beside = (a.latitude > at.latitude) != (b.latitude > at.latitude);
        let crosses = || {
            let slope = (b.longitude - a.longitude) / (b.latitude - a.latitude);
            at.longitude < slope * (at.latitude - a.latitude) + a.longitude
        };
        within != (beside && crosses())
    })
}
