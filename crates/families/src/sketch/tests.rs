//! Replies of all five kinds in both protocols, each option and each error, and that a dump in steps and a
//! copy are the value they came from.

use crate::testing::Bench;
use ochre_resp::Protocol;

/// Runs lines and compares each reply with what stands behind `=>`.
fn check(bench: &mut Bench, script: &str) {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").expect("a line is command => reply");
        assert_eq!(bench.run(command), expected, "{command}");
    }
}

#[test]
fn bloom_filters() {
    check(
        &mut Bench::new(),
        "
        BF.RESERVE b 0.01 100 => +OK|
        BF.RESERVE b 0.01 100 => -ERR item exists|
        BF.ADD b x => :1|
        BF.ADD b x => :0|
        BF.MADD b x y y => *3|:0|:1|:0|
        BF.EXISTS b y => :1|
        BF.EXISTS b z => :0|
        BF.EXISTS none z => :0|
        BF.MEXISTS b x z => *2|:1|:0|
        BF.CARD b => :2|
        BF.CARD none => :0|
        TYPE b => +MBbloom--|
        OBJECT ENCODING b => $3|raw|
        BF.INFO b CAPACITY => *1|:100|
        BF.INFO b ITEMS => *1|:2|
        BF.INFO b filters => *1|:1|
        BF.INFO b EXPANSION => *1|:2|
        BF.INFO b foo => -ERR Invalid information value|
        BF.INFO none => -ERR not found|
        BF.INFO b CAPACITY x => -ERR wrong number of arguments for 'bf.info' command|
        BF.ADD auto x => :1|
        BF.INFO auto CAPACITY => *1|:100|
        BF.RESERVE e x 100 => -ERR bad error rate|
        BF.RESERVE e 0 100 => -ERR (0 < error rate range < 1)|
        BF.RESERVE e 1 100 => -ERR (0 < error rate range < 1)|
        BF.RESERVE e 0.1 x => -ERR bad capacity|
        BF.RESERVE e 0.1 0 => -ERR (capacity should be larger than 0)|
        BF.RESERVE e 0.1 9223372036854775807 => -ERR Insufficient memory to create filter|
        BF.RESERVE e 0.1 1 EXPANSION => -ERR no expansion|
        BF.RESERVE e 0.1 1 EXPANSION x => -ERR bad expansion|
        BF.RESERVE e 0.1 1 EXPANSION 32769 => -ERR bad expansion|
        BF.RESERVE e 0.1 1 NONSCALING EXPANSION 2 => -ERR Nonscaling filters cannot expand|
        BF.RESERVE e 0.1 1 foo => -ERR unknown argument received|
        EXISTS e => :0|
        BF.RESERVE n 0.001 2 NONSCALING => +OK|
        BF.MADD n a b c d => *3|:1|:1|-ERR non scaling filter is full|
        BF.ADD n c => -ERR non scaling filter is full|
        BF.ADD n a => :0|
        BF.INFO n EXPANSION => *1|$-1|
        BF.INSERT i NOCREATE ITEMS x => -ERR not found|
        BF.INSERT i NOCREATE CAPACITY 5 ITEMS x => -ERR syntax error|
        BF.INSERT i CAPACITY 5 ERROR 0.5 EXPANSION 3 TIGHTENING 0.3 ITEMS x x y => *3|:1|:0|:1|
        BF.INFO i CAPACITY => *1|:5|
        BF.INSERT i NOCREATE ITEMS x => *1|:0|
        BF.INSERT j NONSCALING VALIDATESCALETO 9 ITEMS x => -ERR cannot use NONSCALING and VALIDATESCALETO options together|
        BF.INSERT j VALIDATESCALETO 999999999999 ITEMS x => -ERR provided VALIDATESCALETO causes bloom object to exceed memory limit|
        BF.INSERT j VALIDATESCALETO 9999 ITEMS x => *1|:1|
        BF.INSERT i ITEMS => -ERR wrong number of arguments for 'bf.insert' command|
        BF.INSERT i CAPACITY 5 => -ERR wrong number of arguments for 'bf.insert' command|
        BF.INSERT i foo 5 => -ERR unknown argument received|
        SET s v => +OK|
        BF.ADD s x => -WRONGTYPE Operation against a key holding the wrong kind of value|
        BF.RESERVE s 0.1 5 => -WRONGTYPE Operation against a key holding the wrong kind of value|
        CF.ADD b x => -WRONGTYPE Operation against a key holding the wrong kind of value|
        GET b => -WRONGTYPE Operation against a key holding the wrong kind of value|
        ",
    );
    let mut bench = Bench::new();
    bench.protocol = Protocol::Resp3;
    check(
        &mut bench,
        "
        BF.MADD b x x => *2|#t|#f|
        BF.EXISTS b x => #t|
        BF.INFO b EXPANSION => *1|:2|
        ",
    );
    let info = bench.run("BF.INFO b");
    assert!(info.starts_with("%5|+Capacity|:100|+Size|:"), "{info}");
    assert!(info.ends_with("+Number of items inserted|:1|+Expansion rate|:2|"), "{info}");
}

