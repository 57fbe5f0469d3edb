//! The driver: carries out the attester's effects through the ports, without an executor of its own. It runs on
//! whichever thread polls it, and all who wait share one run.
//!
//! No port is trusted to come back: each call ends, at the latest, when the timer says so; a panic in a port (which is
//! also what becomes of an exception that the host did not declare) is a failure of that port; and a timer that comes
//! too early, over and over, ends the run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use zeroize::Zeroizing;

use countersign_core::attester::{
    Attester, AttesterError, Config, Currency, Effect, Entropy, Event, EvidenceFailure, KeyFailure, Now,
    Unreached,
};
use countersign_core::environment::Environment;

use crate::error::EvidenceError;
use crate::port::{EnrolmentLock, Entry, Parts, Ports, Signals};
use crate::record::DevelopmentKey;

type Job<'a> = Pin<Box<dyn Future<Output = Event> + Send + 'a>>;
type Pause<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// How long storage and deletions may take, and signatures that no attempt of the attester waits for.
const STORAGE_PATIENCE: Duration = Duration::from_secs(10);
const KEY_STORE_PATIENCE: Duration = Duration::from_secs(60);
/// How often, and with which pauses, an enrolment of another process is waited for.
const LOCK_TRIES: usize = 120;
const LOCK_PAUSE: Duration = Duration::from_millis(250);
/// Pauses of one run that may end too early.
const EARLY_PAUSES: usize = 32;

/// The state machine and its ports.
pub(crate) struct Device {
    parts: Parts,
    config: Config,
    attester: Mutex<Machine>,
}

struct Machine {
    attester: Attester,
    /// Noted by the app; outlives a machine that another process's state replaces.
    environment: u64,
    /// Found at the last enrolment or renewal.
    found: u64,
    /// What the storage held when it was last read or written: what differs is another process's.
    stored: Option<Vec<u8>>,
    /// A run is under way, whose steps belong to this attester: it is not replaced meanwhile.
    running: bool,
}

impl Machine {
    /// Lets the attester know what is known of the environment.
    fn note(&mut self) {
        self.attester.note_environment(self.environment | self.found);
    }
}

