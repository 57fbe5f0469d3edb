-- When a challenge was used: the same request again is answered with what expires when the first answer did. What was
-- used before this was known counts as long expired, so that the device asks anew.
ALTER TABLE consumed_challenge ADD COLUMN committed INTEGER NOT NULL DEFAULT 0;
