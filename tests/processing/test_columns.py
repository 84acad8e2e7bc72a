import numpy as np
import pandas as pd
import pytest

from processing.columns import blank, missing, pick, texts


def test_blank_cells_are_missing() -> None:
    """None is no value; an empty text is one."""
    column = blank(3)
    column[1] = ""
    assert missing(column).tolist() == [True, False, True]
    assert missing(blank(0)).tolist() == []


@pytest.mark.parametrize("dtype", ["object", "str", "string[pyarrow]"])
def test_texts_are_python_strings(dtype: str) -> None:
    """Whatever stands for no value in a series is None in a column."""
    assert texts(pd.Series(["a", None, ""], dtype=dtype)).tolist() == ["a", None, ""]


@pytest.mark.parametrize(
    ("case", "column", "expected"),
    [("some", [7, 8], [8, -5, 7]), ("none", [], [-5, -5, -5])],
)
def test_pick_takes_the_default_below_zero(case: str, column: list[int], expected: list[int]) -> None:
    """A row below zero has no value of the column."""
    rows = np.array([1, -1, 0])
    assert pick(np.array(column, dtype=np.int64), rows, -5).tolist() == expected, case
    words = np.array([str(one) for one in column], dtype=np.object_)
    assert pick(words, rows, "-5").tolist() == [str(one) for one in expected], case
