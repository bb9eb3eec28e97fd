//! The engine's life: registers the worker, claims what is due, stops in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::durable_fn::Code;
use super::execution::Active;
use super::figures::{self, Meter};
use super::handle::Handle;
use super::heartbeat;
use super::journal::Journal;
use super::life::{Adrift, Core, Life};
use super::options::{Options, Ports};
use super::progress::Progress;
use super::repair::BulkWorker;
use super::retention;
use super::schedules::Scheduler;
use crate::interpreter::{Effect, Event};
use crate::routines::Routines;
use crate::store::{Beat, Claim, ClaimRequest, Loaded};
use crate::{Error, ErrorKind, WorkerId};

/// Executions claimed at once, so that one worker does not take a long queue away
/// from the others.
const CLAIM_MAX: usize = 128;

/// Entries that wait for the journal before less is claimed: more would only make each
/// wait longer, those of small tenants among them.
const WAITING_MAX: usize = 64;

/// The part of the polling time after which the worker looks again at the earliest: what
/// becomes due close together is taken on together.
const POLL_PARTS: i32 = 20;

/// The part of the polling time after which a worker that is always busy asks for what
/// other processes have put for the executions that it has in memory.
const FETCH_PARTS: i32 = 4;

/// How long an execution that this engine cannot load waits for another one.
pub(super) const UNREADABLE_WAIT: Duration = Duration::from_secs(30);

/// How long an execution whose durable function this engine lacks waits for another one.
pub(super) const LACKING_WAIT: Duration = Duration::from_secs(2);

/// A running engine. Dropping it ends the work like a crash; [`stop`](Self::stop)
/// ends it in order.
#[derive(Debug)]
pub struct Engine {
    core: Arc<Core>,
    draining: CancellationToken,
    works: bool,
}

impl Engine {
    /// Starts an engine with a worker: it takes on executions.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) for wrong options, or what the store says
    /// when the worker cannot be registered.
    pub async fn start(options: Options, ports: Ports) -> Result<Self, Error> {
        let engine = Self::build(options, ports, true)?;
        let life = engine.register().await?;
        let core = Arc::clone(&engine.core);
        let draining = engine.draining.clone();
        let watcher = Arc::clone(&core);
        let stopping = core.routines.stopping().clone();
        drop(core.routines.spawn("wake", async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = listen_for_others(&watcher) => {}
            }
        }));
        let routines = core.routines.clone();
        drop(routines.spawn("heartbeats", heartbeat::keep(Arc::clone(&core))));
        let scheduler = Scheduler::new(Arc::clone(&core), draining.clone());
        drop(routines.spawn("schedules", scheduler.work()));
        drop(routines.spawn("retention", retention::keep(Arc::clone(&core))));
        let bulk = BulkWorker::new(Arc::clone(&core), draining.clone());
        drop(routines.spawn("bulk", bulk.work()));
        drop(routines.spawn("worker", Worker { core, draining }.work(life)));
        Ok(engine)
    }

    /// Starts an engine without a worker: it deploys, starts and answers, and leaves
    /// the work to other processes on the same database.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) for wrong options.
    pub fn start_without_worker(options: Options, ports: Ports) -> Result<Self, Error> {
        Self::build(options, ports, false)
    }

    fn build(options: Options, ports: Ports, works: bool) -> Result<Self, Error> {
        options.validate()?;
        let routines = Routines::new();
        let stopped = CancellationToken::new();
        let meter = Arc::new(Meter::new());
        let (unfenced, writer) = Journal::new(
            Arc::clone(&ports.store),
            Arc::clone(&ports.clock),
            None,
            options.batch_max,
            (stopped.clone(), Adrift::default(), Arc::clone(&meter)),
        );
        let core = Arc::new(Core::new(options, ports, unfenced, routines, meter));
        let survey = figures::survey(Arc::clone(&core));
        drop(core.routines.spawn("queue survey", survey));
        let stop = core.routines.stopping().clone();
        drop(core.routines.spawn("journal", async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => stopped.cancel(),
                () = writer.work() => {}
            }
        }));
        Ok(Self {
            core,
            draining: CancellationToken::new(),
            works,
        })
    }

    async fn register(&self) -> Result<Arc<Life>, Error> {
        register(&self.core, &self.draining).await
    }

    /// Gives what the rest of the program uses.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.core), self.works)
    }

    /// Stops in order: takes on nothing more, lets effects under way end within the
    /// time, then gives the lease back so that others can go on at once.
    ///
    /// # Errors
    /// What the store says when the lease cannot be given back; it runs out by itself.
    pub async fn stop(self, within: Duration) -> Result<(), Error> {
        self.draining.cancel();
        let life = self.core.life();
        if let Some(life) = &life {
            let deadline = self.core.now() + within;
            while !life.active().is_empty() && self.core.now() < deadline {
                let look = self.core.now() + Duration::from_millis(10);
                self.core.ports.clock.sleep_until(look.min(deadline)).await;
            }
            life.lost.cancel();
        }
        self.core.set_life(None);
        // The journal's writer ends when the last life that hands it entries is gone.
        let fence = life.map(|life| life.fence.clone());
        self.core.routines.stop(Duration::from_secs(5)).await;
        match fence {
            Some(fence) => self.core.ports.store.worker_release(&fence).await,
            None => Ok(()),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.draining.cancel();
        if let Some(life) = self.core.life() {
            life.lost.cancel();
        }
        self.core.routines.stopping().cancel();
    }
}

