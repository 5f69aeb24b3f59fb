//! INFO: every section with the peers' field names, from the numbers of all loops.
//!
//! Fields of subsystems that are not there yet have the value that an idle peer shows, so that what reads
//! INFO goes on working.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use ochre_acl::Reason;
use ochre_command::Result;
use ochre_command::args::is;
use ochre_command::spec::{Categories, Flags, Group};
use ochre_config::{Compat, VALKEY};
use ochre_keyspace::lazyfree;
use ochre_observe::stats::LoopStats;
use ochre_pubsub::Kind;

use crate::commands::keysizes::{self, KeySizes};
use crate::engine::{Facts, Pause};
use crate::following::{LinkState, Primary};
use crate::registry::{Row, SessionRow};
use crate::turn::Turn;

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[SessionRow::new(
    "info",
    -1,
    Flags::LOADING.union(Flags::STALE).union(Flags::WALKS_SHARDS),
    Group::Server,
    info,
)
.also(Categories::DANGEROUS)
.docs("1.0.0", "Describes the server and its numbers.", "O(1)", "[section [section ...]]")
.tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])];

/// Sections in their order, and whether INFO without arguments shows them.
const SECTIONS: &[(&str, bool)] = &[
    ("server", true),
    ("clients", true),
    ("memory", true),
    ("persistence", true),
    ("threads", true),
    ("stats", true),
    ("replication", true),
    ("cpu", true),
    ("modules", true),
    ("commandstats", false),
    ("errorstats", true),
    ("latencystats", false),
    ("cluster", true),
    ("keyspace", true),
    ("keysizes", false),
];

/// Everything that the sections read, taken once.
struct Numbers<'a> {
    facts: Facts,
    stats: LoopStats,
    turn: &'a Turn<'a>,
    dbs: Vec<DbNumbers>,
    /// Keys that clients cache, and the sum of the clients of each.
    tracked: (usize, usize),
    overhead: usize,
    used: usize,
    sizes: KeySizes,
}

#[derive(Debug, Default, Clone)]
struct DbNumbers {
    keys: usize,
    expires: usize,
    ttl_sum_ms: i64,
    ttl_samples: i64,
}

fn info(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let mut wanted: Vec<&str> = SECTIONS
        .iter()
        .filter(|(name, by_default)| {
            let all = |word: &&&[u8]| is(word, "all") || is(word, "everything");
            let default = args.len() == 1 || args[1..].iter().any(|word| is(word, "default"));
            (default && *by_default)
                || args[1..].iter().any(|word| is(word, name))
                || args[1..].iter().any(|word| all(&word))
        })
        .map(|(name, _)| *name)
        .collect();
    turn.flush_counts();
    let by_name = args[1..].iter().any(|word| is(word, "keysizes"));
    if !by_name && wanted.last() == Some(&"keysizes") && !keysizes::is_cheap(turn) {
        wanted.pop();
    }
    let text = render(turn, &wanted);
    turn.reply().verbatim(*b"txt", text);
    Ok(())
}

fn render(turn: &mut Turn<'_>, wanted: &[&str]) -> String {
    // Before anything is allocated for the answer itself.
    let used = ochre_base::memory::note_peak();
    let now = turn.lp.now.unix_ms;
    let (mut dbs, mut overhead) = (vec![DbNumbers::default(); 16], 0);
    let mut tracked = (0, 0);
    turn.each_shard(|shard| {
        let (keys, items) = shard.tracked();
        tracked = (tracked.0 + keys, tracked.1 + items);
        for (index, db) in shard.dbs().iter().enumerate() {
            if index >= dbs.len() {
                dbs.resize_with(index + 1, DbNumbers::default);
            }
            let numbers = &mut dbs[index];
            numbers.keys += db.len();
            numbers.expires += db.expires();
            overhead += db.heap_bytes().0;
            sample_ttl(db, now, numbers);
        }
    });
    let sizes = match wanted.contains(&"keysizes") {
        true => KeySizes::count(turn),
        false => KeySizes::default(),
    };
    let numbers = Numbers {
        tracked,
        sizes,
        facts: turn.engine.host.facts(),
        stats: turn.engine.all_stats(),
        turn,
        dbs,
        overhead,
        used,
    };
    let mut out = String::with_capacity(4096);
    for name in wanted {
        if !out.is_empty() {
            out.push_str("\r\n");
        }
        section(&numbers, name, &mut out);
    }
    out
}

