-- Why and when an instance was banned, for whoever lifts the ban.
ALTER TABLE instance ADD COLUMN ban_reason TEXT;
ALTER TABLE instance ADD COLUMN ban_time INTEGER;

-- What was not used for long is found without reading everything.
CREATE INDEX instance_by_update ON instance (updated);
-- What was decided about an instance is found when it is erased.
CREATE INDEX decision_by_instance ON decision (instance) WHERE instance IS NOT NULL;

-- Instances that were erased while a result of theirs may still be good: edges refuse them until it has expired.
CREATE TABLE erased_instance (
    id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    denied_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Users whom edges refuse, whatever device they come with; the digest is what deny lists name them by.
CREATE TABLE subject_ban (
    digest  BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    issuer  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    banned  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys of the administration over HTTP: of each only SHA-256 of its secret bytes. A revoked one stays, so that its
-- name in the trail of acts never means another.
CREATE TABLE admin_key (
    name    TEXT    NOT NULL PRIMARY KEY,
    digest  BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT, WITHOUT ROWID;

-- Keys of developers' machines, which vouch for the instances of development apps.
CREATE TABLE development_key (
    id         TEXT    NOT NULL PRIMARY KEY,
    public_key BLOB    NOT NULL CHECK (length(public_key) = 65),
    client_ids TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    revoked    INTEGER
) STRICT, WITHOUT ROWID;

-- Who changed what, and when.
CREATE TABLE administrative_act (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    time   INTEGER NOT NULL,
    actor  TEXT    NOT NULL,
    action TEXT    NOT NULL,
    object TEXT    NOT NULL,
    detail TEXT    NOT NULL
) STRICT;

CREATE INDEX administrative_act_by_time ON administrative_act (time);