async fn register(core: &Arc<Core>, draining: &CancellationToken) -> Result<Arc<Life>, Error> {
    let now = core.now();
    let id = WorkerId::generate(now, &*core.ports.entropy);
    let name = &core.options.worker_name;
    let store = &core.ports.store;
    let fence = store
        .worker_register(name, id, now, core.options.lease)
        .await?;
    let (lost, adrift) = (CancellationToken::new(), Adrift::default());
    let (journal, writer) = Journal::new(
        Arc::clone(store),
        Arc::clone(&core.ports.clock),
        Some(fence.clone()),
        core.options.batch_max,
        (lost.clone(), adrift.clone(), Arc::clone(&core.meter)),
    );
    drop(core.routines.spawn("journal", writer.work()));
    let life = Arc::new(Life::new(
        fence,
        (journal, adrift),
        lost,
        draining.clone(),
        core.options.in_flight_max,
    ));
    core.set_life(Some(Arc::clone(&life)));
    tracing::info!(worker = %life.fence.worker, name, "the worker is at work");
    Ok(life)
}

/// Rings the bell when another process says so.
async fn listen_for_others(core: &Core) {
    loop {
        match core.ports.store.wake_wait().await {
            Ok(()) => {
                core.wake.notify_one();
                core.bell.hear();
            }
            Err(error) => {
                tracing::debug!(error = %error, "not listening for other processes");
                let again = core.now() + core.options.poll;
                core.ports.clock.sleep_until(again).await;
            }
        }
    }
}

/// The event with which an execution begins that was claimed before.
fn begin(input: &str) -> Result<Event, Error> {
    let input = serde_json::from_str(input).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "an input cannot be read").with_source(error)
    })?;
    Ok(Event::Started {
        input: Arc::new(input),
        nesting: 0,
    })
}

/// What a look for work gave.
struct Looked {
    /// Whether there may be more right now.
    more: bool,
    /// When something may become due without being told.
    look_at: Option<Timestamp>,
}

/// The routine that claims.
struct Worker {
    core: Arc<Core>,
    draining: CancellationToken,
}

impl Worker {
    async fn work(self, mut life: Arc<Life>) {
        let mut fetch_at = self.core.now();
        loop {
            let mut look_at = None;
            let fetches = fetch_at <= self.core.now();
            let beaten = self.beat(&life, fetches).await;
            if fetches {
                fetch_at = self.core.now() + self.core.options.poll / FETCH_PARTS;
            }
            match beaten {
                Ok(Looked { more: true, .. }) => continue,
                Ok(looked) => look_at = looked.look_at,
                Err(error) if error.kind() == ErrorKind::Fenced => {
                    life.lost.cancel();
                }
                Err(error) => {
                    tracing::warn!(error = %error, "looking for work failed");
                    // What the store did may be known to nobody but the store.
                    life.adrift.set();
                }
            }
            if life.lost.is_cancelled() && !self.draining.is_cancelled() {
                match register(&self.core, &self.draining).await {
                    Ok(next) => life = next,
                    Err(error) => tracing::warn!(error = %error, "registering failed"),
                }
            }
            let (now, poll) = (self.core.now(), self.core.options.poll);
            fetch_at = now;
            let soonest = now + poll / POLL_PARTS;
            let next = look_at.map_or(now + poll, |at| at.max(soonest).min(now + poll));
            tokio::select! {
                biased;
                () = self.core.routines.stopping().cancelled() => return,
                () = self.core.wake.notified() => {}
                () = self.core.ports.clock.sleep_until(next) => {}
            }
        }
    }

