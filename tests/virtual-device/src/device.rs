//! An app with the SDK in it, on a virtual phone: core's attester, with key store, evidence source, storage and
//! randomness played here, and the network left to the caller.

use std::{collections::VecDeque, time::Duration};

use countersign_core::{
    attester::{
        Answer, AttestRequest, Attester, AttesterError, ClientAuthenticationHeaders, ClientProof, Config,
        ConfigError, Effect, EffectId, Entropy, Event, EvidenceFailure, Fetch, InstanceKeyHeaders,
        KeyFailure, KeyHandle, MadeKey, Now, Platform, ProofHeaders, ProofRequest, ProveError, Settings,
        Unreached,
    },
    enrolment::Evidence,
};

use crate::{
    development_key::DevelopmentKey,
    iphone::Environment,
    phone::VirtualPhone,
    seed::{Seed, SeededRandom},
};

/// A phone with an app on it that enrols, renews and proves as a genuine SDK does. If the phone lies, so does its
/// evidence; what goes wrong with keys and evidence services on genuine phones is a call each.
pub struct VirtualDevice {
    phone: VirtualPhone,
    settings: Settings,
    config: Config,
    attester: Attester,
    random: SeededRandom,
    stored: Option<Vec<u8>>,
    handle: Option<KeyHandle>,
    has_app_attest_key: bool,
    app_attest_outages: u32,
    development_key: Option<DevelopmentKey>,
    queue: VecDeque<Effect>,
    outcome: Option<Result<(), AttesterError>>,
    wake_at: Option<Duration>,
}

/// Where an attempt to obtain a result stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The caller is to make this call, and to report its end to [`VirtualDevice::answered`].
    Call {
        /// Names the call.
        id: EffectId,
        /// The call.
        call: Fetch,
    },
    /// A current result is there.
    Ready,
    /// No result for now.
    Failed(AttesterError),
    /// Nothing happens before this uptime; [`VirtualDevice::tick`] goes on then.
    Waiting(Duration),
}

impl VirtualDevice {
    /// An app that was just installed. Its platform is the phone's, whatever the settings say.
    ///
    /// # Errors
    /// As [`Config::new`].
    pub fn new(phone: impl Into<VirtualPhone>, settings: Settings, seed: &Seed) -> Result<Self, ConfigError> {
        let phone = phone.into();
        let settings = Settings { platform: platform_of(&phone), ..settings };
        let config = Config::new(settings.clone())?;
        Ok(Self {
            attester: Attester::new(config.clone(), None),
            phone,
            settings,
            config,
            random: SeededRandom::new(seed.child("device")),
            stored: None,
            handle: None,
            has_app_attest_key: false,
            app_attest_outages: 0,
            development_key: None,
            queue: VecDeque::new(),
            outcome: None,
            wake_at: None,
        })
    }

    /// The app is a development build, for which `key` vouches instead of the phone: it runs on a simulator. To be
    /// called before anything else.
    ///
    /// # Errors
    /// As [`Config::new`].
    pub fn with_development_key(mut self, key: DevelopmentKey) -> Result<Self, ConfigError> {
        self.settings.platform = Platform::Development;
        self.config = Config::new(self.settings.clone())?;
        self.development_key = Some(key);
        self.restart();
        Ok(self)
    }

    /// Obtains a result, or renews the one that is there, with calls that block.
    ///
    /// # Errors
    /// What the app is told. Where the attester would wait, this gives up as [`AttesterError::Unreachable`].
    pub fn obtain_blocking(
        &mut self,
        now: Now,
        mut send: impl FnMut(&Fetch) -> Result<Answer, Unreached>,
    ) -> Result<(), AttesterError> {
        let mut progress = self.begin(now);
        loop {
            match progress {
                Progress::Call { id, call } => progress = self.answered(id, send(&call), now),
                Progress::Ready => return Ok(()),
                Progress::Failed(error) => return Err(error),
                Progress::Waiting(_) => return Err(AttesterError::Unreachable),
            }
        }
    }

    /// Obtains a result, or renews the one that is there. `clock` is read before each step.
    ///
    /// # Errors
    /// As [`VirtualDevice::obtain_blocking`].
    pub async fn obtain(
        &mut self,
        mut clock: impl FnMut() -> Now,
        mut send: impl AsyncFnMut(Fetch) -> Result<Answer, Unreached>,
    ) -> Result<(), AttesterError> {
        let mut progress = self.begin(clock());
        loop {
            match progress {
                Progress::Call { id, call } => {
                    let outcome = send(call).await;
                    progress = self.answered(id, outcome, clock());
                }
                Progress::Ready => return Ok(()),
                Progress::Failed(error) => return Err(error),
                Progress::Waiting(_) => return Err(AttesterError::Unreachable),
            }
        }
    }

    /// Somebody needs a result.
    pub fn begin(&mut self, now: Now) -> Progress {
        self.outcome = None;
        self.step(Event::ResultWanted, now)
    }

