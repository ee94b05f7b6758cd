"""What a start without Flink state says of rows that would be paid for again."""

import pytest

from shared.errors import SettingsError
from submitter.lineage.starting import admit, anew, cut_short, way_out
from submitter.pipeline.values import PlainInsert


def test_rows_that_can_not_be_told_apart_are_refused_until_somebody_wants_them_paid_for_again() -> None:
    with pytest.raises(SettingsError, match=r"statement answers: its input has no positions .* give --resubmit"):
        admit(["answers"], [], resubmit=False)
    (said,) = admit(["answers"], [], resubmit=True)
    assert "the input of answers has no positions" in said
    assert "paid for" in said


def test_resubmit_pays_for_no_record_with_a_position_and_says_how_to() -> None:
    (said,) = admit([], ["answers"], resubmit=True)
    assert "--resubmit changes nothing for answers" in said
    assert "give the pipeline another name" in said
    assert admit([], ["answers"], resubmit=False) == []


def test_the_way_out_of_a_state_that_can_not_be_restored_tells_the_price() -> None:
    assert "--fresh" in way_out([])
    assert "--resubmit" not in way_out([])
    assert "--fresh --resubmit" in way_out(["answers"])


def test_each_plain_insert_that_begins_anew_is_named() -> None:
    plain = [PlainInsert("INSERT …", line, "`c`.`d`.`refined`", "c", "d", bounded=False) for line in (30, 41)]
    first, second = anew(plain)
    assert first.startswith("warning: the plain INSERT INTO `c`.`d`.`refined` (line 30) begins anew")
    assert "(line 41)" in second
    assert anew([]) == []


def test_rows_of_a_record_that_an_unfinished_file_may_have_held_are_told_of() -> None:
    (said,) = cut_short(["answers"])
    assert said.startswith("warning: answers was sent more rows than its positions count")
    assert "records give several rows each (JSON arrays)" in said
    assert "produce again what stood in an unfinished file" in said
    assert cut_short([]) == []
