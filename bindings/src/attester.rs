//! The one object that an app holds.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::Shared;

use countersign_core::attester::{
    Attester as StateMachine, AttesterError, ClientAuthentication, Currency, EdgeAnswer, InstanceKeyProof,
    KeyFailure, ProofRequest,
};

use crate::development::DevelopmentKeys;
use crate::drive::Device;
use crate::error::CountersignError;
use crate::file_storage::FileStorage;
use crate::port::{Parts, Ports, Timer, Transport};
use crate::record::{
    Advice, ApiAnswer, ApiRequest, ClientProof, Configuration, DevelopmentKey, DevicePlatform, Proof,
    Standing,
};

type Run = Shared<Pin<Box<dyn Future<Output = Result<(), AttesterError>> + Send>>>;

/// Proves the requests of this installation. One for the whole app; every method may be called from any thread.
#[derive(uniffi::Object)]
pub struct Attester {
    device: Arc<Device>,
    /// The enrolment or renewal under way. It is kept here, so that it survives the cancellation of all who wait
    /// for it: whoever comes next goes on with it.
    run: Mutex<Option<Run>>,
}

#[uniffi::export]
impl Attester {
    /// Checks the configuration. Reads nothing, calls nothing: the first `refresh` or `prove_when_ready` does.
    ///
    /// # Errors
    /// [`CountersignError::Configuration`].
    #[uniffi::constructor]
    pub fn new(configuration: Configuration, ports: Ports) -> Result<Arc<Self>, CountersignError> {
        Self::from_parts(configuration, Parts::new(ports))
    }

    /// An attester for hosts, emulators and simulators: its keys and its state are files in `folder`, and a
    /// development key vouches for it, as far as the service's policy lets it. `configuration.platform` is not read.
    ///
    /// # Errors
    /// [`CountersignError::Configuration`].
    #[uniffi::constructor]
    pub fn development(
        configuration: Configuration,
        folder: String,
        transport: Arc<dyn Transport>,
        timer: Arc<dyn Timer>,
    ) -> Result<Arc<Self>, CountersignError> {
        let configuration = Configuration { platform: DevicePlatform::Development, ..configuration };
        let keys = Arc::new(DevelopmentKeys::new(&folder));
        let storage = Arc::new(FileStorage::new(&folder, &configuration));
        let ports =
            Ports { keys: keys.clone(), evidence: keys.clone(), transport, storage: storage.clone(), timer };
        let parts =
            Parts { enrolment_lock: Some(storage), development_keys: Some(keys), ..Parts::new(ports) };
        Self::from_parts(configuration, parts)
    }

    /// The development key that is to be registered with the service; nothing where none vouches.
    ///
    /// # Errors
    /// [`CountersignError::PlatformUnavailable`] if its file cannot be read or written.
    pub fn development_key(&self) -> Result<Option<DevelopmentKey>, CountersignError> {
        self.device.development_key().map_err(|_| CountersignError::PlatformUnavailable)
    }

    /// Makes the header fields for one request with the result at hand: some tens of microseconds, no waiting.
    ///
    /// # Errors
    /// [`CountersignError::NoResult`] where `prove_when_ready` would first obtain one;
    /// [`CountersignError::UnknownOrigin`] for a host that was not configured.
    pub fn prove(&self, request: ApiRequest) -> Result<Proof, CountersignError> {
        let random = self.random()?;
        let now = self.device.now();
        let environment = self.device.environment(request.environment);
        self.device.with_attester(|attester| {
            let request = ProofRequest { environment, ..request.borrowed() };
            let headers = attester.prove(&request, now, &random)?;
            Ok(Proof::new(headers.fields(), attester.currency(now) == Currency::Due))
        })
    }

    /// As `prove`; enrols or renews first if there is no result. However many wait, one enrolment is under way. Right
    /// after a start, while the service is away, it proves with the instance key, as far as the last result still vouches
    /// for it.
    ///
    /// # Errors
    /// As `prove`, and why there is no result.
    pub async fn prove_when_ready(&self, request: ApiRequest) -> Result<Proof, CountersignError> {
        match self.prove(request.clone()) {
            Err(CountersignError::NoResult) => {}
            proven => return proven,
        }
        match self.refresh().await {
            Ok(()) => self.prove(request),
            // What an earlier process obtained may still vouch for the instance key.
            Err(error) => match self.prepare(&request) {
                Ok(prepared) => self.finish(prepared).await,
                Err(_) => Err(error),
            },
        }
    }

