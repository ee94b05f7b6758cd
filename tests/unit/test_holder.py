"""Which holders of a lease are certainly gone."""

import os
import subprocess
from pathlib import Path
from uuid import uuid4

from shared.lease import is_dead, this_process
from tests.rig.waiting import wait_until


def test_a_process_that_ended_is_dead_and_this_one_is_not() -> None:
    where, pid, started = this_process().rsplit(":", 2)
    child = subprocess.Popen(["true"])
    child.wait()
    assert not is_dead(this_process())
    assert not is_dead(f"{this_process()}/0a1b2c3d")
    assert is_dead(f"{where}:{child.pid}:{started}/0a1b2c3d")
    assert is_dead(f"{where}:{pid}:{int(started) - 1}"), "its pid is another's by now"


def test_a_process_that_ended_is_dead_before_its_parent_has_asked() -> None:
    where, _, _ = this_process().rsplit(":", 2)
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{child.pid}/stat")
    holder = f"{where}:{child.pid}:{stat.read_text().rpartition(')')[2].split()[19]}"
    assert not is_dead(holder)
    child.kill()
    wait_until(lambda: " Z " in stat.read_text(), 10)
    assert is_dead(holder)
    child.wait()


def test_a_process_that_can_not_be_seen_is_not_presumed_dead() -> None:
    """Two containers with one host's name: each sees its own processes only."""
    where, _, started = this_process().rsplit(":", 2)
    host, _, _ = where.rpartition(".")
    assert not is_dead(f"{host}.1:{os.getpid() + 1}:{started}")
    assert not is_dead("another-host.1:1:1")
    assert not is_dead("")


def test_a_process_of_another_machine_of_this_one_s_name_is_not_presumed_dead() -> None:
    """Two virtual machines of one image share a store: the pid namespace of each has the same number."""
    where, _, started = this_process().rsplit(":", 2)
    child = subprocess.Popen(["true"])
    child.wait()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert is_dead(f"{where}:{child.pid}:{started}")
    assert boot in where
    assert not is_dead(f"{where.replace(boot, str(uuid4()))}:{child.pid}:{started}")
    assert not is_dead(f"{where.replace(f'.{boot}', '')}:{child.pid}:{started}"), "an earlier version told no boot"
