//! The workloads: what is loaded before, and what the benchmark client sends.
//!
//! Names of keys and elements are those of the benchmark clients (`key:` or `element:` and twelve
//! digits), so that random reads hit what was loaded.

use crate::load::load;
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
}

/// One workload.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) data: Data,
    /// Arguments of the benchmark client behind host, count and pipeline.
    pub(crate) args: &'static [&'static str],
    /// A key that grows with each run, deleted before the next.
    pub(crate) grows: Option<&'static str>,
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
        grows: None,
        at_p1: true,
    },
    Workload {
        name: "SET",
        data: Data::Keys,
        args: &[R[0], R[1], "-t", "set"],
        grows: None,
        at_p1: true,
    },
    Workload {
        name: "INCR",
        data: Data::Counters,
        args: &[R[0], R[1], "-t", "incr"],
        grows: None,
        at_p1: true,
    },
    Workload {
        name: "GET-1KB",
        data: Data::BigKeys,
        args: &[R[0], R[1], "-d", "1024", "--dbnum", "1", "-t", "get"],
        grows: None,
        at_p1: false,
    },
    Workload {
        name: "SET-1KB",
        data: Data::BigKeys,
        args: &[R[0], R[1], "-d", "1024", "--dbnum", "1", "-t", "set"],
        grows: None,
        at_p1: false,
    },
    Workload {
        name: "HSET",
        data: Data::Hash,
        args: &[R[0], R[1], "-t", "hset"],
        grows: None,
        at_p1: false,
    },
    Workload {
        name: "SADD",
        data: Data::Set,
        args: &[R[0], R[1], "-t", "sadd"],
        grows: None,
        at_p1: false,
    },
    Workload {
        name: "ZADD",
        data: Data::SortedSet,
        args: &[R[0], R[1], "ZADD", "myzset", "__rand_int__", "element:__rand_int__"],
        grows: None,
        at_p1: false,
    },
    Workload {
        name: "LPUSH",
        data: Data::Nothing,
        args: &["-t", "lpush"],
        grows: Some("mylist"),
        at_p1: false,
    },
    Workload {
        name: "MSET-10",
        data: Data::Keys,
        args: &[R[0], R[1], "-t", "mset"],
        grows: None,
        at_p1: false,
    },
    Workload {
        name: "MGET-10",
        data: Data::Keys,
        args: &[R[0], R[1], "MGET", KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY],
        grows: None,
        at_p1: false,
    },
    Workload {
        name: "LRANGE-100",
        data: Data::List,
        args: &["LRANGE", "biglist", "0", "99"],
        grows: None,
        at_p1: false,
    },
    Workload {
        name: "LRANGE-600",
        data: Data::List,
        args: &["LRANGE", "biglist", "0", "599"],
        grows: None,
        at_p1: false,
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
    }
}
