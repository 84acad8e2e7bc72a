"""The demonstration runs, and tells the truth about itself."""

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(180)
def test_demo_ends_well() -> None:
    """It starts the real parts, sends every kind of file, and every check it makes holds."""
    command = [sys.executable, "-m", "clawback", "demo", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert [one["check"] for one in told["checks"] if not one["holds"]] == []
    assert len(told["checks"]) >= 30
    states = {receipt["name"]: receipt["state"] for receipt in told["receipts"]}
    assert states.pop("again.csv") == "duplicate"
    assert set(states.values()) == {"done"}
    assert {"returns.csv", "messy.csv", "before.csv", "after.csv", "mailed.csv", "pulled.csv"} < states.keys()
    channels = [receipt["channel"] for receipt in told["receipts"]]
    assert (channels.count("api"), channels.count("salesforce:acme-crm")) == (1, 2)
    for receipt in told["receipts"]:
        rows = dict(receipt["rows"])
        assert rows.pop("read") == sum(rows.values())
