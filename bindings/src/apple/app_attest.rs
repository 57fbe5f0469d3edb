//! Evidence from App Attest: what the service's answers mean, above the few calls that reach it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::Shared;

use countersign_core::encoding::{base64url, from_base64url_array};

use super::system_error::{Completion, Domain, SystemError, completion};
use crate::error::EvidenceError;
use crate::port::EvidenceSource;
use crate::record::{EvidenceRequest, GatheredEvidence};

/// Longest attestation object or assertion that is passed on, in bytes. Attestation objects have some 6 KB.
const MAX_EVIDENCE: usize = 32 * 1024;
/// Assertions that fail in a row without a reason before their key is given up.
const UNEXPLAINED_FAILURES: u32 = 3;

/// The calls to `DCAppAttestService`. Key ids are as the system writes them: base64, padded.
pub(super) trait AppAttestService: Send + Sync + 'static {
    /// `isSupported`.
    fn is_supported(&self) -> bool;
    /// `generateKey`.
    fn generate_key(&self, completion: Completion<String>);
    /// `attestKey:clientDataHash:`.
    fn attest_key(&self, key_id: &str, client_data_hash: &[u8; 32], completion: Completion<Vec<u8>>);
    /// `generateAssertion:clientDataHash:`.
    fn generate_assertion(&self, key_id: &str, client_data_hash: &[u8; 32], completion: Completion<Vec<u8>>);
}

/// The port for platform evidence, on App Attest.
pub(super) struct AppAttest<S> {
    service: S,
    /// The last attestation that was asked for.
    attestation: Mutex<Option<Attestation>>,
    /// Assertions in a row that failed with `unknownSystemFailure`.
    unexplained: AtomicU32,
}

type Attested = Shared<Pin<Box<dyn Future<Output = Result<Arc<[u8]>, EvidenceError>> + Send>>>;

/// One call of `attestKey`. A key is attested once: a second call is refused as `invalidKey`. So an outcome that came
/// after its wait was given up must not be lost, or the key would be.
struct Attestation {
    key_id: [u8; 32],
    client_data_hash: [u8; 32],
    outcome: Attested,
    /// Whether somebody has come back for it already: a call that never ends is waited for twice.
    joined: bool,
}

impl<S: AppAttestService> AppAttest<S> {
    pub(super) fn new(service: S) -> Self {
        Self { service, attestation: Mutex::new(None), unexplained: AtomicU32::new(0) }
    }

    fn supported(&self) -> Result<(), EvidenceError> {
        if self.service.is_supported() { Ok(()) } else { Err(EvidenceError::Unsupported) }
    }

    async fn attest(&self, key_id: [u8; 32], client_data_hash: [u8; 32]) -> Result<Vec<u8>, EvidenceError> {
        let attestation = self.attestation_of(key_id, client_data_hash);
        attestation.await.map(|object| object.to_vec())
    }

    /// The attestation that is under way or done for the same key and hash, or a new one.
    fn attestation_of(&self, key_id: [u8; 32], client_data_hash: [u8; 32]) -> Attested {
        let mut last = self.attestation.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) =
            last.as_mut().filter(|last| last.key_id == key_id && last.client_data_hash == client_data_hash)
        {
            match same.outcome.peek() {
                Some(Ok(_)) => return same.outcome.clone(),
                None if !same.joined => {
                    same.joined = true;
                    return same.outcome.clone();
                }
                // It failed, or hangs: the platform wants it repeated with the same key and hash.
                Some(Err(_)) | None => {}
            }
        }
        let (completion, object) = completion();
        self.service.attest_key(&to_base64(&key_id), &client_data_hash, completion);
        let future: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
            let object = object.await.map_err(failure_of_attestation)?;
            bounded(object).map(Arc::from)
        });
        let outcome = future.shared();
        *last = Some(Attestation { key_id, client_data_hash, outcome: outcome.clone(), joined: false });
        outcome
    }

    async fn assert(&self, key_id: [u8; 32], client_data_hash: [u8; 32]) -> Result<Vec<u8>, EvidenceError> {
        let (completion, assertion) = completion();
        self.service.generate_assertion(&to_base64(&key_id), &client_data_hash, completion);
        match assertion.await {
            Ok(assertion) => {
                self.unexplained.store(0, Ordering::Relaxed);
                // The key is in use: nobody comes back for its attestation.
                *self.attestation.lock().unwrap_or_else(PoisonError::into_inner) = None;
                bounded(assertion)
            }
            Err(error) => Err(self.failure_of_assertion(error)),
        }
    }

    /// An assertion is made on the device alone, from a key id and a hash of the right form. What fails is the key.
    fn failure_of_assertion(&self, error: SystemError) -> EvidenceError {
        match device_check_code(error) {
            // After a restore, a reinstallation or a change of environment, either of the two names a key that is not
            // there.
            Some(DC_ERROR_INVALID_KEY | DC_ERROR_INVALID_INPUT) => EvidenceError::KeyLost,
            Some(DC_ERROR_FEATURE_UNSUPPORTED) => EvidenceError::Unsupported,
            Some(DC_ERROR_SERVER_UNAVAILABLE) => EvidenceError::ServerUnavailable,
            // It passes, or it stays for ever with this key. The key is given up once, not again and again: each new
            // one counts against the device.
            _ => {
                let failures = self.unexplained.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                if failures == UNEXPLAINED_FAILURES { EvidenceError::KeyLost } else { EvidenceError::Other }
            }
        }
    }
}

