"""Input that tries to hurt: whatever others wrote, in hundreds of examples; without I/O, but not quick."""
