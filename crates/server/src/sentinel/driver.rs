//! The loop of a sentinel: sockets, time, and doing what the state machine wants done.
//!
//! Order matters: outputs are done one after the other, and the reply to a command is sent after them, so that nothing
//! is told that is not written.
//!
//! Limits: `maxclients` clients. Timers: the state machine says when it wants to be called next, at most 100 ms later.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Token};
use ochre_acl::{Context, Users};
use ochre_base::clock::Now;
use ochre_base::glob::{Case, matches};
use ochre_config::{Config, Settings};
use ochre_engine::registry::Registry;
use ochre_net::socket::Socket;
use ochre_resp::Reply;
use ochre_sentinel::{Level, LinkId, Output, Sentinel};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::client::{Client, Request};
use super::link::{Link, News};
use super::scripts::Scripts;
use super::{acl, file, start, table};
use crate::clock::Clock;
use crate::host::reason;
use crate::listening::{FIRST_TOKEN, Listening};
use crate::{log, open_files, tls};

/// Files that links may take beside those of clients.
const LINKS: u32 = 1000;

/// See the module's head.
pub(super) struct Driver {
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) path: PathBuf,
    pub(super) machine: Sentinel,
    pub(super) registry: Registry,
    pub(super) users: Users,
    /// Users have changed since the file was written.
    pub(super) users_changed: bool,
    poll: Poll,
    listening: &'static Listening,
    pub(super) clients: BTreeMap<u64, Client>,
    next_client: u64,
    links: BTreeMap<LinkId, Link>,
    /// Links whose last handshake failed, which was logged.
    strangers: BTreeSet<LinkId>,
    scripts: Scripts,
    stop: Arc<AtomicBool>,
    /// The last writing of the file failed.
    pub(super) unsaved: bool,
    pub(super) run_id: String,
    pub(super) connections: u64,
    pub(super) commands: u64,
}

fn client_token(id: u64) -> Token {
    Token((id as usize) << 1)
}

fn link_token(id: LinkId) -> Token {
    Token((id as usize) << 1 | 1)
}

