-- Archiving: the events of finished attempts may leave the journal for a numbered file, a volume of the archive.
-- Everything else stays, so that a used key stays used and an executed proposal executed. The rules of the first
-- schema give way for exactly this move.

CREATE TABLE volumes (
    number INTEGER PRIMARY KEY CHECK (number > 0),
    digest TEXT NOT NULL UNIQUE,
    ended_before TEXT NOT NULL,
    attempts INTEGER NOT NULL CHECK (attempts > 0)
) STRICT;

-- The volume that holds the attempt's events; NULL where the journal still does.
ALTER TABLE attempts ADD COLUMN volume INTEGER REFERENCES volumes (number)
    CHECK (volume IS NULL OR state IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED'));

CREATE TRIGGER volumes_follow_one_another BEFORE INSERT ON volumes
WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM volumes)
BEGIN SELECT RAISE(ABORT, 'volumes are numbered one after another'); END;
CREATE TRIGGER volumes_are_written_once BEFORE UPDATE ON volumes
BEGIN SELECT RAISE(ABORT, 'a volume is written once'); END;
CREATE TRIGGER volumes_stay BEFORE DELETE ON volumes
BEGIN SELECT RAISE(ABORT, 'a volume is never forgotten'); END;

-- As before, but for the new column, which has a rule of its own; every other is in this list or in a header's.
DROP TRIGGER attempts_end_once;
CREATE TRIGGER attempts_end_once
BEFORE UPDATE OF state, seq, head, attempt_key, siblings, deadline, owner, effect, code, outcome ON attempts
WHEN OLD.state IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED')
BEGIN SELECT RAISE(ABORT, 'a finished attempt does not change'); END;
CREATE TRIGGER attempts_are_archived_once BEFORE UPDATE OF volume ON attempts
WHEN OLD.volume IS NOT NULL
    OR NEW.volume IS NULL
    OR NEW.volume <> (SELECT max(number) FROM volumes)
    OR OLD.state NOT IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED')
    OR (OLD.effect = 'UNKNOWN'
        AND NOT EXISTS (SELECT 1 FROM records WHERE attempt = OLD.attempt AND kind = 'resolution'))
BEGIN SELECT RAISE(ABORT, 'an attempt is archived once, when nothing about it is open'); END;

DROP TRIGGER events_stay;
CREATE TRIGGER events_leave_for_a_volume_only BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM attempts WHERE attempt = OLD.attempt AND volume IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'an event is deleted only once its attempt is archived'); END;
