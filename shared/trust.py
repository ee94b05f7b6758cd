"""Whether a definition that stands in the spool alone is believed: keys and passwords follow the addresses it names.

What the store holds was put there by a submitter. Anything else may have been written by whoever can write to the spool
or to the batches topic: it may name no address but those that the pipeline used before, or that the operator names.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from shared.definition import Definition, Sink
from shared.errors import SpoolError
from shared.store import Store

VARIABLE = "BATCHLINE_TRUSTED_ADDRESSES"
_PROVIDERS = ("https://api.openai.com", "https://api.anthropic.com")
_ADDRESSES = ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL")
_SERVERS = "BATCHLINE_BOOTSTRAP_SERVERS"
_HARMLESS = re.compile(
    r"security\.protocol|client\.(id|dns\.lookup)|compression\.type|linger\.ms|acks|message\.max\.bytes"
    r"|(request|delivery)\.timeout\.ms|metadata\.max\.age\.ms|connections\.max\.idle\.ms"
    r"|socket\.connection\.setup\.timeout\.ms|reconnect\.backoff\.(max\.)?ms|sasl\.(mechanisms|username|password)"
    r"|ssl\.(cipher\.suites|key\.password|endpoint\.identification\.algorithm|(ca|certificate|key)\.(pem|location))"
)
"""Of librdkafka's properties those that a sink's DDL is translated to: none loads a library, or names an address."""


def vouching(environ: Mapping[str, str], bootstrap_servers: str) -> Mapping[str, str]:
    """The environment in which servers that were named by a flag are believed as those of its variable are."""
    return {**environ, _SERVERS: bootstrap_servers}


class Untrusted(SpoolError):
    """A definition from the spool names an address that nobody vouches for: nothing of it is used."""


def vouch(store: Store, stated: Definition, environ: Mapping[str, str] = os.environ) -> None:
    """Let a definition from the spool pass. Raises Untrusted, which says what to do if it is one of ours."""
    if store.lineage.definition(stated.hash) is not None:
        return
    known = store.lineage.used(stated.pipeline)
    model, sink = stated.model, stated.sink
    said = {(each.model.provider, each.model.base_url, each.model.api_key) for each in known}
    if (model.provider, model.base_url, model.api_key) not in said and not _is_named_url(model.base_url, environ):
        raise _untrusted(stated, model.base_url)
    written = [(each.sink.bootstrap_servers, each.sink.kafka) for each in known]
    if (sink.bootstrap_servers, sink.kafka) not in written:
        _vouch_sink(stated, sink, environ)


def _vouch_sink(stated: Definition, sink: Sink, environ: Mapping[str, str]) -> None:
    named = {*_listed(environ.get(_SERVERS, "")), *_listed(environ.get(VARIABLE, ""))}
    for server in sink.bootstrap_servers.split(","):
        if not _is_named_server(server.strip(), named):
            raise _untrusted(stated, sink.bootstrap_servers)
    for name in sink.kafka:
        if not _HARMLESS.fullmatch(name):
            raise Untrusted(f"a manifest of pipeline {stated.pipeline} sets the Kafka property {name!r}: not used")


def _untrusted(stated: Definition, address: str) -> Untrusted:
    return Untrusted(
        f"a manifest of pipeline {stated.pipeline} names the address {address[:200]!r}, which neither the store nor "
        f"this process's environment knows: nothing is sent there; if it is yours, add its host:port to {VARIABLE}"
    )


def _is_named_url(url: str, environ: Mapping[str, str]) -> bool:
    origin = _origin(url)
    if origin is None:
        return False
    named = {_origin(each) for each in (*_PROVIDERS, *(environ.get(name, "") for name in _ADDRESSES))}
    return origin in named or _is_named_server(origin[1], set(_listed(environ.get(VARIABLE, ""))))


def _is_named_server(server: str, named: Collection[str]) -> bool:
    """By its very text; or this machine itself, where whoever listens can read our files already."""
    if not server.isascii() or not server.isprintable() or "@" in server:
        return False
    return server in named or _is_loopback(server)


def _is_loopback(server: str) -> bool:
    try:
        parts = urlsplit(f"//{server}")
        host, _ = parts.hostname or "", parts.port
        return parts.netloc == server and (host == "localhost" or ip_address(host).is_loopback)
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    # A URL's parser drops what others read: only a plain address counts.
    is_plain = url.isascii() and url.isprintable() and not set(url) & set(" \\?#@")
    return (parts.scheme, parts.netloc) if is_plain and parts.scheme in ("http", "https") and parts.netloc else None


def _listed(text: str) -> Iterator[str]:
    return (each.strip() for each in text.split(",") if each.strip())
