-- Archiving, as SQLite's `0002_volumes.sql` has it: the events of finished attempts may leave the journal for a
-- numbered file. Everything else stays. The rules of the first schema give way for exactly this move.

CREATE TABLE volumes (
    number INTEGER PRIMARY KEY CHECK (number > 0),
    digest TEXT COLLATE "C" NOT NULL UNIQUE,
    ended_before TEXT NOT NULL,
    attempts INTEGER NOT NULL CHECK (attempts > 0)
);

-- The volume that holds the attempt's events; NULL where the journal still does.
ALTER TABLE attempts ADD COLUMN volume INTEGER REFERENCES volumes (number)
    CHECK (volume IS NULL OR state IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED'));

CREATE FUNCTION volume_follows_the_last() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.number <> (SELECT coalesce(max(v.number), 0) + 1 FROM volumes v) THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'volumes are numbered one after another';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER volumes_follow_one_another BEFORE INSERT ON volumes
    FOR EACH ROW EXECUTE FUNCTION volume_follows_the_last();
CREATE TRIGGER volumes_are_written_once BEFORE UPDATE ON volumes
    FOR EACH ROW EXECUTE FUNCTION refuse('a volume is written once');
CREATE TRIGGER volumes_stay BEFORE DELETE ON volumes
    FOR EACH ROW EXECUTE FUNCTION refuse('a volume is never forgotten');
CREATE TRIGGER volumes_stay_together BEFORE TRUNCATE ON volumes
    EXECUTE FUNCTION refuse('a volume is never forgotten');

-- As before, but for the new column, which has a rule of its own; every other is in this list or in a header's.
DROP TRIGGER attempts_end_once ON attempts;
CREATE TRIGGER attempts_end_once
    BEFORE UPDATE OF state, seq, head, attempt_key, siblings, deadline, owner, effect, code, outcome ON attempts
    FOR EACH ROW WHEN (OLD.state IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED'))
    EXECUTE FUNCTION refuse('a finished attempt does not change');

CREATE FUNCTION attempt_is_archived_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.volume IS NOT NULL
        OR NEW.volume IS DISTINCT FROM (SELECT max(v.number) FROM volumes v)
        OR OLD.state NOT IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED')
        OR (OLD.effect = 'UNKNOWN' AND NOT EXISTS (
            SELECT FROM records r WHERE r.attempt = OLD.attempt AND r.kind = 'resolution'))
    THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'an attempt is archived once, when nothing about it is open';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER attempts_are_archived_once BEFORE UPDATE OF volume ON attempts
    FOR EACH ROW EXECUTE FUNCTION attempt_is_archived_once();

CREATE FUNCTION event_leaves_for_a_volume_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM attempts a WHERE a.attempt = OLD.attempt AND a.volume IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'an event is deleted only once its attempt is archived';
    END IF;
    RETURN OLD;
END $$;

DROP TRIGGER events_stay ON events;
CREATE TRIGGER events_leave_for_a_volume_only BEFORE DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION event_leaves_for_a_volume_only();

-- Volume, marks and deletions, each conditional on what it was told: [attempt, length, last hash, events] of each. One
-- statement of its own under the journal's lock, since it takes as long as many entries.
CREATE FUNCTION journal_archive(p_job text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    job CONSTANT jsonb := p_job;
    v_number CONSTANT integer := job->>'number';
    v_count CONSTANT integer := job->>'count';
    v_marked bigint;
    v_gone bigint;
BEGIN
    PERFORM journal_lock();
    IF v_number <> (SELECT coalesce(max(v.number), 0) + 1 FROM volumes v)
        OR v_count <> jsonb_array_length(job->'attempts') THEN
        RAISE EXCEPTION USING ERRCODE = 'GW001',
            MESSAGE = 'the next volume is another by now; somebody else is archiving, so run this again afterwards';
    END IF;
    INSERT INTO volumes (number, digest, ended_before, attempts)
    VALUES (v_number, job->>'digest', job->>'ended_before', v_count);
    UPDATE attempts a SET volume = v_number FROM jsonb_array_elements(job->'attempts') w
    WHERE a.attempt = w->>0 AND a.seq = (w->>1)::integer AND a.head = w->>2 AND a.volume IS NULL;
    GET DIAGNOSTICS v_marked = ROW_COUNT;
    IF v_marked = v_count THEN
        DELETE FROM events e USING jsonb_array_elements(job->'attempts') w WHERE e.attempt = w->>0;
        GET DIAGNOSTICS v_gone = ROW_COUNT;
    END IF;
    IF v_gone IS DISTINCT FROM (SELECT sum((w->>3)::bigint) FROM jsonb_array_elements(job->'attempts') w) THEN
        RAISE EXCEPTION USING ERRCODE = 'GW001',
            MESSAGE = 'an attempt is not as it was when its volume was written; nothing was deleted';
    END IF;
    RETURN '{}';
EXCEPTION
    WHEN SQLSTATE 'GW001' OR integrity_constraint_violation THEN
        RETURN jsonb_build_object('refused', SQLSTATE, 'because', SQLERRM);
END $$;
