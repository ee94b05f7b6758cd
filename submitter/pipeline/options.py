"""A model's options, read by the option table: typed, in range, and fitting each other. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from shared.definition import BatchOptions, Column, Model
from shared.errors import SettingsError
from shared.moderations import moderation_faults
from shared.schema import answer_schema, is_embedding
from submitter.pipeline.endpoint import PROVIDERS, Endpoint, Provider, endpoint_of
from submitter.pipeline.faults import Faults, Place, nearest
from submitter.pipeline.media import media_faults
from submitter.pipeline.messages import message_remarks
from submitter.pipeline.option_table import BATCH, FORMER, KNOWN, MEANINGLESS, OPTIONS, PARAMETERS, PROFILE, Option
from submitter.pipeline.overrides import Override
from submitter.pipeline.packing import packing_remarks
from submitter.pipeline.profile import profile_fields
from submitter.pipeline.prompt import names_indexes, template_faults
from submitter.pipeline.references import reference
from submitter.pipeline.road import road_remarks
from submitter.planning.room import room_warnings

_NO_INDEX = "it tells no record's `index`, by which alone an answer finds its record: write it beside each record"


@dataclass(frozen=True)
class Declared:
    """A model as the catalog has it."""

    name: str
    options: Mapping[str, str]
    input: tuple[Column, ...]
    output: tuple[Column, ...]
    lines: Mapping[str, int]
    """The line of each option that the file gives."""
    place: Place
    query: Mapping[str, Override] = field(default_factory=dict)
    """What the query gives in the model's place."""
    asked: Place = field(default_factory=Place)
    """The query's."""

    @property
    def effective(self) -> dict[str, str]:
        """The options' texts that hold, by their names of today."""
        declared = {FORMER.get(name, name): value for name, value in self.options.items()}
        return declared | {name: given.value for name, given in self.query.items()}


