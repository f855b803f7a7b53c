"""One connection to a broker, which the loop of asyncio reads and writes."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

KEEP_ALIVE = 10
QUEUE_BYTES = 16 * 1024 * 1024
"""The bytes that may wait for a slow broker. Further frames are dropped: they are sent again."""
PORTS = {"mqtt": 1883, "tcp": 1883, "mqtts": 8883}
PATIENCE = 5.0
"""The time for which a connection that is closed waits for the broker."""


class Connection:
    """A connection that is established again whenever it is lost."""

    def __init__(
        self,
        url: str,
        client: str,
        topics: Sequence[str],
        on_up: Callable[[], None],
        on_frame: Callable[[bytes], None],
        login: tuple[str, str] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in PORTS or parts.hostname is None:
            raise ValueError(f"the broker must be mqtt://, tcp:// or mqtts://HOST (got {url!r})")
        self._topics = [(topic, SubscribeOptions(qos=0)) for topic in topics]
        self._on_up, self._on_frame = on_up, on_frame
        self._loop = asyncio.get_running_loop()
        self._queued = 0
        self.is_up = False
        self.refusal: str | None = None
        """The reason of the broker, if it refused the connection or a topic."""
        client = f"{client}-{os.urandom(4).hex()}"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client, protocol=mqtt.MQTTv5)
        if parts.scheme == "mqtts":
            self._client.tls_set_context(ssl.create_default_context())
        if login is None and parts.username is not None:
            login = unquote(parts.username), unquote(parts.password or "")
        if login is not None:
            self._client.username_pw_set(*login)
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_socket_close = self._closing
        self._client.on_message = self._received
        port = parts.port or PORTS[parts.scheme]
        self._client.connect_async(parts.hostname, port, KEEP_ALIVE, clean_start=True)
        self._task = self._loop.create_task(self._keep())

    def publish(self, topic: str, frame: bytes) -> None:
        """Sends a frame, unless the connection is down or the broker is far behind."""
        if self.is_up and self._queued + len(frame) <= QUEUE_BYTES:
            self._queued += len(frame)
            self._client.publish(topic, frame, qos=0)
            self._write()

    async def close(self) -> None:
        """Sends what waits, and disconnects."""
        self._task.cancel()
        self._client.disconnect()
        self._write()
        until = self._loop.time() + PATIENCE
        while self._client.socket() is not None and self._loop.time() < until:
            await asyncio.sleep(0.01)

    async def _keep(self) -> None:
        while True:
            try:
                if self._client.socket() is None:
                    await asyncio.to_thread(self._client.reconnect)
                    socket: Any = self._client.socket()
                    self._loop.add_reader(socket, self._read)
                self._client.loop_misc()
            except (OSError, ValueError) as error:
                self.refusal = f"the broker cannot be reached: {error}"
            await asyncio.sleep(0.5 + random.random())

    def _read(self) -> None:
        self._client.loop_read()
        # A socket with TLS has read more than the loop can see.
        while isinstance(it := self._client.socket(), ssl.SSLSocket) and it.pending():
            self._client.loop_read()
        self._write()

    def _write(self) -> None:
        self._client.loop_write()
        socket = self._client.socket()
        if socket is not None and self._client.want_write():
            self._loop.add_writer(socket, self._write)
        elif socket is not None:
            self._loop.remove_writer(socket)
            self._queued = 0

    def _closing(self, _c: Any, _u: Any, socket: Any) -> None:
        self.is_up, self._queued = False, 0
        self._loop.remove_reader(socket)
        self._loop.remove_writer(socket)

    def _connected(self, _c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            self.refusal = f"the broker refuses the connection: {reason}"
        else:
            self._client.subscribe(self._topics)

    def _subscribed(self, _c: Any, _u: Any, _m: int, reasons: Any, _p: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self.refusal = f"the broker refuses a topic: {refused[0]}" if refused else None
        self.is_up = True
        self._loop.call_soon(self._on_up)

    def _received(self, _c: Any, _u: Any, message: mqtt.MQTTMessage) -> None:
        # The client must not see what this raises: it would read the next packet wrongly.
        self._loop.call_soon(self._on_frame, bytes(message.payload))
