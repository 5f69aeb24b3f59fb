//! The workloads: what is loaded before, and what the benchmark client sends.
//!
//! Names of keys and elements are those of the benchmark clients (`key:` or `element:` and twelve
//! digits), so that random reads hit what was loaded.

use crate::load::{load, scrambled};
use anyhow::Result;
use ochre_testkit::Server;

/// Keys and elements of the random workloads.
const RANGE: u64 = 1_000_000;

/// Elements of the list that LRANGE reads.
const LIST: u64 = 1000;

/// What has to be there before a workload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Data {
    Nothing,
    Keys,
    Counters,
    /// In database 1.
    BigKeys,
    Hash,
    Set,
    SortedSet,
    List,
    Script,
    Stream,
    Bits,
    Places,
    Unsorted,
}

/// One workload.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) data: Data,
    /// Arguments of the benchmark client behind host, count and pipeline.
    pub(crate) args: &'static [&'static str],
    /// Commands before each run, which make all runs alike.
    pub(crate) first: &'static [&'static [&'static str]],
    /// Connections that subscribe to the channel `news`.
    pub(crate) listeners: usize,
    /// Whether it is run without pipelining too.
    pub(crate) at_p1: bool,
}

const R: [&str; 2] = ["-r", "1000000"];
const KEY: &str = "key:__rand_int__";

/// All workloads of the issue's list.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "GET",
        data: Data::Keys,
        args: &[R[0], R[1], "-t", "get"],
        first: &[],
        listeners: 0,
        at_p1: true,
    },
    Workload {
        name: "SET",
        data: Data::Keys,
        args: &[R[0], R[1], "-t", "set"],
        first: &[],
        listeners: 0,
        at_p1: true,
    },
    Workload {
        name: "INCR",
        data: Data::Counters,
        args: &[R[0], R[1], "-t", "incr"],
        first: &[],
        listeners: 0,
        at_p1: true,
    },
    Workload {
        name: "GET-1KB",
        data: Data::BigKeys,
        args: &[R[0], R[1], "-d", "1024", "--dbnum", "1", "-t", "get"],
        first: &[],
        listeners: 0,
        at_p1: false,
    },
    Workload {
        name: "SET-1KB",
        data: Data::BigKeys,
        args: &[R[0], R[1], "-d", "1024", "--dbnum", "1", "-t", "set"],
        first: &[],
        listeners: 0,
        at_p1: false,
    },
    Workload {
        name: "HSET",
        data: Data::Hash,
        args: &[R[0], R[1], "-t", "hset"],
        first: &[],
        listeners: 0,
        at_p1: false,
    },
    Workload {
        name: "SADD",
        data: Data::Set,
        args: &[R[0], R[1], "-t", "sadd"],
        first: &[],
        listeners: 0,
        at_p1: false,
    },
    Workload {
        name: "ZADD",
        data: Data::SortedSet,
        args: &[R[0], R[1], "ZADD", "myzset", "__rand_int__", "element:__rand_int__"],
        first: &[],
        listeners: 0,
        at_p1: false,
    },
    Workload {
        name: "LPUSH",
        data: Data::Nothing,
        args: &["-t", "lpush"],
        first: &[&["DEL", "mylist"]],
        listeners: 0,
        at_p1: false,
    },
    Workload {
        name: "MSET-10",
        data: Data::Keys,
        args: &[R[0], R[1], "-t", "mset"],
        first: &[],
        listeners: 0,
        at_p1: false,
    },
    Workload {
        name: "MGET-10",
        data: Data::Keys,
        args: &[R[0], R[1], "MGET", KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY],
        first: &[],
        listeners: 0,
        at_p1: false,
    },
    Workload {
        name: "LRANGE-100",
        data: Data::List,
        args: &["LRANGE", "biglist", "0", "99"],
        first: &[],
        listeners: 0,
        at_p1: false,
    },
    Workload {
        name: "LRANGE-600",
        data: Data::List,
        args: &["LRANGE", "biglist", "0", "599"],
        first: &[],
        listeners: 0,
        at_p1: false,
    },
];

/// The script of three calls.
const SCRIPT: &str = "redis.call('set', KEYS[1], ARGV[1]) redis.call('incr', KEYS[2]) return redis.call('get', KEYS[1])";
const SCRIPT_SHA: &str = "6f40bf73662bb4c9c5b29ef027fd14d5e6f353e8";

