"""A prompt's template can do whatever Jinja can, but not without end: time and memory are bounded by the row's size."""

from decimal import Decimal
from typing import Any

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shared.causes import Cause
from shared.render import Unrenderable, template_of
from shared.templates import Templates, renderer
from shared.templates.plain import is_plain
from submitter.pipeline.prompt import names_indexes, template_faults

# What is not refused would take minutes, or gigabytes.
pytestmark = pytest.mark.timeout(120)

ROW: dict[str, Any] = {
    "text": "A fine film, <b>well</b> acted.\n" * 20,
    "long": "a" * 200_000,
    "stars": 4,
    "price": Decimal("12.50"),
    "nothing": None,
    "tags": [{"name": "drama", "rank": 2}, {"name": "war", "rank": 1}, {"name": "noir", "rank": 3}],
}
DOUBLED = "{%% set ns = namespace(a=('x',)) %%}{%% for i in range(60) %%}{%% set ns.a = %s %%}{%% endfor %%}"
MANY = "{% for i in range(99999) %}"

UNBOUNDED = {
    "loops over loops": MANY * 3 + "{% endfor %}" * 3 + "x",
    "a loop that passes all by": MANY + "{% for j in range(99999) if j < 0 %}{% endfor %}{% endfor %}x",
    "a macro that calls itself": "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "a macro that calls itself twice": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}"
    "{{ f(60) }}",
    "a loop in itself": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "a block again and again": "{% block a %}yyyyyyyyyyyy{% endblock %}"
    + MANY * 2
    + "{{ self.a() }}{% endfor %}{% endfor %}",
    "a text many times": "{{ 'x' * 10**9 }}",
    "a list many times": "{{ 10**9 * [1] }}",
    "a large power": "{{ 10**(10**8) }}",
    "a power of a DECIMAL": "{{ (price ** 999999)|int }}",
    "a text doubled": DOUBLED % "ns.a ~ ns.a" + "{{ ns.a }}",
    "a text added to itself": DOUBLED % "ns.a|string + ns.a|string" + "{{ ns.a }}",
    "a text escaped again and again": DOUBLED % "ns.a|tojson|string|tojson|string" + "{{ ns.a }}",
    "a pair of pairs, written": DOUBLED % "(ns.a, ns.a)" + "{{ ns.a }}",
    "a pair of pairs, as a key": DOUBLED % "(ns.a, ns.a)" + "{{ {ns.a: 1}|length }}",
    "a pair of pairs, looked up": DOUBLED % "(ns.a, ns.a)" + "{{ {}[ns.a] }}",
    "a pair of pairs, compared": DOUBLED % "(ns.a, ns.a)" + "{{ (ns.a, 1) == (ns.a, 2) }}",
    "a pair of pairs, formatted": DOUBLED % "(ns.a, ns.a)" + "{{ '{!r}'.format(ns.a) }}",
    "a pair of pairs, in a text": DOUBLED % "(ns.a, ns.a)" + "{{ '%s' % (ns.a,) }}",
    "a text kept in a block": MANY + "{% set x %}" + MANY + "y" * 5000 + "{% endfor %}{% endset %}{% endfor %}x",
    "center": "{{ 'x'|center(10**9) }}",
    "center, as a method": "{{ 'x'.center(10**9) }}",
    "center, of what is safe": "{{ ('x'|safe).center(10**9) }}",
    "center, by its name": "{{ ['x']|map('center', 10**9)|list }}",
    "center, of less than nothing": "{{ 'x'|center(-10**18) }}{{ 'x' * 10**8 }}",
    "indent": "{{ 'x\ny'|indent(10**9) }}",
    "a width": "{{ '%1000000000d' % 1 }}",
    "a width that is given": "{{ '%*d' % (10**9, 1) }}",
    "a width behind brackets": "{{ '%(a(b)c)1000000000d' % {'a(b)c': 1} }}",
    "a width of format()": "{{ '{:1000000000}'.format(1) }}",
    "a width of format() that is given": "{{ '{:{}}'.format(1, 10**9) }}",
    "a width of format() by attr": "{{ '{:1000000000}'|attr('format')(1) }}",
    "a precision": "{{ '%.1000000000f'|format(1.0) }}",
    "round": "{{ 1.5|round(10**8, 'ceil') }}",
    "batch": "{{ [1]|batch(10**9, 'x')|list|length }}",
    "slice": "{{ [1]|slice(10**9)|list|length }}",
    "tojson": "{{ [[[[1]]]]|tojson(indent=10**9) }}",
    "sum": "{{ [[1], [2]]|sum(start=[]) }}",
    "replace": "{{ long|replace('a', long) }}",
    "replace, of nothing": "{{ long.replace('', long) }}",
    "join": "{{ long|join(long) }}",
    "join, of what comes one by one": "{{ range(99999)|map('string')|join(long) }}",
    "wordwrap": "{{ (long ~ long ~ long)|wordwrap(1) }}",
    "trim": "{{ long|trim(long ~ 'b') }}",
    "split": MANY + "{% set x = long.split('a') %}{% endfor %}x",
    "in": MANY * 2 + "{{ 'b' in long }}{% endfor %}{% endfor %}",
    "equal": "{% set other = long[1:] ~ 'b' %}" + MANY * 2 + "{{ long == other }}{% endfor %}{% endfor %}",
    "a part": MANY + "{% set x = long[1:] %}{% endfor %}x",
    "what is not chosen": MANY + "{{ range(99999)|rejectattr('real')|list }}{% endfor %}",
    "a number of many digits": "{{ ('f' * 1000000)|int(base=16) }}",
    "what a template could add to its own budget": "{{ [-10**12]|map(' step')|list }}",
}


