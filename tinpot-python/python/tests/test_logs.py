"""Log lines: texts, fields and progress of any kind, and `logging` as people set it up."""

import contextlib
import io
import json
import logging
import logging.config
import os
import queue
import subprocess
import sys
import tempfile
import threading
import unittest

from recorder import recorded

from tinpot import current

HERE = os.path.dirname(os.path.abspath(__file__))
MAX_LINE = 64 * 1024 - 128


class RecordTest(unittest.TestCase):
    def test_fields_may_have_any_name_and_value(self):
        circle = []
        circle.append(circle)
        values = {"level": 3, "message": "m", "self": 1, "name": None}
        odd = {"nan": float("nan"), "set": {1}, "keys": {1: 2}, "circle": circle, "cls": int}
        with recorded() as lines:
            current().info("water", **values, **odd)
            current().info("long", a="x" * 9000, b="\ud800", c=10**9000)
            current().info("many", **{f"k{number}": "v" * 3000 for number in range(9)})
        first, second, third = (line["f"] for line in lines)
        expected = {"nan": "nan", "set": [1], "keys": {"1": 2}, "circle": "[[...]]"}
        self.assertEqual(first, {**values, **expected, "cls": "<class 'int'>"})
        self.assertTrue(second["a"].endswith("… (4904 more characters)"))
        self.assertEqual((second["b"], second["c"]), ("\\ud800", "(too large)"))
        self.assertEqual(third["tinpot"], "5 of 9 fields are not kept")

    def test_long_messages_are_divided_or_cut_and_say_so(self):
        with recorded() as lines:
            current().info("\n".join(["y" * 1000] * 200))
            for text in ("😀" * 20_000, "\0" * 20_000, '"' * 100_000, "\ud800" * 20_000):
                current().info(text)
        whole = "\n".join(line["m"] for line in lines[:-4])
        self.assertEqual(whole, "\n".join(["y" * 1000] * 200))
        for line in lines[-4:]:
            self.assertRegex(line["m"], r"… \[tinpot\] \d+ bytes of this line are not kept$")
        for line in lines:
            self.assertLess(len(json.dumps(line, ensure_ascii=False).encode()), MAX_LINE)

    def test_progress_that_makes_no_sense_is_said(self):
        huge = 10**400
        with recorded() as lines:
            for report in ((1, float("inf")), (-1, 5), (5, 3), (2, -1), (3, huge)):
                current().progress(*report)
            for done in (float("nan"), float("inf"), "many", None, huge):
                current().progress(done, 5)
        progress = [line["p"][:2] for line in lines if "p" in line]
        self.assertEqual(progress, [[1, None], [0, 5], [5, 3], [2, None], [3, None]])
        said = [line["m"] for line in lines if "l" in line]
        self.assertEqual(said[0], "[tinpot] total must be a number from 0, not inf")
        self.assertEqual(said[1], "[tinpot] no progress: done must be a number, not nan")
        self.assertEqual(len(said), 6)


def show(lines):
    """Returns log lines as texts with their levels, and forgets them."""
    found = [f"{line['l']}: {line['m']}" for line in lines]
    lines.clear()
    return found


