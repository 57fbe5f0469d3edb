//! The one transaction of an enrolment or renewal, and what is looked up before it.

use countersign_core::challenge::Challenge;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::{Admission, PlatformKey};
use countersign_verifier::evidence::RecordedEvidence;
use countersign_verifier::policy::History;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;

use super::record::{ConsumedChallenge, Decision, InstanceRecord};
use super::{Store, StoreError, seconds};
use crate::trust::Generation;

/// Everything that an enrolment or renewal changes, all or nothing.
#[derive(Clone, Debug)]
pub struct Commit<'a> {
    /// The challenge that is used up.
    pub challenge: &'a Challenge,
    /// When the challenge would have expired.
    pub challenge_expires: Timestamp,
    /// SHA-256 of the request's bytes.
    pub request: [u8; 32],
    /// What happens to the registry.
    pub change: InstanceChange,
    /// What was admitted: keys and standing of the instance from now on.
    pub admission: &'a Admission,
    /// How many instances were said to share the attestation key of the admission, this one among them, if that was
    /// asked. When there are more by now, nothing is changed.
    pub sharing: Option<u32>,
    /// The policy, roots and status list that it was admitted under.
    pub generation: Generation,
    /// The audit record.
    pub decision: &'a Decision,
    /// Now.
    pub now: Timestamp,
}

/// What happens to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceChange {
    /// A key enrols: as a new instance under this fresh random identifier, or, if its client knows the key, as the
    /// instance that it was.
    Enrol(InstanceId),
    /// A known instance renews.
    Renew {
        /// The instance.
        id: InstanceId,
        /// The stored counter that an App Attest assertion was compared with, if one came. The counter of the
        /// admission must be above what is stored by now.
        previous_counter: Option<u32>,
    },
}

/// What a commit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The change is on the disk, for this instance.
    Done(InstanceId),
    /// The same request was committed before; this is what came of it.
    Repeated(ConsumedChallenge),
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// Another request used the challenge.
    ChallengeUsed,
    /// The assertion's counter is not above the stored one: a rollback, or a race that the other one won.
    CounterNotAbove,
    /// More instances share its attestation key by now than it was judged by: it is to be judged again.
    AttestationKeySharedMore,
    /// The development key that vouches was revoked while this was judged.
    DevelopmentKeyRevoked,
    /// The instance is banned.
    Banned,
    /// The instance is withdrawn, and brings nothing that could lift that.
    Withdrawn,
    /// No such instance.
    UnknownInstance,
    /// The database cannot be used.
    Store(StoreError),
}

impl CommitError {
    /// A stable name for logs and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ChallengeUsed => "challenge_used",
            Self::CounterNotAbove => "assertion_counter_not_above",
            Self::AttestationKeySharedMore => "attestation_key_shared_more",
            Self::DevelopmentKeyRevoked => "development_key_revoked",
            Self::Banned => "instance_banned",
            Self::Withdrawn => "instance_withdrawn",
            Self::UnknownInstance => "instance_unknown",
            Self::Store(error) => error.reason(),
        }
    }
}

