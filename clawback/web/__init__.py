"""Web Services: the actions API that brands' programs speak, and batch upload. No rule of the ledger is in here."""
