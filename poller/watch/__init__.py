"""Providers are asked about batches that are due, and what they say moves these on; what stood still goes on."""
