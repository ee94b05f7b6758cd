"""`make demo`: real movie reviews through both stages, as separate processes, and what came of it.

PROVIDER=openai|anthropic chooses the API; LIVE=1 sends the first 100 reviews to the real one, after asking.
"""

import os
import sys
import time

from genai_prices import Usage, calc_price
from rich.console import Console
from sqlalchemy import create_engine

from deploy.demo.progress import Bars
from deploy.demo.report import read_outputs, show
from deploy.demo.reviews import Review, read_reviews
from deploy.demo.world import FOLDER, KEYS, MODELS, SENTIMENTS, SQL, World, real_address, world

LIVE_REVIEWS = 100
OUTPUT_TOKENS, PROMPT_TOKENS = 20, 120
"""Of an answer, and of what stands around a review, roughly; for the estimate alone."""


def main() -> int:
    """Run the demo; 0 when every record came out exactly once."""
    console = Console()
    provider, live = os.environ.get("PROVIDER", "openai"), os.environ.get("LIVE", "") not in ("", "0")
    if provider not in KEYS:
        console.print(f"PROVIDER={provider} is unknown; use PROVIDER=openai or PROVIDER=anthropic")
        return 2
    reviews = read_reviews(LIVE_REVIEWS if live else None)
    if live and not _agreed(console, provider, reviews):
        return 2
    started = time.monotonic()
    where = real_address(provider) if live else f"a sandbox that speaks {provider}'s batch API"
    console.print(f"{len(reviews):,} movie reviews through {where}")
    with world(provider, reviews, live=live) as running:
        engine = create_engine(running.state_store)
        Bars(console, engine, len(reviews)).run(lambda: _alive(running), lambda: time.sleep(0.3))
        outputs = read_outputs(running.bootstrap, SENTIMENTS)
        exact = show(console, engine, reviews, outputs, time.monotonic() - started)
        if running.submitter.wait(120) != 0:
            raise SystemExit(f"the submitter ended with {running.submitter.returncode}:\n{running.submitter.tail()}")
    _look_next(console)
    return 0 if exact else 1


def _agreed(console: Console, provider: str, reviews: list[Review]) -> bool:
    """Show what it would cost, and ask."""
    key = KEYS[provider]
    if not os.environ.get(key):
        console.print(f"LIVE=1 needs {key} in the environment")
        return False
    tokens = sum(len(review.text) // 4 + PROMPT_TOKENS for review in reviews)
    usage = Usage(input_tokens=tokens, output_tokens=OUTPUT_TOKENS * len(reviews))
    dollars = float(calc_price(usage, MODELS[provider], provider_id=provider).total_price) / 2
    console.print(f"{len(reviews)} reviews go to {real_address(provider)}: about ${dollars:.4f} at batch price.")
    return console.input("Send them? \\[y/N] ").strip().lower() in ("y", "yes")


def _alive(running: World) -> None:
    if not running.poller.running:
        raise SystemExit(f"the poller ended with {running.poller.returncode}:\n{running.poller.tail()}")
    if running.submitter.returncode not in (None, 0):
        raise SystemExit(f"the submitter ended with {running.submitter.returncode}:\n{running.submitter.tail()}")


def _look_next(console: Console) -> None:
    console.print("where to look next:", style="bold")
    console.print(f"  .venv/bin/poller status --state-store sqlite:///{FOLDER / 'state.db'}", soft_wrap=True)
    console.print(f"  {SQL}  the job", soft_wrap=True)
    console.print(f"  {FOLDER / 'spool'}  sealed rows, requests, answers", soft_wrap=True)
    console.print(f"  {FOLDER}/*.log  what both stages said", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
