"""What the readers hand on: chunks of text cells, and the lines that are bad."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from processing.codes import Code

TEXT: Final = pd.ArrowDtype(pa.string())
LONGEST_SHOWN: Final = 80


class BadLine(NamedTuple):
    """A line that could not be read, or whose text breaks the contract.

    ``field`` is the column's name as our messages write it, ``value`` the raw text, shortened for display; both are
    ``None`` where the fault is not in one cell.
    """

    line: int
    code: Code
    message: str
    field: str | None
    value: str | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a delivery.

    ``lines``: int64, ascending, the numbers of the lines that could be read. ``cells``: the brand's columns under its
    own header names and in its order, Arrow strings, as many rows as ``lines`` (XML: the seven known columns, ``""``
    where a record has none). ``bad``: the lines that could not be read, ascending. ``raw``: the text of each of these,
    without its line break (nothing for XML). ``items``: the items of XML records, as ``item_columns.item_texts`` gives
    them; those of a CSV stand in its cells.
    """

    lines: npt.NDArray[np.int64]
    cells: pd.DataFrame
    bad: list[BadLine]
    raw: dict[int, str]
    items: pd.DataFrame | None = None

    def only(self, lines: npt.NDArray[np.int64]) -> "Chunk":
        """The part of it that is in ``lines``."""
        rows = np.flatnonzero(np.isin(self.lines, lines))
        broken = np.array([one.line for one in self.bad], np.int64)
        wanted = set(broken[np.isin(broken, lines)].tolist())
        bad = [one for one in self.bad if one.line in wanted]
        raw = {line: text for line, text in self.raw.items() if line in wanted}
        items = self.items
        if items is not None:
            items = items[items["row"].isin(rows)]
            items = items.assign(row=np.searchsorted(rows, items["row"].to_numpy())).reset_index(drop=True)
        return Chunk(self.lines[rows], self.cells.iloc[rows].reset_index(drop=True), bad, raw, items)


def shown(text: str) -> str:
    """A raw value, shortened for display."""
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def quoted(text: str) -> str:
    """A raw value, shortened, in quotation marks and with its invisible characters written out."""
    return repr(shown(text))


def text_frame(names: Sequence[str], columns: Sequence[pa.StringArray]) -> pd.DataFrame:
    """A frame of Arrow strings, one column per name; names may repeat."""
    frame = pd.DataFrame({at: pd.arrays.ArrowExtensionArray(column) for at, column in enumerate(columns)})
    frame.columns = pd.Index(names, dtype=object)
    return frame
