"""The exit codes of the submitter's commands, by what went wrong."""

import threading
from pathlib import Path

import pytest

from shared.errors import BatchlineError, KafkaUnavailable, SettingsError, SpoolAway, StoreUnavailable
from submitter.invocation import AWAY, BUSY, FAILED, WRONG, flink, told
from submitter.pipeline.faults import Fault, PipelineError
from submitter.run.claim import AlreadyRunning

OUTAGE, MISTAKE = Fault("the broker is away", away=True), Fault("there is no such option")


@pytest.mark.parametrize(
    ("error", "code", "judged"),
    [
        (PipelineError("file.sql", [OUTAGE]), AWAY, WRONG),
        (PipelineError("file.sql", [OUTAGE, MISTAKE]), WRONG, WRONG),
        (StoreUnavailable("away"), AWAY, AWAY),
        (KafkaUnavailable("away"), AWAY, AWAY),
        (SpoolAway("away"), AWAY, AWAY),
        (AlreadyRunning("twin"), BUSY, BUSY),
        (SettingsError("wrong"), WRONG, WRONG),
        (BatchlineError("failed"), FAILED, FAILED),
    ],
)
def test_each_end_has_its_code(error: BatchlineError, code: int, judged: int) -> None:
    for judges, expected in ((False, code), (True, judged)):
        with pytest.raises(SystemExit) as ended, told(judges=judges):
            raise error
        assert ended.value.code == expected


def test_a_machine_without_java_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for home, said in ((None, "there is no java in PATH"), (tmp_path, f"there is no {tmp_path}/bin/java")):
        monkeypatch.setenv("JAVA_HOME", str(home)) if home else monkeypatch.delenv("JAVA_HOME", raising=False)
        with pytest.raises(SettingsError, match="install a JDK 17") as refused, flink(threading.Event()):
            pass
        assert said in str(refused.value)
