"""What the database is asked about a batch of many processes."""

from __future__ import annotations

from typing import Final

SETTLED: Final = -1  # the fence of a worker whose runs and share were given back
ALONE: Final = 3  # deaths of workers that had a run: after these one has it alone
MOST_DEATHS: Final = 4  # and after these nobody has it any more
KEEP_S: Final = 1.0  # between signs that the batch's journal is in use, whichever worker gives them
T: Final = "extract(epoch FROM clock_timestamp())::float8"
# The last number of a run: of an input's, or of one that somebody made of it (``run --from``).
_LAST: Final = """greatest(max(run), 0,
        (SELECT (max(texts) >> 32) + 1 FROM nlpu.log WHERE journal = %(journal)s))"""

# -- the batch -------------------------------------------------------------------------------------

BEGIN: Final = f"""
    INSERT INTO nlpu.journal (stem, owner, until_s, changed_s) VALUES (%(stem)s, '', 0, {T})
    ON CONFLICT (stem) DO NOTHING"""
BATCH: Final = """
    INSERT INTO nlpu.batch (journal, facts)
    SELECT id, '{}' FROM nlpu.journal WHERE stem = %(stem)s ON CONFLICT (journal) DO NOTHING"""
FIND: Final = """
    SELECT journal FROM nlpu.batch JOIN nlpu.journal ON journal = id WHERE stem = %(stem)s"""
DRIVE: Final = f"""
    UPDATE nlpu.batch SET owner = %(owner)s, until_s = {T} + %(lease)s
    WHERE journal = %(journal)s AND (until_s <= {T} OR owner = ANY(%(mine)s)) RETURNING journal"""
DRIVER: Final = f"SELECT owner, until_s - {T} FROM nlpu.batch WHERE journal = %(journal)s"
LEAVE: Final = """
    UPDATE nlpu.batch SET owner = '', until_s = 0
    WHERE journal = %(journal)s AND owner = %(owner)s"""
FACTS: Final = "SELECT facts FROM nlpu.batch WHERE journal = %(journal)s"
NOTE: Final = """
    UPDATE nlpu.batch SET facts = (facts::jsonb || %(facts)s::jsonb)::text
    WHERE journal = %(journal)s"""
STOP: Final = """
    UPDATE nlpu.batch SET stopped = %(why)s WHERE journal = %(journal)s AND
        (stopped = '' OR %(why)s = '')"""
STOPPED: Final = "SELECT stopped FROM nlpu.batch WHERE journal = %(journal)s"

# -- inputs ----------------------------------------------------------------------------------------

UNWANT: Final = "UPDATE nlpu.work SET wanted = false WHERE journal = %(journal)s"
MEET: Final = """
    UPDATE nlpu.work w SET wanted = true, index = new.index, id = new.id
    FROM unnest(%(names)s::text[], %(nths)s::int8[], %(indexes)s::int8[], %(ids)s::text[])
        AS new (name, nth, index, id)
    WHERE journal = %(journal)s AND w.name = new.name AND w.nth = new.nth"""
ENTER: Final = f"""
    INSERT INTO nlpu.work (journal, run, name, nth, index, id, args)
    SELECT %(journal)s, (SELECT {_LAST} FROM nlpu.work WHERE journal = %(journal)s)
        + row_number() OVER (ORDER BY new.index), new.*
    FROM unnest(%(names)s::text[], %(nths)s::int8[], %(indexes)s::int8[], %(ids)s::text[],
        %(args)s::text[]) AS new (name, nth, index, id, args)
    WHERE NOT EXISTS (SELECT FROM nlpu.work w
        WHERE w.journal = %(journal)s AND w.name = new.name AND w.nth = new.nth)"""
AGAIN: Final = """
    UPDATE nlpu.work SET state = 'open', worker = NULL, deaths = '{}',
        side = CASE WHEN state = 'failed' THEN side ELSE '' END
    WHERE journal = %(journal)s AND wanted
    AND worker IN (SELECT id FROM nlpu.worker WHERE fence = %(settled)s)
    AND (state = 'needs_person' OR state = 'failed' AND %(retry)s AND side <> 'model')"""