impl Device {
    pub(crate) fn new(config: Config, parts: Parts) -> Self {
        let attester = Attester::new(config.clone(), None);
        Self {
            parts,
            config,
            attester: Mutex::new(Machine {
                attester,
                environment: 0,
                found: 0,
                stored: None,
                running: false,
            }),
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.parts.clock.now()
    }

    /// Does something with the attester. Nothing is awaited meanwhile.
    pub(crate) fn with_attester<T>(&self, act: impl FnOnce(&mut Attester) -> T) -> T {
        act(&mut self.machine().attester)
    }

    pub(crate) fn note_environment(&self, bits: u64) {
        let mut machine = self.machine();
        machine.environment = bits;
        machine.note();
    }

    /// What goes into the proof of one request: what the app says with it, or noted last, and what was found at the
    /// last renewal and is found now. The app can add to it, and take nothing away.
    pub(crate) fn environment(&self, told: Option<u64>) -> Option<u64> {
        let now = self.look(|signals| signals.per_request());
        let machine = self.machine();
        let all = told.unwrap_or(machine.environment) | machine.found | now;
        (told.is_some() || all != 0).then_some(all)
    }

    /// Obtains a result, or renews one that is due: one run from the wish to [`Effect::Ready`] or
    /// [`Effect::Failed`].
    pub(crate) async fn obtain(&self) -> Result<(), AttesterError> {
        // Kept until the run is over: the processes of one app enrol one after the other, and find what is there.
        let _entered = self.load().await;
        self.machine().running = true;
        let outcome = contained(self.run()).await;
        self.machine().running = false;
        outcome.unwrap_or(Err(AttesterError::PlatformUnavailable))
    }

    /// Reads what an earlier process left, if nothing is known of this installation yet.
    pub(crate) async fn look_into_storage(&self) {
        if !self.is_enrolled() {
            self.restore().await;
        }
    }

    pub(crate) fn development_key(&self) -> Result<Option<DevelopmentKey>, EvidenceError> {
        let keys = self.parts.development_keys.as_deref();
        keys.map(|keys| keys.development_key(&self.config.client_id)).transpose()
    }

    /// Signs with the instance key.
    pub(crate) async fn sign(&self, handle: Vec<u8>, message: Vec<u8>) -> Result<Vec<u8>, KeyFailure> {
        let signed = self.within(KEY_STORE_PATIENCE, self.ports().keys.sign(handle, message)).await;
        signed.map_or(Err(KeyFailure::Unavailable), |signed| signed.map_err(KeyFailure::from))
    }

    async fn run(&self) -> Result<(), AttesterError> {
        let mut jobs: FuturesUnordered<Job<'_>> = FuturesUnordered::new();
        let mut pause: Option<Pause<'_>> = None;
        let mut until = Duration::ZERO;
        let mut early = 0;
        let mut event = Event::ResultWanted;
        loop {
            // These may begin an attempt, whose envelope is made from what was noted, in the same step for renewals.
            if matches!(event, Event::ResultWanted | Event::Tick) {
                self.look_around();
            }
            for effect in self.step(event)? {
                match effect {
                    Effect::Ready => return Ok(()),
                    Effect::Failed { error, .. } => return Err(error),
                    // A full disk is no reason to stop: the state lives on in memory.
                    Effect::Store(state) => self.store(state).await,
                    Effect::ForgetKey(handle) => {
                        let deleted = self.ports().keys.delete(handle.as_bytes().to_vec());
                        self.within(STORAGE_PATIENCE, deleted).await;
                    }
                    Effect::WaitUntil(uptime) => {
                        until = uptime;
                        pause = Some(self.pause(uptime.saturating_sub(self.now().uptime)));
                    }
                    effect => jobs.extend(self.job(effect)),
                }
            }
            event = match (&mut pause, jobs.is_empty()) {
                // An attester that waits for nothing is a defect, and no reason to wait for ever.
                (None, true) => return Err(AttesterError::PlatformUnavailable),
                (None, false) => jobs.next().await.unwrap_or(Event::Tick),
                (Some(pause), true) => pause.map(|()| Event::Tick).await,
                (Some(pause), false) => match select(jobs.next(), pause).await {
                    Either::Left((event, _)) => event.unwrap_or(Event::Tick),
                    Either::Right(((), _)) => Event::Tick,
                },
            };
            if matches!(event, Event::Tick) {
                pause = None;
                early += usize::from(self.now().uptime < until);
                if early > EARLY_PAUSES {
                    return Err(AttesterError::PlatformUnavailable);
                }
            }
        }
    }

    /// Goes on with the stored state where this installation is not known to be enrolled. Where it is not, and
    /// processes share the storage, comes back inside the lock, after looking again.
    async fn load(&self) -> Option<Box<dyn Send>> {
        if self.is_enrolled() || self.restore().await {
            return None;
        }
        let entered = self.enter(self.parts.enrolment_lock.as_deref()?).await;
        if self.restore().await { None } else { entered }
    }

    async fn enter(&self, lock: &dyn EnrolmentLock) -> Option<Box<dyn Send>> {
        for _ in 0..LOCK_TRIES {
            match lock.try_enter() {
                Entry::Entered(entered) => return Some(entered),
                Entry::Unknown => return None,
                Entry::Taken => self.pause(LOCK_PAUSE).await,
            }
        }
        // Whoever is inside does not get on. Two instances of one installation are better than none.
        None
    }

    /// Takes over the stored state, if this process has not seen it yet and it is that of an enrolled installation, or
    /// nothing was done here before. Says whether this installation is enrolled now.
    async fn restore(&self) -> bool {
        let stored = self.within(STORAGE_PATIENCE, self.ports().storage.load()).await;
        let mut machine = self.machine();
        if let Some(Ok(Some(stored))) = stored
            && !machine.running
            && machine.stored.as_ref() != Some(&stored)
        {
            let restored = Attester::new(self.config.clone(), Some(&stored));
            if restored.standing().instance.is_some() {
                machine.attester = restored;
                machine.note();
            } else {
                // What an enrolment that did not end left behind; after the first step it is this one's own.
                machine.attester.restore(&stored);
            }
            machine.stored = Some(stored);
        }
        machine.attester.standing().instance.is_some()
    }

    async fn store(&self, state: Vec<u8>) {
        let stored = self.within(STORAGE_PATIENCE, self.ports().storage.store(state.clone())).await;
        if let Some(Ok(())) = stored {
            self.machine().stored = Some(state);
        }
    }

    /// Notes all signals, unless there is a result that needs no renewal.
    fn look_around(&self) {
        if self.machine().attester.currency(self.now()) == Currency::Current {
            return;
        }
        let found = self.look(|signals| signals.at_renewal());
        let mut machine = self.machine();
        machine.found = found;
        machine.note();
    }

    /// What the device notices; nothing if it cannot be asked, or panics.
    fn look(&self, ask: impl FnOnce(&dyn Signals) -> Environment) -> u64 {
        let Some(signals) = self.parts.signals.as_deref() else { return 0 };
        catch_unwind(AssertUnwindSafe(|| ask(signals))).map_or(0, |found| found.0)
    }

    fn is_enrolled(&self) -> bool {
        self.machine().attester.standing().instance.is_some()
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        // A panic inside a step would be a defect of the core, which leaves no half-made result behind.
        self.attester.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ports(&self) -> &Ports {
        &self.parts.ports
    }

    fn step(&self, event: Event) -> Result<Vec<Effect>, AttesterError> {
        // A session key may be made of them: no copy stays behind.
        let mut bytes = Zeroizing::new([0; Entropy::LENGTH]);
        getrandom::fill(bytes.as_mut()).map_err(|_| AttesterError::PlatformUnavailable)?;
        let (entropy, now) = (Entropy::new(*bytes), self.now());
        Ok(self.machine().attester.step(event, now, &entropy))
    }

    /// What a call to a port brings; nothing if it panics, or has brought nothing after `patience`.
    async fn within<T>(&self, patience: Duration, call: impl Future<Output = T> + Send) -> Option<T> {
        match select(pin!(contained(call)), self.pause(patience)).await {
            Either::Left((brought, _)) => brought,
            Either::Right(((), _)) => None,
        }
    }

    /// A pause by the host's timer, which ends at once if the timer panics.
    fn pause(&self, length: Duration) -> Pause<'_> {
        // Rounded up, so that the time has come when it ends.
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        Box::pin(contained(self.ports().timer.sleep(millis)).map(drop))
    }

    /// The work that an effect asks for; nothing for effects that no event answers.
    fn job(&self, effect: Effect) -> Option<Job<'_>> {
        let ports = self.ports();
        Some(match effect {
            Effect::Fetch { id, call } => Box::pin(async move {
                let answer = contained(ports.transport.call(call.into())).await;
                let outcome = answer.and_then(Result::ok).map(Into::into).ok_or(Unreached);
                Event::Fetched { id, outcome }
            }),
            Effect::MakeKey { id, challenge } => Box::pin(async move {
                let made = contained(ports.keys.make(challenge.map(|challenge| challenge.to_vec()))).await;
                let made = made.map_or(Err(KeyFailure::Unavailable), |made| made.map_err(KeyFailure::from));
                Event::KeyMade { id, outcome: made.and_then(TryInto::try_into) }
            }),
            Effect::MakeAppAttestKey { id } => Box::pin(async move {
                let key_id = contained(ports.evidence.make_app_attest_key()).await;
                let decoded = |key_id: Vec<u8>| key_id.try_into().map_err(|_| EvidenceFailure::Other);
                let outcome = key_id.map_or(Err(EvidenceFailure::Other), |key_id| key_id.map_err(Into::into));
                Event::AppAttestKeyMade { id, outcome: outcome.and_then(decoded) }
            }),
            Effect::Attest { id, request } => Box::pin(async move {
                let evidence = contained(ports.evidence.gather(request.into())).await;
                let evidence =
                    evidence.map_or(Err(EvidenceFailure::Other), |evidence| evidence.map_err(Into::into));
                Event::Attested { id, outcome: evidence.and_then(|evidence| evidence.answering(request)) }
            }),
            Effect::Sign { id, handle, message } => Box::pin(async move {
                let signed = contained(ports.keys.sign(handle.as_bytes().to_vec(), message)).await;
                let signed =
                    signed.map_or(Err(KeyFailure::Unavailable), |signed| signed.map_err(KeyFailure::from));
                Event::Signed { id, outcome: signed }
            }),
            _ => return None,
        })
    }
}

/// What a call brings; nothing if it panics.
async fn contained<T>(call: impl Future<Output = T> + Send) -> Option<T> {
    AssertUnwindSafe(call).catch_unwind().await.ok()
}
