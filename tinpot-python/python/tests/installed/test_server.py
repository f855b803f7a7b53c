"""Both clients on a real server: one that is killed, and connections that break."""

import asyncio
import os
import signal
import socket
import threading

import pytest
import work

import tinpot
from tinpot import client, testing


def test_run_and_submit(tinpot_server):
    do = tinpot_server.client
    assert do.run(work.backup, "db", days=2) == 2
    assert do.run("backup", host="db") == 1
    execution = do.with_options(priority=3, retries=1).submit(work.talk, 3)
    assert execution.result(timeout=30) == 3
    info = execution.info()
    assert (info["priority"], info["retries"], info["status"]) == (3, 1, "succeeded")
    assert [line["message"].split()[1] for line in execution.logs()] == ["0", "1", "2"]
    again = execution.rerun(priority=4)
    assert (again.wait(30), again.info()["priority"]) == ("succeeded", 4)
    assert execution.id in {one["execution_id"] for one in do.executions(action="talk")}
    assert set(do.actions()) >= {"backup", "talk"}
    assert do.version() == tinpot.__version__
    assert len(do.workers()) == 1


def test_run_and_follow_without_blocking(tinpot_server):
    async def main():
        async with tinpot.AsyncClient(tinpot_server.url, token=tinpot_server.token) as do:
            runs = [do.run(work.backup, "db", days=n) for n in range(1, 6)]
            assert await asyncio.gather(*runs) == [1, 2, 3, 4, 5]
            execution = await do.submit("talk", lines=3)
            events = [event async for event in execution.events()]
            assert [event.data["seq"] for event in events if event.type == "log"] == [1, 2, 3]
            assert events[-1].type == "complete"
            assert [event async for event in execution.events(after="end")] == []
            assert len([line async for line in execution.logs(after=1)]) == 2

    asyncio.run(main())


def test_errors(tinpot_server):
    do = tinpot_server.client
    with pytest.raises(tinpot.ActionError) as failed:
        do.run(work.restore, "db")
    error = failed.value
    assert (error.kind, error.message, error.status) == ("OSError", "db has no backup", "failed")
    assert "has no backup" in error.traceback and error.execution
    with pytest.raises(client.NotFound, match="nonsense"):
        do.run("nonsense")
    with pytest.raises(client.InvalidRequest) as invalid:
        do.run("backup", host="db", days="many")
    assert [path for path, _ in invalid.value.errors] == ["days"]
    with pytest.raises(client.NotFound):
        do.execution("0197a3c6-0000-7000-8000-000000000000").result()
    key = do.with_options(idempotency_key="once")
    assert key.submit("backup", host="a").id == key.submit("backup", host="a").id
    with pytest.raises(client.Conflict):
        key.submit("backup", host="b")


@pytest.mark.parametrize("token", ["tpt_wrong", "x" * 1000])
def test_wrong_tokens(tinpot_server, token):
    with pytest.raises(client.NotAuthenticated, match="the argument `token`"):
        tinpot.Client(tinpot_server.url, token=token).run("backup", host="a")
    with pytest.raises(client.NotAuthenticated):
        asyncio.run(tinpot.AsyncClient(tinpot_server.url, token=token).version())


def test_cancel_and_timeouts(tinpot_server):
    do = tinpot_server.client
    execution = do.submit(work.wait, 60)
    with pytest.raises(client.WaitTimeout):
        execution.result(timeout=0.2)
    events = execution.events(timeout=30)
    while next(events).data.get("status") != "running":
        pass
    assert execution.cancel() is True
    with pytest.raises(tinpot.ActionError) as cancelled:
        execution.result(timeout=30)
    assert cancelled.value.status == "cancelled"
    assert execution.cancel() is False
    assert [event.type for event in events][-1] == "complete"


