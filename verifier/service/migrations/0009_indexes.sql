-- The instances that a development key vouches for are found when it is revoked.
CREATE INDEX evidence_of_development_keys ON evidence (instance) WHERE kind = 'development-key';
-- What evidence said is found when it has been kept long enough.
CREATE INDEX decision_that_quotes_evidence ON decision (time)
    WHERE claims <> 'null' OR appraisal <> 'null' OR evidence IS NOT NULL;