const fn family(name: &'static str, data: Data, args: &'static [&'static str]) -> Workload {
    Workload { name, data, args, first: &[], listeners: 0, at_p1: false }
}

/// Workloads of the families beside the five types.
pub(crate) const FAMILIES: &[Workload] = &[
    family(
        "EVALSHA",
        Data::Script,
        &[R[0], R[1], "EVALSHA", SCRIPT_SHA, "2", KEY, "counter:__rand_int__", "xxx"],
    ),
    Workload {
        first: &[&["DEL", "log"]],
        ..family("XADD", Data::Nothing, &["XADD", "log", "*", "field", "value"])
    },
    Workload {
        // A new group, so that all entries are there to be read, and none is pending.
        first: &[&["XGROUP", "DESTROY", "events", "g"], &["XGROUP", "CREATE", "events", "g", "0"]],
        ..family(
            "XREADGROUP",
            Data::Stream,
            &["XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "events", ">"],
        )
    },
    family("PFADD", Data::Nothing, &[R[0], R[1], "PFADD", "visitors", "element:__rand_int__"]),
    family("BITCOUNT-1MB", Data::Bits, &["BITCOUNT", "bits"]),
    family("BITOP-1MB", Data::Bits, &["BITOP", "AND", "both", "bits", "more"]),
    family(
        "GEOSEARCH",
        Data::Places,
        &["GEOSEARCH", "places", "FROMLONLAT", "2.35", "48.85", "BYRADIUS", "50", "km", "ASC"],
    ),
    family("SORT-1000", Data::Unsorted, &["SORT", "numbers"]),
    Workload {
        listeners: 100,
        ..family("PUBLISH-100", Data::Nothing, &["PUBLISH", "news", "hello"])
    },
];

/// Loads what a workload needs.
pub(crate) fn prepare(server: &Server, data: Data) -> Result<()> {
    let word = |text: &str| text.to_owned();
    let element = |i: u64| format!("element:{i:012}");
    match data {
        Data::Nothing => Ok(()),
        Data::Keys => {
            load(server, 0, RANGE, |i| vec![word("SET"), format!("key:{i:012}"), word("xxx")])
        }
        Data::Counters => {
            load(server, 0, RANGE, |i| vec![word("SET"), format!("counter:{i:012}"), i.to_string()])
        }
        Data::BigKeys => {
            let value = "x".repeat(1024);
            load(server, 1, RANGE, |i| vec![word("SET"), format!("key:{i:012}"), value.clone()])
        }
        Data::Hash => {
            load(server, 0, RANGE, |i| vec![word("HSET"), word("myhash"), element(i), word("xxx")])
        }
        Data::Set => load(server, 0, RANGE, |i| vec![word("SADD"), word("myset"), element(i)]),
        Data::SortedSet => load(server, 0, RANGE, |i| {
            vec![word("ZADD"), word("myzset"), i.to_string(), element(i)]
        }),
        Data::List => load(server, 0, LIST, |_| vec![word("RPUSH"), word("biglist"), word("xxx")]),
        Data::Script => {
            load(server, 0, 1, |_| vec![word("SCRIPT"), word("LOAD"), word(SCRIPT)])?;
            prepare(server, Data::Keys)?;
            prepare(server, Data::Counters)
        }
        Data::Stream => load(server, 0, RANGE, |_| {
            ["XADD", "events", "*", "field", "value"].map(str::to_owned).to_vec()
        }),
        Data::Bits => load(server, 0, 2, |i| {
            let key = if i == 0 { "bits" } else { "more" };
            vec![word("SET"), word(key), "uU".repeat(1 << 19)]
        }),
        Data::Places => load(server, 0, RANGE / 10, |i| {
            let (x, y) = (scrambled(i) % 10_000, scrambled(i + RANGE) % 10_000);
            let (x, y) = (x as f64 / 1000.0 - 2.5, y as f64 / 1000.0 + 43.0);
            vec![word("GEOADD"), word("places"), x.to_string(), y.to_string(), element(i)]
        }),
        Data::Unsorted => load(server, 0, LIST, |i| {
            vec![word("RPUSH"), word("numbers"), (scrambled(i) % 1_000_000).to_string()]
        }),
    }
}