@pytest.mark.parametrize("what", UNBOUNDED)
def test_what_takes_too_much_is_its_record_s_error(what: str) -> None:
    with pytest.raises(Unrenderable, match=r"batch\.prompt can't be rendered for this row") as caught:
        template_of(UNBOUNDED[what])(ROW)
    assert caught.value.cause is Cause.RENDER_ERROR
    assert len(str(caught.value)) < 1000


def test_the_rows_before_and_after_it_are_rendered() -> None:
    render = template_of("{% for i in range(times) %}{% for j in range(times) %}{{ j }}{% endfor %}{% endfor %}")
    for _ in range(2):
        assert len(render({"times": 100})) == 19_000
        with pytest.raises(Unrenderable, match="too much time or memory"):
            render({"times": 99_999})


USUAL = [
    "{{ text }}",
    "Rate: {{ text|trim }}\n{{ stars }} of 5{% if nothing %}!{% endif %}{{ nothing }}",
    "{% if stars > 3 and text|length > 10 %}good{% else %}bad{% endif %}: {{ text|truncate(40) }} {{ price }}",
    "{% for tag in tags|sort(attribute='rank') %}{{ loop.index }}/{{ loop.length }} {{ tag.name }}\n{% endfor %}",
    "{{ tags|map(attribute='name')|join(', ') }} {{ tags|selectattr('rank', 'gt', 1)|list|length }}",
    "{% for line in text.splitlines() if 'film' in line %}- {{ line.strip()|upper }}{% endfor %}",
    "{% macro one(tag, mark='*') %}{{ mark }}{{ tag['name'] }}{% endmacro %}{{ one(tags[0]) }}",
    "{% set ns = namespace(total=0) %}{% for t in tags %}{% set ns.total = ns.total + 1 %}{% endfor %}{{ ns.total }}",
    "{{ '%s has %d stars, %.1f' % (text[:10], stars, price) }} {{ '{:>8}|{name}'.format(stars, name='x') }}",
    "{{ tags|tojson }} {{ tags|tojson(indent=2) }} {{ text|wordwrap(30) }} {{ text|indent(4) }} {{ text|striptags }}",
    "{{ 2 ** 10 }} {{ stars * 3 }} {{ '-' * 10 }} {{ 7 % 3 }} {{ [1] + [2] }} {{ text ~ stars }} {{ 10 - 3 }}",
    "{% for rank, group in tags|groupby('rank') %}{{ rank }}{{ group|count }}{% endfor %}{{ text|replace('f', 'g') }}",
    "{% set x %}{{ stars }}{% endset %}{{ x|center(9) }}{% filter upper %}{{ text }}{% endfilter %}{{ tags|first }}",
    (
        "{% macro each(all) %}{% for t in all %}{{ caller(t) }}{% endfor %}{% endmacro %}"
        "{% call(t) each(tags) %}{{ t.name }}{% endcall %}"
    ),
    "{{ range(5)|list }} {{ cycler('a', 'b').next() }} {{ text|wordcount }} {{ stars is even }} {{ dict(a=1) }}",
]