/// Looks at a few keys that expire, for the average.
fn sample_ttl(db: &ochre_keyspace::db::Db, now: i64, numbers: &mut DbNumbers) {
    let Some(segment) = db.table().due_segment(0, u64::MAX) else { return };
    let expiries =
        db.table().segment_values(segment).filter_map(|value| db.entry_of(value).expiry).take(4);
    for at in expiries {
        numbers.ttl_sum_ms += (at - now).max(0);
        numbers.ttl_samples += 1;
    }
}

/// Appends lines of `name:value`.
macro_rules! fields {
    ($out:expr, $($name:literal: $value:expr,)+) => {
        // Writing to a string cannot fail.
        $( let _ = write!($out, concat!($name, ":{}\r\n"), $value); )+
    };
}

fn section(numbers: &Numbers<'_>, name: &str, out: &mut String) {
    match name {
        "server" => server(numbers, out),
        "clients" => clients(numbers, out),
        "memory" => memory(numbers, out),
        "persistence" => persistence(numbers, out),
        "threads" => threads(numbers, out),
        "stats" => stats(numbers, out),
        "replication" => replication(numbers, out),
        "cpu" => cpu(numbers, out),
        "modules" => out.push_str("# Modules\r\n"),
        "commandstats" => commandstats(numbers, out),
        "errorstats" => errorstats(numbers, out),
        "latencystats" => latencystats(numbers, out),
        "cluster" => out.push_str("# Cluster\r\ncluster_enabled:0\r\n"),
        "keysizes" => numbers.sizes.write(out),
        _ => keyspace(numbers, out),
    }
}

fn server(numbers: &Numbers<'_>, out: &mut String) {
    let (facts, turn) = (&numbers.facts, numbers.turn);
    let now_us = turn.lp.now.unix_us;
    let uptime = turn.lp.now.unix_ms / 1000 - facts.started_s;
    let config = turn.engine.config.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let file = config.file().map(|p| p.display().to_string()).unwrap_or_default();
    drop(config);
    let compat = turn.live().settings.compat;
    out.push_str("# Server\r\n");
    if compat == Compat::Valkey9 {
        fields!(out, "valkey_version": VALKEY, "valkey_release_stage": "ga",);
    }
    fields!(out,
        "redis_version": compat.redis_version(),
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": "0",
        "redis_mode": "standalone",
        "ochre_version": crate::version::OCHRE,
        "server_name": if compat == Compat::Valkey9 { "valkey" } else { "ochre" },
        "server_mode": "standalone",
        "os": facts.os,
        "arch_bits": usize::BITS,
        "monotonic_clock": "processor counter",
        "multiplexing_api": "epoll",
        "atomicvar_api": "rust",
        "gcc_version": "0.0.0",
        "process_id": facts.pid,
        "process_supervised": facts.supervised,
        "run_id": facts.run_id,
        "tcp_port": facts.port,
        "server_time_usec": now_us,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86_400,
        "hz": turn.live().settings.hz,
        "configured_hz": turn.live().settings.hz,
        "clients_hz": 1,
        "lru_clock": turn.lp.access_clock().seconds & 0xFF_FFFF,
        "executable": facts.executable,
        "config_file": file,
        "io_threads_active": u8::from(turn.engine.mailboxes.len() > 1),
    );
    if let Some(left_ms) = turn.engine.shutdown.left_ms(turn.lp.now.unix_ms) {
        fields!(out, "shutdown_in_milliseconds": left_ms,);
    }
    for (at, listener) in facts.listeners.iter().enumerate() {
        let _ = write!(out, "listener{at}:{listener}\r\n");
    }
}

