-- Whether Google Play alone vouches for an instance; its platform key is `android-key` then, and none was attested.
ALTER TABLE instance ADD COLUMN play_integrity_alone INTEGER NOT NULL DEFAULT 0 CHECK (play_integrity_alone IN (0, 1));
