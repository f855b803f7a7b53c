"""Actions as people wrote them for Celery: plain types, no executions, no contexts."""

import os
import shutil
import time

from tinpot import action, action_print, run_command


@action(group="Maintenance", description="Clean up old files")
def cleanup(days: int = 7):
    """Delete files older than N days."""
    print(f"Cleaning files older than {days} days...")
    # Your logic here
    time.sleep(2)
    print("✓ Cleanup complete!")
    return {"files_deleted": 42}


@action(group="DevOps")
def deploy(environment: str = "staging"):
    """Deploy to specified environment."""
    print(f"Deploying to {environment}...")
    # Nested call
    cleanup(days=30)
    print("✓ Deploy complete!")


@action(group="Maintenance", description="Backup a directory")
def backup_directory(source: str, target: str):
    action_print(f"Backing up {source}")
    archive = shutil.make_archive(os.path.join(target, "backup"), "gztar", source)
    action_print(f"Wrote {os.path.basename(archive)}")
    return archive


@action(group="DevOps", description="Back up, then update the checkout")
def update_site(source: str, checkout: str, target: str):
    archive = backup_directory(source, target)
    revision = git_update(checkout)
    action_print("Site is at", revision)
    return {"backup": archive, "revision": revision}


@action(group="DevOps", description="Update a checkout with git")
def git_update(checkout: str):
    run_command(["git", "pull", "--ff-only"], cwd=checkout)
    result = run_command("git rev-parse --short HEAD", cwd=checkout)
    return result.stdout.strip()


@action(group="Monitoring", description="Check the health of services for a while")
def health_check(checks: int = 5, interval: float = 1.0):
    for number in range(1, checks + 1):
        print(f"[{number}/{checks}] all services respond")
        time.sleep(interval)
    return "healthy"