fn clients(numbers: &Numbers<'_>, out: &mut String) {
    let engine = numbers.turn.engine;
    let all = engine.clients.all();
    let largest = |pick: fn(&crate::session::ClientInfo) -> u64| {
        all.iter().map(|info| pick(info)).max().unwrap_or(0)
    };
    let watching = all.iter().filter(|info| info.watching.load(Ordering::Relaxed) > 0).count();
    let timed = all.iter().filter(|info| info.has_flag(crate::session::FLAG_BLOCKED)).count();
    let now = numbers.turn.lp.now.unix_ms;
    let (kind, reason) = match engine.pause(now) {
        Pause::Off => ("none", "none"),
        Pause::Write => ("write", "client_pause"),
        Pause::All => ("all", "client_pause"),
    };
    let left = if kind == "none" { 0 } else { (engine.pause_until_ms() - now).max(0) };
    out.push_str("# Clients\r\n");
    fields!(out,
        "connected_clients": all.len(),
        "cluster_connections": 0,
        "maxclients": numbers.turn.live().settings.maxclients,
        "client_recent_max_input_buffer": largest(|i| i.query_bytes.load(Ordering::Relaxed)),
        "client_recent_max_output_buffer": largest(|i| i.output_bytes.load(Ordering::Relaxed)),
        "blocked_clients": engine.blocked.load(Ordering::Relaxed),
        "tracking_clients": engine.tracking.clients.load(Ordering::Relaxed),
        "pubsub_clients": engine.pubsub_clients.load(Ordering::Relaxed),
        "watching_clients": watching,
        "clients_in_timeout_table": timed,
        "total_watched_keys": all.iter().map(|i| i.watching.load(Ordering::Relaxed)).sum::<u32>(),
        "total_blocking_keys": timed,
        "total_blocking_keys_on_nokey": 0,
        "paused_reason": reason,
        "paused_actions": kind,
        "paused_timeout_milliseconds": left,
    );
}

/// Bytes in the form that INFO shows beside the number.
pub(crate) fn human(bytes: usize) -> String {
    let units = ["B", "K", "M", "G", "T", "P"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes}B") } else { format!("{value:.2}{}", units[unit]) }
}