@pytest.mark.parametrize("text", USUAL)
def test_what_is_usual_is_rendered_as_by_jinja(text: str) -> None:
    jinja = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, finalize=lambda value: "" if value is None else value
    )
    assert renderer(text)(ROW) == jinja.from_string(text).render(ROW)
    templates = Templates()
    template = templates.from_string(text)
    templates.meter.open(ROW.values())
    assert template.render(ROW) == jinja.from_string(text).render(ROW)


def test_the_most_usual_templates_need_no_meter() -> None:
    parse = Templates().parse
    assert all(is_plain(parse(text)) for text in USUAL[:3])
    assert not any(is_plain(parse(text)) for text in (*USUAL[3:], *UNBOUNDED.values()))


def test_a_larger_row_may_have_more_done_with_it() -> None:
    render = template_of(
        "{% for word in words %}{{ loop.index }} {{ word|upper|trim }} {{ word|length }}\n{% endfor %}"
    )
    assert render({"words": ["word"] * 100_000}).count("\n") == 100_000


@pytest.mark.parametrize(
    "text",
    [
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ text.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ '{0.__class__}'.format(text) }}",
        "{{ text|attr('__class__') }}",
        "{{ dict.fromkeys }}{{ dict.fromkeys('ab') }}",
        "{{ text.encode('punycode') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{{ lipsum.__globals__['os'].environ }}",
    ],
)
def test_a_template_reaches_nothing_but_its_values(text: str) -> None:
    with pytest.raises(Unrenderable):
        template_of(text)(ROW)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ review|urlize }}", "line 1 of the template: the filter 'urlize'"),
        ("\n{{ review|pprint }}", "line 2 of the template: the filter 'pprint'"),
        ("{{ lipsum(10**9) }}", "'lipsum' is no INPUT column"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "nested too deeply"),
        ("{% for a in b %}" * 30 + "{% endfor %}" * 30, "the template can't be used"),
        ("{{ " + "9" * 5000 + " }}", "the template can't be used"),
        ("{{ review \x00 }}", "line 1 of the template"),
    ],
)
def test_what_no_prompt_can_use_is_said_before_anything_starts(text: str, said: str) -> None:
    assert said in template_faults(text, ["review", "b"])[0]


def test_a_template_is_judged_without_being_reckoned() -> None:
    assert template_faults("{{ 'x' * 10**10 }}{{ 'x'|center(10**10) }}{{ review }}", ["review"]) == []


EACH = "{{% for r in records %}}{}{{% endfor %}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            EACH.format("{{ r.index }} {{ r.revew }}"),
            "'r' has no 'revew'; did you mean 'review'? (it has index, review)",
        ),
        (EACH.format("{{ r['revew'] }}"), "'r' has no 'revew'"),
        ("Classify them all.", "it names no `records`, so that no record would be in it"),
        (EACH.format("{{ review }}"), "'review' is unknown where 'batch.size' is not 1"),
    ],
)
def test_a_template_over_records_takes_what_they_have(text: str, said: str) -> None:
    (fault,) = template_faults(text, ["review"], is_packed=True)
    assert said in fault


@pytest.mark.parametrize(
    "text",
    [
        EACH.format("{{ r.index }}: {{ r.review | upper }}"),
        EACH.format("{{ r['index'] }}: {{ r['review'] }}"),
        EACH.format("{{ loop.index }}: {{ r.review }}"),
        EACH.format("{{ r | tojson }}"),
        EACH.format("{% for name, value in r.items() %}{{ name }}={{ value }} {% endfor %}"),
        "{{ records | tojson }}",
        "{% for r in records | reverse %}{{ r.index }}{{ r.review }}{% endfor %}",
    ],
)
def test_a_template_over_records_that_numbers_them_is_taken(text: str) -> None:
    assert template_faults(text, ["review"], is_packed=True) == []
    assert names_indexes(text)


def test_a_template_that_tells_no_index_is_noticed() -> None:
    assert not names_indexes(EACH.format("{{ r.review }}"))
