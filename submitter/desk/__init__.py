"""What stands beside the submit operator, in a process of its own: finished files are planned and submitted there."""