#[test]
fn cuckoo_filters() {
    check(
        &mut Bench::new(),
        "
        CF.RESERVE c 1000 => +OK|
        CF.RESERVE c 1000 => -ERR item exists|
        CF.ADD c x => :1|
        CF.ADD c x => :1|
        CF.ADDNX c x => :0|
        CF.ADDNX c y => :1|
        CF.COUNT c x => :2|
        CF.COUNT none x => :0|
        CF.EXISTS c x => :1|
        CF.EXISTS none x => :0|
        CF.MEXISTS c x zz => *2|:1|:0|
        CF.DEL c x => :1|
        CF.DEL c x => :1|
        CF.DEL c x => :0|
        CF.DEL none x => -Not found|
        TYPE c => +MBbloomCF|
        CF.INSERT c ITEMS a b => *2|:1|:1|
        CF.INSERTNX c ITEMS a d d => *3|:0|:1|:0|
        CF.INSERT none NOCREATE ITEMS a => -ERR not found|
        CF.INSERT none CAPACITY 5 NOCREATE ITEMS a => -ERR syntax error|
        CF.INSERT none CAPACITY x ITEMS a => -Bad capacity|
        CF.INSERT new CAPACITY 64 ITEMS a => *1|:1|
        CF.INSERT c ITEMS => -ERR wrong number of arguments for 'cf.insert' command|
        CF.RESERVE d x => -Bad capacity|
        CF.RESERVE d 3 => -Capacity must be at least (BucketSize * 2)|
        CF.RESERVE d 99 BUCKETSIZE 0 => -BUCKETSIZE: value must be an integer between 1 and 255, inclusive.|
        CF.RESERVE d 99 MAXITERATIONS 65536 => -MAXITERATIONS: value must be an integer between 1 and 65535, inclusive.|
        CF.RESERVE d 99 EXPANSION -1 => -EXPANSION: value must be an integer between 0 and 32768, inclusive.|
        CF.RESERVE d 9223372036854775807 => -Could not create filter|
        CF.RESERVE d 4 BUCKETSIZE 1 MAXITERATIONS 5 EXPANSION 0 => +OK|
        CF.INSERT d ITEMS a a a => *3|:1|:1|:-1|
        CF.ADD d a => -Filter is full|
        CF.INFO none => -ERR not found|
        ",
    );
    let mut bench = Bench::new();
    bench.protocol = Protocol::Resp3;
    bench.run("CF.RESERVE c 1024");
    check(
        &mut bench,
        "
        CF.ADD c x => #t|
        CF.INSERT c ITEMS x => *1|#t|
        CF.INSERTNX c ITEMS x => *1|:0|
        CF.DEL c x => #t|
        ",
    );
    let info = bench.run("CF.INFO c");
    let facts = "+Number of buckets|:512|+Number of filters|:1|+Number of items inserted|:1|\
                 +Number of items deleted|:1|+Bucket size|:2|+Expansion rate|:1|+Max iterations|:20|";
    assert!(info.starts_with("%8|+Size|:") && info.ends_with(facts), "{info}");
}

