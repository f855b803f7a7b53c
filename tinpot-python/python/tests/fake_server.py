"""A server of HTTP whose answers a test writes byte by byte."""

import json
import socket
import ssl
import threading


class Request:
    """A request that the server has read."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    def json(self):
        return json.loads(self.body)


class FakeServer:
    """Answers the n-th request with the n-th script, and the rest with the last one.

    A script is bytes to send, or a function of the connection and the request. The connection is
    closed afterwards, unless the script is a `dict` or a list: those are answered as JSON.
    """

    def __init__(self, *scripts, tls=None):
        self.requests = []
        self._scripts = list(scripts)
        self._lock = threading.Lock()
        self._tls = None
        if tls is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*tls)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while self._exchange(connection):
                pass
        except OSError:
            pass
        finally:
            connection.close()

    def _exchange(self, connection):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = connection.recv(1)
            if not piece:
                return False
            head += piece
        first, *lines = head.decode().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
            if name
        }
        request = Request(method, path, headers, b"")
        with self._lock:
            self.requests.append(request)
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        size = int(headers.get("content-length", 0))
        if getattr(script, "reads_nothing", False):
            size = 0
        while len(request.body) < size:
            piece = connection.recv(65536)
            if not piece:
                return False
            request.body += piece
        if isinstance(script, (dict, list)):
            connection.sendall(answer(script))
            return True
        if isinstance(script, bytes):
            connection.sendall(script)
        else:
            script(connection, request)
        return False


def answer(body, status=200, **headers):
    """Returns an answer as bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def refusal(status, detail="no", **fields):
    return answer({"detail": detail, **fields}, status)


def stream(*events, head=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", end=b""):
    """Returns the beginning of a stream with these events, which are (id, type, data)."""
    text = b""
    for position, kind, data in events:
        line = json.dumps({"type": kind, "data": data})
        text += f"id: {position}\ndata: {line}\n\n".encode()
    return head + b"%x\r\n%b\r\n" % (len(text), text) + end


def log(seq, message="line"):
    return (seq, "log", {"seq": seq, "message": message})


def complete(**data):
    data = {"status": "succeeded", "successful": True, **data}
    return ("end", "complete", data)
