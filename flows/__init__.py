"""Prefect: when, how often and how many at once; no rule about money lives here."""