impl Store {
    /// The instance with this identifier.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn instance(&self, id: &InstanceId) -> Result<Option<InstanceRecord>, StoreError> {
        let query = sqlx::query("SELECT * FROM instance WHERE id = ?").bind(id.as_bytes().as_slice());
        let row = query.fetch_optional(&self.reader).await.map_err(|error| self.failed(&error))?;
        row.map(|row| self.instance_in(&row)).transpose()
    }

    /// The instance of a client that holds this key.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn instance_of_key(
        &self,
        client_id: &str,
        key: &PublicKey,
    ) -> Result<Option<InstanceRecord>, StoreError> {
        let query = sqlx::query("SELECT * FROM instance WHERE client_id = ? AND instance_key = ?")
            .bind(client_id)
            .bind(sec1(key));
        let row = query.fetch_optional(&self.reader).await.map_err(|error| self.failed(&error))?;
        row.map(|row| self.instance_in(&row)).transpose()
    }

    /// What used this challenge, if anything did.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn consumed(&self, challenge: &Challenge) -> Result<Option<ConsumedChallenge>, StoreError> {
        let query = sqlx::query("SELECT * FROM consumed_challenge WHERE challenge = ?").bind(hash(challenge));
        let row = query.fetch_optional(&self.reader).await.map_err(|error| self.failed(&error))?;
        row.map(|row| ConsumedChallenge::from_row(&row).ok_or_else(|| self.damaged())).transpose()
    }

    /// Commits an enrolment or renewal: uses up the challenge, raises the counter, changes the registry and writes
    /// the audit record, in one transaction that is on the disk when this returns.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub async fn commit(&self, commit: &Commit<'_>) -> Result<Committed, CommitError> {
        let mut transaction =
            self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.lost(&error))?;
        let committed = self.apply(&mut transaction, commit).await?;
        if matches!(committed, Committed::Done(_)) {
            transaction.commit().await.map_err(|error| self.lost(&error))?;
        }
        Ok(committed)
    }

    /// Writes the audit record of a refusal; nothing is used up by one.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn record(&self, decision: &Decision) -> Result<(), StoreError> {
        let mut connection = self.writer.acquire().await.map_err(|error| self.failed(&error))?;
        self.insert_decision(&mut connection, decision, decision.instance).await
    }

    async fn apply(
        &self,
        connection: &mut SqliteConnection,
        commit: &Commit<'_>,
    ) -> Result<Committed, CommitError> {
        let lost = |error: sqlx::Error| self.lost(&error);
        let consumed = sqlx::query("SELECT * FROM consumed_challenge WHERE challenge = ?")
            .bind(hash(commit.challenge))
            .fetch_optional(&mut *connection)
            .await
            .map_err(lost)?;
        if let Some(row) = consumed {
            let consumed =
                ConsumedChallenge::from_row(&row).ok_or_else(|| CommitError::Store(self.damaged()))?;
            return if consumed.request == commit.request {
                Ok(Committed::Repeated(consumed))
            } else {
                Err(CommitError::ChallengeUsed)
            };
        }
        let pieces = commit.admission.recorded_evidence();
        if self.stands_on_revoked_key(connection, pieces).await.map_err(CommitError::Store)? {
            return Err(CommitError::DevelopmentKeyRevoked);
        }
        let (instance, previous_counter) = match commit.change {
            InstanceChange::Enrol(id) => (self.enrol(connection, id, commit).await?, None),
            InstanceChange::Renew { id, previous_counter } => {
                let asserted = previous_counter.is_some();
                self.renew(connection, id, asserted, commit).await?;
                (id, previous_counter)
            }
        };
        let kept = self.keep_attestation_key(connection, &instance, commit.admission).await;
        let sharing = kept.map_err(CommitError::Store)?;
        if sharing.zip(commit.sharing).is_some_and(|(now, judged)| now > judged) {
            return Err(CommitError::AttestationKeySharedMore);
        }
        self.keep_evidence(connection, &instance, commit.admission).await.map_err(CommitError::Store)?;
        sqlx::query(
            "INSERT INTO consumed_challenge \
             (challenge, request, instance, verdict, previous_counter, expires, committed) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(hash(commit.challenge))
        .bind(commit.request.as_slice())
        .bind(instance.as_bytes().as_slice())
        .bind(&commit.decision.verdict)
        .bind(previous_counter)
        .bind(seconds(commit.challenge_expires))
        .bind(seconds(commit.now))
        .execute(&mut *connection)
        .await
        .map_err(lost)?;
        self.insert_decision(connection, commit.decision, Some(instance))
            .await
            .map_err(CommitError::Store)?;
        Ok(Committed::Done(instance))
    }

    /// Inserts the instance, or replaces what vouches for the one that holds the key; id and ban stay.
    async fn enrol(
        &self,
        connection: &mut SqliteConnection,
        id: InstanceId,
        commit: &Commit<'_>,
    ) -> Result<InstanceId, CommitError> {
        let Commit { admission, now, .. } = *commit;
        let known: Option<(bool, String)> = sqlx::query_as(
            "SELECT withdrawn_at IS NOT NULL, history FROM instance WHERE client_id = ? AND instance_key = ?",
        )
        .bind(admission.client_id())
        .bind(sec1(admission.instance_key()))
        .fetch_optional(&mut *connection)
        .await
        .map_err(|error| self.lost(&error))?;
        let (withdrawn, history) = match known {
            Some((withdrawn, history)) => (withdrawn, self.joined(&history, admission)?),
            None => (false, admission.history().clone()),
        };
        let query = sqlx::query_as(
            "INSERT INTO instance (id, platform_key, app_attest_key, app_attest_counter, protection, vouched_by, \
             evidence_time, evidence_tier, app_version, updated, client_id, instance_key, trust_vector, labels, history, \
             created, generation, play_integrity_alone) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?10, ?16, ?17) \
             ON CONFLICT (client_id, instance_key) DO UPDATE SET platform_key = ?2, app_attest_key = ?3, \
             app_attest_counter = ?4, protection = ?5, vouched_by = ?6, evidence_time = ?7, evidence_tier = ?8, \
             app_version = ?9, updated = ?10, trust_vector = ?13, labels = ?14, history = ?15, generation = ?16, \
             revision = revision + 1, withdrawn_at = NULL, withdrawn_reasons = NULL, \
             play_integrity_alone = ?17 RETURNING id, banned",
        )
        .bind(id.as_bytes().as_slice());
        let platform = PlatformColumns::of(admission);
        let row: (Vec<u8>, bool) = query
            .bind(platform.name)
            .bind(platform.app_attest_key)
            .bind(platform.app_attest_counter)
            .bind(admission.protection().number())
            .bind(admission.vouched_by().number())
            .bind(seconds(admission.evidence_time()))
            .bind(admission.evidence().tier.number())
            .bind(admission.app_version())
            .bind(seconds(now))
            .bind(admission.client_id())
            .bind(sec1(admission.instance_key()))
            .bind(json!(admission.evidence().trust_vector).to_string())
            .bind(json!(admission.evidence().labels).to_string())
            .bind(json!(history).to_string())
            .bind(commit.generation.as_bytes().as_slice())
            .bind(platform.play_integrity_alone)
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| self.lost(&error))?;
        match row {
            (_, true) => Err(CommitError::Banned),
            (id, false) => {
                if withdrawn {
                    self.raise(connection, now).await.map_err(CommitError::Store)?;
                }
                id.try_into().map(InstanceId::from_bytes).map_err(|_| CommitError::Store(self.damaged()))
            }
        }
    }

    async fn renew(
        &self,
        connection: &mut SqliteConnection,
        id: InstanceId,
        asserted: bool,
        commit: &Commit<'_>,
    ) -> Result<(), CommitError> {
        let Commit { admission, now, .. } = *commit;
        let lost = |error: sqlx::Error| self.lost(&error);
        let row: Option<(bool, bool, Option<u32>, String)> = sqlx::query_as(
            "SELECT banned, withdrawn_at IS NOT NULL, app_attest_counter, history FROM instance WHERE id = ?",
        )
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&mut *connection)
        .await
        .map_err(lost)?;
        // Evidence that vouches by itself, and was just found good, lifts a withdrawal; nothing less does.
        let lifts = admission.recorded_evidence().iter().any(RecordedEvidence::vouches_alone);
        let (stored_counter, history) = match row {
            None => return Err(CommitError::UnknownInstance),
            Some((true, ..)) => return Err(CommitError::Banned),
            Some((false, true, ..)) if !lifts => return Err(CommitError::Withdrawn),
            Some((false, withdrawn, counter, history)) => {
                if withdrawn {
                    self.raise(connection, now).await.map_err(CommitError::Store)?;
                }
                (counter, self.joined(&history, admission)?)
            }
        };
        let platform = PlatformColumns::of(admission);
        // Compare and set under the transaction's lock: of two assertions in a race only the first passes, and no
        // renewal without one takes a counter back.
        let counter = match (asserted, stored_counter, platform.app_attest_counter) {
            (true, Some(stored), Some(asserted)) if asserted > stored => Some(asserted),
            (true, _, _) => return Err(CommitError::CounterNotAbove),
            (false, stored, _) => stored,
        };
        sqlx::query(
            "UPDATE instance SET app_attest_counter = ?2, evidence_time = ?3, evidence_tier = ?4, app_version = ?5, \
             updated = ?6, trust_vector = ?7, labels = ?8, history = ?9, generation = ?10, revision = revision + 1, \
             withdrawn_at = NULL, withdrawn_reasons = NULL WHERE id = ?1",
        )
        .bind(id.as_bytes().as_slice())
        .bind(counter)
        .bind(seconds(admission.evidence_time()))
        .bind(admission.evidence().tier.number())
        .bind(admission.app_version())
        .bind(seconds(now))
        .bind(json!(admission.evidence().trust_vector).to_string())
        .bind(json!(admission.evidence().labels).to_string())
        .bind(json!(history).to_string())
        .bind(commit.generation.as_bytes().as_slice())
        .execute(&mut *connection)
        .await
        .map(drop)
        .map_err(lost)
    }

    pub(super) async fn insert_decision(
        &self,
        connection: &mut SqliteConnection,
        decision: &Decision,
        instance: Option<InstanceId>,
    ) -> Result<(), StoreError> {
        let reasons = json!(decision.reasons).to_string();
        sqlx::query(
            "INSERT INTO decision (reference, time, client_id, instance, verdict, reasons, claims, appraisal) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(decision.reference.as_str())
        .bind(seconds(decision.time))
        .bind(&decision.client_id)
        .bind(instance.map(|id| id.as_bytes().to_vec()))
        .bind(&decision.verdict)
        .bind(reasons)
        .bind(decision.claims.to_string())
        .bind(decision.appraisal.to_string())
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| self.failed(&error))
    }

    /// The history that is stored by now, and what the admission has seen: another request may have come in between.
    fn joined(&self, stored: &str, admission: &Admission) -> Result<History, CommitError> {
        let stored: History = serde_json::from_str(stored).map_err(|_| CommitError::Store(self.damaged()))?;
        Ok(stored.joined(admission.history()))
    }

    fn lost(&self, error: &sqlx::Error) -> CommitError {
        CommitError::Store(self.failed(error))
    }
}

