"""An action as one would write it, for the pictures of the documentation."""

import time
from typing import Literal

from tinpot import Context, action

GREEN, CYAN, BOLD, RESET = "\x1b[32m", "\x1b[36m", "\x1b[1m", "\x1b[0m"
TABLES = {"users": 1_204, "orders": 88_310, "invoices": 41_077, "events": 2_310_448}


@action(group="Backups", timeout=3600, retries=2)
def backup(ctx: Context, host: str, days: int = 7, compression: Literal["none", "gzip", "zstd"] = "zstd", verify: bool = True):
    """Back up the databases of a host.

    Args:
        host: which one
        days: how far back
        compression: what the dump is packed with
        verify: read the dump once more when it is written
    """
    print(f"{BOLD}backing up {host}{RESET}, the last {days} days, packed with {compression}")
    with ctx.step("dump"):
        for done, (table, rows) in enumerate(TABLES.items(), 1):
            print(f"  {GREEN}✓{RESET} {CYAN}{table:<10}{RESET} {rows:>10,} rows")
            ctx.progress(done, len(TABLES) + 2, table)
            time.sleep(0.15)
        with ctx.step("pack"):
            print("packing\rpacking 40 %\rpacking 100 %: 412 MB became 71 MB")
            time.sleep(0.3)
    ctx.warning("the disk is 91 % full", free_gb=38)
    if verify:
        with ctx.step("verify"):
            print("verifying the dump")
            ctx.progress(len(TABLES) + 1, len(TABLES) + 2, "verifying")
            time.sleep(2.5)
    ctx.summary(f"**{len(TABLES)}** tables of {host} are saved.")
    return {"host": host, "tables": len(TABLES), "bytes": 71_000_000}
