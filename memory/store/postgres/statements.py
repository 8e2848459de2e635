"""What the database is asked about words, and how pages, words and vectors are written.

BM25 is FTS5's own: the same constants, each phrase of a question once, in their order, so that both
stores rank alike. Phrases of one word are ``one`` (from ``low`` to ``high``: a beginning), of
several words ``many``, of which each must stand ``step`` behind the first.
"""

from __future__ import annotations

from typing import Final

_ASKED: Final = """
    WITH one AS (SELECT * FROM unnest(%(one)s::int8[], %(low)s::text[], %(high)s::text[])
        AS one (nth, low, high)),
    many AS (SELECT * FROM unnest(%(many)s::int8[], %(step)s::int8[], %(term)s::text[],
        %(size)s::int8[]) AS many (nth, step, term, size)),
    behind AS (SELECT nth, page, count(*) AS times FROM (
        SELECT nth, page FROM many JOIN word USING (term), unnest(places) AS place
        GROUP BY nth, page, place - step HAVING count(*) = max(size)) AS found
        GROUP BY nth, page)"""
HELD: Final = f"""{_ASKED}
    SELECT nth, (SELECT count(*) FROM (SELECT DISTINCT page FROM word
        WHERE term COLLATE "C" >= low AND term COLLATE "C" <= high LIMIT %(most)s) AS few)
    FROM one UNION ALL SELECT nth, count(*) FROM behind GROUP BY nth"""
RANKED: Final = f"""{_ASKED},
    hit AS (SELECT nth, page, sum(cardinality(places))::float8 AS times FROM one JOIN word
        ON term COLLATE "C" >= low AND term COLLATE "C" <= high GROUP BY nth, page
        UNION ALL SELECT nth, page, times::float8 FROM behind),
    worth AS (SELECT nth, CASE WHEN pages > 2 * count(*)
        THEN ln((pages - count(*) + 0.5::float8) / (count(*) + 0.5::float8)) ELSE 1e-6::float8 END
        AS idf FROM hit, meta GROUP BY nth, pages)
    SELECT hit.page, sum(idf * (times * 2.2::float8 / (times + 1.2::float8 * (0.25::float8
        + 0.75::float8 * page.words / (meta.words::float8 / nullif(meta.pages, 0)))))
        ORDER BY nth) AS score, max(page.id)
    FROM hit JOIN worth USING (nth) CROSS JOIN meta LEFT JOIN page ON id = hit.page
    WHERE id IS NULL OR AMONG GROUP BY hit.page ORDER BY score DESC, hit.page LIMIT %(most)s"""
HOLD: Final = "SELECT last, pages, words FROM meta FOR UPDATE"
COUNT: Final = """
    UPDATE meta SET last = greatest(last, %s), pages = (SELECT count(*) FROM page),
        words = (SELECT coalesce(sum(words), 0) FROM page)"""
ADDED: Final = "UPDATE meta SET last = last + %s, pages = pages + %s, words = words + %s"
LACKING: Final = """
    SELECT id FROM page WHERE (%(some)s::int8[] IS NULL OR id = ANY(%(some)s)) AND NOT EXISTS (
        SELECT FROM embedding WHERE page = id AND name = %(name)s AND piece = 0) ORDER BY id"""
NEAREST: Final = """
    SELECT page, max(-(unit <#> %(row)s::vector)) AS near FROM embedding
    WHERE name = %(name)s AND page != ALL(%(no)s::int8[])
    GROUP BY page ORDER BY near DESC, page LIMIT %(most)s"""
LOST: Final = "SELECT count(*) FROM page WHERE blob NOT IN (SELECT hash FROM blob)"
HELD_OF: Final = "SELECT term, places FROM word WHERE page = ? AND term = ANY(?)"
COUNTED: Final = """
    SELECT 1 FROM meta WHERE (SELECT count(*) FROM word) = ? AND pages = (SELECT count(*) FROM page)
    AND words = (SELECT coalesce(sum(words), 0) FROM page)
    AND words = (SELECT coalesce(sum(cardinality(places)), 0) FROM word)"""
KNOWN: Final = "SELECT address, id, label FROM page WHERE address = ANY(%s)"
BLOB: Final = "INSERT INTO blob VALUES (%s, %s) ON CONFLICT DO NOTHING"
PAGE: Final = "INSERT INTO page VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
WORDS: Final = "COPY word (term, page, places) FROM STDIN"
EMBEDDINGS: Final = "COPY embedding (page, name, piece, unit) FROM STDIN"
FACT: Final = """
    INSERT INTO fact VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value"""
FILE: Final = """
    INSERT INTO file VALUES (%s, %s) ON CONFLICT (source) DO UPDATE SET digest = excluded.digest"""
