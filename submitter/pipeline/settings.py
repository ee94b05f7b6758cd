"""The `batchline.*` settings: which there are, what they may be, what they are where the file is silent. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shared.keys import is_name
from shared.messages import BATCHES_TOPIC
from shared.units import seconds
from submitter.pipeline.faults import Faults, Place, nearest
from submitter.pipeline.kinds import dollars
from submitter.pipeline.references import url_password
from submitter.pipeline.values import Settings

PREFIX = "batchline."


@dataclass(frozen=True)
class Given:
    """A value of a SET."""

    value: str
    """With the environment's values."""
    raw: str
    """As the file has it."""
    line: int | None = None


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"'{text}' can't name a folder; use letters, digits, '_', '.' and '-', at most 100")
    return text


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"'{text}' is neither 'true' nor 'false'")
    return text.lower() == "true"


def _positive(text: str) -> float:
    value = seconds(text)
    if value <= 0:
        raise ValueError("it must be more than 0")
    return value


class _Setting(NamedTuple):
    kind: Callable[[str], Any]
    """Raises ValueError for a value that can't be used."""
    default: str
    meaning: str
    example: str = ""
    """Of one that must be given."""
    is_variable: bool = True
    """Whether the environment may say it."""


_SETTINGS: dict[str, _Setting] = {
    "pipeline": _Setting(
        _name, "required", "its name, unique in the state store", "a name such as 'review-sentiment'", is_variable=False
    ),
    "spool": _Setting(
        _text,
        "required",
        "where sealed rows, requests and answers lie",
        "an address, such as 'file:///var/lib/batchline/spool' or 's3://bucket/prefix'",
    ),
    "state-store": _Setting(
        _text,
        "required",
        "SQL address of the state store; a password in it as `${NAME}`",
        "an SQL address, such as 'sqlite:////var/lib/batchline/state.db'",
    ),
    "shared-spool": _Setting(
        _boolean, "false", "every machine of the cluster sees spool and store under these addresses", is_variable=False
    ),
    "bootstrap-servers": _Setting(_text, "the sink's", "the Kafka cluster of the batches topic"),
    "batches-topic": _Setting(_text, BATCHES_TOPIC, "topic of the batch events"),
    "create-quarantine": _Setting(
        _positive,
        "15 min",
        "clean look-ups before an unanswered create may be tried again; the longer of it and the poller's",
    ),
    "retention": _Setting(
        _positive, "the poller's, 7 d", "how long the data of this pipeline are kept after publication"
    ),
    "max-cost-per-day": _Setting(dollars, "none", "US dollars that the whole pipeline may cost on a day (UTC)"),
    "kafka-config": _Setting(
        Path,
        "none",
        "file of librdkafka properties: `name = value` lines below `[host:port,…]`, the cluster as it is written, or "
        "`[DEFAULT]`; `${NAME}` is taken from the environment",
    ),
}


def markdown() -> str:
    """The table for the reference."""
    rows = (
        f"| `{PREFIX}{name}` | {each.default} | {_variable(name) if each.is_variable else ''} | {each.meaning} |"
        for name, each in _SETTINGS.items()
    )
    return "\n".join(["| setting | default | else from | meaning |", "|---|---|---|---|", *rows])


@dataclass(frozen=True)
class Found:
    """The settings that can be used, by their names without the prefix, whatever is wrong with others."""

    values: Mapping[str, Any]
    settings: Settings | None
    """None where a required one is missing or can't be used."""


def read_settings(given: Mapping[str, Given], environ: Mapping[str, str], faults: Faults, unread: str = "") -> Found:
    """The settings. `given` has the file's names; what stands in the `unread` statements counts as neither."""
    hints = ""
    for name in given:
        if name.removeprefix(PREFIX) not in _SETTINGS:
            hint = nearest(name, [PREFIX + known for known in _SETTINGS])
            faults.add(f"there is no such setting{hint}", Place(given[name].line, f"SET '{name}'"))
            hints += hint
    values: dict[str, Any] = {}
    found: dict[str, Given] = {}
    for key, setting in _SETTINGS.items():
        one = given.get(PREFIX + key) or _of_environment(key, environ)
        if one is None:
            continue
        found[key] = one
        try:
            values[key] = setting.kind(one.value)
        except ValueError as error:
            faults.add(f"it can't be used: {error}", Place(one.line, f"SET '{PREFIX}{key}'"))
    required = {key: setting.example for key, setting in _SETTINGS.items() if setting.example}
    for key, wanted in required.items():
        if key not in found and PREFIX + key not in unread + hints:
            faults.add(f"SET '{PREFIX}{key}' is missing: give {wanted}", Place())
    store = found.get("state-store")
    if store is not None and url_password(store.raw) is not None:
        message = "the address holds a password as it is; write ${NAME} in its place, and export NAME"
        faults.add(message, Place(store.line, f"SET '{PREFIX}state-store'"))
    if store is None or not required.keys() <= values.keys():
        return Found(values, None)
    return Found(values, _settings(values, store.raw))


def _settings(values: Mapping[str, Any], store: str) -> Settings:
    return Settings(
        name=values["pipeline"],
        spool=values["spool"].rstrip("/"),
        shared_spool=values.get("shared-spool", False),
        state_store=values["state-store"],
        state_store_reference=store,
        bootstrap_servers=values.get("bootstrap-servers"),
        batches_topic=values.get("batches-topic", BATCHES_TOPIC),
        quarantine=values.get("create-quarantine"),
        retention=values.get("retention"),
        kafka_config=values.get("kafka-config"),
        max_cost_per_day=values.get("max-cost-per-day"),
    )


def check_target(values: Mapping[str, Any], target: str | None, faults: Faults) -> None:
    """Refuse what serves one machine only where Flink runs on others. `target` is Flink's execution.target."""
    spool, store = values.get("spool", ""), values.get("state-store", "")
    if values.get("shared-spool") or target in (None, "", "local", "embedded"):
        return
    remedy = f"or, where every machine sees the spool at this path, SET '{PREFIX}shared-spool' = 'true'"
    if spool.startswith("file:"):
        message = f"'{spool}' serves one machine, and the job goes to '{target}': use s3://…, {remedy}"
        faults.add(message, Place(statement=f"SET '{PREFIX}spool'"))
    if store.startswith("sqlite"):
        message = f"SQLite serves one machine, and the job goes to '{target}': use postgresql+psycopg://…, {remedy}"
        faults.add(message, Place(statement=f"SET '{PREFIX}state-store'"))


def _of_environment(key: str, environ: Mapping[str, str]) -> Given | None:
    value = environ.get(_variable(key)) if _SETTINGS[key].is_variable else None
    # A reference to the variable itself: what it holds is passed on to nobody.
    return Given(value, f"${{{_variable(key)}}}") if value else None


def _variable(key: str) -> str:
    return "BATCHLINE_" + key.upper().replace("-", "_")
