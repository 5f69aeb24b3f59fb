//! Geo commands: scripts, and searches around random places.

use crate::bitmap::{facts_agree, walk};
use crate::{PrintSeed, check_encodings, check_newer, redis7_pair, seed, tiny_thresholds};
use ochre_base::rng::Rng;
use ochre_testkit::Program;
use ochre_testkit::oracle::{Norm, Resp};

#[test]
fn facts() {
    facts_agree(&[
        "geoadd",
        "geodist",
        "geohash",
        "geopos",
        "georadius",
        "georadiusbymember",
        "georadius_ro",
        "georadiusbymember_ro",
        "geosearch",
        "geosearchstore",
    ]);
}

#[test]
fn walk_over_the_family() {
    walk(&["geoadd", "geodist", "geohash", "geopos", "georadius", "georadiusbymember"]);
    walk(&["georadius_ro", "georadiusbymember_ro", "geosearch", "geosearchstore"]);
}

#[test]
fn members() {
    check_encodings(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        GEOADD g 13.361389 38.115556 Palermo
        GEOADD g CH 1 2 Palermo 3 4 new
        GEOADD g NX CH 5 6 Palermo 7 8 newer
        GEOADD g XX 5 6 Palermo 7 8 newest
        GEOADD g XX CH 5 6 none
        GEOADD none XX 5 6 none
        EXISTS none
        ZRANGE g 0 -1 WITHSCORES
        GEOPOS g Palermo Catania none new
        GEOPOS none a b
        GEOPOS g
        GEOHASH g Palermo Catania none new
        GEOHASH none a
        GEOHASH g
        GEODIST g Palermo Catania
        GEODIST g Palermo Catania km
        GEODIST g Palermo Catania MI
        GEODIST g Palermo Catania ft
        GEODIST g Palermo Palermo
        GEODIST g Palermo none
        GEODIST none a b
        GEODIST g Palermo Catania x
        GEODIST g Palermo Catania km x
        GEOADD edges 180 85.05112878 ne -180 -85.05112878 sw 180 -85.05112878 se 0 0 zero -0 -0 minus
        ZRANGE edges 0 -1 WITHSCORES
        GEOPOS edges ne sw se zero minus
        GEOHASH edges ne sw se zero minus
        GEODIST edges ne sw
        GEODIST edges ne se
        GEODIST edges zero minus
        ZADD odd 0.5 half 5 five 4503599627370496 top
        GEOPOS odd half five top
        GEOHASH odd half five top
        GEOADD g NX XX 1 2 a
        GEOADD g NX NX CH
        GEOADD g 1 2 a 3
        GEOADD g x 2 a
        GEOADD g 1 x a
        GEOADD g 181 2 a
        GEOADD g 1 86 a
        GEOADD g 1 -85.06 a
        GEOADD g nan 2 a
        GEOADD g inf 2 a
        GEOADD g 1e2 0x10 hex
        GEOPOS g hex
        GEOADD g GT 1 2 a
        SET s v
        GEOADD s 1 2 a
        GEOADD s x 2 a
        GEODIST s a b
        GEODIST s a b x
        GEOHASH s a
        GEOPOS s a
        "#,
    );
}