#[test]
fn count_min_sketches() {
    check(
        &mut Bench::new(),
        "
        CMS.INITBYDIM a 1000 5 => +OK|
        CMS.INITBYDIM a 1000 5 => -CMS: key already exists|
        CMS.INITBYPROB p 0.001 0.01 => +OK|
        CMS.INFO p => *6|+width|:2000|+depth|:7|+count|:0|
        CMS.INCRBY a x 5 y 7 x 1 => *3|:5|:7|:6|
        CMS.QUERY a x y z => *3|:6|:7|:0|
        CMS.INFO a => *6|+width|:1000|+depth|:5|+count|:13|
        TYPE a => +CMSk-TYPE|
        CMS.INCRBY none x 1 => -CMS: key does not exist|
        CMS.QUERY none x => -CMS: key does not exist|
        CMS.INCRBY a x => -ERR wrong number of arguments for 'cms.incrby' command|
        CMS.INCRBY a x 1 y => -ERR wrong number of arguments for 'cms.incrby' command|
        CMS.INCRBY a x f => -CMS: Cannot parse number|
        CMS.INCRBY a x -1 => -CMS: Number cannot be negative|
        CMS.INITBYDIM e 0 5 => -CMS: invalid width|
        CMS.INITBYDIM e 5 x => -CMS: invalid depth|
        CMS.INITBYDIM e 4294967296 4294967296 => -CMS: Insufficient memory to create the key|
        CMS.INITBYPROB e 1 0.1 => -CMS: invalid overestimation value|
        CMS.INITBYPROB e 0.1 0 => -CMS: invalid prob value|
        CMS.INITBYDIM b 1000 5 => +OK|
        CMS.INITBYDIM m 1000 5 => +OK|
        CMS.INCRBY b x 1 z 4294967295 => *2|:1|:4294967295|
        CMS.INCRBY b z 1 => *1|-CMS: INCRBY overflow|
        CMS.MERGE m 2 a b => +OK|
        CMS.QUERY m x y z => *3|:7|:7|:4294967295|
        CMS.MERGE m 2 a b WEIGHTS 1 2 => -CMS: MERGE overflow|
        CMS.MERGE m 2 a a WEIGHTS 2 3 => +OK|
        CMS.QUERY m x y z => *3|:30|:35|:0|
        CMS.MERGE m 1 m WEIGHTS 2 => +OK|
        CMS.QUERY m x => *1|:60|
        CMS.MERGE none 1 a => -CMS: key does not exist|
        CMS.MERGE m 1 none => -CMS: key does not exist|
        CMS.MERGE m 1 p => -CMS: width/depth is not equal|
        CMS.MERGE m x a => -CMS: invalid numkeys|
        CMS.MERGE m 0 a => -CMS: wrong number of keys|
        CMS.MERGE m 2 a => -CMS: wrong number of keys|
        CMS.MERGE m 1 a b WEIGHTS 1 2 => -CMS: wrong number of keys/weights|
        CMS.MERGE m 2 a b WEIGHTS 1 => -CMS: wrong number of keys/weights|
        CMS.MERGE m 1 a WEIGHTS x => -CMS: invalid weight value|
        ",
    );
}

#[test]
fn most_frequent_items() {
    check(
        &mut Bench::new(),
        "
        TOPK.RESERVE t 2 50 4 0.9 => +OK|
        TOPK.RESERVE t 2 => -TopK: key already exists|
        TOPK.ADD t a a b => *3|$-1|$-1|$-1|
        TOPK.INCRBY t c 9 b 3 => *2|$1|b|$1|a|
        TOPK.QUERY t a b c => *3|:0|:1|:1|
        TOPK.COUNT t a b c => *3|:2|:4|:9|
        TOPK.LIST t => *2|$1|c|$1|b|
        TOPK.LIST t WITHCOUNT => *4|$1|c|:9|$1|b|:4|
        TOPK.LIST t x => -WITHCOUNT keyword expected|
        TOPK.INFO t => *8|+k|:2|+width|:50|+depth|:4|+decay|$3|0.9|
        TYPE t => +TopK-TYPE|
        TOPK.RESERVE d 5 => +OK|
        TOPK.INFO d => *8|+k|:5|+width|:8|+depth|:7|+decay|$3|0.9|
        TOPK.ADD none x => -TopK: key does not exist|
        TOPK.LIST none => -TopK: key does not exist|
        TOPK.INCRBY t x 0 => -TopK: increment must be an integer greater or equal to 1 and smaller or equal to 100000|
        TOPK.INCRBY t x 100001 => -TopK: increment must be an integer greater or equal to 1 and smaller or equal to 100000|
        TOPK.INCRBY t x 1 y => -ERR wrong number of arguments for 'topk.incrby' command|
        TOPK.RESERVE e 0 => -TopK: invalid k|
        TOPK.RESERVE e 1 0 1 0.9 => -TopK: invalid width|
        TOPK.RESERVE e 1 1 x 0.9 => -TopK: invalid depth|
        TOPK.RESERVE e 1 1 1 0 => -TopK: invalid decay value. must be '<= 1' & '> 0'|
        TOPK.RESERVE e 1 1 => -ERR wrong number of arguments for 'topk.reserve' command|
        TOPK.RESERVE e 1 4294967295 4294967295 0.9 => -ERR Insufficient memory to create topk data structure|
        ",
    );
}

