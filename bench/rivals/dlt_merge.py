"""A reversal file merged by key by a dlt pipeline: no validation, no history, no answer to any line.

dlt_merge.py URL FOLDER first         makes the pipeline and its table, changed, with one row
dlt_merge.py URL FOLDER lines.csv     merges the file (action_id, amount, reason); prints: total <seconds>
"""

import os
import sys
import time
from collections.abc import Iterator

import dlt
import pyarrow as pa
from pyarrow import csv

os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
FIRST = pa.table({"action_id": ["first"], "amount": [0], "reason": ["ORDER_UPDATE"]})


@dlt.resource(name="changed", primary_key="action_id", write_disposition="merge")
def changed(file: str) -> Iterator[pa.Table]:
    """The file's lines."""
    yield FIRST if file == "first" else csv.read_csv(file)


def main() -> None:
    """Run the pipeline once."""
    url, folder, file = sys.argv[1:]
    began = time.perf_counter()
    sqlite = url.startswith("sqlite")
    # dlt wants a host; libpq takes the socket that the query names.
    to = (
        dlt.destinations.sqlalchemy(credentials=url)
        if sqlite
        else dlt.destinations.postgres(credentials=url.replace("@/", "@localhost/"))
    )
    # The sqlite file itself is the dataset "main".
    dataset = "main" if sqlite else "merged"
    dlt.pipeline("returns", pipelines_dir=folder, destination=to, dataset_name=dataset).run(changed(file))
    print(f"total {time.perf_counter() - began:.2f}")


if __name__ == "__main__":
    main()
