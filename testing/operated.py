"""A proxy with two workers on which everything happens that the dashboard and the alerts show."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .processes import free_port, proxy, simulator
from .proxied import LENIENT, RUN, STRICT, Backend, Proxy, deployment
from .proxies import write_config

NEVER = "{{ raise_exception('Conversation roles must alternate, whatever you do') }}"
ODD = "{{ raise_exception('I would rather not') }}"
BAD = [{"role": "user", "content": 5}]
GROUPS = ("strict", "live", "taught", "observed", "rejecting", "routed", "never", "odd", "dead")


@contextmanager
def operated_proxy(folder: Path) -> Iterator[Proxy]:
    """Run the proxy and its simulated backends until the block is left.

    Args:
        folder: Where to put the files of all of them.
    """
    with ExitStack() as stack:
        never, odd = folder / "never.jinja", folder / "odd.jinja"
        never.write_text(NEVER)
        odd.write_text(ODD)
        a, b, refusing, strange = (
            Backend(stack.enter_context(simulator(folder, template)))
            for template in (STRICT, STRICT, never, odd)
        )
        dead = deployment("dead", a)
        dead["litellm_params"]["api_base"] = f"http://127.0.0.1:{free_port()}/v1"
        config = {
            "model_list": [
                deployment("strict", a, chat_template=str(STRICT)),
                deployment("live", a),
                deployment("taught", a, chat_template=str(LENIENT)),
                deployment("observed", a, mode="observe", chat_template=str(STRICT)),
                deployment("rejecting", a, mode="reject", chat_template=str(STRICT)),
                deployment("routed", a, routing="prefix_affinity", chat_template=str(STRICT)),
                deployment("routed", b, routing="prefix_affinity", chat_template=str(STRICT)),
                # What it is told of the template lets it try something else.
                deployment("never", refusing, chat_template=str(LENIENT)),
                deployment("odd", strange, learn=False),
                dead,
            ],
            "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard", "prometheus"]},
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
        samples = folder / "samples"
        samples.mkdir()
        environment = {"NUM_WORKERS": "2", "PROMETHEUS_MULTIPROC_DIR": str(samples)}
        path = write_config(config, folder)
        yield Proxy(stack.enter_context(proxy(path, folder / "proxy.log", environment)))


def put_under_load(proxy: Proxy, seconds: float) -> int:
    """Send requests of all kinds to all groups, eight at a time; return how many were sent.

    Args:
        proxy: The proxy.
        seconds: For how long.
    """
    until = time.monotonic() + seconds

    def client(number: int) -> int:
        sent = 0
        while time.monotonic() < until:
            for group in GROUPS:
                opening: dict[str, Any] = {"role": "user", "content": f"hello {number} {sent}"}
                messages = BAD if group == "strict" and sent % 9 == 8 else [opening, *RUN[1:]]
                proxy.ask("chat", group, messages, stream=bool(number % 2))
                sent += 1
        return sent

    with ThreadPoolExecutor(8) as threads:
        return sum(threads.map(client, range(8)))
