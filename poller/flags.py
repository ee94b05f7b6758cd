"""How settings are declared: a field is a flag, a BATCHLINE_ variable and a help text, in one place. Flags win."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from pydantic import ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.errors import SettingsError
from shared.units import seconds

PREFIX = "BATCHLINE_"
Command = TypeVar("Command", bound=Callable[..., Any])
Loaded = TypeVar("Loaded", bound="Settings")


class Settings(BaseSettings):
    """A set of settings; subclasses declare fields with a description each. A float is a time: `900`, or `15 min`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    @field_validator("*", mode="before")
    @classmethod
    def _in_seconds(cls, value: Any, info: ValidationInfo) -> Any:
        is_time = info.field_name is not None and cls.model_fields[info.field_name].annotation is float
        return seconds(value) if is_time and isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's own signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's own signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's own signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, else the environment; nothing is read from files."""
        return init_settings, env_settings


def flag(field: str) -> str:
    """The flag of a field."""
    return "--" + field.replace("_", "-")


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def options(declared: type[Settings]) -> Callable[[Command], Command]:
    """Give a click command the flag of each field; `load` takes what click passes on."""

    def decorate(command: Command) -> Command:
        for name, info in reversed(declared.model_fields.items()):
            command = click.option(flag(name), name, default=None, metavar=_metavar(info), help=_help(name, info))(
                command
            )
        return command

    return decorate


def load(declared: type[Loaded], flags: Mapping[str, Any]) -> Loaded:
    """The settings of a command, from its flags and the environment.

    Raises SettingsError that names the flag, the variable and the fault of each setting that can't be used.
    """
    try:
        return declared(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_fault(each) for each in error.errors(include_url=False))) from None


def _fault(error: Any) -> str:
    field = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "missing":
        return f"{flag(field)} is missing: give it, or set {variable(field)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{flag(field)} ({variable(field)}): {message}" if field else message


def _help(name: str, info: FieldInfo) -> str:
    default = "required" if info.is_required() else _default(info.default)
    return f"{info.description} [{variable(name)}{'; ' + default if default else ''}]"


def _default(value: Any) -> str:
    return "" if value is None or value == "" else f"default {value}"


def _metavar(info: FieldInfo) -> str:
    for wanted, shown in ((float, "SECONDS"), (int, "NUMBER")):
        if info.annotation is wanted:
            return shown
    return "TEXT"
