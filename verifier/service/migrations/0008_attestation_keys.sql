-- SHA-256 of the attestation key that the instance's latest Android evidence was signed with.
ALTER TABLE instance ADD COLUMN attestation_key BLOB CHECK (length(attestation_key) = 32);
CREATE INDEX instance_attestation_key ON instance (attestation_key) WHERE attestation_key IS NOT NULL;
