-- The journal's schema on PostgreSQL: the same tables, keys and triggers as SQLite's. They hold I1 and I9's
-- "written once" even where the code above them is wrong; `gateway audit verify` finds who went past them.
-- Text compares by bytes (COLLATE "C"), so that no locale of the server decides what is equal or comes first.

CREATE TABLE version (
    number INTEGER PRIMARY KEY
);

CREATE TABLE meta (
    name TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

-- One row per session of a gateway process: `lock` is the number of the advisory lock that it holds for its life,
-- `backend` the server process that holds it, `proved` when it last proved that it can write.
CREATE TABLE owners (
    owner TEXT COLLATE "C" PRIMARY KEY,
    lock BIGINT NOT NULL UNIQUE,
    backend INTEGER NOT NULL,
    proved TIMESTAMPTZ
) WITH (fillfactor = 50);

-- One row per attempt. `position` counts attempts from 1 without gaps; `siblings` keeps, separated by
-- blanks, the keyed digests that the intent reserved, after the reservations themselves are gone.
CREATE TABLE attempts (
    position BIGINT PRIMARY KEY,
    attempt TEXT COLLATE "C" NOT NULL UNIQUE,
    purpose TEXT NOT NULL,
    trigger_id TEXT,
    practice TEXT COLLATE "C",
    proposal TEXT COLLATE "C",
    proposal_digest TEXT,
    connection TEXT,
    operation TEXT,
    approval TEXT,
    state TEXT NOT NULL CHECK (state IN (
        'NEW', 'VALIDATING', 'GATED', 'AUTHORIZED', 'RUNNING', 'PAUSED', 'AUDITING',
        'SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED')),
    seq INTEGER NOT NULL CHECK (seq > 0),
    head TEXT NOT NULL,
    attempt_key TEXT COLLATE "C" UNIQUE,
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
);

CREATE INDEX attempts_of_proposal ON attempts (proposal, position);
CREATE INDEX attempts_in_flight ON attempts (position) WHERE deadline IS NOT NULL AND outcome IS NULL;
CREATE INDEX attempts_unknown ON attempts (position) WHERE effect = 'UNKNOWN';

CREATE TABLE events (
    attempt TEXT COLLATE "C" NOT NULL REFERENCES attempts (attempt),
    seq INTEGER NOT NULL CHECK (seq > 0),
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (attempt, seq)
);

-- Everything said about a proposal, one chain per proposal. `position` counts records from 1 without gaps.
CREATE TABLE records (
    position BIGINT PRIMARY KEY,
    practice TEXT COLLATE "C" NOT NULL,
    proposal TEXT COLLATE "C" NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN (
        'proposal', 'decision', 'stop', 'withdrawal', 'resolution', 'observation')),
    reference TEXT COLLATE "C" NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    attempt TEXT COLLATE "C" REFERENCES attempts (attempt),
    finding TEXT CHECK (finding IN ('APPLIED', 'ABSENT', 'HANDLED_BY_HAND')),
    UNIQUE (practice, proposal, seq),
    CHECK (seq > 1 OR kind = 'proposal'),
    CHECK ((kind IN ('resolution', 'observation')) = (attempt IS NOT NULL)),
    CHECK ((kind = 'resolution') = (finding IS NOT NULL))
);

CREATE UNIQUE INDEX records_by_reference ON records (practice, kind, reference) WHERE kind <> 'proposal';
CREATE UNIQUE INDEX records_resolution ON records (attempt) WHERE kind = 'resolution';
CREATE INDEX records_observation ON records (attempt, seq) WHERE kind = 'observation';
CREATE INDEX records_latch ON records (practice, proposal, kind, seq);
CREATE INDEX records_first ON records (position) WHERE seq = 1;

-- The caller's keys (IDEM-01): a trigger id is used once, for one text.
CREATE TABLE triggers (
    trigger_id TEXT COLLATE "C" PRIMARY KEY,
    digest TEXT NOT NULL,
    attempt TEXT COLLATE "C" NOT NULL REFERENCES attempts (attempt)
);

CREATE INDEX triggers_of_attempt ON triggers (attempt);

-- One dispatch per proposal (CARD-05), and none beside an unresolved sibling (CARD-10).
CREATE TABLE holds (
    practice TEXT COLLATE "C" NOT NULL,
    proposal TEXT COLLATE "C" NOT NULL,
    attempt TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES attempts (attempt),
    PRIMARY KEY (practice, proposal)
);

CREATE TABLE siblings (
    sibling TEXT COLLATE "C" PRIMARY KEY,
    attempt TEXT COLLATE "C" NOT NULL REFERENCES attempts (attempt)
);

