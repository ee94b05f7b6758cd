"""An INSERT with ML_PREDICT becomes a Statement: model, input, projection and sink, each held against the others."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from shared.definition import BatchOptions, Column, Definition, Model, Projected, Sink
from shared.extras import ALWAYS
from shared.keys import is_name
from submitter.pipeline.catalog import Catalog
from submitter.pipeline.catalog_values import CatalogColumn, CatalogModel, CatalogTable
from submitter.pipeline.effective import effective
from submitter.pipeline.extra import answered, asked_extras, metadata_faults, metadata_of
from submitter.pipeline.faults import Faults, Place, nearest
from submitter.pipeline.flink import Reflection, implicit_cast, parsed_type, reason, sql_type
from submitter.pipeline.inputs import read_input, topics_of
from submitter.pipeline.kinds import is_topic
from submitter.pipeline.known import Known
from submitter.pipeline.options import Declared, ModelOptions
from submitter.pipeline.overrides import read_overrides
from submitter.pipeline.predict import NotOurs, Predict, names_of, read_predict
from submitter.pipeline.projection import TWO_STEPS, BeyondUs, Scope, projection, targets
from submitter.pipeline.secrets import Secrets
from submitter.pipeline.sinks import SinkOptions, SinkTable
from submitter.pipeline.stand_in import WRITTEN, StandIns
from submitter.pipeline.values import Statement, Topics
from submitter.pipeline.variants import input_faults, variants


class Inserts:
    """Compiles the statements of a file, one after another."""

    def __init__(self, flink: Reflection, catalog: Catalog, known: Known, faults: Faults) -> None:
        self._flink, self._catalog, self._known, self._faults = flink, catalog, known, faults
        self._stand_ins = StandIns(flink)
        self._secrets = Secrets(known.environ, known.unresolved.values(), faults)
        self.topics: list[Topics] = []
        """What the statements rely on, those with a fault too."""

    def read(self, insert: Any, line: int) -> Statement | None:
        """The statement; None where a fault stands in the way. The syntax tree is used up."""
        names = names_of(insert.getTargetTableID())
        name = self._known.name(names[-1])
        place = Place(line, name)
        if not is_name(names[-1]):
            message = "a statement has its sink's name, and that names a folder: use letters, digits, '_', '.' and '-'"
            self._faults.add(message, place)
        sink_table = self._catalog.table(names, place)
        sink = self._sink(sink_table, place) if sink_table else None
        if insert.getTargetTable().getClass().getSimpleName() != "SqlIdentifier":
            self._faults.add("options in a hint are not supported here: give them in the sink's WITH (…)", place)
        try:
            asked = read_predict(insert, self._flink)
        except NotOurs as error:
            self._faults.add(str(error), place)
            return None
        table = self._catalog.table(asked.table, replace(place, line=asked.line))
        model = self._catalog.model(asked.model, replace(place, line=asked.line))
        declared = self._declared(model, asked, place) if model else None
        options = ModelOptions(declared, self._known.environ, self._faults).read(asked.descriptor) if declared else None
        topics, kafka = self._input(table, place) if table else ((), {})
        if not (table and model and declared and sink_table):
            return None
        self._fits(table, model, asked, place)
        made, found, needed = None, None, self._needed(table, asked, ())
        for message in input_faults(table.columns, table.name):
            self._faults.add(message, place)
        if not variants((*table.columns, *model.output)):
            # Flink would only say once more that it can't.
            made = self._projection(insert, table, model, sink_table, place, is_sound=sink is not None)
            needed = self._needed(table, asked, made or ())
            found = read_input(table, needed or table.columns, topics, kafka, self._stand_ins, self._faults, place)
        self._failures(made or (), sink_table, declared.effective.get("batch.error-topic"), place)
        if made is None or options is None or sink is None or found is None:
            texts = [value for option, value in declared.effective.items() if option != "api-key"]
            self._secrets.check(orjson.dumps(texts), model.options.get("api-key", ""), place)
            return None
        definition = self._definition(name, options, needed, made, sink)
        self._secrets.check(definition.canonical(), f"${{{definition.model.api_key}}}", place)
        hold = tuple(effective(declared, definition.model, self._known.unresolved))
        return Statement(name, line, definition, found, sink_table.quoted, hold)

    def _declared(self, model: CatalogModel, asked: Predict, place: Place) -> Declared:
        lines = self._known.lines.get(model.identifier, {})
        return Declared(
            name=model.name,
            options=model.options,
            input=tuple(column.column for column in model.input),
            output=tuple(column.column for column in answered(model.output)),
            lines=lines,
            place=Place(next(iter(lines.values()), place.line), f"model {model.name}"),
            query=read_overrides(asked.config, self._faults, place),
            asked=place,
        )

    def _sink(self, table: CatalogTable, place: Place) -> Sink | None:
        lines = self._known.lines.get(table.identifier, {})
        unresolved = {name: self._known.unresolved.get(value, value) for name, value in table.options.items()}
        there = Place(next(iter(lines.values()), place.line), f"sink {table.name}")
        self._secrets.note(unresolved)
        sink = SinkTable(table, unresolved, lines, there)
        options = SinkOptions(sink, self._faults, has_kafka_config=self._known.has_kafka_config)
        written = options.written()
        if written:
            self.topics.append(Topics(place, (written[0],), written[1]))
        return options.read()

    def _input(self, table: CatalogTable, place: Place) -> tuple[tuple[str, ...], dict[str, str]]:
        self._secrets.note({name: self._known.unresolved.get(value, value) for name, value in table.options.items()})
        names, kafka = topics_of(table, self._faults, place, has_kafka_config=self._known.has_kafka_config)
        if names and kafka["bootstrap.servers"]:
            self.topics.append(Topics(place, names, kafka, is_input=True))
        return names, kafka

    def _fits(self, table: CatalogTable, model: CatalogModel, asked: Predict, place: Place) -> None:
        """Whether the DESCRIPTOR's columns exist and fill the model's INPUT."""
        columns = {column.name: column for column in table.columns}
        before = self._faults.found
        for name in asked.descriptor:
            if name not in columns:
                known = nearest(name, columns)
                self._faults.add(f"DESCRIPTOR names '{name}', which {table.name} does not have{known}", place)
        if len(asked.descriptor) != len(model.input):
            wanted = ", ".join(f"{column.name} {column.sql}" for column in model.input)
            self._faults.add(
                f"DESCRIPTOR names {len(asked.descriptor)} columns, and model {model.name} has "
                f"{len(model.input)} of INPUT ({wanted})",
                place,
            )
        elif self._faults.found == before:
            for name, wanted_column in zip(asked.descriptor, model.input, strict=True):
                if not implicit_cast(columns[name].sql, wanted_column.sql):
                    self._faults.add(
                        f"column '{name}' is {columns[name].sql}, and the model's INPUT '{wanted_column.name}' is "
                        f"{wanted_column.sql}: cast it in a view, or declare the model so",
                        place,
                    )

    def _projection(
        self, insert: Any, table: CatalogTable, model: CatalogModel, sink: CatalogTable, place: Place, *, is_sound: bool
    ) -> tuple[Projected, ...] | None:
        """What each column of the sink takes. One that has a fault of its own is stood in for: that was told."""
        for message in metadata_faults(model.name, model.input, model.output):
            self._faults.add(message, place)
        output = made_unique(table.columns, model.output)
        if not is_sound:
            sink = replace(
                sink, columns=tuple(replace(each, kind="physical") for each in sink.columns if each.persisted)
            )
        try:
            extra = asked_extras(insert, (*table.columns, *output), self._flink)
            columns = [replace(column, kind="physical") for column in (*table.columns, *output, *extra)]
            plan = self._stand_ins.plan(insert, columns, None if is_sound else sink.columns)
            scope = Scope(
                tuple(column.column for column in table.columns),
                tuple(column.column for column in model.output),
                tuple(column.column for column in extra),
                metadata_of(model.output),
            )
            made, wrong = projection(plan, targets(plan, sink), scope, lambda text: sql_type(parsed_type(text)))
        except NotOurs as error:
            self._faults.add(str(error), place)
            return None
        except BeyondUs as error:
            self._faults.add(f"{error}: {TWO_STEPS}", place)
            return None
        except Exception as error:  # noqa: BLE001 - whatever Flink says of the query, the user is to read it
            message, line = reason(error)
            self._faults.add(message.replace(WRITTEN, sink.name), replace(place, line=line or place.line))
            return None
        for each in wrong:
            self._faults.add(f"{each}: {TWO_STEPS}", place)
        return None if wrong else made

    def _needed(self, table: CatalogTable, asked: Predict, made: Sequence[Projected]) -> tuple[CatalogColumn, ...]:
        names = {*asked.descriptor, *(each.column for each in made if each.source == "input")}
        return tuple(column for column in table.columns if column.name in names)

    def _failures(self, made: Sequence[Projected], sink: CatalogTable, topic: str | None, place: Place) -> None:
        """A failed record comes out with NULL in place of an answer, which a NOT NULL column can't be."""
        strict = {each.name for each in sink.columns if each.kind == "physical" and not each.type.nullable}
        for each in made:
            if each.source == "output" and topic is None and each.name in strict:
                self._faults.add(
                    f"the sink's column '{each.name}' is NOT NULL, and a failed record has no answer for it: let it be "
                    "NULL, or send failed records elsewhere with 'batch.error-topic'",
                    place,
                )
            elif each.source == "extra" and each.column not in ALWAYS and each.name in strict:
                message = f"the sink's column '{each.name}' is NOT NULL, and {each.column} is not known of every record"
                self._faults.add(f"{message}: let it be NULL", place)
        written = next((each for each in self.topics if each.place == place and not each.is_input), None)
        if topic and written and (topic,) == written.names:
            self._faults.add(f"'batch.error-topic' is the sink's own topic '{topic}'", place)
        elif topic and written and is_topic(topic):
            self.topics.append(replace(written, names=(topic,)))

    def _definition(
        self,
        name: str,
        options: tuple[Model, BatchOptions],
        needed: Sequence[CatalogColumn],
        made: tuple[Projected, ...],
        sink: Sink,
    ) -> Definition:
        row: tuple[Column, ...] = tuple(column.column for column in needed)
        return Definition(
            pipeline=self._known.pipeline,
            statement=name,
            model=options[0],
            batch=options[1],
            row=row,
            projection=made,
            sink=sink,
        )


def made_unique(input_: Sequence[CatalogColumn], output: Sequence[CatalogColumn]) -> list[CatalogColumn]:
    """The output columns under the names that Flink's ML_PREDICT gives them: a taken one gets a number, from 0."""
    taken = {column.name for column in input_}
    made = []
    for column in output:
        name, number = column.name, 0
        while name in taken:
            name, number = f"{column.name}{number}", number + 1
        taken.add(name)
        made.append(replace(column, name=name))
    return made
