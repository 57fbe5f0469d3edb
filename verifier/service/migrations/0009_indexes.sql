-- The instances that a development key vouches for are found when it is revoked.
CREATE INDEX evidence_of_development_keys ON evidence (instance) WHERE kind = 'development-key';
-- The evidence of refusals is found when a policy is tried, and when it has been kept long enough.
CREATE INDEX decision_with_evidence ON decision (time) WHERE evidence IS NOT NULL;