    /// Obtains a result, or renews the one that is due; returns at once if it is not.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn refresh(&self) -> Result<(), CountersignError> {
        let run = self.join();
        let outcome = run.clone().await;
        // Over: the next wish is another run.
        let mut current = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.ptr_eq(&run)) {
            *current = None;
        }
        Ok(outcome?)
    }

    /// Makes the header fields of the JWT flavour with the instance key, for routes that demand hardware: as slow as
    /// the device's key store.
    ///
    /// # Errors
    /// As `prove`; [`CountersignError::PlatformUnavailable`] if the key store does not sign.
    pub async fn prove_with_instance_key(&self, request: ApiRequest) -> Result<Proof, CountersignError> {
        self.device.look_into_storage().await;
        let prepared = match self.prepare(&request) {
            Err(CountersignError::NoResult) => {
                self.refresh().await?;
                self.prepare(&request)?
            }
            prepared => prepared?,
        };
        self.finish(prepared).await
    }

    /// Makes the header fields with which the app authenticates one request to its authorization server, with the
    /// instance key: as slow as the device's key store.
    ///
    /// # Errors
    /// [`CountersignError::InvalidRequest`] for what is no URL or not encrypted, the errors of `refresh`, and
    /// [`CountersignError::PlatformUnavailable`] if the key store does not sign.
    pub async fn authenticate_client(&self, proof: ClientProof) -> Result<Proof, CountersignError> {
        self.device.look_into_storage().await;
        let prepared = match self.prepare_client(&proof) {
            Err(CountersignError::NoResult) => {
                self.refresh().await?;
                self.prepare_client(&proof)?
            }
            prepared => prepared?,
        };
        let (handle, message) = (prepared.handle().as_bytes().to_vec(), prepared.message().to_vec());
        let signature = self.sign(handle, message).await?;
        let headers = prepared.finish(&signature).map_err(|_| self.instance_key_failed())?;
        Ok(Proof::new(headers.fields(), false))
    }

    /// Takes in an API's answer and says what to do about it, at most once per request.
    pub fn observe(&self, uri: String, answer: ApiAnswer) -> Advice {
        let now = self.device.now();
        let values: Vec<&str> = answer.www_authenticate.iter().map(String::as_str).collect();
        let answer = EdgeAnswer {
            status: answer.status,
            challenge: answer.challenge.as_deref(),
            www_authenticate: &values,
        };
        self.device.with_attester(|attester| attester.observe(&uri, &answer, now)).into()
    }

    /// Notes what the app itself sees of its environment, beside what the library sees, for the next renewal and the
    /// proofs to come. It can only lower trust.
    pub fn note_environment(&self, bits: u64) {
        self.device.note_environment(bits);
    }

    /// The client attestation for the authorization server; nothing without a current result.
    pub fn client_attestation(&self) -> Option<String> {
        let now = self.device.now();
        self.device.with_attester(|attester| attester.client_attestation(now).map(ToOwned::to_owned))
    }

    /// What is known of this installation, for support.
    pub fn standing(&self) -> Standing {
        let now = self.device.now();
        Standing::new(self.device.with_attester(|attester| attester.standing()), now)
    }
}

impl Attester {
    /// As [`Attester::new`], from parts of which some are Rust's.
    ///
    /// # Errors
    /// [`CountersignError::Configuration`].
    pub fn from_parts(configuration: Configuration, parts: Parts) -> Result<Arc<Self>, CountersignError> {
        let device = Arc::new(Device::new(configuration.check()?, parts));
        Ok(Arc::new(Self { device, run: Mutex::new(None) }))
    }

    /// The run under way, or a new one.
    fn join(&self) -> Run {
        let mut current = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended, and whose waiters were all cancelled, is over too.
        if let Some(run) = current.as_ref().filter(|run| run.peek().is_none()) {
            return run.clone();
        }
        let device = Arc::clone(&self.device);
        let future: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move { device.obtain().await });
        let run = future.shared();
        *current = Some(run.clone());
        run
    }

    fn prepare(&self, request: &ApiRequest) -> Result<InstanceKeyProof, CountersignError> {
        let random = self.random()?;
        let now = self.device.now();
        let prepare = |attester: &mut StateMachine| {
            attester.prepare_instance_key_proof(&request.borrowed(), now, &random)
        };
        Ok(self.device.with_attester(prepare)?)
    }

    fn prepare_client(&self, proof: &ClientProof) -> Result<ClientAuthentication, CountersignError> {
        let random = self.random()?;
        let now = self.device.now();
        let prepare = |attester: &mut StateMachine| {
            attester.prepare_client_authentication(&proof.borrowed(), now, &random)
        };
        Ok(self.device.with_attester(prepare)?)
    }

    async fn sign(&self, handle: Vec<u8>, message: Vec<u8>) -> Result<Vec<u8>, CountersignError> {
        self.device.sign(handle, message).await.map_err(|failure| match failure {
            KeyFailure::Lost => self.instance_key_failed(),
            _ => CountersignError::PlatformUnavailable,
        })
    }

    /// The next refresh finds out what is left of the key.
    fn instance_key_failed(&self) -> CountersignError {
        self.device.with_attester(StateMachine::instance_key_failed);
        CountersignError::PlatformUnavailable
    }

    async fn finish(&self, prepared: InstanceKeyProof) -> Result<Proof, CountersignError> {
        let (handle, message) = (prepared.handle().as_bytes().to_vec(), prepared.message().to_vec());
        let signature = self.sign(handle, message).await?;
        let headers = prepared.finish(&signature).map_err(|_| self.instance_key_failed())?;
        let now = self.device.now();
        let current = self.device.with_attester(|attester| attester.currency(now) == Currency::Current);
        Ok(Proof::new(headers.fields(), !current))
    }

    fn random(&self) -> Result<[u8; 16], CountersignError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| CountersignError::PlatformUnavailable)?;
        Ok(bytes)
    }
}