    /// Renews the lease and takes on what is due; asks for messages where told.
    async fn beat(&self, life: &Arc<Life>, fetches: bool) -> Result<Looked, Error> {
        if life.lost.is_cancelled() {
            return Err(Error::new(ErrorKind::Fenced, "the lease is lost"));
        }
        let core = &self.core;
        // One at least, so that a journal that is always busy starves nobody.
        let calm = WAITING_MAX.saturating_sub(life.journal.waiting()).max(1);
        let room = life.free().min(CLAIM_MAX).min(calm);
        let request = ClaimRequest {
            now: core.now(),
            lease: core.options.lease,
            limit: u32::try_from(room).unwrap_or(u32::MAX),
        };
        let beat = core.ports.store.worker_beat(&life.fence, request).await?;
        let Beat { claims, look_at } = beat;
        core.meter.claimed(claims.len());
        core.behind.store(room <= claims.len(), Ordering::Relaxed);
        let more = claims.len() == room && 0 < room;
        // Whatever comes of the messages, the claims are the worker's.
        let fetched = if fetches {
            self.fetch_messages(life).await
        } else {
            Ok(())
        };
        self.load(life, claims).await?;
        fetched?;
        if life.adrift.take() {
            self.gather(life).await?;
        }
        Ok(Looked { more, look_at })
    }

    /// Takes on what was claimed, or puts it back.
    async fn load(&self, life: &Arc<Life>, claims: Vec<Claim>) -> Result<(), Error> {
        if claims.is_empty() {
            return Ok(());
        }
        let core = &self.core;
        let ids: Vec<_> = claims.iter().map(|claim| claim.execution).collect();
        let loaded = match core.ports.store.execution_load(&ids).await {
            Ok(loaded) => loaded,
            Err(error) => {
                for claim in claims {
                    life.put_back(claim, core.now(), None).await;
                }
                return Err(error);
            }
        };
        for loaded in loaded {
            let claim = Claim {
                tenant: loaded.tenant,
                execution: loaded.execution,
            };
            // Starts may have taken the room since it was counted.
            let Some(permit) = life.permit() else {
                life.put_back(claim, core.now(), None).await;
                continue;
            };
            if let Err(error) = self.take_on(life, loaded, permit).await {
                let execution = claim.execution;
                tracing::error!(error = ?error, %execution, "an execution cannot be loaded");
                let due = core.now() + UNREADABLE_WAIT;
                let waiting_for = Some("an engine that can read it".to_owned());
                life.put_back(claim, due, waiting_for).await;
            }
        }
        Ok(())
    }

    /// Puts back what the worker owns and does not know of, so that it is claimed anew.
    async fn gather(&self, life: &Arc<Life>) -> Result<(), Error> {
        let mut known = life.known();
        let owned = self.core.ports.store.worker_claims(&life.fence).await?;
        // What began meanwhile is known as well.
        known.extend(life.known());
        for claim in owned {
            if !known.contains(&claim.execution) {
                life.put_back(claim, self.core.now(), None).await;
                self.core.wake.notify_one();
            }
        }
        Ok(())
    }

    /// Brings messages that other processes put for executions in memory here.
    async fn fetch_messages(&self, life: &Life) -> Result<(), Error> {
        let active = life.active();
        if active.is_empty() {
            return Ok(());
        }
        for message in self.core.ports.store.inbox_fetch(&active).await? {
            life.deliver(&message);
        }
        Ok(())
    }

    async fn take_on(
        &self,
        life: &Arc<Life>,
        loaded: Loaded,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Error> {
        let core = &self.core;
        let progress = Progress::take_up(core, &loaded).await?;
        if progress.identity.program.hash() != loaded.program {
            // A crash came between the change of version and the row that shows it.
            core.label(&progress.identity).await;
        }
        if matches!(progress.code, Code::Missing) && loaded.inbox.is_empty() {
            let claim = Claim {
                tenant: loaded.tenant,
                execution: loaded.execution,
            };
            let due = core.now() + LACKING_WAIT;
            life.put_back(claim, due, Some(progress.wanted_worker()))
                .await;
            return Ok(());
        }
        let first = match &loaded.input {
            Some(input) if progress.sequence == 0 => Some(begin(input)?),
            _ => None,
        };
        // What was under way when the last worker left is done again, with the same key.
        let effects: Vec<Effect> = progress
            .state
            .pending()
            .map(|effect| Effect::Perform { effect })
            .collect();
        let active = Active::new(Arc::clone(core), Arc::clone(life), progress, permit)
            .with_inbox(loaded.inbox)
            .claimed(first, loaded.gated);
        drop(core.routines.spawn("execution", active.work(effects)));
        Ok(())
    }
}