fn memory(numbers: &Numbers<'_>, out: &mut String) {
    let (facts, turn) = (&numbers.facts, numbers.turn);
    let used = numbers.used;
    let peak = ochre_base::memory::peak();
    let (mut clients, mut replicas) = (0, 0);
    for info in turn.engine.clients.all() {
        let bytes = info.memory.load(Ordering::Relaxed);
        clients += bytes;
        replicas += if info.has_flag(crate::session::FLAG_REPLICA) { bytes } else { 0 };
    }
    let log = &turn.engine.log;
    let backlog = if log.is_kept() { log.end() - log.start() } else { 0 };
    let backlog_max = log.limit() as u64;
    let overhead = facts.startup_memory + numbers.overhead + clients as usize;
    let dataset = used.saturating_sub(overhead);
    let net = used.saturating_sub(facts.startup_memory).max(1);
    let ratio = |a: usize, b: usize| a as f64 / b.max(1) as f64;
    let maxmemory = turn.live().maxmemory;
    let scripts = turn.engine.scripts.facts();
    let script_bytes = scripts.script_bytes + scripts.library_bytes;
    out.push_str("# Memory\r\n");
    fields!(out,
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": facts.resident,
        "used_memory_rss_human": human(facts.resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_perc": format!("{:.2}%", 100.0 * ratio(used, peak)),
        "used_memory_overhead": overhead,
        "used_memory_startup": facts.startup_memory,
        "used_memory_dataset": dataset,
        "used_memory_dataset_perc": format!("{:.2}%", 100.0 * ratio(dataset, net)),
        "allocator_allocated": facts.allocated,
        "allocator_active": facts.active,
        "allocator_resident": facts.allocator_resident,
        "allocator_muzzy": 0,
        "total_system_memory": facts.system_memory,
        "total_system_memory_human": human(facts.system_memory),
        "used_memory_lua": scripts.interpreter_bytes,
        "used_memory_vm_eval": scripts.interpreter_bytes,
        "used_memory_lua_human": human(scripts.interpreter_bytes),
        "used_memory_scripts_eval": scripts.script_bytes,
        "number_of_cached_scripts": scripts.scripts,
        "number_of_functions": scripts.functions,
        "number_of_libraries": scripts.libraries,
        "used_memory_vm_functions": 0,
        "used_memory_vm_total": scripts.interpreter_bytes,
        "used_memory_vm_total_human": human(scripts.interpreter_bytes),
        "used_memory_functions": scripts.library_bytes,
        "used_memory_scripts": script_bytes,
        "used_memory_scripts_human": human(script_bytes),
        "maxmemory": maxmemory,
        "maxmemory_human": human(maxmemory),
        "maxmemory_policy": policy_name(turn),
        "allocator_frag_ratio": format!("{:.2}", ratio(facts.active, facts.allocated)),
        "allocator_frag_bytes": facts.active.saturating_sub(facts.allocated),
        "allocator_rss_ratio": format!("{:.2}", ratio(facts.allocator_resident, facts.active)),
        "allocator_rss_bytes": facts.allocator_resident as i64 - facts.active as i64,
        "rss_overhead_ratio": format!("{:.2}", ratio(facts.resident, facts.allocator_resident)),
        "rss_overhead_bytes": facts.resident as i64 - facts.allocator_resident as i64,
        "mem_fragmentation_ratio": format!("{:.2}", ratio(facts.resident, used)),
        "mem_fragmentation_bytes": facts.resident as i64 - used as i64,
        "mem_not_counted_for_evict": 0,
        "mem_replication_backlog": backlog.min(backlog_max),
        "mem_total_replication_buffers": backlog,
        "mem_clients_slaves": replicas,
        "mem_clients_normal": clients.saturating_sub(replicas),
        "mem_cluster_links": 0,
        "mem_aof_buffer": 0,
        "mem_overhead_db_hashtable_rehashing": 0,
        "mem_allocator": "jemalloc-5.3.0",
        "active_defrag_running": 0,
        "lazyfree_pending_objects": lazyfree::pending(),
        "lazyfreed_objects": lazyfree::freed(),
    );
}

fn policy_name(turn: &Turn<'_>) -> String {
    let config = turn.engine.config.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let shown = config.show(ochre_config::table::id("maxmemory-policy"));
    String::from_utf8_lossy(&shown).into_owned()
}

fn persistence(numbers: &Numbers<'_>, out: &mut String) {
    let engine = numbers.turn.engine;
    let (saves, under_way) = (engine.saves.state(), engine.saves.is_under_way());
    let now_s = numbers.turn.lp.now.unix_ms / 1000;
    let (aof_on, aof_bytes, aof_base_bytes) = engine.host.aof_facts();
    let under_way = under_way && !saves.is_rewrite;
    out.push_str("# Persistence\r\n");
    fields!(out,
        "loading": u8::from(engine.loading.is_on()),
        "async_loading": u8::from(engine.loading.is_aside()),
        "current_cow_peak": 0,
        "current_cow_size": 0,
        "current_cow_size_age": 0,
        "current_fork_perc": "0.00",
        "current_save_keys_processed": 0,
        "current_save_keys_total": 0,
        "rdb_changes_since_last_save": engine.saves.dirty(engine),
        "rdb_bgsave_in_progress": u8::from(under_way),
        "rdb_last_save_time": saves.last_s,
        "rdb_last_bgsave_status": if engine.saves.has_failed() { "err" } else { "ok" },
        "rdb_last_bgsave_time_sec": saves.took_s.unwrap_or(-1),
        "rdb_current_bgsave_time_sec": if under_way { now_s - saves.began_s } else { -1 },
        "rdb_saves": saves.count,
        "rdb_last_cow_size": 0,
        "rdb_last_load_keys_expired": saves.expired_keys,
        "rdb_last_load_keys_loaded": saves.loaded_keys,
        "aof_enabled": u8::from(aof_on),
        "aof_rewrite_in_progress": u8::from(saves.is_rewrite),
        "aof_rewrite_scheduled": u8::from(saves.rewrite_scheduled),
        "aof_last_rewrite_time_sec": saves.rewrite_took_s.unwrap_or(-1),
        "aof_current_rewrite_time_sec": if saves.is_rewrite { now_s - saves.began_s } else { -1 },
        "aof_last_bgrewrite_status": if saves.rewrite_failed { "err" } else { "ok" },
        "aof_rewrites": saves.rewrites,
        "aof_rewrites_consecutive_failures": 0,
        "aof_last_write_status": if engine.saves.aof_error().is_some() { "err" } else { "ok" },
        "aof_last_cow_size": 0,
        "module_fork_in_progress": 0,
        "module_fork_last_cow_size": 0,
    );
    let backup = &saves.backup;
    fields!(out,
        "backup_enabled": u8::from(backup.enabled),
        "backup_in_progress": u8::from(backup.in_progress),
        "backup_last_time": backup.last_s,
        "backup_last_status": if backup.error.is_empty() { "ok" } else { "err" },
        "backup_last_error": backup.error,
        "backup_last_size": backup.last_bytes,
        "backup_last_url": backup.last_url,
        "backup_next_time": backup.next_s,
    );
    if aof_on {
        fields!(out,
            "aof_current_size": aof_bytes,
            "aof_base_size": aof_base_bytes,
            "aof_pending_rewrite": 0,
            "aof_buffer_length": 0,
            "aof_pending_bio_fsync": 0,
            "aof_delayed_fsync": 0,
        );
    }
    if let Some(progress) = engine.loading.progress() {
        fields!(out,
            "loading_start_time": progress.began_s,
            "loading_total_bytes": progress.total_bytes,
            "loading_rdb_used_mem": progress.used_memory,
            "loading_loaded_bytes": progress.loaded_bytes,
            "loading_loaded_perc": format!("{:.2}", progress.percent()),
            "loading_eta_seconds": progress.eta_s(now_s),
        );
    }
}

fn threads(numbers: &Numbers<'_>, out: &mut String) {
    out.push_str("# Threads\r\n");
    let engine = numbers.turn.engine;
    let clients = engine.clients.all();
    for index in 0..engine.mailboxes.len() as u16 {
        let own = clients.iter().filter(|info| info.event_loop == index).count();
        let (reads, writes) = {
            let stats = engine.stats(index);
            (stats.reads, stats.writes)
        };
        let _ = write!(out, "io_thread_{index}:clients={own},reads={reads},writes={writes}\r\n");
    }
}

fn stats(numbers: &Numbers<'_>, out: &mut String) {
    let stats = &numbers.stats;
    let engine = numbers.turn.engine;
    let rates = engine.rates();
    let denied = |reason| engine.acl.denied(reason);
    out.push_str("# Stats\r\n");
    fields!(out,
        "total_connections_received": stats.connections,
        "total_commands_processed": stats.total_commands,
        "instantaneous_ops_per_sec": rates.commands,
        "total_net_input_bytes": stats.net_in,
        "total_net_output_bytes": stats.net_out,
        "total_net_repl_input_bytes": 0,
        "total_net_repl_output_bytes": 0,
        "instantaneous_input_kbps": format!("{:.2}", rates.net_in as f64 / 1024.0),
        "instantaneous_output_kbps": format!("{:.2}", rates.net_out as f64 / 1024.0),
        "instantaneous_input_repl_kbps": "0.00",
        "instantaneous_output_repl_kbps": "0.00",
        "rejected_connections": stats.rejected_connections,
        "tls_handshake_failures": stats.tls_handshake_failures,
        "sync_full": engine.replicas.full.load(Ordering::Relaxed),
        "sync_partial_ok": engine.replicas.partial.load(Ordering::Relaxed),
        "sync_partial_err": engine.replicas.refused.load(Ordering::Relaxed),
        "expired_keys": stats.expired_keys,
        "expired_subkeys": stats.expired_fields,
        "expired_fields": stats.expired_fields,
        "expired_stale_perc": "0.00",
        "expired_time_cap_reached_count": stats.expire_time_cap_reached,
        "expire_cycle_cpu_milliseconds": stats.expire_cycle_us / 1000,
        "evicted_keys": stats.evicted_keys,
        "evicted_clients": stats.evicted_clients,
        "evicted_scripts": numbers.turn.engine.scripts.facts().evicted,
        "total_eviction_exceeded_time": stats.eviction_exceeded_ms,
        "current_eviction_exceeded_time": 0,
        "keyspace_hits": stats.keyspace_hits,
        "keyspace_misses": stats.keyspace_misses,
        "pubsub_channels": engine.channels.count(Kind::Channel),
        "pubsub_patterns": engine.channels.count(Kind::Pattern),
        "pubsubshard_channels": engine.channels.count(Kind::Shard),
        "latest_fork_usec": 0,
        "total_forks": 0,
        "migrate_cached_sockets": numbers.turn.engine.host.migrate_connections(),
        "slave_expires_tracked_keys": 0,
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "total_active_defrag_time": 0,
        "current_active_defrag_time": 0,
        "tracking_total_keys": numbers.tracked.0,
        "tracking_total_items": numbers.tracked.1,
        "tracking_total_prefixes": engine.tracking.prefixes.count(),
        "unexpected_error_replies": 0,
        "total_error_replies": stats.error_replies,
        "dump_payload_sanitizations": 0,
        "total_reads_processed": stats.reads,
        "total_writes_processed": stats.writes,
        "io_threaded_reads_processed": 0,
        "io_threaded_writes_processed": 0,
        "client_query_buffer_limit_disconnections": stats.query_limit_disconnections,
        "client_output_buffer_limit_disconnections": stats.output_limit_disconnections,
        "reply_buffer_shrinks": 0,
        "reply_buffer_expands": 0,
        "eventloop_cycles": stats.cycles,
        "eventloop_duration_sum": stats.cycle_us,
        "eventloop_duration_cmd_sum": stats.command_us,
        "instantaneous_eventloop_cycles_per_sec": rates.cycles,
        "instantaneous_eventloop_duration_usec": stats.cycle_us / stats.cycles.max(1),
        "acl_access_denied_auth": denied(Reason::Auth),
        "acl_access_denied_cmd": denied(Reason::Command),
        "acl_access_denied_key": denied(Reason::Key),
        "acl_access_denied_channel": denied(Reason::Channel),
        "acl_access_denied_tls_cert": denied(Reason::TlsCert),
        "acl_access_denied_db": denied(Reason::Database),
    );
}

fn replication(numbers: &Numbers<'_>, out: &mut String) {
    let engine = numbers.turn.engine;
    let replicas = engine.replicas.all();
    let (start, end) = (engine.log.start(), engine.log.end());
    let now_ms = numbers.turn.lp.now.unix_ms;
    out.push_str("# Replication\r\n");
    match engine.following.primary() {
        Some(primary) => following(numbers, &primary, out),
        None => out.push_str("role:master\r\n"),
    }
    fields!(out, "connected_slaves": replicas.len(),);
    let settings = &numbers.turn.live().settings;
    if settings.min_replicas > 0 {
        let since = now_ms - settings.min_replicas_lag_ms;
        let good = replicas.iter().filter(|replica| replica.is_good(since)).count();
        fields!(out, "min_slaves_good_slaves": good,);
    }
    for (at, replica) in replicas.iter().enumerate() {
        let lag_ms = now_ms - replica.acknowledged_ms.load(Ordering::Relaxed);
        let state = replica.state();
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "slave{at}:ip={},port={},state={state},offset={},lag={}",
            replica.ip,
            replica.port.load(Ordering::Relaxed),
            replica.acknowledged.load(Ordering::Relaxed),
            lag_ms / 1000,
        );
        out.push_str(if settings.compat == Compat::Valkey9 { ",type=replica\r\n" } else { "\r\n" });
    }
    let history = engine.replicas.history();
    let (before, until) = match history.before {
        Some((id, until)) => (id, until as i64 + 1),
        None => ("0".repeat(40), -1),
    };
    if settings.compat == Compat::Valkey9 {
        let waiting = replicas.iter().filter(|r| !r.online.load(Ordering::Relaxed)).count();
        fields!(out, "replicas_waiting_psync": waiting,);
    }
    fields!(out,
        "master_failover_state": engine.failover.name(),
        "master_replid": history.id,
        "master_replid2": before,
        "master_repl_offset": end,
        "second_repl_offset": until,
        "repl_backlog_active": u8::from(engine.log.is_kept()),
        "repl_backlog_size": engine.log.limit(),
        "repl_backlog_first_byte_offset": if engine.log.is_kept() { start + 1 } else { 0 },
        "repl_backlog_histlen": end - start,
    );
}

