//! The `ochre-server` process: argument list, configuration, log, threads, signals.

mod allocator;
mod boot;
mod clock;
mod connection;
mod event_loop;
mod floor;
mod host;
mod log;
mod maintenance;
mod signals;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

fn main() -> std::process::ExitCode {
    boot::run()
}
