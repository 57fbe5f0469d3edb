-- The latest receipt of each instance's App Attest key, and when Apple is asked for the next one. Kept only where the
-- settings name a key to ask with.
CREATE TABLE receipt (
    instance       BLOB    NOT NULL PRIMARY KEY CHECK (length(instance) = 16)
                           REFERENCES instance (id) ON DELETE CASCADE,
    -- The key that it is for: once the instance has another, it counts no more.
    app_attest_key BLOB    NOT NULL CHECK (length(app_attest_key) = 65),
    rp_id_hash     BLOB    NOT NULL CHECK (length(rp_id_hash) = 32),
    environment    TEXT    NOT NULL CHECK (environment IN ('production', 'development')),
    receipt        BLOB    NOT NULL,
    risk_metric    INTEGER CHECK (risk_metric >= 0),
    created        INTEGER NOT NULL,
    expires        INTEGER NOT NULL,
    due            INTEGER NOT NULL,
    failures       INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0)
) STRICT;

CREATE INDEX receipt_by_due ON receipt (due);
CREATE INDEX receipt_by_expiry ON receipt (expires);
