"""Temporary files without a name, of which nothing is left when a process is killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO


@contextmanager
def unnamed(folder: Path | None = None) -> Iterator[tuple[IO[bytes], Path]]:
    """An empty file, and a path by which this process can open it once more; what is written has to be flushed."""
    with TemporaryFile(dir=folder) as file:
        yield file, Path(f"/proc/self/fd/{file.fileno()}")
