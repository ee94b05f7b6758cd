"""How a test waits: for a condition, with a deadline. No test sleeps."""

from deploy.sandbox.waiting import WaitTimeoutError, wait_until

__all__ = ["WaitTimeoutError", "wait_until"]