#[test]
fn searches() {
    check_encodings(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 2.3 48.8 Paris
        GEOADD g 12.758489 38.788135 edge1 17.241510 38.788135 edge2
        GEORADIUS g 15 37 200 km
        GEORADIUS g 15 37 200 km WITHCOORD WITHDIST WITHHASH ASC
        GEORADIUS g 15 37 200 km WITHDIST DESC
        GEORADIUS g 15 37 200 km WITHHASH
        GEORADIUS g 15 37 300 km COUNT 3
        GEORADIUS g 15 37 300 km COUNT 3 DESC
        GEORADIUS g 15 37 300 km COUNT 2 ANY
        GEORADIUS g 15 37 300 km COUNT 2 ANY ASC
        GEORADIUS g 15 37 300 km ANY COUNT 100
        GEORADIUS g 15 37 124 mi ASC
        GEORADIUS g 15 37 700000 ft ASC
        GEORADIUS g 15 37 0 m
        GEORADIUSBYMEMBER g Palermo 200 km ASC
        GEORADIUSBYMEMBER g Palermo 0 km
        GEORADIUSBYMEMBER g none 200 km
        GEORADIUSBYMEMBER none a 200 km
        GEORADIUSBYMEMBER none a x km
        GEORADIUSBYMEMBER_RO g Palermo 200 km DESC
        GEORADIUS_RO g 15 37 200 km
        GEORADIUS_RO g 15 37 200 km STORE d
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC
        GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST
        GEOSEARCH g FROMMEMBER Catania BYBOX 400 100 km DESC
        GEOSEARCH g FROMMEMBER Catania BYBOX 400 400 km COUNT 2
        GEOSEARCH g BYRADIUS 200 km FROMLONLAT 15 37 FROMLONLAT 2 48 ASC
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km BYRADIUS 100 km
        GEOSEARCH none FROMMEMBER a BYRADIUS 1 km
        GEOSEARCH none FROMLONLAT 1 1 BYRADIUS 1 km
        GEOSEARCHSTORE d g FROMMEMBER Palermo BYBOX 400 400 km
        ZRANGE d 0 -1 WITHSCORES
        GEOSEARCHSTORE d g FROMMEMBER Palermo BYBOX 400 400 km STOREDIST COUNT 2
        ~float ZRANGE d 0 -1 WITHSCORES
        GEOSEARCHSTORE d g FROMLONLAT 0 0 BYBOX 1 1 km
        EXISTS d
        GEORADIUS g 15 37 200 km STORE d
        ZRANGE d 0 -1 WITHSCORES
        OBJECT ENCODING d
        GEORADIUS g 15 37 200 km STOREDIST d
        ~float ZRANGE d 0 -1 WITHSCORES
        GEORADIUS g 15 37 200 km STORE d STOREDIST e
        ~float ZRANGE e 0 -1 WITHSCORES
        GEORADIUSBYMEMBER g Palermo 200 km STORE g COUNT 1
        ZRANGE g 0 -1
        GEORADIUSBYMEMBER none a 200 km STORE g
        EXISTS g
        GEOSEARCHSTORE d none FROMMEMBER a BYRADIUS 1 km
        EXISTS d
        "#,
    );
}

#[test]
fn refusals() {
    check_encodings(
        r#"
        GEOADD g 13.361389 38.115556 Palermo
        SET s v
        GEORADIUS s x 37 200 km
        GEORADIUS g x 37 200 km
        GEORADIUS g 15 97 200 km
        GEORADIUS g 15 37 x km
        GEORADIUS g 15 37 -1 km
        GEORADIUS g 15 37 nan km
        GEORADIUS g 15 37 1 foo
        GEORADIUS g 15 37 1 km foo
        GEORADIUS g 15 37 1 km COUNT
        GEORADIUS g 15 37 1 km COUNT 0
        GEORADIUS g 15 37 1 km COUNT -1
        GEORADIUS g 15 37 1 km COUNT x
        GEORADIUS g 15 37 1 km ANY
        GEORADIUS g 15 37 1 km STORE
        GEORADIUS g 15 37 1 km STORE d WITHDIST
        GEORADIUS g 15 37 1 km STOREDIST d WITHCOORD
        GEORADIUS g 15 37 1 km BYRADIUS 1 m
        GEORADIUS g 15 37 1 km FROMLONLAT 1 1
        GEORADIUSBYMEMBER s a 1 km
        GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 m
        GEOSEARCH g FROMLONLAT 1 1 FROMMEMBER a BYRADIUS 1 m
        GEOSEARCH g FROMMEMBER Palermo FROMLONLAT 1 1 BYRADIUS 1 m
        GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 m BYBOX 1 1 m
        GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 1 m BYRADIUS 1 m
        GEOSEARCH g FROMMEMBER none BYRADIUS 1 m
        GEOSEARCH g FROMLONLAT 200 0 BYRADIUS 1 m
        GEOSEARCH g FROMLONLAT 1 1 BYBOX x 1 m
        GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 x m
        GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 -1 m
        GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 1 z
        GEOSEARCH g FROMLONLAT 1 1 BYRADIUS x m
        GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 m STORE d
        GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 m STOREDIST
        GEOSEARCH g BYRADIUS 1 m ASC ASC ASC
        geosearch g BYRADIUS 1 m ASC ASC ASC
        ~code GEOSEARCH g FROMLONLAT 1 1 ASC ASC ASC
        GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 m ANY
        GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1
        GEOSEARCHSTORE d g FROMLONLAT 1 1 BYRADIUS 1 m WITHDIST
        GEOSEARCHSTORE d g FROMLONLAT 1 1 BYRADIUS 1 m STORE x
        GEOSEARCHSTORE d s FROMLONLAT 1 1 BYRADIUS 1 m
        COMMAND GETKEYS GEORADIUS g 15 37 1 km STORE d
        COMMAND GETKEYS GEORADIUSBYMEMBER g m 1 km STOREDIST d
        COMMAND GETKEYS GEOSEARCHSTORE d g FROMLONLAT 1 1 BYRADIUS 1 m
        "#,
    );
}

