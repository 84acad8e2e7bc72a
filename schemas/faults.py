"""Reads what Pandera found: which rows break which check of a contract, one answer a row."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

from processing.codes import Code

RANK: Final = {code: at for at, code in enumerate(Code)}
"""The order in which a line with several faults is answered."""


def faults(contract: pandera.DataFrameSchema, texts: pd.DataFrame) -> Iterator[tuple[Code, str, npt.NDArray[np.int64]]]:
    """The rows that are answered with each fault, and the column it is in; a row is answered with its first."""
    try:
        contract.validate(texts, lazy=True)
    except SchemaErrors as errors:
        found = [(Code(error.check.name), error) for error in errors.schema_errors if _is_ours(error)]
        if len(found) < len(errors.schema_errors):
            raise
        found.sort(key=lambda fault: RANK[fault[0]])
        open_ = np.ones(len(texts), np.bool_)
        for code, error in found:
            answered = open_ & ~error.check_output.to_numpy(np.bool_)
            open_ &= ~answered
            if answered.any():
                yield code, error.schema.name, np.flatnonzero(answered)


def _is_ours(error: SchemaError) -> bool:
    """A failure that is no check's answer for each row is a bug of the contract, and no line's fault."""
    return error.reason_code is SchemaErrorReason.DATAFRAME_CHECK and error.check_output is not None
