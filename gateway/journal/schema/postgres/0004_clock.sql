-- A connection's minutes are counted by one clock, the server's: gateways on several machines have several, and each of
-- two that differ would take the other's minute for a new one, with nothing used up.

DROP FUNCTION journal_reserve(text, integer, integer, bigint);

-- The requests are taken: NULL; or after how many seconds it may be tried again. A minute that lies ahead counts while
-- it is near, since the clock may have been set back or be another server's after a failover; one that lies further
-- ahead came from a clock that was wrong. SET LOCAL synchronous_commit = off: as before, no barrier.
CREATE FUNCTION journal_reserve(p_connection text, p_requests integer, p_per_minute integer)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_lead CONSTANT integer := 5; -- minutes, as LEAD_MINUTES in `_sqlite_writes.py`
    v_now double precision;
    v_minute bigint;
    v_used integer;
    found_row budgets%ROWTYPE;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO budgets (connection, minute, requests) VALUES (p_connection, 0, 0) ON CONFLICT DO NOTHING;
    SELECT * INTO found_row FROM budgets b WHERE b.connection = p_connection FOR UPDATE;
    v_now := extract(epoch FROM clock_timestamp()); -- once the row is ours, so that later means later
    v_minute := floor(v_now / 60);
    IF found_row.minute > v_minute AND found_row.minute <= v_minute + v_lead THEN
        v_minute := found_row.minute;
    END IF;
    v_used := CASE WHEN found_row.minute = v_minute THEN found_row.requests ELSE 0 END;
    IF v_used + p_requests > p_per_minute THEN
        RETURN ceil((v_minute + 1) * 60 - v_now);
    END IF;
    UPDATE budgets b SET minute = v_minute, requests = v_used + p_requests WHERE b.connection = p_connection;
    RETURN NULL;
END $$;
