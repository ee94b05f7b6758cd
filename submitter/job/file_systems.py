"""Flink's own way to an object store: which plugin, with which options. Keys stay in the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from submitter.gateway import gateway

PLUGINS = Path(__file__).parents[2] / "deploy" / "jars" / "plugins"
"""Of this checkout; elsewhere they lie in Flink's own plugins folder."""
_PREFIXES = ("s3.", "s3a.", "fs.s3a.")


def store_options(environ: Mapping[str, str]) -> dict[str, str]:
    """Where the AWS_* variables say that the store is, as Flink's S3 plugin has it. It finds the keys there by itself.

    As botocore does it, a bucket is a part of the path wherever the store is not Amazon's own.
    """
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    return {
        **({"s3.endpoint": endpoint, "s3.path.style.access": "true"} if endpoint else {}),
        **({"s3.endpoint.region": region} if region else {}),
    }


def load_file_systems(configuration: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Let this process's JVM find file systems in plugins: a mini-cluster loads none by itself."""
    jvm = gateway().jvm
    options = jvm.org.apache.flink.configuration.Configuration()
    for name, value in {**store_options(environ), **configuration}.items():
        if name.startswith(_PREFIXES):
            options.setString(name, value)
    found = jvm.java.util.ArrayList()
    for folder in _folders(jvm):
        found.addAll(jvm.org.apache.flink.core.plugin.DirectoryBasedPluginFinder(folder).findPlugins())
    patterns = jvm.org.apache.flink.configuration.CoreOptions.getPluginParentFirstLoaderPatterns(options)
    manager = jvm.org.apache.flink.core.plugin.DefaultPluginManager(found, patterns)
    jvm.org.apache.flink.core.fs.FileSystem.initialize(options, manager)


def _folders(jvm: Any) -> list[Any]:
    """Flink's plugins, and this checkout's."""
    theirs = jvm.org.apache.flink.core.plugin.PluginConfig.getPluginsDir()
    return [
        *([theirs.get().toPath()] if theirs.isPresent() else []),
        *([jvm.java.io.File(str(PLUGINS)).toPath()] if PLUGINS.is_dir() else []),
    ]