ANEW: Final = f"""
    WITH old AS (
        SELECT run, row_number() OVER (ORDER BY run) AS n FROM nlpu.work
        WHERE journal = %(journal)s AND wanted AND state = 'failed' AND side = 'model'
        AND worker IN (SELECT id FROM nlpu.worker WHERE fence = %(settled)s)),
    last AS (SELECT {_LAST} AS run FROM nlpu.work WHERE journal = %(journal)s)
    UPDATE nlpu.work w SET state = 'open', worker = NULL, side = '', before = w.took,
        run = last.run + old.n
    FROM old, last WHERE w.journal = %(journal)s AND w.run = old.run"""
FAILED: Final = f"""
    SELECT run, side, body, cardinality(deaths) >= {MOST_DEATHS} FROM nlpu.work
    WHERE journal = %(journal)s AND wanted AND state = 'failed'
    AND worker IN (SELECT id FROM nlpu.worker WHERE fence = %(settled)s)"""
REOPEN: Final = """
    UPDATE nlpu.work SET state = 'open', worker = NULL, side = '', deaths = '{}'
    WHERE journal = %(journal)s AND run = ANY(%(runs)s) AND state = 'failed'"""
OUTCOMES: Final = """
    SELECT index, name, nth, id, run, state, side, body, label, took FROM nlpu.work
    WHERE journal = %(journal)s AND wanted AND index >= %(start)s AND state <> 'open'
        AND index NOT IN (SELECT unnest(%(given)s::int8[])) ORDER BY index LIMIT %(most)s"""
COUNTS: Final = f"""
    SELECT count(*), count(*) FILTER (WHERE worker IN (
        SELECT id FROM nlpu.worker WHERE journal = %(journal)s AND until_s > {T}))
    FROM nlpu.work WHERE journal = %(journal)s AND wanted AND state = 'open'"""
LEFT_TO_WORKERS: Final = f"""
    SELECT run FROM nlpu.work WHERE journal = %(journal)s AND wanted AND state = 'open'
    AND cardinality(deaths) < {MOST_DEATHS} LIMIT 1"""
DEADLY: Final = f"""
    SELECT run, took, deaths FROM nlpu.work WHERE journal = %(journal)s AND wanted
    AND state = 'open' AND worker IS NULL AND cardinality(deaths) >= {MOST_DEATHS}"""
GIVE_UP: Final = f"""
    UPDATE nlpu.work SET state = %(state)s, side = %(side)s, body = %(body)s, label = %(label)s,
        worker = deaths[cardinality(deaths)]
    WHERE journal = %(journal)s AND run = %(run)s AND state = 'open' AND worker IS NULL
    AND cardinality(deaths) >= {MOST_DEATHS}"""
DIED: Final = """
    UPDATE nlpu.worker SET said = %(said)s
    WHERE journal = %(journal)s AND name = %(name)s AND said = ''"""

TALLY: Final = """
    SELECT state, count(*) FROM nlpu.work WHERE journal = %(journal)s AND wanted GROUP BY state"""
TOOK: Final = "SELECT took FROM nlpu.work WHERE journal = %(journal)s AND took <> ''"
TOOK_BY: Final = """
    SELECT name, id, spent, '' FROM nlpu.worker
    WHERE journal = %(journal)s AND fence = %(settled)s AND spent <> ''
    UNION ALL SELECT w.name, w.id, took, start
    FROM nlpu.work k JOIN nlpu.worker w ON w.id = k.worker
    WHERE k.journal = %(journal)s AND fence <> %(settled)s AND state <> 'open'"""

# -- workers ---------------------------------------------------------------------------------------

OPEN: Final = f"""
    UPDATE nlpu.journal SET owner = %(workers)s, until_s = {T} + %(lease)s WHERE id = %(journal)s
    AND (until_s <= {T} OR owner = %(workers)s OR owner = ANY(%(dead)s)) RETURNING id"""
