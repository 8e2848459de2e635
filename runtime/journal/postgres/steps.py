"""The schema, as the steps that make it: new ones at the end, old ones as they were."""

from __future__ import annotations

from typing import Final

STEPS: Final = (
    """
    CREATE TABLE nlpu.journal (
        id int8 PRIMARY KEY GENERATED ALWAYS AS IDENTITY, stem text NOT NULL UNIQUE,
        rows int8 NOT NULL DEFAULT 0, commits int8 NOT NULL DEFAULT 0, changed_s float8 NOT NULL,
        owner text NOT NULL, fence int8 NOT NULL DEFAULT 1, until_s float8 NOT NULL);
    CREATE TABLE nlpu.text (
        journal int8 NOT NULL, place int8 NOT NULL, hash bytea NOT NULL, body bytea NOT NULL,
        PRIMARY KEY (journal, place));
    CREATE TABLE nlpu.log (
        journal int8 NOT NULL, texts int8 NOT NULL, seq int8 NOT NULL, body bytea NOT NULL,
        chain bytea NOT NULL,
        PRIMARY KEY (journal, texts, seq));
    """,
    """
    CREATE TABLE nlpu.batch (
        journal int8 PRIMARY KEY REFERENCES nlpu.journal ON DELETE CASCADE,
        facts text NOT NULL, stopped text NOT NULL DEFAULT '', spent text NOT NULL DEFAULT '',
        owner text NOT NULL DEFAULT '', until_s float8 NOT NULL DEFAULT 0);
    CREATE TABLE nlpu.worker (
        id int8 PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        journal int8 NOT NULL REFERENCES nlpu.journal ON DELETE CASCADE, name text NOT NULL,
        rows int8 NOT NULL DEFAULT 0, commits int8 NOT NULL DEFAULT 0,
        owner text NOT NULL, fence int8 NOT NULL DEFAULT 1, until_s float8 NOT NULL,
        said text NOT NULL DEFAULT '', held text NOT NULL DEFAULT '',
        spent text NOT NULL DEFAULT '', hungry bool NOT NULL DEFAULT false);
    CREATE INDEX ON nlpu.worker (journal);
    CREATE TABLE nlpu.work (
        journal int8 NOT NULL REFERENCES nlpu.journal ON DELETE CASCADE, run int8 NOT NULL,
        name text NOT NULL, nth int8 NOT NULL, index int8 NOT NULL, id text NOT NULL,
        args text NOT NULL, wanted bool NOT NULL DEFAULT true, worker int8,
        state text NOT NULL DEFAULT 'open', side text NOT NULL DEFAULT '',
        body text NOT NULL DEFAULT '', label text NOT NULL DEFAULT '',
        took text NOT NULL DEFAULT '', start text NOT NULL DEFAULT '',
        before text NOT NULL DEFAULT '', deaths int8[] NOT NULL DEFAULT '{}',
        PRIMARY KEY (journal, run), UNIQUE (journal, name, nth));
    CREATE INDEX ON nlpu.work (journal, run) WHERE state = 'open' AND worker IS NULL;
    CREATE INDEX ON nlpu.work (worker);
    CREATE INDEX ON nlpu.work (journal, index) WHERE wanted;
    CREATE TABLE nlpu.lane (
        server text PRIMARY KEY, most int8 NOT NULL, cuts int8 NOT NULL DEFAULT 0);
    CREATE TABLE nlpu.place (
        server text NOT NULL REFERENCES nlpu.lane ON DELETE CASCADE,
        worker int8 NOT NULL REFERENCES nlpu.worker ON DELETE CASCADE,
        wants int8 NOT NULL, share int8 NOT NULL, PRIMARY KEY (server, worker));
    """,
    """
    CREATE INDEX open_work ON nlpu.work (journal, worker) WHERE state = 'open';
    """,
)
