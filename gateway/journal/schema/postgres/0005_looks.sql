-- A resolution may depend on the looks that its human has judged: one that was recorded since is a reason to judge again.

CREATE OR REPLACE FUNCTION journal_resolve(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_attempt CONSTANT text := job->>'attempt';
    v_row attempts%ROWTYPE;
    v_first text;
    v_looks bigint;
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
    SELECT count(*) INTO v_looks FROM records r WHERE r.attempt = v_attempt AND r.kind = 'observation';
    IF v_first IS NULL AND v_looks <> (job->>'looks')::bigint THEN
        RAISE EXCEPTION USING ERRCODE = 'GW001',
            MESSAGE = 'this attempt was looked at since; judge by the latest look';
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