/// The registry knows challenges by their hash, so that the file holds nothing that could be presented.
fn hash(challenge: &Challenge) -> Vec<u8> {
    Sha256::digest(challenge.as_bytes()).to_vec()
}

/// The 65 bytes of a P-256 key; empty, which the schema refuses, for a key of another kind.
fn sec1(key: &PublicKey) -> Vec<u8> {
    key.to_p256_sec1().map(Vec::from).unwrap_or_default()
}

/// How the platform vouches, in columns.
struct PlatformColumns {
    name: &'static str,
    app_attest_key: Option<Vec<u8>>,
    app_attest_counter: Option<u32>,
    play_integrity_alone: bool,
}

impl PlatformColumns {
    fn of(admission: &Admission) -> Self {
        let (name, app_attest) = match admission.platform_key() {
            PlatformKey::AppAttest { key, counter } => ("app-attest", Some((sec1(key), *counter))),
            PlatformKey::AndroidKey | PlatformKey::PlayIntegrity => ("android-key", None),
            PlatformKey::DevelopmentKey => ("development-key", None),
        };
        let (app_attest_key, app_attest_counter) = app_attest.unzip();
        let play_integrity_alone = *admission.platform_key() == PlatformKey::PlayIntegrity;
        Self { name, app_attest_key, app_attest_counter, play_integrity_alone }
    }
}
