//! The `ochre-server` process: argument list, configuration, log, threads, signals.

mod allocator;
mod background;
mod boot;
mod check;
mod clock;
mod connection;
mod crash;
mod event_loop;
mod fault;
mod floor;
mod host;
mod huge_pages;
mod in_process;
mod link;
mod listening;
mod log;
mod maintenance;
mod open_files;
mod persist;
mod sentinel;
mod serve;
mod signals;
mod supervise;
mod syslog;
#[cfg(test)]
mod testing;
mod tls;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

fn main() -> std::process::ExitCode {
    boot::run()
}
