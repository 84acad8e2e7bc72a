"""The web server as a process that is forked from one that has all its imports, so that it can die often."""

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from clawback.serving.part import run
from clawback.serving.web_part import serve_web


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
