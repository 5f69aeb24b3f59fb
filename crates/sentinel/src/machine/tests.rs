//! Tests of single decisions; whole histories are the simulator's.

use ochre_base::clock::Now;
use ochre_resp::{Protocol, Reply};

use crate::addr::NoNames;
use crate::config::Globals;
use crate::failover::best_replica;
use crate::{Output, Sentinel};

const FILE: &str = "monitor m 10.0.0.1 6379 2\ndown-after-milliseconds m 1000\n\
    known-replica m 10.0.0.2 6379\nknown-replica m 10.0.0.3 6379\n\
    known-sentinel m 10.0.1.2 26379 bbbb\nknown-sentinel m 10.0.1.3 26379 cccc";

fn now(ms: u64) -> Now {
    let ms = 1_000_000 + ms;
    Now { unix_ms: ms as i64, unix_us: ms * 1000, mono_us: ms * 1000 }
}

/// A sentinel with a file, whose links are all open.
fn sentinel() -> Sentinel {
    let mut one = Sentinel::new(Globals::new("a".repeat(40), 26379), Box::new(NoNames), 1, now(0));
    let line = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let lines: Vec<Vec<Vec<u8>>> = FILE.lines().map(line).collect();
    one.load(&lines).unwrap();
    one.tick(now(0));
    for output in one.outputs() {
        if let Output::Open { link, .. } = output {
            one.connected(now(0), link, "10.0.1.1");
        }
    }
    one
}

fn events(one: &mut Sentinel) -> Vec<String> {
    let event = |output| match output {
        Output::Event { name, text, .. } => Some(format!("{name} {text}")),
        _ => None,
    };
    one.outputs().into_iter().filter_map(event).collect()
}

fn ask(one: &mut Sentinel, epoch: &str, candidate: &str) -> String {
    let args = ["SENTINEL", "IS-MASTER-DOWN-BY-ADDR", "10.0.0.1", "6379", epoch, candidate];
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    let mut out = Vec::new();
    one.command(&args, &mut Reply::new(&mut out, Protocol::Resp2));
    String::from_utf8(out).unwrap()
}

/// One vote an epoch, written before it is told; older epochs get none.
#[test]
fn a_vote_is_cast_once_and_written_first() {
    let mut one = sentinel();
    one.outputs();
    assert_eq!(ask(&mut one, "3", "bbbb"), "*3\r\n:0\r\n$4\r\nbbbb\r\n:3\r\n");
    let outputs = one.outputs();
    assert!(outputs.contains(&Output::Persist), "{outputs:?}");
    assert_eq!(ask(&mut one, "3", "cccc"), "*3\r\n:0\r\n$4\r\nbbbb\r\n:3\r\n");
    assert_eq!(ask(&mut one, "2", "cccc"), "*3\r\n:0\r\n$4\r\nbbbb\r\n:3\r\n");
    assert_eq!(ask(&mut one, "4", "cccc"), "*3\r\n:0\r\n$4\r\ncccc\r\n:4\r\n");
    // Without a candidate no vote is asked for.
    assert_eq!(ask(&mut one, "9", "*"), "*3\r\n:0\r\n$1\r\n*\r\n:0\r\n");
    assert_eq!(one.current_epoch(), 4);
}

/// Silence makes everyone down subjectively, and nobody objectively: the others have not agreed.
#[test]
fn silence_is_down_for_one_only() {
    let mut one = sentinel();
    let mut told = Vec::new();
    for ms in (100..2000).step_by(100) {
        one.tick(now(ms));
        told.extend(events(&mut one));
    }
    let count = |name: &str| told.iter().filter(|event| event.starts_with(name)).count();
    assert_eq!((count("+sdown"), count("+odown"), count("+try-failover")), (5, 0, 0), "{told:?}");
}

/// A clock that jumps is a reason to trust nothing for a while.
#[test]
fn tilt() {
    let mut one = sentinel();
    one.outputs();
    one.tick(now(5000));
    assert_eq!(events(&mut one), ["+tilt #tilt mode entered"]);
    assert_eq!(one.tilt_ms(), Some(0));
    let mut told = Vec::new();
    for ms in (6000..37_000).step_by(1000) {
        one.tick(now(ms));
        told.extend(events(&mut one));
    }
    assert_eq!(told[0], "-tilt #tilt mode exited");
    assert!(one.tilt_ms().is_none());
}

