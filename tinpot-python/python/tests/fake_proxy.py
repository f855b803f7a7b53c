"""A small HTTP proxy, which forwards requests and makes tunnels."""

import base64
import socket
import threading


class FakeProxy:
    """Connects to `port` of this machine, whatever host and port it is asked for.

    password: what the header Proxy-Authorization has to have, as `NAME:PASSWORD`.
    answer: the bytes that each request is answered with instead.
    """

    def __init__(self, port=0, password=None, answer=None):
        self._to, self._password, self._answer = port, password, answer
        # The first lines and the headers of the requests.
        self.requests = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, user=""):
        return f"http://{user}127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                self._exchange(connection)
            except OSError:
                pass

    def _exchange(self, connection):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = connection.recv(1)
            if not piece:
                return
            head += piece
        first, *lines = head.decode().split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        self.requests.append((first, headers))
        if self._answer is not None:
            connection.sendall(self._answer)
            return
        if self._password is not None:
            words = base64.b64encode(self._password.encode()).decode()
            if headers.get("proxy-authorization") != f"Basic {words}":
                head = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n"
                connection.sendall(head + b"proxy-authenticate: Basic\r\n\r\n")
                return
        method, target, _ = first.split(" ")
        with socket.create_connection(("127.0.0.1", self._to)) as server:
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = "/" + target.split("/", 3)[3]
                kept = [line for line in lines if line and not line.lower().startswith("proxy-")]
                # One request for each connection is enough here.
                request = [f"{method} {path} HTTP/1.1", *kept, "connection: close"]
                server.sendall("\r\n".join(request).encode() + b"\r\n\r\n")
            back = threading.Thread(target=_copy, args=(server, connection), daemon=True)
            back.start()
            _copy(connection, server)
            back.join()


def _copy(source, target):
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
