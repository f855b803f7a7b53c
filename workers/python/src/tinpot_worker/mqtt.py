"""One connection to a broker, in a thread of its own, for a task of asyncio."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

KEEP_ALIVE = 10
QUEUE_BYTES = 16 * 1024 * 1024
"""The bytes that may wait for a slow broker. Further frames are dropped: they are sent again."""
PORTS = {"mqtt": 1883, "tcp": 1883, "mqtts": 8883}


class Connection:
    """A connection that is established again whenever it is lost."""

    def __init__(
        self,
        url: str,
        client: str,
        topics: Sequence[str],
        on_up: Callable[[], None],
        on_frame: Callable[[bytes], None],
        login: tuple[str | None, str | None] = (None, None),
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in PORTS or parts.hostname is None:
            raise ValueError(f"the broker must be mqtt://, tcp:// or mqtts://HOST (got {url!r})")
        self._topics = list(topics)
        self._on_up, self._on_frame = on_up, on_frame
        self._loop = asyncio.get_running_loop()
        self._sizes: dict[int, int] = {}
        self._queued = 0
        self.is_up = False
        self.refusal: str | None = None
        """The reason of the broker, if it refused the connection or a topic."""
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, f"{client}-{os.urandom(4).hex()}", protocol=mqtt.MQTTv5
        )
        if parts.scheme == "mqtts":
            self._client.tls_set_context(ssl.create_default_context())
        user, password = login
        if user is None and parts.username is not None:
            user, password = unquote(parts.username), unquote(parts.password or "")
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.reconnect_delay_set(1, 5)
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._received
        self._client.on_publish = self._published
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        self._client.connect_async(
            parts.hostname,
            parts.port or PORTS[parts.scheme],
            KEEP_ALIVE,
            clean_start=True,
            properties=properties,
        )
        self._client.loop_start()

    def publish(self, topic: str, frame: bytes) -> None:
        """Sends a frame, unless the connection is down or the broker is far behind."""
        if not self.is_up or self._queued + len(frame) > QUEUE_BYTES:
            return
        self._queued += len(frame)
        info = self._client.publish(topic, frame, qos=0)
        # The callback of this frame runs in the loop, too, so it comes later.
        self._sizes[info.mid] = len(frame)

    def close(self) -> None:
        """Sends what waits, and disconnects."""
        self._client.disconnect()
        self._client.loop_stop()

    # These run in the loop.

    def _set_up(self, is_up: bool) -> None:
        self.is_up = is_up
        if is_up:
            self._on_up()
        else:
            self._queued, self._sizes = 0, {}

    def _sent(self, mid: int) -> None:
        self._queued -= self._sizes.pop(mid, 0)

    # These run in the thread of the client.

    def _in_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    def _connected(self, _c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            self.refusal = f"the broker refuses the connection: {reason}"
        else:
            self._client.subscribe([(topic, SubscribeOptions(qos=0)) for topic in self._topics])

    def _subscribed(self, _c: Any, _u: Any, _m: int, reasons: Any, _p: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self.refusal = f"the broker refuses a topic: {refused[0]}" if refused else None
        self._in_loop(self._set_up, True)

    def _disconnected(self, _c: Any, _u: Any, _f: Any, _r: Any, _p: Any) -> None:
        self._in_loop(self._set_up, False)

    def _received(self, _c: Any, _u: Any, message: mqtt.MQTTMessage) -> None:
        self._in_loop(self._on_frame, message.payload)

    def _published(self, _c: Any, _u: Any, mid: int, _r: Any, _p: Any) -> None:
        self._in_loop(self._sent, mid)
