"""Where a start goes on from: the state of an earlier run while it fits, else positions."""
