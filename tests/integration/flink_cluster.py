"""A standalone Flink cluster on loopback from the wheel's own scripts: a job manager, and task managers to kill."""

import json
import os
import shutil
import signal
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyflink

from deploy.sandbox.child import Child
from deploy.sandbox.ports import free_ports
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

HOME = Path(str(pyflink.__file__)).parent
START_SECONDS = 120


class FlinkCluster:
    """Started with `start`; its processes end with the test's others."""

    def __init__(self, processes: Processes, folder: Path, environ: Mapping[str, str]) -> None:
        self._processes, self._folder = processes, folder
        rpc, self.port = free_ports(2)
        folder.mkdir()
        for file in (HOME / "conf").iterdir():
            shutil.copy(file, folder)
        (folder / "config.yaml").write_text(
            json.dumps(
                {
                    "jobmanager.rpc.address": "127.0.0.1",
                    "jobmanager.rpc.port": rpc,
                    "jobmanager.bind-host": "127.0.0.1",
                    "jobmanager.memory.process.size": "900m",
                    "taskmanager.host": "127.0.0.1",
                    "taskmanager.bind-host": "127.0.0.1",
                    "taskmanager.numberOfTaskSlots": 1,
                    "taskmanager.memory.process.size": "1500m",
                    "taskmanager.memory.jvm-metaspace.size": "160m",
                    "rest.address": "127.0.0.1",
                    "rest.bind-address": "127.0.0.1",
                    "rest.port": self.port,
                    "heartbeat.timeout": "8 s",
                    "heartbeat.interval": "2 s",
                }
            )
        )
        self._environ = {
            **environ,
            "FLINK_CONF_DIR": str(folder),
            "FLINK_LOG_DIR": str(folder / "log"),
            "FLINK_PID_DIR": str(folder),
        }

    def start(self, task_managers: int) -> list[Child]:
        """The task managers, once they are there."""
        self._run("jobmanager")
        managers = [self._run("taskmanager") for _ in range(task_managers)]
        wait_until(
            lambda: self._overview().get("taskmanagers") == task_managers,
            START_SECONDS,
            "the task managers to register",
        )
        return managers

    def add(self, count: int) -> None:
        """More task managers; they register when they are ready."""
        for _ in range(count):
            self._run("taskmanager")

    def kill(self, manager: Child) -> None:
        """SIGKILL a task manager with its Python workers, as a machine that loses its power."""
        os.killpg(manager.pid, signal.SIGKILL)

    def flags(self) -> list[str]:
        """What leads `submitter run` here."""
        configuration = {"execution.target": "remote", "rest.address": "127.0.0.1", "rest.port": str(self.port)}
        return [part for name, value in configuration.items() for part in ("-D", f"{name}={value}")]

    def jobs(self) -> list[str]:
        """Flink's word for the state of each job that the cluster knows."""
        return [str(job["status"]) for job in self._ask("/jobs")["jobs"]]

    def _run(self, role: str) -> Child:
        script = HOME / "bin" / f"{role}.sh"
        return self._processes.start(role, ["bash", script, "start-foreground"], env=self._environ)

    def _overview(self) -> dict[str, Any]:
        try:
            return self._ask("/overview")
        except OSError:
            return {}

    def _ask(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