/// Searches around random places with random sizes: the members, their order without ASC, and all
/// digits.
#[test]
fn random_places() {
    let seed = seed();
    let _seed = PrintSeed(seed);
    let mut rng = Rng::new(seed);
    let mut pair = redis7_pair(&[]);
    let mut pick = move |low: f64, high: f64| {
        low + (high - low) * (rng.below(1 << 40) as f64 / (1u64 << 40) as f64)
    };
    for round in 0..4 {
        pair.restart(if round % 2 == 0 { Resp::Two } else { Resp::Three }, "random places");
        if round == 3 {
            tiny_thresholds(&mut pair);
        }
        // Everywhere, around the date line, around the pole, in one city.
        let (west, east, south, north) = [
            (-180.0, 180.0, -85.0, 85.0),
            (170.0, 190.0, -20.0, 20.0),
            (-180.0, 180.0, 80.0, 85.05),
            (13.3, 13.5, 52.4, 52.6),
        ][round];
        let mut place = || {
            let longitude = pick(west, east);
            let longitude = if longitude > 180.0 { longitude - 360.0 } else { longitude };
            (longitude.to_string(), pick(south, north).to_string())
        };
        for batch in 0..10 {
            let mut args = vec!["GEOADD".to_owned(), "g".to_owned()];
            for member in 0..40 {
                let (longitude, latitude) = place();
                args.extend([longitude, latitude, format!("m{}", batch * 40 + member)]);
            }
            pair.run(&args, &[]);
        }
        pair.run(&["ZRANGE", "g", "0", "-1", "WITHSCORES"], &[]);
        for i in 0..300 {
            let (longitude, latitude) = place();
            let size = 10f64.powf(1.0 + (i % 60) as f64 / 10.0).to_string();
            let other = 10f64.powf(1.0 + (i % 47) as f64 / 8.0).to_string();
            let unit = ["m", "km", "ft", "mi"][i % 4];
            let (size, other) = if unit == "km" || unit == "mi" {
                (size[..size.len().min(4)].to_owned(), other[..other.len().min(4)].to_owned())
            } else {
                (size, other)
            };
            let head = ["GEOSEARCH", "g", "FROMLONLAT", &longitude, &latitude];
            let shape: &[&str] = match i % 3 {
                0 => &["BYRADIUS", &size, unit],
                1 => &["BYBOX", &size, &other, unit],
                _ => &["BYBOX", &other, &size, unit],
            };
            let tail: &[&str] = match i % 5 {
                0 => &["WITHDIST", "WITHCOORD", "WITHHASH"],
                1 => &["ASC", "WITHDIST"],
                2 => &["COUNT", "7", "DESC"],
                3 => &["COUNT", "5", "ANY"],
                _ => &[],
            };
            pair.run(&[&head, shape, tail].concat(), &[]);
            let (a, b) = (format!("m{i}"), format!("m{}", i * 7 % 400));
            pair.run(&["GEODIST", "g", &a, &b, unit], &[]);
            pair.run(&["GEOPOS", "g", &a], &[]);
            pair.run(&["GEOHASH", "g", &a], &[]);
            pair.run(&["GEORADIUSBYMEMBER", "g", &a, &size, unit, "WITHDIST"], &[]);
            if pair.difference_count() > 10 {
                return pair.finish();
            }
        }
    }
    pair.finish();
}

