-- What one entry does to the tables: the conditions of the contract, in its order, as `_sqlite_writes.py` has them.
--
-- Every durable write of a journal is one call of `journal_write`, one statement that commits by itself: nobody holds
-- a lock while waiting for a client. All of them take one lock first, the journal's, until the commit. They are
-- therefore in one order, see everything before them (READ COMMITTED: each query in a VOLATILE function looks anew),
-- number without gaps, and can neither deadlock nor fail to serialise.
--
-- Refusals have codes of their own: GW001 conflict, GW002 not found, GW003 invariant violated, GW004 the session no
-- longer owns what it would write, or the server no longer keeps what it acknowledges.

CREATE FUNCTION journal_lock() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1196902961, ('meta'::regclass::oid::bigint - 2147483648)::integer);
END $$;

-- An owner writes from the backend that holds its lock, or not at all: behind a pooler that hands out another backend
-- for each transaction, a lock would say nothing.
CREATE FUNCTION journal_owned(p_owner text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM owners o WHERE o.owner = p_owner AND o.backend = pg_backend_pid()) THEN
        RAISE EXCEPTION USING ERRCODE = 'GW004', MESSAGE = 'this session is not the owner''s';
    END IF;
END $$;

CREATE FUNCTION journal_answer(admission text, holder text DEFAULT NULL) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('admission', admission, 'holder', holder)
$$;

CREATE FUNCTION journal_stopped(p_practice text, p_proposal text, p_revision text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM records s
        WHERE s.practice = p_practice AND s.proposal = p_proposal AND s.kind = 'stop' AND s.seq > (
            SELECT max(r.seq) FROM records r
            WHERE r.practice = p_practice AND r.proposal = p_proposal AND r.kind = 'proposal'
                AND (p_revision IS NULL OR r.reference = p_revision)))
$$;

