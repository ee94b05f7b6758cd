"""Runs a bench in a process of its own: its JVM, its threads and its memory end with it."""

import os
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

from tests.bench.rows import Row


def measured(name: str, log: Path) -> list[Row]:
    """One bench's rows, from a process that ends with it; all that it prints, and its children, goes to `log`."""
    with ProcessPoolExecutor(1, get_context("spawn"), _print_to, (str(log),)) as alone:
        return alone.submit(_main, name).result()


def _main(name: str) -> list[Row]:
    found: list[Row] = import_module(f"tests.bench.bench_{name}").main()
    return found


def _print_to(log: str) -> None:
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    os.close(target)