class ModelOptions:
    """Reads one model's options; every fault is collected, None stands for what can't be used."""

    def __init__(self, declared: Declared, environ: Mapping[str, str], faults: Faults) -> None:
        self._declared, self._environ, self._faults = declared, environ, faults
        self._options = declared.effective
        self._lines = {FORMER.get(name, name): line for name, line in declared.lines.items()}
        self._values: dict[str, Any] = {}

    def read(self, descriptor: tuple[str, ...]) -> tuple[Model, BatchOptions] | None:
        """The model and its batch options; None where a fault stands in the way."""
        before = self._faults.found
        self._unknown()
        endpoint = self._endpoint()
        key, model = self._api_key(), self._required("model", "a model's name, such as 'gpt-5-mini'")
        batch = self._batch()
        media, size = self._values.get("batch.media-columns", ()), self._values.get("batch.size")
        if media:
            for message in media_faults(media, self._declared.input, endpoint.task if endpoint else None, size):
                self._fault("batch.media-columns", message)
        parameters = self._parameters()
        if endpoint:
            parameters = self._meant(parameters, endpoint)
            if self._output(endpoint):
                output = self._declared.output
                for remark in message_remarks(parameters, self._values, endpoint.task, model or "", output):
                    (self._fault if remark.is_fault else self._warn)(remark.option, remark.message)
        if endpoint is None or key is None or model is None or self._faults.found > before:
            return None
        system = parameters.pop("system-prompt", None)
        found = Model(
            name=self._declared.name,
            provider=cast(Provider, self._options["provider"].lower()),
            task=endpoint.task,
            base_url=endpoint.base_url,
            path=endpoint.path,
            api_key=key,
            model=model,
            system_prompt=system,
            parameters=parameters,
            extra_body=self._values.get("batch.extra-body", {}),
            profile=profile_fields(self._values),
            input=self._declared.input,
            descriptor=descriptor,
            output=self._declared.output,
        )
        for message in room_warnings(found, batch):
            self._warn("batch.size", message)
        return found, batch

    def _unknown(self) -> None:
        for name in self._options:
            if name not in KNOWN:
                self._fault(name, f"there is no such option{nearest(name, KNOWN)}")
            elif name in MEANINGLESS:
                self._warn(name, f"it has no meaning here: {MEANINGLESS[name]}")

    def _required(self, name: str, wanted: str) -> str | None:
        value = self._options.get(name, "")
        if value.strip():
            return value
        if not any(f"'{name}'" in nearest(each, KNOWN) for each in self._options if each not in KNOWN):
            self._fault(name, f"it is missing: give {wanted}")
        return None

    def _api_key(self) -> str | None:
        value = self._required("api-key", "the name of an environment variable, as '${OPENAI_API_KEY}'")
        name = reference(value) if value else None
        if value and name is None:
            self._fault("api-key", "a key may not stand in the file: export it as a variable, and write '${NAME}' here")
        elif name is not None and not self._environ.get(name):
            self._fault("api-key", f"the environment variable {name} is not set: export it")
        return name

    def _endpoint(self) -> Endpoint | None:
        provider = self._required("provider", f"one of {', '.join(PROVIDERS)}")
        if provider is None:
            return None
        if provider.lower() not in PROVIDERS:
            message = f"there is no batch provider '{provider}'{nearest(provider, PROVIDERS)}"
            self._fault("provider", f"{message} (known are {', '.join(PROVIDERS)})")
            return None
        try:
            named = cast(Provider, provider.lower())
            return endpoint_of(named, self._options.get("endpoint"), self._declared.output, self._environ)
        except ValueError as error:
            self._fault("endpoint", str(error))
            return None

    def _parameters(self) -> dict[str, Any]:
        found = {option.name: self._typed(option) for option in PARAMETERS}
        return {name: value for name, value in found.items() if value is not None}

    def _meant(self, parameters: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
        """The parameters without those that the endpoint does not know."""
        provider = self._options["provider"].lower()
        for name in self._options:
            option = OPTIONS.get(name)
            if option and endpoint.task not in option.tasks:
                self._warn(name, f"it has no meaning at {endpoint.path}, and is not sent")
            elif option and provider not in option.providers:
                self._warn(name, f"it has no meaning at {provider}: it is for {', '.join(option.providers)}")
        meant = {name: value for name, value in parameters.items() if endpoint.task in OPTIONS[name].tasks}
        if meant.get("n", 1) > 1:
            self._warn("n", "every choice is paid for, and only the first one comes out")
        return meant

    def _batch(self) -> BatchOptions:
        values = {option.name: self._typed(option) for option in (*BATCH, *PROFILE)}
        self._values = {name: value for name, value in values.items() if value is not None}
        if "batch.prompt" in self._values:
            is_packed = self._values.get("batch.size", 1) != 1 and not is_embedding(self._declared.output)
            media = self._values.get("batch.media-columns", ())
            texts = [column.name for column in self._declared.input if column.name not in media]
            wrong = template_faults(self._values["batch.prompt"], texts, is_packed=is_packed)
            for message in wrong:
                self._fault("batch.prompt", message)
            if is_packed and not wrong and not names_indexes(self._values["batch.prompt"]):
                self._warn("batch.prompt", _NO_INDEX)
        provider, model = self._options.get("provider", "").lower(), self._options.get("model", "")
        given = {name: self._values.get(name) for name in self._options}
        remarks = [
            *road_remarks(given, provider if provider in PROVIDERS else PROVIDERS[0], model),
            *packing_remarks(given, self._declared.input, self._declared.output),
        ]
        for remark in remarks:
            (self._fault if remark.is_fault else self._warn)(remark.option, remark.message)
        fields = {re.sub(r"[.-]", "_", name.removeprefix("batch.")): value for name, value in self._values.items()}
        return BatchOptions(**{name: value for name, value in fields.items() if name in BatchOptions.model_fields})

    def _output(self, endpoint: Endpoint) -> bool:
        """Whether the OUTPUT columns can take an answer at all."""
        output, place = self._declared.output, self._declared.place
        try:
            answer_schema(output)
        except SettingsError as error:
            self._faults.add(str(error), place)
            return False
        if endpoint.task == "embeddings":
            if not is_embedding(output):
                self._faults.add("an embedding needs one OUTPUT column, of type ARRAY<FLOAT>", place)
        elif endpoint.task == "moderations":
            for message in moderation_faults(output):
                self._faults.add(message, place)
            if self._values.get("batch.size", 1) != 1:
                self._fault("batch.size", "a moderation judges one record: leave it out, or set 1")
        return True

    def _typed(self, option: Option) -> Any:
        if option.name not in self._options:
            return None
        try:
            return option.kind(self._options[option.name])
        except ValueError as error:
            self._fault(option.name, f"it can't be used: {error}")
            return None

    def _fault(self, name: str, message: str) -> None:
        self._faults.add(message, self._at(name))

    def _warn(self, name: str, message: str) -> None:
        self._faults.warn(message, self._at(name))

    def _at(self, name: str) -> Place:
        given = self._declared.query.get(name)
        if given:
            return self._declared.asked.at(name, given.line)
        return self._declared.place.at(name, self._lines.get(name))