-- Why an intent is not admitted; NULL if it is.
CREATE FUNCTION journal_intent_refused(job jsonb, intent jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_practice CONSTANT text := job->>'practice';
    v_proposal CONSTANT text := job->>'proposal';
    v_holder text;
    v_effect text;
    v_finding text;
    v_standing text;
BEGIN
    IF journal_stopped(v_practice, v_proposal, job->>'proposal_digest') THEN
        RETURN journal_answer('stopped');
    END IF;
    SELECT a.attempt INTO v_holder FROM attempts a WHERE a.attempt_key = intent->>'attempt_key';
    IF FOUND THEN
        RETURN journal_answer('key-taken', v_holder);
    END IF;
    SELECT h.attempt, a.effect, r.finding INTO v_holder, v_effect, v_finding
    FROM holds h JOIN attempts a ON a.attempt = h.attempt
        LEFT JOIN records r ON r.attempt = h.attempt AND r.kind = 'resolution'
    WHERE h.practice = v_practice AND h.proposal = v_proposal;
    IF FOUND THEN
        IF v_effect = 'APPLIED' OR v_finding IN ('APPLIED', 'HANDLED_BY_HAND') THEN
            RETURN journal_answer('executed', v_holder);
        END IF;
        RETURN journal_answer('frozen', v_holder);
    END IF;
    IF intent->>'judged' IS NOT NULL THEN
        SELECT r.hash INTO v_standing FROM records r
        WHERE r.practice = v_practice AND r.proposal = v_proposal AND r.kind <> 'observation'
        ORDER BY r.seq DESC LIMIT 1;
        IF v_standing IS DISTINCT FROM intent->>'judged' THEN
            RETURN journal_answer('moved');
        END IF;
    END IF;
    SELECT s.attempt INTO v_holder
    FROM jsonb_array_elements_text(intent->'siblings') WITH ORDINALITY AS wanted (sibling, place)
        JOIN siblings s ON s.sibling = wanted.sibling
    ORDER BY wanted.place LIMIT 1;
    IF FOUND THEN
        RETURN journal_answer('related', v_holder);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION journal_append(job jsonb, p_owner text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_attempt CONSTANT text := job->>'attempt';
    v_stored CONSTANT integer := job->>'stored';
    v_trigger CONSTANT text := job->'key'->>0;
    v_intent CONSTANT jsonb := nullif(job->'intent', 'null');
    v_refused jsonb;
    v_digest text;
    v_holder text;
    v_seq integer;
    v_head text;
    v_state text;
BEGIN
    IF v_trigger IS NOT NULL THEN
        SELECT t.digest, t.attempt INTO v_digest, v_holder FROM triggers t WHERE t.trigger_id = v_trigger;
        IF FOUND THEN
            RETURN journal_answer(
                CASE WHEN v_digest = job->'key'->>1 THEN 'key-taken' ELSE 'key-collision' END, v_holder);
        END IF;
    END IF;
    SELECT a.seq, a.head, a.state INTO v_seq, v_head, v_state FROM attempts a WHERE a.attempt = v_attempt;
    IF v_stored = 0 THEN
        IF FOUND THEN
            RETURN journal_answer('lost');
        END IF;
    ELSIF NOT FOUND OR v_seq <> v_stored
        OR v_state IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED') THEN
        RETURN journal_answer('lost');
    ELSIF v_head <> job->>'previous' THEN
        RAISE EXCEPTION USING ERRCODE = 'GW003', MESSAGE = 'this append does not continue the recorded chain';
    END IF;
    IF v_intent IS NOT NULL THEN
        v_refused := journal_intent_refused(job, v_intent);
        IF v_refused IS NOT NULL THEN
            RETURN v_refused;
        END IF;
    END IF;

    PERFORM journal_write_row(job, CASE WHEN v_intent IS NULL THEN NULL ELSE p_owner END);
    INSERT INTO events (attempt, seq, body, hash)
    SELECT v_attempt, (e->>0)::integer, e->>1, e->>2 FROM jsonb_array_elements(job->'events') e;
    IF v_trigger IS NOT NULL THEN
        INSERT INTO triggers (trigger_id, digest, attempt) VALUES (v_trigger, job->'key'->>1, v_attempt);
    END IF;
    IF v_intent IS NOT NULL THEN
        INSERT INTO holds (practice, proposal, attempt) VALUES (job->>'practice', job->>'proposal', v_attempt);
        INSERT INTO siblings (sibling, attempt)
        SELECT DISTINCT wanted, v_attempt FROM jsonb_array_elements_text(v_intent->'siblings') wanted;
    END IF;
    IF job->>'hold' = 'released' THEN
        DELETE FROM holds h WHERE h.attempt = v_attempt;
    END IF;
    IF job->>'hold' IN ('released', 'for-ever') THEN
        DELETE FROM siblings s WHERE s.attempt = v_attempt;
    END IF;
    RETURN journal_answer('admitted');
END $$;

CREATE FUNCTION journal_write_row(job jsonb, p_owner text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v jsonb := job;
BEGIN
    IF (v->>'stored')::integer = 0 THEN
        INSERT INTO attempts (position, attempt, purpose, trigger_id, practice, proposal, proposal_digest, connection,
            operation, approval, state, seq, head, attempt_key, siblings, deadline, owner, effect, code, outcome)
        VALUES ((SELECT coalesce(max(a.position), 0) + 1 FROM attempts a), v->>'attempt', v->>'purpose',
            v->>'trigger_id', v->>'practice', v->>'proposal', v->>'proposal_digest', v->>'connection',
            v->>'operation', v->>'approval', v->>'state', (v->>'seq')::integer, v->>'head', v->>'attempt_key',
            v->>'siblings', v->>'deadline', p_owner, v->>'effect', v->>'code', v->>'outcome');
        RETURN;
    END IF;
    -- The condition is the transition (I10): nobody else's append came in between, and the attempt had not ended.
    UPDATE attempts a SET state = v->>'state', seq = (v->>'seq')::integer, head = v->>'head',
        attempt_key = CASE WHEN (v->>'release')::boolean THEN NULL ELSE coalesce(v->>'attempt_key', a.attempt_key) END,
        siblings = coalesce(v->>'siblings', a.siblings), deadline = coalesce(v->>'deadline', a.deadline),
        owner = coalesce(p_owner, a.owner), effect = v->>'effect', code = v->>'code', outcome = v->>'outcome'
    WHERE a.attempt = v->>'attempt' AND a.seq = (v->>'stored')::integer
        AND a.state NOT IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED');
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'GW003', MESSAGE = 'the attempt moved although the journal was locked';
    END IF;
END $$;

CREATE FUNCTION journal_record(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_genesis CONSTANT text := repeat('0', 64);
    v_practice CONSTANT text := job->>'practice';
    v_proposal CONSTANT text := job->>'proposal';
    v_kind CONSTANT text := job->>'kind';
    v_revision CONSTANT integer := job->>'revision';
    v_seq integer;
    v_head text;
    v_hash text;
    found_row records%ROWTYPE;
BEGIN
    -- For a revision the same bytes are the same record; for anything else, the same reference is.
    IF v_revision IS NOT NULL THEN
        SELECT * INTO found_row FROM records r
        WHERE r.practice = v_practice AND r.proposal = v_proposal AND r.kind = 'proposal' AND r.body = job->>'body';
    ELSE
        SELECT * INTO found_row FROM records r
        WHERE r.practice = v_practice AND r.kind = v_kind AND r.reference = job->>'reference' AND r.kind <> 'proposal';
    END IF;
    IF FOUND THEN
        IF (found_row.proposal, found_row.reference, found_row.body, found_row.attempt, found_row.finding)
            IS DISTINCT FROM
            (v_proposal, job->>'reference', job->>'body', job->>'attempt', job->>'finding') THEN
            RAISE EXCEPTION USING ERRCODE = 'GW001', MESSAGE = 'something else is already recorded under that reference';
        END IF;
        SELECT r.hash INTO v_head FROM records r
        WHERE r.practice = v_practice AND r.proposal = v_proposal AND r.seq = found_row.seq - 1;
        RETURN jsonb_build_object(
            'seq', found_row.seq, 'previous', coalesce(v_head, v_genesis), 'hash', found_row.hash);
    END IF;

    SELECT r.seq, r.hash INTO v_seq, v_head FROM records r
    WHERE r.practice = v_practice AND r.proposal = v_proposal ORDER BY r.seq DESC LIMIT 1;
    IF v_seq IS NULL AND v_revision IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'GW002',
            MESSAGE = 'no proposal is recorded under that reference; record its first revision first';
    END IF;
    v_head := coalesce(v_head, v_genesis);
    IF job->>'expected_head' IS NOT NULL AND job->>'expected_head' <> v_head THEN
        RAISE EXCEPTION USING ERRCODE = 'GW001',
            MESSAGE = 'something was recorded about this proposal in the meantime; look again';
    END IF;
    IF v_revision IS NOT NULL AND v_seq IS NOT NULL AND v_revision <= (
        SELECT max((r.body::jsonb->>'revision')::integer) FROM records r
        WHERE r.practice = v_practice AND r.proposal = v_proposal AND r.kind = 'proposal') THEN
        RAISE EXCEPTION USING ERRCODE = 'GW001',
            MESSAGE = 'a revision with that number, or a later one, is already recorded; number it anew';
    END IF;
    IF v_kind = 'observation' AND NOT EXISTS (
        SELECT FROM attempts a
        WHERE a.attempt = job->>'attempt' AND a.practice = v_practice AND a.proposal = v_proposal) THEN
        RAISE EXCEPTION USING ERRCODE = 'GW002', MESSAGE = 'this proposal has no such attempt';
    END IF;
    v_seq := coalesce(v_seq, 0) + 1;
    -- `Record.after` (gateway/contracts/chain.py), in the database: the predecessor is known here only.
    v_hash := encode(sha256('gateway/record/v1'::bytea || '\x00'::bytea || convert_to(
        concat_ws(E'\n', v_head, v_seq, v_kind, job->>'reference', job->>'body'), 'UTF8')), 'hex');
    INSERT INTO records (position, practice, proposal, seq, kind, reference, body, hash, attempt, finding)
    VALUES ((SELECT coalesce(max(r.position), 0) + 1 FROM records r), v_practice, v_proposal, v_seq, v_kind,
        job->>'reference', job->>'body', v_hash, job->>'attempt', job->>'finding');
    RETURN jsonb_build_object('seq', v_seq, 'previous', v_head, 'hash', v_hash);
END $$;

-- Chain the resolution, then change the holds of an attempt whose effect was unknown.
CREATE FUNCTION journal_resolve(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_attempt CONSTANT text := job->>'attempt';
    v_row attempts%ROWTYPE;
    v_first text;
    v_record jsonb;
BEGIN
    SELECT * INTO v_row FROM attempts a WHERE a.attempt = v_attempt;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'GW002', MESSAGE = 'no such attempt is recorded';
    END IF;
    IF v_row.effect IS DISTINCT FROM 'UNKNOWN'
        AND (v_row.state, v_row.effect) IS DISTINCT FROM ('ERROR'::text, 'APPLIED'::text) THEN
        RAISE EXCEPTION USING ERRCODE = 'GW001',
            MESSAGE = 'this attempt''s outcome is known, or not yet recorded; there is nothing to resolve';
    END IF;
    SELECT r.reference INTO v_first FROM records r WHERE r.attempt = v_attempt AND r.kind = 'resolution';
    IF v_first <> job->>'reference' THEN
        RAISE EXCEPTION USING ERRCODE = 'GW001',
            MESSAGE = 'this attempt is already resolved; the first resolution stands';
    END IF;
    v_record := journal_record(
        job || jsonb_build_object('practice', v_row.practice, 'proposal', v_row.proposal, 'kind', 'resolution'));
    IF v_row.effect = 'UNKNOWN' AND v_first IS NULL THEN
        IF job->>'finding' = 'ABSENT' THEN
            DELETE FROM holds h WHERE h.attempt = v_attempt;
        END IF;
        DELETE FROM siblings s WHERE s.attempt = v_attempt;
    END IF;
    RETURN v_record;
END $$;

CREATE FUNCTION journal_suspend(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF (job->>'suspended')::boolean THEN
        INSERT INTO suspensions (connection) VALUES (job->>'connection') ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM suspensions s WHERE s.connection = job->>'connection';
    END IF;
    RETURN '{}';
END $$;

-- Entries that waited together, each in a subtransaction: refused alone, it leaves its neighbours untouched. What the
-- schema itself refuses names the rule, never a value.
CREATE FUNCTION journal_write(p_owner text, p_jobs text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answers jsonb[] := '{}';
    job jsonb;
    v_answer jsonb;
BEGIN
    PERFORM journal_lock();
    PERFORM journal_owned(p_owner);
    FOR i IN 1 .. cardinality(p_jobs) LOOP
        BEGIN
            job := p_jobs[i];
            v_answer := CASE job->>'do'
                WHEN 'append' THEN journal_append(job, p_owner)
                WHEN 'record' THEN journal_record(job)
                WHEN 'resolve' THEN journal_resolve(job)
                WHEN 'suspend' THEN journal_suspend(job)
            END;
        EXCEPTION
            WHEN SQLSTATE 'GW001' OR SQLSTATE 'GW002' OR SQLSTATE 'GW003' OR integrity_constraint_violation THEN
                v_answer := jsonb_build_object('refused', SQLSTATE, 'because', SQLERRM);
            WHEN data_exception THEN
                v_answer := jsonb_build_object('refused', SQLSTATE, 'because', 'it is not what the journal stores');
        END;
        answers := array_append(answers, v_answer);
    END LOOP;
    RETURN to_jsonb(answers);
END $$;

-- What became of entries whose session was lost before it answered: their answers, NULL for what is not recorded and
-- never will be. The lost session's lock can be shared only once its backend is over and done. The write comes after
-- the look's lock and is durable like any other, so whatever was found is durable before it is answered.
CREATE FUNCTION journal_settle(p_owner text, p_lock bigint, p_jobs text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answers jsonb[] := '{}';
    job jsonb;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(p_lock);
    PERFORM journal_owned(p_owner);
    UPDATE owners o SET proved = clock_timestamp() WHERE o.owner = p_owner;
    FOR i IN 1 .. cardinality(p_jobs) LOOP
        job := p_jobs[i];
        answers := array_append(answers, CASE job->>'do'
            WHEN 'append' THEN (
                SELECT journal_answer('admitted') FROM events e
                WHERE e.attempt = job->>'attempt' AND e.seq = (job->>'seq')::integer AND e.hash = job->>'head')
            WHEN 'suspend' THEN (
                SELECT '{}'::jsonb WHERE (job->>'suspended')::boolean = EXISTS (
                    SELECT FROM suspensions s WHERE s.connection = job->>'connection'))
            ELSE (
                SELECT jsonb_build_object('seq', r.seq, 'hash', r.hash, 'previous', coalesce((
                    SELECT b.hash FROM records b
                    WHERE b.practice = r.practice AND b.proposal = r.proposal AND b.seq = r.seq - 1), repeat('0', 64)))
                FROM records r
                WHERE r.reference = job->>'reference' AND r.body = job->>'body'
                    AND CASE WHEN job->>'do' = 'resolve'
                        THEN r.kind = 'resolution' AND r.attempt = job->>'attempt'
                        ELSE r.kind = job->>'kind' AND r.practice = job->>'practice' AND r.proposal = job->>'proposal'
                    END)
        END);
    END LOOP;
    RETURN to_jsonb(answers);
END $$;

-- What needs no barrier: SET LOCAL synchronous_commit = off lets this one commit return before its sync.

CREATE FUNCTION journal_reserve(p_connection text, p_requests integer, p_per_minute integer, p_minute bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_minute bigint := p_minute;
    v_used integer;
    found_row budgets%ROWTYPE;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO budgets (connection, minute, requests) VALUES (p_connection, p_minute, 0) ON CONFLICT DO NOTHING;
    SELECT * INTO found_row FROM budgets b WHERE b.connection = p_connection FOR UPDATE;
    IF found_row.minute = v_minute + 1 THEN
        v_minute := v_minute + 1; -- the next one has begun for somebody else: a late-comer counts towards it
    END IF;
    v_used := CASE WHEN found_row.minute = v_minute THEN found_row.requests ELSE 0 END;
    IF v_used + p_requests > p_per_minute THEN
        RETURN v_minute + 1;
    END IF;
    UPDATE budgets b SET minute = v_minute, requests = v_used + p_requests WHERE b.connection = p_connection;
    RETURN NULL;
END $$;

-- A write like any other, of nothing that matters, while the owner's lock is held and the server still syncs.
CREATE FUNCTION journal_ready(p_owner text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_lock bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE owners o SET proved = clock_timestamp() WHERE o.owner = p_owner RETURNING o.lock INTO v_lock;
    IF v_lock IS NULL OR pg_try_advisory_xact_lock_shared(v_lock) THEN
        RAISE EXCEPTION USING ERRCODE = 'GW004', MESSAGE = 'this session no longer holds its lock';
    END IF;
    IF current_setting('fsync') <> 'on' OR current_setting('full_page_writes') <> 'on' THEN
        RAISE EXCEPTION USING ERRCODE = 'GW004', MESSAGE = 'the server no longer syncs what it acknowledges';
    END IF;
END $$;

-- A session that ends in order takes its owner's name with it.
CREATE FUNCTION journal_leave(p_owner text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    DELETE FROM owners o WHERE o.owner = p_owner AND NOT EXISTS (
        SELECT FROM attempts a WHERE a.owner = p_owner AND a.deadline IS NOT NULL AND a.outcome IS NULL);
END $$;

-- Owners to whom no attempt in flight refers, and whose lock can be taken: their sessions are over.
CREATE FUNCTION journal_sweep() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    DELETE FROM owners o
    WHERE o.owner IN (
        SELECT gone.owner FROM (SELECT p.owner, p.lock FROM owners p ORDER BY p.owner FOR UPDATE SKIP LOCKED) gone
        WHERE pg_try_advisory_xact_lock_shared(gone.lock)
            AND NOT EXISTS (
                SELECT FROM attempts a
                WHERE a.owner = gone.owner AND a.deadline IS NOT NULL AND a.outcome IS NULL));
END $$;
