//! The driver: carries out the attester's effects through the ports, without an executor of its own. It runs on
//! whichever thread polls it, and all who wait share one run.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use countersign_core::attester::{
    Attester, AttesterError, Config, Effect, Entropy, Event, EvidenceFailure, KeyFailure, Now, Unreached,
};
use countersign_core::time::Timestamp;

use crate::port::{Clock, Ports};

type Job<'a> = Pin<Box<dyn Future<Output = Event> + Send + 'a>>;
type Pause<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The state machine and its ports.
pub(crate) struct Device {
    ports: Ports,
    attester: Mutex<Attester>,
    /// Whether the first run has handed the stored state to the attester.
    loaded: AtomicBool,
}

impl Device {
    pub(crate) fn new(config: Config, ports: Ports) -> Self {
        Self { ports, attester: Mutex::new(Attester::new(config, None)), loaded: AtomicBool::new(false) }
    }

    pub(crate) const fn ports(&self) -> &Ports {
        &self.ports
    }

    pub(crate) fn now(&self) -> Now {
        let clock: &dyn Clock = &*self.ports.clock;
        Now {
            wall: Timestamp::from_unix_seconds(clock.wall_seconds()),
            uptime: Duration::from_millis(clock.uptime_millis()),
        }
    }

    /// The attester. Nothing is awaited while the guard lives.
    pub(crate) fn attester(&self) -> MutexGuard<'_, Attester> {
        // A panic inside a step would be a defect of the core, which leaves no half-made result behind.
        self.attester.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Obtains a result, or renews one that is due: one run from the wish to [`Effect::Ready`] or
    /// [`Effect::Failed`].
    pub(crate) async fn obtain(&self) -> Result<(), AttesterError> {
        self.load().await;
        let mut jobs: FuturesUnordered<Job<'_>> = FuturesUnordered::new();
        let mut pause: Pause<'_> = Box::pin(core::future::pending());
        let mut event = Event::ResultWanted;
        loop {
            for effect in self.step(event)? {
                match effect {
                    Effect::Ready => return Ok(()),
                    Effect::Failed { error, .. } => return Err(error),
                    // A full disk is no reason to stop: the state lives on in memory.
                    Effect::Store(state) => drop(self.ports.storage.store(state).await),
                    Effect::ForgetKey(handle) => self.ports.keys.delete(handle.as_bytes().to_vec()).await,
                    Effect::WaitUntil(uptime) => {
                        let left = uptime.saturating_sub(self.now().uptime).as_millis();
                        pause = self.ports.clock.sleep(u64::try_from(left).unwrap_or(u64::MAX));
                    }
                    effect => jobs.extend(self.job(effect)),
                }
            }
            event = match select(jobs.next(), &mut pause).await {
                Either::Left((Some(event), _)) => event,
                // Only the pause is left to wait for.
                Either::Left((None, pause)) => {
                    pause.await;
                    Event::Tick
                }
                Either::Right(((), _)) => Event::Tick,
            };
            if matches!(event, Event::Tick) {
                pause = Box::pin(core::future::pending());
            }
        }
    }

    /// Hands the stored state to the attester, if that was not done before.
    async fn load(&self) {
        if !self.loaded.load(Ordering::Acquire) {
            if let Ok(Some(stored)) = self.ports.storage.load().await {
                self.attester().restore(&stored);
            }
            self.loaded.store(true, Ordering::Release);
        }
    }

    fn step(&self, event: Event) -> Result<Vec<Effect>, AttesterError> {
        let mut bytes = [0; Entropy::LENGTH];
        getrandom::fill(&mut bytes).map_err(|_| AttesterError::PlatformUnavailable)?;
        let (entropy, now) = (Entropy::new(bytes), self.now());
        Ok(self.attester().step(event, now, &entropy))
    }

    /// The work that an effect asks for; nothing for effects that no event answers.
    fn job(&self, effect: Effect) -> Option<Job<'_>> {
        let ports = &self.ports;
        Some(match effect {
            Effect::Fetch { id, call } => Box::pin(async move {
                let answer = ports.transport.call(call.into()).await;
                Event::Fetched { id, outcome: answer.map(Into::into).map_err(|_| Unreached) }
            }),
            Effect::MakeKey { id, challenge } => Box::pin(async move {
                let made = ports.keys.make(challenge.map(|challenge| challenge.to_vec())).await;
                Event::KeyMade { id, outcome: made.map_err(KeyFailure::from).and_then(TryInto::try_into) }
            }),
            Effect::MakeAppAttestKey { id } => Box::pin(async move {
                let key_id = ports.evidence.make_app_attest_key().await.map_err(EvidenceFailure::from);
                let decoded = |key_id: Vec<u8>| key_id.try_into().map_err(|_| EvidenceFailure::Other);
                Event::AppAttestKeyMade { id, outcome: key_id.and_then(decoded) }
            }),
            Effect::Attest { id, request } => Box::pin(async move {
                let evidence = ports.evidence.gather(request.into()).await.map_err(EvidenceFailure::from);
                Event::Attested { id, outcome: evidence.and_then(|evidence| evidence.answering(request)) }
            }),
            Effect::Sign { id, handle, message } => Box::pin(async move {
                let signature = ports.keys.sign(handle.as_bytes().to_vec(), message).await;
                Event::Signed { id, outcome: signature.map_err(KeyFailure::from) }
            }),
            _ => return None,
        })
    }
}