#[test]
fn polygons() {
    check_newer(
        &Program::Valkey9,
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 2.3 48.8 Paris
        GEOSEARCH g BYPOLYGON 4 10 36 16 36 16 40 10 40 ASC
        GEOSEARCH g BYPOLYGON 4 10 36 16 36 16 40 10 40 WITHDIST WITHCOORD WITHHASH ASC
        GEOSEARCH g BYPOLYGON 3 0 30 20 36 16 50 WITHDIST DESC
        GEOSEARCH g BYPOLYGON 3 0 30 20 36 16 50 COUNT 1
        ~unordered GEOSEARCH g BYPOLYGON 5 -10 30 20 30 20 50 10 45 -10 55
        ~unordered GEOSEARCH g BYPOLYGON 4 -170 -80 170 -80 170 80 -170 80
        GEOSEARCH g BYPOLYGON 2 0 30 20 36
        GEOSEARCH g BYPOLYGON x 0 30 20 36
        GEOSEARCH g BYPOLYGON 3 0 30 20 36
        GEOSEARCH g BYPOLYGON 3 0 30 20 36 x 1
        GEOSEARCH g BYPOLYGON 3 0 30 20 36 1 95
        GEOSEARCH g BYPOLYGON -3 0 30 20 36 1 95
        GEOSEARCH g BYPOLYGON 3 0 30 20 36 16 50 FROMMEMBER Palermo
        GEOSEARCH g FROMMEMBER Palermo BYPOLYGON 3 0 30 20 36 16 50
        GEOSEARCH g BYPOLYGON 3 0 30 20 36 16 50 BYRADIUS 1 m
        GEOSEARCH g BYRADIUS 1 m BYPOLYGON 3 0 30 20 36 16 50
        GEOSEARCH none BYPOLYGON 3 0 30 20 36 16 50
        GEOSEARCH g FROMLONLAT 1 1 ASC ASC ASC
        GEOSEARCHSTORE d g BYPOLYGON 3 0 30 20 36 16 50 STOREDIST
        ZRANGE d 0 -1
        GEORADIUS g 15 37 200 km BYPOLYGON 3 0 30 20 36 16 50
        "#,
    );
}

#[test]
fn random_polygons() {
    let program = Program::Valkey9;
    if program.find().is_none() {
        println!("not compared: {} is not installed (see PEERS_DIR)", program.name());
        return;
    }
    let seed = seed();
    let _seed = PrintSeed(seed);
    let mut rng = Rng::new(seed);
    let mut pair = ochre_testkit::oracle::Pair::start(&program, &[]);
    pair.restart(Resp::Two, "polygons");
    let mut pick = move |low: f64, high: f64| {
        (low + (high - low) * (rng.below(1 << 40) as f64 / (1u64 << 40) as f64)).to_string()
    };
    for n in 0..400 {
        let (longitude, latitude) = (pick(-30.0, 30.0), pick(20.0, 60.0));
        pair.run(&["GEOADD", "g", &longitude, &latitude, &format!("m{n}")], &[]);
    }
    for corners in (3..40).cycle().take(150) {
        let mut args: Vec<String> =
            ["GEOSEARCH", "g", "BYPOLYGON"].into_iter().map(str::to_owned).collect();
        args.push(corners.to_string());
        for _ in 0..corners {
            args.extend([pick(-35.0, 35.0), pick(15.0, 65.0)]);
        }
        args.extend(["WITHDIST".to_owned(), "ASC".to_owned()]);
        pair.run(&args, &[Norm::Deep]);
    }
    pair.finish();
}
