"""The parts that ``clawback serve`` runs, each in a process of its own, and what they share."""
