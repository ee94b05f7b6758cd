"""The witness log counts what was accepted and billed, and a restart forgets nothing."""

import subprocess
import sys
from pathlib import Path

import psutil

from deploy.sandbox.provider import ProviderServer, Witness
from deploy.sandbox.provider.answers import prompt_hash
from deploy.sandbox.provider.processing import body_hash
from tests.contracts.sandbox_user import SandboxUser, chat_line, message_request
from tests.rig.waiting import wait_until

ROOT = Path(__file__).parents[2]


def test_the_witness_counts_requests_bills_and_tokens(tmp_path: Path) -> None:
    lines = [chat_line(f"r{n}", f"text {n}") for n in range(6)]
    at_start = [{"fault": "line_errored", "times": 1, "numbers": [1]}]
    with ProviderServer(tmp_path, processing_seconds=0.1, faults=at_start) as server:
        user = SandboxUser(server)
        first, second = user.run(lines), user.run(lines[:2])
        user.run_messages([message_request("m", "text 0")])
        user.openai.responses.create(model="gpt-5-mini", input="text 5")
        user.close()
    witness = Witness(tmp_path)
    assert witness.custom_ids() == {"r0": 2, "r1": 2, "r2": 1, "r3": 1, "r4": 1, "r5": 1, "m": 1}
    assert witness.bodies()[body_hash(lines[1]["body"])] == 2
    billed = witness.billed_prompts()
    assert [billed[prompt_hash(f"text {n}")] for n in range(6)] == [2, 2, 1, 1, 1, 2]
    assert witness.billed_custom_ids()["r0"] == 1
    assert [event["batch"] for event in witness.creates("openai")] == [first.id, second.id]
    assert first.usage
    assert second.usage
    of_batches = [entry for entry in witness.billed() if entry.batch in (first.id, second.id)]
    assert sum(entry.input_tokens for entry in of_batches) == first.usage.input_tokens + second.usage.input_tokens
    assert witness.tokens()[0] > first.usage.input_tokens


def test_a_killed_provider_goes_on_where_it_was(tmp_path: Path) -> None:
    server = ProviderServer(tmp_path, processing_seconds=1.0)
    with server:
        user = SandboxUser(server)
        ended = user.run([chat_line("a", "a")])
        running = user.create([chat_line(f"r{n}", str(n)) for n in range(20)])
        workers = psutil.Process(server.pid).children(recursive=True)
        server.kill()
        server.start()
        assert user.openai.batches.retrieve(ended.id) == ended
        assert len(user.by_id(user.ended(running.id))) == 20
        wait_until(lambda: not any(worker.is_running() for worker in workers), 10, "the workers' end")
        user.close()
    assert len(list(server.witness().billed())) == 21


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = f"""
import os, signal
from deploy.sandbox.provider import ProviderServer
server = ProviderServer({str(tmp_path)!r}).start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=False)
    pid = int(told.stdout)
    wait_until(lambda: not psutil.pid_exists(pid), 20, "the provider's end")


def test_a_worker_that_starts_as_the_provider_dies_ends_too(tmp_path: Path) -> None:
    server = ProviderServer(tmp_path).start()
    user = SandboxUser(server)
    user.create([chat_line("a", "a")])
    # The first batch starts the worker, which then still has its imports before it.
    workers = psutil.Process(server.pid).children(recursive=True)
    server.kill()
    user.close()
    assert workers
    wait_until(lambda: not any(worker.is_running() for worker in workers), 20, "the workers' end")