/// The link of a replica.
fn following(numbers: &Numbers<'_>, primary: &Primary, out: &mut String) {
    let engine = numbers.turn.engine;
    let now_ms = numbers.turn.lp.now.unix_ms;
    let (view, replica) = (engine.following.view(), &numbers.turn.live().settings.replica);
    let up = view.state == LinkState::Connected;
    let received = if up { view.received } else { engine.log.end() };
    fields!(out,
        "role": "slave",
        "master_host": primary.host,
        "master_port": primary.port,
        "master_link_status": if up { "up" } else { "down" },
        "master_last_io_seconds_ago": if up { (now_ms - view.last_io_ms).max(0) / 1000 } else { -1 },
        "master_sync_in_progress": u8::from(view.state == LinkState::Sync),
        "slave_read_repl_offset": received,
        "slave_repl_offset": engine.log.end(),
    );
    if let Some(incoming) = view.incoming {
        let total = incoming.total_bytes.unwrap_or(0);
        let percent = 100.0 * incoming.read_bytes as f64 / total.max(1) as f64;
        fields!(out,
            "master_sync_total_bytes": total,
            "master_sync_read_bytes": incoming.read_bytes,
            "master_sync_left_bytes": total as i64 - incoming.read_bytes as i64,
            "master_sync_perc": format!("{:.2}", if total > 0 { percent } else { 0.0 }),
            "master_sync_last_io_seconds_ago": (now_ms - view.last_io_ms).max(0) / 1000,
        );
    }
    if !up {
        let since = if view.down_since_ms > 0 { (now_ms - view.down_since_ms) / 1000 } else { -1 };
        fields!(out, "master_link_down_since_seconds": since,);
    }
    fields!(out,
        "slave_priority": replica.priority,
        "slave_read_only": u8::from(replica.read_only),
        "replica_announced": u8::from(replica.announced),
    );
}