#[test]
fn digests() {
    check(
        &mut Bench::new(),
        "
        TDIGEST.CREATE t => +OK|
        TDIGEST.CREATE t => -ERR T-Digest: key already exists|
        TDIGEST.MIN t => $3|nan|
        TDIGEST.QUANTILE t 0.5 => *1|$3|nan|
        TDIGEST.RANK t 1 => *1|:-2|
        TDIGEST.ADD t 1 2 3 4 5 => +OK|
        TDIGEST.MIN t => $1|1|
        TDIGEST.MAX t => $1|5|
        TDIGEST.QUANTILE t 0 0.5 1 => *3|$1|1|$1|3|$1|5|
        TDIGEST.CDF t 0 3 9 => *3|$1|0|$3|0.5|$1|1|
        TDIGEST.RANK t 0 1 5 9 => *4|:-1|:0|:4|:5|
        TDIGEST.REVRANK t 0 1 5 9 => *4|:5|:4|:0|:-1|
        TDIGEST.BYRANK t 0 4 5 => *3|$1|1|$1|5|$3|inf|
        TDIGEST.BYREVRANK t 0 4 5 => *3|$1|5|$1|1|$4|-inf|
        TDIGEST.TRIMMED_MEAN t 0.2 0.8 => $1|3|
        TYPE t => +TDIS-TYPE|
        TDIGEST.CREATE u COMPRESSION 50 => +OK|
        TDIGEST.ADD u 100 => +OK|
        TDIGEST.MERGE u 1 t => +OK|
        TDIGEST.MAX u => $3|100|
        TDIGEST.MERGE u 1 t OVERRIDE => +OK|
        TDIGEST.MAX u => $1|5|
        TDIGEST.MERGE new 2 t u COMPRESSION 7 => +OK|
        TDIGEST.BYRANK new 0 1 9 => *3|$1|1|$1|1|$1|5|
        TDIGEST.RESET t => +OK|
        TDIGEST.MAX t => $3|nan|
        TDIGEST.ADD none 1 => -ERR T-Digest: key does not exist|
        TDIGEST.RESET none => -ERR T-Digest: key does not exist|
        TDIGEST.MERGE x 1 none => -ERR T-Digest: key does not exist|
        TDIGEST.ADD t 1 x => -ERR T-Digest: error parsing val parameter|
        TDIGEST.ADD t inf => -ERR T-Digest: error parsing val parameter|
        TDIGEST.QUANTILE t x => -ERR T-Digest: error parsing quantile|
        TDIGEST.QUANTILE t 1.1 => -ERR T-Digest: quantile should be in [0,1]|
        TDIGEST.CDF t x => -ERR T-Digest: error parsing cdf|
        TDIGEST.RANK t x => -ERR T-Digest: error parsing value|
        TDIGEST.BYRANK t x => -ERR T-Digest: error parsing rank|
        TDIGEST.BYRANK t -1 => -ERR T-Digest: rank needs to be non negative|
        TDIGEST.TRIMMED_MEAN t x 1 => -ERR T-Digest: error parsing low_cut_percentile|
        TDIGEST.TRIMMED_MEAN t 0 x => -ERR T-Digest: error parsing high_cut_percentile|
        TDIGEST.TRIMMED_MEAN t 0 2 => -ERR T-Digest: low_cut_percentile and high_cut_percentile should be in [0,1]|
        TDIGEST.TRIMMED_MEAN t 0.5 0.5 => -ERR T-Digest: low_cut_percentile should be lower than high_cut_percentile|
        TDIGEST.CREATE e COMPRESSION x => -ERR T-Digest: error parsing compression parameter|
        TDIGEST.CREATE e COMPRESSION 0 => -ERR T-Digest: compression parameter needs to be a positive integer|
        TDIGEST.CREATE e COMPRESSION 9999999999 => -ERR T-Digest: allocation failed|
        TDIGEST.CREATE e foo 1 => -ERR T-Digest: wrong keyword|
        TDIGEST.CREATE e COMPRESSION => -ERR wrong number of arguments for 'tdigest.create' command|
        TDIGEST.MERGE e x t => -ERR T-Digest: error parsing numkeys|
        TDIGEST.MERGE e 0 t => -ERR T-Digest: numkeys needs to be a positive integer|
        TDIGEST.MERGE e 2 t => -ERR wrong number of arguments for 'tdigest.merge' command|
        TDIGEST.MERGE e 1 t foo => -ERR T-Digest: wrong keyword|
        ",
    );
    let mut bench = Bench::new();
    bench.protocol = Protocol::Resp3;
    bench.run("TDIGEST.CREATE t COMPRESSION 100");
    bench.run("TDIGEST.ADD t 1 2 3 4 5");
    let info = bench.run("TDIGEST.INFO t");
    let facts = "%9|+Compression|:100|+Capacity|:610|+Merged nodes|:0|+Unmerged nodes|:5|\
                 +Merged weight|:0|+Unmerged weight|:5|+Observations|:5|+Total compressions|:0|";
    assert!(info.starts_with(facts), "{info}");
    assert_eq!(bench.run("TDIGEST.CDF t 3"), "*1|,0.5|");
}

