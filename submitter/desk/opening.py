"""A run that its own job begins, where no command watches it: a job of the user's, executed by the user.

The job begins it when its operator first starts, and goes on with it whenever that starts again. A newer run of the
pipeline is its end: then the job has to fail, so that it seals nothing more.
"""

from shared.spool import Spool
from shared.store import Store
from submitter.desk.errand import Opening
from submitter.lineage.chronicle import Chronicle


def begin(opening: Opening, store: Store, spool: Spool, pipeline: str) -> int:
    """The run's epoch: begun by the job's first start, the same for every later one."""
    epoch = store.lineage.begin(
        pipeline,
        definition=opening.definition,
        spool=spool.address,
        job_id=opening.job,
        restored_from=opening.restored_from,
        started_from=opening.started_from,
    )
    Chronicle(store, spool, pipeline).begun(epoch)
    return epoch