OWNER: Final = f"SELECT owner, until_s - {T} FROM nlpu.journal WHERE id = %(journal)s"
JOIN: Final = f"""
    INSERT INTO nlpu.worker (journal, name, owner, until_s)
    VALUES (%(journal)s, %(name)s, %(owner)s, {T} + %(lease)s) RETURNING id"""
BEAT: Final = f"""
    WITH mine AS (
        UPDATE nlpu.worker SET until_s = {T} + %(lease)s WHERE id = %(worker)s AND fence = 1
        RETURNING id)
    SELECT (SELECT count(*) FROM mine), stopped, alive, late, kin, changed_s <= {T} - {KEEP_S}
    FROM nlpu.batch b JOIN nlpu.journal ON id = b.journal, (
        SELECT count(*) FILTER (WHERE fence = 1 AND until_s > {T}) AS alive,
            bool_or(until_s <= {T} AND id <> %(worker)s) AS late
        FROM nlpu.worker WHERE journal = %(journal)s AND fence <> %(settled)s) AS seen,
        (SELECT max(owner) AS kin FROM (
            SELECT owner FROM nlpu.worker WHERE journal = %(journal)s AND fence <> %(settled)s
            AND (split_part(owner, ' ', 1), split_part(owner, ' ', 3)) = (%(host)s, %(space)s)
            ORDER BY id <= %(worker)s, id LIMIT 1) AS next) AS beside
    WHERE b.journal = %(journal)s"""
# Nobody holds it where the last of those that were heard of had left, as all others were late.
KEEP: Final = f"""
    UPDATE nlpu.journal SET owner = %(workers)s, until_s = {T} + %(lease)s, changed_s = {T}
    WHERE id = %(journal)s AND owner IN (%(workers)s, '') AND changed_s <= {T} - {KEEP_S}"""
CALL: Final = "SELECT pg_notify('nlpu', %(said)s)"
# The lock on the worker's row keeps it from being settled meanwhile, or waits for that (``DEAD``):
# what it claimed while its runs were given back would be had by nobody any more.
CLAIM: Final = f"""
    WITH free AS MATERIALIZED (
        SELECT run FROM nlpu.work
        WHERE journal = %(journal)s AND state = 'open' AND worker IS NULL AND wanted
        AND cardinality(deaths) < {ALONE}
        ORDER BY run LIMIT least(%(most)s, greatest(1, (SELECT count(*) FROM (
            SELECT FROM nlpu.work WHERE journal = %(journal)s AND state = 'open'
            AND worker IS NULL AND wanted AND cardinality(deaths) < {ALONE} LIMIT 4096))
            / %(parts)s))
        FOR UPDATE SKIP LOCKED)
    UPDATE nlpu.work w SET worker = %(worker)s, start = took FROM free
    WHERE w.journal = %(journal)s AND w.run = free.run AND EXISTS (
        SELECT FROM nlpu.worker WHERE id = %(worker)s AND fence = 1 FOR KEY SHARE)"""
CLAIM_ALONE: Final = f"""
    WITH free AS MATERIALIZED (
        SELECT run FROM nlpu.work
        WHERE journal = %(journal)s AND state = 'open' AND worker IS NULL AND wanted
        AND cardinality(deaths) = {ALONE}
        AND NOT EXISTS (SELECT FROM nlpu.work
            WHERE journal = %(journal)s AND worker = %(worker)s AND state = 'open')
        ORDER BY run LIMIT 1 FOR UPDATE SKIP LOCKED)
    UPDATE nlpu.work w SET worker = %(worker)s, start = took FROM free
    WHERE w.journal = %(journal)s AND w.run = free.run AND EXISTS (
        SELECT FROM nlpu.worker WHERE id = %(worker)s AND fence = 1 FOR KEY SHARE)"""
