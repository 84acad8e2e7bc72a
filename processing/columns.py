"""The column types of the pure core, and what stands for no value in them."""

from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]

# No value in a column of integers; in a column of texts it is None. Money, ids and instants are never negative.
NONE: Final = -1

_NOTHING: Final = np.array(None, dtype=np.object_)


def missing(column: Objects) -> Bools:
    """Which cells hold None."""
    found: Bools = column == _NOTHING
    return found


def blank(length: int) -> Objects:
    """A column of None."""
    return np.full(length, None, dtype=np.object_)


def texts(column: pd.Series) -> Objects:
    """A column of Python strings, None where the series has no value."""
    cells = np.array(column, dtype=np.object_)
    cells[pd.isna(column).to_numpy()] = None
    return cells


@overload
def pick(column: Ints, row: Ints, default: int) -> Ints: ...
@overload
def pick(column: Objects, row: Ints, default: str) -> Objects: ...
def pick(column: Any, row: Ints, default: Any) -> Any:
    """The column's value at each row, ``default`` at rows below zero."""
    if len(column) == 0:
        return np.full(len(row), default, dtype=column.dtype)
    return np.where(row >= 0, column[np.maximum(row, 0)], np.array(default, dtype=column.dtype))
