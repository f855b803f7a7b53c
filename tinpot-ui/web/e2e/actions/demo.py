"""Realistic actions for the pictures of the documentation."""

import time
from typing import Literal

from tinpot import Context, action

GREEN, CYAN, BOLD, RESET = "\x1b[32m", "\x1b[36m", "\x1b[1m", "\x1b[0m"
TABLES = {"users": 1_204, "orders": 88_310, "invoices": 41_077, "events": 2_310_448}


@action(group="Backups", timeout=3600, retries=2)
def backup(ctx: Context, host: str, days: int = 7, compression: Literal["none", "gzip", "zstd"] = "zstd", verify: bool = True):
    """Back up the databases of a host.

    Args:
        host: the host to back up
        days: the number of days to include
        compression: the format of the dump
        verify: read the dump again after writing it
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


RED, YELLOW, BLUE, DIM = "\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[2m"
HOSTS = ("web-1", "web-2", "web-3", "web-4")


@action(group="Deployment", timeout=900, retries=1)
def smoke_test(host: str):
    """Request the pages of a host.

    Args:
        host: the host to test
    """
    for path, ms in (("/", 12), ("/login", 31), ("/api/health", 4)):
        print(f"{GREEN}200{RESET} {host}{path} {DIM}{ms} ms{RESET}")
        time.sleep(0.1)
    return {"host": host, "pages": 3}


@action(group="Deployment", timeout=1800, retries=1)
def deploy(ctx: Context, service: str, version: str, environment: Literal["staging", "production"] = "staging", migrate: bool = True):
    """Deploy a version of a service to all of its hosts.

    Args:
        service: the service to deploy
        version: a tag or a commit
        environment: the target environment
        migrate: migrate the database first
    """
    print(f"{BOLD}{service} {version}{RESET} to {BOLD}{environment}{RESET}, {len(HOSTS)} hosts")
    with ctx.step("build"):
        print(f"{DIM}$ docker build --tag registry.internal/{service}:{version} .{RESET}")
        print("compiling 0 %\rcompiling 37 %\rcompiling 100 %: 214 modules in 0.4 s")
        time.sleep(0.4)
        print(f"{GREEN}✓{RESET} image {CYAN}sha256:9f1c04e7{RESET}, 48 MB")
    if migrate:
        with ctx.step("migrate"):
            for name in ("0041_orders_index", "0042_drop_old_prices"):
                print(f"{GREEN}✓{RESET} {name}")
                time.sleep(0.15)
            ctx.warning("waited for a lock", table="orders", seconds=0.2)
    with ctx.step("roll out"):
        for done, host in enumerate(HOSTS):
            ctx.progress(done, len(HOSTS) + 1, f"roll out: {host}")
            with ctx.step(host):
                print(f"{BLUE}→{RESET} {host}: drain, replace, wait for health")
                time.sleep(0.25)
                if host == "web-3":
                    print(f"{YELLOW}! {host} answers slowly: 840 ms, the limit is 1,000 ms{RESET}")
                    time.sleep(0.3)
                print(f"{GREEN}✓{RESET} {host} serves {version}")
    ctx.progress(len(HOSTS), len(HOSTS) + 1, "smoke tests")
    with ctx.step("smoke tests"):
        print("requesting the pages of the first host")
        ctx.call("smoke_test", host=HOSTS[0])
        print("watching the error rate for 3 s")
        time.sleep(3)
    ctx.summary(f"**{service} {version}** serves {environment} on {len(HOSTS)} hosts.")
    return {"service": service, "version": version, "hosts": list(HOSTS)}
