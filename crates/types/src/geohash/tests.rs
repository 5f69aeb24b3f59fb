//! Places, their numbers, and covers against plain tests of every place.

use super::area::{Area, Shape};
use super::*;
use proptest::prelude::*;

fn at(longitude: f64, latitude: f64) -> Position {
    Position { longitude, latitude }
}

fn anywhere() -> impl Strategy<Value = Position> {
    (-180.0..180.0, -85.0..85.0).prop_map(|(longitude, latitude)| at(longitude, latitude))
}

/// Places and areas far from the poles and the date line, where covers are complete.
fn inland() -> impl Strategy<Value = Position> {
    (-100.0..100.0, -50.0..50.0).prop_map(|(longitude, latitude)| at(longitude, latitude))
}

fn is_covered(area: &Area, place: Position) -> bool {
    let bits = encode(place);
    area.cover().iter().any(|range| range.contains(&bits))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_place_comes_back(place in anywhere()) {
        let bits = encode(place);
        prop_assert!(bits < 1 << 52);
        let back = decode(bits as f64);
        prop_assert!((back.longitude - place.longitude).abs() < 6e-6, "{back:?}");
        prop_assert!((back.latitude - place.latitude).abs() < 3e-6, "{back:?}");
        prop_assert_eq!(encode(back), bits);
    }

    #[test]
    fn distances_are_those_of_a_metric(a in anywhere(), b in anywhere(), c in anywhere()) {
        prop_assert_eq!(distance(a, a), 0.0);
        prop_assert!((distance(a, b) - distance(b, a)).abs() < 1e-3);
        prop_assert!(distance(a, c) <= distance(a, b) + distance(b, c) + 1e-3);
    }

    #[test]
    fn every_place_of_an_area_is_covered(
        centre in inland(), size in 1.0f64..3e6, flat in 0.2f64..5.0, east in -1.2f64..1.2, north in -1.2f64..1.2,
    ) {
        // Places around the edge of the area.
        let degrees = size / 111_000.0;
        let place = at(
            (centre.longitude + east * degrees / centre.latitude.to_rad().cos()).clamp(-180.0, 180.0),
            (centre.latitude + north * degrees).clamp(-85.0, 85.0),
        );
        let place = decode(encode(place) as f64);
        let corners = vec![
            at(centre.longitude - degrees, centre.latitude - degrees / 3.0),
            at(centre.longitude + degrees, centre.latitude - degrees),
            at(centre.longitude, (centre.latitude + degrees).min(85.0)),
        ];
        for area in [
            Area::around(centre, Shape::Circle { radius: size }),
            Area::around(centre, Shape::Box { width: size, height: size / flat }),
            Area::polygon(corners),
        ] {
            if area.distance(place).is_some() {
                prop_assert!(is_covered(&area, place), "{:?} {:?}", area, place);
            }
        }
    }
}

#[test]
fn known_places() {
    let (palermo, catania) = (at(13.361389, 38.115556), at(15.087269, 37.502669));
    assert_eq!(encode(palermo), 3479099956230698);
    assert_eq!(encode(catania), 3479447370796909);
    assert_eq!(&text(3479099956230698.0), b"sqc8b49rny0");
    let [a, b] = [3479099956230698.0, 3479447370796909.0].map(decode);
    assert_eq!(format!("{:.4}", distance(a, b)), "166274.1516");
    assert_eq!(format!("{:.17}", a.longitude), "13.36138933897018433");
}

#[test]
fn the_edges_of_the_map() {
    for (longitude, latitude) in [(180.0, 85.05112878), (-180.0, -85.05112878), (180.0, 0.0)] {
        let place = at(longitude, latitude);
        assert!(place.is_on_map());
        let back = decode(encode(place) as f64);
        assert!((back.longitude - longitude).abs() < 6e-6, "{back:?}");
    }
    assert!(!at(180.1, 0.0).is_on_map());
    assert!(!at(0.0, 85.06).is_on_map());
    assert!(!at(f64::NAN, 0.0).is_on_map());
}

#[test]
fn scores_that_are_no_places() {
    for score in [-5.0, 1e300, f64::INFINITY, f64::NEG_INFINITY, 0.5, -0.0] {
        assert!(decode(score).is_on_map(), "{score}");
        assert_eq!(text(score).len(), TEXT_LEN);
    }
    assert_eq!(bits_of(-5.0), u64::MAX - 4);
    assert_eq!(bits_of(f64::INFINITY), 0);
    assert_eq!(bits_of(f64::NEG_INFINITY), 1 << 63);
    assert_eq!(bits_of(1e19), 10_000_000_000_000_000_000);
}

#[test]
fn polygons() {
    let square = vec![at(10.0, 36.0), at(16.0, 36.0), at(16.0, 40.0), at(10.0, 40.0)];
    let area = Area::polygon(square);
    let far = area.distance(decode(3479099956230698.0)).map(|far| format!("{far:.4}"));
    assert_eq!(far.as_deref(), Some("32792.7199"));
    assert_eq!(area.distance(at(9.0, 38.0)), None);
    assert_eq!(area.distance(at(13.0, 41.0)), None);
}
