"""What the messages of one connection draw on: the policy's throttles and the messenger's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdsdaemon.net.policy import Policy
    from mdsdaemon.net.throttle import Throttle


class Budget:
    """One message at a time takes from all throttles, in Ceph's order: messages, bytes, dispatch.

    Behaviour: ceph/ceph, src/msg/async/ProtocolV2.cc (throttle_message and following) (Pacific)
    """

    __slots__ = ("_bytes", "_dispatch", "_messages")

    def __init__(self, policy: Policy, dispatch: Throttle) -> None:
        self._messages = policy.throttler_messages
        self._bytes = policy.throttler_bytes
        self._dispatch = dispatch

    @property
    def has_room(self) -> bool:
        """No throttle is at its limit."""
        return (
            self._dispatch.has_room
            and (self._bytes is None or self._bytes.has_room)
            and (self._messages is None or self._messages.has_room)
        )

    async def room(self) -> None:
        """Wait for `has_room`."""
        for throttle in (self._messages, self._bytes, self._dispatch):
            if throttle is not None:
                await throttle.room()

    def take(self, size: int) -> None:
        """Take for a message of `size` bytes that has arrived already, over the limit if need be.

        It counts as received: only delivering it is left, and nothing may come between.
        """
        if self._messages is not None:
            self._messages.take()
        if self._bytes is not None:
            self._bytes.take(size)
        self._dispatch.take(size)

    async def reserve(self, size: int) -> None:
        """Take for a message of `size` bytes before it is read; cancelled, nothing is taken."""
        taken: list[tuple[Throttle, int]] = []
        try:
            for throttle, amount in (
                (self._messages, 1),
                (self._bytes, size),
                (self._dispatch, size),
            ):
                if throttle is not None:
                    await throttle.get(amount)
                    taken.append((throttle, amount))
        except BaseException:
            for throttle, amount in taken:
                throttle.put(amount)
            raise

    def give(self, size: int, *, retained: bool) -> None:
        """The message was dispatched; `retained`: the policy's part stays taken."""
        self._dispatch.put(size)
        if not retained:
            self._release(size)

    def releaser(self, size: int) -> Callable[[], None]:
        """What gives the policy's part of a retained message back; later calls do nothing."""
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._release(size)

        return release

    def _release(self, size: int) -> None:
        if self._messages is not None:
            self._messages.put()
        if self._bytes is not None:
            self._bytes.put(size)
