"""The web server, and what applies, as processes that are forked from one that has all imports: they can die often."""

import os
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NoReturn

from clawback import pipeline
from clawback.serving.part import now, run
from clawback.serving.web_part import serve_web
from clawback.settings import load
from clawback.wiring import open_desk


def serve(orders: Connection, reports: Connection, log: Path, environ: dict[str, str], port: int) -> None:
    """Be the web part: a session of its own, and the pipes in the place of its standard input and output."""
    os.setsid()
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.dup2(orders.fileno(), sys.stdin.fileno())
    os.dup2(reports.fileno(), sys.stdout.fileno())
    os.environ |= environ
    sys.argv[1:] = [str(port)]
    run("web", serve_web)


def apply(log: Path, environ: dict[str, str], begun: Event) -> NoReturn:
    """Apply what lands, one after the other, as the worker would; tell when the first is applied."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    with open_desk(load(environ), now) as desk:
        while True:
            for envelope in desk.spool.pending()[:1]:
                pipeline.ingest(desk, envelope.delivery, at=now())
                begun.set()
            time.sleep(0.005)