/// Adds many items, dumps in steps, and loads into another keyspace.
fn dump_and_load(add: &str, scan: &str, load: &str) {
    let (mut from, mut to) = (Bench::new(), Bench::new());
    for n in 0..3000 {
        from.run(&format!("{add} k item{n}"));
    }
    let mut step = b"0".to_vec();
    loop {
        let reply = from.run_raw(&[scan.as_bytes(), b"k", &step]);
        // *2\r\n:step\r\n$len\r\nbytes\r\n
        let mut lines = reply.splitn(4, |byte| *byte == b'\n');
        assert_eq!(lines.next(), Some(&b"*2\r"[..]));
        step = lines.next().unwrap().trim_ascii()[1..].to_vec();
        lines.next();
        let data = lines.next().unwrap();
        let data = &data[..data.len() - 2];
        if step == b"0" {
            assert!(data.is_empty());
            break;
        }
        assert_eq!(to.run_args(&[load.as_bytes(), b"k", &step, data]), "+OK|");
    }
    let dump = |bench: &mut Bench| bench.run_raw(&[b"DUMP", b"k"]);
    assert_eq!(dump(&mut from), dump(&mut to));
    assert_eq!(to.run_args(&[load.as_bytes(), b"k", b"99999999", b"x"]), "-ERR received bad data|");
    assert_eq!(to.run_args(&[load.as_bytes(), b"k", b"1", b"x"]), "-ERR received bad data|");
    assert_eq!(to.run_args(&[load.as_bytes(), b"k", b"-1", b"x"]), "-ERR received bad data|");
    assert_eq!(to.run_args(&[load.as_bytes(), b"n", b"7", b"x"]), "-ERR not found|");
    assert_eq!(to.run(&format!("{scan} n 0")), "-ERR not found|");
    assert_eq!(to.run(&format!("{scan} k x")), "-ERR Second argument must be numeric|");
}

#[test]
fn dumps_in_steps() {
    dump_and_load("BF.ADD", "BF.SCANDUMP", "BF.LOADCHUNK");
    dump_and_load("CF.ADD", "CF.SCANDUMP", "CF.LOADCHUNK");
}

/// A copy does not follow its origin, and RESTORE takes what DUMP gave; an expiry stays over a merge.
#[test]
fn copies_stand_alone() {
    let mut bench = Bench::new();
    check(
        &mut bench,
        "
        BF.ADD b x => :1|
        COPY b c => :1|
        BF.ADD c y => :1|
        BF.EXISTS b y => :0|
        BF.EXISTS c y => :1|
        CMS.INITBYDIM m 5 2 => +OK|
        EXPIRE m 100 => :1|
        CMS.MERGE m 1 m => +OK|
        TTL m => :100|
        ",
    );
    let dump = bench.run_raw(&[b"DUMP", b"b"]);
    let body = dump.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let payload = &dump[body..dump.len() - 2];
    assert_eq!(bench.run_args(&[b"RESTORE", b"r", b"0", payload]), "+OK|");
    assert_eq!(bench.run("BF.MEXISTS r x y"), "*2|:1|:0|");
}

/// What changes nothing is not logged, nor what fails.
#[test]
fn logs_changes_alone() {
    let mut bench = Bench::new();
    for line in ["BF.ADD b x", "BF.ADD b x", "BF.EXISTS b x", "CF.DEL none x", "CF.ADD c x"] {
        bench.run(line);
    }
    for line in ["CF.ADDNX c x", "CF.DEL c y", "TOPK.ADD none x", "TDIGEST.CREATE t"] {
        bench.run(line);
    }
    for line in ["TDIGEST.QUANTILE t 1", "TDIGEST.ADD t x", "TDIGEST.ADD t 1"] {
        bench.run(line);
    }
    assert!(
        bench.log_text().ends_with("BF.ADD b x; CF.ADD c x; TDIGEST.CREATE t; TDIGEST.ADD t 1"),
        "{}",
        bench.log_text()
    );
}
