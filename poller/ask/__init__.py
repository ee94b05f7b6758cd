"""When a deadline nears, and record by record: each call intended before it is made, within a ceiling."""
