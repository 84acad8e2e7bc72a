"""Bytes in, receipts out: the channels by which brands send deliveries; they know nothing of actions."""
