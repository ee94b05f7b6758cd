"""What the last lines of a Java stack trace say."""

from submitter.job.rest import is_of_state, root_cause

TRACE = """java.lang.RuntimeException: outer
\tat a.b.C.d(C.java:1)
Caused by: java.io.IOException: middle
\tat a.b.C.e(C.java:2)
Caused by: java.io.EOFException
\tat java.base/java.io.DataInputStream.readFully(DataInputStream.java:203)
"""


def test_the_root_cause_is_the_last() -> None:
    assert root_cause(TRACE) == "java.io.EOFException"
    assert root_cause("only a line\n\tat x") == "only a line"
    assert root_cause("") == ""


def test_what_python_raised_in_a_worker_is_its_own_last_word() -> None:
    raised = """Caused by: java.lang.RuntimeException: Error received from SDK harness for instruction 6: Traceback (most recent call last):
  File "sdk_worker.py", line 311, in _execute
    response = task()
               ^^^^^^
submitter.desk.process.RunOver: run 1 of pipe is over

\tat org.apache.beam.runners.fnexecution.control.FnApiControlClient$ResponseStreamObserver.onNext(X.java:180)
"""  # noqa: E501 - Beam's own line
    assert root_cause(TRACE + raised) == "submitter.desk.process.RunOver: run 1 of pipe is over"


def test_a_state_that_is_damaged_shows_in_the_trace_alone() -> None:
    reading = TRACE + "\tat org.apache.flink.runtime.checkpoint.CheckpointCoordinator.restoreSavepoint(X.java:1912)\n"
    assert not is_of_state(root_cause(TRACE))
    assert is_of_state(root_cause(reading))
    assert is_of_state("java.io.FileNotFoundException: /spool/.part-0.inprogress")
    assert is_of_state("AmazonS3Exception: (Service: Amazon S3; Status Code: 404; Error Code: NoSuchUpload)")
