"""The machine that the bench runs on, in the words of its own files and commands."""

import os
import platform
import re
import subprocess
from pathlib import Path


def machine() -> str:
    """One line: cores, CPU, memory, kernel, JDK, Python."""
    memory = _found(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo"))
    cpu = _found(r"model name\s+: (.+)", Path("/proc/cpuinfo")) or platform.processor() or platform.machine()
    gigabytes = f"{int(memory) / 1024 / 1024:.0f} GB" if memory else "unknown memory"
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{len(os.sched_getaffinity(0))} cores of {cpu}, {gigabytes}, {platform.system()} {platform.release()}, "
        f"{_java()}, Python {platform.python_version()}; load before the run {load}"
    )


def _found(pattern: str, file: Path) -> str | None:
    match = re.search(pattern, file.read_text()) if file.exists() else None
    return match[1].strip() if match else None


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = Path(home, "bin", "java") if home else Path("java")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "([^"]+)"', told)
    return f"JDK {match[1]}" if match else "no JDK"
