"""The settings `SET 'batchline.…'`: their defaults, what the environment says, and what is wrong with them."""

from submitter.pipeline.faults import Faults
from submitter.pipeline.settings import Given, check_target, read_settings
from submitter.pipeline.values import Settings

REQUIRED = {
    "batchline.pipeline": Given("p", "p", 1),
    "batchline.spool": Given("file:///spool/", "file:///spool/", 2),
    "batchline.state-store": Given("sqlite:////state.db", "sqlite:////state.db", 3),
}


def settings_of(given: dict[str, Given], environ: dict[str, str] | None = None) -> tuple[Settings | None, list[str]]:
    faults = Faults()
    made = read_settings(given, environ or {}, faults).settings
    return made, [fault.text("f.sql") for fault in faults.errors]


def test_settings_have_the_documented_defaults() -> None:
    made, faults = settings_of(REQUIRED)
    assert not faults
    assert made is not None
    assert (made.name, made.spool, made.batches_topic) == ("p", "file:///spool", "batchline.batches")
    assert (made.quarantine, made.retention, made.shared_spool) == (None, None, False)


def test_the_environment_speaks_where_the_file_is_silent() -> None:
    given = {"batchline.pipeline": Given("p", "p"), "batchline.spool": Given("file:///spool", "file:///spool")}
    environ = {
        "BATCHLINE_STATE_STORE": "postgresql://me:pw@h/d",
        "BATCHLINE_SPOOL": "s3://x",
        "BATCHLINE_PIPELINE": "q",
    }
    made, faults = settings_of(given, environ)
    assert not faults
    assert made is not None
    assert (made.name, made.spool) == ("p", "file:///spool")
    assert made.state_store_reference == "${BATCHLINE_STATE_STORE}"
    assert "pw" not in repr(made)


def test_what_is_wrong_with_settings_is_told_at_once() -> None:
    made, faults = settings_of(
        {
            "batchline.pipelin": Given("p", "p", 1),
            "batchline.create-quarantine": Given("soon", "soon", 2),
            "batchline.pipeline": Given("a/b", "a/b", 3),
            "batchline.state-store": Given("postgresql://me:pw@h/d", "postgresql://me:pw@h/d", 4),
        }
    )
    assert made is None
    said = "\n".join(faults)
    assert "f.sql:1: SET 'batchline.pipelin': there is no such setting; did you mean 'batchline.pipeline'?" in said
    assert "f.sql:2: SET 'batchline.create-quarantine': it can't be used" in said
    assert "'a/b' can't name a folder" in said
    assert "SET 'batchline.spool' is missing" in said
    assert "holds a password" in said
    assert "me:pw" not in said


def test_what_is_mistyped_or_not_read_is_not_missing_too() -> None:
    faults = Faults()
    given = {"batchline.pipeline": REQUIRED["batchline.pipeline"], "batchline.spol": Given("s3://x", "s3://x", 2)}
    found = read_settings(given, {}, faults, "SET 'batchline.state-store' 'no equals sign'")
    assert found.settings is None
    assert found.values == {"pipeline": "p"}
    (fault,) = faults.errors
    assert "did you mean 'batchline.spool'?" in fault.message


def test_what_serves_one_machine_is_refused_on_a_cluster_unless_the_spool_is_shared() -> None:
    faults = Faults()
    made = read_settings(REQUIRED, {}, faults).values
    shared = read_settings({**REQUIRED, "batchline.shared-spool": Given("true", "true")}, {}, faults).values
    check_target(made, None, faults)
    check_target(made, "local", faults)
    check_target(shared, "remote", faults)
    assert not faults.errors
    check_target(made, "remote", faults)
    assert len(faults.errors) == 2