impl Driver {
    /// Opens the sockets, and writes the state for the first time.
    pub(super) fn new(clock: Clock, config: Config, machine: Sentinel) -> Result<Self, String> {
        let settings = Settings::of(&config);
        let path = config.file().map(std::path::Path::to_owned).ok_or("no configuration file")?;
        if let Err(most) = open_files::allow(settings.maxclients + LINKS, 1) {
            log::warning(&format!("The system allows about {most} connections only."));
        }
        let poll = Poll::new().map_err(|error| reason(&error))?;
        let registry = poll.registry().try_clone().map_err(|error| reason(&error))?;
        // The thread that looks at the files of TLS has it, too; there is one for the life of the process.
        let listening: &'static Listening = Box::leak(Box::new(Listening::new(registry)));
        let accepts = tls::Tls::prepare(&settings)
            .map_err(|_| "Failed to configure TLS. Check logs for more info.".to_owned())?;
        listening.tls.put(accepts);
        listening.change(&settings).map_err(|_| {
            format!("Failed listening on port {} (TCP), aborting.", machine.globals().port)
        })?;
        let registry = Registry::new(&[table::COMMANDS], &[]);
        let context = context(&registry, &settings);
        let users = acl::load(&settings, config.users(), context)?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .map_err(|error| reason(&error))?;
        }
        let mut driver = Self {
            clock,
            settings,
            path,
            machine,
            registry,
            users,
            users_changed: false,
            poll,
            listening,
            clients: BTreeMap::new(),
            next_client: 1,
            links: BTreeMap::new(),
            strangers: BTreeSet::new(),
            scripts: Scripts::default(),
            stop,
            unsaved: false,
            run_id: start::random_hex(20)?,
            connections: 0,
            commands: 0,
        };
        driver.save();
        if driver.unsaved {
            return Err("The configuration file cannot be written. Exiting...".to_owned());
        }
        log::notice(&format!("Sentinel ID is {}", driver.machine.globals().myid));
        driver.machine.announce_start();
        driver.perform();
        Ok(driver)
    }

    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(super) fn now_ms(&self) -> i64 {
        (self.now().mono_us / 1000) as i64
    }

    /// Runs until the process is told to end.
    pub(super) fn run(mut self) -> Result<(), String> {
        let mut events = Events::with_capacity(256);
        let mut next_tick = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let wait = (next_tick - self.now_ms()).clamp(0, 100) as u64;
            match self.poll.poll(&mut events, Some(Duration::from_millis(wait))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(format!("waiting for sockets: {error}"));
                }
                _ => {}
            }
            for event in &events {
                self.on_event(event.token());
            }
            if self.now_ms() >= next_tick {
                let delay = self.machine.tick(self.now());
                self.perform();
                for (job, ending) in self.scripts.ended() {
                    self.machine.script_ended(self.now(), job, ending);
                }
                self.perform();
                next_tick = self.now_ms() + delay;
                // An edge of a listener may have told of more than were taken.
                self.accept_all();
                self.close_idle();
                self.close_overdue();
                let unix_ms = self.now().unix_ms;
                self.listening.tls.reload_when_due(&self.settings.tls, unix_ms);
            }
            self.flush_clients();
        }
        self.save();
        Ok(())
    }

    /// Ends the loop.
    pub(super) fn shut_down(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn on_event(&mut self, token: Token) {
        match token.0 {
            FIRST_TOKEN.. => self.accept(token.0),
            number if number & 1 == 1 => self.on_link((number >> 1) as LinkId),
            number => self.on_client((number >> 1) as u64),
        }
    }

    // Clients.

    fn accept_all(&mut self) {
        for token in FIRST_TOKEN..FIRST_TOKEN + 40 {
            self.accept(token);
        }
    }

    fn accept(&mut self, token: usize) {
        loop {
            match self.listening.accept(token) {
                Ok(Some(socket)) => self.welcome(socket),
                Ok(None) => return,
                Err(error) => {
                    log::verbose(&format!("Accepting client connection: {}", reason(&error)));
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, mut socket: Socket) {
        self.connections += 1;
        let context = context(&self.registry, &self.settings);
        let user = self.users.default_user(context);
        if self.clients.len() >= self.settings.maxclients as usize {
            // Whoever cannot be told is closed all the same.
            drop(socket.write(b"-ERR max number of clients reached\r\n"));
            return;
        }
        if self.settings.protected_mode && user.needs_no_password() && !socket.is_local() {
            drop(socket.write(
                b"-DENIED Ochre Sentinel is running in protected mode and no password is set for the \
                  default user: connections are only accepted from the loopback interface.\r\n",
            ));
            return;
        }
        self.next_client += 1;
        let id = self.next_client;
        let ready = socket
            .prepare(self.settings.tcp_keepalive_s)
            .and_then(|()| socket.register(self.poll.registry(), client_token(id)));
        if let Err(error) = ready {
            log::verbose(&format!("A new client's socket: {}", reason(&error)));
            return;
        }
        let now_ms = self.now_ms();
        self.clients.insert(id, Client::new(id, socket, user, now_ms));
        self.on_client(id);
    }

    fn on_client(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match client.read() {
            Ok(open) => {
                self.run_requests(id);
                if !open {
                    self.clients.remove(&id);
                }
            }
            Err(error) => {
                log::verbose(&format!("A client is closed: {}", reason(&error)));
                self.clients.remove(&id);
            }
        }
    }

    fn run_requests(&mut self, id: u64) {
        loop {
            let Some(client) = self.clients.get_mut(&id) else { return };
            if client.closing {
                return;
            }
            match client.next_request() {
                Request::Nothing => return,
                Request::Command(words) => {
                    let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                    self.run_command(id, &args);
                }
            }
        }
    }

    fn flush_clients(&mut self) {
        self.clients.retain(|_, client| match client.flush() {
            Ok(stays) => stays,
            Err(error) => {
                log::verbose(&format!("A client is closed: {}", reason(&error)));
                false
            }
        });
    }

    fn close_idle(&mut self) {
        let (now_ms, timeout_s) = (self.now_ms(), self.settings.timeout_s as i64);
        if timeout_s > 0 {
            self.clients.retain(|_, client| {
                client.is_listening() || now_ms - client.active_ms <= timeout_s * 1000
            });
        }
    }

    // Links.

    fn open(&mut self, id: LinkId, ip: &str, port: u16) {
        let place = (self.poll.registry(), link_token(id));
        let now_ms = self.now_ms();
        let opened = match self.settings.tls.replication {
            false => Link::open((ip, port), None, place, now_ms),
            true => self
                .listening
                .tls
                .connector()
                .and_then(|connector| Link::open((ip, port), Some(&connector), place, now_ms)),
        };
        match opened {
            Ok(link) => drop(self.links.insert(id, link)),
            Err(error) => {
                log::debug(&format!("Connecting to {ip}:{port}: {}", reason(&error)));
                self.machine.disconnected(self.now(), id);
            }
        }
    }

    fn on_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let mut news = Vec::new();
        let result = link.on_event(&mut news);
        for one in news {
            match one {
                News::Opened(local) => {
                    self.strangers.remove(&id);
                    self.machine.connected(self.now(), id, &local);
                }
                News::Reply(value) => self.machine.reply(self.now(), id, &value),
            }
            self.perform();
        }
        if let Err(error) = result {
            self.lose(id, &error);
        }
    }

    fn lose(&mut self, id: LinkId, error: &io::Error) {
        if let Some(link) = self.links.remove(&id) {
            let line = format!("A link to {} is closed: {}", link.addr(), reason(error));
            // It is tried again each second, and would fill the log.
            if link.is_handshaking() && self.strangers.insert(id) {
                log::warning(&format!("{line} (TLS handshake)"));
            } else {
                log::debug(&line);
            }
            self.machine.disconnected(self.now(), id);
        }
    }

    /// Ends handshakes that take too long.
    fn close_overdue(&mut self) {
        let now_ms = self.now_ms();
        let overdue = |(id, link): (&LinkId, &Link)| link.is_overdue(now_ms).then_some(*id);
        let overdue: Vec<LinkId> = self.links.iter().filter_map(overdue).collect();
        for id in overdue {
            self.lose(id, &io::Error::from(io::ErrorKind::TimedOut));
        }
    }

    // What the state machine wants done.

    /// Does it all, in order; false when the state could not be written.
    pub(super) fn perform(&mut self) -> bool {
        let mut saved = true;
        loop {
            let outputs = self.machine.outputs();
            if outputs.is_empty() {
                return saved;
            }
            for output in outputs {
                match output {
                    Output::Open { link, ip, port } => self.open(link, &ip, port),
                    Output::Close { link } => {
                        self.links.remove(&link);
                        self.strangers.remove(&link);
                    }
                    Output::Send { link, request } => {
                        let sent = self.links.get_mut(&link).map(|link| link.send(&request));
                        if let Some(Err(error)) = sent {
                            self.lose(link, &error);
                        }
                    }
                    Output::Persist => {
                        self.save();
                        saved &= !self.unsaved;
                    }
                    Output::Event { level, name, text } => self.tell(level, &name, &text),
                    Output::Run { job, argv } => match self.scripts.start(job, &argv) {
                        Ok(pid) => self.machine.script_started(job, pid),
                        Err(ending) => self.machine.script_ended(self.now(), job, ending),
                    },
                    Output::Kill { job } => self.scripts.kill(job),
                    Output::Crash => {
                        log::warning("Simulating a failure: the process ends here.");
                        std::process::exit(99);
                    }
                }
            }
        }
    }

    /// Writes the state to the file.
    pub(super) fn save(&mut self) {
        let lines = self.users_changed.then(|| acl::lines(&self.users, &self.settings));
        match file::save(&self.path, &self.machine, lines.as_deref()) {
            Ok(()) => {
                self.unsaved = false;
                self.users_changed = false;
                log::notice("Sentinel new configuration saved on disk");
            }
            Err(error) => {
                self.unsaved = true;
                log::warning(&format!(
                    "WARNING: Sentinel was not able to save the new configuration on disk!!!: {}",
                    reason(&error)
                ));
            }
        }
    }

    /// Logs an event, and publishes it.
    fn tell(&mut self, level: Level, name: &str, text: &str) {
        let line = if name.is_empty() { text.to_owned() } else { format!("{name} {text}") };
        match level {
            Level::Debug => log::notice(&line),
            Level::Verbose => log::verbose(&line),
            Level::Notice => log::notice(&line),
            Level::Warning => log::warning(&line),
        }
        if !name.is_empty() && level > Level::Debug {
            self.publish(name.as_bytes(), text.as_bytes());
        }
    }

    fn publish(&mut self, channel: &[u8], text: &[u8]) {
        for client in self.clients.values_mut() {
            if client.channels.contains(channel) {
                let mut reply = Reply::new(&mut client.output, client.protocol);
                reply.push(3);
                for part in [b"message", channel, text] {
                    reply.bulk(part);
                }
            }
            for pattern in &client.patterns {
                if matches(pattern, channel, Case::Sensitive) {
                    let mut reply = Reply::new(&mut client.output, client.protocol);
                    reply.push(4);
                    for part in [b"pmessage", pattern.as_slice(), channel, text] {
                        reply.bulk(part);
                    }
                }
            }
        }
    }
}

/// What rules of users are read against.
pub(super) fn context<'a>(registry: &'a Registry, settings: &Settings) -> Context<'a> {
    Context { commands: registry, all_channels: settings.acl_all_channels, terse: false }
}