def test_artifacts_and_uploads(tinpot_server, tmp_path, monkeypatch):
    do = tinpot_server.client
    (tmp_path / "blob").write_bytes(os.urandom(300_000))
    assert do.upload(tmp_path / "blob") == do.upload(tmp_path / "blob")
    execution = do.submit("keep", text="some text")
    execution.result(30)
    (artifact,) = execution.artifacts()
    assert (artifact.name, artifact.size_bytes) == ("kept.txt", 9)
    execution.download(artifact, tmp_path / "kept")
    assert (tmp_path / "kept").read_text() == "some text"
    with pytest.raises(client.NotFound):
        execution.download("9.9", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_key_makes_two_submissions_one_when_the_answer_is_lost(tinpot_server):
    with Breaking(tinpot_server.url, [10_000, 0, 10_000]) as between:
        do = tinpot.Client(between.url, token=tinpot_server.token)
        do.version()
        between.cut_now()
        before = sum(1 for _ in do.executions(None, action="backup"))
        assert do.run("backup", host="a") == 1
        assert sum(1 for _ in do.executions(None, action="backup")) == before + 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_stream_that_breaks_has_every_line_once(tinpot_server, kind):
    lines = 300
    execution = tinpot_server.client.submit(work.talk, lines, pause=0.001)
    # Cut at any byte: within the head, a line, an event.
    with Breaking(tinpot_server.url, [3000, 10, 200, 5000, 333, 1, 8000, 20_000, 10**9]) as between:
        if kind == "sync":
            do = tinpot.Client(between.url, token=tinpot_server.token)
            do.version()
            events = list(do.execution(execution.id).events(timeout=60))
        else:

            async def follow():
                async with tinpot.AsyncClient(between.url, token=tinpot_server.token) as do:
                    await do.version()
                    return [one async for one in do.execution(execution.id).events(timeout=60)]

            events = asyncio.run(follow())
        assert between.cuts >= 5
    numbers = [event.data["seq"] for event in events if event.type == "log"]
    assert numbers == list(range(1, lines + 1))
    assert events[-1].data["result"] == lines


def test_a_server_that_is_killed_and_comes_back(tinpot_actions):
    with testing.Server(tinpot_actions) as server:
        # A loop of its own in a thread, and a client without one.
        do, do_async = server.new_client(), server.new_async_client()
        execution = do.with_options(delay=1.5).submit(work.backup, "db", days=2)
        found, following = {}, threading.Semaphore(0)

        def follow():
            events = execution.events(timeout=60)
            found["sync"] = [next(events)]
            following.release()
            found["sync"] += events

        async def follow_async():
            await do_async.version()
            following.release()
            found["async"] = await do_async.execution(execution.id).result(timeout=60)
            await do_async.close()

        threads = [
            threading.Thread(target=follow),
            threading.Thread(target=lambda: asyncio.run(follow_async())),
        ]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert following.acquire(timeout=30)
        kill(server)
        with pytest.raises(client.NotReached):
            tinpot.Client(server.url, token="x").version()
        server.start()
        for thread in threads:
            thread.join(60)
        assert found["async"] == 2
        types = [event.type for event in found["sync"]]
        assert (types[0], types.count("log"), types[-1]) == ("status", 2, "complete")
        # A kept connection is one to the server before.
        assert do.run(work.backup, "db") == 1


def kill(server):
    """Kills the program at once, as the kernel or a power cut would."""
    guard = server._guard.pid
    with open(f"/proc/{guard}/task/{guard}/children") as children:
        (program,) = map(int, children.read().split())
    os.killpg(program, signal.SIGKILL)
    server._guard.wait(30)
    server.end()


class Breaking:
    """A proxy that cuts each connection after a number of bytes to the client."""

    def __init__(self, url, sizes):
        self._to = ("127.0.0.1", int(url.rpartition(":")[2]))
        self._sizes = list(sizes)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0
        self._open = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()
        self.cut_now()

    def cut_now(self):
        """Cuts all connections."""
        while self._open:
            try:
                self._open.pop().shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            size = self._sizes.pop(0) if len(self._sizes) > 1 else self._sizes[0]
            server = socket.create_connection(self._to)
            self._open += [client, server]
            for passing in (
                lambda c=client, s=server: self._pass(c, s, 10**9),
                lambda c=client, s=server, n=size: self._pass(s, c, n),
            ):
                threading.Thread(target=passing, daemon=True).start()

    def _pass(self, source, target, left):
        try:
            while left > 0 and (piece := source.recv(4096)):
                target.sendall(piece[:left])
                left -= len(piece)
        except OSError:
            pass
        self.cuts += left <= 0
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
