"""One pipeline as `submitter run` takes it, over a topic of records {id, review}, with what came of it."""

from pathlib import Path
from uuid import uuid4

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.topics import TopicSettings
from shared.store import Batch, Run, Store
from tests.rig.processes import Processes


class JobPipeline:
    """Change `settings`, `source` and `model` (options by name), then `start`."""

    def __init__(self, broker: LocalBroker, server: ProviderServer, folder: Path, topic: str) -> None:
        tag = uuid4().hex[:8]
        self.name, self.folder, self.spool = f"pipe-{tag}", folder, folder / "spool"
        self.batches_topic, self.sink_topic = f"batches-{tag}", f"answers-{tag}"
        broker.create_topics({self.sink_topic: TopicSettings()})
        self.environ = {"OPENAI_API_KEY": "key-of-the-test", "OPENAI_BASE_URL": server.openai_base_url}
        self.settings = {
            "batchline.pipeline": self.name,
            "batchline.spool": self.spool.as_uri(),
            "batchline.state-store": f"sqlite:///{folder / 'state.db'}",
            "batchline.batches-topic": self.batches_topic,
            "execution.checkpointing.interval": "2 s",
        }
        kafka = {"connector": "kafka", "properties.bootstrap.servers": broker.bootstrap}
        self.source = {
            **kafka,
            "topic": topic,
            "format": "json",
            "scan.startup.mode": "earliest-offset",
            "scan.bounded.mode": "latest-offset",
        }
        self.sink = {
            **kafka,
            "topic": self.sink_topic,
            "key.format": "json",
            "key.fields": "id",
            "value.format": "json",
        }
        self.model = {
            "provider": "openai",
            "model": "gpt-5-mini",
            "api-key": "${OPENAI_API_KEY}",
            "batch.max-age": "2 s",
            # No poller runs beside it: nobody hears the provider's first word, which admission would wait for.
            "batch.max-enqueued-tokens": "1000000000",
        }

    def start(self, processes: Processes, *flags: str) -> Child:
        """`submitter run`, as a process."""
        return processes.command("submitter", "run", self.write(), *flags, env=self.environ)

    def write(self) -> Path:
        """FILE.sql."""
        file = self.folder / "pipeline.sql"
        lines = [f"SET '{name}' = '{value}';" for name, value in self.settings.items()]
        lines += [
            f"CREATE TABLE reviews (id INT, review STRING) WITH ({_options(self.source)});",
            f"CREATE TABLE answers (id INT, answer STRING) WITH ({_options(self.sink)});",
            f"CREATE MODEL m INPUT (review STRING) OUTPUT (answer STRING) WITH ({_options(self.model)});",
            "INSERT INTO answers SELECT id, answer FROM ML_PREDICT(TABLE reviews, MODEL m, DESCRIPTOR(review));",
        ]
        file.write_text("\n".join(lines))
        return file

    def batches(self) -> list[Batch]:
        """What the store knows; nothing before the first run made it."""
        if not (self.folder / "state.db").exists():
            return []
        with Store.open(self.settings["batchline.state-store"]) as store:
            return store.batches.rows(pipeline=self.name)

    def runs(self) -> list[Run]:
        """The lineage, newest first."""
        with Store.open(self.settings["batchline.state-store"]) as store:
            return store.lineage.runs(self.name)

    def submitted(self) -> int:
        """Records in batches that the provider has."""
        return sum(batch.records for batch in self.batches() if batch.provider_batch_id)


def _options(options: dict[str, str]) -> str:
    return ", ".join(f"'{name}' = '{value}'" for name, value in options.items())
