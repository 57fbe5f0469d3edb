//! Evidence: the chain of a throwaway key, and Google's word.

use std::sync::{Arc, Mutex};

use countersign_ffi::android::{AndroidEvidence, PlayIntegrityProvider};
use countersign_ffi::{EvidenceError, EvidenceRequest, EvidenceSource, GatheredEvidence, Timer};

use crate::phone::Phone;
use crate::wait::block_on;

const CHALLENGE: [u8; 32] = [6; 32];

/// Google's library in the app, and a clock on which ten seconds pass at once, or never.
struct Google {
    answer: Option<Result<String, EvidenceError>>,
    patience_ends: bool,
    asked: Mutex<Vec<String>>,
}

impl Google {
    fn new(answer: Option<Result<String, EvidenceError>>, patience_ends: bool) -> Arc<Self> {
        Arc::new(Self { answer, patience_ends, asked: Mutex::default() })
    }
}

#[async_trait::async_trait]
impl PlayIntegrityProvider for Google {
    async fn token(&self, request_hash: String) -> Result<String, EvidenceError> {
        self.asked.lock().unwrap().push(request_hash);
        match &self.answer {
            Some(answer) => answer.clone(),
            None => std::future::pending().await,
        }
    }
}

#[async_trait::async_trait]
impl Timer for Google {
    async fn sleep(&self, millis: u64) {
        assert_eq!(millis, 10_000);
        if !self.patience_ends {
            std::future::pending::<()>().await;
        }
    }
}

fn throwaway() -> Result<Vec<Vec<u8>>, EvidenceError> {
    let google = Google::new(None, false);
    let evidence = AndroidEvidence::new(None, google);
    let request = EvidenceRequest::AndroidThrowawayKey { challenge: CHALLENGE.to_vec() };
    match block_on(evidence.gather(request))? {
        GatheredEvidence::AndroidKey { chain } => Ok(chain),
        _ => panic!("evidence of another kind"),
    }
}

fn token(google: &Arc<Google>) -> Result<String, EvidenceError> {
    let evidence = AndroidEvidence::new(Some(google.clone()), google.clone());
    let request = EvidenceRequest::PlayIntegrity { request_hash: "a-hash".to_owned() };
    match block_on(evidence.gather(request))? {
        GatheredEvidence::PlayIntegrity { token } => Ok(token),
        _ => panic!("evidence of another kind"),
    }
}

#[test]
fn a_throwaway_key_is_attested_and_gone() {
    let Some(phone) = Phone::take() else { return };
    let chain = throwaway().unwrap();
    assert_eq!(chain.len(), 5);
    assert!(chain[0].windows(CHALLENGE.len()).any(|window| window == CHALLENGE));
    assert_eq!((phone.keys_made(), phone.aliases()), (1, vec![]));
}

#[test]
fn a_throwaway_key_is_gone_even_if_its_chain_cannot_be_read() {
    for fault in ["null chain", "null certificate", "endless chain"] {
        let Some(phone) = Phone::with_fault(fault) else { return };
        assert_eq!(throwaway(), Err(EvidenceError::ServerUnavailable), "{fault}");
        assert_eq!((phone.keys_made(), phone.aliases()), (1, vec![]), "{fault}");
    }
}

#[test]
fn a_phone_that_attests_no_keys_has_no_such_evidence() {
    for fault in ["not provisioned", "old and without attestation"] {
        let Some(phone) = Phone::with_fault(fault) else { return };
        assert_eq!(throwaway(), Err(EvidenceError::Unsupported), "{fault}");
        assert_eq!(phone.aliases(), Vec::<String>::new(), "{fault}");
    }
}

#[test]
fn a_key_store_that_is_away_gives_no_evidence_for_now() {
    for fault in ["dead", "out of keys", "error in the machine"] {
        let Some(_phone) = Phone::with_fault(fault) else { return };
        assert_eq!(throwaway(), Err(EvidenceError::ServerUnavailable), "{fault}");
    }
}

#[test]
fn the_token_is_asked_for_with_the_hash_and_passed_on() {
    let google = Google::new(Some(Ok("a-token".to_owned())), false);
    assert_eq!(token(&google), Ok("a-token".to_owned()));
    assert_eq!(*google.asked.lock().unwrap(), ["a-hash"]);
}

#[test]
fn google_does_not_keep_an_enrolment_waiting() {
    assert_eq!(token(&Google::new(None, true)), Err(EvidenceError::ServerUnavailable));
}

#[test]
fn what_is_thrown_by_the_apps_call_is_no_token() {
    let google = Google::new(Some(Err(EvidenceError::Other)), false);
    assert_eq!(token(&google), Err(EvidenceError::Other));
}

#[test]
fn what_is_too_long_or_empty_is_no_token() {
    for answer in [String::new(), "a".repeat(32 * 1024 + 1)] {
        assert_eq!(token(&Google::new(Some(Ok(answer)), false)), Err(EvidenceError::Other));
    }
}

#[test]
fn what_is_not_androids_is_unsupported() {
    let google = Google::new(None, false);
    let evidence = AndroidEvidence::new(None, google);
    let requests = [
        EvidenceRequest::PlayIntegrity { request_hash: "a-hash".to_owned() },
        EvidenceRequest::AppAttest { key_id: vec![1; 32], client_data_hash: vec![1; 32] },
        EvidenceRequest::AppAttestAssertion { key_id: vec![1; 32], client_data_hash: vec![1; 32] },
        EvidenceRequest::DevelopmentKey { message: vec![1; 32] },
    ];
    for request in requests {
        assert!(matches!(block_on(evidence.gather(request)), Err(EvidenceError::Unsupported)));
    }
    assert!(block_on(evidence.make_app_attest_key()).is_err());
}
