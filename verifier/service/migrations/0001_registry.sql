-- One row for each installation of an app that has enrolled.
CREATE TABLE instance (
    id                 BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    client_id          TEXT    NOT NULL,
    instance_key       BLOB    NOT NULL CHECK (length(instance_key) = 65),
    -- How the platform vouches for the instance from one renewal to the next.
    platform_key       TEXT    NOT NULL CHECK (platform_key IN ('app-attest', 'android-key', 'development-key')),
    app_attest_key     BLOB    CHECK (length(app_attest_key) = 65),
    app_attest_counter INTEGER CHECK (app_attest_counter BETWEEN 0 AND 4294967295),
    protection         INTEGER NOT NULL,
    vouched_by         INTEGER NOT NULL,
    evidence_time      INTEGER NOT NULL,
    evidence_tier      INTEGER NOT NULL,
    app_version        TEXT    NOT NULL,
    banned             INTEGER NOT NULL DEFAULT 0 CHECK (banned IN (0, 1)),
    created            INTEGER NOT NULL,
    updated            INTEGER NOT NULL,
    UNIQUE (client_id, instance_key),
    CHECK ((platform_key = 'app-attest') = (app_attest_key IS NOT NULL)),
    CHECK ((app_attest_key IS NULL) = (app_attest_counter IS NULL))
) STRICT;

CREATE INDEX instance_by_ban ON instance (id) WHERE banned = 1;

-- Challenges that were used, until they would have expired anyway. The same request again is answered again: for
-- that, the counter that its assertion was compared with is kept.
CREATE TABLE consumed_challenge (
    challenge        BLOB    NOT NULL PRIMARY KEY CHECK (length(challenge) = 32),
    request          BLOB    NOT NULL CHECK (length(request) = 32),
    instance         BLOB    NOT NULL CHECK (length(instance) = 16),
    verdict          TEXT    NOT NULL,
    previous_counter INTEGER CHECK (previous_counter BETWEEN 0 AND 4294967295),
    expires          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX consumed_challenge_by_expiry ON consumed_challenge (expires);

-- What was decided and why. The reference is all that a device is told of it.
CREATE TABLE decision (
    reference TEXT    NOT NULL CHECK (length(reference) = 8),
    time      INTEGER NOT NULL,
    client_id TEXT,
    instance  BLOB,
    verdict   TEXT    NOT NULL,
    reasons   TEXT    NOT NULL,
    claims    TEXT    NOT NULL
) STRICT;

CREATE INDEX decision_by_reference ON decision (reference);
CREATE INDEX decision_by_time ON decision (time);

-- Facts about this installation of the service itself.
CREATE TABLE service_fact (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