#[async_trait::async_trait]
impl<S: AppAttestService> EvidenceSource for AppAttest<S> {
    async fn make_app_attest_key(&self) -> Result<Vec<u8>, EvidenceError> {
        self.supported()?;
        let (completion, key_id) = completion();
        self.service.generate_key(completion);
        let key_id = key_id.await.map_err(failure_of_attestation)?;
        Ok(from_base64(&key_id).ok_or(EvidenceError::Other)?.to_vec())
    }

    async fn gather(&self, request: EvidenceRequest) -> Result<GatheredEvidence, EvidenceError> {
        match request {
            EvidenceRequest::AppAttest { key_id, client_data_hash } => {
                self.supported()?;
                let attestation_object = self.attest(fixed(&key_id)?, fixed(&client_data_hash)?).await?;
                Ok(GatheredEvidence::AppAttest { attestation_object })
            }
            EvidenceRequest::AppAttestAssertion { key_id, client_data_hash } => {
                self.supported()?;
                let assertion = self.assert(fixed(&key_id)?, fixed(&client_data_hash)?).await?;
                Ok(GatheredEvidence::AppAttestAssertion { assertion })
            }
            _ => Err(EvidenceError::Unsupported),
        }
    }
}

// The codes of `DCErrorDomain`, as `DCError.h` numbers them; 0 is `unknownSystemFailure`. The layer that makes the
// calls compares them with the framework's own when it is compiled.
pub(super) const DC_ERROR_FEATURE_UNSUPPORTED: i64 = 1;
pub(super) const DC_ERROR_INVALID_INPUT: i64 = 2;
pub(super) const DC_ERROR_INVALID_KEY: i64 = 3;
pub(super) const DC_ERROR_SERVER_UNAVAILABLE: i64 = 4;

fn device_check_code(error: SystemError) -> Option<i64> {
    (error.domain == Domain::DeviceCheck).then_some(error.code)
}

/// `serverUnavailable` keeps the key; after anything else the platform wants another one.
fn failure_of_attestation(error: SystemError) -> EvidenceError {
    match device_check_code(error) {
        Some(DC_ERROR_SERVER_UNAVAILABLE) => EvidenceError::ServerUnavailable,
        Some(DC_ERROR_INVALID_KEY) => EvidenceError::KeyLost,
        Some(DC_ERROR_FEATURE_UNSUPPORTED) => EvidenceError::Unsupported,
        _ => EvidenceError::Other,
    }
}

fn bounded(evidence: Vec<u8>) -> Result<Vec<u8>, EvidenceError> {
    if evidence.is_empty() || evidence.len() > MAX_EVIDENCE {
        Err(EvidenceError::Other)
    } else {
        Ok(evidence)
    }
}

fn fixed(bytes: &[u8]) -> Result<[u8; 32], EvidenceError> {
    bytes.try_into().map_err(|_| EvidenceError::Other)
}

