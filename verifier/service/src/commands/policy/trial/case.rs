//! What is replayed: the evidence that instances stand on, and that of refusals, a batch at a time.

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_verifier::evidence::RecordedEvidence;

use crate::store::{
    InstanceFilter, InstanceRecord, RecordedCircumstances, RefusedEvidence, Store, StoreError, StoredEvidence,
};

/// How many are read at a time.
const BATCH: u32 = 256;

/// Why what cannot be read is not replayed.
const UNREADABLE: &str = "what is stored of the instance cannot be read";
const UNREADABLE_REFUSAL: &str = "what is stored of the refusal cannot be read";

/// Recorded evidence with all that was known beside it.
pub(super) struct Case {
    pub(super) origin: Origin,
    pub(super) client_id: String,
    /// Never empty.
    pub(super) pieces: Vec<RecordedEvidence>,
    pub(super) circumstances: RecordedCircumstances,
    /// SHA-256 thumbprint of the instance key; unknown for enrolments that an earlier version of this program refused.
    pub(super) cohort_key: Option<[u8; 32]>,
    pub(super) signals: KnownBeside,
}

/// What the registry knows of an instance beside its evidence; nothing of a refusal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KnownBeside {
    /// How many instances have their latest evidence from the same attestation key.
    pub(super) instances_of_certificate: Option<u32>,
    /// Apple's risk metric.
    pub(super) risk_metric: Option<u64>,
}

/// Whose evidence it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// An enrolled instance's.
    Instance(InstanceId),
    /// That of a refusal, by its reference, or by its row where that cannot be read.
    Refusal(String),
}

/// What cannot be replayed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) origin: Origin,
    pub(super) reason: &'static str,
}

/// Cases, and why others are none.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) cases: Vec<Case>,
    pub(super) skipped: Vec<Skipped>,
}

/// All cases since a time: first of instances, then of refusals.
pub(super) struct Cases<'a> {
    store: &'a Store,
    since: Timestamp,
    position: Position,
}

enum Position {
    Instances { after: Option<InstanceId> },
    Refusals { after: i64 },
    End,
}

impl<'a> Cases<'a> {
    pub(super) const fn of(store: &'a Store, since: Timestamp) -> Self {
        Self { store, since, position: Position::Instances { after: None } }
    }

    /// The next ones, which may be none of a batch; None at the end.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(super) async fn next_batch(&mut self) -> Result<Option<Batch>, StoreError> {
        match self.position {
            Position::Instances { after } => self.instances(after).await.map(Some),
            Position::Refusals { after } => self.refusals(after).await.map(Some),
            Position::End => Ok(None),
        }
    }

    async fn instances(&mut self, after: Option<InstanceId>) -> Result<Batch, StoreError> {
        let filter = InstanceFilter { updated_since: Some(self.since), ..InstanceFilter::default() };
        let rows = self.store.instances(&filter, after, BATCH).await?;
        self.position = match rows.last {
            Some(last) => Position::Instances { after: Some(last) },
            None => Position::Refusals { after: 0 },
        };
        let mut batch = Batch::default();
        for id in rows.unreadable {
            batch.put(Origin::Instance(id), Err(UNREADABLE));
        }
        for record in rows.records {
            let origin = Origin::Instance(record.registered.id);
            let case = match self.of_instance(&record).await {
                Ok(case) => case,
                Err(StoreError::DamagedRow { .. }) => Err(UNREADABLE),
                Err(error) => return Err(error),
            };
            batch.put(origin, case);
        }
        Ok(batch)
    }

    async fn of_instance(&self, record: &InstanceRecord) -> Result<Result<Case, &'static str>, StoreError> {
        if record.banned {
            return Ok(Err("the instance is banned"));
        }
        let id = record.registered.id;
        let evidence = self.store.evidence_of(&id).await?;
        let signals = KnownBeside {
            instances_of_certificate: self.store.instances_sharing_the_key_of(&id).await?,
            risk_metric: self.store.risk_metric(&id).await?,
        };
        Ok(of_instance(record, evidence, signals))
    }

    async fn refusals(&mut self, after: i64) -> Result<Batch, StoreError> {
        let refusals = self.store.refused_evidence(self.since, after, BATCH).await?;
        self.position = match refusals.last {
            Some(row) => Position::Refusals { after: row },
            None => Position::End,
        };
        let mut batch = Batch::default();
        for name in refusals.unreadable {
            batch.put(Origin::Refusal(name), Err(UNREADABLE_REFUSAL));
        }
        for (decision, refused) in refusals.whole {
            let instance = match &decision.instance {
                Some(id) => match self.store.instance(id).await {
                    Err(StoreError::DamagedRow { .. }) => None,
                    read => read?,
                },
                None => None,
            };
            let origin = Origin::Refusal(decision.reference.as_str().to_owned());
            batch.put(origin.clone(), of_refusal(origin, decision.client_id, refused, instance.as_ref()));
        }
        Ok(batch)
    }
}

impl Batch {
    fn put(&mut self, origin: Origin, case: Result<Case, &'static str>) {
        match case {
            Ok(case) => self.cases.push(case),
            Err(reason) => self.skipped.push(Skipped { origin, reason }),
        }
    }
}

fn of_instance(
    record: &InstanceRecord,
    evidence: Vec<StoredEvidence>,
    signals: KnownBeside,
) -> Result<Case, &'static str> {
    let mut pieces = Vec::with_capacity(evidence.len());
    for stored in &evidence {
        let piece = stored.recorded.clone();
        pieces.push(piece.map_err(|_| "another version of this program wrote the evidence")?);
    }
    // What vouches for the instance says what it continued; what it reported last counts.
    let with_pieces = || pieces.iter().zip(&evidence);
    let primary = with_pieces().find(|(piece, _)| piece.vouches_alone());
    let latest = with_pieces().max_by_key(|(piece, _)| piece.verified_at());
    let Some((_, latest)) = latest else { return Err("no evidence of the instance is stored") };
    let circumstances = RecordedCircumstances {
        environment: latest.circumstances.environment,
        app_version: record.app_version.clone(),
        history: primary.and_then(|(_, stored)| stored.circumstances.history.clone()),
        instance_jkt: None,
    };
    Ok(Case {
        origin: Origin::Instance(record.registered.id),
        client_id: record.registered.client_id.clone(),
        circumstances,
        cohort_key: Some(*record.registered.instance_key.thumbprint().as_bytes()),
        signals,
        pieces,
    })
}

fn of_refusal(
    origin: Origin,
    client_id: Option<String>,
    refused: RefusedEvidence,
    instance: Option<&InstanceRecord>,
) -> Result<Case, &'static str> {
    if refused.recorded.is_empty() {
        return Err("another version of this program wrote the evidence");
    }
    Ok(Case {
        origin,
        client_id: client_id.ok_or("the refusal names no client")?,
        pieces: refused.recorded,
        cohort_key: instance
            .map(|record| *record.registered.instance_key.thumbprint().as_bytes())
            .or_else(|| refused.circumstances.cohort_key()),
        circumstances: refused.circumstances,
        signals: KnownBeside::default(),
    })
}
