"""What the database is asked about journals: which there are, what one holds, to remove one."""

from __future__ import annotations

from typing import Final

SIZE: Final = """
    SELECT coalesce((SELECT sum(octet_length(body) + 48) FROM nlpu.text WHERE journal = id), 0)
        + coalesce((SELECT sum(octet_length(body) + 48) FROM nlpu.log WHERE journal = id), 0)
        + coalesce((SELECT sum(octet_length(args) + octet_length(body) + 96) FROM nlpu.work
            WHERE journal = nlpu.journal.id), 0)
    FROM nlpu.journal WHERE stem = %(stem)s"""
UNDONE: Final = """
    SELECT run FROM nlpu.work JOIN nlpu.journal j ON j.id = journal
    WHERE stem = %(stem)s AND wanted AND state <> 'done' LIMIT 1"""
DELETE: Final = """
    WITH gone AS (
        DELETE FROM nlpu.journal WHERE stem = %(stem)s
        AND until_s <= extract(epoch FROM clock_timestamp())
        AND (%(changed_s)s::float8 = 0 OR changed_s <= %(changed_s)s::float8)
        AND NOT EXISTS (SELECT FROM nlpu.batch b WHERE b.journal = nlpu.journal.id
            AND b.until_s > extract(epoch FROM clock_timestamp())) RETURNING id),
    texts AS (DELETE FROM nlpu.text USING gone WHERE journal = id),
    rows AS (DELETE FROM nlpu.log USING gone WHERE journal = id)
    SELECT id FROM gone"""
LOOK: Final = """
    SELECT stem, changed_s, until_s > extract(epoch FROM clock_timestamp()), owner FROM nlpu.journal
    WHERE %(stem)s::text IS NULL OR stem = %(stem)s ORDER BY stem"""
COUNT: Final = """
    SELECT rows + (SELECT coalesce(sum(w.rows), 0)::int8 FROM nlpu.worker w
        WHERE w.journal = nlpu.journal.id),
        (SELECT count(*) FROM nlpu.log WHERE journal = id), ARRAY(
        SELECT DISTINCT (texts >> 32) + 1 FROM nlpu.log WHERE journal = id
        UNION SELECT max(run) FROM nlpu.work WHERE journal = nlpu.journal.id AND %(writes)s
            HAVING max(run) > 0
        ORDER BY 1)
    FROM nlpu.journal WHERE stem = %(stem)s"""  # to who writes, the last that an input has, too
SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
TEXTS: Final = """
    SELECT place, hash, body FROM nlpu.text JOIN nlpu.journal ON journal = id
    WHERE stem = %s AND place > %s AND place < %s ORDER BY place"""
ROWS: Final = """
    SELECT seq, texts, log.body, chain FROM nlpu.log JOIN nlpu.journal ON journal = id
    WHERE stem = %s AND texts >= %s AND texts < %s AND seq > %s ORDER BY texts, seq"""
BEGINNING: Final = """
    SELECT substr(body, 1, %s), length(body) FROM nlpu.text JOIN nlpu.journal ON journal = id
    WHERE stem = %s AND place = %s"""
