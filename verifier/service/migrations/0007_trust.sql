-- What the standing of an instance rests on, as it was verified, so that it can be verified again when roots, status
-- list or policy change. An iPhone has two rows: the attestation of its key and its latest assertion.
CREATE TABLE evidence (
    instance      BLOB    NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
    kind          TEXT    NOT NULL,
    verified_at   INTEGER NOT NULL,
    circumstances TEXT    NOT NULL,
    recorded      BLOB    NOT NULL CHECK (length(recorded) <= 98304),
    PRIMARY KEY (instance, kind)
) STRICT;

-- Under which policy, roots and status list an instance was judged last, how often what is known of it changed, and
-- since when and why it gets no results.
ALTER TABLE instance ADD COLUMN generation BLOB NOT NULL DEFAULT x'';
ALTER TABLE instance ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN withdrawn_at INTEGER;
ALTER TABLE instance ADD COLUMN withdrawn_reasons TEXT;
CREATE INDEX instance_by_generation ON instance (generation);
CREATE INDEX instance_by_withdrawal ON instance (withdrawn_at) WHERE withdrawn_at IS NOT NULL;

-- The evidence of a refusal, for a policy that is tried.
ALTER TABLE decision ADD COLUMN circumstances TEXT;
ALTER TABLE decision ADD COLUMN evidence BLOB CHECK (length(evidence) <= 32768);
