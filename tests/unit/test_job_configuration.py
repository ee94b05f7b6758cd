"""Whose word holds in the Flink configuration of a run."""

import pytest

from shared.errors import SettingsError
from submitter.job.configuration import (
    CLAIM_MODE,
    JOB_ID,
    RESTORE,
    Start,
    defaults,
    is_local,
    parse_overrides,
    recovery_path,
    whole,
)

JOB = "0123456789abcdef0123456789abcdef"
OURS = defaults("p", "file:///spool/p/checkpoints")


def start(restore: str | None = None, *, ours: bool = True) -> Start:
    return Start(epoch=1, job_id=JOB, restore=restore, claim_mode="CLAIM" if ours and restore else None)


def test_the_user_wins_over_our_defaults() -> None:
    made = whole(OURS, {"parallelism.default": "4"}, start())
    assert made["parallelism.default"] == "4"
    assert made["execution.checkpointing.interval"] == "30 s"


def test_the_job_id_is_the_lineage_s() -> None:
    assert whole(OURS, {}, start())[JOB_ID] == JOB


def test_our_own_checkpoint_is_claimed() -> None:
    made = whole(OURS, {}, start("file:///c/chk-1"))
    assert (made[RESTORE], made[CLAIM_MODE]) == ("file:///c/chk-1", "CLAIM")


def test_a_state_that_the_user_names_is_restored_as_the_user_says() -> None:
    theirs = {RESTORE: "file:///savepoint", CLAIM_MODE: "NO_CLAIM"}
    made = whole(OURS, theirs, start("file:///savepoint", ours=False))
    assert (made[RESTORE], made[CLAIM_MODE]) == ("file:///savepoint", "NO_CLAIM")


def test_a_start_without_state_forgets_a_state_that_the_user_named() -> None:
    assert RESTORE not in whole(OURS, {RESTORE: "file:///too-old"}, start())


def test_a_checkpoint_folder_under_its_old_name_is_the_user_s_word_too() -> None:
    made = whole(OURS, {"state.checkpoints.dir": "s3://bucket/c"}, start())
    assert "execution.checkpointing.dir" not in made


def test_the_old_name_of_the_recovery_path_is_known() -> None:
    assert recovery_path({"execution.savepoint.path": "file:///s"}) == "file:///s"


@pytest.mark.parametrize(("target", "local"), [(None, True), ("local", True), ("remote", False)])
def test_where_the_job_runs(target: str | None, local: bool) -> None:
    assert is_local({} if target is None else {"execution.target": target}) is local


@pytest.mark.parametrize("pair", ["no-equals", "=x", "batchline.spool=file:///x", f"{JOB_ID}={JOB}"])
def test_what_minus_d_can_t_say_is_named(pair: str) -> None:
    with pytest.raises(SettingsError, match="-D"):
        parse_overrides([pair])


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse_overrides(["env.java.opts.all=-Da=b"]) == {"env.java.opts.all": "-Da=b"}


def test_a_start_survives_its_journey_to_another_process() -> None:
    begun = Start(epoch=3, job_id=JOB, starts={"s": {"reviews": {0: 7, 1: 9}}})
    assert Start.model_validate_json(begun.model_dump_json()) == begun
