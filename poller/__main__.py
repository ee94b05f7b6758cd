"""The command `poller`. It can be asked to stop from its first moment on: what it needs is loaded only then."""

from poller.signals import Signals


def main() -> None:
    """Run one of the commands, with the signals that it may be asked by."""
    signals = Signals()
    from poller.command import main as command

    command(obj=signals)


if __name__ == "__main__":
    main()
