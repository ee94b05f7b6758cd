"""Every fault of the providers' table, row by row: the tests are named after the rows."""

import pytest

pytest.register_assert_rewrite("tests.faults.road")
