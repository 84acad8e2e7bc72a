"""Salesforce: what changed in a brand's org becomes lines of deliveries, once, before the lock."""
