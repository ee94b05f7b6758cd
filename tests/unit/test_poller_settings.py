from pathlib import Path

import pytest
from click.testing import CliRunner

from poller.command import main
from poller.flags import flag, load, variable
from poller.settings import PollerSettings
from shared.errors import SettingsError
from shared.kafka import load_clusters

NEEDED = {"state_store": "sqlite:////tmp/x.db", "bootstrap_servers": "localhost:9092", "spool": "file:///tmp/spool"}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in PollerSettings.model_fields:
        monkeypatch.delenv(variable(field), raising=False)


def test_a_flag_wins_over_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHLINE_POLL_INTERVAL", "0.25")
    monkeypatch.setenv("BATCHLINE_BATCHES_TOPIC", "from-the-environment")
    settings = load(PollerSettings, {**NEEDED, "batches_topic": "from-the-flag", "spool": NEEDED["spool"]})
    assert settings.poll_interval == 0.25
    assert settings.batches_topic == "from-the-flag"


def test_defaults_are_those_of_the_contract() -> None:
    settings = load(PollerSettings, NEEDED)
    assert (settings.batches_topic, settings.poll_interval, settings.poll_max_interval) == (
        "batchline.batches",
        15,
        300,
    )
    assert settings.create_quarantine == 900


def test_a_time_is_written_as_in_a_file_or_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHLINE_RETENTION", "30 d")
    settings = load(PollerSettings, {**NEEDED, "create_quarantine": "1 h", "poll_interval": "500 ms", "shards": "3"})
    assert (settings.retention, settings.create_quarantine, settings.poll_interval, settings.shards) == (
        30 * 86400,
        3600,
        0.5,
        3,
    )
    with pytest.raises(SettingsError, match=r"^--retention \(BATCHLINE_RETENTION\): '7 parsecs' is no duration; write"):
        load(PollerSettings, {**NEEDED, "retention": "7 parsecs"})


def test_every_missing_setting_is_named_with_flag_and_variable() -> None:
    with pytest.raises(SettingsError) as raised:
        load(PollerSettings, {})
    for field in NEEDED:
        assert flag(field) in str(raised.value)
        assert variable(field) in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"poll_interval": "soon"}, "--poll-interval (BATCHLINE_POLL_INTERVAL)"),
        ({"poll_interval": "0"}, "greater than 0"),
        ({"poll_interval": "30", "poll_max_interval": "10"}, "BATCHLINE_POLL_MAX_INTERVAL"),
        ({"log_level": "loud"}, "--log-level"),
    ],
)
def test_a_bad_value_is_told_with_its_flag(changes: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(PollerSettings, {**NEEDED, **changes})
    assert says in str(raised.value)


@pytest.mark.parametrize("command", ["run", "once"])
def test_help_shows_every_flag_and_variable(command: str) -> None:
    said = CliRunner().invoke(main, [command, "--help"], terminal_width=200).output
    for field in PollerSettings.model_fields:
        assert flag(field) in said
        assert variable(field) in said


def test_a_missing_setting_ends_a_command_with_2() -> None:
    ended = CliRunner().invoke(main, ["once"])
    assert ended.exit_code == 2
    assert "BATCHLINE_SPOOL" in ended.output


def test_each_cluster_has_its_own_properties(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text(
        "[DEFAULT]\nclient.id = batchline\n"
        "[b:9093, a:9093]\nsecurity.protocol = SASL_SSL\nsasl.password = ${KAFKA_PASSWORD}\n# a comment\n"
    )
    clusters = load_clusters(file, {"KAFKA_PASSWORD": "p%w=x"})
    secure = clusters.client("a:9093,b:9093", {"security.protocol": "PLAINTEXT", "sasl.username": "u"})
    assert secure == {
        "bootstrap.servers": "a:9093,b:9093",
        "security.protocol": "SASL_SSL",
        "sasl.username": "u",
        "sasl.password": "p%w=x",
        "client.id": "batchline",
    }
    assert clusters.client("c:9092") == {"bootstrap.servers": "c:9092", "client.id": "batchline"}


def test_a_reference_that_is_not_set_is_named(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("[a:9092]\nsasl.password = ${KAFKA_PASSWORD}\n")
    with pytest.raises(SettingsError, match="KAFKA_PASSWORD"):
        load_clusters(file, {}).client("a:9092")


@pytest.mark.parametrize("text", ["sasl.password = secret\n", "[a:9092]\nno delimiter\n", "[a]\nx=1\n[a]\nx=2\n"])
def test_a_file_that_is_none_is_named_without_its_content(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load_clusters(file, {})
    assert str(file) in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="BATCHLINE_KAFKA_CONFIG"):
        load_clusters(tmp_path / "absent", {})