CREATE INDEX siblings_of_attempt ON siblings (attempt);

CREATE TABLE suspensions (
    connection TEXT COLLATE "C" PRIMARY KEY
);

CREATE TABLE budgets (
    connection TEXT COLLATE "C" PRIMARY KEY,
    minute BIGINT NOT NULL,
    requests INTEGER NOT NULL CHECK (requests >= 0)
) WITH (fillfactor = 50);

-- What a trigger says when it refuses is of the class of constraint violations, as if a CHECK had said it.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = TG_ARGV[0];
END $$;

CREATE TRIGGER events_are_written_once BEFORE UPDATE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse('an event is written once');
CREATE TRIGGER events_stay BEFORE DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse('an event is never deleted');
CREATE TRIGGER events_stay_together BEFORE TRUNCATE ON events
    EXECUTE FUNCTION refuse('an event is never deleted');

CREATE TRIGGER records_are_written_once BEFORE UPDATE ON records
    FOR EACH ROW EXECUTE FUNCTION refuse('a record is written once');
CREATE TRIGGER records_stay BEFORE DELETE ON records
    FOR EACH ROW EXECUTE FUNCTION refuse('a record is never deleted');
CREATE TRIGGER records_stay_together BEFORE TRUNCATE ON records
    EXECUTE FUNCTION refuse('a record is never deleted');

CREATE TRIGGER triggers_are_written_once BEFORE UPDATE ON triggers
    FOR EACH ROW EXECUTE FUNCTION refuse('a trigger is used once');
CREATE TRIGGER triggers_stay BEFORE DELETE ON triggers
    FOR EACH ROW EXECUTE FUNCTION refuse('a used trigger stays used');
CREATE TRIGGER triggers_stay_together BEFORE TRUNCATE ON triggers
    EXECUTE FUNCTION refuse('a used trigger stays used');

CREATE TRIGGER attempts_end_once BEFORE UPDATE ON attempts
    FOR EACH ROW WHEN (OLD.state IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED'))
    EXECUTE FUNCTION refuse('a finished attempt does not change');
CREATE TRIGGER attempts_keep_their_header
    BEFORE UPDATE OF position, attempt, purpose, trigger_id, practice, proposal, proposal_digest, connection,
        operation, approval ON attempts
    FOR EACH ROW EXECUTE FUNCTION refuse('what an attempt is about does not change');
CREATE TRIGGER attempts_stay BEFORE DELETE ON attempts
    FOR EACH ROW EXECUTE FUNCTION refuse('an attempt is never deleted');
CREATE TRIGGER attempts_stay_together BEFORE TRUNCATE ON attempts
    EXECUTE FUNCTION refuse('an attempt is never deleted');

CREATE TRIGGER holds_do_not_move BEFORE UPDATE ON holds
    FOR EACH ROW EXECUTE FUNCTION refuse('a hold does not move');
CREATE TRIGGER holds_stay_together BEFORE TRUNCATE ON holds
    EXECUTE FUNCTION refuse('a hold falls on NOT_SENT, REFUSED or a signed ABSENT only');

CREATE FUNCTION hold_falls_on_proof_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM attempts a WHERE a.attempt = OLD.attempt AND a.effect IN ('NOT_SENT', 'REFUSED'))
        AND NOT EXISTS (
            SELECT FROM attempts a JOIN records r USING (attempt)
            WHERE a.attempt = OLD.attempt AND a.effect = 'UNKNOWN' AND r.kind = 'resolution' AND r.finding = 'ABSENT')
    THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'a hold falls on NOT_SENT, REFUSED or a signed ABSENT only';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER holds_fall_on_proof_only BEFORE DELETE ON holds
    FOR EACH ROW EXECUTE FUNCTION hold_falls_on_proof_only();

CREATE TRIGGER siblings_do_not_move BEFORE UPDATE ON siblings
    FOR EACH ROW EXECUTE FUNCTION refuse('a sibling reservation does not move');
CREATE TRIGGER siblings_stay_together BEFORE TRUNCATE ON siblings
    EXECUTE FUNCTION refuse('siblings stay reserved while the effect is unknown');

CREATE FUNCTION siblings_fall_with_the_unknown() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
            SELECT FROM attempts a WHERE a.attempt = OLD.attempt AND a.effect IN ('NOT_SENT', 'REFUSED', 'APPLIED'))
        AND NOT EXISTS (SELECT FROM records r WHERE r.attempt = OLD.attempt AND r.kind = 'resolution')
    THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'siblings stay reserved while the effect is unknown';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER siblings_fall_with_the_unknown BEFORE DELETE ON siblings
    FOR EACH ROW EXECUTE FUNCTION siblings_fall_with_the_unknown();