/// 32 bytes as base64 (RFC 4648 section 4): 43 characters and one of padding.
fn to_base64(key_id: &[u8; 32]) -> String {
    let mut text: String = base64url(key_id)
        .chars()
        .map(|character| match character {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    text.push('=');
    text
}

/// The one reading of [`to_base64`]; `None` for anything else, the other alphabet included.
fn from_base64(text: &str) -> Option<[u8; 32]> {
    let unpadded = text.strip_suffix('=')?;
    if unpadded.contains(['-', '_']) {
        return None;
    }
    from_base64url_array(&unpadded.replace('+', "-").replace('/', "_")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [0xfb; 32];
    const HASH: [u8; 32] = [7; 32];
    const KEY_ID: &str = "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=";

    /// Plays `DCAppAttestService`: keeps the completions, so that each test says how and when a call ends.
    #[derive(Default)]
    struct FakeService {
        unsupported: bool,
        keys: Mutex<Vec<Completion<String>>>,
        calls: Mutex<Vec<Call>>,
    }

    /// Key id, hash and completion of a call for an attestation or assertion.
    type Call = (String, [u8; 32], Completion<Vec<u8>>);

    impl AppAttestService for FakeService {
        fn is_supported(&self) -> bool {
            !self.unsupported
        }

        fn generate_key(&self, completion: Completion<String>) {
            self.keys.lock().unwrap().push(completion);
        }

        fn attest_key(&self, key_id: &str, client_data_hash: &[u8; 32], completion: Completion<Vec<u8>>) {
            self.calls.lock().unwrap().push((key_id.to_owned(), *client_data_hash, completion));
        }

        fn generate_assertion(&self, key_id: &str, hash: &[u8; 32], completion: Completion<Vec<u8>>) {
            self.attest_key(key_id, hash, completion);
        }
    }

    impl AppAttest<FakeService> {
        fn calls(&self) -> usize {
            self.service.calls.lock().unwrap().len()
        }

        /// Ends the call of this number.
        fn end(&self, call: usize, outcome: Result<Vec<u8>, SystemError>) {
            let calls = self.service.calls.lock().unwrap();
            calls[call].2.complete(outcome.as_ref().ok().cloned(), outcome.err());
        }

        /// Gathers evidence by one call, which ends so.
        fn gathered(
            &self,
            request: EvidenceRequest,
            outcome: Result<Vec<u8>, SystemError>,
        ) -> Result<Vec<u8>, EvidenceError> {
            let mut gathering = self.gather(request);
            assert!((&mut gathering).now_or_never().is_none(), "it waits for the system");
            self.end(self.calls() - 1, outcome);
            bytes(gathering.now_or_never().unwrap())
        }

        /// Makes a key, which the system names so.
        fn key_named(&self, name: Result<&str, SystemError>) -> Result<Vec<u8>, EvidenceError> {
            let mut making = self.make_app_attest_key();
            assert!((&mut making).now_or_never().is_none(), "it waits for the system");
            let completion = self.service.keys.lock().unwrap().pop().unwrap();
            completion.complete(name.ok().map(ToOwned::to_owned), name.err());
            making.now_or_never().unwrap()
        }
    }

    fn bytes(evidence: Result<GatheredEvidence, EvidenceError>) -> Result<Vec<u8>, EvidenceError> {
        evidence.map(|evidence| match evidence {
            GatheredEvidence::AppAttest { attestation_object } => attestation_object,
            GatheredEvidence::AppAttestAssertion { assertion } => assertion,
            _ => panic!("evidence of another platform"),
        })
    }

    fn app_attest() -> AppAttest<FakeService> {
        AppAttest::new(FakeService::default())
    }

    fn attestation() -> EvidenceRequest {
        EvidenceRequest::AppAttest { key_id: KEY.to_vec(), client_data_hash: HASH.to_vec() }
    }

    fn assertion() -> EvidenceRequest {
        EvidenceRequest::AppAttestAssertion { key_id: KEY.to_vec(), client_data_hash: HASH.to_vec() }
    }

    fn dc_error(code: i64) -> SystemError {
        SystemError { domain: Domain::DeviceCheck, code }
    }

    #[test]
    fn the_system_gets_key_id_and_hash_as_they_are() {
        let app_attest = app_attest();
        assert_eq!(app_attest.gathered(attestation(), Ok(vec![1, 2])), Ok(vec![1, 2]));
        assert_eq!(app_attest.gathered(assertion(), Ok(vec![3])), Ok(vec![3]));
        for (key_id, hash, _) in app_attest.service.calls.lock().unwrap().iter() {
            assert_eq!(key_id, KEY_ID);
            assert_eq!(*hash, HASH, "raw, not hashed again");
        }
    }

    #[test]
    fn each_piece_of_evidence_says_what_it_is() {
        let app_attest = app_attest();
        let mut gathering = [app_attest.gather(attestation()), app_attest.gather(assertion())]
            .map(|mut gathering| {
                assert!((&mut gathering).now_or_never().is_none());
                gathering
            })
            .into_iter();
        app_attest.end(0, Ok(vec![1]));
        app_attest.end(1, Ok(vec![2]));
        let attested = gathering.next().unwrap().now_or_never().unwrap();
        assert!(matches!(attested, Ok(GatheredEvidence::AppAttest { .. })));
        let asserted = gathering.next().unwrap().now_or_never().unwrap();
        assert!(matches!(asserted, Ok(GatheredEvidence::AppAttestAssertion { .. })));
    }

    #[test]
    fn a_key_id_is_the_base64_of_32_bytes() {
        let app_attest = app_attest();
        assert_eq!(app_attest.key_named(Ok(KEY_ID)), Ok(KEY.to_vec()));
        let others = [
            "",
            "=",
            "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s", // without padding
            "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s=", // the other alphabet
            "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/t=", // bits behind the end
            "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+w==", // 31 bytes
            "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7", // 33 bytes
            "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s==", // more padding
            "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/é=",
        ];
        for other in others {
            assert_eq!(app_attest.key_named(Ok(other)), Err(EvidenceError::Other), "{other}");
        }
    }

    #[test]
    fn each_code_of_an_attestation_has_its_meaning() {
        let of_code = [
            (dc_error(0), EvidenceError::Other),
            (dc_error(1), EvidenceError::Unsupported),
            (dc_error(2), EvidenceError::Other),
            (dc_error(3), EvidenceError::KeyLost),
            (dc_error(4), EvidenceError::ServerUnavailable),
            (dc_error(5), EvidenceError::Other),
            (dc_error(-1), EvidenceError::Other),
            // The same number in another domain means nothing here.
            (SystemError { domain: Domain::Other, code: 4 }, EvidenceError::Other),
            (SystemError::os_status(3), EvidenceError::Other),
        ];
        for (error, meaning) in of_code {
            assert_eq!(app_attest().gathered(attestation(), Err(error)), Err(meaning), "{error:?}");
            assert_eq!(app_attest().key_named(Err(error)), Err(meaning), "{error:?}");
        }
    }

    #[test]
    fn an_assertion_fails_for_its_key() {
        let of_code = [
            (dc_error(0), EvidenceError::Other),
            (dc_error(1), EvidenceError::Unsupported),
            (dc_error(2), EvidenceError::KeyLost),
            (dc_error(3), EvidenceError::KeyLost),
            (dc_error(4), EvidenceError::ServerUnavailable),
            (dc_error(5), EvidenceError::Other),
            (SystemError { domain: Domain::Other, code: 3 }, EvidenceError::Other),
        ];
        for (error, meaning) in of_code {
            assert_eq!(app_attest().gathered(assertion(), Err(error)), Err(meaning), "{error:?}");
        }
    }

    #[test]
    fn a_key_that_keeps_failing_without_a_reason_is_given_up_once() {
        let app_attest = app_attest();
        let failures = [(); 7].map(|()| app_attest.gathered(assertion(), Err(dc_error(0))).err());
        let mut expected = [Some(EvidenceError::Other); 7];
        expected[2] = Some(EvidenceError::KeyLost);
        assert_eq!(failures, expected);
    }

    #[test]
    fn an_assertion_that_succeeds_ends_a_row_of_failures() {
        let app_attest = app_attest();
        for outcome in [Err(dc_error(0)), Err(dc_error(0)), Ok(vec![1]), Err(dc_error(0)), Err(dc_error(0))] {
            assert_ne!(app_attest.gathered(assertion(), outcome), Err(EvidenceError::KeyLost));
        }
        let third_in_a_row = app_attest.gathered(assertion(), Err(dc_error(0)));
        assert_eq!(third_in_a_row, Err(EvidenceError::KeyLost));
    }

    #[test]
    fn nothing_is_called_where_app_attest_is_not_supported() {
        let app_attest = AppAttest::new(FakeService { unsupported: true, ..FakeService::default() });
        let made = app_attest.make_app_attest_key().now_or_never().unwrap();
        assert_eq!(made, Err(EvidenceError::Unsupported));
        for request in [attestation(), assertion()] {
            let gathered = bytes(app_attest.gather(request).now_or_never().unwrap());
            assert_eq!(gathered, Err(EvidenceError::Unsupported));
        }
        assert_eq!(app_attest.calls(), 0);
        assert!(app_attest.service.keys.lock().unwrap().is_empty());
    }

    #[test]
    fn evidence_of_other_platforms_is_not_to_be_had() {
        let requests = [
            EvidenceRequest::AndroidThrowawayKey { challenge: HASH.to_vec() },
            EvidenceRequest::PlayIntegrity { request_hash: "hash".to_owned() },
            EvidenceRequest::DevelopmentKey { message: HASH.to_vec() },
        ];
        for request in requests {
            let gathered = bytes(app_attest().gather(request).now_or_never().unwrap());
            assert_eq!(gathered, Err(EvidenceError::Unsupported));
        }
    }

    #[test]
    fn a_key_id_or_hash_of_another_length_never_reaches_the_system() {
        let app_attest = app_attest();
        for (key_id, hash) in [(31, 32), (33, 32), (0, 32), (32, 31), (32, 64), (32, 0)] {
            let (key_id, client_data_hash) = (vec![1; key_id], vec![1; hash]);
            let requests = [
                EvidenceRequest::AppAttest {
                    key_id: key_id.clone(),
                    client_data_hash: client_data_hash.clone(),
                },
                EvidenceRequest::AppAttestAssertion { key_id, client_data_hash },
            ];
            for request in requests {
                let gathered = bytes(app_attest.gather(request).now_or_never().unwrap());
                assert_eq!(gathered, Err(EvidenceError::Other));
            }
        }
        assert_eq!(app_attest.calls(), 0);
    }

    #[test]
    fn empty_and_endless_evidence_is_none() {
        for request in [attestation(), assertion()] {
            for length in [0, MAX_EVIDENCE + 1] {
                let gathered = app_attest().gathered(request.clone(), Ok(vec![1; length]));
                assert_eq!(gathered, Err(EvidenceError::Other));
            }
            let longest = vec![1; MAX_EVIDENCE];
            assert_eq!(app_attest().gathered(request, Ok(longest.clone())), Ok(longest));
        }
    }

    #[test]
    fn a_block_that_is_never_called_ends_with_its_release() {
        let app_attest = app_attest();
        for request in [attestation(), assertion()] {
            let mut gathering = app_attest.gather(request);
            assert!((&mut gathering).now_or_never().is_none());
            app_attest.service.calls.lock().unwrap().clear();
            assert_eq!(bytes(gathering.now_or_never().unwrap()), Err(EvidenceError::Other));
        }
    }

    #[test]
    fn an_attestation_that_came_too_late_is_there_for_who_comes_back() {
        let app_attest = app_attest();
        assert!(app_attest.gather(attestation()).now_or_never().is_none(), "given up");
        app_attest.end(0, Ok(vec![9]));
        for _ in 0..2 {
            // Again and again: the key cannot be attested twice.
            assert_eq!(bytes(app_attest.gather(attestation()).now_or_never().unwrap()), Ok(vec![9]));
        }
        assert_eq!(app_attest.calls(), 1);
    }

    #[test]
    fn an_attestation_under_way_is_joined() {
        let app_attest = app_attest();
        assert!(app_attest.gather(attestation()).now_or_never().is_none(), "given up");
        let mut second = app_attest.gather(attestation());
        assert!((&mut second).now_or_never().is_none());
        app_attest.end(0, Ok(vec![9]));
        assert_eq!(bytes(second.now_or_never().unwrap()), Ok(vec![9]));
        assert_eq!(app_attest.calls(), 1);
    }

    #[test]
    fn an_attestation_that_never_ends_is_waited_for_twice_and_no_more() {
        let app_attest = app_attest();
        for calls in [1, 1, 2, 2, 3] {
            assert!(app_attest.gather(attestation()).now_or_never().is_none());
            assert_eq!(app_attest.calls(), calls);
        }
    }

    #[test]
    fn an_attestation_without_apples_server_is_repeated_with_the_same_key_and_hash() {
        let app_attest = app_attest();
        let unavailable = app_attest.gathered(attestation(), Err(dc_error(DC_ERROR_SERVER_UNAVAILABLE)));
        assert_eq!(unavailable, Err(EvidenceError::ServerUnavailable));
        assert_eq!(app_attest.gathered(attestation(), Ok(vec![4])), Ok(vec![4]));
        let calls = app_attest.service.calls.lock().unwrap();
        assert_eq!(calls.len(), 2);
        assert_eq!((&calls[0].0, calls[0].1), (&calls[1].0, calls[1].1));
    }

    #[test]
    fn an_attestation_is_never_given_for_another_key_or_hash() {
        let app_attest = app_attest();
        assert_eq!(app_attest.gathered(attestation(), Ok(vec![1])), Ok(vec![1]));
        let other_hash = EvidenceRequest::AppAttest { key_id: KEY.to_vec(), client_data_hash: vec![8; 32] };
        let other_key = EvidenceRequest::AppAttest { key_id: vec![8; 32], client_data_hash: HASH.to_vec() };
        assert_eq!(app_attest.gathered(other_hash, Ok(vec![2])), Ok(vec![2]));
        assert_eq!(app_attest.gathered(other_key, Ok(vec![3])), Ok(vec![3]));
    }

    #[test]
    fn an_assertion_is_made_anew_each_time() {
        let app_attest = app_attest();
        assert_eq!(app_attest.gathered(assertion(), Ok(vec![1])), Ok(vec![1]));
        assert_eq!(app_attest.gathered(assertion(), Ok(vec![2])), Ok(vec![2]));
    }
}