/// Priority before offset before run id; priority 0 never.
#[test]
fn the_best_replica() {
    let mut one = sentinel();
    let (x, y) = ("10.0.0.2:6379", "10.0.0.3:6379");
    let Sentinel { core, primaries } = &mut one;
    let primary = primaries.get_mut("m").unwrap();
    assert_eq!(best_replica(core, primary), None);
    for ((p1, o1, r1), (p2, o2, r2), best) in [
        ((100, 5, "b"), (100, 5, "a"), Some(y)),
        ((100, 6, "b"), (100, 5, "a"), Some(x)),
        ((100, 6, "b"), (10, 5, "a"), Some(y)),
        ((100, 6, "b"), (0, 5, "a"), Some(x)),
        ((0, 6, "b"), (0, 5, "a"), None),
    ] {
        for (key, priority, offset, run_id) in [(x, p1, o1, r1), (y, p2, o2, r2)] {
            let replica = primary.replicas.get_mut(key).unwrap();
            (replica.priority, replica.offset) = (priority, offset);
            run_id.clone_into(&mut replica.node.run_id);
            replica.node.info_at = Some(core.now);
        }
        assert_eq!(best_replica(core, primary).as_deref(), best);
    }
}

/// What is not a hello message, or of nobody known, changes nothing; a newer configuration is followed.
#[test]
fn hello_messages() {
    let mut one = sentinel();
    let mut hear = |text: &str| {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Protocol::Resp2);
        one.publish(crate::HELLO_CHANNEL.as_bytes(), text.as_bytes(), &mut reply);
        events(&mut one)
    };
    hear("");
    for text in [
        "",
        "10.0.1.4,26379,dddd,0,m,10.0.0.1,6379",
        "10.0.1.4,x,dddd,0,m,10.0.0.1,6379,0",
        "10.0.1.4,26379,dddd,0,other,10.0.0.1,6379,0",
        "nohost.invalid,26379,dddd,0,m,10.0.0.1,6379,0",
    ] {
        assert_eq!(hear(text), Vec::<String>::new(), "{text}");
    }
    let told = hear("10.0.1.4,26379,dddd,7,m,10.0.0.2,6379,7");
    assert_eq!(told[0], "+sentinel sentinel dddd 10.0.1.4 26379 @ m 10.0.0.1 6379");
    assert_eq!(told[1], "+new-epoch 7");
    assert!(told[3] == "+switch-master m 10.0.0.1 6379 10.0.0.2 6379", "{told:?}");
    let told = hear("10.0.1.9,26379,dddd,7,m,10.0.0.2,6379,7");
    assert!(told[0].starts_with("+sentinel-address-switch"), "{told:?}");
    // The old primary is among the replicas now, and the new one is not.
    let keys: Vec<&String> = one.primaries()["m"].replicas.keys().collect();
    assert_eq!(keys, ["10.0.0.1:6379", "10.0.0.3:6379"]);
}

fn hello(one: &mut Sentinel, run_id: &str, current: u64, primary: &str, config: u64) {
    let text = format!("10.0.1.9,26379,{run_id},{current},m,{primary},6379,{config}");
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Protocol::Resp2);
    one.publish(crate::HELLO_CHANNEL.as_bytes(), text.as_bytes(), &mut reply);
}

/// Two configurations of one epoch, as forced failovers leave them: the smaller run id moves its own on, and a greatest
/// epoch is no end of the world.
#[test]
fn configurations_of_one_epoch_are_settled() {
    for (current, settled) in [(5, 6), (u64::MAX, u64::MAX)] {
        let mut one = sentinel();
        hello(&mut one, "bbbb", current, "10.0.0.2", 5);
        assert_eq!(one.primaries()["m"].config_epoch, 5);
        // The same place, and an older epoch: nothing.
        hello(&mut one, "cccc", current, "10.0.0.2", 5);
        hello(&mut one, "cccc", current, "10.0.0.3", 4);
        assert_eq!(one.primaries()["m"].config_epoch, 5);
        // It is for the smaller one to move on.
        hello(&mut one, "00", current, "10.0.0.3", 5);
        assert_eq!(one.primaries()["m"].config_epoch, 5);
        hello(&mut one, "cccc", current, "10.0.0.3", 5);
        let primary = &one.primaries()["m"];
        assert_eq!((primary.config_epoch, primary.node.addr.ip.as_str()), (settled, "10.0.0.2"));
        assert!(one.outputs().contains(&Output::Persist));
    }
}