    /// The end of a call.
    pub fn answered(&mut self, id: EffectId, outcome: Result<Answer, Unreached>, now: Now) -> Progress {
        self.step(Event::Fetched { id, outcome }, now)
    }

    /// The time that [`Progress::Waiting`] named has come.
    pub fn tick(&mut self, now: Now) -> Progress {
        self.step(Event::Tick, now)
    }

    /// Proves a request.
    ///
    /// # Errors
    /// As [`Attester::prove`].
    pub fn prove(&mut self, request: &ProofRequest<'_>, now: Now) -> Result<ProofHeaders, ProveError> {
        let mut random = [0; 16];
        self.random.fill(&mut random);
        self.attester.prove(request, now, &random)
    }

    /// Proves a request with the instance key, in the OAuth flavour.
    ///
    /// # Errors
    /// As [`Attester::prepare_instance_key_proof`].
    pub fn prove_with_instance_key(
        &mut self,
        request: &ProofRequest<'_>,
        now: Now,
    ) -> Result<InstanceKeyHeaders, ProveError> {
        let mut random = [0; 16];
        self.random.fill(&mut random);
        let proof = self.attester.prepare_instance_key_proof(request, now, &random)?;
        let signature = self.phone.sign(proof.message());
        // Another phone's key, if a backup was restored there.
        proof.finish(&signature).map_err(|_| ProveError::NoResult)
    }

    /// Authenticates one request to the authorization server.
    ///
    /// # Errors
    /// As [`Attester::prepare_client_authentication`].
    pub fn authenticate_client(
        &mut self,
        proof: &ClientProof<'_>,
        now: Now,
    ) -> Result<ClientAuthenticationHeaders, ProveError> {
        let mut random = [0; 16];
        self.random.fill(&mut random);
        let authentication = self.attester.prepare_client_authentication(proof, now, &random)?;
        let signature = self.phone.sign(authentication.message());
        // Another phone's key, if a backup was restored there.
        authentication.finish(&signature).map_err(|_| ProveError::NoResult)
    }

    /// The app's process ends and starts again: what was in memory is gone.
    pub fn restart(&mut self) {
        self.queue.clear();
        (self.outcome, self.wake_at) = (None, None);
        self.attester = Attester::new(self.config.clone(), self.stored.as_deref());
    }

    /// The instance key is gone, as after the lock screen was removed.
    pub fn lose_instance_key(&mut self) {
        self.handle = None;
    }

    /// The App Attest key is gone, as after a reinstallation.
    pub fn lose_app_attest_key(&mut self) {
        self.has_app_attest_key = false;
    }

    /// The next `times` attestations find Apple's server unavailable.
    pub fn app_attest_outages(&mut self, times: u32) {
        self.app_attest_outages = times;
    }

    /// A backup of the app's files is restored on another phone, which has none of the keys.
    ///
    /// # Errors
    /// As [`VirtualDevice::new`].
    pub fn restored_on(&self, phone: impl Into<VirtualPhone>, seed: &Seed) -> Result<Self, ConfigError> {
        let mut device = Self::new(phone, self.settings.clone(), seed)?;
        if let Some(key) = &self.development_key {
            device = device.with_development_key(key.clone())?;
        }
        device.stored.clone_from(&self.stored);
        device.restart();
        Ok(device)
    }

    /// The state machine.
    pub const fn attester(&self) -> &Attester {
        &self.attester
    }

    /// The state machine, to note an environment or show it an answer of an API.
    pub const fn attester_mut(&mut self) -> &mut Attester {
        &mut self.attester
    }

    /// The phone.
    pub const fn phone(&self) -> &VirtualPhone {
        &self.phone
    }

    /// Changes the phone under the app: from then on it lies, or its system was updated.
    pub fn change_phone(&mut self, change: impl FnOnce(VirtualPhone) -> VirtualPhone) {
        self.phone = change(self.phone.clone());
    }

    /// What the app has stored, and whether the instance key and the App Attest key are there.
    pub(crate) fn kept(&self) -> (&[u8], bool, bool) {
        (self.stored.as_deref().unwrap_or_default(), self.handle.is_some(), self.has_app_attest_key)
    }

    /// Puts back what was kept, and starts the app anew.
    pub(crate) fn put_back(&mut self, stored: Vec<u8>, handle: Option<KeyHandle>, has_app_attest_key: bool) {
        self.stored = Some(stored).filter(|stored| !stored.is_empty());
        self.handle = handle;
        self.has_app_attest_key = has_app_attest_key;
        self.restart();
    }

