"""Random schedules from a seed: 5 to 20 faults each, composed so that every record must still come out exactly once.

Where a fault is the end of a record, the schedule says so in its excuses. Pure.
"""

from collections.abc import Callable
from random import Random

from tests.chaos import machine_faults, provider_faults
from tests.chaos.case import Case, ProviderName, StoreKind
from tests.chaos.draft import HORIZON, Draft

FEWEST, MOST = 5, 20

KINDS: dict[str, tuple[float, Callable[[Draft], None]]] = {
    "kill": (6, machine_faults.kill),
    "failpoint": (4, machine_faults.failpoint),
    "freeze": (3, machine_faults.freeze),
    "zombie": (2, machine_faults.zombie),
    "second poller": (1, machine_faults.second_poller),
    "broker": (0.3, machine_faults.broker),
    "database": (1.5, machine_faults.database),
    "older store": (1.5, machine_faults.older_store),
    "disk full": (1, machine_faults.disk_full),
    "jump": (1, machine_faults.jump),
    "foreign events": (0.7, machine_faults.foreign_events),
    "throttled": (3, provider_faults.throttled),
    "5xx": (3, provider_faults.broken),
    "slow": (2, provider_faults.slow),
    "account": (0.7, provider_faults.account),
    "poisoned": (1, provider_faults.poisoned),
    "response lost": (4, provider_faults.response_lost),
    "applied late": (2, provider_faults.applied_late),
    "list lag": (2, provider_faults.list_lag),
    "404": (2, provider_faults.flaps),
    "output late": (1, provider_faults.output_late),
    "status": (1, provider_faults.status),
    "token limit": (0.7, provider_faults.token_limit),
    "credit": (0.5, provider_faults.credit),
    "bad line": (0.7, provider_faults.bad_line),
    "carried": (4, provider_faults.carried),
    "hopeless": (0.5, provider_faults.hopeless),
    "spoilt": (1, provider_faults.spoilt),
    "odd lines": (2, provider_faults.odd_lines),
    "odd files": (1, provider_faults.odd_files),
    "download cut": (1.5, provider_faults.cut),
    "results deleted": (0.5, provider_faults.deleted),
}
"""Each kind of fault with its weight."""


def schedule(seed: int) -> Case:
    """The schedule of a seed: the same for ever, as long as the kinds stay the same."""
    random = Random(seed)
    provider: ProviderName = random.choice(("openai", "anthropic"))
    store: StoreKind = random.choice(("sqlite", "sqlite", "postgresql"))
    files = random.randint(1, 2)
    draft = Draft(random, provider, store, files * random.randint(2, 4))
    # What is sealed late meets what went wrong before.
    for _ in range(random.randint(1, 2)):
        draft.add("seal")
    draft.add("calm", HORIZON)
    wanted = random.randint(FEWEST, MOST)
    names, weights = list(KINDS), [weight for weight, _ in KINDS.values()]
    while draft.faults < wanted:
        (name,) = random.choices(names, weights)
        KINDS[name][1](draft)
    return Case(
        provider=provider,
        store=store,
        records=draft.records,
        files=files,
        seed=seed,
        kills=tuple(draft.kills),
        steps=tuple(sorted(draft.steps, key=lambda each: each.at)),
        excuses=tuple(draft.excuses),
    )
