"""The door for Python: `predict` in a Table API job of the user's own."""
