"""SQLite as a peer of the ledger: single durable commits, bulk inserts, size. Prints one JSON object.

The schema keeps what a record holds, with the indexes that the same questions need; WAL and synchronous=FULL, so
that a commit is durable when it returns, as an acknowledgement of the daemon is.
"""

import hashlib
import json
import os
import sqlite3
import sys
import time

COMMITS = 1_000
BULK = 200_000
PER_TRANSACTION = 2_000


def row(n):
    session = n // 100
    return (
        hashlib.blake2b(str(n).encode(), digest_size=16).digest(),
        1_735_689_600_000 + n * 31_000,
        session % 3,
        f"5b0c4a7e-0000-4000-8000-{session:012}",
        session // 3 % 20,
        session // 7 % 4,
        n % 6,
        n % 37,
        100 + n % 900,
        20_000 + n % 50_000,
        n % 3_000,
        n * 1_000_003,
    )


def main():
    path = sys.argv[1]
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(
        "CREATE TABLE usage (seq INTEGER PRIMARY KEY, key BLOB UNIQUE, at_ms INTEGER, agent INTEGER, session TEXT,"
        " project INTEGER, model INTEGER, tool INTEGER, input INTEGER, output INTEGER, cache_read INTEGER,"
        " cache_write INTEGER, pico INTEGER)"
    )
    db.execute("CREATE INDEX by_time ON usage (at_ms)")
    db.execute("CREATE INDEX by_session ON usage (session, at_ms)")
    db.execute("CREATE INDEX by_model ON usage (model, at_ms)")
    insert = "INSERT INTO usage VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?)"

    commit_ms = []
    for n in range(COMMITS):
        values = row(n)
        begin = time.perf_counter()
        db.execute(insert, values)
        commit_ms.append((time.perf_counter() - begin) * 1e3)

    spent = 0.0
    for first in range(COMMITS, COMMITS + BULK, PER_TRANSACTION):
        rows = [row(n) for n in range(first, first + PER_TRANSACTION)]
        begin = time.perf_counter()
        db.execute("BEGIN")
        db.executemany(insert, rows)
        db.execute("COMMIT")
        spent += time.perf_counter() - begin
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    print(
        json.dumps(
            {
                "commit_ms": commit_ms,
                "bulk_per_s": BULK / spent,
                "bytes_per_record": os.path.getsize(path) / (COMMITS + BULK),
            }
        )
    )


main()
