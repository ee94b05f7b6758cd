"""The templates of prompts: Jinja's sandbox, in which a rendering can take no unbounded time or memory either.

Whatever a template does is charged to a meter: its loops and texts by steps that are put into its syntax tree, its
operators, calls, filters and tests by the sandbox's own hooks.
"""

from collections.abc import Callable, Iterator, Sized
from decimal import Decimal
from functools import wraps
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import StrictUndefined, TemplateRuntimeError, pass_context
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Namespace

from shared.templates.costs import CHEAP, FILTERS, LAZY, LISTS, PARTS, REFUSED, digits, formatted, methods_of
from shared.templates.meter import SCALARS, STEP, Meter, TooMuch
from shared.templates.steps import COMPARED, TAKEN, WEIGHED, Steps

_GLIMPSE = 64
"""Characters that are compared, or searched, in the time of a unit."""


class _Names(Namespace):
    """A namespace whose text is short, whatever is in it."""

    def __repr__(self) -> str:
        return "<namespace>"


class Templates(ImmutableSandboxedEnvironment):
    """Makes templates. One of its renderings goes on at a time, between `meter.open` and `meter.close`."""

    intercepted_binops = frozenset({"+", "-", "*", "**", "%"})

    def __init__(self) -> None:
        self.meter = Meter()
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True, finalize=_writer(self.meter))
        for table in (self.filters, self.tests):
            known: dict[str, Any] = dict(table)
            table.update({name: self._metered(name, function) for name, function in known.items()})
        self.filters |= _own_filters(self.meter)
        self.globals["namespace"] = _Names
        # Random words; a loop over them is no prompt.
        del self.globals["lipsum"]

    def from_string(self, source: Any, *args: Any, **kwargs: Any) -> Any:
        tree = self.parse(source) if isinstance(source, str) else source
        tree = Steps().visit(tree)
        tree.set_environment(self)
        return super().from_string(tree, *args, **kwargs)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        methods = methods_of(obj)
        if methods is not None and callable(value):
            return attr in methods
        return super().is_safe_attribute(obj, attr, value)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, tuple):
            self.meter.weigh(argument)
        return super().getitem(obj, argument)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if super().wrap_str_format(value) is None:
            return None
        text, is_map = str(value.__self__), value.__name__ == "format_map"

        def formatting(*args: Any, **kwargs: Any) -> str:
            self.meter.charge(len(text))
            return _Formatter(self).vformat(text, () if is_map else args, args[0] if is_map else kwargs)

        return formatting

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        meter = self.meter
        meter.charge(STEP)
        if operator == "%":
            meter.weigh(right)
            meter.charge(formatted(left, right))
        elif operator == "*":
            for sequence, times in ((left, right), (right, left)):
                if isinstance(times, int) and isinstance(sequence, str | list | tuple):
                    meter.charge(len(sequence) * times)
        elif operator == "**":
            if isinstance(left, int) and isinstance(right, int):
                meter.whole(left.bit_length() * right)
        elif not isinstance(left, int | float):
            for each in (left, right):
                meter.charge(len(each) if isinstance(each, Sized) else 1)
        return self._taken(super().call_binop(context, operator, left, right))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.meter.charge(STEP)
        # What Jinja itself passes on, for functions that want their context.
        named = {name: value for name, value in kwargs.items() if name not in ("_loop_vars", "_block_vars")}
        owner = obj.__self__ if isinstance(obj, BuiltinMethodType | MethodType) else None
        costs = None if owner is None else methods_of(owner)
        if costs is not None:
            args = tuple([self._listed(each) for each in args])
            self._charge_method(owner, obj.__name__, args)
            self.meter.charge(costs[obj.__name__](owner, *args, **named))
        elif not isinstance(obj, Macro):
            for value in (*args, *named.values()):
                self.meter.weigh(value)
        return self._taken(super().call(context, obj, *args, **kwargs))

    def call_filter(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if name in (TAKEN, WEIGHED, COMPARED):
            raise TemplateRuntimeError(f"No filter named {name!r}.")
        return super().call_filter(name, *args, **kwargs)

    def _charge_method(self, owner: Any, name: str, args: tuple[Any, ...]) -> None:
        if isinstance(owner, str):
            self.meter.charge(len(owner))
        elif name in ("count", "index"):
            self.meter.weigh(owner, per=_GLIMPSE)
        for each in args:
            self.meter.weigh(each)

    def _metered(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter or test that charges what it works on before, and what it gives after."""
        start = 1 if getattr(function, "jinja_pass_arg", None) is not None else 0
        meter, charge = self.meter, self._charging(name)
        is_plain = name not in CHEAP | LAZY | LISTS | REFUSED and name not in FILTERS

        @wraps(function)
        def metered(*args: Any, **kwargs: Any) -> Any:
            if is_plain and not kwargs and len(args) == start + 1 and type(args[start]) is str:
                # The same, for what is most usual, in less time.
                meter.left -= STEP + len(args[start])
                if meter.left < 0:
                    raise TooMuch
            else:
                args = (*args[:start], *charge(args[start:], kwargs))
            return self._taken(function(*args, **kwargs))

        return metered

    def _charging(self, name: str) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, ...]]:
        """Charges what a filter or test of a name is given; returns what it is to be given."""
        more, times, meter = FILTERS.get(name), PARTS if name in LISTS else 1, self.meter

        def charge(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
            meter.charge(STEP)
            if name in REFUSED:
                raise TooMuch(f"the filter '{name}' can't be used in a prompt")
            if name in LAZY:
                meter.charge(STEP * len(args[0]) if isinstance(args[0], Sized) else 0)
                return args
            args = tuple([self._listed(each) for each in args])
            if name not in CHEAP:
                for value in (*args, *kwargs.values()):
                    meter.weigh(value, times)
            if more is not None:
                meter.charge(more(*args, **kwargs))
            return args

        return charge

    def _listed(self, value: Any) -> Any:
        """What gives its elements one by one, as a list, so that its size is known."""
        return list(value) if type(value) is not str and isinstance(value, Iterator) else value

    def _taken(self, value: Any) -> Any:
        """Charge what was made."""
        if type(value) is str:
            self.meter.left -= len(value)
            if self.meter.left < 0:
                raise TooMuch
        elif isinstance(value, int):
            self.meter.whole(value.bit_length())
        elif isinstance(value, Decimal):
            self.meter.whole(4 * abs(value.adjusted()))
        elif isinstance(value, str | list | tuple):
            self.meter.charge(len(value))
        elif isinstance(value, Iterator):
            return self._counted(value)
        return value

    def _counted(self, values: Iterator[Any]) -> Iterator[Any]:
        for value in values:
            self.meter.charge(STEP)
            yield value


class _Formatter(SandboxedFormatter):
    """`str.format`, each field charged with its width."""

    _env: Templates

    def format_field(self, value: Any, format_spec: str) -> Any:
        self._env.meter.weigh(value)
        for width in "".join(each if each.isdecimal() else " " for each in format_spec).split():
            self._env.meter.charge(digits(width))
        return super().format_field(value, format_spec)

    def convert_field(self, value: Any, conversion: Any) -> Any:
        self._env.meter.weigh(value)
        return super().convert_field(value, conversion)


def _writer(meter: Meter) -> Callable[[Context, Any], Any]:
    """What is written into the prompt for a value: for NULL nothing."""

    # With a context it is never used ahead, when the template is made.
    @pass_context
    def write(_context: Context, value: Any) -> Any:
        if type(value) is str:
            meter.left -= len(value)
            if meter.left < 0:
                raise TooMuch
            return value
        if type(value) not in SCALARS:
            meter.weigh(value)
        return "" if value is None else value

    return write


def _own_filters(meter: Meter) -> dict[str, Callable[..., Any]]:
    @pass_context
    def step(_context: Context, units: int) -> bool:
        meter.left -= units
        if meter.left < 0:
            raise TooMuch
        return True

    @pass_context
    def weighed(_context: Context, value: Any) -> Any:
        meter.weigh(value)
        return value

    @pass_context
    def compared(_context: Context, value: Any) -> Any:
        meter.charge(STEP)
        if type(value) not in SCALARS:
            meter.weigh(value, per=_GLIMPSE)
        return value

    return {TAKEN: step, WEIGHED: weighed, COMPARED: compared}
