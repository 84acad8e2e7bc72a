"""The ledger and its rules; knows nothing of files, channels, Prefect or the web."""