MINE: Final = f"""
    SELECT run, name, nth, index, id, args, took, before, side, EXISTS (
        SELECT FROM nlpu.log WHERE journal = %(journal)s
        AND texts >= (run - 1) << 32 AND texts < run << 32), cardinality(deaths) >= {ALONE}
    FROM nlpu.work
    WHERE journal = %(journal)s AND worker = %(worker)s AND state = 'open'
    AND run <> ALL(%(live)s) ORDER BY run"""
END: Final = """
    UPDATE nlpu.work SET state = %(state)s, side = %(side)s, body = %(body)s, label = %(label)s,
        took = %(took)s
    WHERE journal = %(journal)s AND run = %(run)s AND worker = %(worker)s AND state = 'open'"""
LATE: Final = f"""
    SELECT id, owner, until_s <= {T} FROM nlpu.worker
    WHERE journal = %(journal)s AND fence <> %(settled)s"""
DEAD: Final = """
    SELECT id FROM nlpu.worker WHERE id = %(worker)s AND fence <> %(settled)s
    FOR UPDATE SKIP LOCKED"""
LEFT: Final = """
    SELECT run, state, took, start, before FROM nlpu.work WHERE worker = %(worker)s"""
FREE: Final = """
    UPDATE nlpu.work SET worker = NULL, took = %(took)s,
        deaths = CASE WHEN %(died)s THEN deaths || worker ELSE deaths END
    WHERE journal = %(journal)s AND run = %(run)s AND worker = %(worker)s AND state = 'open'"""
BURY: Final = """
    UPDATE nlpu.worker SET fence = %(settled)s, until_s = 0, owner = '', held = '', hungry = false
    WHERE id = %(worker)s"""
TOOK_ALL: Final = "UPDATE nlpu.worker SET spent = %(spent)s WHERE id = %(worker)s"
SHUT: Final = f"""
    UPDATE nlpu.journal SET owner = '', until_s = 0 WHERE id = %(journal)s AND owner = %(workers)s
    AND NOT EXISTS (SELECT FROM nlpu.worker
        WHERE journal = %(journal)s AND fence = 1 AND until_s > {T})"""
SAY: Final = "UPDATE nlpu.worker SET said = %(said)s WHERE id = %(worker)s"
SAID: Final = f"""
    SELECT id, name, said, fence = 1 AND until_s > {T} FROM nlpu.worker
    WHERE journal = %(journal)s ORDER BY id"""
HOLDERS: Final = """
    SELECT id, held, spent, hungry FROM nlpu.worker
    WHERE journal = %(journal)s AND fence <> %(settled)s"""
HOLD: Final = """
    UPDATE nlpu.worker SET held = %(held)s, spent = %(spent)s, hungry = %(hungry)s
    WHERE id = %(worker)s AND fence = 1"""
LANE: Final = """
    SELECT cuts FROM nlpu.lane WHERE server = %(server)s AND most = %(most)s FOR NO KEY UPDATE"""
LANE_ANEW: Final = """
    INSERT INTO nlpu.lane AS l (server, most, cuts) VALUES (%(server)s, %(most)s, %(cuts)s)
    ON CONFLICT (server) DO UPDATE SET most = %(most)s, cuts = l.cuts + %(cuts)s RETURNING cuts"""
PLACES: Final = f"""
    SELECT worker, wants, share FROM nlpu.place JOIN nlpu.worker ON worker = id
    WHERE server = %(server)s AND worker <> %(worker)s AND fence = 1 AND until_s > {T}"""
PLACE: Final = """
    INSERT INTO nlpu.place (server, worker, wants, share)
    VALUES (%(server)s, %(worker)s, %(wants)s, %(share)s)
    ON CONFLICT (server, worker) DO UPDATE SET wants = %(wants)s, share = %(share)s"""
SPENT: Final = "SELECT spent, facts FROM nlpu.batch WHERE journal = %(journal)s FOR UPDATE"
SPEND: Final = "UPDATE nlpu.batch SET spent = %(spent)s WHERE journal = %(journal)s"
