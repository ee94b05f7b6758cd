"""`make audit`: a known vulnerability fails it; a database that is away is said, and does not."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.audit import BROKEN, CLEAN, FOUND, main, verdict

LOCK = "good==1.0 --hash=sha256:{0}\nbad==2.0 --hash=sha256:{0}\n".format("0" * 64)
KNOWN = {
    "id": "PYSEC-2026-1",
    "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "summary": "It is bad.",
    "affected": [
        {
            "package": {"name": "bad", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}],
        }
    ],
}


@pytest.fixture
def database() -> Iterator[ThreadingHTTPServer]:
    """A database that knows a vulnerability of the package `bad`."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"vulns": [KNOWN]} if asked["package"]["name"] == "bad" else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "requirements.lock"
    file.write_text(LOCK)
    return file


def audited(lock: Path, port: int) -> int:
    return main(["--lock", str(lock), "--database", f"http://127.0.0.1:{port}/v1/query"])


def test_a_known_vulnerability_fails_it(
    lock: Path, database: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    port = int(database.server_address[1])
    assert audited(lock, port) == FOUND
    assert "bad 2.0: PYSEC-2026-1, fixed in 2.1" in capsys.readouterr().out
    lock.write_text(LOCK.partition("bad")[0])
    assert audited(lock, port) == CLEAN
    assert "no vulnerability is known in 1 locked packages" in capsys.readouterr().out


def test_a_database_that_is_away_is_said_and_tolerated(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited(lock, 1) == CLEAN
    assert "NOT DONE: the database of vulnerabilities can't be reached" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "output", "errors"),
    [
        (1, "", "Traceback\nKeyError: 'x'"),
        (1, "", ""),
        (0, "no json", "fine"),
        (0, "{}", ""),
        (0, '{"dependencies": []}', ""),
        (1, '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', ""),
        (0, '{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', ""),
    ],
)
def test_nothing_else_passes_for_clean(code: int, output: str, errors: str) -> None:
    assert verdict(code, output, errors)[0] == BROKEN
