"""Processes that are forked from one that has the imports: a spawned one makes them anew, and a test's own has threads.

There is one fork server, and it imports only what it was told before it started: so all of it stands here.
"""

import multiprocessing
from typing import Final

FORKING: Final = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    [
        "tests.clawback.statement_kills",
        "tests.clawback.salesforce.round_kills",
        "tests.clawback.web.forked",
        # Imported when they are needed first.
        "pandera.strategies.pandas_strategies",
        "sqlalchemy.dialects.postgresql.psycopg",
    ]
)
