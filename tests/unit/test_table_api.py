"""The door for Python costs nothing until it is used, and says what it needs."""

import subprocess
import sys

LIGHT = """
import sys
import submitter
heavy = {"pyflink", "py4j", "sqlalchemy", "confluent_kafka", "openai", "anthropic", "jinja2"} & sys.modules.keys()
print(sorted(heavy), submitter.BatchModel.__name__)
"""
WITHOUT_FLINK = """
import sys
sys.modules["pyflink"] = None
from shared.errors import SettingsError
from submitter import predict
try:
    predict(None, "m", "s", statements=None)
except SettingsError as error:
    print(error)
"""


def said(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_it_loads_neither_flink_nor_a_client() -> None:
    assert said(LIGHT) == "[] BatchModel"


def test_without_flink_it_says_what_to_install() -> None:
    assert said(WITHOUT_FLINK) == "predict runs on Apache Flink: pip install 'batchline[submitter]'"