class LoggingTest(unittest.TestCase):
    """Each case runs in a process of its own, because `logging` is one per process."""

    def run_case(self, name, python=sys.executable):
        code = f"import test_logs; test_logs.{name}()"
        path = os.pathsep.join([os.path.dirname(HERE), HERE])
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(
            [python, "-B", "-c", code], env=environment, capture_output=True, text=True
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_basic_config_sets_level_format_and_file(self):
        self.run_case("basic_config")

    def test_a_record_is_written_once(self):
        self.run_case("own_handlers")

    def test_a_record_that_a_handler_passes_on_or_prints_is_written_once(self):
        self.run_case("indirect_handlers")

    def test_dict_config(self):
        self.run_case("dict_config")


def installed():
    from tinpot import _integrations

    _integrations.install()
    return unittest.TestCase()


def basic_config():
    case = installed()
    with recorded() as lines, tempfile.TemporaryDirectory() as folder:
        logging.info("plain")
        logging.getLogger("a.b").warning("named %s", 1)
        logging.debug("hidden")
        case.assertEqual(show(lines), ["info: plain", "warning: a.b: named 1"])
        logging.basicConfig(level=logging.DEBUG)
        logging.debug("shown")
        case.assertEqual(show(lines), ["debug: shown"])
        file = os.path.join(folder, "app.log")
        logging.basicConfig(filename=file, level=logging.DEBUG)
        logging.debug("to both")
        case.assertEqual(show(lines), ["debug: to both"])
        with open(file) as written:
            case.assertEqual(written.read(), "DEBUG:root:to both\n")
        logging.basicConfig(format="<%(message)s>", level="INFO", force=True)
        logging.warning("x")
        case.assertEqual(show(lines), ["warning: <x>"])
        logging.basicConfig(force=True)


def indirect_handlers():
    case = installed()
    from logging.handlers import MemoryHandler, QueueHandler, QueueListener

    class Printing(logging.Handler):
        def emit(self, record):
            if record.levelno >= logging.INFO:
                print("PRINTED", record.getMessage())

    class Silent(logging.Handler):
        def emit(self, record):
            print("sending …")

    log = logging.getLogger("shop")
    console = logging.StreamHandler(sys.stdout)
    with recorded() as lines, contextlib.redirect_stdout(Attributed()) as output:
        console.setStream(sys.__stdout__)
        log.addHandler(MemoryHandler(100, target=console))
        log.error("by memory")
        case.assertEqual(show(lines), ["error: by memory"])
        records = queue.Queue()
        log.handlers[:] = [QueueHandler(records)]
        log.error("it has no listener")
        case.assertEqual(show(lines), ["error: shop: it has no listener"])
        _listener = QueueListener(records, console)  # Not started: it need not write in time.
        log.error("queued")
        case.assertEqual(show(lines), [])
        log.handlers[:] = [Printing()]
        log.error("by print")
        case.assertEqual((show(lines), output.getvalue()), ([], "PRINTED by print\n"))
        log.handlers[:] = [Silent()]
        log.error("sent")
        case.assertEqual(show(lines), ["error: shop: sent"])


class Attributed(io.StringIO):
    """A stream that has attributes of its own, as the standard streams have."""


def own_handlers():
    case = installed()
    log = logging.getLogger("billing")
    with recorded() as lines:
        log.addHandler(logging.StreamHandler(sys.stdout))
        log.info("invoice sent")
        case.assertEqual(show(lines), ["info: invoice sent"])
        log.handlers[0].setLevel(logging.ERROR)
        log.info("less")
        case.assertEqual(show(lines), [])
        log.handlers.clear()
        log.propagate = False
        log.info("it alone")
        case.assertEqual(show(lines), ["info: billing: it alone"])
        log.addHandler(logging.NullHandler())
        log.info("never")
        case.assertEqual(show(lines), [])
        log.propagate = True
        kept = io.StringIO()
        log.addHandler(logging.StreamHandler(kept))
        log.info("kept", extra={"message_id": 3})
        case.assertEqual(show(lines), ["info: billing: kept"])
        case.assertEqual(kept.getvalue(), "kept\n")
        try:
            raise ValueError("odd")
        except ValueError:
            log.exception("failed")
        (text,) = show(lines)
        case.assertTrue(text.startswith("error: billing: failed\nTraceback"), text)


def dict_config():
    case = installed()
    old = logging.getLogger("old")
    handlers = {"console": {"class": "logging.StreamHandler", "formatter": "short"}}
    with recorded() as lines:
        settings = {
            "version": 1,
            "formatters": {"short": {"format": "%(name)s/%(message)s"}},
            "handlers": handlers,
            "root": {"handlers": ["console"], "level": "INFO"},
        }
        logging.config.dictConfig(settings)
        old.info("disabled")
        logging.getLogger("new").error("here")
        case.assertEqual(show(lines), ["error: new/here"])
        logging.config.dictConfig({"version": 1, "root": {"level": "DEBUG"}})
        logging.debug("still")
        case.assertEqual(show(lines), ["debug: still"])


def libraries():
    """Runs where the libraries are installed."""
    case = installed()
    import structlog
    from loguru import logger
    from tqdm import tqdm

    with recorded() as lines:
        logger.warning("careful")
        logger.remove(0)
        logger.add(sys.stderr, format="{message}", level="DEBUG")
        logger.debug("small")
        structlog.get_logger().error("broken")
        first, second, third = show(lines)
        case.assertTrue(first.startswith("warning: ") and first.endswith("careful"), first)
        case.assertEqual(second, "debug: small")
        case.assertTrue(third.startswith("error: ") and "broken" in third, third)
        out, errors = sys.__stdout__, sys.__stderr__
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            for _ in tqdm(range(3), mininterval=0, desc="files"):
                for _ in tqdm(range(2), leave=False):
                    pass
            for _ in tqdm(range(2), file=sys.stdout, total=2):
                tqdm.write("", end="")
        case.assertEqual(lines[-1]["p"], [2.0, 2.0, ""])
        with contextlib.redirect_stderr(errors):
            list(tqdm(range(4), disable=None))
        case.assertEqual(lines[-1]["p"], [4.0, 4.0, ""])
        # A thread would be taken for one that the action left.
        case.assertEqual(threading.active_count(), 1)
        case.assertIn([3.0, 3.0, "files"], [line["p"] for line in lines])


if __name__ == "__main__":
    unittest.main()
