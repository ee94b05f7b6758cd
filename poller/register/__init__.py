"""Announced batches come into the store, each with its shard; what the store has forgotten comes back."""
