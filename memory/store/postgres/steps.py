"""The schema of a memory, as the steps that make it: new ones at the end, old ones as they were.

Texts are bytes, as a text of PostgreSQL holds no U+0000; words are compared by their bytes.
"""

from __future__ import annotations

from typing import Final

STEPS: Final = (
    """
    ALTER TABLE meta ADD last int8 NOT NULL DEFAULT 0, ADD pages int8 NOT NULL DEFAULT 0,
        ADD words int8 NOT NULL DEFAULT 0;
    CREATE TABLE blob (hash bytea PRIMARY KEY, text bytea NOT NULL);
    CREATE TABLE page (
        id int8 PRIMARY KEY, address text COLLATE "C" NOT NULL UNIQUE, blob bytea NOT NULL,
        source text COLLATE "C" NOT NULL, start int8 NOT NULL, stop int8 NOT NULL,
        time_s float8 NOT NULL, label text, importance float8 NOT NULL, credit float8 NOT NULL,
        links text[] NOT NULL, words int8 NOT NULL);
    CREATE INDEX ON page (source, start);
    CREATE INDEX ON page (time_s);
    CREATE INDEX ON page (blob);
    CREATE TABLE file (source text COLLATE "C" PRIMARY KEY, digest bytea NOT NULL);
    CREATE TABLE fact (name text COLLATE "C" PRIMARY KEY, value text NOT NULL);
    CREATE TABLE word (
        term text COLLATE "C", page int8, places int4[] NOT NULL, PRIMARY KEY (term, page));
    CREATE TABLE embedding (
        page int8, name text COLLATE "C", piece int8, unit vector NOT NULL,
        PRIMARY KEY (page, name, piece));
    """,
)
