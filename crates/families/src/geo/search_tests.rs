//! Every form of a search, its options and its refusals.

use crate::testing::Bench;

fn sicily() -> Bench {
    let mut bench = Bench::new();
    bench.run("GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
    bench.run("GEOADD g 12.758489 38.788135 edge1 17.241510 38.788135 edge2 2.3 48.8 Paris");
    bench
}

#[test]
fn circles_and_boxes() {
    let mut bench = sicily();
    for (query, found) in [
        ("GEORADIUS g 15 37 200 km", "*2|$7|Palermo|$7|Catania|"),
        ("GEORADIUS_RO g 15 37 200 km ASC", "*2|$7|Catania|$7|Palermo|"),
        ("GEORADIUSBYMEMBER g Catania 200000 m DESC", "*2|$7|Palermo|$7|Catania|"),
        ("GEORADIUSBYMEMBER_RO g Catania 1 ft", "*1|$7|Catania|"),
        ("GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC", "*2|$7|Catania|$7|Palermo|"),
        (
            "GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC",
            "*4|$7|Catania|$7|Palermo|$5|edge2|$5|edge1|",
        ),
        ("GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km COUNT 1", "*1|$7|Catania|"),
        ("GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km COUNT 2 DESC", "*2|$5|edge1|$5|edge2|"),
        ("GEOSEARCH g FROMMEMBER Paris BYRADIUS 0 km", "*1|$5|Paris|"),
        ("GEOSEARCH none FROMMEMBER Paris BYRADIUS 1 km", "*0|"),
        ("GEORADIUSBYMEMBER none a 1 km", "*0|"),
        (
            "GEOSEARCH g BYPOLYGON 4 10 36 16 36 16 40 10 40 ASC",
            "*3|$7|Palermo|$5|edge1|$7|Catania|",
        ),
    ] {
        assert_eq!(bench.run(query), found, "{query}");
    }
    let any = bench.run("GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km COUNT 3 ANY");
    assert!(any.starts_with("*3|"), "{any}");
}

#[test]
fn what_is_answered() {
    let mut bench = sicily();
    assert_eq!(
        bench.run("GEORADIUS g 15 37 100 km WITHCOORD WITHDIST WITHHASH"),
        "*1|*4|$7|Catania|$7|56.4413|:3479447370796909|\
         *2|$20|15.08726745843887329|$20|37.50266842333162032|"
    );
    assert_eq!(
        bench.run("GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 100 km WITHHASH"),
        "*1|*2|$7|Catania|:3479447370796909|"
    );
}

#[test]
fn stores() {
    let mut bench = sicily();
    assert_eq!(bench.run("GEORADIUS g 15 37 200 km STORE d"), ":2|");
    assert_eq!(bench.run("ZSCORE d Palermo"), "$16|3479099956230698|");
    assert_eq!(bench.run("GEORADIUS g 15 37 200 km STORE x STOREDIST d"), ":2|");
    assert_eq!(bench.run("EXISTS x"), ":0|");
    assert!(bench.run("ZSCORE d Catania").contains("56.4412578701582"));
    assert_eq!(bench.run("GEOSEARCHSTORE d g FROMLONLAT 0 0 BYBOX 1 1 km"), ":0|");
    assert_eq!(bench.run("EXISTS d"), ":0|");
    assert_eq!(bench.run("GEOSEARCHSTORE d g FROMMEMBER Paris BYRADIUS 1 km STOREDIST"), ":1|");
    assert_eq!(bench.run("ZRANGE d 0 -1 WITHSCORES"), "*2|$5|Paris|$1|0|");
    assert_eq!(bench.run("GEORADIUSBYMEMBER none a 1 km STORE d"), ":0|");
    assert_eq!(bench.run("EXISTS d"), ":0|");
    assert!(bench.log_text().ends_with(
        "GEOSEARCHSTORE d g FROMMEMBER Paris BYRADIUS 1 km STOREDIST; \
         GEORADIUSBYMEMBER none a 1 km STORE d"
    ));
}

#[test]
fn refusals() {
    let mut bench = sicily();
    bench.run("SET s v");
    for (line, error) in [
        ("GEORADIUS g 15 37 x km", "need numeric radius"),
        ("GEORADIUS g 15 37 -1 km", "radius cannot be negative"),
        ("GEORADIUS g 15 37 1 foo", "unsupported unit provided. please use M, KM, FT, MI"),
        ("GEORADIUS g 15 97 1 km", "invalid longitude,latitude pair 15.000000,97.000000"),
        ("GEORADIUS g 15 37 1 km COUNT 0", "COUNT must be > 0"),
        ("GEORADIUS g 15 37 1 km COUNT", "syntax error"),
        ("GEORADIUS g 15 37 1 km ANY", "the ANY argument requires COUNT argument"),
        ("GEORADIUS g 15 37 1 km STORE", "syntax error"),
        ("GEORADIUS g 15 37 1 km STORE a STORE b", "syntax error"),
        ("GEORADIUS g 15 37 1 km STOREDIST store STORE b", "syntax error"),
        ("GEORADIUS g 15 37 1 km BYRADIUS 1 m", "syntax error"),
        (
            "GEORADIUS g 15 37 1 km STORE d WITHDIST",
            "STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD \
             options",
        ),
        ("GEORADIUS_RO g 15 37 1 km STORE d", "syntax error"),
        ("GEORADIUSBYMEMBER g none 1 km", "could not decode requested zset member"),
        ("GEOSEARCH g FROMLONLAT 15 37 FROMMEMBER a BYRADIUS 1 km", "syntax error"),
        ("GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 m BYBOX 1 1 m", "syntax error"),
        ("GEOSEARCH g FROMLONLAT 1 1 BYBOX x 1 m", "need numeric width"),
        ("GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 x m", "need numeric height"),
        ("GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 -1 m", "height or width cannot be negative"),
        (
            "GEOSEARCH g BYRADIUS 200 km ASC ASC ASC",
            "exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH",
        ),
        (
            "geosearch g FROMLONLAT 1 1 ASC ASC",
            "exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for geosearch",
        ),
        (
            "GEOSEARCHSTORE d g FROMLONLAT 1 1 BYRADIUS 1 m WITHDIST",
            "GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        ("GEOSEARCH g BYPOLYGON 2 1 1 2 2", "GEOSEARCH BYPOLYGON must have at least 3 vertices"),
        ("GEOSEARCH g BYPOLYGON x 1 1 2 2", "invalid number of vertices"),
        ("GEOSEARCH g BYPOLYGON 3 1 1 2 2 3 1 BYRADIUS 1 m", "syntax error"),
    ] {
        assert_eq!(bench.run(line), format!("-ERR {error}|"), "{line}");
    }
    assert!(bench.run("GEORADIUS s x 37 1 km").starts_with("-WRONGTYPE"));
    assert!(bench.run("GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 m").starts_with("-WRONGTYPE"));
}
