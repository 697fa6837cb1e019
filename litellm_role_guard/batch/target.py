"""What a batch asks: a proxy as it is, or a vLLM guarded by the guard itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..backend.backend import Backend
from ..backend.errors import LearningFailed
from ..probing.live import learn_from_backend
from .errors import BadTarget
from .sending.guarded import GuardedTarget
from .sending.target import HttpTarget, some_of


@dataclass(frozen=True)
class Server:
    """Where a batch goes.

    Attributes:
        url: The address of the proxy, or of the vLLM.
        is_backend: Whether it is a vLLM, for which the guard repairs what is sent.
        api_key: Sent as the bearer token.
    """

    url: str
    is_backend: bool = False
    api_key: str | None = None

    async def guarded(self, target: HttpTarget, model: str) -> GuardedTarget:
        """Return a vLLM whose requests are repaired, having asked it what it takes.

        Args:
            target: The vLLM.
            model: The name of a served model.

        Raises:
            BadTarget: It cannot be asked.
        """
        backend = Backend(target.root, self.url, model=model, api_key=self.api_key)
        try:
            return GuardedTarget(target, await learn_from_backend(backend))
        except LearningFailed as error:
            raise BadTarget(str(error)) from error

    def only_model(self, names: list[str] | None) -> str:
        """Return the model that a server serves.

        Args:
            names: Its models; None where it does not list them.

        Raises:
            BadTarget: There is not exactly one.
        """
        if names is None:
            raise BadTarget(f"{self.url}: names no models; is it a vLLM?")
        if len(names) != 1:
            raise BadTarget(f"{self.url}: --model is needed: {some_of(names)}")
        return names[0]


def serves(names: Collection[str] | None, wanted: Collection[str] | None) -> bool:
    """Return whether a server is known to have models.

    Args:
        names: Its models; None where it does not list them.
        wanted: Those that are asked; None where that is not known yet.
    """
    return names is not None and wanted is not None and set(wanted) <= set(names)
