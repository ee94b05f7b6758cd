"""FILE.sql to validated values: what is asked of which model, over which input, into which sink."""