    fn step(&mut self, event: Event, now: Now) -> Progress {
        self.feed(event, now);
        while let Some(effect) = self.queue.pop_front() {
            match effect {
                Effect::Fetch { id, call } => return Progress::Call { id, call },
                Effect::MakeKey { id, challenge } => {
                    let outcome = self.make_key(challenge, now);
                    self.feed(Event::KeyMade { id, outcome }, now);
                }
                Effect::ForgetKey(handle) => {
                    if self.handle.as_ref() == Some(&handle) {
                        self.handle = None;
                    }
                }
                Effect::MakeAppAttestKey { id } => {
                    let outcome = self.make_app_attest_key();
                    self.feed(Event::AppAttestKeyMade { id, outcome }, now);
                }
                Effect::Attest { id, request } => {
                    let outcome = self.attest(request, now);
                    self.feed(Event::Attested { id, outcome }, now);
                }
                Effect::Sign { id, handle, message } => {
                    let here = self.handle.as_ref() == Some(&handle);
                    let outcome =
                        if here { Ok(self.phone.sign(&message).to_vec()) } else { Err(KeyFailure::Lost) };
                    self.feed(Event::Signed { id, outcome }, now);
                }
                Effect::Store(bytes) => self.stored = Some(bytes),
                Effect::WaitUntil(uptime) => self.wake_at = Some(uptime),
                Effect::Ready => self.outcome = Some(Ok(())),
                Effect::Failed { error, .. } => self.outcome = Some(Err(error)),
            }
        }
        match self.outcome.take() {
            Some(Ok(())) => Progress::Ready,
            Some(Err(error)) => Progress::Failed(error),
            None => Progress::Waiting(self.wake_at.unwrap_or(now.uptime)),
        }
    }

    fn feed(&mut self, event: Event, now: Now) {
        let mut bytes = [0; Entropy::LENGTH];
        self.random.fill(&mut bytes);
        self.queue.extend(self.attester.step(event, now, &Entropy::new(bytes)));
    }

    fn make_key(&mut self, challenge: Option<[u8; 32]>, now: Now) -> Result<MadeKey, KeyFailure> {
        let chain = match (&mut self.phone, challenge) {
            (VirtualPhone::Iphone(phone), None) => {
                phone.make_instance_key();
                Vec::new()
            }
            (VirtualPhone::Android(phone), Some(challenge)) => {
                let chain = phone.attest(&challenge, now.wall);
                if phone.has_key_attestation() { chain } else { Vec::new() }
            }
            _ => return Err(KeyFailure::Unsupported),
        };
        let public_key = self.phone.instance_key();
        let handle =
            KeyHandle::new(public_key.thumbprint().as_bytes().to_vec()).ok_or(KeyFailure::Unsupported)?;
        self.handle = Some(handle.clone());
        Ok(MadeKey { handle, public_key, protection: self.phone.protection(), chain })
    }

    fn make_app_attest_key(&mut self) -> Result<[u8; 32], EvidenceFailure> {
        let VirtualPhone::Iphone(phone) = &mut self.phone else { return Err(EvidenceFailure::Unsupported) };
        self.has_app_attest_key = true;
        Ok(phone.generate_key())
    }

    fn attest(&mut self, request: AttestRequest, now: Now) -> Result<Evidence, EvidenceFailure> {
        match (request, &mut self.phone) {
            (AttestRequest::DevelopmentKey { message }, _) => {
                let key = self.development_key.as_ref().ok_or(EvidenceFailure::Unsupported)?;
                Ok(key.evidence(&message))
            }
            (
                AttestRequest::AppAttest { key_id, .. } | AttestRequest::AppAttestAssertion { key_id, .. },
                VirtualPhone::Iphone(phone),
            ) if !self.has_app_attest_key || phone.key_id() != key_id => Err(EvidenceFailure::KeyLost),
            (AttestRequest::AppAttest { client_data_hash, .. }, VirtualPhone::Iphone(phone)) => {
                if let Some(left) = self.app_attest_outages.checked_sub(1) {
                    self.app_attest_outages = left;
                    return Err(EvidenceFailure::ServerUnavailable);
                }
                let attestation = phone.attest(&client_data_hash, now.wall);
                Ok(Evidence::AppAttest { attestation_object: attestation.object, key_id: attestation.key_id })
            }
            (AttestRequest::AppAttestAssertion { client_data_hash, .. }, VirtualPhone::Iphone(phone)) => {
                Ok(Evidence::AppAttestAssertion { assertion: phone.assert(&client_data_hash) })
            }
            (AttestRequest::PlayIntegrity { request_hash }, VirtualPhone::Android(phone)) => {
                let token = phone.play_integrity_token(&request_hash, now.wall);
                token.map(|token| Evidence::PlayIntegrity { token }).ok_or(EvidenceFailure::Unsupported)
            }
            (AttestRequest::AndroidThrowawayKey { challenge }, VirtualPhone::Android(phone))
                if phone.has_key_attestation() =>
            {
                Ok(Evidence::AndroidKey { chain: phone.attest_throwaway(&challenge, now.wall) })
            }
            _ => Err(EvidenceFailure::Unsupported),
        }
    }
}

fn platform_of(phone: &VirtualPhone) -> Platform {
    match phone {
        VirtualPhone::Iphone(phone) => {
            Platform::Apple { production: phone.environment_of_app() == Environment::Production }
        }
        VirtualPhone::Android(phone) => Platform::Android { play_integrity: phone.has_google_play() },
    }
}
