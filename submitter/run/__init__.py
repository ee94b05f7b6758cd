"""One run of a pipeline, from the claim of its name to its end."""
