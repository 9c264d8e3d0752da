-- The journal's first schema. Unique keys and triggers hold I1 and I9's "written once" even where the
-- code above them is wrong; whoever edits the file by hand is found by `gateway audit verify` instead.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per attempt. `position` counts attempts from 1 without gaps; `siblings` keeps, separated by
-- blanks, the keyed digests that the intent reserved, after the reservations themselves are gone.
CREATE TABLE attempts (
    position INTEGER PRIMARY KEY,
    attempt TEXT NOT NULL UNIQUE,
    purpose TEXT NOT NULL,
    trigger_id TEXT,
    practice TEXT,
    proposal TEXT,
    proposal_digest TEXT,
    connection TEXT,
    operation TEXT,
    approval TEXT,
    state TEXT NOT NULL CHECK (state IN (
        'NEW', 'VALIDATING', 'GATED', 'AUTHORIZED', 'RUNNING', 'PAUSED', 'AUDITING',
        'SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED')),
    seq INTEGER NOT NULL CHECK (seq > 0),
    head TEXT NOT NULL,
    attempt_key TEXT UNIQUE,
    siblings TEXT,
    deadline TEXT,
    owner TEXT,
    effect TEXT CHECK (effect IN ('NOT_SENT', 'REFUSED', 'APPLIED', 'UNKNOWN')),
    code TEXT,
    outcome TEXT,
    CHECK ((deadline IS NULL) = (owner IS NULL)),
    CHECK (state IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED', 'PAUSED') = (outcome IS NOT NULL)),
    CHECK ((outcome IS NULL) = (code IS NULL)),
    CHECK (effect IS NULL OR deadline IS NOT NULL)
) STRICT;

CREATE INDEX attempts_of_proposal ON attempts (proposal, position);
CREATE INDEX attempts_in_flight ON attempts (owner) WHERE deadline IS NOT NULL AND outcome IS NULL;
CREATE INDEX attempts_unknown ON attempts (position) WHERE effect = 'UNKNOWN';

CREATE TABLE events (
    attempt TEXT NOT NULL REFERENCES attempts (attempt),
    seq INTEGER NOT NULL CHECK (seq > 0),
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (attempt, seq)
) STRICT, WITHOUT ROWID;

-- Everything said about a proposal, one chain per proposal. `position` counts records from 1 without gaps.
CREATE TABLE records (
    position INTEGER PRIMARY KEY,
    practice TEXT NOT NULL,
    proposal TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    kind TEXT NOT NULL CHECK (kind IN (
        'proposal', 'decision', 'stop', 'withdrawal', 'resolution', 'observation')),
    reference TEXT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    attempt TEXT REFERENCES attempts (attempt),
    finding TEXT CHECK (finding IN ('APPLIED', 'ABSENT', 'HANDLED_BY_HAND')),
    UNIQUE (practice, proposal, seq),
    CHECK (seq > 1 OR kind = 'proposal'),
    CHECK ((kind IN ('resolution', 'observation')) = (attempt IS NOT NULL)),
    CHECK ((kind = 'resolution') = (finding IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX records_by_reference ON records (practice, kind, reference) WHERE kind <> 'proposal';
CREATE UNIQUE INDEX records_resolution ON records (attempt) WHERE kind = 'resolution';
CREATE INDEX records_observation ON records (attempt, seq) WHERE kind = 'observation';
CREATE INDEX records_latch ON records (practice, proposal, kind, seq);
CREATE INDEX records_first ON records (position) WHERE seq = 1;

-- The caller's keys (IDEM-01): a trigger id is used once, for one text.
CREATE TABLE triggers (
    trigger_id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    attempt TEXT NOT NULL REFERENCES attempts (attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX triggers_of_attempt ON triggers (attempt);

-- One dispatch per proposal (CARD-05), and none beside an unresolved sibling (CARD-10).
CREATE TABLE holds (
    practice TEXT NOT NULL,
    proposal TEXT NOT NULL,
    attempt TEXT NOT NULL UNIQUE REFERENCES attempts (attempt),
    PRIMARY KEY (practice, proposal)
) STRICT, WITHOUT ROWID;

CREATE TABLE siblings (
    sibling TEXT PRIMARY KEY,
    attempt TEXT NOT NULL REFERENCES attempts (attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX siblings_of_attempt ON siblings (attempt);

CREATE TABLE suspensions (
    connection TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE budgets (
    connection TEXT PRIMARY KEY,
    minute INTEGER NOT NULL,
    requests INTEGER NOT NULL CHECK (requests >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE probe (
    row INTEGER PRIMARY KEY CHECK (row = 1),
    at TEXT NOT NULL
) STRICT;

CREATE TRIGGER events_are_written_once BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'an event is written once'); END;
CREATE TRIGGER events_stay BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;

CREATE TRIGGER records_are_written_once BEFORE UPDATE ON records
BEGIN SELECT RAISE(ABORT, 'a record is written once'); END;
CREATE TRIGGER records_stay BEFORE DELETE ON records
BEGIN SELECT RAISE(ABORT, 'a record is never deleted'); END;

CREATE TRIGGER triggers_are_written_once BEFORE UPDATE ON triggers
BEGIN SELECT RAISE(ABORT, 'a trigger is used once'); END;
CREATE TRIGGER triggers_stay BEFORE DELETE ON triggers
BEGIN SELECT RAISE(ABORT, 'a used trigger stays used'); END;

CREATE TRIGGER attempts_end_once BEFORE UPDATE ON attempts
WHEN OLD.state IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED')
BEGIN SELECT RAISE(ABORT, 'a finished attempt does not change'); END;
CREATE TRIGGER attempts_keep_their_header
BEFORE UPDATE OF position, attempt, purpose, trigger_id, practice, proposal, proposal_digest, connection,
    operation, approval ON attempts
BEGIN SELECT RAISE(ABORT, 'what an attempt is about does not change'); END;
CREATE TRIGGER attempts_stay BEFORE DELETE ON attempts
BEGIN SELECT RAISE(ABORT, 'an attempt is never deleted'); END;

CREATE TRIGGER holds_do_not_move BEFORE UPDATE ON holds
BEGIN SELECT RAISE(ABORT, 'a hold does not move'); END;
CREATE TRIGGER holds_fall_on_proof_only BEFORE DELETE ON holds
WHEN NOT EXISTS (
        SELECT 1 FROM attempts WHERE attempt = OLD.attempt AND effect IN ('NOT_SENT', 'REFUSED'))
    AND NOT EXISTS (
        SELECT 1 FROM attempts JOIN records USING (attempt)
        WHERE attempt = OLD.attempt AND effect = 'UNKNOWN' AND kind = 'resolution' AND finding = 'ABSENT')
BEGIN SELECT RAISE(ABORT, 'a hold falls on NOT_SENT, REFUSED or a signed ABSENT only'); END;

CREATE TRIGGER siblings_do_not_move BEFORE UPDATE ON siblings
BEGIN SELECT RAISE(ABORT, 'a sibling reservation does not move'); END;
CREATE TRIGGER siblings_fall_with_the_unknown BEFORE DELETE ON siblings
WHEN NOT EXISTS (
        SELECT 1 FROM attempts WHERE attempt = OLD.attempt AND effect IN ('NOT_SENT', 'REFUSED', 'APPLIED'))
    AND NOT EXISTS (
        SELECT 1 FROM records WHERE attempt = OLD.attempt AND kind = 'resolution')
BEGIN SELECT RAISE(ABORT, 'siblings stay reserved while the effect is unknown'); END;
