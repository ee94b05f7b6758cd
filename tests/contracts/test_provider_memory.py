"""Sending and fetching hold no file in memory: a process's peak is the same for ten times the bytes."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.contracts.provider_account import BOTH, Account, only

CHILD = """
import sys
from pathlib import Path
from deploy.sandbox.provider import ProviderServer
from tests.contracts.provider_account import Account

server = ProviderServer(sys.argv[2], port=int(sys.argv[3]))
account = Account(server, sys.argv[1], Path(sys.argv[4]))
batch = account.outgoing(60)
batch.requests.unlink()
batch.requests.symlink_to(sys.argv[5])
remote = account.provider.create(batch, account.provider.upload(batch))
account.provider.download(account.ended(remote.id), Path(sys.argv[4]))
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(peak.split()[1])
"""
ROOT = Path(__file__).parents[2]
LIMIT_KB = 6 * 1024


def peak_kb(account: Account, size: int) -> int:
    """The peak of a process that sends one batch of so many bytes and fetches its results."""
    write = account.provider.requests(account.definition.model).line
    prompt = "word " * 20_000
    lines = size // len(write("a" * 33, prompt))
    path = account.folder / f"{size}.jsonl"
    with path.open("wb") as file:
        file.writelines(write(f"aaaaaaaaaaaaaaaaaaaaaaaaaa-0-{number}", prompt) for number in range(lines))
    folder = account.folder / f"{size}"
    folder.mkdir()
    server = account.server
    command = [sys.executable, "-c", CHILD, account.kind, server.directory, server.port, folder, path]
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, check=True, timeout=120)
    return int(orjson.loads(done.stdout))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells a process's peak")
@only(*BOTH)
def test_ten_times_the_bytes_take_no_more_memory(account: Account) -> None:
    small, large = peak_kb(account, 4_000_000), peak_kb(account, 40_000_000)
    assert large - small < LIMIT_KB, f"{small} kB for 4 MB, {large} kB for 40 MB"