fn cpu(numbers: &Numbers<'_>, out: &mut String) {
    let (system, user) = numbers.facts.cpu;
    out.push_str("# CPU\r\n");
    fields!(out,
        "used_cpu_sys": format!("{system:.6}"),
        "used_cpu_user": format!("{user:.6}"),
        "used_cpu_sys_children": "0.000000",
        "used_cpu_user_children": "0.000000",
        "used_cpu_sys_main_thread": format!("{system:.6}"),
        "used_cpu_user_main_thread": format!("{user:.6}"),
    );
}

fn commandstats(numbers: &Numbers<'_>, out: &mut String) {
    out.push_str("# Commandstats\r\n");
    for row in numbers.turn.engine.registry.rows() {
        let stats = &numbers.stats.commands[usize::from(row.id)];
        if stats.calls == 0 && stats.rejected == 0 {
            continue;
        }
        let us = stats.time_ns as f64 / 1000.0;
        let _ = write!(
            out,
            "cmdstat_{}:calls={},usec={},usec_per_call={:.2},rejected_calls={},failed_calls={}\r\n",
            row.full_name,
            stats.calls,
            us as u64,
            us / stats.calls.max(1) as f64,
            stats.rejected,
            stats.failed
        );
    }
}

fn errorstats(numbers: &Numbers<'_>, out: &mut String) {
    out.push_str("# Errorstats\r\n");
    for (code, count) in &numbers.stats.errors {
        let _ = write!(out, "errorstat_{code}:count={count}\r\n");
    }
}

fn latencystats(numbers: &Numbers<'_>, out: &mut String) {
    out.push_str("# Latencystats\r\n");
    for row in numbers.turn.engine.registry.rows() {
        let stats = &numbers.stats.commands[usize::from(row.id)];
        let Some(latency) = &stats.latency else { continue };
        let percentiles: Vec<String> = numbers
            .turn
            .live()
            .settings
            .latency_percentiles
            .iter()
            .map(|p| format!("p{p}={:.3}", latency.value_at_quantile(p / 100.0) as f64 / 1000.0))
            .collect();
        let name = &row.full_name;
        let _ = write!(out, "latency_percentiles_usec_{name}:{}\r\n", percentiles.join(","));
    }
}

fn keyspace(numbers: &Numbers<'_>, out: &mut String) {
    out.push_str("# Keyspace\r\n");
    for (index, db) in numbers.dbs.iter().enumerate() {
        if db.keys > 0 {
            let average = db.ttl_sum_ms / db.ttl_samples.max(1);
            let _ = write!(
                out,
                "db{index}:keys={},expires={},avg_ttl={average},subexpiry=0\r\n",
                db.keys, db.expires
            );
        }
    }
}
