"""When a fault strikes: rules with a probability or a schedule, drawn from one seed, changeable while running."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Self

from deploy.sandbox.provider.vocabulary import VOCABULARY, Occasion

RULE_FIELDS = ("fault", "probability", "nth", "after", "times", "endpoint", "resource", "account")


@dataclass(slots=True)
class Rule:
    """A fault that is switched on.

    An *occasion* is a call that matches `endpoint` (a glob over names as `openai.batches.create`), `resource` (a glob
    over the file's or batch's id in the path) and `account` (a glob over the API key). It strikes at the occasions
    numbered in `nth` (1-based; empty: at all), not at the first `after` ones, with `probability`, and at most `times`.
    For a fault of single requests the occasion is the batch; `options` then choose the requests.
    """

    fault: str
    probability: float = 1.0
    nth: tuple[int, ...] = ()
    after: int = 0
    times: int | None = None
    endpoint: str = "*"
    resource: str = "*"
    account: str = "*"
    options: dict[str, Any] = field(default_factory=dict)
    seen: int = 0
    struck: int = 0

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Self:
        """Build a rule from flat JSON; ValueError names an unknown fault or option."""
        name = str(spec.get("fault"))
        known = VOCABULARY.get(name)
        if known is None:
            raise ValueError(f"unknown fault {name!r}; the faults are {', '.join(sorted(VOCABULARY))}")
        options = {key: value for key, value in spec.items() if key not in RULE_FIELDS}
        unknown = sorted(set(options) - set(known.options))
        if unknown:
            allowed = ", ".join([*RULE_FIELDS[1:], *known.options])
            raise ValueError(f"fault {name} has no option {', '.join(unknown)}; it has {allowed}")
        rule = {key: value for key, value in spec.items() if key in RULE_FIELDS}
        rule["nth"] = tuple(rule.get("nth", ()))
        return cls(**rule, options={**known.options, **options})

    def matches(self, endpoint: str, resource: str, account: str) -> bool:
        return (
            fnmatchcase(endpoint, self.endpoint)
            and fnmatchcase(resource, self.resource)
            and fnmatchcase(account, self.account)
        )

    def strikes(self, rng: Random) -> bool:
        """Count one more occasion, and tell whether the fault strikes at it."""
        self.seen += 1
        if self.seen <= self.after or (self.nth and self.seen not in self.nth):
            return False
        if self.times is not None and self.struck >= self.times:
            return False
        if rng.random() >= self.probability:
            return False
        self.struck += 1
        return True


class Faults:
    """The rules in force, in the order in which they were set."""

    def __init__(self, seed: int = 0, rules: Iterable[Mapping[str, Any]] = ()) -> None:
        self._seed = seed
        self._rules: list[tuple[Rule, Random]] = []
        self._made = 0
        for rule in rules:
            self.add(rule)

    def add(self, spec: Mapping[str, Any]) -> None:
        rule = Rule.of(spec)
        self._made += 1
        self._rules.append((rule, Random(f"{self._seed}:{self._made}:{rule.fault}")))

    def remove(self, fault: str | None = None) -> int:
        """Switch off one fault, or all of them; batches that already drew a fault keep it."""
        kept = [pair for pair in self._rules if fault is not None and pair[0].fault != fault]
        removed = len(self._rules) - len(kept)
        self._rules = kept
        return removed

    def listing(self) -> list[dict[str, Any]]:
        return [asdict(rule) for rule, _ in self._rules]

    def draw(self, fault: str, endpoint: str, resource: str = "", account: str = "") -> dict[str, Any] | None:
        """Return the options of the first rule for `fault` that strikes at this occasion."""
        for rule, rng in self._rules:
            if rule.fault == fault and rule.matches(endpoint, resource, account) and rule.strikes(rng):
                return dict(rule.options)
        return None

    def draw_all(self, occasion: Occasion, endpoint: str, account: str = "") -> dict[str, dict[str, Any]]:
        """Return every fault of an occasion that strikes now, with its options."""
        found: dict[str, dict[str, Any]] = {}
        for rule, rng in self._rules:
            of_occasion = VOCABULARY[rule.fault].occasion is occasion and rule.fault not in found
            if of_occasion and rule.matches(endpoint, "", account) and rule.strikes(rng):
                found[rule.fault] = dict(rule.options)
        return found
