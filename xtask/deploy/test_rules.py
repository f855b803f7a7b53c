"""The files are accepted, and each way to break one is refused."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import compose
import dockerfile
import systemd
from settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Settings(ROOT / "docs")
COMPOSE = ROOT / "deploy/compose"
UNITS = ROOT / "deploy/systemd"


class Rules(unittest.TestCase):
    """Files with one fault each."""

    def refused(self, faults: list[str], said: str) -> None:
        """Asserts that a fault is named."""
        self.assertTrue(any(said in fault for fault in faults), f"{said!r} in {faults}")

    def test_compose_files(self) -> None:
        good = (COMPOSE / "one-worker.yaml").read_text()
        self.assertEqual(compose.faults(good, COMPOSE, SETTINGS), [])
        for old, new, said in [
            ("services:", "services: [", "is no YAML"),
            (
                "    restart: on-failure\n",
                "    restart: on-failure\n    restart: always\n",
                "comes twice",
            ),
            ("restart: on-failure", "restart: sometimes", "restart"),
            ("restart: on-failure", "restart: always", "drained worker"),
            ("stop_grace_period: 30s", "stop_grace: 30s", "stop_grace"),
            ("stop_grace_period: 30s", "stop_grace_period: 30", "30"),
            ("tinpot:0.1.0", "tinpot:latest", "name a version"),
            ("image: tinpot:0.1.0", "image: tinpot", "tinpot"),
            ('"127.0.0.1:8000:8000"', '"8000"', "8000"),
            ('"--embedded-broker"', '"--inner-broker"', "--inner-broker is no flag"),
            ('["worker"]', '["wroker"]', "none of tinpot's"),
            ("CONCURRENCY:", "CONCURENCY:", "CONCURENCY is no variable of `tinpot worker`"),
            ("BROKER_USER:", "QUEUES:", "QUEUES is no variable of `tinpot coordinator`"),
            ("condition: service_healthy", "condition: healthy", "healthy"),
            (
                "      coordinator:\n        condition",
                "      coordinators:\n        condition",
                "no service",
            ),
            ("dockerfile: Dockerfile", "dockerfile: Dockerfiles", "there is no"),
            ("- history:/var", "- histories:/var", "not declared"),
            ("./actions}", "./action}", "is not there"),
            ("${BROKER_PASSWORD:?set a password for the broker}@", "$BROKER_PASSWORD@", "$$"),
        ]:
            self.assertIn(old, good)
            self.refused(compose.faults(good.replace(old, new), COMPOSE, SETTINGS), said)

    def test_dockerfiles(self) -> None:
        good = (ROOT / "Dockerfile").read_text()
        self.assertEqual(dockerfile.faults(good, SETTINGS), [])
        apt = "RUN apt-get update && apt-get install -y curl\nUSER tinpot"
        for old, new, said in [
            ("FROM python:3.13-slim-bookworm", "FROM python", "name a version"),
            ("FROM python:3.13-slim-bookworm", "FROM python:latest", "name a version"),
            ("FROM ", "FORM ", "unknown instruction FORM"),
            ("USER tinpot\n", "", "must not be root"),
            ("USER tinpot\n", "USER tinpot\nUSER 0\n", "must not be root"),
            ("HEALTHCHECK ", "LABEL a=", "has no HEALTHCHECK"),
            ("USER tinpot", apt, "--no-install-recommends"),
            ("USER tinpot", apt, "leaves its lists"),
            ("USER tinpot", "RUN pip install requests\nUSER tinpot", "--no-cache-dir"),
            ("COPY . .", "ADD . .", "use COPY"),
            ('CMD ["coordinator", "--embedded-broker"]', "CMD coordinator", "as a list"),
            ('"--embedded-broker"', '"--broker-embedded"', "--broker-embedded is no flag"),
            ("ENV HOST=", "ENV HOSTS=", "HOSTS is no variable"),
        ]:
            self.assertIn(old, good)
            self.refused(dockerfile.faults(good.replace(old, new), SETTINGS), said)

    def test_units(self) -> None:
        good = (UNITS / "tinpot-worker.service").read_text()
        self.assertEqual(systemd.faults(good, UNITS, SETTINGS), [])
        for old, new, said in [
            ("[Service]", "[Daemon]", "is no service"),
            ("Restart=on-failure", "Restart=always", "drained worker"),
            ("User=tinpot", "User=root", "must not be root"),
            ("tinpot worker --config", "tinpot worker --settings", "--settings is no flag"),
            ("/etc/tinpot/worker.toml", "/etc/tinpot/other.toml", "no sample"),
            ("/etc/tinpot/worker.toml", "/etc/tinpot/coordinator.toml", "no table [worker]"),
            ("KillMode=mixed\n", "", "KillMode"),
            ("TimeoutStopSec=60", "TimeoutStopSec=30", "grace"),
            ("WantedBy", "WantBy", "WantedBy"),
        ]:
            self.assertIn(old, good)
            self.refused(systemd.faults(good.replace(old, new), UNITS, SETTINGS), said)

    def test_sample_files(self) -> None:
        unit = (UNITS / "tinpot-worker.service").read_text()
        good = (UNITS / "worker.toml").read_text()
        with tempfile.TemporaryDirectory() as made:
            for old, new, said in [
                ("concurrency", "concurency", "concurency is no setting"),
                ("\nbroker", "\nnamespace", "names no broker"),
                ("\nactions", "\nname", "names no folder"),
            ]:
                self.assertIn(old, good)
                (Path(made) / "worker.toml").write_text(good.replace(old, new))
                self.refused(systemd.faults(unit, Path(made), SETTINGS), said)

    def test_systemd_reads_the_units(self) -> None:
        with tempfile.TemporaryDirectory() as made:
            broken = Path(made) / "tinpot-broken.service"
            broken.write_text("[Service]\nExecStart=/usr/local/bin/tinpot worker\nRestrat=always\n")
            if systemd.verify([broken]) == [] and not systemd.is_installed():
                self.skipTest("systemd-analyze is not installed")
            self.refused(systemd.verify([broken]), "Restrat")


if __name__ == "__main__":
    unittest.main()
